//! Odd manifests and configs of single images.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use recompress_image::image::{Digest, media_type};
use serde_json::{Value, json};

use super::{
    build::{Documents, Parts, with},
    row::{Row, image},
};

/// Puts an image whose manifest's text was edited.
fn edited(docs: &mut Documents, edit: impl FnOnce(&str) -> String) {
    let parts = docs.image("a");
    let text = docs.text(&parts);
    let new = edit(&text);
    assert_ne!(text, new, "the edit found nothing");
    docs.put(media_type::OCI_MANIFEST, new);
}

/// Puts an image whose config's text was edited.
fn config_edited(docs: &mut Documents, edit: impl FnOnce(&str) -> String) {
    let parts = docs.image("a");
    let (old, new) = (parts.config.to_string(), edit(&parts.config.to_string()));
    assert_ne!(old, new, "the edit found nothing");
    let text = docs.text_with(&parts, &new);
    docs.put(media_type::OCI_MANIFEST, text);
}

/// Puts an image of which some parts were changed.
fn changed(docs: &mut Documents, change: impl FnOnce(&mut Parts)) {
    let mut parts = docs.image("a");
    change(&mut parts);
    docs.put_image(&parts);
}

/// An image of which the first list of layers is another image's, and the second one its own.
fn two_lists(docs: &mut Documents, second: &str) {
    let (mut parts, other) = (docs.image("a"), docs.image("b"));
    let own = parts.manifest["layers"].to_string();
    parts.manifest["layers"] = other.manifest["layers"].clone();
    let text = docs.text(&parts);
    let text = format!("{},{second:?}:{own}}}", &text[..text.len() - 1]);
    docs.put(media_type::OCI_MANIFEST, text);
}

/// A layer's descriptor with a second field behind the first one.
fn second(docs: &mut Documents, field: &str, value: &Value) {
    edited(docs, |text| {
        text.replacen("\"layers\":[{", &format!("\"layers\":[{{\"{field}\":{value},"), 1)
    });
}

fn other_digest() -> Value {
    json!(Digest::sha256_of(b"another blob"))
}

pub(super) fn rows() -> Vec<Row> {
    [duplicates(), empty(), fields()].concat()
}

fn duplicates() -> Vec<Row> {
    vec![
        image("plain", |docs| changed(docs, |_| {})),
        image("layers twice", |docs| two_lists(docs, "layers"))
            .refused("duplicate field \"layers\""),
        image("Layers too", |docs| two_lists(docs, "Layers")).refused("letter case only"),
        image("layers with a long s", |docs| two_lists(docs, "layer\u{17f}"))
            .refused("letter case only"),
        image("config twice", |docs| {
            let parts = docs.image("b");
            let other = docs.text(&parts);
            let other: Value = serde_json::from_str(&other).unwrap();
            edited(docs, |text| format!("{{\"config\":{},{}", other["config"], &text[1..]));
        })
        .refused("duplicate field \"config\""),
        image("digest twice", |docs| second(docs, "digest", &other_digest()))
            .refused("duplicate field \"digest\""),
        image("size twice", |docs| second(docs, "size", &json!(7)))
            .refused("duplicate field \"size\""),
        image("digest with a long s", |docs| second(docs, "dige\u{17f}t", &other_digest()))
            .refused("letter case only"),
        image("mediaType twice", |docs| {
            edited(docs, |text| format!("{{\"mediaType\":\"\",{}", &text[1..]));
        })
        .refused("duplicate field \"mediaType\""),
        image("rootfs twice", |docs| {
            config_edited(docs, |text| format!("{{\"rootfs\":{{}},{}", &text[1..]));
        })
        .refused("duplicate field \"rootfs\""),
        image("ROOTFS too", |docs| {
            config_edited(docs, |text| format!("{{\"ROOTFS\":{{}},{}", &text[1..]));
        })
        .refused("letter case only"),
        image("diff_ids twice", |docs| {
            config_edited(docs, |text| {
                text.replace("\"diff_ids\":", "\"diff_ids\":[],\"diff_ids\":")
            });
        })
        .refused("duplicate field \"diff_ids\""),
        image("diff_ids with a long s", |docs| {
            config_edited(docs, |text| {
                text.replace("\"diff_ids\":", "\"diff_id\u{17f}\":[],\"diff_ids\":")
            });
        })
        .refused("letter case only"),
        image("WorkingDir with a Kelvin sign", |docs| {
            config_edited(docs, |text| {
                format!("{{\"config\":{{\"Wor\u{212a}ingDir\":\"/x\"}},{}", &text[1..])
            });
        })
        .refused("letter case only"),
        image("unknown field twice", |docs| {
            edited(docs, |text| format!("{{\"x\":1,\"x\":2,{}", &text[1..]));
        })
        .refused("duplicate field \"x\""),
    ]
}

