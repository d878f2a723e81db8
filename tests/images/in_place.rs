//! A tag that leads to the source is moved only with `--in-place`, however source and destination are
//! named.

use std::{fs, os::unix::fs::symlink, path::Path, process::Output};

use recompress_image::image::media_type;
use serde_json::{Value, json};
use test_support::{
    layout::{manifest, tar, text},
    program, work_dir,
};

use super::index::{Index, platform};

/// Both what a run says and what it would say; the tag stays what it is.
fn is_refused(dir: &Path, tag: &str, arguments: &[&str], words: &str) {
    let before = manifest(dir, tag).unwrap();
    for dry in [None, Some("--dry-run")] {
        let output = run(dir, &[arguments, dry.as_slice()].concat());
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {}", text(&output));
        assert!(text(&output).contains(words), "{words}: {}", text(&output));
        assert!(text(&output).contains("--in-place"), "{}", text(&output));
    }
    assert_eq!(manifest(dir, tag).unwrap(), before);
}

fn is_done(dir: &Path, arguments: &[&str]) {
    let output = run(dir, arguments);
    assert!(output.status.success(), "{arguments:?}: {}", text(&output));
}

fn run(dir: &Path, arguments: &[&str]) -> Output {
    program().arg("convert").args(arguments).current_dir(dir.join("..")).output().unwrap()
}

/// Gives a tag to a manifest that the layout has.
fn tag(dir: &Path, name: &str, media_type: &str, digest: &str) {
    let path = dir.join("index.json");
    let mut index: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    let size = fs::metadata(dir.join("blobs").join(digest.replace(':', "/"))).unwrap().len();
    index["manifests"].as_array_mut().unwrap().push(json!({
        "mediaType": media_type, "digest": digest, "size": size,
        "annotations": {"org.opencontainers.image.ref.name": name},
    }));
    fs::write(path, index.to_string()).unwrap();
}

#[test]
fn of_an_image_however_the_place_is_named() {
    let (root, other) = (work_dir(), work_dir());
    let dir = root.path().join("w");
    let mut source = Index::new(&dir);
    let image = source.image(false, &platform("amd64"), &[tar(3)]);
    tag(&dir, "1", media_type::OCI_MANIFEST, &image);
    tag(&dir, "other", media_type::OCI_MANIFEST, &image);
    symlink(&dir, root.path().join("link")).unwrap();
    let whole = dir.display();
    for to in ["oci:w:1", "oci:./w:1", "oci:w/../w/:1", "oci:link:1", &format!("oci:{whole}:1")] {
        is_refused(&dir, "1", &["oci:w:1", to], "names the source, sha256:");
    }
    // The tag that the source was named by is not its only one.
    is_refused(&dir, "1", &["oci:w:other", "oci:w:1"], "names the source");
    is_refused(&dir, "1", &[&format!("oci:w:no@{image}"), "oci:w:1"], "names the source");
    // A copy may be all that the clients of another place have.
    let copy = other.path().join("copy");
    assert!(
        std::process::Command::new("cp").arg("-r").args([&dir, &copy]).status().unwrap().success()
    );
    let to = format!("oci:{}:1", copy.display());
    is_refused(&copy, "1", &[&format!("oci:{whole}:1"), &to], "names the source");

    // What an earlier run made is replaced.
    is_done(&dir, &["oci:w:1", "oci:w:new"]);
    is_done(&dir, &["oci:w:1", "oci:w:new", "--compression-format=zstd"]);
    // An index that keeps the source for others is made, and not lost again.
    is_done(&dir, &["oci:w:1", "oci:w:1", "--compression-format=dual"]);
    is_done(&dir, &["oci:w:other", "oci:w:1", "--compression-format=dual"]);
    is_done(&dir, &["oci:w:other", "oci:w:1", "--add"]);
    is_refused(&dir, "1", &["oci:w:other", "oci:w:1"], "names an index that lists the source");
    is_done(&dir, &["oci:w:other", "oci:w:1", "--in-place"]);
}

#[test]
fn of_an_index_by_one_of_its_images() {
    for media_type in [media_type::OCI_INDEX, media_type::DOCKER_MANIFEST_LIST] {
        let root = work_dir();
        let dir = root.path().join("w");
        let mut source = Index::new(&dir);
        let is_docker = media_type == media_type::DOCKER_MANIFEST_LIST;
        let child = source.image(is_docker, &platform("amd64"), &[tar(3)]);
        source.image(is_docker, &platform("arm64"), &[tar(5)]);
        let index = source.finish(media_type);
        tag(&dir, "amd64", source.entries[0]["mediaType"].as_str().unwrap(), &child);
        tag(&dir, "dual", media_type, &index);
        let refused = |tag: &str, arguments: &[&str], words| {
            let to = format!("oci:./w:{tag}");
            is_refused(&dir, tag, &[arguments, &[&to]].concat(), words);
        };
        let amd64 = "--platform=linux/amd64";
        refused("in", &["oci:w:in", amd64], "names the source");
        refused("in", &["oci:w:in", "--all-platforms"], "names the source");
        refused("in", &["oci:w:in", amd64, "--compression-format=dual"], "names the source");
        refused("amd64", &["oci:w:in", amd64], "names the source");
        refused("in", &["oci:w:amd64"], "names an index that lists the source");
        let dual = ["oci:w:amd64", "--compression-format=dual"];
        refused("in", &dual, "names an index that lists the source");

        // All entries stay, again and again.
        for more in [&["--compression-format=dual"][..], &["--add", amd64], &["--add"]] {
            is_done(&dir, &[&["oci:w:in", "oci:w:dual"], more].concat());
        }
        is_done(&dir, &["oci:w:in", "oci:w:in", "--add", amd64]);
        is_done(&dir, &["oci:w:in", "oci:w:in", "--compression-format=dual"]);
        is_done(&dir, &["oci:w:in", "oci:w:in", "--in-place", amd64]);
    }
}
