#![allow(clippy::unwrap_used)]
use serde_json::{Value, json};

use super::*;
use crate::image::{
    BlobId,
    annotations::ZSTD_MARK,
    media_type::{DOCKER_MANIFEST, DOCKER_MANIFEST_LIST, OCI_MANIFEST},
};

fn digest(of: &str) -> Digest {
    Digest::sha256_of(of.as_bytes())
}

fn list() -> Value {
    json!({
        "schemaVersion": 2,
        "mediaType": DOCKER_MANIFEST_LIST,
        "x-unknown": 1.50,
        "manifests": [{
            "mediaType": DOCKER_MANIFEST, "size": 5, "digest": digest("arm"),
            "platform": {"os": "linux", "architecture": "arm", "variant": "v7", "x": [1]},
            "annotations": {"foreign": "kept"}, "x-unknown": {"b": 1, "a": 2},
        }],
        "annotations": {"z": "1", "com.amazon.soci.index-digest": "stale", "a": "2"},
    })
}

#[test]
fn a_docker_list_becomes_an_oci_index_and_the_rest_stays() {
    let index = Index::parse(list().to_string().as_bytes()).unwrap();
    let variant = |of, size, mark| {
        let mut entry = index.entries().next().unwrap().clone();
        entry.point_at(OCI_MANIFEST, BlobId { digest: digest(of), size });
        entry.set_annotation(ZSTD_MARK, mark).unwrap();
        entry
    };
    let entries = vec![variant("gzip", 6, None), variant("zstd", 7, Some("true"))];
    let (bytes, gone) = index.with_entries(entries, &[("from", "there".into())]).unwrap();
    let expected = |of: &str, size: u64, annotations: Value| {
        json!({
            "mediaType": OCI_MANIFEST, "size": size, "digest": digest(of),
            "platform": {"os": "linux", "architecture": "arm", "variant": "v7", "x": [1]},
            "annotations": annotations, "x-unknown": {"b": 1, "a": 2},
        })
    };
    let expected = json!({
        "schemaVersion": 2,
        "mediaType": OCI_INDEX,
        "x-unknown": 1.50,
        "manifests": [
            expected("gzip", 6, json!({"foreign": "kept"})),
            expected("zstd", 7, json!({"foreign": "kept", ZSTD_MARK: "true"})),
        ],
        "annotations": {"z": "1", "a": "2", "from": "there"},
    });
    assert_eq!(String::from_utf8(bytes).unwrap(), expected.to_string());
    assert_eq!(gone, ["com.amazon.soci.index-digest"]);
}

#[test]
fn malformed_indexes_are_refused() {
    let good = list();
    assert!(Index::parse(good.to_string().as_bytes()).is_ok());
    let with = |field: &str, value: Value| {
        let mut index = good.clone();
        index[field] = value;
        index.to_string()
    };
    let entry = |field: &str, value: Value| {
        let mut index = good.clone();
        index["manifests"][0][field] = value;
        index.to_string()
    };
    for bad in [
        "[]".to_owned(),
        "{}".to_owned(),
        with("manifests", json!({})),
        with("manifests", json!([1])),
        with("manifests", json!([{}])),
        with("manifests", json!([null])),
        with("Manifests", json!([])),
        with("schemaVersion", json!("2")),
        with("annotations", json!([])),
        with("subject", json!(1)),
        entry("Digest", json!(digest("x"))),
        entry("size", json!("5")),
        entry("urls", json!("https://a")),
    ] {
        assert!(Index::parse(bad.as_bytes()).is_err(), "{bad}");
    }
    assert_eq!(
        Index::parse(with("manifests", Value::Null).as_bytes()).unwrap().entries().count(),
        0
    );
}

#[test]
fn a_list_keeps_what_is_not_a_descriptor() {
    let entry = Descriptor::new(OCI_MANIFEST, BlobId { digest: digest("one"), size: 7 });
    let mut index = Index::new();
    assert!(index.add(entry.clone()) && !index.add(entry.clone()));
    let foreign = index.to_json().replacen('[', r#"["what is this",{"z":1.50,"a":[]},"#, 1);
    assert!(Index::parse(foreign.as_bytes()).is_err());
    let mut index = Index::parse_list(foreign.as_bytes()).unwrap();
    assert_eq!((index.entries().count(), index.others()), (1, 2));
    assert!(index.find(&digest("one")).is_some());
    index.add(Descriptor::new(OCI_MANIFEST, BlobId { digest: digest("two"), size: 8 }));
    let text = index.to_json();
    assert!(text.starts_with(&foreign[..foreign.len() - 2]), "{text}");
    assert_eq!(Index::parse_list(text.as_bytes()).unwrap().entries().count(), 2);
}

#[test]
fn platforms_that_there_are() {
    let entry = |of: &str, platform: Value| json!({"mediaType": OCI_MANIFEST, "digest": digest(of), "size": 1, "platform": platform});
    let index = json!({"manifests": [
        entry("none", Value::Null),
        entry("unknown", json!({"os": "unknown", "architecture": "unknown"})),
        entry("v6", json!({"os": "linux", "architecture": "arm", "variant": "v6"})),
        entry("v7", json!({"os": "linux", "architecture": "arm"})),
        entry("amd64", json!({"os": "linux", "architecture": "x86_64"})),
        entry("zstd", json!({"os": "linux", "architecture": "amd64", "variant": "v1"})),
        {"mediaType": "a/b", "digest": digest("x"), "size": 1,
            "platform": {"os": "plan9", "architecture": "mips"}},
    ]});
    let index = Index::parse(index.to_string().as_bytes()).unwrap();
    let names: Vec<_> = index.platforms().iter().map(Platform::to_string).collect();
    assert_eq!(names, ["linux/arm/v6", "linux/arm", "linux/amd64"]);
}
