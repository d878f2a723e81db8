//! Destinations on disk: damaged, written to by many at once, and named as skopeo names them.

use std::{fs, path::Path, process::Stdio};

use recompress_image::image::media_type;
use serde_json::Value;
use test_support::{
    layout::{Layout, gzip, manifest, tar, text},
    program, work_dir,
};

use crate::measured::run;

fn source(dir: &Path) -> Layout {
    let tar = tar(20);
    let mut source = Layout::new(dir, &[(media_type::OCI_LAYER_GZIP, gzip(&tar))], &[tar]);
    source.finish();
    source
}

#[test]
fn damaged_blobs_are_replaced() {
    let dir = work_dir();
    let source = source(&dir.path().join("in")).reference();
    for format in ["zstd:chunked", "zstd", "gzip"] {
        let out = dir.path().join(format.replace(':', "-"));
        let to = format!("oci:{}:t", out.display());
        let convert = ["convert", &source, &to, &format!("--compression-format={format}")];
        run(&convert).ends("whole", 0);
        let image = manifest(&out, "t").unwrap().0;
        for digest in [&image["layers"][0]["digest"], &image["config"]["digest"]] {
            let path = out.join("blobs").join(digest.as_str().unwrap().replace(':', "/"));
            let right = fs::read(&path).unwrap();
            let mut damaged = right.clone();
            damaged[right.len() / 2] ^= 1;
            fs::write(&path, &damaged).unwrap();
            let again = run(&convert);
            again.ends("damaged", 0);
            assert!(again.stderr.contains("is damaged; replacing it"), "{}", again.stderr);
            assert!(fs::read(&path).unwrap() == right, "{format}: {digest}");
        }
    }
}

#[test]
fn many_runs_into_one_new_layout() {
    const RUNS: usize = 24;
    let dir = work_dir();
    let source = source(&dir.path().join("in")).reference();
    for round in 0..3 {
        let out = dir.path().join(format!("new/{round}"));
        let start = |n| {
            let to = format!("oci:{}:t{n}", out.display());
            let mut command = program();
            command.args(["convert", &source, &to, "--jobs=1"]);
            command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
        };
        let children: Vec<_> = (0..RUNS).map(start).collect();
        for child in children {
            let output = child.wait_with_output().unwrap();
            assert!(output.status.success(), "{}", text(&output));
        }
        let tags = (0..RUNS).filter(|n| manifest(&out, &format!("t{n}")).is_some());
        assert_eq!(tags.count(), RUNS);
    }
}

#[test]
fn an_image_with_the_name_of_one_in_a_registry() {
    let dir = work_dir();
    let source = source(&dir.path().join("in")).reference();
    let out = dir.path().join("out");
    let name = "registry.example:5000/org/app:1.2";
    let to = format!("oci:{}:{name}", out.display());
    let report = run(&["convert", &source, &to]).ends("as the destination", 0).report();
    let (_, digest) = manifest(&out, name).unwrap();
    assert_eq!(report["image"]["ref"], format!("{to}@{digest}"));
    for reference in [&to, report["image"]["ref"].as_str().unwrap()] {
        run(&["verify", reference]).ends("to be verified", 0);
    }
    // Without a destination, next to the source.
    let report = run(&["convert", &to]).ends("as the source", 0).report();
    let expected = format!("{to}-zstd-chunked");
    assert_eq!(report["image"]["url"], Value::from(expected));
    assert!(manifest(&out, &format!("{name}-zstd-chunked")).is_some());
}
