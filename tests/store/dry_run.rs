//! A dry run tells what a run will do, fails where a run fails, and writes nothing.

use std::{fs, process::Command};

use recompress_image::{
    image::{
        Digest,
        media_type::{OCI_LAYER_GZIP, OCI_MANIFEST},
    },
    store::{Intent, RawManifest},
};
use serde_json::{Value, json};
use test_support::layout::manifest;

use super::{
    open,
    peer::Peer,
    quick,
    sample::{Sample, convert, ends, run},
};

async fn report(mut command: Command) -> Value {
    command.args(["--output=json", "--probe=false"]);
    let output = run(command).await;
    ends(&output, 0, &[]);
    serde_json::from_slice(&output.stdout).unwrap()
}

/// `convert`, or what it would do.
fn command(source: &str, to: &str, more: &[&str], dry: bool) -> Command {
    let mut command = convert(source, to);
    command.args(more).args(dry.then_some("--dry-run"));
    command
}

/// For each layer its diffID and whether it is taken over, and whence.
fn layers(report: &Value) -> Vec<[Value; 3]> {
    let layers = report["layers"].as_array().unwrap().iter();
    let mut layers: Vec<_> = layers
        .map(|layer| {
            let from = match &layer["reuse"] {
                Value::Null => layer["from"].clone(),
                reuse => reuse["from"].clone(),
            };
            let is_reused = layer["reused"] == json!(true) || layer["action"] == json!("reuse");
            [layer["diff_id"].clone(), is_reused.into(), from]
        })
        .collect();
    layers.sort_by_key(|layer| layer[0].to_string());
    layers
}

/// What is told beforehand is what happens then. Nothing but GET and HEAD is requested, and results
/// of an earlier run stay.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_does_what_the_dry_run_tells() {
    let (dir, peer) = (tempfile::tempdir().unwrap(), Peer::start());
    let image = |name: &str| format!("{}/org/{name}", peer.host());
    let results = dir.path().join("IMAGE_REF");
    let small = Sample::new(&[900, 50_000, 9], 71).push(&image("app:1"), &quick()).await;
    let other = Sample::new(&[900, 50_000, 9, 70_000], 71).push(&image("app:2"), &quick()).await;
    for (source, to, more) in [
        (&small, "app:z", &[] as &[&str]),
        // All of it is there.
        (&small, "app:z", &[]),
        (&other, "app:z", &[]),
        (&other, "app:z", &["--reuse-from=none"]),
        (&other, "new:z", &["--reuse-from", &image("app:z")]),
        (&other, "gzip:z", &["--compression-format=gzip"]),
        (&other, "dual:z", &["--compression-format=dual"]),
    ] {
        let more = [more, &["--results-dir", dir.path().to_str().unwrap()]].concat();
        fs::write(&results, "of an earlier run").unwrap();
        let before = peer.requests().len();
        let dry = report(command(source, &image(to), &more, true)).await;
        for request in &peer.requests()[before..] {
            assert!(request.starts_with("GET ") || request.starts_with("HEAD "), "{request}");
        }
        assert_eq!(fs::read(&results).unwrap(), b"of an earlier run");
        let run = report(command(source, &image(to), &more, false)).await;
        assert_ne!(fs::read(&results).unwrap(), b"of an earlier run");

        assert_eq!(dry["source_digest"], run["source_digest"]);
        let now = run["replaced_digest"].as_str().or_else(|| {
            let is_same = run["already_published"] == json!(true);
            is_same.then(|| run["image"]["digest"].as_str().unwrap())
        });
        assert_eq!(dry["destination_digest"].as_str(), now, "{to} {more:?}: {dry:#}");
        if run["manifests"].is_null() {
            assert_eq!(layers(&dry), layers(&run), "{to} {more:?}: {dry:#} {run:#}");
        } else {
            let formats = |report: &Value| -> Vec<Value> {
                let manifests = report["manifests"].as_array().unwrap().iter();
                manifests.map(|manifest| manifest["format"].clone()).collect()
            };
            assert_eq!(formats(&dry), formats(&run));
        }
        let written = dry["results"]["results"].as_array().unwrap();
        for result in written {
            let value = fs::read(dir.path().join(result["name"].as_str().unwrap())).unwrap();
            assert_eq!(result["size"], value.len(), "{result}");
        }
        assert_eq!(written.len(), fs::read_dir(dir.path()).unwrap().count());
    }
}

