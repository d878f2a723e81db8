//! An index of several images: picking one of them, and writing another index.

mod document;

use std::{fmt, str::FromStr};

use serde_json::Value;

pub use document::{Entry, IndexDocument, ZSTD_MARK};

use super::{Digest, manifest::ManifestError};

/// A platform as users write it: `OS/ARCH[/VARIANT]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Platform {
    /// As in Go's `GOOS`.
    pub os: String,
    /// As in Go's `GOARCH`.
    pub architecture: String,
    /// For instance `v7` of `arm`.
    pub variant: Option<String>,
}

/// A text that names no platform.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no platform; write OS/ARCH or OS/ARCH/VARIANT, as in linux/arm64")]
pub struct PlatformError(String);

impl FromStr for Platform {
    type Err = PlatformError;

    fn from_str(text: &str) -> Result<Self, PlatformError> {
        let parts: Vec<&str> = text.split('/').collect();
        let word = |part: &&str| {
            !part.is_empty()
                && part.bytes().all(|b| b.is_ascii_alphanumeric() || b".-_".contains(&b))
        };
        if !parts.iter().all(word) {
            return Err(PlatformError(text.to_owned()));
        }
        let (os, architecture, variant) = match parts[..] {
            [os, architecture] => (os, architecture, None),
            [os, architecture, variant] => (os, architecture, Some(variant.to_owned())),
            _ => return Err(PlatformError(text.to_owned())),
        };
        Ok(Self { os: os.to_owned(), architecture: architecture.to_owned(), variant })
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        self.variant.as_ref().map_or(Ok(()), |variant| write!(f, "/{variant}"))
    }
}

impl Platform {
    fn of(entry: &Value) -> Option<Self> {
        entry.get("platform").and_then(Self::read)
    }

    /// Reads a platform object of an index, or the same fields of a config.
    fn read(platform: &Value) -> Option<Self> {
        let text = |key| platform.get(key).and_then(Value::as_str).map(str::to_owned);
        Some(Self {
            os: text("os")?,
            architecture: text("architecture")?,
            variant: text("variant").filter(|variant| !variant.is_empty()),
        })
    }

    /// Whether an image for `other` is meant; a variant that was not asked for does not matter.
    pub fn matches(&self, other: &Self) -> bool {
        self.os == other.os
            && self.architecture == other.architecture
            && (self.variant.is_none() || self.variant == other.variant)
    }
}

/// The platforms of the images in an index, in its order, without attestations.
pub fn platforms(index: &[u8]) -> Result<Vec<Platform>, ManifestError> {
    let named = entries(index)?.iter().filter_map(Platform::of).collect::<Vec<_>>();
    Ok(named.into_iter().filter(|platform| platform.os != "unknown").collect())
}

/// The digest of the first image for `platform`: the first, for where an index has several for one
/// platform, those in front are the ones that any client can read.
pub fn pick(index: &[u8], platform: &Platform) -> Result<Option<Digest>, ManifestError> {
    entries(index)?
        .iter()
        .find(|entry| Platform::of(entry).is_some_and(|other| platform.matches(&other)))
        .map(|entry| {
            let digest = entry.get("digest").and_then(Value::as_str).unwrap_or_default();
            Ok(digest.parse()?)
        })
        .transpose()
}

fn entries(index: &[u8]) -> Result<Vec<Value>, ManifestError> {
    let index: Value = serde_json::from_slice(index)
        .map_err(|error| ManifestError::Malformed(error.to_string()))?;
    match index.get("manifests") {
        Some(Value::Array(entries)) => Ok(entries.clone()),
        _ => Err(ManifestError::Malformed("the index has no manifests".into())),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::json;

    use super::*;

    #[test]
    fn the_first_match_is_picked() {
        let digest = |of: &str| Digest::sha256_of(of.as_bytes());
        let entry = |of: &str, platform: Value| json!({"digest": digest(of), "platform": platform});
        let index = json!({"manifests": [
            {"digest": digest("none")},
            entry("attestation", json!({"os": "unknown", "architecture": "unknown"})),
            entry("v6", json!({"os": "linux", "architecture": "arm", "variant": "v6"})),
            entry("v7", json!({"os": "linux", "architecture": "arm", "variant": "v7"})),
            entry("amd64", json!({"os": "linux", "architecture": "amd64", "variant": ""})),
            entry("zstd", json!({"os": "linux", "architecture": "amd64"})),
        ]})
        .to_string();
        let pick = |text: &str| pick(index.as_bytes(), &text.parse().unwrap()).unwrap();
        assert_eq!(pick("linux/arm"), Some(digest("v6")));
        assert_eq!(pick("linux/arm/v7"), Some(digest("v7")));
        assert_eq!(pick("linux/amd64"), Some(digest("amd64")));
        assert_eq!(pick("linux/s390x"), None);
        let listed: Vec<_> =
            platforms(index.as_bytes()).unwrap().iter().map(Platform::to_string).collect();
        assert_eq!(listed, ["linux/arm/v6", "linux/arm/v7", "linux/amd64", "linux/amd64"]);
    }

    #[test]
    fn what_names_no_platform() {
        for bad in ["", "linux", "linux/", "/amd64", "linux/arm/v7/x", "linux/ amd64", "a/b/"] {
            assert!(bad.parse::<Platform>().is_err(), "{bad}");
        }
    }
}
