//! Odd indexes.

mod platforms;

use recompress_image::image::{Digest, media_type};
use serde_json::{Value, json};

use super::{
    build::{Documents, index as document, marked, with},
    row::{Row, index},
};

const DUAL: &[&str] = &["--compression-format=dual"];
const ADD: &[&str] = &["--add"];
const ALL: &[&str] = &["--all-platforms"];

/// An index of one image for amd64, and one for arm64, with its entries changed.
fn changed(docs: &mut Documents, change: impl FnOnce(&mut Vec<Value>)) {
    let (a, b) = (docs.image("a"), docs.image_for("b", "arm64"));
    let mut entries = vec![docs.entry(&a), docs.entry(&b)];
    change(&mut entries);
    docs.index(&entries);
}

/// An index whose text was edited.
fn edited(docs: &mut Documents, edit: impl FnOnce(&str, &str) -> String) {
    let (a, b) = (docs.image("a"), docs.image("b"));
    let (a, b) = (docs.entry(&a), docs.entry(&b));
    let (first, second) = (document(&[b]).to_string(), json!([a]).to_string());
    let text = edit(&first[..first.len() - 1], &second);
    docs.put(media_type::OCI_INDEX, text);
}

/// Images of one platform: these entries, and behind them the image `a`.
fn before_a(docs: &mut Documents, entries: impl FnOnce(&mut Documents) -> Vec<Value>) {
    let mut entries = entries(docs);
    let a = docs.image("a");
    entries.push(docs.entry(&a));
    docs.index(&entries);
}

/// Entries of images of the given platforms, the labels in the order of the alphabet.
fn platforms(docs: &mut Documents, platforms: &[Value]) {
    let mut entries = Vec::new();
    for (label, platform) in ["a", "b", "c", "d"].iter().zip(platforms) {
        let mut image = docs.image(label);
        for field in ["architecture", "variant", "os"] {
            if let Some(value) = platform.get(field) {
                image.config[field] = value.clone();
            }
        }
        entries.push(with(docs.put_image(&image), "platform", platform.clone()));
    }
    docs.index(&entries);
}

fn arch(architecture: &str, variant: &str) -> Value {
    match variant {
        "" => json!({"os": "linux", "architecture": architecture}),
        _ => json!({"os": "linux", "architecture": architecture, "variant": variant}),
    }
}

/// A good gzip image, and a marked zstd image of other content.
fn other_content(docs: &mut Documents) {
    let (a, b) = (docs.image("a"), docs.image("b"));
    let b = docs.zstd(&b);
    let entries = [docs.entry(&a), marked(docs.entry(&b))];
    docs.index(&entries);
}

/// A gzip image, and something in an entry for the same platform in front of it.
fn artifact(docs: &mut Documents) -> Value {
    let mut parts = docs.image("b");
    parts.manifest["config"]["mediaType"] = media_type::EMPTY.into();
    parts.manifest["artifactType"] = "application/vnd.amazon.soci.index.v2+json".into();
    docs.entry(&parts)
}

pub(super) fn rows() -> Vec<Row> {
    [texts(), entries(), platforms::spellings(), platforms::variants()].concat()
}

fn texts() -> Vec<Row> {
    vec![
        index("manifests twice", |docs| {
            edited(docs, |first, second| format!("{first},\"manifests\":{second}}}"));
        })
        .refused("duplicate field \"manifests\""),
        index("Manifests too", |docs| {
            edited(docs, |first, second| format!("{first},\"Manifests\":{second}}}"));
        })
        .refused("letter case only"),
        index("manifests with a long s", |docs| {
            edited(docs, |first, second| format!("{first},\"manife\u{17f}ts\":{second}}}"));
        })
        .refused("letter case only"),
        index("nothing in it", |docs| drop(docs.index(&[])))
            .podman_refuses()
            .refused("no image for linux/amd64"),
        index("manifests null", |docs| {
            docs.put(media_type::OCI_INDEX, document(&[]).to_string().replace("[]", "null"));
        })
        .podman_refuses()
        .refused("no image for linux/amd64"),
        index("without manifests", |docs| {
            let text = json!({"schemaVersion": 2, "mediaType": media_type::OCI_INDEX});
            docs.put(media_type::OCI_INDEX, text.to_string());
        })
        .podman_refuses()
        .refused("its fields do not match its type"),
        index("platform a number", |docs| {
            changed(docs, |entries| entries[0]["platform"]["os"] = 7.into());
        })
        .podman_refuses()
        .refused("\"os\" has the wrong type"),
        index("urls a string", |docs| changed(docs, |entries| entries[1]["urls"] = "x".into()))
            .podman_refuses()
            .refused("\"urls\" has the wrong type"),
    ]
}

