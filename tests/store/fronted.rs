//! The real registry behind a real nginx.

use recompress_image::store::Intent;

use super::{
    nginx::Nginx,
    open,
    peer::Peer,
    proxy::{Fault, Proxy},
    quick,
    sample::{Sample, convert, ends, is_right, run},
};

const MIB: u64 = 1 << 20;

/// nginx answers 413 to bodies beyond a limit: smaller and smaller chunks, without a pause; the
/// right image; all sessions are cancelled.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bodies_that_nginx_finds_too_large() {
    let layers = [3 << 20, 40 << 20, 5000];
    for (name, limit, buffering) in
        [("1 MiB", 1, "on"), ("8 MiB", 8, "on"), ("4 MiB, passed on at once", 4, "off")]
    {
        let peer = Peer::start();
        let dir = tempfile::tempdir().unwrap();
        let layout = format!("oci:{}:in", dir.path().join("layout").display());
        let source = Sample::new(&layers, 11).push(&layout, &quick()).await;
        let location =
            format!("client_max_body_size {limit}m;\nproxy_request_buffering {buffering};");
        let nginx = Nginx::start(&peer.host(), "", &location);
        let to = format!("{}/org/app:out", nginx.host());
        let told = ends(&run(convert(&source, &to)).await, 0, &[]);
        assert!(!told.contains("retrying"), "{name}: smaller parts need no pause: {told}");
        is_right(&to, &source, &[]).await;
        let requests = nginx.requests();
        let taken: Vec<_> = requests.iter().filter(|(_, status, _)| *status < 300).collect();
        assert!(taken.iter().all(|(.., length)| *length <= limit * MIB), "{name}: {requests:?}");
        let refused = requests.iter().filter(|(_, status, _)| *status == 413).count();
        assert!((1..=12).contains(&refused), "{name}: {requests:?}");
        assert_eq!(peer.uploads(), [""; 0], "{name}: {:#?}", peer.requests());
    }
}

/// nginx answers 429 to more than eight requests a second: the client waits and retries; the right
/// image.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_requests_than_nginx_likes() {
    let peer = Peer::start();
    let http = "limit_req_zone $binary_remote_addr zone=all:1m rate=8r/s;\nlimit_req_status 429;";
    let nginx = Nginx::start(&peer.host(), http, "limit_req zone=all burst=4 nodelay;");
    let dir = tempfile::tempdir().unwrap();
    let layout = format!("oci:{}:in", dir.path().join("layout").display());
    let source = Sample::new(&[10_000, 20_000, 30_000], 12).push(&layout, &quick()).await;
    let to = format!("{}/org/app:out", nginx.host());
    ends(&run(convert(&source, &to)).await, 0, &["429", "retrying in"]);
    let refused: usize = ["GET", "HEAD", "POST", "PUT"].map(|m| nginx.count(m, 429)).iter().sum();
    assert!(refused > 0, "{:?}", nginx.requests());
    is_right(&format!("{}/org/app:out", peer.host()), &source, &[]).await;
    assert_eq!(peer.uploads().len(), 0);
}

/// nginx answers 502 at the first contact and in the middle of uploads: the client waits and
/// retries.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nginx_without_its_registry() {
    let peer = Peer::start();
    // The first connections fail: at the first contact, and in the middle of an upload.
    let between = Proxy::start(peer.host(), |n| match n {
        0 | 1 | 6 | 7 | 9 => Fault::Refuse,
        _ => Fault::None,
    })
    .await;
    let nginx = Nginx::start(&between.host, "", "client_max_body_size 0;");
    let image = format!("{}/org/app:in", nginx.host());
    let sample = Sample::new(&[2 << 20, 1000], 13);
    let source = sample.push(&image, &quick()).await;
    let bad_gateways: usize =
        ["GET", "HEAD", "POST", "PUT", "PATCH"].map(|m| nginx.count(m, 502)).iter().sum();
    assert!(bad_gateways >= 4, "{:?}", nginx.requests());
    assert!(between.connections() > 10);
    let store = open(&source, Intent::Pull, &quick()).await.unwrap();
    let which = recompress_image::store::Selector::Digest(sample.manifest.digest.clone());
    assert_eq!(store.manifest(&which).await.unwrap(), sample.manifest);
    for layer in sample.layers() {
        assert!(peer.blob_file(&layer).exists());
    }
}
