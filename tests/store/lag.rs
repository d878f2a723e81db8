//! Registries that show what was written only after a while.

use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use recompress_image::{
    image::{Digest, media_type::OCI_MANIFEST},
    store::{BlobContent, Intent, Selector, Store, StoreError},
};
use test_support::scripted::{Request, Scripted, answer};

use super::{fake::Fake, manifest, open, quick, told};

async fn store(server: &Scripted) -> Store {
    open(&server.image(), Intent::Push, &quick()).await.unwrap()
}

fn tag() -> Selector {
    Selector::Tag("new".to_owned())
}

/// A registry whose tag names the manifest `old` for the first `times` requests, or nothing, and
/// then the manifest `new`.
async fn lagging(times: usize, old: Option<&'static str>) -> Scripted {
    let count = AtomicUsize::new(0);
    let serve =
        |name| answer(200, &[&format!("Content-Type: {OCI_MANIFEST}")], &manifest(name).bytes);
    Scripted::start(move |request, _| {
        if request.line == "GET /v2/" {
            return answer(200, &[], b"");
        }
        match (count.fetch_add(1, Ordering::SeqCst) < times, old) {
            (true, None) => answer(404, &[], b""),
            (true, Some(old)) => serve(old),
            (false, _) => serve("new"),
        }
    })
    .await
}

/// A manifest is not there yet, or the tag still names another one: the client looks again.
#[tokio::test]
async fn a_manifest_is_looked_for_until_it_appears() {
    for (name, old) in [("absent", None), ("another one", Some("old"))] {
        let server = lagging(3, old).await;
        let expected = manifest("new");
        let found = store(&server).await.manifest_soon(&tag(), &expected.digest).await.unwrap();
        assert_eq!(found, expected, "{name}");
        assert_eq!(server.requests("GET /v2/org").len(), 4, "{name}");
    }
}

/// The manifest never appears: what was seen last is returned after a while.
#[tokio::test]
async fn a_manifest_that_never_appears_is_given_up() {
    let server = lagging(usize::MAX, Some("old")).await;
    let found = store(&server).await.manifest_soon(&tag(), &manifest("new").digest).await.unwrap();
    assert_eq!(found, manifest("old"));
    let server = lagging(usize::MAX, None).await;
    let found = store(&server).await.manifest_soon(&tag(), &manifest("new").digest).await;
    assert!(matches!(found, Err(StoreError::NotFound { .. })), "{found:?}");
    assert!(server.requests("GET /v2/org").len() > 2);
}

/// A manifest is refused: the client does not look again.
#[tokio::test]
async fn a_manifest_that_is_refused_is_not_waited_for() {
    let server = Scripted::start(|request, _| match request.line.as_str() {
        "GET /v2/" => answer(200, &[], b""),
        _ => answer(403, &[], b""),
    })
    .await;
    let error =
        store(&server).await.manifest_soon(&tag(), &manifest("x").digest).await.unwrap_err();
    assert!(matches!(error, StoreError::Denied(_)), "{error:?}");
    assert_eq!(server.requests("GET /v2/org").len(), 1);
}

fn is_look(request: &Request) -> bool {
    request.method() == "GET" && request.line.contains("/blobs/sha256:")
}

/// HEAD finds a blob, GET does not yet: the client asks for its first byte until it is served.
#[tokio::test]
async fn a_blob_is_looked_for_until_it_is_served() {
    let served_after = |times| Fake {
        refuse: Some(Box::new(move |request, count| {
            // The first GET is that of the API.
            (is_look(request) && count <= times + 1).then(|| answer(404, &[], b"").into())
        })),
        ..Fake::default()
    };
    let (digest, content) = (Digest::sha256_of(b"content"), b"content".to_vec());
    for (times, is_served) in [(0, true), (3, true), (usize::MAX - 1, false)] {
        let (server, held) = served_after(times).start().await;
        held.lock().unwrap().blobs.insert(digest.to_string(), content.clone());
        let store = store(&server).await;
        assert!(store.has_blob(&digest, 7).await.unwrap());
        assert_eq!(store.has_blob_soon(&digest, 7).await.unwrap(), is_served, "{times}");
        let looks = server.requests("GET /v2/org");
        assert!(looks.iter().all(|look| look.header("range") == "bytes=0-0"));
        assert!(if is_served { looks.len() == times + 1 } else { looks.len() > 2 }, "{times}");
    }
}

/// A blob has another size than it should: that does not pass, so the client does not look again.
#[tokio::test]
async fn a_blob_of_another_size_is_not_waited_for() {
    let (server, held) = Fake::default().start().await;
    let digest = Digest::sha256_of(b"content");
    held.lock().unwrap().blobs.insert(digest.to_string(), b"cont".to_vec());
    assert!(!store(&server).await.has_blob_soon(&digest, 7).await.unwrap());
    assert_eq!(server.requests("GET /v2/org").len(), 1);
}

/// The answer to a PUT has no `Location`, and the blob is not visible at first: the client looks
/// again before it says that the registry has lost it.
#[tokio::test]
async fn an_upload_that_is_visible_late_has_succeeded() {
    for (times, succeeds) in [(3, true), (usize::MAX - 1, false)] {
        let fake = Fake {
            refuse: Some(Box::new(move |request, count| {
                (is_look(request) && count <= times + 1).then(|| answer(404, &[], b"").into())
            })),
            garble: Some(Box::new(|request, _| {
                (request.method() == "PUT").then(|| answer(201, &[], b"").into())
            })),
            ..Fake::default()
        };
        let (server, _) = fake.start().await;
        let content = BlobContent::Bytes(Bytes::from_static(b"content"));
        let put = store(&server).await.put_blob(&Digest::sha256_of(b"content"), 7, content).await;
        assert_eq!(put.is_ok(), succeeds, "{times}");
        if let Err(error) = put {
            assert!(told(&error).contains("does not have the blob"), "{}", told(&error));
        }
        assert_eq!(server.requests("PUT").len(), 1, "{times}");
    }
}
