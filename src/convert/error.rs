//! Why a conversion failed.

use std::io;

use crate::{
    image::{Digest, ImageReference, index::Platform, manifest::ManifestError},
    layer::LayerError,
    store::{Store, StoreError},
    tekton::ResultsError,
};

/// A failed conversion. Unless it says otherwise nothing has been published.
#[derive(Debug, thiserror::Error)]
pub enum ConvertError {
    /// The source could not be read.
    #[error("cannot read the source {reference}")]
    Source {
        /// The source.
        reference: ImageReference,
        /// The store's error.
        #[source]
        error: StoreError,
    },
    /// The source is of a kind that is not converted, or is malformed.
    #[error("cannot convert {reference}")]
    Unfit {
        /// The source.
        reference: ImageReference,
        /// What is wrong with it.
        #[source]
        error: ManifestError,
    },
    /// The source is an index and nobody said which image in it is meant.
    #[error(
        "{reference} is an index of several images; choose one with --platform, out of {}, or \
         convert all of them with --all-platforms",
        list(available)
    )]
    Index {
        /// The source.
        reference: ImageReference,
        /// What it has images for.
        available: Vec<Platform>,
    },
    /// The index has no image for the platform.
    #[error("{reference} has no image for {platform}, only for {}", list(available))]
    NoSuchPlatform {
        /// The source.
        reference: ImageReference,
        /// What was asked for.
        platform: Platform,
        /// What it has images for.
        available: Vec<Platform>,
    },
    /// A platform was given and the source is a single image.
    #[error("{reference} is a single image and no index; leave out --platform and --all-platforms")]
    NoIndex {
        /// The source.
        reference: ImageReference,
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
    #[error("{label} ({digest}) can only become plain zstd, and chunked was required: {reason}")]
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
    #[error("results cannot be written to {dir}; nothing was done")]
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
        let advice = match destination {
            Store::Registry(_) => "set TMPDIR to a folder with room for the largest layers",
            Store::Layout(_) => "there has to be room for all of the new image",
        };
        Self::Spool { dir, advice, source }
    }
}

fn list(platforms: &[Platform]) -> String {
    let mut names: Vec<String> = platforms.iter().map(Platform::to_string).collect();
    names.dedup();
    names.join(", ")
}
