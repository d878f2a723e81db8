//! The first contact with a registry: a mistake of the user is reported soon.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use recompress_image::store::{
    AccessOptions, Intent, Patience, Selector, StoreError, Tried, Unreachable,
};

use test_support::scripted::{Reaction, Scripted, answer, reset, stall};
use tokio::net::TcpListener;

use super::{
    manifest, open,
    peer::free_port,
    proxy::{Fault, Proxy},
    quick,
    sample::{convert, ends, run},
    told,
};

fn at(host: &str) -> String {
    format!("{host}/org/app:1@{}", manifest("x").digest)
}

/// Nothing listens on the port: three tries, each retry is logged once, exit code 6.
#[tokio::test]
async fn nobody_on_that_port_is_told_soon() {
    let host = format!("127.0.0.1:{}", free_port());
    let output = run(convert(&at(&host), "oci:nowhere")).await;
    let words = ["connection refused", "check the port", "; gave up after 3 attempts"];
    let text = ends(&output, 6, &words);
    assert_eq!(text.matches("retrying in").count(), 2, "each retry is told once: {text}");
    assert!(text.contains(", attempt 2 of 3") && text.contains(", attempt 3 of 3"), "{text}");
}

/// The host name does not exist: exit code 6, and the error says so.
#[tokio::test]
async fn a_name_that_does_not_exist_is_told_at_once() {
    let output = run(convert(&at("no-such-host.invalid"), "oci:nowhere")).await;
    // A machine without a name server cannot know that it does not exist.
    ends(&output, 6, &["host name does not resolve", "check the spelling"]);
}

/// The registry answers once and is gone: the client uses all tries.
#[tokio::test]
async fn who_has_answered_before_is_waited_for() {
    let server = Scripted::start(|_, _| answer(200, &[], b"")).await;
    let proxy = Proxy::start(server.host.clone(), |_| Fault::None).await;
    let image = format!("{}/org/app", proxy.host);
    let store = open(&image, Intent::Pull, &quick()).await.unwrap();
    drop(proxy);
    tokio::task::yield_now().await;
    let error = store.manifest(&Selector::Digest(manifest("x").digest)).await.unwrap_err();
    let StoreError::Unreachable { tried: Tried { times: 5, .. }, .. } = error else {
        panic!("{error:?}")
    };
    assert_eq!(server.requests("").len(), 1);
}

/// The registry fails four times before it is up: the client uses all tries, also at the first
/// contact.
#[tokio::test]
async fn a_registry_that_shows_a_sign_of_life_is_waited_for() {
    type React = fn() -> Reaction;
    let lives: [(&str, React); 3] = [
        ("503", || answer(503, &[], b"").into()),
        ("reset", || reset(vec![])),
        ("silence", || stall(vec![])),
    ];
    for (name, react) in lives {
        let count = AtomicUsize::new(0);
        let server = Scripted::start(move |_, _| match count.fetch_add(1, Ordering::SeqCst) {
            0..4 => react(),
            _ => answer(200, &[], b"").into(),
        })
        .await;
        let patience = Patience { idle: Duration::from_millis(300), ..quick().patience };
        let options = AccessOptions { patience, ..quick() };
        open(&server.image(), Intent::Pull, &options).await.unwrap();
        assert_eq!(server.requests("GET /v2/").len(), 5, "{name}");
    }
}

/// The registry accepts connections and never answers: the client gives up after the idle time and
/// the tries.
#[tokio::test]
async fn a_registry_that_never_says_a_word_is_given_up() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let image = format!("{}/org/app", listener.local_addr().unwrap());
    let accepted = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&accepted);
    let server = tokio::spawn(async move {
        let mut open = Vec::new();
        while let Ok(connection) = listener.accept().await {
            open.push(connection);
            count.fetch_add(1, Ordering::SeqCst);
        }
    });
    let patience = Patience { idle: Duration::from_millis(100), tries: 2, ..quick().patience };
    for (name, tls_verify) in [("to a question", true), ("to a handshake", false)] {
        let options = AccessOptions { patience, tls_verify, ..quick() };
        let error = open(&image, Intent::Pull, &options).await.unwrap_err();
        let StoreError::Unreachable { kind: Unreachable::Timeout, tried, .. } = &error else {
            panic!("{error:?}")
        };
        assert_eq!(tried.times, 2, "{name}: {}", told(&error));
    }
    assert_eq!(accepted.load(Ordering::SeqCst), 4);
    server.abort();
}

/// 503 with a date in `Retry-After`, by a clock of the registry's own: the client waits by the
/// clock of `Date`.
#[tokio::test]
async fn a_date_to_come_back_is_kept_to() {
    let server = {
        let count = AtomicUsize::new(0);
        Scripted::start(move |_, _| match count.fetch_add(1, Ordering::SeqCst) {
            0 => answer(
                503,
                &[
                    "Date: Sun, 06 Nov 1994 08:49:36 GMT",
                    "Retry-After: Sun, 06 Nov 1994 08:49:37 GMT",
                ],
                b"",
            ),
            _ => answer(200, &[], b""),
        })
        .await
    };
    let begin = std::time::Instant::now();
    open(&server.image(), Intent::Pull, &quick()).await.unwrap();
    assert!(begin.elapsed() >= Duration::from_secs(1));
    assert_eq!(server.requests("GET /v2/").len(), 2);
}
