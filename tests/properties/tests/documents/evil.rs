//! Documents that were made to be one image for some readers and another one for Go.

use recompress_image::image::{Digest, media_type as types};
use serde_json::{Value, json};
use test_support::need;

use super::{
    go::GoReader,
    json::{Json, Kind, quoted},
    seen::accept,
};

fn descriptor(media_type: &str, of: &str) -> Value {
    json!({"mediaType": media_type, "digest": Digest::sha256_of(of.as_bytes()), "size": of.len()})
}

fn manifest() -> Value {
    json!({
        "schemaVersion": 2,
        "mediaType": types::OCI_MANIFEST,
        "config": descriptor(types::OCI_CONFIG, "config"),
        "layers": [descriptor(types::OCI_LAYER_GZIP, "layer")],
        "subject": descriptor(types::OCI_MANIFEST, "subject"),
        "annotations": {"key": "good"},
    })
}

fn index() -> Value {
    let mut entry = descriptor(types::OCI_MANIFEST, "manifest");
    entry["platform"] = json!({"os": "linux", "architecture": "amd64", "variant": "v1"});
    entry["annotations"] = json!({"key": "good"});
    json!({"schemaVersion": 2, "mediaType": types::OCI_INDEX, "manifests": [entry]})
}

fn config() -> Value {
    json!({
        "os": "linux", "architecture": "amd64", "created": "2024-01-02T03:04:05Z",
        "config": {"Labels": {"key": "good"}, "Env": ["A=good"]},
        "rootfs": {"type": "layers", "diff_ids": [Digest::sha256_of(b"tar")]},
    })
}

fn good(kind: Kind) -> Value {
    match kind {
        Kind::Manifest => manifest(),
        Kind::Index => index(),
        Kind::Config => config(),
    }
}

/// A field more at the end of the object at `pointer`: its name as it stands in the text.
type Addition = (Kind, &'static str, &'static str, Value);

fn additions() -> Vec<Addition> {
    let layer = || json!([descriptor(types::OCI_LAYER_GZIP, "evil")]);
    let entry = || json!([descriptor(types::OCI_MANIFEST, "evil")]);
    let digest = || json!(Digest::sha256_of(b"evil"));
    vec![
        (Kind::Manifest, "", "layers", layer()),
        (Kind::Manifest, "", "Layers", layer()),
        (Kind::Manifest, "", "layerſ", layer()),
        (Kind::Manifest, "", "layer\\u0073", layer()),
        (Kind::Manifest, "", "layer\\u017f", layer()),
        (Kind::Manifest, "", "CONFIG", descriptor(types::OCI_CONFIG, "evil")),
        (Kind::Manifest, "", "\\u0063onfig", descriptor(types::OCI_CONFIG, "evil")),
        (Kind::Manifest, "", "MediaType", json!(types::DOCKER_MANIFEST)),
        (Kind::Manifest, "", "schemaverſion", json!(1)),
        (Kind::Manifest, "", "ſubject", descriptor(types::OCI_MANIFEST, "evil")),
        (Kind::Manifest, "", "Annotations", json!({"key": "evil"})),
        (Kind::Manifest, "/annotations", "key", json!("evil")),
        (Kind::Manifest, "/annotations", "\\u006bey", json!("evil")),
        (Kind::Manifest, "/config", "Digest", digest()),
        (Kind::Manifest, "/layers/0", "digest", digest()),
        (Kind::Manifest, "/layers/0", "DIGEST", digest()),
        (Kind::Manifest, "/layers/0", "ſize", json!(7)),
        (Kind::Manifest, "/layers/0", "\\u017Fize", json!(7)),
        (Kind::Manifest, "/layers/0", "mediatype", json!(types::OCI_LAYER)),
        (Kind::Manifest, "/layers/0", "urlſ", json!(["https://example.com/evil"])),
        (Kind::Manifest, "/layers/0", "data", json!("ZXZpbA==")),
        (Kind::Manifest, "/layers/0", "Data", json!("ZXZpbA==")),
        (Kind::Index, "", "Manifests", entry()),
        (Kind::Index, "", "manifests", entry()),
        (Kind::Index, "", "manifestſ", entry()),
        (Kind::Index, "", "manife\\u0073ts", entry()),
        (Kind::Index, "/manifests/0", "Digest", digest()),
        (Kind::Index, "/manifests/0", "dige\\u017ft", digest()),
        (Kind::Index, "/manifests/0", "Platform", json!({"os": "windows"})),
        (Kind::Index, "/manifests/0/platform", "OS", json!("windows")),
        (Kind::Index, "/manifests/0/platform", "oſ", json!("windows")),
        (Kind::Index, "/manifests/0/platform", "os", json!("windows")),
        (Kind::Index, "/manifests/0/platform", "Architecture", json!("arm64")),
        (Kind::Index, "/manifests/0/platform", "VARIANT", json!("v3")),
        (Kind::Index, "/manifests/0/platform", "OS.Version", json!("10")),
        (Kind::Index, "/manifests/0/annotations", "key", json!("evil")),
        (Kind::Config, "", "OS", json!("windows")),
        (Kind::Config, "", "rootfſ", json!({"diff_ids": [digest()]})),
        (Kind::Config, "", "RootFS", json!({"diff_ids": [digest()]})),
        (Kind::Config, "", "Config", json!({"Env": ["A=evil"]})),
        (Kind::Config, "", "created", json!("2025-01-02T03:04:05Z")),
        (Kind::Config, "/rootfs", "DIFF_IDS", json!([digest()])),
        (Kind::Config, "/rootfs", "diff_idſ", json!([digest()])),
        (Kind::Config, "/config", "labels", json!({"key": "evil"})),
        (Kind::Config, "/config", "LABELſ", json!({"key": "evil"})),
        (Kind::Config, "/config", "ENV", json!(["A=evil"])),
        (Kind::Config, "/config/Labels", "key", json!("evil")),
    ]
}

