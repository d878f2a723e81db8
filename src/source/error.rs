//! Why an image could not be read.

use crate::{
    image::{Digest, DocumentError, ImageReference, Platform},
    store::{StoreError, foreign},
};

/// An image that could not be read.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// Its store failed.
    #[error("cannot read {reference}")]
    Store {
        reference: ImageReference,
        /// The store's error.
        #[source]
        error: Box<StoreError>,
    },
    /// A document of it cannot be worked with, or is of a kind that is not.
    #[error("{}{reference} is {error}", part_of(.part.as_ref()))]
    Unfit {
        reference: ImageReference,
        /// The manifest, if it is not the one that the reference names.
        part: Option<Digest>,
        error: DocumentError,
    },
    /// It is an index, and no platform was given.
    #[error(
        "{reference} is an index; choose one image with --platform{}, or write an index with \
         --all-platforms, --add or --compression-format=dual",
        out_of(available)
    )]
    Index {
        reference: ImageReference,
        /// What it has images for.
        available: Vec<Platform>,
    },
    /// The index has no image for the platform.
    #[error("{reference} has no image for {platform}{}", only_for(available))]
    NoSuchPlatform {
        reference: ImageReference,
        platform: Box<Platform>,
        /// What it has images for.
        available: Vec<Platform>,
    },
    /// It is a single image, and one for another platform.
    #[error("{reference} is an image for {}, not for {wanted}", or_unnamed(.found.as_deref()))]
    OtherPlatform {
        reference: ImageReference,
        wanted: Box<Platform>,
        /// What it is for.
        found: Option<Box<Platform>>,
    },
    /// Clients take different images for one platform.
    #[error(
        "clients disagree on the image of {reference} for {platform}: podman takes {podman}, others \
         take {others}; convert one of them by digest"
    )]
    Disagreement {
        reference: ImageReference,
        /// What they are for.
        platform: Box<Platform>,
        /// The manifest that podman takes.
        podman: Digest,
        /// The manifest that is meant here.
        others: Digest,
    },
    /// More documents than any real image has.
    #[error("the manifests and configs of {reference} exceed {} MiB", limit >> 20)]
    TooLarge {
        reference: ImageReference,
        /// What all of them may come to, in bytes.
        limit: u64,
    },
}

impl SourceError {
    /// Whether it is a sound document of a kind that is not converted.
    pub fn is_unfit(&self) -> bool {
        matches!(self, Self::Unfit { error, .. } if error.is_unfit())
    }

    /// Whether the store just does not have it.
    pub fn is_missing(&self) -> bool {
        matches!(self, Self::Store { error, .. } if matches!(**error, StoreError::NotFound { .. }))
    }
}

fn part_of(part: Option<&Digest>) -> String {
    part.map_or(String::new(), |digest| format!("manifest {digest} of "))
}

pub(crate) fn names(platforms: &[Platform]) -> String {
    let names: Vec<_> = platforms.iter().map(Platform::to_string).collect();
    foreign(&names.join(", ")).into_owned()
}

fn out_of(platforms: &[Platform]) -> String {
    if platforms.is_empty() { String::new() } else { format!(" ({})", names(platforms)) }
}

fn only_for(platforms: &[Platform]) -> String {
    if platforms.is_empty() { String::new() } else { format!("; it has: {}", names(platforms)) }
}

fn or_unnamed(platform: Option<&Platform>) -> String {
    platform.map_or("an unspecified platform".to_owned(), |platform| {
        foreign(&platform.to_string()).into_owned()
    })
}
