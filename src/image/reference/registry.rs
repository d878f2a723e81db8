//! References to images in registries.

use std::{fmt, str::FromStr};

use super::{ReferenceError, checked_tag, shorten};
use crate::image::Digest;

/// An image, or a whole repository, in a registry.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RegistryReference {
    registry: String,
    repository: String,
    tag: Option<String>,
    digest: Option<Digest>,
}

/// What a name without a registry means, as docker has it.
const DEFAULT_REGISTRY: &str = "docker.io";
/// The old name of the same registry.
const DEFAULT_REGISTRY_LEGACY: &str = "index.docker.io";
/// The namespace of docker.io's names that have only one part.
const OFFICIAL_NAMESPACE: &str = "library";
/// distribution/reference, `RepositoryNameTotalLengthMax`.
const REPOSITORY_LEN_MAX: usize = 255;

impl RegistryReference {
    /// Host and perhaps port, in lower case: `quay.io`, `localhost:5000`, `docker.io`.
    pub fn registry(&self) -> &str {
        &self.registry
    }

    /// The path within the registry: `org/app`.
    pub fn repository(&self) -> &str {
        &self.repository
    }

    /// The tag, if one was given; there is no default.
    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// The digest, if one was given.
    pub fn digest(&self) -> Option<&Digest> {
        self.digest.as_ref()
    }

    /// Registry and repository, without tag and digest.
    pub fn name(&self) -> String {
        format!("{}/{}", self.registry, self.repository)
    }

    /// The same repository under another tag, without a digest: what the old digest names is not
    /// what the new tag will name.
    pub fn with_tag(&self, tag: &str) -> Result<Self, ReferenceError> {
        Ok(Self { tag: Some(checked_tag(tag)?), digest: None, ..self.clone() })
    }
}

impl FromStr for RegistryReference {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        let (rest, digest) = match text.split_once('@') {
            Some((rest, digest)) => (rest, Some(digest.parse::<Digest>()?)),
            None => (text, None),
        };
        let path_start = rest.rfind('/').map_or(0, |slash| slash + 1);
        let (name, tag) = match rest.rfind(':') {
            Some(colon) if colon > path_start => {
                (&rest[..colon], Some(checked_tag(&rest[colon + 1..])?))
            }
            _ => (rest, None),
        };
        if name.is_empty() {
            return Err(ReferenceError::Empty);
        }
        let (registry, repository) = match name.split_once('/') {
            Some((host, path)) if is_host(host) => (checked_registry(host)?, path),
            _ => (DEFAULT_REGISTRY.to_owned(), name),
        };
        let repository = if registry == DEFAULT_REGISTRY && !repository.contains('/') {
            format!("{OFFICIAL_NAMESPACE}/{}", checked_repository(repository)?)
        } else {
            checked_repository(repository)?.to_owned()
        };
        Ok(Self { registry, repository, tag, digest })
    }
}

/// Whether the first part of a name is a registry (distribution/reference, normalize.go,
/// `splitDockerDomain`).
fn is_host(part: &str) -> bool {
    part == "localhost" || part.contains(['.', ':']) || part.contains(|c: char| c.is_uppercase())
}

fn checked_registry(host_port: &str) -> Result<String, ReferenceError> {
    let bad = || ReferenceError::Registry(shorten(host_port));
    let colon = match host_port.rfind([':', ']']) {
        Some(at) if host_port[at..].starts_with(':') => Some(at),
        _ => None,
    };
    let (host, port) = match colon {
        Some(at) => (&host_port[..at], Some(&host_port[at + 1..])),
        None => (host_port, None),
    };
    if let Some(port) = port {
        // `u16` alone would take "+80".
        if !port.bytes().all(|b| b.is_ascii_digit()) || port.parse::<u16>().unwrap_or(0) == 0 {
            return Err(bad());
        }
    }
    let valid = match host.strip_prefix('[').and_then(|h| h.strip_suffix(']')) {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => host.split('.').all(is_host_label),
    };
    if !valid {
        return Err(bad());
    }
    // In lower case a host of one label would be read as a part of the repository.
    let lower = host_port.to_ascii_lowercase();
    let host_port = if is_host(&lower) { lower } else { host_port.to_owned() };
    Ok(if host_port == DEFAULT_REGISTRY_LEGACY { DEFAULT_REGISTRY.to_owned() } else { host_port })
}

fn is_host_label(label: &str) -> bool {
    !label.is_empty()
        && !label.starts_with('-')
        && !label.ends_with('-')
        && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
}

fn checked_repository(repository: &str) -> Result<&str, ReferenceError> {
    if repository.len() <= REPOSITORY_LEN_MAX && repository.split('/').all(is_path_component) {
        return Ok(repository);
    }
    let lower = repository.to_lowercase();
    Err(if lower != repository && lower.split('/').all(is_path_component) {
        ReferenceError::Uppercase(shorten(repository))
    } else {
        ReferenceError::Repository(shorten(repository))
    })
}

/// distribution-spec, "Pulling manifests": `[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*`.
fn is_path_component(part: &str) -> bool {
    let alphanumeric = |b: u8| matches!(b, b'a'..=b'z' | b'0'..=b'9');
    let ends_right = part.bytes().next().is_some_and(alphanumeric)
        && part.bytes().next_back().is_some_and(alphanumeric);
    ends_right
        && part.split(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit()).all(|separator| {
            matches!(separator, "" | "." | "_" | "__") || separator.bytes().all(|b| b == b'-')
        })
}

impl fmt::Display for RegistryReference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.registry, self.repository)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        if let Some(digest) = &self.digest {
            write!(f, "@{digest}")?;
        }
        Ok(())
    }
}
