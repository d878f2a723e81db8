#![allow(clippy::unwrap_used)]
use super::*;

const GZIP: &str = "application/vnd.docker.image.rootfs.diff.tar.gzip";

fn digest(of: &str) -> Digest {
    Digest::sha256_of(of.as_bytes())
}

fn docker() -> Value {
    json!({
        "schemaVersion": 2,
        "mediaType": media_type::DOCKER_MANIFEST,
        "config": {"mediaType": media_type::DOCKER_CONFIG, "size": 7, "digest": digest("config")},
        "layers": [{
            "mediaType": GZIP, "size": 100, "digest": digest("layer"),
            "annotations": {
                "ostree.components": "kernel",
                "containerd.io/snapshot/stargz/toc.digest": "sha256:…"
            },
            "x-unknown": [1.50, {"b": 1, "a": 2}]
        }, {
            "mediaType": "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
            "size": 5, "digest": digest("foreign"), "urls": ["https://example.com/blob"]
        }],
        "annotations": {"z": "1", "a": "2"},
        "x-unknown": null
    })
}

fn parse(document: &Value) -> Result<ImageManifest, ManifestError> {
    ImageManifest::parse(text(document, "mediaType"), document.to_string().as_bytes())
}

#[test]
fn docker_becomes_oci_and_the_rest_stays() {
    let manifest = parse(&docker()).unwrap();
    assert_eq!(manifest.config().digest, digest("config"));
    assert!(!manifest.layers()[0].foreign);
    assert!(manifest.layers()[1].foreign);
    let from = [("from", "there".into())];
    let new = NewLayer {
        blob: Descriptor { digest: digest("new"), size: 90 },
        suffix: Suffix::Zstd,
        annotations: vec![("toc", "here".into())],
    };
    let bytes =
        manifest.clone().with_layers(Family::Oci, &[Some(new.clone()), None], &from).unwrap();
    let expected = json!({
        "schemaVersion": 2,
        "mediaType": media_type::OCI_MANIFEST,
        "config": {"mediaType": media_type::OCI_CONFIG, "size": 7, "digest": digest("config")},
        "layers": [{
            "mediaType": media_type::OCI_LAYER_ZSTD, "size": 90, "digest": digest("new"),
            "annotations": {"ostree.components": "kernel", "toc": "here"},
            "x-unknown": [1.50, {"b": 1, "a": 2}]
        }, {
            "mediaType": "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip",
            "size": 5, "digest": digest("foreign"), "urls": ["https://example.com/blob"]
        }],
        "annotations": {"z": "1", "a": "2", "from": "there"},
        "x-unknown": null
    });
    // As text, for the order of fields counts too.
    assert_eq!(String::from_utf8(bytes).unwrap(), expected.to_string());
    let impossible = manifest.with_layers(Family::Docker, &[Some(new), None], &from);
    assert!(matches!(impossible, Err(ManifestError::Impossible(_))), "{impossible:?}");
}

#[test]
fn what_belongs_to_a_blob_stays_with_it() {
    let manifest = parse(&docker()).unwrap();
    let same = NewLayer {
        blob: manifest.layers()[0].blob.clone(),
        suffix: Suffix::Gzip,
        annotations: Vec::new(),
    };
    let unchanged = manifest.with_layers(Family::Docker, &[Some(same), None], &[]).unwrap();
    assert_eq!(String::from_utf8(unchanged).unwrap(), docker().to_string());
}

#[test]
fn what_is_no_image_is_told_apart() {
    let mut artifact = docker();
    artifact["config"]["mediaType"] = "application/vnd.oci.empty.v1+json".into();
    assert!(matches!(parse(&artifact), Err(ManifestError::Artifact(_))));
    let mut artifact = docker();
    artifact["artifactType"] = "application/spdx+json".into();
    assert!(matches!(parse(&artifact), Err(ManifestError::Artifact(_))));
    let mut bundle = docker();
    bundle["layers"][0]["annotations"]["dev.tekton.image.kind"] = "task".into();
    assert!(matches!(parse(&bundle), Err(ManifestError::Artifact(_))));
    let mut encrypted = docker();
    encrypted["layers"][0]["mediaType"] = format!("{}+encrypted", media_type::OCI_LAYER).into();
    let message = parse(&encrypted).unwrap_err().to_string();
    assert!(message.contains("layer 1") && message.contains("encrypted layers"), "{message}");
    let mut index = docker();
    index["mediaType"] = media_type::OCI_INDEX.into();
    assert!(matches!(parse(&index), Err(ManifestError::Index)));
}

#[test]
fn malformed_manifests_are_refused() {
    for (pointer, value) in [
        ("/layers", json!({})),
        ("/layers/0/digest", json!("sha256:abc")),
        ("/layers/0/size", json!(-1)),
        ("/layers/0/size", json!("100")),
        ("/config", json!(null)),
    ] {
        let mut document = docker();
        *document.pointer_mut(pointer).unwrap() = value;
        assert!(parse(&document).is_err(), "{pointer}");
    }
    assert!(ImageManifest::parse(media_type::OCI_MANIFEST, b"[]").is_err());
    assert!(diff_ids(br#"{"rootfs":{}}"#).is_err());
    assert!(diff_ids(br#"{"rootfs":{"diff_ids":[1]}}"#).is_err());
}
