//! Uploads into registries that break off, refuse and forget.

use std::{io::Write as _, sync::Arc};

use bytes::Bytes;
use recompress_image::{
    image::Digest,
    store::{BlobContent, BlobSpool, Intent, Store, StoreError, uploads_cancelled},
};
use test_support::scripted::{Request, Scripted, answer, reset, stall};

use super::{fake::Fake, open, peer::Peer, pull_push::noise, quick, told};

pub(crate) const MIB: usize = 1 << 20;

pub(crate) async fn store(server: &Scripted) -> Store {
    open(&server.image(), Intent::Push, &quick()).await.unwrap()
}

pub(crate) async fn put(store: &Store, blob: &[u8]) -> Result<(), StoreError> {
    let (digest, size) = (Digest::sha256_of(blob), blob.len() as u64);
    let content = BlobContent::Bytes(Bytes::copy_from_slice(blob));
    store.put_blob(&digest, size, content).await
}

/// Writes a spool and ends it.
pub(crate) async fn put_spool(store: &Store, blob: &[u8]) -> Result<bool, StoreError> {
    let (mut writer, spool) = BlobSpool::new().unwrap();
    writer.write_all(blob).unwrap();
    // Not finished before the upload has begun, so that it cannot know the digest.
    let finish = async {
        tokio::task::yield_now().await;
        writer.finish(Digest::sha256_of(blob));
    };
    tokio::join!(store.put_spool(spool), finish).0
}

/// Uploads a blob as one that is there; the registry has to have it in the end.
pub(crate) async fn arrives(fake: Fake, blob: &[u8]) -> Scripted {
    let (server, held) = fake.start().await;
    put(&store(&server).await, blob).await.unwrap();
    assert!(held.lock().unwrap().blobs[Digest::sha256_of(blob).as_str()] == blob);
    server
}

/// Uploads a blob as one that is being made.
pub(crate) async fn follows(fake: Fake, blob: &[u8]) -> Scripted {
    let (server, held) = fake.start().await;
    assert!(!put_spool(&store(&server).await, blob).await.unwrap());
    assert!(held.lock().unwrap().blobs[Digest::sha256_of(blob).as_str()] == blob);
    server
}

pub(crate) fn lengths(requests: &[Request]) -> Vec<usize> {
    requests.iter().map(|request| request.body.len()).collect()
}

/// A small blob: POST and PUT; nothing for a blob that is there.
#[tokio::test]
async fn a_small_blob_goes_in_one_piece_and_only_if_it_is_needed() {
    let (server, _) = Fake::default().start().await;
    let store = store(&server).await;
    assert!(!put_spool(&store, b"content").await.unwrap());
    assert!(put_spool(&store, b"content").await.unwrap());
    assert_eq!((server.requests("POST").len(), server.requests("PATCH").len()), (1, 0));
    assert_eq!(lengths(&server.requests("PUT")), [7]);
}

/// A large blob: chunks before the blob is finished.
#[tokio::test]
async fn a_large_blob_is_uploaded_while_it_is_made() {
    let (server, held) = Fake::default().start().await;
    let store = Arc::new(store(&server).await);
    let blob = noise(40 << 20);
    let (mut writer, spool) = BlobSpool::new().unwrap();
    let upload = {
        let store = Arc::clone(&store);
        tokio::spawn(async move { store.put_spool(spool).await })
    };
    writer.write_all(&blob[..33 * MIB]).unwrap();
    server.wait_for("PATCH").await;
    writer.write_all(&blob[33 * MIB..]).unwrap();
    writer.finish(Digest::sha256_of(&blob));
    assert!(!upload.await.unwrap().unwrap());
    assert!(held.lock().unwrap().blobs[Digest::sha256_of(&blob).as_str()] == blob);
    assert_eq!(lengths(&server.requests("PATCH")), [16 * MIB, 16 * MIB, 8 * MIB]);
    assert_eq!(server.requests("DELETE").len(), 0);
    assert_eq!(server.requests("HEAD").len(), 1, "when the digest was known");
    assert_eq!(server.requests("GET /v2/org").len(), 1, "at the end");
}

