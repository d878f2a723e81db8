//! Registries that take long to store what was uploaded, or whose answer to that is lost.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use recompress_image::{
    image::{Digest, media_type::OCI_MANIFEST},
    store::{AccessOptions, Intent, Patience, Selector, Store, StoreError},
};
use test_support::scripted::{Reaction, Request, Scripted, answer, later, reset, stall};

use super::{
    fake::Fake,
    manifest, open,
    pull_push::noise,
    quick, told,
    uploads::{put, put_spool},
};

/// Longer than a connection may be idle.
const SLOW: Duration = Duration::from_millis(1200);

/// Gives up idle connections soon, and answers to what was sent after `commit`.
fn patient(commit: Duration) -> AccessOptions {
    let idle = Duration::from_millis(400);
    let patience = Patience { idle, commit, tries: 3, ..quick().patience };
    AccessOptions { patience, ..AccessOptions::default() }
}

async fn store(server: &Scripted, commit: Duration) -> Store {
    open(&server.image(), Intent::Push, &patient(commit)).await.unwrap()
}

/// Obeys, and answers slowly to requests that begin like this.
fn slow_at(start: &'static str, status: u16, header: &'static str) -> Fake {
    Fake {
        garble: Some(Box::new(move |request, _| {
            let is_slow = request.line.starts_with(start);
            is_slow.then(|| later(SLOW, answer(status, &[header], b"")))
        })),
        ..Fake::default()
    }
}

/// The registry needs longer than a connection may be idle to answer to a PUT, to the PUT that ends
/// an upload in chunks, and to a PATCH: the client waits, and sends each once.
#[tokio::test]
async fn an_answer_that_takes_long_is_waited_for() {
    let commit = Duration::from_secs(60);
    let (server, _) = slow_at("PUT", 201, "Location: /blob").start().await;
    put(&store(&server, commit).await, &noise(1 << 20)).await.unwrap();
    assert_eq!((server.requests("POST").len(), server.requests("PUT").len()), (1, 1));
    for (method, status) in [("PUT", 201), ("PATCH", 202)] {
        let (server, _) = slow_at(method, status, "X: y").start().await;
        put_spool(&store(&server, commit).await, &noise(40 << 20)).await.unwrap();
        let counts = ["POST", "PATCH", "PUT"].map(|method| server.requests(method).len());
        assert_eq!(counts, [1, 3, 1], "{method}");
    }
}

/// The registry needs longer than the client waits for a small blob: a large one gets more time,
/// also if the last request has no body.
#[tokio::test]
async fn a_large_blob_gets_more_time() {
    let (server, _) = slow_at("PUT", 201, "X: y").start().await;
    put_spool(&store(&server, Duration::ZERO).await, &noise(60 << 20)).await.unwrap();
    assert_eq!((server.requests("POST").len(), server.requests("PUT").len()), (1, 1));
}

/// The registry takes long to store a manifest, and to mount a blob: the client waits.
#[tokio::test]
async fn manifests_and_mounts_may_take_long_too() {
    let server = Scripted::start(|request, _| match request.method() {
        "PUT" | "POST" => later(SLOW, answer(201, &["Location: /blob"], b"")),
        _ => answer(200, &[], b"").into(),
    })
    .await;
    let store = store(&server, Duration::from_secs(60)).await;
    store.put_manifest(&manifest("x"), Some("x")).await.unwrap();
    let from = format!("{}/org/other:x", server.host).parse().unwrap();
    let digest = Digest::sha256_of(b"content");
    store.copy_blob(&digest, Bytes::from_static(b"content"), &from).await.unwrap();
    assert_eq!((server.requests("PUT").len(), server.requests("POST").len()), (1, 1));
}

/// The registry never answers to a complete upload: the error names the option. If the registry has
/// the blob all the same, it is not sent again.
#[tokio::test]
async fn an_answer_that_never_comes_is_given_up() {
    let commit = Duration::from_millis(500);
    let (server, _) = Fake::silent_at(&["PUT"]).start().await;
    let error = put(&store(&server, commit).await, b"content").await.unwrap_err();
    assert!(told(&error).contains("--commit-timeout"), "{}", told(&error));
    assert_eq!(server.requests("PUT").len(), 3);
    let fake = Fake {
        garble: Some(Box::new(|request, _| (request.method() == "PUT").then(|| stall(vec![])))),
        ..Fake::default()
    };
    let (server, _) = fake.start().await;
    put(&store(&server, commit).await, b"content").await.unwrap();
    assert_eq!((server.requests("POST").len(), server.requests("PUT").len()), (1, 1));
}

