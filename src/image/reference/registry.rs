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

    pub fn digest(&self) -> Option<&Digest> {
        self.digest.as_ref()
    }

    /// Registry and repository, without tag and digest.
    pub fn name(&self) -> String {
        format!("{}/{}", self.registry, self.repository)
    }

    /// The same image without its tag.
    pub(super) fn without_tag(&self) -> Self {
        Self { tag: None, ..self.clone() }
    }

    /// The same image, named by this digest.
    #[must_use]
    pub fn with_digest(&self, digest: &Digest) -> Self {
        Self { digest: Some(digest.clone()), ..self.clone() }
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
        let (host, path) = match name.split_once('/') {
            Some((host, path)) if is_host(host) => (checked_registry(host)?, path),
            _ => (DEFAULT_REGISTRY.to_owned(), name),
        };
        let (registry, repository) = parsed(&host, path).ok_or_else(|| {
            let lower = path.to_lowercase();
            if lower != path && parsed(&host, &lower).is_some() {
                ReferenceError::Uppercase(shorten(path))
            } else {
                ReferenceError::Repository(shorten(path))
            }
        })?;
        Ok(Self { registry, repository, tag, digest })
    }
}

/// Registry and repository as `oci_client` reads them: with the names that docker.io had before, and
/// with `library/`. It cannot do the following: say what is wrong, refuse ports that do
/// not exist, read IPv6 addresses and hosts of one label in capitals, and leave out a tag
/// rather than add `latest`.
fn parsed(host: &str, path: &str) -> Option<(String, String)> {
    let is_read = !host.starts_with('[') && (host == "localhost" || host.contains(['.', ':']));
    let stand_in = if is_read { host } else { "registry.invalid" };
    let whole = format!("{stand_in}/{path}");
    let reference = whole.parse::<oci_client::Reference>().ok().filter(|_| !path.contains(':'))?;
    let registry = if is_read { reference.registry() } else { host };
    Some((registry.to_owned(), reference.repository().to_owned()))
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
    Ok(if is_host(&lower) { lower } else { host_port.to_owned() })
}

fn is_host_label(label: &str) -> bool {
    !label.is_empty()
        && !label.starts_with('-')
        && !label.ends_with('-')
        && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
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
