//! Image references: what a user types to name an image.
//!
//! Three kinds are known: an image in a registry (`quay.io/org/app:1.2@sha256:…`, with or without
//! `docker://` in front), an image in an OCI image layout, on disk (`oci:DIR[:NAME][@DIGEST]`) or in
//! an archive (`oci-archive:FILE[:NAME][@DIGEST]`), and an image in an archive of `docker save`
//! (`docker-archive:FILE[:NAME[:TAG]]`), as containers-transports(5) has them.
//! The grammar of registry references is that of `github.com/distribution/reference`
//! (regexp.go and normalize.go): short names mean docker.io, as docker has it.

mod docker_archive;
mod layout;
mod registry;

use std::{fmt, path::Path, str::FromStr};

pub use docker_archive::{ArchivedImage, DockerArchiveReference};
pub use layout::{LayoutForm, LayoutReference};
pub use registry::RegistryReference;

use super::{Digest, DigestError, digest::shorten};

/// Names an image, wherever it lives. The text form is canonical: it parses to the same value.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ImageReference {
    /// In a registry.
    Registry(RegistryReference),
    /// In an OCI image layout, on disk or in an archive.
    Layout(LayoutReference),
    /// In an archive of `docker save`, which is only read.
    DockerArchive(DockerArchiveReference),
}

/// An invalid reference.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReferenceError {
    /// Nothing was given, or only a prefix such as `docker://`.
    #[error("the image reference is empty; write one such as quay.io/org/app:1.2 or oci:DIR:1.2")]
    Empty,
    /// A URL scheme.
    #[error("{0:?} is not part of a reference; leave out {0}")]
    Url(String),
    /// A transport of other tools.
    #[error(
        "{0:?} is not supported; copy the image to an OCI image layout first, as in \
         `skopeo copy {0}… oci:DIR:1.2`, and name it as oci:DIR:1.2; one in a registry is named as \
         docker://quay.io/org/app:1.2, or without docker://"
    )]
    Transport(String),
    /// The registry's host or port is malformed.
    #[error(
        "invalid registry {0:?}; expected a host with an optional port, as in quay.io or localhost:5000"
    )]
    Registry(String),
    /// The repository has upper-case letters.
    #[error("repository {0:?} has upper-case letters, which registries refuse; write {lower:?}", lower = .0.to_lowercase())]
    Uppercase(String),
    /// The repository is malformed in another way.
    #[error(
        "invalid repository {0:?}; expected parts of a-z and 0-9 with single separators (. _ __ -), \
         at most 255 characters in total, as in org/my-app"
    )]
    Repository(String),
    /// The tag is malformed.
    #[error(
        "invalid tag {0:?}; expected 1 to 128 characters of A-Z a-z 0-9 _ . -, not beginning with \
         . or -, as in 1.2-rc.1"
    )]
    Tag(String),
    /// The name of an image in a layout is malformed.
    #[error(
        "invalid image name {0:?} after the path of an OCI image layout; expected letters and \
         digits with single separators (- . _ : @ + /), as in oci:DIR:1.2 or \
         oci:DIR:quay.io/org/app:1.2; the path cannot have a colon"
    )]
    RefName(String),
    /// The name of an image in an archive of `docker save` has a digest, or is a malformed number.
    #[error(
        "invalid image {0:?} after the path of a docker-archive; expected NAME[:TAG] or @NUMBER, as in \
         docker-archive:FILE:quay.io/org/app:1.2 or docker-archive:FILE:@0; the path cannot have a \
         colon"
    )]
    ArchivedName(String),
    /// A destination that is only read.
    #[error(
        "a docker-archive holds uncompressed layers, so it cannot be a destination; write an OCI \
         archive, as in oci-archive:FILE:quay.io/org/app:1.2, which podman and skopeo read"
    )]
    DockerArchive,
    /// What follows the `@` is no digest.
    #[error("{0}, as in quay.io/org/app@sha256:9f86… (64 digits)")]
    Digest(#[from] DigestError),
}

/// Whether `tag` may name a manifest: distribution-spec, "Pulling manifests",
/// `[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}`.
pub fn is_valid_tag(tag: &str) -> bool {
    let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    tag.len() <= 128
        && tag.bytes().next().is_some_and(word)
        && tag.bytes().all(|b| word(b) || matches!(b, b'.' | b'-'))
}

/// The longest name of an image in a layout, in bytes. The specification has no limit.
pub(crate) const REF_NAME_MAX: usize = 512;

/// Whether `name` may name an image in a layout: by image-spec, annotations.md (`ref.name`), or as a
/// tag. Nothing that could be taken for a digest may follow an `@`.
pub fn is_valid_ref_name(name: &str) -> bool {
    let component = |part: &str| {
        let separated = part.replace("--", "-");
        separated
            .split(['-', '.', '_', ':', '@', '+'])
            .all(|word| !word.is_empty() && word.bytes().all(|b| b.is_ascii_alphanumeric()))
    };
    name.len() <= REF_NAME_MAX
        && (is_valid_tag(name) || name.split('/').all(component))
        && layout::split_digest(name).1.is_none()
}

/// `name` if it may name an image in a layout.
pub(crate) fn checked_ref_name(name: &str) -> Result<String, ReferenceError> {
    if is_valid_ref_name(name) {
        Ok(name.to_owned())
    } else {
        Err(ReferenceError::RefName(shorten(name)))
    }
}

