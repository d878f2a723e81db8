//! Documents of an image: digests, references, descriptors, manifests. No I/O in here.

pub mod artifact;
pub mod digest;
pub mod index;
pub mod manifest;
pub mod media_type;
pub mod reference;
pub mod referrer;

pub use digest::{Digest, DigestError, Hasher};
pub use reference::{ImageReference, LayoutReference, ReferenceError, RegistryReference};
