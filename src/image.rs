//! Documents of an image: digests, references, descriptors, manifests, indexes, configs. Each kind is
//! read in one place, and only where all readers see the same in it. No I/O in here.

pub mod annotations;
pub mod artifact;
pub mod choice;
pub mod config;
pub mod descriptor;
pub mod digest;
pub mod docker_archive;
mod document;
pub mod index;
pub mod json;
pub mod manifest;
pub mod media_type;
pub mod platform;
pub mod reference;
pub mod referrer;
pub mod rfc3339;

pub use self::{
    config::ImageConfig,
    descriptor::{BlobId, Descriptor, EntryKind},
    digest::{Digest, DigestError, Hasher},
    document::{DocumentError, UnfitImage, media_type as document_type},
    index::Index,
    manifest::Manifest,
    platform::{Platform, PlatformError},
    reference::{
        ArchivedImage, DockerArchiveReference, ImageReference, LayoutForm, LayoutReference,
        ReferenceError, RegistryReference,
    },
};
