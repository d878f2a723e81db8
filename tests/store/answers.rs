//! Answers that are not by the book, and that other clients take.

use recompress_image::{
    image::{Digest, media_type::OCI_INDEX},
    store::{Intent, StoreError},
};
use test_support::scripted::{Answer, Reaction, Scripted, answer};

use super::{
    fake::Fake,
    manifest, open, quick,
    uploads::{arrives, put, store},
};

/// 200, 201 or 204 in place of 202 to a POST: a session, because there is a `Location`.
#[tokio::test]
async fn a_session_may_begin_with_another_status() {
    for status in [200, 201, 204] {
        let fake = Fake {
            garble: Some(Box::new(move |request, n| {
                let location = format!("Location: ../uploads/s{n}");
                (request.method() == "POST").then(|| answer(status, &[&location], b"").into())
            })),
            ..Fake::default()
        };
        let server = arrives(fake, b"content").await;
        let counts = ["POST", "PUT"].map(|method| server.requests(method).len());
        assert_eq!(counts, [1, 1], "{status}");
    }
}

/// A `Location` with characters outside of ASCII, as UTF-8 or not: their bytes come back encoded.
#[tokio::test]
async fn a_location_need_not_be_ascii() {
    for (bytes, encoded) in
        [(&b"gr\xc3\xb6\xc3\x9fe"[..], "gr%C3%B6%C3%9Fe"), (b"gr\xf6e", "gr%F6e")]
    {
        let fake = Fake {
            garble: Some(Box::new(move |request, n| {
                let begin = format!("HTTP/1.1 202 x\r\nLocation: ../uploads/s{n}?state=");
                let end = b"\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
                let answer = || Reaction::from([begin.as_bytes(), bytes, end].concat());
                (request.method() == "POST").then(answer)
            })),
            ..Fake::default()
        };
        let server = arrives(fake, b"content").await;
        let [put] = &server.requests("PUT")[..] else { panic!("{encoded}") };
        assert!(put.line.contains(&format!("/s1?state={encoded}&digest=")), "{}", put.line);
    }
}

/// The token server answers 201, and the challenge has characters outside of ASCII: the client gets
/// its token.
#[tokio::test]
async fn a_token_may_come_with_another_status_from_a_service_of_any_name() {
    let server = Scripted::start(|request, host| {
        if request.line.starts_with("GET /t") {
            return answer(201, &[], br#"{"token":"t1"}"#);
        }
        if request.authorization != "Bearer t1" {
            let realm = format!("realm=\"http://{host}/tökens\",service=\"Größe\"");
            return answer(401, &[&format!("WWW-Authenticate: Bearer {realm}")], b"");
        }
        answer(200, &[], &manifest("x").bytes)
    })
    .await;
    open(&server.image(), Intent::Pull, &quick()).await.unwrap();
    let [exchange] = &server.requests("GET /t")[..] else { panic!() };
    assert!(exchange.line.starts_with("GET /t%C3%B6kens?"), "{}", exchange.line);
    assert!(exchange.line.contains("service=Gr%C3%B6%C3%9Fe"), "{}", exchange.line);
}

type Make = Box<dyn Fn() -> Answer + Send + Sync>;

/// The referrers API answers with an error, a web page or a redirect to a page to log in at: the
/// client does without it after few tries. If it is busy or refuses access, that is an error.
#[tokio::test]
async fn a_referrers_api_that_is_none_is_done_without() {
    let page = || answer(200, &["Content-Type: text/html"], b"<html>Log in</html>");
    let login = |status| answer(status, &["Location: /login"], b"");
    let cases: Vec<(&str, Make, Option<usize>)> = vec![
        ("404", Box::new(|| answer(404, &[], b"")), Some(1)),
        ("400", Box::new(|| answer(400, &[], b"")), Some(1)),
        ("401", Box::new(|| answer(401, &[], b"")), None),
        ("403", Box::new(|| answer(403, &[], b"")), None),
        ("405", Box::new(|| answer(405, &[], b"")), Some(1)),
        ("500", Box::new(|| answer(500, &[], b"")), Some(3)),
        ("503", Box::new(|| answer(503, &[], b"")), Some(3)),
        ("a page", Box::new(page), Some(1)),
        ("302", Box::new(move || login(302)), Some(1)),
        ("307", Box::new(move || login(307)), Some(1)),
        ("429", Box::new(|| answer(429, &["Retry-After: 0"], b"")), None),
    ];
    for (name, referrers, tries) in cases {
        let server = Scripted::start(move |request, _| match request.line.as_str() {
            "GET /v2/" => answer(200, &[], b""),
            "GET /login" => page(),
            _ => referrers(),
        })
        .await;
        let store = open(&server.image(), Intent::Pull, &quick()).await.unwrap();
        let found = store.referrers(&manifest("x").digest).await;
        assert_eq!(found.is_err(), tries.is_none(), "{name}: {found:?}");
        if let Some(tries) = tries {
            assert!(matches!(found, Ok(None)), "{name}: {found:?}");
            assert_eq!(server.requests("GET /v2/org/app/referrers/").len(), tries, "{name}");
        }
    }
}

/// The second page of a list of referrers cannot be read: an error, and not a shorter list.
#[tokio::test]
async fn a_list_of_referrers_is_whole_or_an_error() {
    let server = Scripted::start(|request, _| {
        let headers = [&format!("Content-Type: {OCI_INDEX}"), "Link: <?page=2>; rel=\"next\""];
        match request.line.as_str() {
            "GET /v2/" => answer(200, &[], b""),
            line if line.contains("page=2") => answer(403, &[], b""),
            _ => answer(200, &headers, br#"{"schemaVersion":2,"manifests":[]}"#),
        }
    })
    .await;
    let store = open(&server.image(), Intent::Pull, &quick()).await.unwrap();
    let error = store.referrers(&manifest("x").digest).await.unwrap_err();
    assert!(matches!(error, StoreError::Denied(_)), "{error:?}");
}

/// An empty blob goes up and is there.
#[tokio::test]
async fn an_empty_blob_is_uploaded() {
    let (server, _) = Fake::default().start().await;
    let store = store(&server).await;
    put(&store, b"").await.unwrap();
    let digest = Digest::sha256_of(b"");
    assert!(store.has_blob(&digest, 0).await.unwrap());
    assert!(store.has_blob_soon(&digest, 0).await.unwrap());
}
