//! What registries answer to requests for parts of a blob, and what is made of it.

use std::{ops::RangeInclusive, process::Command};

use bytes::Bytes;
use recompress_image::{
    image::{
        Digest,
        media_type::{OCI_CONFIG, OCI_INDEX, OCI_LAYER_ZSTD, OCI_MANIFEST},
    },
    probe::{self, ProbeError, ProbeJob, ProbeReport, ProbeVerdict},
    source::SourceError,
    store::{BlobContent, Intent, RawManifest, StoreError},
};
use serde_json::{Value, json};
use test_support::scripted::{Answer, Scripted, answer, cut};

use super::{open, peer::Peer, pull_push::noise, quick, told};

pub(crate) const TOC: RangeInclusive<usize> = 4000..=4999;
pub(crate) const TAR_SPLIT: RangeInclusive<usize> = 5008..=5999;
pub(crate) const SPAN: &str = "bytes=4000-5999";
pub(crate) const BOTH: &str = "bytes=4000-4999,5008-5999";

/// What a registry takes for a layer.
pub(crate) fn layer() -> Vec<u8> {
    noise(6080)
}

fn manifest() -> RawManifest {
    let layer = layer();
    let document = json!({
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": { "mediaType": OCI_CONFIG, "digest": Digest::sha256_of(b"{}"), "size": 2 },
        "layers": [{
            "mediaType": OCI_LAYER_ZSTD,
            "digest": Digest::sha256_of(&layer),
            "size": layer.len(),
            "annotations": {
                "io.github.containers.zstd-chunked.manifest-checksum":
                    Digest::sha256_of(&layer[TOC]),
                "io.github.containers.zstd-chunked.manifest-position": "4000:1000:2000:1",
                "io.github.containers.zstd-chunked.tarsplit-position": "5008:992:3000",
            },
        }],
    });
    RawManifest::new(document.to_string(), OCI_MANIFEST)
}

fn index(image: &RawManifest) -> RawManifest {
    let document = json!({
        "schemaVersion": 2,
        "mediaType": OCI_INDEX,
        "manifests": [
            { "mediaType": OCI_INDEX, "digest": Digest::sha256_of(b"other"), "size": 1 },
            { "mediaType": OCI_MANIFEST, "digest": image.digest, "size": image.bytes.len() },
        ],
    });
    RawManifest::new(document.to_string(), OCI_INDEX)
}

/// A registry that has the image, and answers requests for parts of its layer by `script`, which
/// gets the Range header. It has no referrers API.
pub(crate) async fn registry(script: impl Fn(&str) -> Answer + Send + Sync + 'static) -> Scripted {
    let manifest = manifest();
    Scripted::start(move |request, _| match request.line.as_str() {
        "GET /v2/" => answer(200, &[], b""),
        line if line.contains("/manifests/") => {
            answer(200, &[&format!("Content-Type: {OCI_MANIFEST}")], &manifest.bytes)
        }
        line if line.contains("/blobs/") => script(request.header("range")),
        _ => answer(404, &[], b""),
    })
    .await
}

async fn probe(image: &str) -> Result<ProbeReport, ProbeError> {
    probe::run(&ProbeJob { image: image.parse().unwrap(), access: quick() }).await
}

pub(crate) async fn probe_scripted(server: &Scripted) -> ProbeReport {
    probe(&format!("{}:1", server.image())).await.unwrap()
}

pub(crate) fn of(range: &RangeInclusive<usize>) -> String {
    format!("Content-Range: bytes {}-{}/{}", range.start(), range.end(), layer().len())
}

/// One part, by the book.
pub(crate) fn single(range: &RangeInclusive<usize>) -> Answer {
    answer(206, &[&of(range)], &layer()[range.clone()])
}

/// Several parts, by the book.
pub(crate) fn multipart(parts: &[(RangeInclusive<usize>, &[u8])]) -> Answer {
    let mut body = Vec::new();
    for (range, bytes) in parts {
        let head = format!("\r\n--limit\r\nContent-Type: a/b\r\n{}\r\n\r\n", of(range));
        body.extend_from_slice(head.as_bytes());
        body.extend_from_slice(bytes);
    }
    body.extend_from_slice(b"\r\n--limit--\r\n");
    answer(206, &["Content-Type: multipart/byteranges; boundary=limit"], &body)
}

pub(crate) fn both() -> Answer {
    let layer = layer();
    multipart(&[(TOC, &layer[TOC]), (TAR_SPLIT, &layer[TAR_SPLIT])])
}

/// 200 with a gigabyte: the client closes the connection, because it did not ask for that.
#[tokio::test]
async fn a_whole_blob_is_not_downloaded() {
    let server = registry(|_| cut(200, &[], 1 << 30, &vec![0; 64 << 20])).await;
    assert_eq!(probe_scripted(&server).await.verdict, ProbeVerdict::Whole);
    // The ping, the manifest, and the first of both answers.
    assert!(!server.is_taken(3).await);
}

/// 503 once: the client asks again.
#[tokio::test]
async fn trouble_that_passes_is_not_the_answer() {
    let tries = std::sync::atomic::AtomicU32::new(0);
    let server = registry(move |range| match range {
        SPAN => single(&(4000..=5999)),
        _ if tries.fetch_add(1, std::sync::atomic::Ordering::Relaxed) == 0 => answer(503, &[], b""),
        _ => both(),
    })
    .await;
    assert_eq!(probe_scripted(&server).await.verdict, ProbeVerdict::Partial);
    assert_eq!(server.requests("GET /v2/org/app/blobs/").len(), 3);
}

