//! What manifests and indexes have in common: how to tell them apart, and how they can be invalid.

use super::{
    DigestError,
    json::{JsonError, Object},
    media_type::{DOCKER_MANIFEST, DOCKER_MANIFEST_LIST, ImpossibleLayer, OCI_INDEX, OCI_MANIFEST},
};

/// The fields that readers look for in either kind of document. The last two are those of Docker's
/// schema 1, by which containers/image detects ambiguous documents.
pub(super) const FIELDS: [&str; 10] = [
    "schemaVersion",
    "mediaType",
    "artifactType",
    "config",
    "layers",
    "manifests",
    "subject",
    "annotations",
    "fsLayers",
    "history",
];

/// A document that cannot be worked with.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DocumentError {
    /// It is not of the form that the specification asks for.
    #[error("malformed: {0}")]
    Malformed(String),
    /// The same, as JSON.
    #[error("malformed: {0}")]
    Json(#[from] JsonError),
    /// The same, in a digest.
    #[error("malformed: {0}")]
    Digest(#[from] DigestError),
    /// A part of it.
    #[error("{error} (in {part})")]
    Within {
        /// Which part.
        part: String,
        error: Box<DocumentError>,
    },
    /// The document could be read as more than one kind (CVE-2021-41190).
    #[error("ambiguous: it has the fields of several document types")]
    Ambiguous,
    /// Two places name its type, and differ.
    #[error("ambiguous: it was announced as {announced:?} and calls itself {own:?}")]
    TypeMismatch {
        /// By the Content-Type header, or by the descriptor in an index.json.
        announced: String,
        /// By its `mediaType`.
        own: String,
    },
    /// The document has a type that is not handled.
    #[error("unsupported: its type is {0:?}; push it as an OCI or Docker schema 2 image")]
    Unsupported(String),
    /// The document's fields are not those of its type.
    #[error("malformed: its fields do not match its type {0:?}")]
    Shape(String),
    /// Several images where one was expected.
    #[error("an index, not a single image")]
    Index,
    /// Something that is not converted.
    #[error(transparent)]
    Unfit(#[from] UnfitImage),
    /// Layers that the manifest cannot hold.
    #[error(transparent)]
    Impossible(#[from] ImpossibleLayer),
}

/// A sound manifest that is not one of an image with tar layers.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UnfitImage {
    /// Something else that is kept in a registry.
    #[error("not a container image but an artifact ({0})")]
    Artifact(String),
    /// A layer that cannot be read.
    #[error(
        "an image whose layer {number} has the media type {media_type:?}, which is not supported{}",
        if .media_type.ends_with("+encrypted") { ": encrypted layers cannot be read" } else { "" }
    )]
    Layer {
        /// Counted from 1.
        number: usize,
        /// As the manifest has it.
        media_type: String,
    },
}

impl DocumentError {
    pub(crate) fn malformed(what: impl Into<String>) -> Self {
        Self::Malformed(what.into())
    }

    /// Whether it is a sound document of a kind that is not converted.
    pub fn is_unfit(&self) -> bool {
        matches!(self, Self::Unfit(_))
    }

    /// The same error of a part of the document.
    pub(super) fn within(self, part: impl Into<String>) -> Self {
        Self::Within { part: part.into(), error: Box::new(self) }
    }
}

/// The one type that announcement, `mediaType` and fields agree on. Readers that look at different
/// ones of these must not see different images (OCI advisory GHSA-mc8v-mgrf-8f4m).
pub fn media_type(bytes: &[u8], announced: Option<&str>) -> Result<String, DocumentError> {
    let document = Object::document(bytes, &FIELDS)?;
    document.integer("schemaVersion")?;
    let is_index = document.has("manifests");
    let is_image = document.has("layers") || document.has("config");
    let is_schema1 = document.has("fsLayers") || document.has("history");
    if [is_index, is_image, is_schema1].into_iter().filter(|is| *is).count() > 1 {
        return Err(DocumentError::Ambiguous);
    }
    let own = document.filled_text("mediaType")?;
    let announced = announced.map(essence).filter(|announced| !is_generic(announced));
    let media_type = match (own.as_deref(), announced.as_deref()) {
        (Some(own), Some(announced)) if own != announced => {
            return Err(DocumentError::TypeMismatch {
                announced: shorten(announced),
                own: shorten(own),
            });
        }
        (Some(named), _) | (None, Some(named)) => named,
        (None, None) if is_index => OCI_INDEX,
        (None, None) if is_image => OCI_MANIFEST,
        (None, None) => return Err(DocumentError::Unsupported(String::new())),
    };
    let fits = match media_type {
        OCI_INDEX | DOCKER_MANIFEST_LIST => is_index,
        OCI_MANIFEST | DOCKER_MANIFEST => is_image,
        _ => return Err(DocumentError::Unsupported(shorten(media_type))),
    };
    if fits { Ok(media_type.to_owned()) } else { Err(DocumentError::Shape(media_type.to_owned())) }
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
        use DocumentError::{Ambiguous, Json, Shape, TypeMismatch, Unsupported};
        let refused = |body: &str, announced| media_type(body.as_bytes(), announced).unwrap_err();
        assert!(matches!(refused("", None), Json(_)));
        assert!(matches!(refused("[]", Some(OCI_INDEX)), Json(_)));
        assert!(matches!(refused(&"[".repeat(1 << 20), None), Json(_)));
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
