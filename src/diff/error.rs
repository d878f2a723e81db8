//! Why two images could not be compared.

use crate::{
    image::{Digest, ImageReference},
    source::{NoDocuments, SourceError},
};

/// Two images that could not be compared.
#[derive(Debug, thiserror::Error)]
pub enum DiffError {
    /// One of them could not be read.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// TOC and tar-split stream of a layer could not be read.
    #[error("cannot read the TOC of layer {number} of {reference}")]
    Documents {
        reference: ImageReference,
        number: u64,
        #[source]
        error: NoDocuments,
    },
    /// Podman would not pull it, so there is nothing true to say about what it fetches.
    #[error(
        "podman with partial pulls enabled fails to pull layer {number} of {reference} ({digest}): \
         {reason}; run `recompress-image verify` for details"
    )]
    Refused { reference: ImageReference, number: u64, digest: Digest, reason: String },
    #[error("the layers of both images have more than {limit} files, chunks and other entries")]
    TooManyEntries { limit: u64 },
    #[error("the images have more than {limit} layers; choose a platform with --platform")]
    TooManyLayers { limit: u64 },
    /// They have no platform in common.
    #[error("{old} and {new} have no image for the same platform{}", listed(reasons))]
    NothingInCommon { old: ImageReference, new: ImageReference, reasons: Vec<String> },
    #[error("internal error: a worker thread panicked; please report this bug")]
    Internal,
}

fn listed(reasons: &[String]) -> String {
    reasons.iter().take(5).fold(String::new(), |text, reason| text + "; " + reason)
}
