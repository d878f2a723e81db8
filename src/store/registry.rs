//! One repository of a registry: the only place that knows HTTP. [`http`] sends requests, [`login`]
//! authorizes them, [`repository`] knows which ones there are.
//!
//! What [`oci_client`] 0.18 does for us: where a registry really is (`Reference`, which
//! `image::reference` also parses with), what a request may carry (`RegistryAuth`), the errors of a
//! registry and their codes (`OciError`, `OciErrorCode`), and the media types (`image::media_type`).
//!
//! Its requests are not used: it has no retries, reads answers of any length into memory, hides
//! status codes and headers, follows redirects to any host, cannot resume or cancel an upload, ends
//! one that takes longer than a read may, and panics if the answer to a manifest that is pushed by
//! digest has no `Location`.

mod http;
mod login;
mod repository;

pub use self::repository::{Repository, upload::uploads_cancelled};
pub(crate) use self::repository::{
    ranges::{RangeAnswer, RangeContent, RangePart},
    upload::Session as UploadSession,
};
