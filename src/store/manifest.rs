//! Manifests as raw bytes, and what may pass as one.

use bytes::Bytes;
use serde_json::Value;

use crate::image::{
    Digest,
    media_type::{DOCKER_MANIFEST, DOCKER_MANIFEST_LIST, OCI_INDEX, OCI_MANIFEST},
};

/// The largest manifest that is read, in bytes: what a registry has to accept at least
/// (distribution-spec, "Pushing manifests"), and the limit of containers/image and containerd.
pub const MANIFEST_SIZE_MAX: u64 = 4 << 20;

/// The manifests that are asked for, the preferred ones first.
pub(super) const ACCEPTED: [&str; 4] =
    [OCI_MANIFEST, OCI_INDEX, DOCKER_MANIFEST, DOCKER_MANIFEST_LIST];

/// A manifest or an index, byte for byte as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawManifest {
    /// The document. It is JSON, an object, and has the form that `media_type` promises.
    pub bytes: Bytes,
    /// One of the OCI manifest, OCI index, Docker manifest and Docker manifest list types.
    pub media_type: String,
    /// The digest of `bytes`.
    pub digest: Digest,
}

/// Why a document is no usable manifest.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ManifestError {
    /// The document is not a JSON object.
    #[error("it is no JSON object")]
    NotJson,
    /// The document could be read as an image and as an index (CVE-2021-41190).
    #[error("it is ambiguous: it has the fields of an image and those of an index")]
    Ambiguous,
    /// Two places name its type, and differ.
    #[error("it is ambiguous: it was announced as {announced:?} and calls itself {own:?}")]
    TypeMismatch {
        /// By the Content-Type header, or by the descriptor in an index.json.
        announced: String,
        /// By its `mediaType`.
        own: String,
    },
    /// The document has a type that is not handled.
    #[error("its type {0:?} is not supported; push it as an OCI or Docker schema 2 image")]
    Unsupported(String),
    /// The document's fields are not those of its type.
    #[error("its fields are not those of its type {0:?}")]
    Shape(String),
}

impl RawManifest {
    /// A manifest that was made here.
    pub fn new(bytes: impl Into<Bytes>, media_type: &str) -> Self {
        let bytes = bytes.into();
        let digest = Digest::sha256_of(&bytes);
        Self { bytes, media_type: media_type.to_owned(), digest }
    }

    /// Whether it lists several images and is none itself.
    pub fn is_index(&self) -> bool {
        matches!(self.media_type.as_str(), OCI_INDEX | DOCKER_MANIFEST_LIST)
    }

    /// A manifest that was read, and whose bytes have been found to have `digest`. `announced` is
    /// the type that came with it.
    pub(super) fn checked(
        bytes: Bytes,
        announced: Option<&str>,
        digest: Digest,
    ) -> Result<Self, ManifestError> {
        let media_type = media_type(&bytes, announced)?;
        Ok(Self { bytes, media_type, digest })
    }
}

/// The one type that header, `mediaType` and fields agree on. Readers that look at different ones
/// of these must not see different images (OCI advisory GHSA-mc8v-mgrf-8f4m).
fn media_type(bytes: &[u8], announced: Option<&str>) -> Result<String, ManifestError> {
    let Ok(Value::Object(document)) = serde_json::from_slice(bytes) else {
        return Err(ManifestError::NotJson);
    };
    let is_index = document.contains_key("manifests");
    let is_image = document.contains_key("layers") || document.contains_key("config");
    if is_index && is_image {
        return Err(ManifestError::Ambiguous);
    }
    let own = match document.get("mediaType") {
        None | Some(Value::Null) => None,
        Some(Value::String(own)) => Some(own.as_str()),
        Some(_) => return Err(ManifestError::NotJson),
    };
    let announced = announced.map(essence).filter(|announced| !is_generic(announced));
    let media_type = match (own, announced.as_deref()) {
        (Some(own), Some(announced)) if own != announced => {
            return Err(ManifestError::TypeMismatch {
                announced: shorten(announced),
                own: shorten(own),
            });
        }
        (Some(named), _) | (None, Some(named)) => named,
        (None, None) if is_index => OCI_INDEX,
        (None, None) if is_image => OCI_MANIFEST,
        (None, None) => return Err(ManifestError::Unsupported(String::new())),
    };
    let fits = match media_type {
        OCI_INDEX | DOCKER_MANIFEST_LIST => is_index,
        OCI_MANIFEST | DOCKER_MANIFEST => is_image,
        _ => return Err(ManifestError::Unsupported(shorten(media_type))),
    };
    if fits { Ok(media_type.to_owned()) } else { Err(ManifestError::Shape(media_type.to_owned())) }
}