fn empty() -> Vec<Row> {
    fn set(docs: &mut Documents, layers: Option<Value>, diff_ids: Option<Value>) {
        changed(docs, |parts| {
            for (object, field, value) in [
                (&mut parts.manifest, "layers", layers),
                (&mut parts.config["rootfs"], "diff_ids", diff_ids),
            ] {
                match value {
                    Some(value) => object[field] = value,
                    None => drop(object.as_object_mut().unwrap().remove(field)),
                }
            }
        });
    }
    vec![
        image("no layers", |docs| set(docs, Some(json!([])), Some(json!([])))),
        image("layers null", |docs| set(docs, Some(Value::Null), Some(json!([])))),
        image("layers absent", |docs| set(docs, None, None)),
        image("diff_ids null", |docs| set(docs, Some(json!([])), Some(Value::Null))),
        image("diffIDs of no layer", |docs| {
            set(docs, Some(json!([])), Some(json!([Digest::sha256_of(b"tar")])));
        })
        .fails(5, "its manifest has 0 layers, but its config has 1 diffIDs")
        .verify(8),
        image("a layer without diffIDs", |docs| {
            changed(docs, |parts| parts.config["rootfs"] = json!({"type": "layers"}));
        })
        .podman_refuses()
        .fails(5, "its manifest has 1 layers, but its config has 0 diffIDs")
        .verify(8),
    ]
}

fn layer_type(docs: &mut Documents, media_type: &str) {
    changed(docs, |parts| parts.manifest["layers"][0]["mediaType"] = media_type.into());
}

