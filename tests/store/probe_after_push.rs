//! `convert` and what the destination does for partial pulls.

use std::{
    path::{Path, PathBuf},
    process::Output,
};

use bytes::Bytes;
use recompress_image::{
    image::{
        Digest,
        media_type::{OCI_CONFIG, OCI_LAYER, OCI_MANIFEST},
    },
    store::{BlobContent, Intent, RawManifest},
};
use serde_json::{Value, json};
use test_support::{
    program,
    scripted::{Answer, answer},
};

use super::{fake::Fake, open, peer::Peer, quick};

/// A layout below `dir` with an image of one layer, and its reference.
async fn source(dir: &Path) -> String {
    let mut tar = tar::Builder::new(Vec::new());
    let text = b"some text\n".repeat(500);
    let mut header = tar::Header::new_gnu();
    header.set_size(text.len() as u64);
    header.set_mode(0o644);
    tar.append_data(&mut header, "file", &text[..]).unwrap();
    let layer = tar.into_inner().unwrap();
    let config = json!({ "architecture": "amd64", "os": "linux",
        "rootfs": { "type": "layers", "diff_ids": [Digest::sha256_of(&layer)] } });
    let config = config.to_string().into_bytes();
    let descriptor = |media_type: &str, blob: &[u8]| {
        let digest = Digest::sha256_of(blob);
        json!({ "mediaType": media_type, "digest": digest, "size": blob.len() })
    };
    let manifest = json!({ "schemaVersion": 2, "mediaType": OCI_MANIFEST,
        "config": descriptor(OCI_CONFIG, &config), "layers": [descriptor(OCI_LAYER, &layer)] });

    let reference = format!("oci:{}:in", dir.join("layout").display());
    let layout = open(&reference, Intent::Push, &quick()).await.unwrap();
    for blob in [layer, config] {
        let (digest, size) = (Digest::sha256_of(&blob), blob.len() as u64);
        let content = BlobContent::Bytes(Bytes::from(blob));
        layout.put_blob(&digest, size, content).await.unwrap();
    }
    let manifest = RawManifest::new(manifest.to_string(), OCI_MANIFEST);
    layout.put_manifest(&manifest, Some("in")).await.unwrap();
    reference
}

async fn convert(arguments: Vec<String>) -> Output {
    let run =
        move || program().args(["convert", "--output=json"]).args(arguments).output().unwrap();
    tokio::task::spawn_blocking(run).await.unwrap()
}

fn report(output: &Output) -> Value {
    assert!(output.status.success(), "{output:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

/// A registry that answers GETs of blobs by `script`, if that does.
fn registry(script: impl Fn() -> Option<Answer> + Send + Sync + 'static) -> Fake {
    let refuse: super::fake::Fault = Box::new(move |request, _| {
        let is_blob = request.method() == "GET" && request.line.contains("/blobs/sha256:");
        script().filter(|_| is_blob).map(Into::into)
    });
    Fake { refuse: Some(refuse), ..Fake::default() }.taking_manifests()
}

fn results(dir: &Path) -> PathBuf {
    let results = dir.join("results");
    std::fs::create_dir(&results).unwrap();
    results
}

/// The registry does not serve ranges after the push: a warning, exit code 0, and the usual
/// results.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_registry_that_breaks_partial_pulls_is_no_failure() {
    for (status, verdict, words) in [
        (501, "broken", "cannot pull zstd:chunked images from this registry at all"),
        (400, "fallback", "clients pull whole layers instead"),
        (200, "whole", "clients download each layer twice"),
        (404, "unknown", "unknown whether the registry serves partial pulls"),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let (source, results) = (source(dir.path()).await, results(dir.path()));
        let written = results.join("IMAGE_REF");
        // The results come first.
        let answers = move || written.exists().then(|| answer(status, &[], b""));
        let (server, _) = registry(answers).start().await;
        let output = convert(vec![
            source,
            format!("{}:out", server.image()),
            format!("--results-dir={}", results.display()),
        ])
        .await;
        let report = report(&output);
        assert_eq!(report["probe"]["verdict"], verdict, "{report:#}");
        assert_eq!(report["plain_layers"], 0);
        let told = String::from_utf8_lossy(&output.stderr);
        let (_, warning) = told.split_once("warning: ").expect("a warning");
        assert!(warning.contains(words), "{told}");
        // Two are to read back the layer and the config.
        assert!(server.requests("GET /v2/org/app/blobs/").len() <= 4);
    }
}

/// docker-registry gets two requests after a push of chunked layers, and none otherwise.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn docker_registry_is_probed_where_that_makes_sense() {
    let peer = Peer::start();
    let dir = tempfile::tempdir().unwrap();
    let source = source(dir.path()).await;
    let to_registry = format!("{}/org/app:out", peer.host());
    let to_layout = format!("oci:{}", dir.path().join("other").display());
    // Two parts of each image are requested in any case, to read it back, and the end of a layer to
    // be reused.
    for (destination, option, verdict, parts) in [
        (&to_registry, "--probe", json!("partial"), 4),
        (&to_registry, "--probe=false", Value::Null, 3),
        (&to_registry, "--compression-format=zstd", Value::Null, 2),
        (&to_layout, "--probe=true", Value::Null, 0),
    ] {
        let before = peer.count("GET", 206);
        let output = convert(vec![source.clone(), destination.clone(), option.to_owned()]).await;
        let report = report(&output);
        assert_eq!(report["probe"]["verdict"], verdict, "{option}: {report:#}");
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(!told.contains("warning"), "{told}");
        if verdict == "partial" {
            assert_eq!(report["probe"]["chunked"], true);
            assert_eq!(report["probe"]["blob"], report["layers"][0]["digest"]);
            assert!(told.contains("the registry serves partial pulls"), "{told}");
        }
        assert_eq!(peer.count("GET", 206) - before, parts, "{option}: {:?}", peer.requests());
    }
}