/// Whatever is wrong before the first layer is read ends both with the same code and message.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dry_run_fails_where_a_run_fails() {
    let (dir, peer) = (tempfile::tempdir().unwrap(), Peer::start());
    let source =
        Sample::new(&[900], 72).push(&format!("{}/org/app:1", peer.host()), &quick()).await;
    let absent = Sample::new(&[901], 73).named(&format!("{}/org/app:1", peer.host()));
    let file = dir.path().join("file");
    fs::write(&file, "").unwrap();
    let occupied = dir.path().join("occupied");
    fs::create_dir(&occupied).unwrap();
    fs::write(occupied.join("precious"), "").unwrap();
    let to = |path: &std::path::Path| format!("oci:{}:z", path.display());
    let new = dir.path().join("some/new");
    for (source, destination, more, code) in [
        (&absent, to(&new), &[] as &[&str], 6),
        (&source, to(&file), &[], 7),
        (&source, to(&occupied), &[], 7),
        (&source, "127.0.0.1:1/org/app:z".to_owned(), &[], 6),
        (&source, to(&new), &["--platform=linux/s390x"], 5),
        (&source, to(&new), &["--results-dir=/nonexistent"], 7),
        (&source, to(&new), &["--results-dir=/tmp", "--all-platforms"], 2),
        (&source, to(&new), &["--sbom", "sha256:1111"], 2),
        (
            &source,
            to(&new),
            &["--sbom=sha256:1111111111111111111111111111111111111111111111111111111111111111"],
            5,
        ),
    ] {
        let message = |stderr: &[u8]| {
            let text = String::from_utf8_lossy(stderr).into_owned();
            let line = text.lines().last().unwrap();
            // How long it took differs.
            line.split("; gave up").next().unwrap().to_owned()
        };
        let dry = run(command(source, &destination, more, true)).await;
        ends(&dry, code, &[]);
        let entries = || fs::read_dir(dir.path()).unwrap().count();
        assert_eq!(entries(), 2, "{destination} {more:?}");
        let real = run(command(source, &destination, more, false)).await;
        ends(&real, code, &[]);
        assert_eq!(message(&dry.stderr), message(&real.stderr));
        let _ = fs::remove_dir_all(dir.path().join("some"));
    }
}

/// A layout that does not exist yet is not made.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dry_run_makes_no_layout() {
    let dir = tempfile::tempdir().unwrap();
    let source = format!("oci:{}:1", dir.path().join("in").display());
    let source = Sample::new(&[900], 74).push(&source, &quick()).await;
    let new = dir.path().join("out");
    let to = format!("oci:{}:z", new.display());
    let output = run(command(&source, &to, &[], true)).await;
    ends(&output, 0, &["layer 1: convert", "nothing was written", "a new tag"]);
    assert!(!new.exists());
    fs::create_dir(&new).unwrap();
    ends(&run(command(&source, &to, &[], true)).await, 0, &["layer 1: convert"]);
    assert_eq!(fs::read_dir(&new).unwrap().count(), 0);
}

/// What the tag names need not be an image: a run replaces it, so a dry run does not fail.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tag_that_names_no_image_is_replaced() {
    let dir = tempfile::tempdir().unwrap();
    let source = format!("oci:{}:1", dir.path().join("in").display());
    let source = Sample::new(&[900], 75).push(&source, &quick()).await;
    let out = dir.path().join("out");
    let to = format!("oci:{}:z", out.display());
    ends(&run(command(&source, &to, &[], false)).await, 0, &[]);
    // The manifest that the tag names becomes something else.
    let index: Value = serde_json::from_slice(&fs::read(out.join("index.json")).unwrap()).unwrap();
    let digest = index["manifests"][0]["digest"].as_str().unwrap();
    fs::write(out.join("blobs").join(digest.replace(':', "/")), "no manifest").unwrap();
    let output = run(command(&source, &to, &[], true)).await;
    ends(&output, 0, &["whose tag will be replaced: ", "nothing was written"]);
    ends(&run(command(&source, &to, &[], false)).await, 0, &["published"]);
}

/// What has to be uploaded has to be downloaded before, even if only its documents are checked.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_layer_of_another_registry_is_downloaded() {
    let (here, there) = (Peer::start(), Peer::start());
    let [base, app] = [("base:1", &there, &[900][..]), ("app:1", &here, &[900, 50_000])].map(
        |(name, peer, lengths)| (Sample::new(lengths, 76), format!("{}/org/{name}", peer.host())),
    );
    let (base, source) = (base.0.push(&base.1, &quick()).await, app.0.push(&app.1, &quick()).await);
    let made = report(command(&base, &format!("{}/org/base:z", there.host()), &[], false)).await;
    let digest = made["image"]["digest"].as_str().unwrap();
    let from = format!("--reuse-from={}/org/base@{digest}", there.host());
    let to = format!("{}/org/new:z", here.host());
    for trust in ["verify", "digest"] {
        let more = [from.as_str(), &format!("--reuse-trust={trust}")];
        let dry = report(command(&source, &to, &more, true)).await;
        let of = |action: &str| {
            let mut layers = dry["layers"].as_array().unwrap().iter();
            layers.find(|layer| layer["action"] == action).unwrap()
        };
        let (reused, converted) = (of("reuse"), of("convert"));
        assert_eq!(reused["proof"], if trust == "verify" { "verified" } else { "digest" });
        let expected =
            reused["size"].as_u64().unwrap() + converted["source_size"].as_u64().unwrap();
        assert_eq!(dry["download_size"], expected, "{trust}: {dry:#}");
    }
}

