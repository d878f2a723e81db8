//! Registries that misbehave.

use std::{
    io::Read as _,
    sync::atomic::{AtomicU32, Ordering},
};

use bytes::Bytes;
use recompress_image::{
    image::{
        Digest, DocumentError,
        media_type::{DOCKER_MANIFEST, OCI_MANIFEST},
    },
    store::{
        AccessOptions, BlobContent, Intent, MANIFEST_SIZE_MAX, Selector, Store, StoreError,
        Unreachable,
    },
};
use test_support::scripted::{Request, Scripted, answer};

use super::{EMPTY_JSON, manifest, open, quick, told};

async fn store(server: &Scripted) -> Store {
    open(&server.image(), Intent::Push, &quick()).await.unwrap()
}

async fn put_config(store: &Store) -> Result<(), StoreError> {
    let content = BlobContent::Bytes(Bytes::from_static(b"{}"));
    store.put_blob(&EMPTY_JSON.parse().unwrap(), 2, content).await
}

fn by_digest() -> Selector {
    Selector::Digest(manifest("x").digest)
}

fn bearer(host: &str) -> String {
    format!("WWW-Authenticate: Bearer realm=\"http://{host}/token\",service=\"test\"")
}

/// The token server answers 403 with a reason: the error reports it and names the credentials file;
/// the client asks once.
#[tokio::test]
async fn the_reason_of_a_refused_token_reaches_the_user() {
    let server = Scripted::start(|request, host| match request.line.as_str() {
        "GET /v2/" => answer(401, &[&bearer(host)], b""),
        _ => answer(403, &[], br#"{"errors":[{"code":"DENIED","message":"robot is asleep"}]}"#),
    })
    .await;
    let dir = tempfile::tempdir().unwrap();
    let authfile = dir.path().join("auth.json");
    let entry = serde_json::json!({ "username": "robot", "password": "hunter2" });
    let document = serde_json::json!({ "auths": { server.image(): entry } });
    std::fs::write(&authfile, document.to_string()).unwrap();
    let options = AccessOptions { authfile: Some(authfile), ..quick() };
    let error = open(&server.image(), Intent::Pull, &options).await.unwrap_err();
    assert!(matches!(error, StoreError::Unauthorized(_)), "{error:?}");
    let text = told(&error);
    assert!(text.contains("DENIED: robot is asleep") && text.contains("auth.json"), "{text}");
    assert!(!format!("{text}{error:?}").contains("hunter2"), "{text}");
    let exchange = server.requests("GET /token");
    assert_eq!(exchange.len(), 1);
    assert!(exchange[0].line.contains("scope=repository%3Aorg%2Fapp%3Apull&"), "{exchange:?}");
}

/// Each token is good for one request: one exchange for each 401.
#[tokio::test]
async fn a_token_that_expires_is_renewed_once() {
    static TOKENS: AtomicU32 = AtomicU32::new(0);
    static USES: AtomicU32 = AtomicU32::new(0);
    // Every token is good for one request.
    let server = Scripted::start(|request, host| {
        let current = format!("Bearer t{}", TOKENS.load(Ordering::SeqCst));
        match request.line.as_str() {
            "GET /v2/" => answer(401, &[&bearer(host)], b""),
            line if line.starts_with("GET /token") => {
                USES.store(0, Ordering::SeqCst);
                let number = TOKENS.fetch_add(1, Ordering::SeqCst) + 1;
                answer(200, &[], format!("{{\"token\":\"t{number}\"}}").as_bytes())
            }
            _ if request.authorization != current || USES.fetch_add(1, Ordering::SeqCst) > 0 => {
                answer(401, &[&bearer(host)], b"")
            }
            line if line.starts_with("PUT") => answer(201, &[], b""),
            _ => answer(200, &[&format!("Content-Type: {OCI_MANIFEST}")], &manifest("x").bytes),
        }
    })
    .await;
    let store = store(&server).await;
    for _ in 0..3 {
        assert_eq!(store.manifest(&by_digest()).await.unwrap(), manifest("x"));
    }
    store.put_manifest(&manifest("x"), Some("x")).await.unwrap();
    assert_eq!(
        TOKENS.load(Ordering::SeqCst),
        4,
        "one at the start, one for each request but the first"
    );
}

/// 401 to the POST of an upload: a new token, and the POST again.
#[tokio::test]
async fn an_upload_is_repeated_with_a_new_token() {
    static POSTS: AtomicU32 = AtomicU32::new(0);
    static PUTS: AtomicU32 = AtomicU32::new(0);
    let server = Scripted::start(|request: &Request, host| match request.line.as_str() {
        "GET /v2/" => answer(401, &[&bearer(host)], b""),
        line if line.starts_with("GET /token") => answer(200, &[], b"{\"token\":\"t\"}"),
        line if line.starts_with("POST") && POSTS.fetch_add(1, Ordering::SeqCst) == 0 => {
            answer(401, &[], b"")
        }
        line if line.starts_with("POST") => answer(202, &["Location: /upload?state=1"], b""),
        _ if PUTS.fetch_add(1, Ordering::SeqCst) == 0 => answer(201, &["Location: /blob"], b""),
        _ => answer(500, &[], b""),
    })
    .await;
    put_config(&store(&server).await).await.unwrap();
    assert_eq!(server.requests("POST").len(), 2);
    assert_eq!(server.requests("GET /token").len(), 2);
}

/// 403 with a reason: reported, and not retried.
#[tokio::test]
async fn access_that_is_denied_is_not_tried_again() {
    let body = br#"{"errors":[{"code":"DENIED","message":"read only"}]}"#;
    let server = Scripted::start(|request, _| match request.line.as_str() {
        "GET /v2/" => answer(200, &[], b""),
        _ => answer(403, &[], body),
    })
    .await;
    let store = store(&server).await;
    for error in [
        put_config(&store).await.unwrap_err(),
        store.put_manifest(&manifest("x"), None).await.unwrap_err(),
    ] {
        assert!(matches!(error, StoreError::Denied(_)), "{error:?}");
        assert!(told(&error).contains("DENIED: read only"), "{}", told(&error));
    }
    assert_eq!(server.requests("P").len(), 2);
}

/// 201 without `Location`: the client checks for the blob, and fails only if it is not there.
#[tokio::test]
async fn an_upload_without_location_counts_if_the_blob_is_there() {
    for (status, is_there) in [(200, true), (404, false)] {
        let server = Scripted::start(move |request, _| match &request.line[..4] {
            "POST" => answer(202, &["Location: /upload"], b""),
            "PUT " => answer(201, &[], b""),
            _ if request.line.contains("/blobs/") => answer(status, &[], b"{}"),
            _ => answer(200, &[], b""),
        })
        .await;
        let outcome = put_config(&store(&server).await).await;
        assert_eq!(outcome.is_ok(), is_there, "{outcome:?}");
        assert!(!server.requests("GET /v2/org/app/blobs/").is_empty());
        assert_eq!(server.requests("PUT").len(), 1);
    }
}

/// 201 to a manifest without `Location`: accepted without a digest, with the right one and with one
/// that is invalid; another digest is an error.
#[tokio::test]
async fn a_manifest_put_by_digest_needs_no_location_and_its_digest_is_compared() {
    for (name, headers, is_right) in [
        ("no digest", vec![], true),
        ("its digest", vec![format!("Docker-Content-Digest: {}", manifest("x").digest)], true),
        ("nonsense", vec!["Docker-Content-Digest: nonsense".to_owned()], true),
        ("another digest", vec![format!("Docker-Content-Digest: {EMPTY_JSON}")], false),
    ] {
        let server = Scripted::start(move |_, _| {
            let headers: Vec<&str> = headers.iter().map(String::as_str).collect();
            answer(201, &headers, b"")
        })
        .await;
        let outcome = store(&server).await.put_manifest(&manifest("x"), None).await;
        match outcome {
            Ok(()) => assert!(is_right, "{name}"),
            Err(StoreError::DigestMismatch { .. }) => assert!(!is_right, "{name}"),
            Err(error) => panic!("{error:?}"),
        }
        let [put] = &server.requests("PUT")[..] else { panic!("{name}") };
        assert_eq!(put.body, manifest("x").bytes);
        assert_eq!(put.header("content-type"), OCI_MANIFEST);
    }
}

/// A manifest of 8 MiB without a length: the client stops at 4 MiB.
#[tokio::test]
async fn a_manifest_without_end_is_not_read_to_the_end() {
    let server = Scripted::start(|request, _| {
        if request.line == "GET /v2/" {
            return answer(200, &[], b"");
        }
        let size = usize::try_from(2 * MANIFEST_SIZE_MAX).unwrap();
        [&b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"[..], &vec![b' '; size]].concat()
    })
    .await;
    let error = store(&server).await.manifest(&by_digest()).await.unwrap_err();
    assert!(matches!(error, StoreError::TooLarge { limit: MANIFEST_SIZE_MAX, .. }), "{error:?}");
    assert_eq!(server.requests("GET /v2/org").len(), 1);
}

/// A manifest with the `Content-Type` or the digest of another: refused.
#[tokio::test]
async fn a_manifest_under_a_false_type_or_digest_is_refused() {
    let served = |header: String| async move {
        let server =
            Scripted::start(move |_, _| answer(200, &[&header], &manifest("x").bytes)).await;
        let outcome = store(&server).await.manifest(&Selector::Tag("x".to_owned())).await;
        assert_eq!(server.requests("GET /v2/org").len(), 1);
        outcome
    };
    let right = served(format!("Content-Type: {OCI_MANIFEST}")).await.unwrap();
    assert_eq!(right, manifest("x"));
    let error = served(format!("Content-Type: {DOCKER_MANIFEST}")).await.unwrap_err();
    let reason = match error {
        StoreError::Manifest { reason, .. } => reason,
        error => panic!("{error:?}"),
    };
    assert!(matches!(reason, DocumentError::TypeMismatch { .. }), "{reason:?}");
    let error = served(format!("Docker-Content-Digest: {EMPTY_JSON}")).await.unwrap_err();
    assert!(matches!(error, StoreError::DigestMismatch { .. }), "{error:?}");
}

/// A large blob whose reader is dropped: the client closes the connection.
#[tokio::test]
async fn a_reader_that_is_dropped_ends_its_download() {
    let size = 64 << 20;
    let server = Scripted::start(move |request, _| {
        let body = if request.line == "GET /v2/" { vec![] } else { vec![0; size] };
        answer(200, &[], &body)
    })
    .await;
    let store = store(&server).await;
    let mut reader = store.blob(&Digest::sha256_of(b""), size as u64).await.unwrap();
    let start = move || reader.read_exact(&mut [0; 10]);
    tokio::task::spawn_blocking(start).await.unwrap().unwrap();
    assert!(!server.is_taken(2).await, "the rest of the blob was fetched");
}

/// A blob breaks off again and again: the error says that the connection broke.
#[tokio::test]
async fn a_download_that_breaks_off_says_so() {
    let server = Scripted::start(|request, _| match request.line.as_str() {
        "GET /v2/" => answer(200, &[], b""),
        _ => b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc".to_vec(),
    })
    .await;
    let digest = Digest::sha256_of(b"abcdefghij");
    let error = store(&server).await.bytes(&digest, 10, 10).await.unwrap_err();
    let StoreError::Read { source, .. } = &error else { panic!("{error:?}") };
    let cause = source.get_ref().and_then(|cause| cause.downcast_ref::<StoreError>());
    let is_broken =
        matches!(cause, Some(StoreError::Unreachable { kind: Unreachable::Broken, .. }));
    assert!(is_broken, "{error:?}");
    assert_eq!(told(&error).matches("127.0.0.1").count(), 2, "{}", told(&error));
    // Each of six gets three bytes further, until only the end of the blob is left.
    assert!(server.requests("GET /v2/org").len() >= 5);
}
