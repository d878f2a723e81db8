//! What registries answer to requests for parts of a blob, and what is made of it.

use std::{ops::RangeInclusive, process::Command};

use bytes::Bytes;
use recompress_image::{
    image::{
        Digest,
        media_type::{OCI_CONFIG, OCI_INDEX, OCI_LAYER_ZSTD, OCI_MANIFEST},
    },
    probe::{self, ProbeError, ProbeJob, ProbeReport, ProbeVerdict, RangeOutcome},
    source::SourceError,
    store::{BlobContent, Intent, RawManifest, StoreError},
};
use serde_json::{Value, json};
use test_support::scripted::{Answer, Scripted, answer, cut};

use super::{case, open, peer::Peer, pull_push::noise, quick, statuses, told};

const TOC: RangeInclusive<usize> = 4000..=4999;
const TAR_SPLIT: RangeInclusive<usize> = 5008..=5999;
const SPAN: &str = "bytes=4000-5999";
const BOTH: &str = "bytes=4000-4999,5008-5999";

/// A layer, as far as a registry can tell.
fn layer() -> Vec<u8> {
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
async fn registry(script: impl Fn(&str) -> Answer + Send + Sync + 'static) -> Scripted {
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

async fn probe_scripted(server: &Scripted) -> ProbeReport {
    probe(&format!("{}:1", server.image())).await.unwrap()
}

fn of(range: &RangeInclusive<usize>) -> String {
    format!("Content-Range: bytes {}-{}/{}", range.start(), range.end(), layer().len())
}

/// One part, by the book.
fn single(range: &RangeInclusive<usize>) -> Answer {
    answer(206, &[&of(range)], &layer()[range.clone()])
}

/// Several parts, by the book.
fn multipart(parts: &[(RangeInclusive<usize>, &[u8])]) -> Answer {
    let mut body = Vec::new();
    for (range, bytes) in parts {
        let head = format!("\r\n--limit\r\nContent-Type: a/b\r\n{}\r\n\r\n", of(range));
        body.extend_from_slice(head.as_bytes());
        body.extend_from_slice(bytes);
    }
    body.extend_from_slice(b"\r\n--limit--\r\n");
    answer(206, &["Content-Type: multipart/byteranges; boundary=limit"], &body)
}

fn both() -> Answer {
    let layer = layer();
    multipart(&[(TOC, &layer[TOC]), (TAR_SPLIT, &layer[TAR_SPLIT])])
}

#[tokio::test]
#[allow(clippy::too_many_lines, reason = "a table")]
async fn answers_and_verdicts() {
    use RangeOutcome::{Partial, Refused, Rejected, Whole, Wrong};
    let layer = layer();
    let (toc, split) = ((TOC, &layer[TOC]), (TAR_SPLIT, &layer[TAR_SPLIT]));
    let span = 4000..=5999;
    let status = |status| answer(status, &[], b"");
    let other = vec![7; 1000];
    let other_split = &other[..992];
    let unbounded = answer(206, &["Content-Type: multipart/byteranges"], b"--limit--");
    let endless = answer(
        206,
        &["Content-Type: multipart/byteranges; boundary=limit"],
        &[b"--limit\r\n\r\n", &layer[TOC]].concat(),
    );
    let flood = answer(206, &["Content-Type: multipart/byteranges; boundary=x"], &noise(1 << 20));
    let cases = [
        (case("good"), single(&span), both(), (Partial, Partial), ProbeVerdict::Partial, ""),
        (
            case("whole"),
            answer(200, &[], &layer),
            answer(200, &[], &layer),
            (Whole, Whole),
            ProbeVerdict::Whole,
            "",
        ),
        (
            case("two whole"),
            single(&span),
            answer(200, &[], &layer),
            (Partial, Whole),
            ProbeVerdict::Whole,
            "",
        ),
        (
            case("one whole"),
            answer(200, &[], &layer),
            both(),
            (Whole, Partial),
            ProbeVerdict::Whole,
            "",
        ),
        (case("400"), single(&span), status(400), (Partial, Rejected), ProbeVerdict::Fallback, ""),
        (case("416"), single(&span), status(416), (Partial, Refused), ProbeVerdict::Broken, ""),
        (
            case("501"),
            single(&span),
            answer(501, &[], b"Unsupported client range"),
            (Partial, Refused),
            ProbeVerdict::Broken,
            "Unsupported client range",
        ),
        (case("500"), single(&span), status(500), (Partial, Refused), ProbeVerdict::Broken, ""),
        (case("418"), single(&span), status(418), (Partial, Refused), ProbeVerdict::Broken, ""),
        (case("one refused"), status(416), both(), (Refused, Partial), ProbeVerdict::Broken, ""),
        (case("one rejected"), status(400), both(), (Rejected, Partial), ProbeVerdict::Broken, ""),
        (
            case("only one part"),
            single(&span),
            single(&TOC),
            (Partial, Wrong),
            ProbeVerdict::Broken,
            "single part; expected two",
        ),
        (
            case("merged"),
            single(&span),
            multipart(std::slice::from_ref(&toc)),
            (Partial, Wrong),
            ProbeVerdict::Broken,
            "1 parts; expected two",
        ),
        (
            case("swapped"),
            single(&span),
            multipart(&[split.clone(), toc.clone()]),
            (Partial, Wrong),
            ProbeVerdict::Broken,
            "bytes 5008-5999 instead of 4000-4999",
        ),
        (
            case("another TOC"),
            single(&span),
            multipart(&[(TOC, &other), split.clone()]),
            (Partial, Wrong),
            ProbeVerdict::Broken,
            "do not match the TOC digest",
        ),
        (
            case("another tar-split"),
            single(&span),
            multipart(&[toc.clone(), (TAR_SPLIT, other_split)]),
            (Partial, Wrong),
            ProbeVerdict::Broken,
            "differ from those",
        ),
        (
            case("short"),
            single(&span),
            multipart(&[toc.clone(), (TAR_SPLIT, &layer[5008..5998])]),
            (Partial, Wrong),
            ProbeVerdict::Broken,
            "990 bytes instead of 992",
        ),
        (
            case("no boundary"),
            single(&span),
            unbounded,
            (Partial, Wrong),
            ProbeVerdict::Broken,
            "no boundary",
        ),
        (
            case("no end"),
            single(&span),
            endless,
            (Partial, Wrong),
            ProbeVerdict::Broken,
            "has no end",
        ),
        (
            case("a flood"),
            single(&span),
            flood,
            (Partial, Wrong),
            ProbeVerdict::Broken,
            "more than",
        ),
        (
            case("another part"),
            single(&(0..=1999)),
            both(),
            (Wrong, Partial),
            ProbeVerdict::Broken,
            "bytes 0-1999 instead of 4000-5999",
        ),
        (
            case("no Content-Range"),
            answer(206, &[], &layer[span.clone()]),
            both(),
            (Wrong, Partial),
            ProbeVerdict::Broken,
            "does not say which range",
        ),
        (
            case("another content"),
            answer(206, &[&of(&span)], &noise(2000)),
            both(),
            (Wrong, Partial),
            ProbeVerdict::Broken,
            "do not match the TOC digest",
        ),
        (
            case("too much"),
            answer(206, &[&of(&span)], &layer),
            both(),
            (Wrong, Partial),
            ProbeVerdict::Broken,
            "more than",
        ),
    ];
    for (name, one, two, outcomes, verdict, detail) in cases {
        let server = registry(move |range| match range {
            SPAN => one.clone(),
            BOTH => two.clone(),
            other => panic!("{other}"),
        })
        .await;
        let report = probe_scripted(&server).await;
        let (single, two) = (&report.single_range, &report.two_ranges);
        assert_eq!((single.outcome, two.outcome), outcomes, "{name}: {report}");
        assert_eq!(report.verdict, verdict, "{name}: {report}");
        let details = [&single.detail, &two.detail].map(|d| d.as_deref().unwrap_or_default());
        assert!(details.iter().any(|told| told.contains(detail)), "{name}: {report}");
        assert_eq!(detail.is_empty(), details.iter().all(|told| told.is_empty()), "{name}");
        let referrers = report.referrers.clone().unwrap();
        assert_eq!((referrers.status, referrers.supported), (404, false));
        assert_eq!(report.redirected_to, None);
        assert!(report.chunked);
        let asked = server.requests("GET /v2/org/app/blobs/");
        let mut asked: Vec<_> = asked.iter().map(|request| request.header("range")).collect();
        // What passes is asked for again.
        asked.dedup();
        assert_eq!(asked, [SPAN, BOTH], "{name}");
    }
}

/// What a registry sends unasked is not taken: the client closes the connection.
#[tokio::test]
async fn a_whole_blob_is_not_downloaded() {
    let server = registry(|_| cut(200, &[], 1 << 30, &vec![0; 64 << 20])).await;
    assert_eq!(probe_scripted(&server).await.verdict, ProbeVerdict::Whole);
    // The ping, the manifest, and the first of both answers.
    assert!(!server.is_taken(3).await);
}

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

#[tokio::test]
async fn storage_elsewhere_is_named_and_judged() {
    for (name, refuses, verdict) in [
        (case("serves parts"), false, ProbeVerdict::Partial),
        (case("refuses two"), true, ProbeVerdict::Broken),
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

#[tokio::test]
async fn a_blob_that_is_not_there_tells_nothing() {
    let places = ["blob", "podman login", "not allowed"];
    for (status, place) in statuses(["404", "401", "403"]).into_iter().zip(places) {
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

/// Debian's docker-registry, version 2.8, sends both parts, and has no referrers API.
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
    fails("quay.io/org/app", "write quay.io/org/app:TAG or quay.io/org/app@sha256:…");
    fails("oci:somewhere", "only a registry can be probed");
}