/// A layer that is too long to be taken over is not said to be.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_layer_that_is_too_long_is_converted() {
    let dir = tempfile::tempdir().unwrap();
    let source = format!("oci:{}:1", dir.path().join("in").display());
    let source = Sample::new(&[900], 77).push(&source, &quick()).await;
    let out = dir.path().join("out");
    let to = format!("oci:{}:z", out.display());
    ends(&run(command(&source, &to, &[], false)).await, 0, &[]);
    let (mut image, _) = manifest(&out, "z").unwrap();
    image["layers"][0]["size"] = json!(1_u64 << 40);
    let image = RawManifest::new(image.to_string(), OCI_MANIFEST);
    let store = open(&to, Intent::Push, &quick()).await.unwrap();
    store.put_manifest(&image, Some("long")).await.unwrap();
    let from = format!("--reuse-from=oci:{}:long", out.display());
    let new = format!("oci:{}:z", dir.path().join("new").display());
    let output = run(command(&source, &new, &[&from], true)).await;
    ends(&output, 0, &["layer 1: convert"]);
}

/// Sizes are what a manifest claims.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn absurd_sizes() {
    let dir = tempfile::tempdir().unwrap();
    let claimed = |n: u8| {
        json!({ "mediaType": OCI_LAYER_GZIP, "digest": Digest::sha256_of(&[n]),
        "size": i64::MAX })
    };
    let layers: Vec<_> = (0..3).map(claimed).collect();
    let diff_ids: Vec<_> = (10..13_u8).map(|n| Digest::sha256_of(&[n])).collect();
    let source = format!("oci:{}:1", dir.path().display());
    let source = Sample::of(Vec::new(), &layers, &diff_ids).push(&source, &quick()).await;
    let to = format!("oci:{}:z", dir.path().display());
    let report = report(command(&source, &to, &[], true)).await;
    assert_eq!(report["download_size"], u64::MAX);
}

/// Of sources that are zstd:chunked already, a dry run says which layers stay as they are.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sources_that_are_chunked() {
    let dir = tempfile::tempdir().unwrap();
    let place = |name: &str| format!("oci:{}:{name}", dir.path().join(name).display());
    let gzip = Sample::new(&[900, 50_000], 78).push(&place("gzip"), &quick()).await;
    report(command(&gzip, &place("same"), &[], false)).await;
    report(command(&gzip, &place("low"), &["--compression-level=1"], false)).await;
    // As made by a tool that does not say how.
    let (mut image, _) = manifest(&dir.path().join("low"), "low").unwrap();
    image.as_object_mut().unwrap().remove("annotations");
    let image = RawManifest::new(image.to_string(), OCI_MANIFEST);
    let store = open(&place("low"), Intent::Push, &quick()).await.unwrap();
    store.put_manifest(&image, Some("other")).await.unwrap();
    let other = place("low").replace(":low", ":other");
    for (name, source, expected) in [
        ("gzip", gzip, false),
        ("same", place("same"), true),
        ("low", place("low"), false),
        ("other", other, false),
    ] {
        let to = place(&format!("out-{name}"));
        let words: &[&str] = match name {
            "gzip" => &["layer 1: convert gzip ", " to zstd:chunked"],
            "same" => &["layer 1: zstd:chunked ", "kept if its annotations are right"],
            _ => &["layer 1: convert zstd:chunked "],
        };
        let printed = ends(&run(command(&source, &to, &[], true)).await, 0, words);
        assert!(
            printed.contains("\nlinux/amd64: new zstd:chunked manifest from sha256:")
                || printed.contains("\nnew zstd:chunked manifest from sha256:"),
            "{printed}"
        );
        assert!(printed.contains("layers to read: ") && printed.contains(" to convert"));
        assert!(!printed.contains("results: "), "{printed}");
        let dry = report(command(&source, &to, &[], true)).await;
        let made = report(command(&source, &to, &[], false)).await;
        let plans = dry["layers"].as_array().unwrap();
        for (plan, layer) in plans.iter().zip(made["layers"].as_array().unwrap()) {
            assert_eq!(plan["action"], "convert");
            assert_eq!(plan["unchanged"], expected, "{name}: {plan}");
            assert_eq!(layer["digest"] == layer["source_digest"], expected, "{name}: {layer}");
        }
        let printed = ends(
            &run(command(&source, &place(&format!("again-{name}")), &[], false)).await,
            0,
            &[],
        );
        let words = if name == "gzip" { "layer 1: gzip " } else { "layer 1: zstd:chunked " };
        assert!(printed.contains(words), "{printed}");
    }
}