#[allow(clippy::too_many_lines, reason = "a table")]
fn entries() -> Vec<Row> {
    vec![
        index("plain index", |docs| changed(docs, |_| {})),
        index("plain index, dual", |docs| changed(docs, |_| {})).arguments(DUAL),
        index("unknown media type without platform", |docs| {
            let blob = docs.blob("application/vnd.x", b"x".to_vec());
            changed(docs, |entries| entries.insert(0, blob));
        })
        .arguments(DUAL),
        index("an image as an unknown media type", |docs| {
            before_a(docs, |docs| {
                let b = docs.image("b");
                vec![with(docs.entry(&b), "mediaType", "application/vnd.x")]
            });
        })
        .podman_takes("b")
        .fails(5, "clients disagree"),
        index("the same, dual", |docs| {
            before_a(docs, |docs| {
                let b = docs.image("b");
                vec![with(docs.entry(&b), "mediaType", "application/vnd.x")]
            });
        })
        .arguments(DUAL)
        .podman_takes("b")
        .fails(5, "clients disagree"),
        index("an image as an attestation", |docs| {
            before_a(docs, |docs| {
                let b = docs.image("b");
                let about = json!({"vnd.docker.reference.type": "attestation-manifest"});
                vec![with(docs.entry(&b), "annotations", about)]
            });
        })
        .arguments(ADD)
        .podman_takes("b")
        .fails(5, "clients disagree"),
        index("unknown/unknown", |docs| {
            before_a(docs, |docs| {
                let b = docs.image("b");
                let unknown = json!({"os": "unknown", "architecture": "unknown"});
                vec![with(docs.put_image(&b), "platform", unknown)]
            });
        })
        .arguments(ALL),
        index("without platforms", |docs| {
            let a = docs.image("a");
            let a = docs.put_image(&a);
            docs.index(&[a]);
        }),
        index("one without a platform in front", |docs| {
            before_a(docs, |docs| {
                let b = docs.image("b");
                vec![docs.put_image(&b)]
            });
        }),
        index("the same with all platforms", |docs| {
            before_a(docs, |docs| {
                let b = docs.image("b");
                vec![docs.put_image(&b)]
            });
        })
        .arguments(ALL)
        .fails(5, "clients disagree"),
        index("an index within", |docs| {
            let a = docs.image("a");
            let a = docs.entry(&a);
            let inner = docs.index(&[a]);
            docs.index(&[inner]);
        })
        .podman_refuses()
        .fails(5, "no image for linux/amd64"),
        index("an index within, for the platform", |docs| {
            before_a(docs, |docs| {
                let b = docs.image("b");
                let b = docs.entry(&b);
                vec![with(docs.index(&[b]), "platform", arch("amd64", ""))]
            });
        })
        .podman_refuses(),
        index("a missing entry of another platform", |docs| {
            changed(docs, |entries| {
                entries[1]["digest"] = json!(Digest::sha256_of(b"missing"));
            });
        })
        .verify(7),
        index("the same, dual", |docs| {
            changed(docs, |entries| {
                entries[1]["digest"] = json!(Digest::sha256_of(b"missing"));
            });
        })
        .arguments(DUAL)
        .fails(7, "not found in")
        .verify(7),
        index("the same, one platform added", |docs| {
            changed(docs, |entries| {
                entries[1]["digest"] = json!(Digest::sha256_of(b"missing"));
            });
        })
        .arguments(&["--add", "--platform=linux/amd64"])
        .verify(7),
        index("an artifact for the platform in front", |docs| {
            before_a(docs, |docs| vec![artifact(docs)]);
        })
        .podman_refuses(),
        index("an image that calls itself encrypted in front", |docs| {
            before_a(docs, |docs| {
                let mut b = docs.image("b");
                let encrypted = format!("{}+encrypted", media_type::OCI_LAYER_GZIP);
                b.manifest["layers"][0]["mediaType"] = encrypted.into();
                vec![docs.entry(&b)]
            });
        })
        .podman_takes("b")
        .fails(5, "clients disagree"),
        index("an encrypted image for the platform", |docs| {
            let mut a = docs.image("a");
            let encrypted = format!("{}+encrypted", media_type::OCI_LAYER_GZIP);
            a.manifest["layers"][0]["mediaType"] = encrypted.into();
            let a = docs.entry(&a);
            docs.index(&[a]);
        })
        .refused("encrypted layers cannot be read"),
        index("an entry with a wrong size", |docs| {
            changed(docs, |entries| entries[0]["size"] = 7.into());
        })
        .arguments(DUAL)
        .verify(8),
        index("an entry of a wrong type", |docs| {
            changed(docs, |entries| entries[0]["mediaType"] = media_type::DOCKER_MANIFEST.into());
        })
        .arguments(DUAL)
        .verify(8),
        index("a Docker manifest list", |docs| {
            let mut a = docs.image("a");
            a.manifest["mediaType"] = media_type::DOCKER_MANIFEST.into();
            a.manifest["config"]["mediaType"] = media_type::DOCKER_CONFIG.into();
            a.manifest["layers"][0]["mediaType"] =
                "application/vnd.docker.image.rootfs.diff.tar.gzip".into();
            let list = document(&[docs.entry(&a)]);
            let list = with(list, "mediaType", media_type::DOCKER_MANIFEST_LIST);
            docs.put(media_type::DOCKER_MANIFEST_LIST, list.to_string());
        })
        .arguments(DUAL)
        .without(&["docker"]),
    ]
}
