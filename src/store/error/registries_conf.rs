use std::{io, path::PathBuf};

use crate::image::RegistryReference;

/// What registries.conf does not allow, or why it cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RegistriesConfError {
    #[error("cannot read {}", path.display())]
    File { path: PathBuf, source: io::Error },
    /// `by` is an option or a variable.
    #[error("{} does not exist; check {by}", path.display())]
    Missing { path: PathBuf, by: &'static str },
    #[error("{}, line {line}: {reason}; see containers-registries.conf(5)", path.display())]
    Malformed { path: PathBuf, line: usize, reason: String },
    #[error(
        "registry {prefix} is blocked in {}{}",
        path.display(),
        if *needs_digest {
            "; its mirrors are for digests only: name the image by digest"
        } else {
            ""
        }
    )]
    Blocked {
        prefix: String,
        path: PathBuf,
        /// Whether it has mirrors that serve images only by digest, and there was none.
        needs_digest: bool,
    },
    /// `location` is what the reference became.
    #[error(
        "the entry for {prefix} in {} turns {reference} into {location:?}, which is not a valid image \
         reference with the same tag and digest",
        path.display()
    )]
    Rewritten { prefix: String, path: PathBuf, reference: Box<RegistryReference>, location: String },
}
