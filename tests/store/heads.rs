//! Servers that answer HEAD in another way than GET.

use recompress_image::{
    image::Digest,
    store::{Intent, StoreError},
};
use test_support::scripted::{Answer, Request, Scripted, answer, cut};

use super::{open, quick};

/// A registry that answers HEAD and GET of a blob like this.
async fn registry(
    head: impl Fn() -> Answer + Send + Sync + 'static,
    get: impl Fn(&Request) -> Answer + Send + Sync + 'static,
) -> Scripted {
    Scripted::start(move |request, _| match request.method() {
        "HEAD" => head(),
        _ if request.line == "GET /v2/" => answer(200, &[], b""),
        _ => get(request),
    })
    .await
}

fn byte(range: &str) -> Answer {
    answer(206, &[&format!("Content-Range: {range}")], b"c")
}

/// HEAD without a length.
fn endless() -> Answer {
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n".to_vec()
}

type Head = fn() -> Answer;
type Get = fn(&Request) -> Answer;

const CONTENT: &[u8] = b"content";

/// HEAD is refused, or has no length or a wrong one: a GET of the first byte decides, whatever that
/// is answered with.
#[tokio::test]
async fn a_get_decides_if_head_does_not_say() {
    let digest = Digest::sha256_of(CONTENT);
    for status in [400, 403, 405, 501] {
        let server = registry(move || answer(status, &[], b""), |_| byte("bytes 0-0/7")).await;
        let store = open(&server.image(), Intent::Pull, &quick()).await.unwrap();
        assert!(store.has_blob(&digest, 7).await.unwrap(), "{status}");
        let [get] = &server.requests("GET /v2/org")[..] else { panic!("{status}") };
        assert_eq!(get.header("range"), "bytes=0-0");
    }
    let gets: [(&str, Get, bool); 9] = [
        ("the size", |_| byte("bytes 0-0/7"), true),
        ("another size", |_| byte("bytes 0-0/8"), false),
        ("a size that is not known", |_| byte("bytes 0-0/*"), true),
        ("the whole", |_| answer(200, &[], b"content"), true),
        ("another whole", |_| answer(200, &[], b"contents"), false),
        ("an empty blob", |_| answer(416, &[], b""), false),
        ("not there", |_| answer(404, &[], b""), false),
        (
            "no range",
            |request| match request.header("range") {
                "" => answer(200, &[], b"content"),
                _ => answer(400, &[], b""),
            },
            true,
        ),
        // Its body never comes, and is not waited for.
        ("the head of the whole", |_| cut(200, &[], 7, b""), true),
    ];
    let heads: [(&str, Head); 3] = [
        ("length 0", || answer(200, &[], b"")),
        ("no length", endless),
        ("refused", || answer(405, &[], b"")),
    ];
    for (kind, head) in heads {
        for (name, get, is_there) in gets {
            let server = registry(head, get).await;
            let store = open(&server.image(), Intent::Pull, &quick()).await.unwrap();
            assert_eq!(store.has_blob(&digest, 7).await.unwrap(), is_there, "{kind}: {name}");
        }
    }
}

/// An empty blob: HEAD says so, or GET of the first byte fails because there is none.
#[tokio::test]
async fn an_empty_blob_is_there() {
    let digest = Digest::sha256_of(b"");
    let gets: [Get; 3] = [
        |_| answer(416, &["Content-Range: bytes */0"], b""),
        |_| answer(416, &[], b""),
        |_| answer(200, &[], b""),
    ];
    for get in gets {
        let server = registry(|| answer(200, &[], b""), get).await;
        let store = open(&server.image(), Intent::Pull, &quick()).await.unwrap();
        assert!(store.has_blob(&digest, 0).await.unwrap());
        assert_eq!(server.requests("GET /v2/org").len(), 0);
        assert!(store.has_blob_soon(&digest, 0).await.unwrap());
        let server = registry(|| answer(403, &[], b""), get).await;
        let store = open(&server.image(), Intent::Pull, &quick()).await.unwrap();
        assert!(store.has_blob(&digest, 0).await.unwrap());
    }
}

/// The registry redirects to URLs that are good for GET alone (S3): the client uses that.
#[tokio::test]
async fn a_presigned_url_is_good_for_get_alone() {
    let storage = Scripted::start(|request, _| match request.method() {
        "HEAD" => answer(403, &[], b"<Error><Code>SignatureDoesNotMatch</Code></Error>"),
        _ => byte("bytes 0-0/7"),
    })
    .await;
    let location = format!("Location: http://{}/blob?signature=x", storage.host);
    let redirect = move || answer(307, &[&location], b"");
    let again = redirect.clone();
    let server = registry(redirect, move |_| again()).await;
    let store = open(&server.image(), Intent::Pull, &quick()).await.unwrap();
    let digest = Digest::sha256_of(CONTENT);
    assert!(store.has_blob(&digest, 7).await.unwrap());
    assert!(store.has_blob_soon(&digest, 7).await.unwrap());
    let seen = ["HEAD", "GET"].map(|method| storage.requests(method).len());
    assert_eq!(seen, [1, 2]);
}

/// Both are refused: the error is that of the registry.
#[tokio::test]
async fn what_is_refused_to_both_is_refused() {
    for status in [401, 403] {
        let refuse = move || answer(status, &[], b"");
        let server = registry(refuse, move |_| refuse()).await;
        let store = open(&server.image(), Intent::Pull, &quick()).await.unwrap();
        let error = store.has_blob(&Digest::sha256_of(CONTENT), 7).await.unwrap_err();
        let is_refusal = matches!(error, StoreError::Denied(_) | StoreError::Unauthorized(_));
        assert!(is_refusal, "{error:?}");
        assert_eq!(server.requests("HEAD").len(), 1, "{status}");
        assert_eq!(server.requests("GET /v2/org").len(), 1, "{status}");
    }
}