/// podman goes by what a layer holds, and these hold tars.
#[allow(clippy::too_many_lines, reason = "a table")]
fn fields() -> Vec<Row> {
    vec![
        image("artifactType beside an image", |docs| {
            changed(docs, |parts| parts.manifest["artifactType"] = "application/vnd.x".into());
        }),
        image("artifactType empty", |docs| {
            changed(docs, |parts| parts.manifest["artifactType"] = "".into());
        }),
        image("mediaType empty", |docs| {
            edited(docs, |text| text.replacen(media_type::OCI_MANIFEST, "", 1));
        }),
        image("Docker config in an OCI manifest", |docs| {
            changed(docs, |parts| {
                parts.manifest["config"]["mediaType"] = media_type::DOCKER_CONFIG.into();
            });
        })
        .podman_refuses(),
        image("encrypted layer", |docs| {
            layer_type(docs, &format!("{}+encrypted", media_type::OCI_LAYER_GZIP));
        })
        .refused("encrypted layers cannot be read"),
        image("nydus", |docs| layer_type(docs, "application/vnd.oci.image.layer.nydus.blob.v1"))
            .refused("not supported"),
        image("EROFS", |docs| layer_type(docs, "application/vnd.erofs.layer.v1"))
            .refused("not supported"),
        image("squashfs", |docs| {
            layer_type(docs, "application/vnd.oci.image.layer.v1.squashfs");
        })
        .refused("not supported"),
        image("sentinel of zstd:chunked", |docs| {
            let sentinel =
                docs.blob("application/vnd.containers.zstd-chunked-sentinel", b"sentinel".to_vec());
            changed(docs, |parts| {
                let layers = parts.manifest["layers"].as_array_mut().unwrap();
                layers.insert(0, sentinel);
            });
        })
        .podman_refuses()
        .refused("not supported"),
        image("SOCI index", |docs| {
            changed(docs, |parts| {
                parts.manifest["artifactType"] = "application/vnd.amazon.soci.index.v1+json".into();
                parts.manifest["config"]["mediaType"] = media_type::EMPTY.into();
            });
        })
        .podman_refuses()
        .refused("not a container image but an artifact"),
        image("composefs", |docs| {
            changed(docs, |parts| {
                parts.manifest["config"]["mediaType"] =
                    "application/vnd.composefs.config.v1+json".into();
            });
        })
        .podman_refuses()
        .refused("not a container image but an artifact"),
        image("Tekton bundle", |docs| {
            changed(docs, |parts| {
                parts.manifest["layers"][0]["annotations"] =
                    json!({"dev.tekton.image.kind": "task", "dev.tekton.image.name": "x"});
            });
        })
        .refused("a Tekton bundle"),
        image("urls a string", |docs| {
            changed(docs, |parts| parts.manifest["layers"][0]["urls"] = "https://a".into());
        })
        .podman_refuses()
        .refused("\"urls\" has the wrong type"),
        image("data that is the config", |docs| {
            let parts = docs.image("a");
            let data = STANDARD.encode(parts.config.to_string());
            let text = docs.text(&parts);
            let mut manifest: Value = serde_json::from_str(&text).unwrap();
            manifest["config"]["data"] = data.into();
            docs.put(media_type::OCI_MANIFEST, manifest.to_string());
        }),
        image("data that is something else", |docs| {
            changed(docs, |parts| parts.manifest["config"]["data"] = "b3RoZXI=".into());
        })
        .refused("is other content"),
        image("a size that is wrong", |docs| {
            changed(docs, |parts| parts.manifest["layers"][0]["size"] = 7.into());
        })
        .fails(4, "layer 1")
        .verify(8),
        image("distributable layer with urls", |docs| {
            changed(docs, |parts| {
                parts.manifest["layers"][0]["urls"] = json!(["http://localhost:9/blob"]);
            });
        })
        .podman_refuses()
        .without(&["localhost:9"]),
        image("subject", |docs| {
            let subject = docs.image("b");
            let subject = docs.put_image(&subject);
            changed(docs, |parts| parts.manifest["subject"] = subject);
        })
        .without(&["subject"]),
        image("annotations of other snapshotters", |docs| {
            changed(docs, |parts| {
                parts.manifest["annotations"] = json!({"com.amazon.soci.index-digest": "x"});
                parts.manifest["layers"][0]["annotations"] = json!({
                    "containerd.io/snapshot/stargz/toc.digest": other_digest(),
                    "containerd.io/snapshot/nydus-blob": "true",
                    "io.containers.estargz.uncompressed-size": "7",
                    "kept": "kept",
                });
            });
        })
        .without(&["soci", "containerd.io", "estargz"]),
        image("zstd:chunked without its annotations", |docs| {
            let parts = docs.image("a");
            let mut parts = docs.converted(&parts);
            parts.manifest["layers"][0].as_object_mut().unwrap().remove("annotations");
            docs.put_image(&parts);
        }),
        image("zstd:chunked with wrong annotations", |docs| {
            let parts = docs.image("a");
            let mut parts = docs.converted(&parts);
            let annotations = &mut parts.manifest["layers"][0]["annotations"];
            annotations["io.github.containers.zstd-chunked.manifest-checksum"] = other_digest();
            docs.put_image(&parts);
        })
        .verify(8),
        image("as this platform", |docs| changed(docs, |_| {}))
            .of("linux/amd64", &["--platform=linux/amd64"]),
        image("as another platform", |docs| changed(docs, |_| {}))
            .of("linux/s390x", &["--platform=linux/s390x"])
            .fails(5, "is an image for linux/amd64, not for linux/s390x"),
        image("platform in other letters", |docs| {
            changed(docs, |parts| parts.config = with(parts.config.clone(), "os", "Linux"));
        })
        .of("linux/amd64", &["--platform=LINUX/x86_64"]),
        image("os a number", |docs| {
            changed(docs, |parts| parts.config = with(parts.config.clone(), "os", 7));
        })
        .podman_refuses()
        .refused("\"os\" has the wrong type"),
        image("layers and manifests", |docs| {
            edited(docs, |text| format!("{{\"manifests\":[],{}", &text[1..]));
        })
        .podman_refuses()
        .refused("ambiguous"),
    ]
}