/// The registry has the blob: detected once the digest is known, and the session is cancelled.
#[tokio::test]
async fn a_large_blob_that_turns_out_to_be_there_is_not_sent_on() {
    let (server, held) = Fake::default().start().await;
    let blob = noise(80 << 20);
    held.lock().unwrap().blobs.insert(Digest::sha256_of(&blob).to_string(), blob.clone());
    assert!(put_spool(&store(&server).await, &blob).await.unwrap());
    assert_eq!(server.requests("PUT").len(), 0);
    assert_eq!(server.requests("PATCH").len(), 0, "the digest was known before the first");
    server.wait_for("DELETE").await;
}

/// A blob that is never finished: DELETE.
#[tokio::test]
async fn a_blob_that_is_given_up_is_cancelled() {
    let (server, _) = Fake::default().start().await;
    let store = store(&server).await;
    let (mut writer, spool) = BlobSpool::new().unwrap();
    writer.write_all(&noise(33 << 20)).unwrap();
    let give_up = async {
        server.wait_for("PATCH").await;
        drop(writer);
    };
    let (outcome, ()) = tokio::join!(store.put_spool(spool), give_up);
    assert!(told(&outcome.unwrap_err()).contains("not finished"));
    server.wait_for("DELETE /v2/org/app/blobs/uploads/s1").await;
}

/// Gives up an upload whose PUT is not answered.
async fn drop_upload(server: &Scripted) {
    let store = store(server).await;
    tokio::select! {
        outcome = put(&store, b"content") => panic!("{outcome:?}"),
        _ = server.wait_for("PUT") => {}
    }
}

/// The registry never answers the PUT: DELETE when the upload is dropped.
#[tokio::test]
async fn an_upload_that_is_dropped_is_cancelled() {
    let (server, _) = Fake::silent_at(&["PUT"]).start().await;
    drop_upload(&server).await;
    uploads_cancelled().await;
    assert_eq!(server.requests("DELETE /v2/org/app/blobs/uploads/s1").len(), 1);
}

/// The registry never answers the PUT and resets each DELETE: retried like any other request, then
/// counted and reported.
#[tokio::test]
async fn an_upload_that_cannot_be_cancelled_is_told_of() {
    let (server, _) = Fake {
        refuse: Some(Box::new(|request, _| match request.method() {
            "PUT" => Some(stall(vec![])),
            "DELETE" => Some(reset(vec![])),
            _ => None,
        })),
        ..Fake::default()
    }
    .start()
    .await;
    let before = uploads_cancelled().await;
    drop_upload(&server).await;
    assert!(uploads_cancelled().await > before);
    assert_eq!(server.requests("DELETE").len(), quick().patience.tries as usize);
}

/// The registry resets a PUT and keeps a part: the client asks for the offset and sends the rest.
#[tokio::test]
async fn a_put_that_breaks_is_resumed_where_the_registry_is() {
    let fake = Fake {
        limit: Some(Box::new(|request, n| {
            (request.method() == "PUT" && n == 1).then_some(5 * MIB)
        })),
        garble: Some(Box::new(|request, _| {
            (request.method() == "PUT" && !request.is_whole()).then(|| reset(vec![]))
        })),
        ..Fake::default()
    };
    let server = arrives(fake, &noise(9 << 20)).await;
    assert_eq!(server.requests("POST").len(), 1);
    let [rest] = &server.requests("PATCH")[..] else { panic!() };
    assert_eq!(rest.header("content-range"), format!("{}-{}", 5 * MIB, 9 * MIB - 1));
    assert_eq!(rest.body.len(), 4 * MIB);
}

/// 404 to a session: a new session.
#[tokio::test]
async fn a_session_that_is_lost_is_begun_again() {
    let fake = Fake {
        refuse: Some(Box::new(|request, n| match (request.method(), n) {
            ("PUT", 1) => Some(answer(404, &[], b"").into()),
            ("PUT", 2) => Some(reset(vec![])),
            ("GET", _) if request.line.contains("/uploads/") => Some(answer(404, &[], b"").into()),
            _ => None,
        })),
        ..Fake::default()
    };
    let server = arrives(fake, b"content").await;
    assert_eq!((server.requests("POST").len(), server.requests("PUT").len()), (3, 3));
}

