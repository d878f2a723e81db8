//! Manifests of what is not an image but attached to one.

use serde_json::json;

use super::{
    BlobId, Digest,
    annotations::TITLE,
    media_type::{EMPTY, OCI_CONFIG, OCI_MANIFEST},
};

/// The content of the config of an artifact that needs none (image-spec, manifest.md, "Guidance for
/// an Empty Descriptor").
pub const EMPTY_CONFIG: &[u8] = b"{}";

/// A document attached to an image.
#[derive(Debug, Clone, Copy)]
pub struct ArtifactBlob<'a> {
    pub blob: &'a BlobId,
    /// Of the blob.
    pub media_type: &'a str,
    /// A name for the file that it is downloaded into.
    pub file_name: &'a str,
}

/// The manifest that an artifact is attached to.
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
pub fn referring(document: &ArtifactBlob<'_>, subject: &SubjectManifest<'_>) -> Vec<u8> {
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
            "annotations": { TITLE: document.file_name },
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
pub fn cosign_sbom(blob: &BlobId, media_type: &str) -> (Vec<u8>, Vec<u8>) {
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::{super::Manifest, *};

    #[test]
    fn what_is_written_is_read() {
        let blob = BlobId { digest: Digest::sha256_of(b"sbom"), size: 4 };
        let media_type = "application/spdx+json";
        let document = ArtifactBlob { blob: &blob, media_type, file_name: "sbom.spdx.json" };
        let image = Digest::sha256_of(b"image");
        let subject = SubjectManifest { media_type: OCI_MANIFEST, digest: &image, size: 5 };
        let manifest = Manifest::parse(&referring(&document, &subject)).unwrap();
        assert_eq!(manifest.kind(), media_type);
        assert_eq!(manifest.subject.unwrap().blob.digest, image);
        assert_eq!(
            (&manifest.layers[0].blob, &*manifest.layers[0].media_type),
            (&blob, media_type)
        );

        let (config, manifest) = cosign_sbom(&blob, "text/spdx+json");
        let manifest = Manifest::parse(&manifest).unwrap();
        assert_eq!(manifest.kind(), OCI_CONFIG);
        assert!(manifest.subject.is_none());
        assert_eq!(
            (&manifest.layers[0].blob, &*manifest.layers[0].media_type),
            (&blob, "text/spdx+json")
        );
        assert_eq!(manifest.config.blob.digest, Digest::sha256_of(&config));
    }
}
