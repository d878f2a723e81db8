//! Why a conversion failed.

use std::io;

use crate::{
    image::{Digest, DocumentError, ImageReference},
    layer::LayerError,
    source::SourceError,
    store::{MANIFEST_SIZE_MAX, Store, StoreError},
    tekton::ResultsError,
    verify::VerifyError,
};

/// A failed conversion. Unless it says otherwise nothing has been published.
#[derive(Debug, thiserror::Error)]
pub enum ConvertError {
    /// The source could not be read, or is of a kind that is not converted.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// No manifest can be made of the source's.
    #[error("cannot convert {reference}: the result would be {error}")]
    Unfit {
        /// The source.
        reference: ImageReference,
        /// What is wrong with it.
        error: DocumentError,
    },
    /// There is nothing in an index that could be converted.
    #[error("{reference} has no image that can be converted; {reason}")]
    NoImage {
        /// The source.
        reference: ImageReference,
        /// What it has instead.
        reason: String,
    },
    /// The source is a single image where an index was needed.
    #[error("{reference} is a single image, not an index; leave out --all-platforms")]
    NoIndex {
        /// The source.
        reference: ImageReference,
    },
    /// An image that was to stay as it is could not be checked.
    #[error(transparent)]
    Verify(#[from] VerifyError),
    /// An image that was to stay as it is is wrong.
    #[error("manifest {digest} of the source cannot be kept: {reason}")]
    Kept {
        /// The manifest.
        digest: Digest,
        /// What is wrong with it.
        reason: String,
    },
    /// The SBOM that was named is not there, or could not be carried over.
    #[error(
        "{reference} has no SBOM {digest} that can be carried over{}",
        .reason.as_ref().map_or(String::new(), |reason| format!(": {reason}"))
    )]
    NoSbom {
        /// The source.
        reference: ImageReference,
        /// As in `--sbom`.
        digest: Digest,
        /// Why not.
        reason: Option<String>,
    },
    /// A registry would not take what is to be published.
    #[error(
        "the new {what} would have {bytes} bytes, and registries accept {} MiB; nothing was done",
        MANIFEST_SIZE_MAX >> 20
    )]
    ManifestTooLarge {
        /// `manifest` or `index`.
        what: &'static str,
        /// Its length in bytes.
        bytes: u64,
    },
    /// What was about to be published is not what was made and checked.
    #[error(
        "internal error: the new {what} differs from what was made; nothing was published: {}; \
         please report this bug",
        .differences.join("; ")
    )]
    Differs {
        /// `manifest` or `index`.
        what: &'static str,
        /// Each difference.
        differences: Vec<String>,
    },
    /// A layer could not be converted.
    #[error("{label} ({digest}) cannot be converted")]
    Layer {
        /// Which layer of which image, the layers counted from 1.
        label: String,
        /// Its blob in the source.
        digest: Digest,
        /// Why.
        #[source]
        error: LayerError,
    },
    /// A layer has no TOC and was required to have one.
    #[error("{label} ({digest}) cannot become zstd:chunked, which is required: {reason}")]
    NotChunkable {
        /// Which layer of which image, the layers counted from 1.
        label: String,
        /// Its blob in the source.
        digest: Digest,
        /// Why it gets no TOC.
        reason: String,
    },
    /// A blob that stays what it is could not be read.
    #[error("blob {digest} of {reference} could not be copied")]
    Copy {
        /// The source.
        reference: ImageReference,
        /// The blob.
        digest: Digest,
        /// What went wrong on the way.
        #[source]
        error: io::Error,
    },
    /// Tekton would not take the results.
    #[error(
        "the results would come to {bytes} bytes, and Tekton takes {limit} of a step; nothing was \
         done: convert fewer platforms at once (in a matrix), use a shorter repository name, or, \
         where Tekton reads results from sidecar logs, raise --results-limit"
    )]
    ResultsTooLarge {
        /// With what Tekton adds to them.
        bytes: usize,
        /// As in `--results-limit`.
        limit: usize,
    },
    /// There is no room for a new blob.
    #[error("cannot make or write a temporary file in {dir}; {advice}")]
    Spool {
        /// The folder.
        dir: String,
        /// What to do.
        advice: &'static str,
        /// The operating system's word for it.
        source: io::Error,
    },
    /// The destination could not be written.
    #[error("cannot write the destination {reference}")]
    Destination {
        /// The destination.
        reference: ImageReference,
        /// The store's error.
        #[source]
        error: StoreError,
    },
    /// What was published is not what was sent.
    #[error(
        "{reference} reads back differently from what was pushed ({found} instead of {pushed}); \
         something else writes that tag at the same time, or the registry is faulty"
    )]
    ReadBack {
        /// The destination.
        reference: ImageReference,
        /// The digest that was pushed.
        pushed: Digest,
        /// The digest that was read.
        found: Digest,
    },
    /// A blob is not there although the registry took it.
    #[error("{reference} has lost blob {digest} right after taking it; the registry is faulty")]
    Lost {
        /// The destination.
        reference: ImageReference,
        /// The blob.
        digest: Digest,
    },
    /// The folder for the results cannot be written to.
    #[error("cannot write results to the directory {dir}; nothing was done")]
    ResultsDir {
        /// The folder.
        dir: String,
        /// The operating system's word for it.
        source: io::Error,
    },
    /// The image is published, but its results are not.
    #[error(transparent)]
    Results(#[from] ResultsError),
    /// No threads.
    #[error("cannot start the worker threads")]
    Threads(#[source] io::Error),
    /// A fault of this program.
    #[error("internal error: {0}; this is a fault of this program, please report it")]
    Internal(String),
}

impl ConvertError {
    /// A blob that is to go to `destination` could not be written.
    pub(super) fn no_room(destination: &Store, source: io::Error) -> Self {
        let dir = destination.spool_dir().display().to_string();
        let refused = matches!(
            source.kind(),
            io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::PermissionDenied
        );
        let advice = match destination {
            _ if refused => "make it writable, or name another directory",
            Store::Registry(_) => "set TMPDIR to a folder with room for the largest layers",
            Store::Layout(_) => "there has to be room for all of the new image",
        };
        Self::Spool { dir, advice, source }
    }
}