/// The registry takes a PUT and resets the connection: the client checks for the blob, and is done.
#[tokio::test]
async fn an_answer_that_is_lost_is_no_reason_to_send_again() {
    let fake = Fake {
        garble: Some(Box::new(|request, _| (request.method() == "PUT").then(|| reset(vec![])))),
        ..Fake::default()
    };
    let server = arrives(fake, b"content").await;
    assert_eq!((server.requests("POST").len(), server.requests("PUT").len()), (1, 1));
}

/// The registry stops reading a body: the client gives up after the idle time, and retries.
#[tokio::test]
async fn an_upload_that_stalls_is_found_out() {
    let fake = Fake {
        limit: Some(Box::new(|request, n| (request.method() == "PUT" && n == 1).then_some(0))),
        refuse: Some(Box::new(|request, n| {
            (request.method() == "PUT" && n == 1).then(|| stall(vec![]))
        })),
        ..Fake::default()
    };
    let server = arrives(fake, &noise(20 << 20)).await;
    assert_eq!(server.requests("PUT").len(), 2);
}

/// The registry keeps a byte of each request and resets it: that is no progress, so the client
/// gives up after the tries.
#[tokio::test]
async fn a_byte_per_connection_is_no_progress() {
    let fake = Fake {
        limit: Some(Box::new(|request, _| {
            matches!(request.method(), "PUT" | "PATCH").then_some(1)
        })),
        garble: Some(Box::new(|request, _| {
            matches!(request.method(), "PUT" | "PATCH").then(|| reset(vec![]))
        })),
        ..Fake::default()
    };
    let (server, held) = fake.start().await;
    let error = put(&store(&server).await, &noise(5 << 20)).await.unwrap_err();
    assert!(matches!(error, StoreError::Unreachable { tried, .. } if tried.times == 5), "{error}");
    assert_eq!(server.requests("PUT").len() + server.requests("PATCH").len(), 5);
    uploads_cancelled().await;
    assert_eq!(held.lock().unwrap().open(), 0);
}

/// 403 to a PUT: DELETE, and no retry.
#[tokio::test]
async fn a_blob_that_is_refused_leaves_no_session() {
    let fake = Fake {
        refuse: Some(Box::new(|request, _| {
            (request.method() == "PUT").then(|| answer(403, &[], b"").into())
        })),
        ..Fake::default()
    };
    let (server, _) = fake.start().await;
    let error = put(&store(&server).await, b"content").await.unwrap_err();
    assert!(matches!(error, StoreError::Denied(_)), "{error:?}");
    server.wait_for("DELETE").await;
    assert_eq!(server.requests("PUT").len(), 1);
}

/// 202 without `Location`: an error that says so.
#[tokio::test]
async fn no_location_is_no_session() {
    let server = Scripted::start(|request, _| match request.method() {
        "POST" => answer(202, &[], b""),
        _ => answer(200, &[], b""),
    })
    .await;
    let error = put(&store(&server).await, b"content").await.unwrap_err();
    assert!(matches!(error, StoreError::Protocol { .. }), "{error:?}");
    assert!(told(&error).contains("Location"), "{}", told(&error));
    assert_eq!((server.requests("POST").len(), server.requests("P").len()), (1, 1));
}

async fn copy_from(store: &Store, from: &str) {
    let digest = Digest::sha256_of(b"content");
    let content = Bytes::from_static(b"content");
    store.copy_blob(&digest, content, &from.parse().unwrap()).await.unwrap();
}

