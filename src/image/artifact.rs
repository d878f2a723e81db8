//! Manifests of what is no image but hangs on one.

use serde_json::{Value, json};

use super::{
    Digest,
    manifest::{Descriptor, ManifestError},
    media_type::{EMPTY, OCI_CONFIG, OCI_MANIFEST},
};

/// The content of the config of an artifact that needs none (image-spec, manifest.md, "Guidance for
/// an Empty Descriptor").
pub const EMPTY_CONFIG: &[u8] = b"{}";

/// A document that hangs on an image.
#[derive(Debug, Clone, Copy)]
pub struct Document<'a> {
    /// The blob.
    pub blob: &'a Descriptor,
    /// Of the blob.
    pub media_type: &'a str,
    /// A name for the file that it is downloaded into.
    pub file_name: &'a str,
}

/// The manifest that an artifact hangs on.
#[derive(Debug, Clone, Copy)]
pub struct SubjectManifest<'a> {
    /// Of the manifest.
    pub media_type: &'a str,
    /// Of the manifest.
    pub digest: &'a Digest,
    /// Its length in bytes.
    pub size: u64,
}

/// The manifest of a document that refers to an image (image-spec, manifest.md, "Guidelines for
/// Artifact Usage"). It has the blob [`EMPTY_CONFIG`] too. There is no time in it, so that the same
/// document has the same manifest each time.
pub fn referring(document: &Document<'_>, subject: &SubjectManifest<'_>) -> Vec<u8> {
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "artifactType": document.media_type,
        "config": {
            "mediaType": EMPTY,
            "digest": Digest::sha256_of(EMPTY_CONFIG),
            "size": EMPTY_CONFIG.len(),
        },
        "layers": [{
            "mediaType": document.media_type,
            "digest": document.blob.digest,
            "size": document.blob.size,
            "annotations": { "org.opencontainers.image.title": document.file_name },
        }],
        "subject": {
            "mediaType": subject.media_type,
            "digest": subject.digest,
            "size": subject.size,
        },
    });
    manifest.to_string().into_bytes()
}

/// Config and manifest of a document as `cosign attach sbom` stores it (cosign,
/// `specs/SBOM_SPEC.md` and `pkg/oci/static/file.go`): an image with the document as its only layer, of no platform.
pub fn cosign_sbom(blob: &Descriptor, media_type: &str) -> (Vec<u8>, Vec<u8>) {
    const NEVER: &str = "0001-01-01T00:00:00Z";
    let config = json!({
        "architecture": "",
        "created": NEVER,
        "history": [{ "created": NEVER }],
        "os": "",
        "rootfs": { "type": "layers", "diff_ids": [blob.digest] },
        "config": {},
    });
    let config = config.to_string().into_bytes();
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": {
            "mediaType": OCI_CONFIG,
            "size": config.len(),
            "digest": Digest::sha256_of(&config),
        },
        "layers": [{ "mediaType": media_type, "size": blob.size, "digest": blob.digest }],
    });
    (config, manifest.to_string().into_bytes())
}

/// What is of interest of the manifest of an artifact.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Artifact {
    /// Its `artifactType`, or the media type of its config, which it stands for.
    pub artifact_type: String,
    /// The manifest that it refers to.
    pub subject: Option<Digest>,
    /// Its first layer with its media type.
    pub first_layer: Option<(Descriptor, String)>,
}

impl Artifact {
    /// Reads an image manifest, whatever it is the manifest of.
    pub fn parse(manifest: &[u8]) -> Result<Self, ManifestError> {
        let document: Value = serde_json::from_slice(manifest)
            .map_err(|error| ManifestError::Malformed(error.to_string()))?;
        let text = |pointer: &str| document.pointer(pointer).and_then(Value::as_str);
        let own = text("/artifactType").filter(|kind| !kind.is_empty());
        let artifact_type = own.or(text("/config/mediaType")).unwrap_or_default().to_owned();
        let subject = text("/subject/digest").map(str::parse).transpose()?;
        let first_layer = match document.pointer("/layers/0") {
            Some(layer) => {
                let media_type = text("/layers/0/mediaType").unwrap_or_default().to_owned();
                Some((super::manifest::descriptor(layer)?, media_type))
            }
            None => None,
        };
        Ok(Self { artifact_type, subject, first_layer })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let blob = Descriptor { digest: Digest::sha256_of(b"sbom"), size: 4 };
        let media_type = "application/spdx+json";
        let document = Document { blob: &blob, media_type, file_name: "sbom.spdx.json" };
        let image = Digest::sha256_of(b"image");
        let subject = SubjectManifest { media_type: OCI_MANIFEST, digest: &image, size: 5 };
        let artifact = Artifact::parse(&referring(&document, &subject)).unwrap();
        assert_eq!(artifact.artifact_type, media_type);
        assert_eq!(artifact.subject, Some(image));
        assert_eq!(artifact.first_layer, Some((blob.clone(), media_type.into())));

        let (config, manifest) = cosign_sbom(&blob, "text/spdx+json");
        let artifact = Artifact::parse(&manifest).unwrap();
        assert_eq!(artifact.artifact_type, OCI_CONFIG);
        assert_eq!(artifact.subject, None);
        assert_eq!(artifact.first_layer, Some((blob, "text/spdx+json".into())));
        let manifest: Value = serde_json::from_slice(&manifest).unwrap();
        assert_eq!(manifest["config"]["digest"], Digest::sha256_of(&config).as_str());
    }
}