/// The value at a JSON pointer.
fn find<'a>(document: &'a mut Json, pointer: &str) -> &'a mut Json {
    pointer.split('/').skip(1).fold(document, |node, step| match node {
        Json::List(list) => &mut list[step.parse::<usize>().unwrap()],
        Json::Object(fields) => {
            &mut fields.iter_mut().find(|(name, _)| *name == quoted(step)).unwrap().1
        }
        Json::Text(_) => panic!("nothing in there"),
    })
}

#[test]
fn what_is_another_image_for_go_is_refused() {
    let test = "what_is_another_image_for_go_is_refused";
    let Some(reader) = need(test, GoReader::build()) else { return };
    for (kind, pointer, name, value) in additions() {
        let plain = Json::of(&good(kind)).write(&mut None);
        let mut document = Json::of(&good(kind));
        let fields = find(&mut document, pointer).fields().unwrap();
        fields.push((format!("\"{name}\""), Json::of(&value)));
        let evil = document.write(&mut None);
        let go = reader.read([(kind, plain.as_bytes()), (kind, evil.as_bytes())].into_iter());
        accept(kind, plain.as_bytes()).unwrap().check(plain.as_bytes(), &go[0]);
        assert!(go[1].get("error").is_none(), "Go refuses {evil}: {}", go[1]);
        assert_ne!(go[0], go[1], "not evil at all: {evil}");
        assert!(accept(kind, evil.as_bytes()).is_err(), "accepted: {evil}");
    }
}

/// What some readers take and Go does not: pushed, it could not be pulled by podman.
#[test]
fn what_go_refuses_is_refused() {
    let test = "what_go_refuses_is_refused";
    let Some(reader) = need(test, GoReader::build()) else { return };
    for (kind, pointer, value) in [
        (Kind::Config, "/created", r#""2024-01-02T03:04:05\u005a""#),
        (Kind::Config, "/created", r#""2024\u002d01-02T03:04:05Z""#),
        (Kind::Config, "/created", r#""""#),
        (Kind::Config, "/created", "1704164645"),
        (Kind::Config, "/config/Env", r#""A=B""#),
        (Kind::Config, "/config/Env/0", "1"),
        (Kind::Config, "/config/Labels/key", "1"),
        (Kind::Config, "/rootfs", "[]"),
        (Kind::Manifest, "/layers/0/size", "5.0"),
        (Kind::Manifest, "/layers/0/size", "5e0"),
        (Kind::Manifest, "/layers/0/size", r#""5""#),
        (Kind::Manifest, "/layers/0/size", "9223372036854775808"),
        (Kind::Manifest, "/schemaVersion", "2.0"),
        (Kind::Manifest, "/annotations/key", "1"),
        (Kind::Manifest, "/annotations", "[]"),
        // As a part of what containers/image reads into an `interface{}`, which has doubles.
        (Kind::Manifest, "/layers/0/size", r#"5,"x":1e999"#),
        (Kind::Manifest, "/config/size", r#"6,"x":[-1e400]"#),
        (Kind::Index, "/manifests/0/annotations", r#"{},"x":1E+309"#),
        (Kind::Index, "/manifests", "{}"),
        (Kind::Index, "/manifests", r#"[],"layers":[]"#),
        (Kind::Index, "/manifests", r#"[],"config":{}"#),
        (Kind::Index, "/manifests", r#"[],"fsLayers":[]"#),
        (Kind::Manifest, "/layers", r#"[],"manifests":[]"#),
        (Kind::Manifest, "/layers", r#"[],"Manifests":[]"#),
        (Kind::Manifest, "/layers", r#"[],"hiſtory":[]"#),
        (Kind::Manifest, "/layers", r#"[],"fslayers":[]"#),
    ] {
        let mut document = Json::of(&good(kind));
        *find(&mut document, pointer) = Json::Text(value.to_owned());
        let broken = document.write(&mut None);
        let go = reader.read([(kind, broken.as_bytes())].into_iter());
        assert!(go[0].get("error").is_some(), "Go takes {broken}");
        assert!(accept(kind, broken.as_bytes()).is_err(), "accepted: {broken}");
    }
}