/// 201 to a request to mount: done. 202: the client uploads into that session. 403 and 405: it
/// uploads.
#[tokio::test]
async fn a_blob_of_a_neighbor_is_mounted_or_sent() {
    // What the registry says to the wish, and how many POSTs and PUTs that makes.
    let counts = [(1, 0), (1, 1), (2, 1), (2, 1)];
    let said = [201, 202, 403, 405];
    for (status, (posts, puts)) in said.into_iter().zip(counts) {
        let fake = Fake {
            refuse: Some(Box::new(move |request, _| {
                let is_wish = request.line.contains("?mount=sha256%3A");
                let refused = is_wish && request.line.ends_with("&from=org%2Fother");
                (refused && status != 202).then(|| answer(status, &["Location: /blob"], b"").into())
            })),
            ..Fake::default()
        };
        let (server, _) = fake.start().await;
        let store = store(&server).await;
        copy_from(&store, &format!("{}/org/other:x", server.host)).await;
        let counts = (server.requests("POST").len(), server.requests("PUT").len());
        assert_eq!(counts, (posts, puts), "{status}");
    }
    let (server, _) = Fake::default().start().await;
    copy_from(&store(&server).await, "elsewhere.example/org/other:x").await;
    copy_from(&store(&server).await, &format!("{}:x", server.image())).await;
    assert!(server.requests("POST").iter().all(|post| !post.line.contains("mount")));
}

/// docker-registry mounts a blob, and takes one in chunks.
#[tokio::test]
async fn a_real_registry_mounts_and_takes_chunks() {
    let peer = Peer::start();
    let (other, own) = (format!("{}/org/other:x", peer.host()), format!("{}/org/app", peer.host()));
    let other_store = open(&other, Intent::Push, &quick()).await.unwrap();
    put(&other_store, b"content").await.unwrap();
    let store = open(&own, Intent::Push, &quick()).await.unwrap();
    // Only a blob that exists can be mounted: what would be sent is something else.
    let digest = Digest::sha256_of(b"content");
    let lie = Bytes::from_static(b"another");
    store.copy_blob(&digest, lie, &other.parse().unwrap()).await.unwrap();
    assert!(store.has_blob(&digest, 7).await.unwrap());

    let blob = noise(50 << 20);
    assert!(!put_spool(&store, &blob).await.unwrap());
    let size = blob.len() as u64;
    assert!(store.bytes(&Digest::sha256_of(&blob), size, size).await.unwrap() == blob);
    assert!(peer.count("PATCH", 202) >= 3, "{:?}", peer.requests());
    let puts = peer.count("PUT", 201);
    assert!(put_spool(&store, &blob).await.unwrap());
    assert_eq!(peer.count("PUT", 201), puts);
    assert_eq!(peer.count("POST", 201), 1, "the mount: {:?}", peer.requests());
}

/// A redirect that keeps the method, of each POST, PATCH and PUT: the same is sent there.
#[tokio::test]
async fn writes_are_sent_again_where_a_redirect_leads() {
    for status in [307, 308] {
        let refuse = move |request: &Request, _: usize| {
            let (method, path) = request.line.split_once(' ')?;
            let target = format!("Location: /moved{path}");
            let is_redirected = method != "GET" && method != "HEAD" && path.starts_with("/v2/");
            is_redirected.then(|| answer(status, &[&target], b"").into())
        };
        let blob = noise(40 << 20);
        let server =
            follows(Fake { refuse: Some(Box::new(refuse)), ..Fake::default() }, &blob).await;
        for method in ["POST", "PATCH", "PUT"] {
            let lines = [format!("{method} /moved/"), format!("{method} /v2/")];
            let [obeyed, redirected] = lines.map(|line| server.requests(&line));
            assert!(!obeyed.is_empty(), "{method}");
            // A session stays where its Location leads, which is given by the first answer.
            assert!(lengths(&obeyed).ends_with(&lengths(&redirected)), "{method}");
        }
    }
}

/// A redirect that changes the method, of the PUT of a blob: refused, and the session is cancelled.
#[tokio::test]
async fn other_redirects_of_writes_are_refused() {
    for status in [301, 302, 303] {
        let refuse = move |request: &Request, _: usize| {
            let redirect = || answer(status, &["Location: /elsewhere"], b"").into();
            (request.method() == "PUT").then(redirect)
        };
        let (server, _) = Fake { refuse: Some(Box::new(refuse)), ..Fake::default() }.start().await;
        let error = put(&store(&server).await, b"content").await.unwrap_err();
        assert!(told(&error).contains("redirects a write"), "{}", told(&error));
        server.wait_for("DELETE").await;
        assert_eq!(server.requests("PUT").len(), 1);
        assert_eq!(server.requests("GET /elsewhere").len(), 0);
    }
}
