//! The digest that a tag names: printed by `digest`, and converted with `--resolve-tag`.

use std::{
    process::{Command, Output},
    sync::atomic::{AtomicUsize, Ordering},
};

use recompress_image::{
    image::{Digest, media_type::OCI_INDEX},
    store::{AccessOptions, Creds, Intent, RawManifest},
};
use serde_json::{Value, json};
use test_support::scripted::{Request, Scripted, answer};

use super::{
    documents::valid,
    open,
    peer::Peer,
    quick, reuse,
    sample::{Sample, ends, is_right, program, run, text},
};

fn command(arguments: &[&str]) -> Command {
    let mut command = program();
    command.args(arguments);
    command
}

async fn digest(arguments: &[&str]) -> Output {
    run(command(&[&["digest"], arguments].concat())).await
}

/// What is printed, and nothing besides.
fn only(output: &Output, expected: &str) {
    ends(output, 0, &[]);
    assert_eq!(String::from_utf8_lossy(&output.stdout), format!("{expected}\n"));
    assert!(output.stderr.is_empty(), "{}", text(output));
}

/// A registry that has the samples by digest, and `tagged` behind the tag 1.2. A request for it counts.
async fn registry(
    samples: Vec<Sample>,
    tagged: impl Fn() -> (RawManifest, Option<String>) + Send + Sync + 'static,
) -> Scripted {
    Scripted::start(move |request: &Request, _| {
        let path = request.line.split(' ').nth(1).unwrap();
        let name = path.rsplit('/').next().unwrap();
        let with_type = |manifest: &RawManifest, digest: Option<String>| {
            let mut headers = vec![format!("Content-Type: {}", manifest.media_type)];
            headers.extend(digest.map(|digest| format!("Docker-Content-Digest: {digest}")));
            let headers: Vec<_> = headers.iter().map(String::as_str).collect();
            answer(200, &headers, &manifest.bytes)
        };
        match request.line.split(' ').next().unwrap() {
            "GET" if path == "/v2/" => answer(200, &[], b""),
            "GET" if path.ends_with("/manifests/1.2") => {
                let (manifest, digest) = tagged();
                with_type(&manifest, digest)
            }
            "GET" if path.contains("/manifests/") => {
                let mut manifests = samples.iter().map(|sample| &sample.manifest);
                let found = manifests.find(|manifest| manifest.digest.as_str() == name);
                found.map_or_else(|| answer(404, &[], b""), |manifest| with_type(manifest, None))
            }
            "GET" => match samples.iter().find_map(|sample| sample.blob(name)) {
                Some(blob) => answer(200, &[], &blob),
                None => answer(404, &[], b""),
            },
            _ => answer(405, &[], b""),
        }
    })
    .await
}

/// What `digest` prints is a source, also of a registry that requires a password, which is not
/// printed; with `--resolve-tag` the tag is one, and gets the same destination.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tag_becomes_a_source() {
    let peer = Peer::with_password();
    let creds = "--creds=tester:correct horse";
    let image = format!("{}/org/app:1.2", peer.host());
    let options = AccessOptions {
        creds: Some(Creds { user: "tester".into(), password: "correct horse".into() }),
        ..quick()
    };
    let sample = Sample::new(&[100_000], 301);
    let source = sample.push(&image, &options).await;
    only(&digest(&[&image, creds]).await, &source);
    only(&digest(&[&source, creds]).await, &source);
    let report = valid(&digest(&[&image, creds, "--output=json"]).await, "resolved");
    assert_eq!(report["reference"], source.as_str());
    assert_eq!(report["digest"], sample.manifest.digest.as_str());
    assert_eq!(report["size"], sample.manifest.size());
    assert_eq!(report["media_type"], sample.manifest.media_type.as_str());
    assert_eq!(report.get("platforms"), None);

    let told = ends(&digest(&[&image, "--creds=tester:wrong horse", "-vv"]).await, 3, &[]);
    assert!(!told.contains("wrong horse"), "{told}");
    let missing = digest(&[&format!("{}/org/app:none", peer.host()), creds]).await;
    ends(&missing, 6, &["manifest none", "not found in"]);

    let new = format!("{image}-zstd-chunked");
    let convert = |arguments: &[&str]| {
        command(&[&["convert", &image, creds, "--resolve-tag"], arguments].concat())
    };
    let planned = run(convert(&["--dry-run", "--output=json"])).await;
    ends(&planned, 0, &[]);
    let planned = valid(&planned, "dry_run");
    assert_eq!((&planned["source"], &planned["destination"]), (&json!(source), &json!(new)));
    let resolved = format!("resolved {image} to {}", sample.manifest.digest);
    let told = ends(&run(convert(&["-vv"])).await, 0, &[&resolved, &source, &new]);
    assert!(!told.contains("correct horse"), "{told}");
    is_right(&new, &source, &[creds]).await;
    // A tag that would be moved is the source's, however that was named.
    ends(&run(convert(&[&image])).await, 2, &["names the source", "--in-place"]);
    let missing = command(&["convert", &format!("{}/org/app:none", peer.host()), "--resolve-tag"]);
    ends(&run(missing).await, 3, &["not allowed to pull"]);
}

