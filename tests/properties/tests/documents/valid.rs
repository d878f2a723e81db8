//! Documents that are as they should be, in all that the specification leaves open.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use fastrand::Rng;
use recompress_image::image::{Digest, media_type as types};
use serde_json::{Map, Value, json};

use super::json::Kind;

const LAYERS: [&str; 6] = [
    types::OCI_LAYER,
    types::OCI_LAYER_GZIP,
    types::OCI_LAYER_ZSTD,
    "application/vnd.docker.image.rootfs.diff.tar.gzip",
    "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip",
    "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
];
const TEXTS: [&str; 9] =
    ["", "a", "linux", "x/y", "é", "\u{1f980}", "a\"b\\c\n\u{0}", "sha256:", "\u{2028}<&>"];
const KEYS: [&str; 9] = [
    "org.opencontainers.image.title",
    "io.github.containers.zstd-chunked.manifest-checksum",
    "com.amazon.soci.index-digest",
    "containerd.io/snapshot/stargz/toc.digest",
    "Key",
    "key",
    "ſize",
    "",
    "size",
];

pub(crate) fn document(kind: Kind, rng: &mut Rng) -> Value {
    let mut fields = Map::new();
    match kind {
        Kind::Manifest => manifest(&mut fields, rng),
        Kind::Index => index(&mut fields, rng),
        Kind::Config => config(&mut fields, rng),
    }
    finish(fields, rng)
}

fn maybe(
    rng: &mut Rng,
    fields: &mut Map<String, Value>,
    name: &str,
    value: impl FnOnce(&mut Rng) -> Value,
) {
    let value = match rng.u8(..8) {
        0..=3 => return,
        4 => Value::Null,
        _ => value(rng),
    };
    fields.insert(name.to_owned(), value);
}

/// Unknown fields, and all of them in any order.
fn finish(mut fields: Map<String, Value>, rng: &mut Rng) -> Value {
    maybe(rng, &mut fields, "x-unknown", |rng| anything(rng, 3));
    let mut pairs: Vec<_> = fields.into_iter().collect();
    if rng.bool() {
        rng.shuffle(&mut pairs);
    }
    Value::Object(pairs.into_iter().collect())
}

fn text(rng: &mut Rng) -> Value {
    (*rng.choice(&TEXTS).unwrap()).into()
}

fn texts(rng: &mut Rng) -> Value {
    (0..rng.u8(..3)).map(|_| text(rng)).collect()
}

fn annotations(rng: &mut Rng) -> Value {
    let mut map = Map::new();
    for _ in 0..rng.u8(..4) {
        let value = if rng.u8(..8) == 0 { Value::Null } else { text(rng) };
        map.insert((*rng.choice(&KEYS).unwrap()).to_owned(), value);
    }
    map.into()
}

fn anything(rng: &mut Rng, depth: u8) -> Value {
    match rng.u8(..if depth == 0 { 5 } else { 8 }) {
        0 => Value::Null,
        1 => rng.bool().into(),
        2 => rng.i64(..).into(),
        3 => 1.5.into(),
        4 => text(rng),
        5 => (0..rng.u8(..4)).map(|_| anything(rng, depth - 1)).collect(),
        6 => descriptor("a/b", rng),
        _ => {
            let mut map = Map::new();
            for _ in 0..rng.u8(..4) {
                let names = ["size", "Size", "manifests", "layers", "os", "Labels", "x"];
                let name = rng.choice(names).unwrap().to_owned();
                map.insert(name, anything(rng, depth - 1));
            }
            map.into()
        }
    }
}

fn platform(rng: &mut Rng) -> Value {
    let mut fields = Map::new();
    platform_fields(&mut fields, rng);
    finish(fields, rng)
}

fn platform_fields(fields: &mut Map<String, Value>, rng: &mut Rng) {
    let names = ["linux", "Linux", "windows", "unknown", "", "macos"];
    let architectures = ["amd64", "x86_64", "arm", "aarch64", "", "RISCV64"];
    if rng.u8(..8) > 0 {
        fields.insert("os".into(), (*rng.choice(&names).unwrap()).into());
        fields.insert("architecture".into(), (*rng.choice(&architectures).unwrap()).into());
    }
    let variants = ["v7", "v8", "V6", ""];
    maybe(rng, fields, "variant", |rng| (*rng.choice(&variants).unwrap()).into());
    maybe(rng, fields, "os.version", text);
    maybe(rng, fields, "os.features", texts);
}

