//! What stays in an index, and what becomes of images that the formats have no words for.

use std::fs;

use recompress_image::image::{Digest, media_type};
use serde_json::{Value, json};
use test_support::{
    layout::{Layout, gzip, manifest, tar, text},
    program, work_dir,
};

use crate::index::{Index, convert, entries, platform};

const SOURCE_DIGEST: &str = "io.github.recompress-image.source-digest";
const MARK: &str = "io.github.containers.compression.zstd";

/// A tar without an entry for its directory, which can have no TOC.
fn unchunkable() -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_mode(0o644);
    header.set_size(4);
    tar.append_data(&mut header, "etc/file", &b"text"[..]).unwrap();
    tar.into_inner().unwrap()
}

/// Somebody puts the right layer at the destination, so that the wrong one of the source need not be
/// read to make the variant. It stays in the index nevertheless.
#[test]
fn what_stays_is_read_even_if_a_variant_is_used_again() {
    let dir = work_dir();
    let (good, evil) = (tar(3), tar(4));
    let at = |name: &str| dir.path().join(name);
    let mut honest = Layout::new(
        &at("honest"),
        &[(media_type::OCI_LAYER_GZIP, gzip(&good))],
        std::slice::from_ref(&good),
    );
    honest.finish();
    let planted = format!("oci:{}:x", at("planted").display());
    convert(&honest.reference(), &[&planted]);

    let mut source = Index::new(&at("source"));
    let mut lying =
        Layout::new(&at("source"), &[(media_type::OCI_LAYER_GZIP, gzip(&evil))], &[good]);
    let digest = lying.finish();
    source.entries.push(json!({
        "mediaType": media_type::OCI_MANIFEST, "digest": digest,
        "size": lying.manifest.to_string().len(), "platform": platform("amd64"),
    }));
    source.finish(media_type::OCI_INDEX);

    let (mut claim, _) = manifest(&at("planted"), "x").unwrap();
    claim["annotations"][SOURCE_DIGEST] = json!(digest);
    let bytes = claim.to_string();
    let claimed = Digest::sha256_of(bytes.as_bytes());
    fs::write(at("planted").join("blobs/sha256").join(claimed.hex()), &bytes).unwrap();
    let index = json!({"schemaVersion": 2, "manifests": [{
        "mediaType": media_type::OCI_MANIFEST, "digest": claimed, "size": bytes.len(),
        "annotations": {"org.opencontainers.image.ref.name": "x"},
    }]});
    for arguments in [&["--compression-format=dual"][..], &["--add"]] {
        fs::write(at("planted").join("index.json"), index.to_string()).unwrap();
        let results = work_dir();
        let output = program()
            .args(["convert", &source.layout.reference(), &planted, "--results-dir"])
            .arg(results.path())
            .args(arguments)
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(4), "{}", text(&output));
        assert!(text(&output).contains("cannot be kept: layer 1: diff-id"), "{}", text(&output));
        assert_eq!(fs::read_dir(results.path()).unwrap().count(), 0);
    }
}

#[test]
fn an_image_that_becomes_plain_zstd_is_made_once() {
    let dir = work_dir();
    let mut source = Index::new(dir.path());
    source.image(false, &platform("amd64"), &[unchunkable()]);
    source.finish(media_type::OCI_INDEX);
    let reference = source.layout.reference();
    for arguments in [&["--compression-format=dual"][..], &["--add"]] {
        let to = format!("{reference}-1");
        let first = convert(&reference, &[&[&*to], arguments].concat());
        assert_eq!(first["manifests"][1]["format"], "zstd", "{first}");
        let second = convert(&to, &[&[&*format!("{reference}-2")], arguments].concat());
        assert_eq!(second["image"]["digest"], first["image"]["digest"]);
        assert_eq!(second["manifests"].as_array().unwrap().len(), 2, "{second}");
    }
}

#[test]
fn an_entry_without_a_platform_gets_that_of_its_image() {
    let dir = work_dir();
    let mut source = Index::new(dir.path());
    source.image(false, &platform("arm64"), &[tar(2)]);
    source.entries[0].as_object_mut().unwrap().remove("platform");
    source.finish(media_type::OCI_INDEX);
    convert(&source.layout.reference(), &["--compression-format=dual"]);
    let (_, found) = entries(dir.path(), "in-dual");
    assert_eq!(found.len(), 2);
    assert!(found.iter().all(|(entry, _)| entry["platform"] == platform("arm64")), "{found:?}");
}

#[test]
fn what_is_listed_is_there() {
    let dir = work_dir();
    let mut source = Index::new(dir.path());
    source.image(false, &platform("amd64"), &[tar(2)]);
    for media_type in [media_type::OCI_INDEX, "application/vnd.example"] {
        let missing = Digest::sha256_of(media_type.as_bytes());
        source.entries.push(json!({"mediaType": media_type, "digest": missing, "size": 7}));
    }
    source.finish(media_type::OCI_INDEX);
    let report = convert(&source.layout.reference(), &["--add"]);
    let left = report["left"].as_array().unwrap();
    let reasons: Vec<_> = left.iter().map(|left| left["reason"].as_str().unwrap()).collect();
    assert_eq!(reasons.len(), 2, "{left:?}");
    assert!(reasons.iter().all(|reason| reason.contains("cannot be copied")), "{reasons:?}");
    assert_eq!(entries(dir.path(), "in-with-zstd-chunked").1.len(), 2);
}

#[test]
fn one_image_for_two_platforms_is_one_result() {
    let (dir, results) = (work_dir(), work_dir());
    let mut source = Index::new(dir.path());
    source.image(false, &platform("amd64"), &[tar(2)]);
    let mut twin = source.entries[0].clone();
    twin["platform"] = platform("arm64");
    source.entries.push(twin);
    source.finish(media_type::OCI_INDEX);
    let results_dir = format!("--results-dir={}", results.path().display());
    let report = convert(&source.layout.reference(), &["--all-platforms", &results_dir]);
    assert_eq!(report["manifests"].as_array().unwrap().len(), 2);
    let images = fs::read_to_string(results.path().join("IMAGES")).unwrap();
    assert_eq!(images.split(',').count(), 1, "{images}");
}

#[test]
fn an_image_of_foreign_layers_alone_is_not_marked() {
    let dir = work_dir();
    let mut source = Index::new(dir.path());
    source.image(false, &platform("amd64"), &[tar(2)]);
    let (path, old) = {
        let digest: Digest = source.entries[0]["digest"].as_str().unwrap().parse().unwrap();
        let path = dir.path().join("blobs/sha256").join(digest.hex());
        (path.clone(), serde_json::from_slice::<Value>(&fs::read(path).unwrap()).unwrap())
    };
    fs::remove_file(path).unwrap();
    let mut foreign = old;
    foreign["layers"][0]["mediaType"] =
        "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip".into();
    foreign["layers"][0]["urls"] = json!(["https://example.com/layer"]);
    let stored = source.layout.add(foreign.to_string().as_bytes());
    source.entries[0]["digest"] = stored["digest"].clone();
    source.entries[0]["size"] = stored["size"].clone();
    source.finish(media_type::OCI_INDEX);
    let report = convert(&source.layout.reference(), &["--all-platforms"]);
    assert_eq!(report["manifests"][0]["format"], "foreign", "{report}");
    let (index, _) = manifest(dir.path(), "in-zstd-chunked").unwrap();
    assert!(index["manifests"][0]["annotations"].get(MARK).is_none(), "{index}");
}
