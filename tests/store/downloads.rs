//! Downloads that break off.

use std::{
    io::Read as _,
    sync::atomic::{AtomicUsize, Ordering},
    time::{Duration, Instant},
};

use recompress_image::{
    image::Digest,
    store::{AccessOptions, BlobMismatch, Intent, Patience, Selector, StoreError},
};
use test_support::scripted::{Reaction, Request, Scripted, answer, cut, reset, stall, trickle};

use super::{open, pull_push::noise, quick, told};

const SIZE: usize = 1_000_000;

fn blob() -> Vec<u8> {
    noise(1_000_000)
}

/// Serves the blob by `script`, which gets the first byte that is asked for, and how many requests
/// came before.
async fn serve(
    script: impl Fn(&Request, usize, usize) -> Reaction + Send + Sync + 'static,
) -> Scripted {
    let count = AtomicUsize::new(0);
    Scripted::start(move |request, _| {
        if request.line == "GET /v2/" {
            return answer(200, &[], b"").into();
        }
        let range = request.header("range").trim_start_matches("bytes=").trim_end_matches('-');
        let first = range.parse().unwrap_or(0);
        script(request, first, count.fetch_add(1, Ordering::SeqCst))
    })
    .await
}

async fn download(server: &Scripted) -> Result<Vec<u8>, std::io::Error> {
    let store = open(&server.image(), Intent::Pull, &quick()).await.unwrap();
    let mut reader = store.blob(&Digest::sha256_of(&blob()), SIZE as u64).await.unwrap();
    let read = move || {
        let mut content = Vec::new();
        reader.read_to_end(&mut content).map(|_| content)
    };
    tokio::task::spawn_blocking(read).await.unwrap()
}

/// The part from `first` on, of which only `length` bytes come.
fn part(first: usize, length: usize) -> Vec<u8> {
    let range = format!("Content-Range: bytes {first}-{}/{SIZE}", SIZE - 1);
    let end = SIZE.min(first + length);
    let body = &blob()[first..end];
    match first {
        0 => cut(200, &["ETag: \"v1\""], SIZE, body),
        _ => cut(206, &[&range], SIZE - first, body),
    }
}

/// The registry breaks off nine times in a row: the client asks for the rest, with `If-Range`.
#[tokio::test]
async fn a_download_goes_on_where_it_broke_off() {
    // More breaks than tries: each connection has made progress.
    let server = serve(|_, first, _| part(first, SIZE / 9).into()).await;
    assert!(download(&server).await.unwrap() == blob());
    let requests = server.requests("GET /v2/org");
    assert_eq!(requests.len(), 10);
    assert_eq!(requests[0].header("range"), "");
    assert_eq!(requests[1].header("range"), format!("bytes={}-", SIZE / 9));
    assert!(requests[1..].iter().all(|request| request.header("if-range") == "\"v1\""));
}

/// Silence, 503, a reset and 429 in the middle of a blob: the client asks for the rest from the
/// same byte each time.
#[tokio::test]
async fn all_kinds_of_breaks() {
    let server = serve(|_, first, n| match n {
        0 => stall(part(first, SIZE / 5)),
        1 => answer(503, &[], b"").into(),
        2 => reset(vec![]),
        3 => answer(429, &["Retry-After: 0"], b"").into(),
        _ => part(first, SIZE).into(),
    })
    .await;
    assert!(download(&server).await.unwrap() == blob());
    let requests = server.requests("GET /v2/org");
    assert_eq!(requests.len(), 5);
    let rest = format!("bytes={}-", SIZE / 5);
    assert!(requests[1..].iter().all(|request| request.header("range") == rest));
}

/// 200 with everything to a request for the rest: the client skips what it has.
#[tokio::test]
async fn a_server_without_ranges_sends_all_again() {
    let server = serve(|_, _, n| part(0, [SIZE / 3, SIZE / 2, SIZE][n.min(2)]).into()).await;
    assert!(download(&server).await.unwrap() == blob());
    assert_eq!(server.requests("GET /v2/org").len(), 3);
}

/// A body without a length ends early: the client asks for the rest.
#[tokio::test]
async fn a_body_without_length_may_have_been_cut() {
    let server = serve(|_, first, n| {
        let head = &b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"[..];
        match n {
            0 => [head, &blob()[..SIZE / 2]].concat().into(),
            _ => part(first, SIZE).into(),
        }
    })
    .await;
    assert!(download(&server).await.unwrap() == blob());
    let requests = server.requests("GET /v2/org");
    assert_eq!(requests[1].header("range"), format!("bytes={}-", SIZE / 2));
    assert_eq!(requests.len(), 2);
}

/// Parts that are shorter than requested: the client resumes at their end.
#[tokio::test]
async fn parts_that_end_early_are_gone_on_from() {
    let server = serve(|_, first, _| {
        if first == 0 {
            return part(0, 10).into();
        }
        let end = SIZE.min(first + 300_000);
        let range = format!("Content-Range: bytes {first}-{}/{SIZE}", end - 1);
        answer(206, &[&range], &blob()[first..end]).into()
    })
    .await;
    assert!(download(&server).await.unwrap() == blob());
    assert_eq!(server.requests("GET /v2/org").len(), 5);
}