/// The registry redirects to storage: that is judged, and the report names its host without the
/// signature.
#[tokio::test]
async fn storage_elsewhere_is_named_and_judged() {
    for (name, refuses, verdict) in [
        ("serves parts", false, ProbeVerdict::Partial),
        ("refuses two", true, ProbeVerdict::Broken),
    ] {
        let storage = Scripted::start(move |request, _| match request.header("range") {
            SPAN => single(&(4000..=5999)),
            BOTH if refuses => answer(403, &[], b"<html>SignatureDoesNotMatch</html>"),
            BOTH => both(),
            other => panic!("{other}"),
        })
        .await;
        let target = format!("Location: http://{}/blob?sig=s1gnature", storage.host);
        let server = registry(move |_| answer(307, &[&target], b"")).await;
        let report = probe_scripted(&server).await;
        assert_eq!(report.verdict, verdict, "{name}: {report}");
        assert_eq!(report.redirected_to.as_deref(), Some("127.0.0.1"));
        assert!(!report.to_string().contains("s1gnature"), "{report}");
        assert_eq!(storage.requests("GET /blob?sig=s1gnature").len(), 2);
    }
}

/// The blob cannot be read: an error, and no verdict.
#[tokio::test]
async fn a_blob_that_is_not_there_tells_nothing() {
    let places = ["blob", "podman login", "not allowed"];
    for (status, place) in [404, 401, 403].into_iter().zip(places) {
        let server = registry(move |_| answer(status, &[], b"")).await;
        let error = probe(&format!("{}:1", server.image())).await.unwrap_err();
        assert!(told(&error).contains(place), "{}", told(&error));
        let ProbeError::Source(SourceError::Store { error, .. }) = error else {
            panic!("{error:?}")
        };
        let fits = match status {
            404 => matches!(*error, StoreError::NotFound { .. }),
            401 => matches!(*error, StoreError::Unauthorized(_)),
            _ => matches!(*error, StoreError::Denied(_)),
        };
        assert!(fits, "{error:?}");
        assert_eq!(server.requests("GET /v2/org/app/blobs/").len(), 1);
    }
}

/// Debian's docker-registry, version 2.8, sends both parts and has no referrers API: `partial`.
#[tokio::test]
async fn docker_registry_serves_partial_pulls() {
    let peer = Peer::start();
    let name = format!("{}/org/app", peer.host());
    let store = open(&name, Intent::Push, &quick()).await.unwrap();
    for blob in [layer(), b"{}".to_vec()] {
        let (digest, size) = (Digest::sha256_of(&blob), blob.len() as u64);
        let content = BlobContent::Bytes(Bytes::from(blob));
        store.put_blob(&digest, size, content).await.unwrap();
    }
    let image = manifest();
    store.put_manifest(&image, Some("one")).await.unwrap();
    let digest = format!("{name}@{}", image.digest);
    for image in [format!("{name}:one"), digest] {
        let report = probe(&image).await.unwrap();
        assert_eq!(report.verdict, ProbeVerdict::Partial, "{report}");
        assert_eq!((report.single_range.status, report.two_ranges.status), (206, 206));
        assert_eq!(report.referrers.unwrap().status, 404);
    }

    let output = Command::new(env!("CARGO_BIN_EXE_recompress-image"))
        .args(["probe", "--output=json", &format!("{name}:one")])
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["verdict"], "partial");
    assert_eq!(report["two_ranges"], json!({"status": 206, "outcome": "partial", "detail": null}));
    assert_eq!(report["redirected_to"], Value::Null);
    assert_eq!(peer.count("GET", 206), 6, "{:?}", peer.requests());
}

/// The registry has an index: its first image is probed.
#[tokio::test]
async fn of_an_index_the_first_image_is_taken() {
    let (image, index) = (manifest(), index(&manifest()));
    let wanted = format!("GET /v2/org/app/manifests/{}", image.digest);
    let server = Scripted::start(move |request, _| match request.line.as_str() {
        line if line.contains("/blobs/") => match request.header("range") {
            SPAN => single(&(4000..=5999)),
            _ => both(),
        },
        line if line == wanted => {
            answer(200, &[&format!("Content-Type: {OCI_MANIFEST}")], &image.bytes)
        }
        line if line.ends_with("/manifests/1") => {
            answer(200, &[&format!("Content-Type: {OCI_INDEX}")], &index.bytes)
        }
        line if line.contains("/referrers/") => answer(200, &[], b"{}"),
        _ => answer(200, &[], b""),
    })
    .await;
    let report = probe_scripted(&server).await;
    assert_eq!(report.verdict, ProbeVerdict::Partial, "{report}");
    assert!(report.referrers.unwrap().supported);
    assert_eq!(server.requests("GET /v2/org/app/manifests/").len(), 2);
}

/// A reference without an image, or to a layout: exit code 2, and the error says what to write.
#[test]
fn a_repository_alone_is_not_enough() {
    let fails = |image: &str, words: &str| {
        let output = Command::new(env!("CARGO_BIN_EXE_recompress-image"))
            .args(["probe", image])
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(told.contains(words), "{told}");
    };
    fails("quay.io/org/app", "expected quay.io/org/app:TAG or quay.io/org/app@sha256:…");
    fails("oci:somewhere", "only a registry can be probed");
}