/// A proxy gives up waiting for the registry (504), which has the blob a moment later: the client
/// looks for it before it sends it again.
#[tokio::test]
async fn a_blob_that_appears_after_a_timeout_is_not_sent_again() {
    let fake = Fake {
        refuse: Some(Box::new(|request, n| {
            (request.method() == "HEAD" && n == 1).then(|| answer(404, &[], b"").into())
        })),
        garble: Some(Box::new(|request, _| {
            (request.method() == "PUT").then(|| answer(504, &[], b"").into())
        })),
        ..Fake::default()
    };
    let (server, _) = fake.start().await;
    put(&store(&server, Duration::from_secs(60)).await, b"content").await.unwrap();
    assert_eq!((server.requests("POST").len(), server.requests("PUT").len()), (1, 1));
    assert_eq!(server.requests("HEAD").len(), 2);
}

type Fault = fn() -> Reaction;

/// Takes manifests. Meets the first PUT with a fault, after it has obeyed if `obeys`.
async fn losing(obeys: bool, fault: Fault) -> Scripted {
    let (held, count) = (Arc::new(Mutex::new(manifest("old").bytes)), AtomicUsize::new(0));
    Scripted::start(move |request: &Request, _| {
        let mut held = held.lock().unwrap();
        match request.method() {
            "PUT" => {
                let is_first = count.fetch_add(1, Ordering::SeqCst) == 0;
                if obeys || !is_first {
                    *held = request.body.clone().into();
                }
                if is_first { fault() } else { answer(201, &[], b"").into() }
            }
            _ => answer(200, &[&format!("Content-Type: {OCI_MANIFEST}")], &held).into(),
        }
    })
    .await
}

/// The answer to the PUT of a manifest is lost: the client looks what the tag names, and sends the
/// manifest again only if that is another one.
#[tokio::test]
async fn a_manifest_is_sent_again_only_if_it_is_not_there() {
    let faults: [(&str, Fault); 3] = [
        ("reset", || reset(vec![])),
        ("timeout of a proxy", || answer(504, &[], b"").into()),
        ("silence", || stall(vec![])),
    ];
    for (name, fault) in faults {
        for (obeys, puts) in [(true, 1), (false, 2)] {
            let server = losing(obeys, fault).await;
            let store = store(&server, Duration::from_millis(500)).await;
            store.put_manifest(&manifest("new"), Some("x")).await.unwrap();
            assert_eq!(server.requests("PUT").len(), puts, "{name}, {obeys}");
            assert_eq!(server.requests("GET /v2/org/app/manifests/x").len(), 1, "{name}, {obeys}");
            let found = store.manifest(&Selector::Tag("x".to_owned())).await.unwrap();
            assert_eq!(found, manifest("new"), "{name}, {obeys}");
        }
    }
}

/// 429 to the PUT of a manifest: nothing was lost, so the client does not look.
#[tokio::test]
async fn a_manifest_that_was_refused_for_now_is_sent_again() {
    let server = losing(false, || answer(429, &["Retry-After: 0"], b"").into()).await;
    let store = store(&server, Duration::from_secs(60)).await;
    store.put_manifest(&manifest("new"), Some("x")).await.unwrap();
    assert_eq!((server.requests("PUT").len(), server.requests("GET /v2/org").len()), (2, 0));
}

const TAR: &str = "application/vnd.oci.image.layer";

/// The registry refuses the PUT of a manifest, and its layers have URLs (distribution: 500) or not:
/// the error names foreign layers only if there are some.
#[tokio::test]
async fn the_refusal_of_foreign_layers_is_explained() {
    let foreign = |layer: &str| {
        let document = String::from_utf8(manifest("x").bytes.to_vec()).unwrap();
        let layer = format!("{{{layer},\"digest\":\"{}\",\"size\":2}}", super::EMPTY_JSON);
        let document = document.replacen("\"layers\":[]", &format!("\"layers\":[{layer}]"), 1);
        recompress_image::store::RawManifest::new(document, OCI_MANIFEST)
    };
    for (name, layer, is_foreign) in [
        ("ordinary", format!("\"mediaType\":\"{TAR}.v1.tar\""), false),
        ("with URLs", format!("\"mediaType\":\"{TAR}.v1.tar\",\"urls\":[\"https://a/b\"]"), true),
        ("by type", format!("\"mediaType\":\"{TAR}.nondistributable.v1.tar\""), true),
    ] {
        for status in [400, 500] {
            let server = Scripted::start(move |request, _| match request.method() {
                "PUT" => answer(status, &[], b""),
                _ if request.line == "GET /v2/" => answer(200, &[], b""),
                _ => answer(404, &[], b""),
            })
            .await;
            let store = store(&server, Duration::from_secs(60)).await;
            let error = store.put_manifest(&foreign(&layer), None).await.unwrap_err();
            let is_explained = matches!(error, StoreError::ForeignLayers(_));
            assert_eq!(is_explained, is_foreign, "{name}, {status}: {}", told(&error));
            assert_eq!(told(&error).contains("foreign layers"), is_foreign);
            assert!(told(&error).contains(&format!("returned {status}")), "{}", told(&error));
        }
    }
}
