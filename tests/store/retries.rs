//! What is tried again, how often, and how that is told.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::{Duration, Instant},
};

use recompress_image::{
    image::media_type::OCI_MANIFEST,
    store::{Intent, Selector, Store, StoreError, Tried},
};
use test_support::scripted::{Reaction, Scripted, answer, cut, reset, stall};

use super::{case, manifest, open, quick, statuses, told};

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

#[tokio::test]
async fn what_passes_is_tried_again() {
    for status in statuses(["408", "429", "500", "502", "503", "504"]) {
        let server = faulty(4, move || answer(status, &[], b"").into()).await;
        assert_eq!(store(&server).await.manifest(&selector()).await.unwrap(), manifest("x"));
        assert_eq!(server.requests("GET /v2/org").len(), 5, "{status}");
    }
    let cut_off = || cut(200, &[], 100, b"{").into();
    let silent_in_the_body = || stall(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{".to_vec());
    for (name, times, server) in [
        (case("reset"), 4, faulty(4, || reset(vec![])).await),
        (case("cut off"), 4, faulty(4, cut_off).await),
        (case("silent"), 1, faulty(1, || stall(vec![])).await),
        (case("silent in the body"), 1, faulty(1, silent_in_the_body).await),
    ] {
        assert_eq!(store(&server).await.manifest(&selector()).await.unwrap(), manifest("x"));
        assert_eq!(server.requests("GET /v2/org").len(), times + 1, "{name}");
    }
}

#[tokio::test]
async fn what_stays_is_not() {
    for status in statuses(["400", "403", "404", "405", "501"]) {
        let server = faulty(1, move || answer(status, &[], b"").into()).await;
        store(&server).await.manifest(&selector()).await.unwrap_err();
        assert_eq!(server.requests("GET /v2/org").len(), 1, "{status}");
    }
}

#[tokio::test]
async fn the_last_failure_is_told_with_the_number_of_tries() {
    let server = faulty(10, || answer(503, &[], b"overloaded").into()).await;
    let store = store(&server).await;
    let read = store.manifest(&selector()).await.unwrap_err();
    let written = store.put_manifest(&manifest("x"), None).await.unwrap_err();
    assert_eq!(server.requests("GET /v2/org").len(), 5);
    let StoreError::UnexpectedStatus { status: 503, tried: Tried { times: 5, .. }, .. } = read
    else {
        panic!("{read:?}")
    };
    assert!(told(&read).contains("(overloaded) (tried 5 times in"), "{}", told(&read));
    assert!(matches!(written, StoreError::UnexpectedStatus { status: 503, .. }));
    assert_eq!(server.requests("PUT").len(), 5);
}

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

#[tokio::test]
async fn the_registry_says_how_long_to_wait() {
    let server = faulty(1, || answer(429, &["Retry-After: 1"], b"").into()).await;
    let store = store(&server).await;
    let begin = Instant::now();
    store.manifest(&selector()).await.unwrap();
    assert_eq!(server.requests("GET /v2/org").len(), 2);
    assert!(begin.elapsed() >= Duration::from_secs(1));
}
