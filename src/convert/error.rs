//! Why a conversion failed.

use std::io;

use crate::{
    image::{Digest, DocumentError, ImageReference},
    layer::LayerError,
    source::SourceError,
    store::{MANIFEST_SIZE_MAX, StoreError},
    tekton::ResultsError,
    verify::VerifyError,
};

/// A failed conversion. Unless it says otherwise nothing has been published.
#[derive(Debug, thiserror::Error)]
pub enum ConvertError {
    /// The source could not be read, or is of a kind that is not converted.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// No document can be made of the source's.
    #[error("cannot convert {reference}: {error}")]
    Unfit { reference: ImageReference, error: DocumentError },
    /// An index has nothing to convert.
    #[error("{reference} has no image that can be converted: {reason}")]
    NoImage { reference: ImageReference, reason: String },
    #[error("{reference} is a single image, not an index; leave out --all-platforms")]
    NoIndex { reference: ImageReference },
    /// An image that was to stay as it is could not be checked.
    #[error(transparent)]
    Verify(#[from] VerifyError),
    /// An image that was to stay as it is is wrong.
    #[error("manifest {digest} of the source cannot be kept: {reason}")]
    Kept { digest: Digest, reason: String },
    /// The SBOM that was named is not there, or could not be copied.
    #[error(
        "{reference} has no SBOM {digest} that can be copied{}",
        .reason.as_ref().map_or(String::new(), |reason| format!(": {reason}"))
    )]
    NoSbom {
        reference: ImageReference,
        /// As in `--sbom`.
        digest: Digest,
        reason: Option<String>,
    },
    #[error(
        "the new {what} would have {bytes} bytes, but registries accept {} MiB; nothing was \
         published",
        MANIFEST_SIZE_MAX >> 20
    )]
    ManifestTooLarge {
        /// `manifest` or `index`.
        what: &'static str,
        bytes: u64,
    },
    /// What was about to be published is not what was made and checked.
    #[error(
        "internal error: the new {what} does not match what was converted: {}; nothing was \
         published; please report this bug",
        .differences.join("; ")
    )]
    Differs {
        /// `manifest` or `index`.
        what: &'static str,
        differences: Vec<String>,
    },
    #[error("cannot convert {label} ({digest})")]
    Layer {
        /// Which layer of which image, the layers counted from 1.
        label: String,
        /// Of its blob in the source.
        digest: Digest,
        #[source]
        error: LayerError,
    },
    /// A layer cannot have a TOC and was required to have one.
    #[error("cannot convert {label} ({digest}) to zstd:chunked, which is required: {reason}")]
    NotChunkable {
        /// Which layer of which image, the layers counted from 1.
        label: String,
        /// Of its blob in the source.
        digest: Digest,
        reason: String,
    },
    /// A blob that stays as it is could not be read.
    #[error("cannot copy blob {digest} of {reference}")]
    Copy {
        reference: ImageReference,
        digest: Digest,
        #[source]
        error: io::Error,
    },
    #[error(
        "the results need {bytes} bytes, more than the {limit} of --results-limit; nothing was \
         published; convert fewer platforms at once (in a matrix), use a shorter repository name, \
         or, if Tekton reads results from sidecar logs, raise --results-limit"
    )]
    ResultsTooLarge {
        /// With what Tekton adds to them.
        bytes: usize,
        /// As in `--results-limit`.
        limit: usize,
    },
    #[error("cannot write a temporary file in {dir}: {error}; {advice}")]
    Spool { dir: String, error: io::Error, advice: &'static str },
    #[error("cannot publish to {reference}")]
    Destination {
        reference: ImageReference,
        #[source]
        error: StoreError,
    },
    /// The registry does not let the tag name another image.
    #[error(
        "cannot publish to {reference}: the registry refuses to change the tag, which names {names}; \
         if tags are immutable there, choose another tag, or delete this one"
    )]
    TagTaken {
        reference: ImageReference,
        /// What the tag names.
        names: Digest,
        #[source]
        error: StoreError,
    },
    #[error(
        "{reference} names {names}, {digest}, and would name the result instead: clients that \
         cannot read it would have no other tag; choose another destination, or move the tag \
         with --in-place"
    )]
    TakesTag {
        reference: ImageReference,
        /// What the tag names.
        digest: Digest,
        /// What that has to do with the source.
        names: &'static str,
    },
    /// What was published is not what was sent.
    #[error(
        "{reference} does not match what was pushed: found {found}, expected {pushed}; either \
         something else pushes to that tag at the same time, or the registry is faulty"
    )]
    ReadBack { reference: ImageReference, pushed: Digest, found: Digest },
    #[error(
        "{reference} was pushed, but the registry does not serve its blob {digest}; try again, and \
         report this to its operator"
    )]
    Lost { reference: ImageReference, digest: Digest },
    #[error(
        "cannot write results to the directory {dir}: {error}; nothing was published{}",
        made(error)
    )]
    ResultsDir { dir: String, error: io::Error },
    #[error("cannot write artifacts to {path}: {error}; nothing was published{}", made(error))]
    Artifacts { path: String, error: io::Error },
    /// The image is published, but its results are not.
    #[error(transparent)]
    Results(#[from] ResultsError),
    #[error("cannot start the worker threads")]
    Threads(#[source] io::Error),
    #[error("internal error: {0}; please report this bug")]
    Internal(String),
}

/// What to do about a directory for results.
fn made(error: &io::Error) -> &'static str {
    if error.kind() == io::ErrorKind::NotFound { "; create the directory" } else { "" }
}
