//! Tokens of all sorts of registries.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use recompress_image::{
    image::media_type::OCI_MANIFEST,
    store::{AccessOptions, Intent, Selector, Store, StoreError},
};
use serde_json::{Value, json};
use test_support::scripted::{Answer, Request, Scripted, answer};

use super::{manifest, open, quick, told};

/// A registry and its token server in one. Each token says how many there were before it, and only
/// the latest is good.
async fn registry(token: impl Fn(&Request, usize) -> Answer + Send + Sync + 'static) -> Scripted {
    let count = AtomicUsize::new(0);
    Scripted::start(move |request, host| {
        if request.line.contains("/token") {
            return token(request, count.fetch_add(1, Ordering::SeqCst) + 1);
        }
        let current = format!("Bearer t{}", count.load(Ordering::SeqCst));
        if request.line == "GET /v2/" || request.authorization != current {
            let realm = format!("http://{host}/token?client=x");
            let challenge = format!("WWW-Authenticate: Bearer realm=\"{realm}\",service=\"s t\"");
            return answer(401, &[&challenge], b"");
        }
        answer(200, &[&format!("Content-Type: {OCI_MANIFEST}")], &manifest("x").bytes)
    })
    .await
}

fn token(number: usize, rest: &str) -> Answer {
    answer(200, &[], format!("{{\"token\":\"t{number}\"{rest}}}").as_bytes())
}

async fn get(store: &Store) -> Result<(), StoreError> {
    let selector = Selector::Digest(manifest("x").digest);
    store.manifest(&selector).await.map(|read| assert_eq!(read, manifest("x")))
}

/// Options with an entry for the server in a credentials file.
fn logged_in(server: &Scripted, entry: &Value) -> (tempfile::TempDir, AccessOptions) {
    let dir = tempfile::tempdir().unwrap();
    let authfile = dir.path().join("auth.json");
    let document = json!({ "auths": { &server.host: entry } });
    std::fs::write(&authfile, document.to_string()).unwrap();
    (dir, AccessOptions { authfile: Some(authfile), ..quick() })
}

fn basic(text: &str) -> String {
    format!("Basic {}", BASE64_STANDARD.encode(text))
}

/// The registry wants a token: the client exchanges the password, with scope and service.
#[tokio::test]
async fn a_password_is_exchanged() {
    let server = registry(|_, number| token(number, "")).await;
    let (_dir, options) =
        logged_in(&server, &json!({ "auth": BASE64_STANDARD.encode("robot:pass") }));
    get(&open(&server.image(), Intent::Push, &options).await.unwrap()).await.unwrap();
    let [exchange] = &server.requests("GET /token")[..] else { panic!() };
    assert_eq!(exchange.authorization, basic("robot:pass"));
    let query = "?client=x&scope=repository%3Aorg%2Fapp%3Apull%2Cpush&service=s+t";
    assert_eq!(exchange.line, format!("GET /token{query}"));
}

/// The registry wants a token and there is an identity token: the client exchanges it by POST,
/// without Basic.
#[tokio::test]
async fn an_identity_token_is_exchanged_by_oauth() {
    let server = registry(|request, number| match request.method() {
        "POST" => answer(200, &[], format!("{{\"access_token\":\"t{number}\"}}").as_bytes()),
        _ => answer(405, &[], b""),
    })
    .await;
    let (_dir, options) = logged_in(&server, &json!({ "identitytoken": "refresh&me" }));
    get(&open(&server.image(), Intent::Pull, &options).await.unwrap()).await.unwrap();
    let [exchange] = &server.requests("POST /token")[..] else { panic!() };
    assert_eq!(exchange.authorization, "");
    assert_eq!(exchange.header("content-type"), "application/x-www-form-urlencoded");
    let body = String::from_utf8(exchange.body.clone()).unwrap();
    for field in [
        "grant_type=refresh_token",
        "service=s+t",
        "scope=repository%3Aorg%2Fapp%3Apull",
        "refresh_token=refresh%26me",
    ] {
        assert!(body.split('&').any(|found| found == field), "{body}");
    }
}

/// 401 to eight requests at once: one exchange for all.
#[tokio::test]
async fn many_requests_wait_for_one_exchange() {
    let server = registry(|_, number| token(number, "")).await;
    let store = Arc::new(open(&server.image(), Intent::Pull, &quick()).await.unwrap());
    // Another exchange has made our token worthless.
    reqwest::get(format!("http://{}/token", server.host)).await.unwrap();
    let tasks: Vec<_> = (0..8)
        .map(|_| {
            let store = Arc::clone(&store);
            tokio::spawn(async move { get(&store).await })
        })
        .collect();
    for task in tasks {
        task.await.unwrap().unwrap();
    }
    assert_eq!(server.requests("GET /token").len(), 3);
}

