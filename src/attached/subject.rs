//! An image as SBOMs name it.

use std::{fmt::Display, path::Path};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::image::{Digest, ImageReference};

/// An image, with the names that documents have for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subject {
    repository: Option<String>,
    name: String,
    digest: Digest,
}

impl Subject {
    /// The image with `digest` in the repository or layout of `reference`. Of what is on disk only the
    /// name of the directory or file is used: paths of one machine mean nothing on others.
    pub fn new(reference: &ImageReference, digest: &Digest) -> Self {
        let of_path = |path: &Path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            (None, name.strip_suffix(".tar").unwrap_or(&name).to_owned())
        };
        let (repository, name) = match reference {
            ImageReference::Registry(reference) => {
                let last = reference.repository().rsplit('/').next().unwrap_or_default();
                (Some(reference.name()), last.to_owned())
            }
            ImageReference::Layout(reference) => of_path(reference.path()),
            ImageReference::DockerArchive(reference) => of_path(reference.path()),
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
    pub(crate) fn purl(&self) -> String {
        let name = self.name.to_lowercase();
        let purl = format!("pkg:oci/{}@{}", encode(&name), self.digest);
        match &self.repository {
            Some(repository) => format!("{purl}?repository_url={}", encode(repository)),
            None => purl,
        }
    }
}

/// All that a part of a package URL cannot hold (purl-spec, "Character encoding").
const RESERVED: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'.').remove(b'-').remove(b'_').remove(b'~').remove(b':').remove(b'/');

pub(super) fn encode(text: &str) -> impl Display {
    utf8_percent_encode(text, RESERVED)
}
