//! What `convert` does with good images.

use std::fs;

use recompress_image::image::{Digest, media_type};
use serde_json::{Value, json};
use test_support::{
    layout::{Layout, gzip, manifest, tar, text},
    program, work_dir,
};

const GZIP: &str = media_type::OCI_LAYER_GZIP;

fn convert(layout: &Layout, arguments: &[&str]) -> Value {
    let output = program()
        .args(["convert", &layout.reference(), "--output=json"])
        .args(arguments)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", text(&output));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// However a layer is compressed, and whatever its media type says: it is the tar that decides.
#[test]
fn the_same_tar_gives_the_same_blob() {
    let dir = work_dir();
    let tar = tar(100);
    let (head, tail) = tar.split_at(tar.len() / 3);
    let zstd = |part: &[u8]| zstd::encode_all(part, 1).unwrap();
    let sources = [
        ("gzip", GZIP, gzip(&tar)),
        ("members", GZIP, [gzip(head), gzip(b""), gzip(tail)].concat()),
        ("zstd", media_type::OCI_LAYER_ZSTD, zstd(&tar)),
        ("frames", media_type::OCI_LAYER_ZSTD, [zstd(head), zstd(tail)].concat()),
        ("plain", media_type::OCI_LAYER, tar.clone()),
        ("a lie", GZIP, tar.clone()),
        ("docker zstd", "application/vnd.docker.image.rootfs.diff.tar.zstd", zstd(&tar)),
    ];
    let mut blobs = Vec::new();
    for (name, media_type, blob) in sources {
        let tars = std::slice::from_ref(&tar);
        let mut layout = Layout::new(&dir.path().join(name), &[(media_type, blob)], tars);
        layout.finish();
        for jobs in ["--jobs=1", "--jobs=7"] {
            let report = convert(&layout, &[jobs]);
            assert_eq!(report["layers"][0]["format"], "zstd:chunked", "{name}");
            blobs.push(report["layers"][0]["digest"].clone());
        }
    }
    assert!(blobs.iter().all(|blob| *blob == blobs[0]), "{blobs:?}");
}

#[test]
fn a_docker_image_becomes_an_oci_image_and_keeps_its_id() {
    let dir = work_dir();
    let tars = [tar(3), tar(5), tar(3)];
    let docker = "application/vnd.docker.image.rootfs.diff.tar.gzip";
    let blobs: Vec<_> = tars.iter().map(|tar| (docker, gzip(tar))).collect();
    let mut layout = Layout::new(dir.path(), &blobs, &tars);
    layout.manifest["mediaType"] = media_type::DOCKER_MANIFEST.into();
    layout.manifest["config"]["mediaType"] = media_type::DOCKER_CONFIG.into();
    let source_digest = layout.finish();

    let results = dir.path().join("results");
    fs::create_dir(&results).unwrap();
    let report = convert(&layout, &["--results-dir", results.to_str().unwrap()]);
    let (new, digest) = manifest(dir.path(), "in-zstd-chunked").unwrap();
    let (old, _) = manifest(dir.path(), "in").unwrap();
    assert_eq!(new["mediaType"], media_type::OCI_MANIFEST);
    assert_eq!(new["config"]["mediaType"], media_type::OCI_CONFIG);
    assert_eq!(new["config"]["digest"], old["config"]["digest"]);
    let annotations = &new["annotations"];
    assert_eq!(annotations["org.opencontainers.image.base.name"], "quay.io/base");
    assert_eq!(annotations["io.github.recompress-image.source-digest"], json!(source_digest));
    for layer in new["layers"].as_array().unwrap() {
        assert_eq!(layer["mediaType"], media_type::OCI_LAYER_ZSTD);
        assert_eq!(layer["annotations"]["ostree.components"], "kernel");
        assert_eq!(layer["annotations"].as_object().unwrap().len(), 4);
    }
    // The first and the last layer are one blob, before and after.
    assert_eq!(new["layers"][0], new["layers"][2]);
    assert_ne!(new["layers"][0], new["layers"][1]);

    let url = format!("oci:{}:in-zstd-chunked", dir.path().display());
    let expected = [
        ("IMAGE_URL", url.clone()),
        ("IMAGE_DIGEST", digest.clone()),
        ("IMAGE_REF", format!("{url}@{digest}")),
    ];
    for (name, value) in &expected {
        assert_eq!(fs::read_to_string(results.join(name)).unwrap(), *value);
    }
    assert_eq!(fs::read_dir(&results).unwrap().count(), expected.len());
    assert_eq!(report["image"]["ref"], json!(expected[2].1));
    assert_eq!(report["source_digest"], json!(source_digest));
    assert_eq!(report["plain_layers"], 0);
}

#[test]
fn again_gives_the_same_and_makes_nothing() {
    let dir = work_dir();
    let tars = [tar(10), tar(3)];
    let blobs: Vec<_> = tars.iter().map(|tar| (GZIP, gzip(tar))).collect();
    let mut layout = Layout::new(dir.path(), &blobs, &tars);
    layout.finish();
    for format in ["--compression-format=zstd:chunked", "--compression-format=zstd"] {
        let first = convert(&layout, &[format]);
        let second = convert(&layout, &[format]);
        for (report, before) in [(&first, false), (&second, true)] {
            for layer in report["layers"].as_array().unwrap() {
                assert_eq!(layer["already_there"], before);
                assert_eq!(layer["reused"], before);
            }
        }
        assert_eq!(first["image"], second["image"]);
        let told = |report: &Value| {
            let layer = &report["layers"][0];
            ["format", "digest", "size", "entries", "files", "chunks", "toc_size", "diff_id"]
                .map(|field| layer[field].clone())
        };
        assert_eq!(told(&first), told(&second));
        // Another level is another job.
        let other = convert(&layout, &[format, "--compression-level=1"]);
        assert_eq!(other["layers"][0]["reused"], false);
    }
    let index: Value =
        serde_json::from_slice(&fs::read(dir.path().join("index.json")).unwrap()).unwrap();
    // The source, two results, and the two that lost their tags to those of another level.
    assert_eq!(index["manifests"].as_array().unwrap().len(), 5);
}

/// Whoever may push to the destination can say that it is our work. That is not believed.
#[test]
fn what_only_says_that_it_is_our_work_is_made_again() {
    let dir = work_dir();
    let (good, evil) = (tar(10), tar(11));
    let mut layout = Layout::new(dir.path(), &[(GZIP, gzip(&good))], std::slice::from_ref(&good));
    layout.finish();
    let first = convert(&layout, &[]);
    // Another content under the same annotations.
    let mut other =
        Layout::new(&dir.path().join("other"), &[(GZIP, gzip(&evil))], std::slice::from_ref(&evil));
    other.finish();
    let evil = convert(&other, &[]);
    let (mut manifest, _) = manifest(dir.path(), "in-zstd-chunked").unwrap();
    let (theirs, _) = test_support::layout::manifest(&other.dir, "in-zstd-chunked").unwrap();
    manifest["layers"][0] = theirs["layers"][0].clone();
    let digest: Digest = evil["layers"][0]["digest"].as_str().unwrap().parse().unwrap();
    let blob = |dir: &std::path::Path| dir.join("blobs/sha256").join(digest.hex());
    fs::copy(blob(&other.dir), blob(dir.path())).unwrap();
    let forged = layout.add(manifest.to_string().as_bytes());
    let path = dir.path().join("index.json");
    let mut index: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    let entries = index["manifests"].as_array_mut().unwrap();
    let tag = "org.opencontainers.image.ref.name";
    let entry = entries.iter_mut().find(|entry| entry["annotations"][tag] == "in-zstd-chunked");
    let entry = entry.unwrap();
    entry["digest"] = forged["digest"].clone();
    entry["size"] = forged["size"].clone();
    fs::write(&path, index.to_string()).unwrap();

    let again = convert(&layout, &[]);
    assert_eq!(again["layers"][0]["reused"], false);
    assert_eq!(again["image"], first["image"]);
}

#[test]
fn a_layer_without_an_honest_toc_becomes_plain_zstd() {
    let dir = work_dir();
    let twice = {
        let one = tar(2);
        // Two headers of the same path, one behind the other.
        [&one[..one.len() - 1024], &one[..]].concat()
    };
    let tars = [twice, tar(3)];
    let blobs: Vec<_> = tars.iter().map(|tar| (GZIP, gzip(tar))).collect();
    let mut layout = Layout::new(dir.path(), &blobs, &tars);
    layout.finish();
    let report = convert(&layout, &[]);
    assert_eq!(report["plain_layers"], 1);
    assert_eq!(report["layers"][0]["format"], "zstd");
    let reason = report["layers"][0]["reason"].as_str().unwrap();
    assert!(reason.contains("\"dir/\" has the same path"), "{reason}");
    assert_eq!(report["layers"][1]["format"], "zstd:chunked");
    let (new, _) = manifest(dir.path(), "in-zstd-chunked").unwrap();
    assert_eq!(new["layers"][0]["annotations"], json!({"ostree.components": "kernel"}));
    let digest: Digest = new["layers"][0]["digest"].as_str().unwrap().parse().unwrap();
    let blob = fs::read(dir.path().join("blobs/sha256").join(digest.hex())).unwrap();
    assert_eq!(zstd::decode_all(&blob[..]).unwrap(), tars[0]);

    let required =
        program().args(["convert", &layout.reference(), "--require-chunked"]).output().unwrap();
    assert_eq!(required.status.code(), Some(5), "{}", text(&required));
}

#[test]
fn one_image_of_an_index() {
    let dir = work_dir();
    let tars = [tar(4)];
    let mut layout = Layout::new(dir.path(), &[(GZIP, gzip(&tars[0]))], &tars);
    let child = layout.finish();
    let size = layout.manifest.to_string().len();
    let entry = |os: &str, architecture: &str| {
        json!({
            "mediaType": media_type::OCI_MANIFEST, "digest": child, "size": size,
            "platform": {"os": os, "architecture": architecture},
        })
    };
    layout.manifest = json!({
        "schemaVersion": 2,
        "mediaType": media_type::OCI_INDEX,
        "manifests": [entry("linux", "arm64"), entry("unknown", "unknown")],
    });
    layout.finish();
    let report = convert(&layout, &["--platform=linux/arm64"]);
    assert_eq!(report["source_digest"], json!(child));
    assert!(manifest(dir.path(), "in-linux-arm64-zstd-chunked").is_some());

    for (arguments, code, advice) in [
        (
            &[][..],
            5,
            "choose one image with --platform (linux/arm64), or write an index with --all-platforms",
        ),
        (&["--platform=linux/amd64"], 5, "no image for linux/amd64; it has: linux/arm64"),
    ] {
        let output =
            program().args(["convert", &layout.reference()]).args(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(code), "{}", text(&output));
        assert!(text(&output).contains(advice), "{}", text(&output));
    }
}
