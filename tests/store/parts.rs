//! Parts of blobs, as `inspect` and `diff` request them, from registries that serve them wrongly.

use std::sync::atomic::{AtomicBool, Ordering};

use recompress_image::image::media_type::OCI_MANIFEST;
use serde_json::Value;
use test_support::{
    layout::manifest,
    scripted::{Answer, Reaction, Scripted, answer, cut},
};

use super::{
    quick,
    sample::{Sample, convert, ends, program, run},
};

#[derive(Debug, Clone, Copy)]
enum Mood {
    ByTheBook,
    /// The first part breaks off.
    CutOnce,
    /// Fewer bytes than it says.
    Short,
    /// Other bytes.
    Other,
    /// The right TOC, and another tar-split stream behind it.
    OtherTarSplit,
}

fn part(mood: Mood, is_first: bool, blob: &[u8], range: &str) -> Answer {
    let (start, end) = range.strip_prefix("bytes=").unwrap().split_once('-').unwrap();
    let (start, end): (usize, usize) = (start.parse().unwrap(), end.parse().unwrap());
    let header = format!("Content-Range: bytes {start}-{end}/{}", blob.len());
    let bytes = &blob[start..=end];
    match mood {
        Mood::CutOnce if is_first => cut(206, &[&header], bytes.len(), &bytes[..10]),
        Mood::ByTheBook | Mood::CutOnce => answer(206, &[&header], bytes),
        Mood::Short => answer(206, &[&header], &bytes[..10]),
        Mood::Other => answer(206, &[&header], &vec![7; bytes.len()]),
        Mood::OtherTarSplit => {
            let mut bytes = bytes.to_vec();
            *bytes.last_mut().unwrap() ^= 1;
            answer(206, &[&header], &bytes)
        }
    }
}

/// What is reported of an image does not depend on how its registry serves parts of blobs.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn parts_that_are_wrong_say_nothing_of_the_image() {
    let dir = tempfile::tempdir().unwrap();
    let source = format!("oci:{}:1", dir.path().display());
    let source = Sample::new(&[9000], 91).push(&source, &quick()).await;
    let to = format!("oci:{}:z", dir.path().display());
    ends(&run(convert(&source, &to)).await, 0, &[]);
    let (image, digest) = manifest(dir.path(), "z").unwrap();
    let blobs = dir.path().join("blobs");
    let layer = image["layers"][0]["digest"].as_str().unwrap().to_owned();
    let mut reports = Vec::new();
    for mood in [Mood::ByTheBook, Mood::CutOnce, Mood::Short, Mood::Other, Mood::OtherTarSplit] {
        let (blobs, digest, layer) = (blobs.clone(), digest.clone(), layer.clone());
        let is_first = AtomicBool::new(true);
        let server = Scripted::start(move |request, _| -> Reaction {
            let read = |digest: &str| std::fs::read(blobs.join(digest.replace(':', "/"))).unwrap();
            let range = request.header("range");
            let wanted = request.line.rsplit('/').next().unwrap();
            let content_type = format!("Content-Type: {OCI_MANIFEST}");
            if request.line == "GET /v2/" {
                answer(200, &[], b"").into()
            } else if request.line.contains("/manifests/") {
                answer(200, &[&content_type], &read(&digest)).into()
            } else if wanted == layer && !range.is_empty() {
                let is_first = is_first.swap(false, Ordering::Relaxed);
                part(mood, is_first, &read(wanted), range).into()
            } else {
                answer(200, &[], &read(wanted)).into()
            }
        })
        .await;
        let image = format!("{}:z", server.image());
        for command in [vec!["inspect", &image], vec!["diff", &source, &image]] {
            let mut program = program();
            program.args(&command).arg("--output=json");
            let output = run(program).await;
            ends(&output, 0, &[]);
            let mut report: Value = serde_json::from_slice(&output.stdout).unwrap();
            report["reference"] = Value::Null;
            report["new"] = Value::Null;
            report["duration_seconds"] = Value::Null;
            reports.push((mood, command[0].to_owned(), report));
        }
    }
    let (honest, others) = reports.split_at(2);
    assert_eq!(honest[0].2["layers"][0]["problem"], Value::Null);
    for (mood, command, report) in others {
        let expected = honest.iter().find(|(_, other, _)| other == command).unwrap();
        assert_eq!(*report, expected.2, "{command}, {mood:?}");
    }
}