/// `tag` if it is one.
pub(crate) fn checked_tag(tag: &str) -> Result<String, ReferenceError> {
    if is_valid_tag(tag) { Ok(tag.to_owned()) } else { Err(ReferenceError::Tag(shorten(tag))) }
}

/// Transports of containers-transports(5) that are not served here. Without this list
/// `dir:x` would be read as tag `x` of `docker.io/library/dir`.
const OTHER_TRANSPORTS: &[&str] =
    &["containers-storage", "dir", "docker-daemon", "ostree", "sif", "tarball"];

impl ImageReference {
    /// The tag, if one was given.
    pub fn tag(&self) -> Option<&str> {
        match self {
            Self::Registry(reference) => reference.tag(),
            Self::Layout(reference) => reference.tag(),
            Self::DockerArchive(reference) => reference.tag(),
        }
    }

    pub fn digest(&self) -> Option<&Digest> {
        match self {
            Self::Registry(reference) => reference.digest(),
            Self::Layout(reference) => reference.digest(),
            Self::DockerArchive(_) => None,
        }
    }

    /// The repository, layout or archive, without an image.
    pub(crate) fn place(&self) -> String {
        match self {
            Self::Registry(reference) => reference.name(),
            Self::Layout(reference) => reference.place(),
            Self::DockerArchive(reference) => reference.place(),
        }
    }

    /// Whether it is a file, which is not changed once it is written.
    pub(crate) fn is_archive(&self) -> bool {
        match self {
            Self::Registry(_) => false,
            Self::Layout(reference) => reference.form() == LayoutForm::Archive,
            Self::DockerArchive(_) => true,
        }
    }

    /// Host and perhaps port of the registry; what is on disk has none.
    pub fn registry(&self) -> Option<&str> {
        match self {
            Self::Registry(reference) => Some(reference.registry()),
            Self::Layout(_) | Self::DockerArchive(_) => None,
        }
    }

    /// The repository alone; what is on disk stays as it is.
    pub(crate) fn repository(&self) -> Result<Self, ReferenceError> {
        match self {
            Self::Registry(reference) => reference.name().parse().map(Self::Registry),
            Self::Layout(_) | Self::DockerArchive(_) => Ok(self.clone()),
        }
    }

    /// Whether both are in the same repository or layout, judged by their names.
    pub fn is_same_place(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Registry(a), Self::Registry(b)) => a.name() == b.name(),
            (Self::Layout(a), Self::Layout(b)) => (a.form(), a.path()) == (b.form(), b.path()),
            _ => false,
        }
    }

    /// The same repository or layout under another tag, without a digest.
    pub fn with_tag(&self, tag: &str) -> Result<Self, ReferenceError> {
        Ok(match self {
            Self::Registry(reference) => Self::Registry(reference.with_tag(tag)?),
            Self::Layout(reference) => Self::Layout(reference.with_tag(tag)?),
            Self::DockerArchive(_) => return Err(ReferenceError::DockerArchive),
        })
    }

    /// Where it is on disk.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        match self {
            Self::Registry(_) => None,
            Self::Layout(reference) => Some(reference.path()),
            Self::DockerArchive(reference) => Some(reference.path()),
        }
    }

    /// The same image without its tag.
    #[must_use]
    pub(crate) fn without_tag(&self) -> Self {
        match self {
            Self::Registry(reference) => Self::Registry(reference.without_tag()),
            Self::Layout(reference) => Self::Layout(reference.without_tag()),
            Self::DockerArchive(_) => self.clone(),
        }
    }

    /// The same image, named by this digest. A docker-archive has nothing that has one.
    #[must_use]
    pub fn with_digest(&self, digest: &Digest) -> Self {
        match self {
            Self::Registry(reference) => Self::Registry(reference.with_digest(digest)),
            Self::Layout(reference) => Self::Layout(reference.with_digest(digest)),
            Self::DockerArchive(_) => self.clone(),
        }
    }
}

impl FromStr for ImageReference {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        for form in [LayoutForm::Directory, LayoutForm::Archive] {
            if let Some(rest) = text.strip_prefix(form.prefix()) {
                return LayoutReference::parse(form, rest).map(Self::Layout);
            }
        }
        if let Some(rest) = text.strip_prefix(DockerArchiveReference::PREFIX) {
            return rest.parse().map(Self::DockerArchive);
        }
        let name = text.strip_prefix("docker://").unwrap_or(text);
        if name.is_empty() {
            return Err(ReferenceError::Empty);
        }
        let transport = match name.split_once(':') {
            Some((scheme, rest)) if rest.starts_with("//") => Some(format!("{scheme}://")),
            Some((scheme, _)) if OTHER_TRANSPORTS.contains(&scheme) => Some(format!("{scheme}:")),
            _ => None,
        };
        match transport {
            Some(scheme) if matches!(scheme.as_str(), "https://" | "http://") => {
                Err(ReferenceError::Url(scheme))
            }
            Some(transport) => Err(ReferenceError::Transport(shorten(&transport))),
            None => name.parse().map(Self::Registry),
        }
    }
}

impl fmt::Display for ImageReference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Registry(reference) => reference.fmt(f),
            Self::Layout(reference) => reference.fmt(f),
            Self::DockerArchive(reference) => reference.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests;
