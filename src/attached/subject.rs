//! An image as SBOMs name it.

use std::fmt::Write as _;

use crate::image::{Digest, ImageReference};

/// An image, with the names that documents have for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subject {
    repository: Option<String>,
    name: String,
    digest: Digest,
}

impl Subject {
    /// The image with `digest` in the repository or layout of `reference`. Of a layout only the
    /// folder's name is told: paths of one machine say nothing on others.
    pub fn new(reference: &ImageReference, digest: &Digest) -> Self {
        let (repository, name) = match reference {
            ImageReference::Registry(reference) => {
                let last = reference.repository().rsplit('/').next().unwrap_or_default();
                (Some(reference.name()), last.to_owned())
            }
            ImageReference::Layout(reference) => {
                let folder = reference.dir().file_name().unwrap_or_default();
                (None, folder.to_string_lossy().into_owned())
            }
        };
        let name = if name.is_empty() { "image".to_owned() } else { name };
        Self { repository, name, digest: digest.clone() }
    }

    /// Of its manifest.
    pub fn digest(&self) -> &Digest {
        &self.digest
    }

    /// The last part of the repository's path.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// `quay.io/org/app`, if it is in a registry.
    pub(super) fn repository(&self) -> Option<&str> {
        self.repository.as_deref()
    }

    /// `quay.io/org/app@sha256:…`.
    pub(super) fn pinned(&self) -> String {
        format!("{}@{}", self.repository.as_ref().unwrap_or(&self.name), self.digest)
    }

    /// A package URL (purl-spec, types/oci): `pkg:oci/app@sha256:…?repository_url=quay.io/org/app`.
    pub(super) fn purl(&self) -> String {
        let name = encode(&self.name.to_lowercase());
        let mut purl = format!("pkg:oci/{name}@{}", self.digest);
        if let Some(repository) = &self.repository {
            purl.push_str("?repository_url=");
            purl.push_str(&encode(repository));
        }
        purl
    }
}

/// Percent-encodes what a part of a package URL cannot hold (purl-spec, "Character encoding").
pub(super) fn encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'.' | b'-' | b'_' | b'~' | b':' | b'/' => {
                encoded.push(char::from(byte));
            }
            // Writing to a String cannot fail.
            _ => drop(write!(encoded, "%{byte:02X}")),
        }
    }
    encoded
}