/// A media type without its parameters, in lower case (RFC 9110, section 8.3.1).
fn essence(content_type: &str) -> String {
    content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

/// Types that servers give to what they do not know; they say nothing.
fn is_generic(media_type: &str) -> bool {
    matches!(media_type, "" | "application/json" | "application/octet-stream" | "text/plain")
}

fn shorten(text: &str) -> String {
    text.chars().take(160).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn typed(own: &str, rest: &str) -> String {
        format!(r#"{{"mediaType":"{own}",{rest}}}"#)
    }

    #[test]
    fn type_by_header_by_field_and_by_form() {
        let with_charset = format!("{OCI_MANIFEST}; charset=utf-8");
        for (body, announced, expected) in [
            (typed(OCI_MANIFEST, r#""layers":[]"#), Some(OCI_MANIFEST), OCI_MANIFEST),
            (typed(OCI_MANIFEST, r#""layers":[]"#), Some(&*with_charset), OCI_MANIFEST),
            (typed(OCI_INDEX, r#""manifests":[]"#), Some("application/json"), OCI_INDEX),
            (r#"{"manifests":[]}"#.to_owned(), None, OCI_INDEX),
            (r#"{"config":{},"layers":[]}"#.to_owned(), Some("text/plain"), OCI_MANIFEST),
            (r#"{"config":{},"layers":[]}"#.to_owned(), Some(DOCKER_MANIFEST), DOCKER_MANIFEST),
            (typed(DOCKER_MANIFEST_LIST, r#""manifests":[]"#), None, DOCKER_MANIFEST_LIST),
        ] {
            assert_eq!(media_type(body.as_bytes(), announced).unwrap(), expected, "{body}");
        }
    }

    #[test]
    fn refused_documents() {
        use ManifestError::{Ambiguous, NotJson, Shape, TypeMismatch, Unsupported};
        let refused = |body: &str, announced| media_type(body.as_bytes(), announced).unwrap_err();
        assert_eq!(refused("", None), NotJson);
        assert_eq!(refused("[]", Some(OCI_INDEX)), NotJson);
        assert_eq!(refused(&"[".repeat(1 << 20), None), NotJson);
        assert_eq!(refused(r#"{"manifests":[],"layers":[]}"#, Some(OCI_INDEX)), Ambiguous);
        assert_eq!(refused(r#"{"manifests":[],"config":{}}"#, None), Ambiguous);
        let lying = typed(OCI_MANIFEST, r#""layers":[]"#);
        assert!(matches!(refused(&lying, Some(DOCKER_MANIFEST)), TypeMismatch { .. }));
        assert!(matches!(refused(r#"{"layers":[]}"#, Some(OCI_INDEX)), Shape(_)));
        assert!(matches!(refused(&typed(OCI_INDEX, r#""layers":[]"#), None), Shape(_)));
        assert!(matches!(refused("{}", None), Unsupported(_)));
        let schema1 = "application/vnd.docker.distribution.manifest.v1+prettyjws";
        assert!(matches!(refused(r#"{"fsLayers":[]}"#, Some(schema1)), Unsupported(_)));
    }
}
