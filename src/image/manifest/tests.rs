#![allow(clippy::unwrap_used)]
use serde_json::{Value, json};

use super::*;
use crate::image::{
    Digest,
    annotations::{ESTARGZ_TOC_DIGEST, TOC_DIGEST},
};

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
                ESTARGZ_TOC_DIGEST: "sha256:…"
            },
            "x-unknown": [1.50, {"b": 1, "a": 2}]
        }, {
            "mediaType": "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
            "size": 5, "digest": digest("foreign"), "urls": ["https://example.com/blob"]
        }],
        "subject": {"mediaType": "a/b", "digest": digest("subject"), "size": 9},
        "annotations": {"z": "1", "com.amazon.soci.index-digest": "x", "a": "2"},
        "x-unknown": null
    })
}

fn parse(document: &Value) -> Result<Manifest, DocumentError> {
    Manifest::parse(document.to_string().as_bytes())
}

#[test]
fn docker_becomes_oci_and_the_rest_stays() {
    let manifest = parse(&docker()).unwrap();
    assert_eq!(manifest.config.blob.digest, digest("config"));
    assert!(!manifest.layers[0].is_foreign());
    assert!(manifest.layers[1].is_foreign());
    let needed: Vec<_> = manifest.needed_blobs().map(|blob| blob.digest.clone()).collect();
    assert_eq!(needed, [digest("config"), digest("layer")]);
    let from = [("from", "there".into())];
    let new = NewLayer {
        blob: BlobId { digest: digest("new"), size: 90 },
        suffix: Suffix::Zstd,
        annotations: vec![("toc", "here".into())],
    };
    let (bytes, gone) =
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
    assert_eq!(gone, ["com.amazon.soci.index-digest", ESTARGZ_TOC_DIGEST, "subject"]);
    let impossible = manifest.with_layers(Family::Docker, &[Some(new), None], &from);
    assert!(matches!(impossible, Err(DocumentError::Impossible(_))), "{impossible:?}");
}

#[test]
fn the_same_blob_gets_our_annotations_too() {
    let manifest = parse(&docker()).unwrap();
    let same = NewLayer {
        blob: manifest.layers[0].blob.clone(),
        suffix: Suffix::Gzip,
        annotations: vec![("toc", "ours".into())],
    };
    let (bytes, _) = manifest.with_layers(Family::Docker, &[Some(same), None], &[]).unwrap();
    let mut expected = docker();
    expected["layers"][0]["annotations"] = json!({"ostree.components": "kernel", "toc": "ours"});
    expected["annotations"] = json!({"z": "1", "a": "2"});
    expected.as_object_mut().unwrap().shift_remove("subject");
    assert_eq!(String::from_utf8(bytes).unwrap(), expected.to_string());
}

#[test]
fn an_annotation_that_a_layer_gets_again_is_not_gone() {
    let mut chunked = docker();
    chunked["layers"][0]["annotations"] = json!({TOC_DIGEST: "old", ESTARGZ_TOC_DIGEST: "old"});
    for (annotations, lost) in [
        (vec![(TOC_DIGEST, "new".to_owned())], vec![ESTARGZ_TOC_DIGEST]),
        (vec![], vec![ESTARGZ_TOC_DIGEST, TOC_DIGEST]),
    ] {
        let blob = BlobId { digest: digest("new"), size: 90 };
        let new = NewLayer { blob, suffix: Suffix::Zstd, annotations };
        let manifest = parse(&chunked).unwrap();
        let (_, gone) = manifest.with_layers(Family::Oci, &[Some(new), None], &[]).unwrap();
        assert_eq!(gone, [&["com.amazon.soci.index-digest"][..], &lost, &["subject"]].concat());
    }
}

#[test]
fn what_is_not_an_image_is_told_apart() {
    let unfit = |document: &Value| parse(document).unwrap().image_layers().unwrap_err();
    let mut artifact = docker();
    artifact["config"]["mediaType"] = media_type::EMPTY.into();
    assert_eq!(unfit(&artifact), UnfitImage::Artifact(media_type::EMPTY.into()));
    artifact["artifactType"] = "application/spdx+json".into();
    assert_eq!(unfit(&artifact), UnfitImage::Artifact("application/spdx+json".into()));
    let mut bundle = docker();
    bundle["layers"][0]["annotations"]["dev.tekton.image.kind"] = "task".into();
    assert_eq!(unfit(&bundle), UnfitImage::Artifact("a Tekton bundle".into()));
    for media_type in [
        format!("{}+encrypted", media_type::OCI_LAYER),
        "application/vnd.containers.zstd-chunked-sentinel".to_owned(),
        "application/vnd.erofs.layer.v1".to_owned(),
        String::new(),
    ] {
        let mut other = docker();
        other["layers"][0]["mediaType"] = media_type.clone().into();
        assert_eq!(unfit(&other), UnfitImage::Layer { number: 1, media_type });
    }
    // What the image is called besides does not matter.
    for artifact_type in [json!("a/b"), json!(""), Value::Null] {
        let mut image = docker();
        image["artifactType"] = artifact_type;
        assert_eq!(parse(&image).unwrap().image_layers().unwrap().len(), 2);
    }
}

#[test]
fn an_image_may_have_no_layers() {
    for layers in [Some(json!([])), Some(Value::Null), None] {
        let mut image = docker();
        match layers {
            Some(layers) => image["layers"] = layers,
            None => drop(image.as_object_mut().unwrap().shift_remove("layers")),
        }
        let manifest = parse(&image).unwrap();
        assert_eq!(manifest.image_layers(), Ok(Vec::new()));
        let (bytes, _) = manifest.with_layers(Family::Oci, &[], &[]).unwrap();
        assert!(Manifest::parse(&bytes).unwrap().layers.is_empty());
    }
}

#[test]
fn malformed_manifests_are_refused() {
    for (pointer, value) in [
        ("/layers", json!({})),
        ("/layers/0", Value::Null),
        ("/layers/0/digest", json!("sha256:abc")),
        ("/layers/0/size", json!(-1)),
        ("/layers/0/size", json!("100")),
        ("/layers/1/urls", json!("https://example.com/blob")),
        ("/config", json!(null)),
        ("/config", json!([])),
        ("/subject", json!("sha256:abc")),
        ("/annotations", json!({"a": 1})),
        ("/schemaVersion", json!("2")),
    ] {
        let mut document = docker();
        *document.pointer_mut(pointer).unwrap() = value;
        assert!(parse(&document).is_err(), "{pointer}");
    }
    let mut evil = docker();
    evil["Layers"] = evil["layers"].clone();
    assert!(parse(&evil).is_err());
    assert!(Manifest::parse(b"[]").is_err());
}
