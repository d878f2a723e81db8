//! Uploads in chunks, into registries with opinions about their size.

use test_support::scripted::{Request, answer};

use super::{
    fake::Fake,
    pull_push::noise,
    uploads::{MIB, arrives, follows, lengths, put_spool, store},
};

/// 429 to a POST, 503 to two PATCH requests: the client continues within the session.
#[tokio::test]
async fn statuses_that_pass_are_waited_out_within_the_session() {
    let fake = Fake {
        refuse: Some(Box::new(|request, n| match (request.method(), n) {
            ("POST", 1) => Some(answer(429, &["Retry-After: 0"], b"").into()),
            ("PATCH", 1 | 3) => Some(answer(503, &[], b"").into()),
            _ => None,
        })),
        ..Fake::default()
    };
    let server = follows(fake, &noise(40 << 20)).await;
    assert_eq!(server.requests("POST").len(), 2);
    assert!(server.requests("PATCH").iter().all(Request::is_whole));
}

/// Chunks of more than 4 MiB are refused: smaller chunks in the same session.
#[tokio::test]
async fn chunks_become_smaller_where_large_ones_are_refused() {
    for status in [413, 416] {
        let refuse = move |request: &Request, _: usize| {
            let length: usize = request.header("content-length").parse().unwrap_or(0);
            (length > 4 * MIB).then(|| answer(status, &[], b"").into())
        };
        let server =
            follows(Fake { refuse: Some(Box::new(refuse)), ..Fake::default() }, &noise(40 << 20))
                .await;
        let taken = lengths(&server.requests("PATCH"));
        assert_eq!(taken.iter().filter(|&&length| length <= 4 * MIB).sum::<usize>(), 40 * MIB);
        assert_eq!(server.requests("POST").len(), 1, "{status}: {taken:?}");
    }
}

/// 413 to a PUT: chunks.
#[tokio::test]
async fn a_put_that_is_too_large_goes_in_chunks() {
    let fake = Fake {
        refuse: Some(Box::new(|request, _| {
            (request.body.len() > 2 * MIB).then(|| answer(413, &[], b"").into())
        })),
        ..Fake::default()
    };
    let server = arrives(fake, &noise(5 << 20)).await;
    assert!(lengths(&server.requests("PATCH")).contains(&(2 * MIB)));
    assert_eq!(lengths(&server.requests("PUT")), [5 * MIB, 0]);
}

/// `OCI-Chunk-Min-Length` of 20 MiB: chunks of that length.
#[tokio::test]
async fn chunks_are_as_long_as_the_registry_wants() {
    let fake =
        Fake { on_post: vec![format!("OCI-Chunk-Min-Length: {}", 20 * MIB)], ..Fake::default() };
    let server = follows(fake, &noise(50 << 20)).await;
    assert_eq!(lengths(&server.requests("PATCH")), [20 * MIB, 20 * MIB, 10 * MIB]);
}

/// 201 with a stale `Range` to a PATCH: ignored.
#[tokio::test]
async fn a_stale_range_and_another_status_are_borne() {
    let fake = Fake {
        garble: Some(Box::new(|request, _| {
            let is_patch = request.method() == "PATCH";
            is_patch.then(|| answer(201, &["Range: 0-0"], b"").into())
        })),
        ..Fake::default()
    };
    let server = follows(fake, &noise(40 << 20)).await;
    assert_eq!(lengths(&server.requests("PATCH")), [16 * MIB, 16 * MIB, 8 * MIB]);
}

/// PATCH is refused: one PUT.
#[tokio::test]
async fn a_registry_without_chunks_gets_the_blob_in_one_piece() {
    for status in [400, 405, 501] {
        let fake = Fake {
            refuse: Some(Box::new(move |request, _| {
                (request.method() == "PATCH").then(|| answer(status, &[], b"").into())
            })),
            ..Fake::default()
        };
        let server = follows(fake, &noise(40 << 20)).await;
        assert_eq!(server.requests("PATCH").len(), 1);
        assert_eq!(lengths(&server.requests("PUT")), [40 * MIB]);
        server.wait_for("DELETE").await;
    }
}

/// The registry reports success, and has nothing: the client checks for the blob, then sends one
/// PUT.
#[tokio::test]
async fn a_registry_that_keeps_only_the_last_chunk_is_found_out() {
    let fake = Fake {
        garble: None,
        refuse: Some(Box::new(|request, n| {
            // It says that all is well, and has nothing.
            (request.method() == "PUT" && n == 1)
                .then(|| answer(201, &["Location: /blob"], b"").into())
        })),
        ..Fake::default()
    };
    let (server, _) = fake.start().await;
    let store = store(&server).await;
    put_spool(&store, &noise(40 << 20)).await.unwrap();
    assert_eq!(lengths(&server.requests("PUT")), [0, 40 * MIB]);
    let patches = server.requests("PATCH").len();
    // Once is enough: the next blob is not sent in chunks.
    assert!(!put_spool(&store, &noise(41 << 20)).await.unwrap());
    assert_eq!(lengths(&server.requests("PUT")), [0, 40 * MIB, 41 * MIB]);
    assert_eq!(server.requests("PATCH").len(), patches);
    // Nor is one that is there.
    assert!(put_spool(&store, &noise(41 << 20)).await.unwrap());
    assert_eq!(server.requests("PUT").len(), 3);
}
