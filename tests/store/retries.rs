//! What is retried, how often, and how that is reported.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::{Duration, Instant},
};

use recompress_image::{
    image::media_type::OCI_MANIFEST,
    store::{Intent, Selector, Store, StoreError, Tried},
};
use test_support::scripted::{Reaction, Scripted, answer, cut, reset, stall};

use super::{manifest, open, quick, told};

/// Serves the manifest, but answers the first `times` requests for it by `fault`.
async fn faulty(times: usize, fault: impl Fn() -> Reaction + Send + Sync + 'static) -> Scripted {
    let count = AtomicUsize::new(0);
    Scripted::start(move |request, _| {
        if request.line == "GET /v2/" {
            return answer(200, &[], b"").into();
        }
        if count.fetch_add(1, Ordering::SeqCst) < times {
            return fault();
        }
        served().into()
    })
    .await
}

fn served() -> Vec<u8> {
    answer(200, &[&format!("Content-Type: {OCI_MANIFEST}")], &manifest("x").bytes)
}

async fn store(server: &Scripted) -> Store {
    open(&server.image(), Intent::Push, &quick()).await.unwrap()
}

fn selector() -> Selector {
    Selector::Digest(manifest("x").digest)
}

/// A transient failure, four times: retried until the answer comes.
#[tokio::test]
async fn what_passes_is_tried_again() {
    for status in [408, 429, 500, 502, 503, 504] {
        let server = faulty(4, move || answer(status, &[], b"").into()).await;
        assert_eq!(store(&server).await.manifest(&selector()).await.unwrap(), manifest("x"));
        assert_eq!(server.requests("GET /v2/org").len(), 5, "{status}");
    }
    let cut_off = || cut(200, &[], 100, b"{").into();
    let silent_in_the_body = || stall(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{".to_vec());
    for (name, times, server) in [
        ("reset", 4, faulty(4, || reset(vec![])).await),
        ("cut off", 4, faulty(4, cut_off).await),
        ("silent", 1, faulty(1, || stall(vec![])).await),
        ("silent in the body", 1, faulty(1, silent_in_the_body).await),
    ] {
        assert_eq!(store(&server).await.manifest(&selector()).await.unwrap(), manifest("x"));
        assert_eq!(server.requests("GET /v2/org").len(), times + 1, "{name}");
    }
}

/// A permanent failure: the client fails at once.
#[tokio::test]
async fn what_stays_is_not() {
    for status in [400, 403, 404, 405, 501] {
        let server = faulty(1, move || answer(status, &[], b"").into()).await;
        store(&server).await.manifest(&selector()).await.unwrap_err();
        assert_eq!(server.requests("GET /v2/org").len(), 1, "{status}");
    }
}

/// 503 for ever: the error reports its words, how often and how long the client tried.
#[tokio::test]
async fn the_last_failure_is_told_with_the_number_of_tries() {
    let server = faulty(usize::MAX, || answer(503, &[], b"overloaded").into()).await;
    let store = store(&server).await;
    let read = store.manifest(&selector()).await.unwrap_err();
    assert_eq!(server.requests("GET /v2/org").len(), 5);
    let written = store.put_manifest(&manifest("x"), None).await.unwrap_err();
    assert_eq!(server.requests("GET /v2/org").len(), 10, "a look after each try");
    let StoreError::UnexpectedStatus { status: 503, tried: Tried { times: 5, .. }, .. } = read
    else {
        panic!("{read:?}")
    };
    assert!(
        told(&read).contains("returned 503: overloaded; gave up after 5 attempts"),
        "{}",
        told(&read)
    );
    assert!(matches!(written, StoreError::UnexpectedStatus { status: 503, .. }));
    assert_eq!(server.requests("PUT").len(), 5);
}

/// A reset and 502 at the first contact: retried.
#[tokio::test]
async fn a_registry_that_is_not_up_yet_is_waited_for() {
    let count = AtomicUsize::new(0);
    let server = Scripted::start(move |_, _| match count.fetch_add(1, Ordering::SeqCst) {
        0 => reset(vec![]),
        1 => answer(502, &[], b"").into(),
        _ => Reaction::from(answer(200, &[], b"")),
    })
    .await;
    store(&server).await;
    assert_eq!(server.requests("GET /v2/").len(), 3);
}

/// 429 with `Retry-After: 1`: the client comes back after a second, no sooner.
#[tokio::test]
async fn the_registry_says_how_long_to_wait() {
    let server = faulty(1, || answer(429, &["Retry-After: 1"], b"").into()).await;
    let store = store(&server).await;
    let begin = Instant::now();
    store.manifest(&selector()).await.unwrap();
    assert_eq!(server.requests("GET /v2/org").len(), 2);
    assert!(begin.elapsed() >= Duration::from_secs(1));
}
