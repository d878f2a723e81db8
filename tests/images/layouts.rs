//! Layouts as sources: what they lack, and which of their images is meant.

use std::{fs, process::Command};

use recompress_image::image::{
    Digest,
    media_type::{OCI_LAYER, OCI_LAYER_GZIP},
};
use serde_json::Value;
use test_support::{
    layout::{Layout, gzip, tar, text},
    program, work_dir,
};

/// A layout with an image of one layer, and the digest of the image.
fn image(dir: &std::path::Path) -> (Layout, String) {
    let tars = [tar(3)];
    let mut layout = Layout::new(dir, &[(OCI_LAYER_GZIP, gzip(&tars[0]))], &tars);
    let digest = layout.finish();
    (layout, digest)
}

/// What a layout or an archive lacks is not a registry's fault.
#[test]
fn parts_that_are_missing() {
    let dir = work_dir();
    let (layout, digest) = image(&dir.path().join("in"));
    let blob = |digest: &str| layout.dir.join("blobs").join(digest.replace(':', "/"));
    let config = layout.manifest["config"]["digest"].as_str().unwrap();
    let layer = layout.manifest["layers"][0]["digest"].as_str().unwrap();
    let archive = dir.path().join("in.tar");
    let sources = [layout.reference(), format!("oci-archive:{}", archive.display())];
    let to = format!("oci:{}:out", dir.path().join("out").display());
    let missing = format!("{}@{}", sources[0], Digest::sha256_of(b"nothing"));
    for (part, part_name) in [(layer, "blob"), (config, "blob"), (&digest, "manifest")] {
        let aside = dir.path().join("aside");
        fs::rename(blob(part), &aside).unwrap();
        let packed = Command::new("tar")
            .args(["-cf", archive.to_str().unwrap(), "-C", layout.dir.to_str().unwrap(), "."])
            .status();
        assert!(packed.unwrap().success());
        for source in &sources {
            for arguments in [
                &["convert", source, &to][..],
                &["inspect", source, "--download"],
                &["diff", source, source],
                &["verify", source],
                &["digest", source],
            ] {
                let output = program().args(arguments).output().unwrap();
                let expected = match (arguments[0], part) {
                    ("digest", part) if part != digest => Some(0),
                    // Only its blobs would be compared, and they are the same.
                    ("diff", part) if part == layer => Some(0),
                    ("verify", part) if part == layer => Some(8),
                    _ => Some(7),
                };
                assert_eq!(output.status.code(), expected, "{arguments:?}: {}", text(&output));
                let words = format!("{part_name} {part} not found in {source}");
                let words = words.trim_end_matches(":in");
                let is_told = expected != Some(7) || text(&output).contains(words);
                assert!(is_told, "{arguments:?}: {}", text(&output));
            }
        }
        fs::rename(&aside, blob(part)).unwrap();
    }
    for command in ["convert", "inspect", "verify", "digest"] {
        let output = program().args([command, &missing]).output().unwrap();
        assert_eq!(output.status.code(), Some(7), "{command}: {}", text(&output));
    }
}

/// A conversion beside its source can be repeated, although no image is named.
#[test]
fn the_source_is_found_again() {
    let dir = work_dir();
    let (layout, digest) = image(&dir.path().join("in"));
    let source = format!("oci:{}", layout.dir.display());
    let convert = |more: &[&str]| {
        let output = program().args(["convert", &source]).args(more).output().unwrap();
        assert!(output.status.success(), "{}", text(&output));
        output
    };
    let resolved = format!("resolved {source} to {digest}");
    let first = convert(&[]);
    assert!(!text(&first).contains(&resolved), "{}", text(&first));
    let second = convert(&[]);
    assert!(text(&second).contains(&resolved), "{}", text(&second));
    assert_eq!(first.stdout, second.stdout);
    convert(&["--compression-format=gzip"]);
    let plan = convert(&["--dry-run", "--output=json"]);
    let plan: Value = serde_json::from_slice(&plan.stdout).unwrap();
    assert_eq!(plan["source_digest"], *digest);
    // Only `convert` can know which one is meant.
    let output = program().args(["verify", &source]).output().unwrap();
    assert_eq!(output.status.code(), Some(7), "{}", text(&output));
    assert!(text(&output).contains("choose one by tag or digest"), "{}", text(&output));
}

/// Reports say the same as text and as JSON, also of layers that are not read.
#[test]
fn formats_have_one_name() {
    let dir = work_dir();
    let tars = [tar(3)];
    let mut layout = Layout::new(dir.path(), &[(OCI_LAYER, tars[0].clone())], &tars);
    layout.finish();
    let (source, result) = (layout.reference(), layout.reference() + "-zstd-chunked");
    let again = format!("oci:{}:again", dir.path().display());
    for (from, to, format) in
        [(&source, &result, "uncompressed"), (&result, &again, "zstd:chunked")]
    {
        let inspected = [&["inspect", from][..], &["inspect", from, "--output=json"]];
        let [told, report] =
            inspected.map(|arguments| program().args(arguments).output().unwrap().stdout);
        assert!(String::from_utf8(told).unwrap().contains(&format!(": {format}\n")));
        let report: Value = serde_json::from_slice(&report).unwrap();
        assert_eq!(report["layers"][0]["format"], format);
        let plan = converted(&[from, to, "--compression-level=1", "--dry-run"]).0;
        assert_eq!(plan["layers"][0]["source_format"], format);
        let (report, told) = converted(&[from, to, "--compression-level=1"]);
        assert_eq!(report["layers"][0]["source_format"], format);
        assert!(told.contains(&format!("layer 1: {format} ")), "{told}");
    }
}

/// A content that is at the bottom and above is converted once, and planned once.
#[test]
fn a_plan_counts_what_is_read() {
    let dir = work_dir();
    let (first, second) = (tar(3), tar(5));
    let tars = [first.clone(), second, first];
    let blobs = tars.each_ref().map(|tar| (OCI_LAYER_GZIP, gzip(tar)));
    let mut layout = Layout::new(dir.path(), &blobs, &tars);
    layout.finish();
    let source = layout.reference();
    let (plan, _) = converted(&[&source, "--dry-run"]);
    let numbers = plan["layers"].as_array().unwrap().iter().map(|layer| &layer["number"]);
    assert_eq!(numbers.collect::<Vec<_>>(), [1, 2]);
    let size = blobs[0].1.len() + blobs[1].1.len();
    assert_eq!(plan["download_size"], size);
    let (_, told) = converted(&[&source]);
    assert!(told.contains("2 layers, "), "{told}");
}

/// The report of `convert`, and what was told.
fn converted(arguments: &[&str]) -> (Value, String) {
    let output = program().arg("convert").args(arguments).arg("--output=json").output().unwrap();
    assert!(output.status.success(), "{}", text(&output));
    (serde_json::from_slice(&output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap())
}