/// 206 with a `Content-Range` that was not requested: refused at once.
#[tokio::test]
async fn another_part_than_asked_for_is_refused() {
    for range in ["bytes 0-999999/1000000", "bytes 11-999999/1000000", "bytes 10-999999/7", "none"]
    {
        let header = format!("Content-Range: {range}");
        let server = serve(move |_, first, n| match n {
            0 => part(0, 10).into(),
            _ => answer(206, &[&header], &blob()[first..]).into(),
        })
        .await;
        let error = download(&server).await.unwrap_err();
        assert!(told(&error).contains("a different part"), "{range}: {}", told(&error));
        assert_eq!(server.requests("GET /v2/org").len(), 2);
    }
}

/// A byte for each request, for ever: the client gives up after the tries.
#[tokio::test]
async fn a_byte_per_connection_is_no_progress() {
    let server = serve(|_, first, _| part(first, 1).into()).await;
    let error = download(&server).await.unwrap_err();
    let error = error.get_ref().and_then(|error| error.downcast_ref::<StoreError>()).unwrap();
    assert!(matches!(error, StoreError::Unreachable { tried, .. } if tried.times == 5), "{error}");
    let requests = server.requests("GET /v2/org");
    assert_eq!(requests.len(), 5);
    assert_eq!(requests[4].header("range"), "bytes=4-", "each has come further");
}

/// Every part is empty: the client gives up after the tries.
#[tokio::test]
async fn no_progress_ends_it() {
    let server = serve(|_, first, _| part(first, if first == 0 { 10 } else { 0 }).into()).await;
    let error = download(&server).await.unwrap_err();
    let error = error.get_ref().and_then(|error| error.downcast_ref::<StoreError>()).unwrap();
    assert!(matches!(error, StoreError::Unreachable { tried, .. } if tried.times == 5), "{error}");
    assert_eq!(
        server.requests("GET /v2/org").len(),
        5,
        "the first one comes further, and fails all the same"
    );
}

/// The rest is that of another blob: detected by the digest.
#[tokio::test]
async fn other_content_after_a_break_is_noticed() {
    let server = serve(|_, first, _| {
        if first == 0 {
            return part(0, SIZE / 2).into();
        }
        let range = format!("Content-Range: bytes {first}-{}/{SIZE}", SIZE - 1);
        answer(206, &[&range], &vec![0; SIZE - first]).into()
    })
    .await;
    assert!(told(&download(&server).await.unwrap_err()).contains("has the wrong content"));
    assert_eq!(server.requests("GET /v2/org").len(), 2);
}

/// 200 bytes a second, from any offset: the client gives up after the tries.
#[tokio::test]
async fn a_trickle_is_no_progress() {
    let server = serve(|_, first, _| trickle(part(first, SIZE))).await;
    let error = download(&server).await.unwrap_err();
    let error = error.get_ref().and_then(|error| error.downcast_ref::<StoreError>()).unwrap();
    assert!(matches!(error, StoreError::Unreachable { tried, .. } if tried.times == 5), "{error}");
    assert!(error.to_string().contains("fewer than 1024 bytes per second"), "{error}");
    let requests = server.requests("GET /v2/org");
    assert_eq!(requests.len(), 5);
    assert!(requests[1..].iter().all(|request| request.header("range").starts_with("bytes=")));
}

/// What is announced as longer than it may be is refused before it comes.
#[tokio::test]
async fn an_announced_length_is_enough() {
    let stalled = |length| stall(cut(200, &[], length, b"{"));
    let server = serve(move |_, _, _| stalled(SIZE + 1)).await;
    let mismatch = download(&server).await.unwrap_err();
    assert!(matches!(BlobMismatch::of(&mismatch), Some(BlobMismatch::TooLong { .. })));
    let server = serve(move |_, _, _| stalled(1 << 30)).await;
    let store = open(&server.image(), Intent::Pull, &quick()).await.unwrap();
    let error = store.manifest(&Selector::Tag("x".to_owned())).await.unwrap_err();
    assert!(matches!(error, StoreError::TooLarge { .. }), "{error}");
    assert_eq!(server.requests("GET /v2/org").len(), 1);
    // With what comes, it would take until the time without progress is over.
    let server = serve(move |_, _, _| stall(cut(404, &[], 1 << 30, b"{"))).await;
    let idle = Duration::from_secs(60);
    let patient = AccessOptions { patience: Patience { idle, ..quick().patience }, ..quick() };
    let store = open(&server.image(), Intent::Pull, &patient).await.unwrap();
    let begin = Instant::now();
    let error = store.manifest(&Selector::Tag("x".to_owned())).await.unwrap_err();
    assert!(matches!(error, StoreError::NotFound { .. }), "{error}");
    assert!(begin.elapsed() < idle);
}

/// A manifest at 200 bytes a second: the client gives up after the tries.
#[tokio::test]
async fn a_document_that_trickles_in_is_given_up() {
    let server = Scripted::start(|request, _| match request.line.as_str() {
        "GET /v2/" => answer(200, &[], b"").into(),
        _ => trickle(answer(200, &[], &vec![b' '; 100_000])),
    })
    .await;
    let store = open(&server.image(), Intent::Pull, &quick()).await.unwrap();
    let error = store.manifest(&Selector::Tag("x".to_owned())).await.unwrap_err();
    assert!(told(&error).contains("fewer than 1024 bytes per second"), "{}", told(&error));
    assert_eq!(server.requests("GET /v2/org").len(), 5);
}