/// `expires_in` of a second: a new token in time.
#[tokio::test]
async fn a_token_is_renewed_before_it_expires() {
    let server = registry(|_, number| token(number, ",\"expires_in\":1")).await;
    let store = open(&server.image(), Intent::Pull, &quick()).await.unwrap();
    tokio::time::sleep(Duration::from_millis(800)).await;
    get(&store).await.unwrap();
    assert_eq!(server.requests("GET /token").len(), 2);
    assert_eq!(server.requests("GET /v2/org").len(), 1, "none was refused");
}

/// The token server answers 503 and 429: retried.
#[tokio::test]
async fn a_token_server_in_trouble_is_asked_again() {
    let server = registry(|_, number| match number {
        1 => answer(503, &[], b""),
        2 => answer(429, &["Retry-After: 0"], b""),
        _ => token(number, ""),
    })
    .await;
    get(&open(&server.image(), Intent::Pull, &quick()).await.unwrap()).await.unwrap();
    assert_eq!(server.requests("GET /token").len(), 3);
}

/// A token answer that is unusable: refused, and no request is sent with it.
#[tokio::test]
async fn answers_without_a_usable_token() {
    let huge = format!("{{\"token\":\"{}\"}}", "x".repeat(2 << 20));
    for (name, body, reason) in [
        ("too long", huge.as_str(), "1 MiB"),
        ("none", "{}", "no token"),
        ("empty", "{\"token\":\"\"}", "no token"),
        ("with a line break", "{\"token\":\"a\\r\\nb\"}", "invalid in a header"),
        ("no JSON", "token", "not JSON"),
    ] {
        let body = body.to_owned();
        let server = registry(move |_, _| answer(200, &[], body.as_bytes())).await;
        let error = open(&server.image(), Intent::Pull, &quick()).await.unwrap_err();
        assert!(told(&error).contains(reason), "{name}: {}", told(&error));
        let seen = ["GET /token", "GET /v2/"].map(|line| server.requests(line).len());
        assert_eq!(seen, [1, 1], "{name}");
    }
}

/// A realm that is forbidden or invalid: refused, and no credentials are sent.
#[tokio::test]
async fn a_realm_must_not_lead_inside() {
    for (realm, reason) in [
        ("http://169.254.169.254/token", "neither public"),
        ("ftp://127.0.0.1/token", "not an HTTP URL"),
        ("http://user:pass@127.0.0.1:1/token", "a password"),
        ("/token", "no valid token server"),
    ] {
        let server = Scripted::start(move |_, _| {
            answer(401, &[&format!("WWW-Authenticate: Bearer realm=\"{realm}\"")], b"")
        })
        .await;
        let error = open(&server.image(), Intent::Pull, &quick()).await.unwrap_err();
        assert!(matches!(error, StoreError::Protocol { .. }), "{error:?}");
        assert!(told(&error).contains(reason), "{}", told(&error));
        assert_eq!(server.requests("").len(), 1);
    }
}

/// The token server redirects to another host: not followed.
#[tokio::test]
async fn a_token_server_does_not_pass_the_password_on() {
    let other = Scripted::start(|_, _| token(1, "")).await;
    let target = format!("Location: http://{}/token", other.host);
    let server = registry(move |_, _| answer(307, &[&target], b"")).await;
    let entry = json!({ "auth": BASE64_STANDARD.encode("robot:pass") });
    let (_dir, options) = logged_in(&server, &entry);
    open(&server.image(), Intent::Push, &options).await.unwrap_err();
    assert_eq!(server.requests("GET /token").len(), 1);
    assert_eq!(other.requests("").len(), 0);
}

/// A registry on this machine speaks plain HTTP, and its token server on another one does so too: it
/// gets no password, unless the user does without TLS. Without a password it is asked as usual.
#[tokio::test]
async fn a_password_goes_to_no_other_machine_in_plain_http() {
    let server = Scripted::start(|request, host| {
        // This address is not taken for a loopback address, and leads there.
        let realm = format!("http://{}/token", host.replace("127.0.0.1", "0.0.0.0"));
        match request.line.as_str() {
            line if line.contains("/token") => token(1, ""),
            _ if request.authorization == "Bearer t1" => answer(404, &[], b""),
            _ => answer(401, &[&format!("WWW-Authenticate: Bearer realm=\"{realm}\"")], b""),
        }
    })
    .await;
    let (_dir, strict) =
        logged_in(&server, &json!({ "auth": BASE64_STANDARD.encode("me:secret") }));
    let error = open(&server.image(), Intent::Pull, &strict).await.unwrap_err().to_string();
    assert!(error.contains("0.0.0.0 speaks plain HTTP"), "{error}");
    assert_eq!(server.requests("GET /token").len(), 0);
    let lenient = AccessOptions { tls_verify: false, ..strict };
    for (options, password) in [(quick(), String::new()), (lenient, basic("me:secret"))] {
        open(&server.image(), Intent::Pull, &options).await.unwrap();
        assert_eq!(server.requests("GET /token").pop().unwrap().authorization, password);
    }
}