/// Of an index the digest, or that of its image for a platform; the report lists them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_index() {
    let peer = Peer::start();
    let name = format!("{}/org/app:1", peer.host());
    let store = open(&name, Intent::Push, &quick()).await.unwrap();
    let mut entries = Vec::new();
    for (seed, architecture) in [(302, "amd64"), (303, "arm64")] {
        entries.push(reuse::image_of(&store, architecture, seed).await);
    }
    entries[1]["annotations"] = json!({ "io.github.containers.compression.zstd": "true" });
    let attestation = json!({ "mediaType": entries[0]["mediaType"], "digest": entries[0]["digest"],
        "size": entries[0]["size"], "platform": { "os": "unknown", "architecture": "unknown" } });
    let listed = [&entries[..], &[attestation]].concat();
    let index = json!({ "schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": listed });
    let index = RawManifest::new(index.to_string(), OCI_INDEX);
    store.put_manifest(&index, Some("1")).await.unwrap();

    only(&digest(&[&name]).await, &format!("{name}@{}", index.digest));
    let of = |entry: usize| entries[entry]["digest"].as_str().unwrap();
    only(
        &digest(&[&name, "--platform=linux/arm64"]).await,
        &format!("{}@{}", name.trim_end_matches(":1"), of(1)),
    );
    ends(&digest(&[&name, "--platform=linux/s390x"]).await, 5, &["linux/amd64, linux/arm64"]);
    let report = valid(&digest(&[&name, "--output=json"]).await, "resolved");
    assert_eq!(report["media_type"], OCI_INDEX);
    let found: Vec<_> = report["platforms"].as_array().unwrap().iter().collect();
    let fields = |image: &Value| (image["platform"].clone(), image["marked_zstd"].clone());
    assert_eq!(found.len(), 2, "an attestation is no image: {report:#}");
    assert_eq!(fields(found[0]), (json!("linux/amd64"), json!(false)));
    assert_eq!(fields(found[1]), (json!("linux/arm64"), json!(true)));
    assert_eq!(found[1]["digest"], of(1));
}

/// The same of layouts, whose images convert as they are named.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_layout() {
    let dir = tempfile::tempdir().unwrap();
    let image = format!("oci:{}:1.2", dir.path().join("image").display());
    let sample = Sample::new(&[1000], 304);
    sample.push(&image, &quick()).await;
    let source = sample.named(&image);
    only(&digest(&[&image]).await, &source);
    let anonymous = format!("oci:{}", dir.path().join("image").display());
    only(&digest(&[&anonymous]).await, &sample.named(&anonymous));
    ends(&digest(&[&format!("{anonymous}:other")]).await, 7, &["other"]);
    for options in [&[][..], &["--resolve-tag"]] {
        let convert = command(&[&["convert", &source], options].concat());
        let told = ends(&run(convert).await, 0, &[&format!("{image}-zstd-chunked@sha256:")]);
        assert!(!told.contains("resolved"), "{told}");
    }
}

/// The digest is that of the bytes: a header that says something else is refused, one that is missing
/// or makes no sense is not needed, and HEAD is not asked.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_header_is_not_believed() {
    let other = Digest::sha256_of(b"other").to_string();
    for (header, code) in [(None, 0), (Some("nonsense".to_owned()), 0), (Some(other), 4)] {
        let sample = Sample::new(&[1000], 305);
        let (manifest, lie) = (sample.manifest.clone(), header.clone());
        let server = registry(vec![], move || (manifest.clone(), lie.clone())).await;
        let image = format!("{}:1.2", server.image());
        let output = digest(&[&image]).await;
        if code == 0 {
            only(&output, &sample.named(&image));
        } else {
            let told = ends(&output, code, &["manifest 1.2", "digest"]);
            assert!(output.stdout.is_empty(), "{told}");
            let convert = command(&["convert", "--resolve-tag", &image, "oci:nowhere:x"]);
            ends(&run(convert).await, code, &["digest"]);
        }
        assert!(server.requests("HEAD").is_empty());
    }
}

/// A tag that moves after it was resolved moves nothing: all that is read goes by the digest, and the
/// tag is asked for once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tag_that_moves() {
    let [before, after] = [306, 307].map(|seed| Sample::new(&[50_000, 2000], seed));
    let (first, then) = (before.manifest.clone(), after.manifest.clone());
    let (named, now) = (before.named(""), after.named(""));
    let count = AtomicUsize::new(0);
    let tagged = move || match count.fetch_add(1, Ordering::Relaxed) {
        0 => (first.clone(), None),
        _ => (then.clone(), None),
    };
    let server = registry(vec![before, after], tagged).await;
    let image = format!("{}:1.2", server.image());
    let dir = tempfile::tempdir().unwrap();
    let made = format!("oci:{}:x", dir.path().join("made").display());
    let output = run(command(&["convert", "--resolve-tag", &image, &made, "--output=json"])).await;
    let (source, digest) = (format!("{image}{named}"), &named[1..]);
    ends(&output, 0, &[&format!("resolved {image} to {digest}")]);
    let report = valid(&output, "convert");
    assert_eq!((&report["source"], &report["source_digest"]), (&json!(source), &json!(digest)));
    assert_eq!(server.requests("GET /v2/org/app/manifests/1.2").len(), 1);
    is_right(&made, &source, &[]).await;
    only(&self::digest(&[&image]).await, &format!("{image}{now}"));
}

/// What a tag names now is not what gets signed: nothing is read, and old results are gone.
#[tokio::test]
async fn results_need_a_digest() {
    let dir = tempfile::tempdir().unwrap();
    let old = dir.path().join("IMAGE_DIGEST");
    for (variable, arguments) in [("false", &["--resolve-tag"][..]), ("true", &[])] {
        std::fs::write(&old, "old").unwrap();
        let mut convert = command(&["convert", "localhost:1/app:1.2", "--output=json"]);
        convert.args(arguments).env("RECOMPRESS_RESOLVE_TAG", variable);
        convert.env("RECOMPRESS_RESULTS_DIR", dir.path());
        let output = run(convert).await;
        ends(&output, 2, &["--resolve-tag cannot be used with --results-dir", "may have moved"]);
        assert_eq!(valid(&output, "failure")["error"]["kind"], "usage");
        assert!(!old.exists());
    }
}