fn descriptor(media_type: &str, rng: &mut Rng) -> Value {
    let content = vec![b'x'; rng.usize(..5)];
    let digest = if rng.bool() {
        Digest::sha256_of(&content)
    } else {
        let any: Digest = format!("sha512:{}", "0".repeat(128)).parse().unwrap();
        let mut hasher = any.hasher();
        hasher.update(&content);
        hasher.finish()
    };
    let mut fields = Map::new();
    fields.insert("mediaType".into(), media_type.into());
    fields.insert("digest".into(), digest.as_str().into());
    fields.insert("size".into(), content.len().into());
    if rng.u8(..4) == 0 {
        fields.insert("data".into(), STANDARD.encode(&content).into());
    }
    maybe(rng, &mut fields, "urls", texts);
    maybe(rng, &mut fields, "annotations", annotations);
    maybe(rng, &mut fields, "platform", platform);
    maybe(rng, &mut fields, "artifactType", text);
    finish(fields, rng)
}

fn manifest(fields: &mut Map<String, Value>, rng: &mut Rng) {
    let (own, config) = match rng.u8(..3) {
        0 => (types::DOCKER_MANIFEST, types::DOCKER_CONFIG),
        1 => (types::OCI_MANIFEST, types::EMPTY),
        _ => (types::OCI_MANIFEST, types::OCI_CONFIG),
    };
    fields.insert("schemaVersion".into(), 2.into());
    maybe(rng, fields, "mediaType", |_| own.into());
    fields.insert("config".into(), descriptor(config, rng));
    match rng.u8(..10) {
        0 => {}
        1 => drop(fields.insert("layers".into(), Value::Null)),
        _ => {
            let layers = (0..rng.u8(..4)).map(|_| {
                let media_type = rng.choice(&LAYERS).unwrap();
                descriptor(media_type, rng)
            });
            let layers: Value = layers.collect();
            fields.insert("layers".into(), layers);
        }
    }
    maybe(rng, fields, "artifactType", text);
    maybe(rng, fields, "subject", |rng| descriptor(types::OCI_MANIFEST, rng));
    maybe(rng, fields, "annotations", annotations);
}

fn index(fields: &mut Map<String, Value>, rng: &mut Rng) {
    let own = if rng.bool() { types::OCI_INDEX } else { types::DOCKER_MANIFEST_LIST };
    fields.insert("schemaVersion".into(), 2.into());
    maybe(rng, fields, "mediaType", |_| own.into());
    let entries = [types::OCI_MANIFEST, types::DOCKER_MANIFEST, types::OCI_INDEX, "a/b", ""];
    let entries = (0..rng.u8(..4)).map(|_| {
        let media_type = rng.choice(&entries).unwrap();
        descriptor(media_type, rng)
    });
    let entries: Value = entries.collect();
    fields.insert("manifests".into(), if rng.u8(..20) == 0 { Value::Null } else { entries });
    maybe(rng, fields, "artifactType", text);
    maybe(rng, fields, "subject", |rng| descriptor(types::OCI_MANIFEST, rng));
    maybe(rng, fields, "annotations", annotations);
}

fn created(rng: &mut Rng) -> Value {
    let times = ["2024-01-02T03:04:05Z", "0001-01-01T00:00:00Z", "2024-02-29T23:59:59.123+01:30"];
    (*rng.choice(&times).unwrap()).into()
}

fn config(fields: &mut Map<String, Value>, rng: &mut Rng) {
    platform_fields(fields, rng);
    maybe(rng, fields, "created", created);
    maybe(rng, fields, "author", text);
    maybe(rng, fields, "config", execution);
    maybe(rng, fields, "history", |rng| {
        (0..rng.u8(..4))
            .map(|_| {
                let mut step = Map::new();
                maybe(rng, &mut step, "created", created);
                for name in ["created_by", "author", "comment"] {
                    maybe(rng, &mut step, name, text);
                }
                maybe(rng, &mut step, "empty_layer", |rng| rng.bool().into());
                finish(step, rng)
            })
            .collect()
    });
    maybe(rng, fields, "rootfs", |rng| {
        let ids: Vec<_> = (0..rng.u8(..4)).map(|n| Digest::sha256_of(&[n])).collect();
        json!({"type": "layers", "diff_ids": ids})
    });
}

fn execution(rng: &mut Rng) -> Value {
    let mut fields = Map::new();
    for name in ["User", "WorkingDir", "StopSignal"] {
        maybe(rng, &mut fields, name, text);
    }
    for name in ["Env", "Entrypoint", "Cmd", "OnBuild", "Shell"] {
        maybe(rng, &mut fields, name, texts);
    }
    for name in ["ExposedPorts", "Volumes"] {
        maybe(rng, &mut fields, name, |rng| {
            let value = if rng.bool() { json!({}) } else { Value::Null };
            json!({"80/tcp": {}, "/data": value, "/DATA": {"x": anything(rng, 1)}})
        });
    }
    maybe(rng, &mut fields, "Labels", annotations);
    maybe(rng, &mut fields, "ArgsEscaped", |rng| rng.bool().into());
    finish(fields, rng)
}
