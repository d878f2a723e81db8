//! The real registry behind connections that break.

use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use recompress_image::{
    image::Digest,
    store::{Intent, uploads_cancelled},
};

use super::{
    open,
    peer::Peer,
    proxy::{
        Fault::{self, Cut, Refuse, Reset, Slow, Stall},
        Proxy,
        Way::{Down, Up},
    },
    quick,
    sample::put,
};

const SIZE: usize = 6 << 20;

fn blob() -> Bytes {
    let mut blob = vec![0; SIZE];
    fastrand::Rng::with_seed(21).fill(&mut blob);
    blob.into()
}

/// A proxy whose connections number `from` to `to` meet the fault.
async fn proxy(peer: &Peer, fault: Fault, from: usize, to: usize) -> Proxy {
    let faulty = from..=to;
    Proxy::start(peer.host(), move |n| if faulty.contains(&n) { fault } else { Fault::None }).await
}

/// The first three connections to the registry break: the client uploads the blob all the same, and
/// forgets no session that it was given.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn uploads_over_bad_connections() {
    for (name, fault) in [
        ("refused", Refuse),
        ("closed before the first answer", Cut(Up, 20)),
        ("reset before the first answer", Reset(Up, 20)),
        ("closed within the answer's head", Cut(Down, 30)),
        ("reset within the answer's head", Reset(Down, 30)),
        ("closed early in the body", Cut(Up, 3000)),
        ("reset early in the body", Reset(Up, 3000)),
        ("closed late in the body", Cut(Up, SIZE - 100_000)),
        ("reset late in the body", Reset(Up, SIZE - 100_000)),
        ("silent in the body", Stall(Up, SIZE / 2)),
        ("silent before the answer", Stall(Down, 200)),
        ("slow", Slow),
    ] {
        let peer = Peer::start();
        let through = proxy(&peer, fault, 0, 2).await;
        let image = format!("{}/org/app", through.host);
        let store = open(&image, Intent::Push, &quick()).await.unwrap();
        put(&store, blob()).await;
        uploads_cancelled().await;
        let stored = std::fs::read(peer.blob_file(&Digest::sha256_of(&blob()))).unwrap();
        assert!(stored == blob(), "{name}");
        let log = peer.requests();
        assert!(peer.forgotten_uploads().is_empty(), "{name}: {log:#?}");
        assert!(peer.count("PUT", 201) >= 1, "{name}: {log:?}");
    }
}

/// The first four connections to the registry break: the client gets the whole blob, with requests
/// for the rest of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn downloads_over_bad_connections() {
    for (name, fault) in [
        ("refused", Refuse),
        ("closed within the head", Cut(Down, 100)),
        ("reset within the head", Reset(Down, 100)),
        ("closed early in the body", Cut(Down, 9000)),
        ("reset early in the body", Reset(Down, 9000)),
        ("closed late in the body", Cut(Down, SIZE - 1000)),
        ("reset late in the body", Reset(Down, SIZE - 1000)),
        ("silent in the body", Stall(Down, SIZE / 2)),
        ("silent after the request", Stall(Up, 100)),
        ("slow", Slow),
    ] {
        let peer = Peer::start();
        let own = open(&format!("{}/org/app", peer.host()), Intent::Push, &quick()).await.unwrap();
        put(&own, blob()).await;
        let through = proxy(&peer, fault, 0, 3).await;
        let image = format!("{}/org/app", through.host);
        let store = open(&image, Intent::Pull, &quick()).await.unwrap();
        let (digest, size) = (Digest::sha256_of(&blob()), SIZE as u64);
        let read = store.bytes(&digest, size, size).await.unwrap();
        assert!(read == blob(), "{name}");
        if matches!(fault, Cut(Down, 9000..) | Reset(Down, 9000..) | Stall(Down, 9000..)) {
            assert!(peer.count("GET", 206) > 0, "{name}: {:?}", peer.requests());
        }
    }
}

/// Every connection breaks, each a little further: the client resumes as long as it makes progress,
/// beyond the number of tries.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_breaks_again_and_again() {
    let peer = Peer::start();
    let own = open(&format!("{}/org/app", peer.host()), Intent::Push, &quick()).await.unwrap();
    put(&own, blob()).await;
    // Each gets a little further, far more often than a request is tried.
    let count = AtomicUsize::new(0);
    let fault = move |_| match count.fetch_add(1, Ordering::SeqCst) % 2 {
        0 => Reset(Down, SIZE / 20),
        _ => Cut(Down, SIZE / 20),
    };
    let through = Proxy::start(peer.host(), fault).await;
    let store = open(&format!("{}/org/app", through.host), Intent::Pull, &quick()).await.unwrap();
    let (digest, size) = (Digest::sha256_of(&blob()), SIZE as u64);
    assert!(store.bytes(&digest, size, size).await.unwrap() == blob());
    assert!(peer.count("GET", 206) >= 15, "{:?}", peer.requests());
}
