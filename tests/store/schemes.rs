//! HTTPS or plain HTTP: how the client finds out, and that no password goes out in plain HTTP to a
//! server that speaks TLS.

use std::{
    path::PathBuf,
    sync::{Arc, Mutex},
    time::Duration,
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use recompress_image::store::{AccessOptions, Intent, Patience, StoreError, Unreachable};
use serde_json::json;
use test_support::scripted::{Answer, Scripted, answer};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
    task::JoinHandle,
};

use super::{
    manifest, open,
    peer::Peer,
    quick,
    sample::{Sample, convert, ends, run},
    told,
};

/// What a server does with a TLS handshake.
#[derive(Clone, Copy, Debug)]
enum Handshake {
    Answer(&'static [u8]),
    Reset,
    Stall,
}

/// A server that reacts to handshakes, and answers plain HTTP with one answer, as long as the test
/// wants. It records plain requests, and an empty text for a handshake.
struct Server {
    host: String,
    seen: Arc<Mutex<Vec<String>>>,
    task: JoinHandle<()>,
}

impl Server {
    async fn start(handshake: Handshake, plain: Answer) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let host = listener.local_addr().unwrap().to_string();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let record = Arc::clone(&seen);
        let task = tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let (record, plain) = (Arc::clone(&record), plain.clone());
                tokio::spawn(async move {
                    let mut buffer = vec![0; 16 << 10];
                    let read = stream.read(&mut buffer).await.unwrap_or_default();
                    let is_handshake = buffer[0] == 0x16;
                    let text = String::from_utf8_lossy(&buffer[..read]).into_owned();
                    record.lock().unwrap().push(if is_handshake { String::new() } else { text });
                    match handshake {
                        _ if !is_handshake => drop(stream.write_all(&plain).await),
                        Handshake::Answer(bytes) => drop(stream.write_all(bytes).await),
                        Handshake::Reset => stream.set_zero_linger().unwrap(),
                        Handshake::Stall => tokio::time::sleep(Duration::from_secs(600)).await,
                    }
                });
            }
        });
        Self { host, seen, task }
    }

    fn image(&self) -> String {
        format!("{}/org/app", self.host)
    }

    fn handshakes(&self) -> usize {
        self.seen.lock().unwrap().iter().filter(|seen| seen.is_empty()).count()
    }

    fn plain(&self) -> Vec<String> {
        self.seen.lock().unwrap().iter().filter(|seen| !seen.is_empty()).cloned().collect()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A file with a password for `host`.
fn authfile(dir: &tempfile::TempDir, host: &str) -> PathBuf {
    let path = dir.path().join("auth.json");
    let auth = BASE64_STANDARD.encode("tester:correct horse");
    std::fs::write(&path, json!({ "auths": { host: { "auth": auth } } }).to_string()).unwrap();
    path
}

fn impatient(options: AccessOptions) -> AccessOptions {
    let patience = Patience { tries: 2, idle: Duration::from_millis(300), ..quick().patience };
    AccessOptions { patience, ..options }
}

/// A registry on this machine answers a handshake as servers of plain HTTP do, with an HTTP error,
/// with a bare web page, by hanging up or with a reset: it is used with plain HTTP, and asked for
/// TLS once per process.
#[tokio::test]
async fn plain_http_on_this_machine_is_recognized() {
    for handshake in [
        Handshake::Answer(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n"),
        Handshake::Answer(b"<!DOCTYPE html><title>Bad request</title>"),
        Handshake::Answer(b""),
        Handshake::Reset,
    ] {
        let server = Server::start(handshake, answer(200, &[], b"")).await;
        for intent in [Intent::Pull, Intent::Push] {
            let opened = open(&server.image(), intent, &quick()).await;
            assert!(opened.is_ok(), "{handshake:?}: {}", told(&opened.unwrap_err()));
        }
        assert_eq!(server.handshakes(), 1, "{handshake:?}");
        assert!(server.plain().iter().all(|text| text.starts_with("GET /v2/ ")), "{handshake:?}");
    }
}

/// A registry on this machine hangs up on handshakes, resets them or never answers, and answers
/// plain HTTP as servers of HTTPS do, or as a registry although the user has given certificates: the
/// handshake is tried again, and no password goes out.
#[tokio::test]
async fn tls_in_trouble_does_not_become_plain_http() {
    let shop = tempfile::tempdir().unwrap();
    let (certificate, key) = (shop.path().join("ca.crt"), shop.path().join("ca.pem"));
    super::peer::make_certificate(&certificate, &key, None);
    let with_ca = AccessOptions { ca_file: Some(certificate), ..quick() };
    let with_dir = AccessOptions { cert_dir: Some(shop.path().to_owned()), ..quick() };
    let registry = || answer(200, &[], b"");
    for (name, handshake, plain, options) in [
        ("hangs up", Handshake::Answer(b""), answer(400, &[], b"TLS!"), quick()),
        ("hangs up, --ca-file", Handshake::Answer(b""), registry(), with_ca.clone()),
        ("hangs up, --cert-dir", Handshake::Answer(b""), registry(), with_dir),
        ("reset", Handshake::Reset, answer(400, &[], b"TLS!"), quick()),
        ("reset, --ca-file", Handshake::Reset, registry(), with_ca),
        ("silence", Handshake::Stall, registry(), quick()),
    ] {
        let server = Server::start(handshake, plain).await;
        let dir = tempfile::tempdir().unwrap();
        let authfile = Some(authfile(&dir, &server.host));
        let options = impatient(AccessOptions { authfile, ..options });
        let error = open(&server.image(), Intent::Pull, &options).await.unwrap_err();
        let StoreError::Unreachable { tried, .. } = &error else { panic!("{name}: {error:?}") };
        assert_eq!((tried.times, server.handshakes()), (2, 2), "{name}: {}", told(&error));
        let plain = server.plain();
        assert!(!plain.iter().any(|text| text.to_lowercase().contains("authorization")), "{name}");
        assert!(options.ca_file.is_none() || plain.is_empty(), "{name}: {plain:?}");
    }
}

/// docker-registry serves TLS on this machine, with a certificate that is not trusted: the client
/// fails at once, sends nothing and does not use plain HTTP. With it, by `--ca-file` or by
/// `SSL_CERT_FILE`, a conversion succeeds.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tls_on_this_machine() {
    let (peer, certificate) = Peer::with_tls_and_password(None);
    let dir = tempfile::tempdir().unwrap();
    let authfile = authfile(&dir, &peer.host());
    let layout = format!("oci:{}:in", dir.path().join("layout").display());
    let source = Sample::new(&[100_000], 4).push(&layout, &quick()).await;
    let command = |repository: &str| {
        let mut command = convert(&source, &format!("{}/org/{repository}:out", peer.host()));
        command.arg("--authfile").arg(&authfile);
        command
    };
    let output = run(command("refused")).await;
    let told = ends(&output, 6, &["TLS handshake failed", "is self-signed", "--ca-file"]);
    assert!(!told.contains("retrying"), "{told}");
    assert_eq!(peer.requests(), [""; 0]);
    let mut by_option = command("by-option");
    by_option.arg("--ca-file").arg(&certificate);
    ends(&run(by_option).await, 0, &["by-option:out@sha256:"]);
    let mut by_variable = command("by-variable");
    by_variable.env("SSL_CERT_FILE", &certificate);
    ends(&run(by_variable).await, 0, &["by-variable:out@sha256:"]);
}

/// A registry speaks plain HTTP, and is on another machine, or certificates for it are given: one
/// handshake, and an error that names the option. With `--tls-verify=false` it is used, with a
/// warning.
#[tokio::test]
async fn plain_http_elsewhere_is_named() {
    let server = Scripted::start(|_, _| answer(404, &[], b"")).await;
    // This address is not taken for a loopback address, and leads there.
    let elsewhere = server.host.replace("127.0.0.1", "0.0.0.0");
    let dir = tempfile::tempdir().unwrap();
    super::peer::make_certificate(&dir.path().join("a.crt"), &dir.path().join("a.pem"), None);
    let certificates = format!("--cert-dir={}", dir.path().display());
    for (host, arguments) in [(&elsewhere, vec![]), (&server.host, vec![certificates])] {
        let image = format!("{host}/org/app@{}", manifest("x").digest);
        let mut command = convert(&image, "oci:nowhere");
        command.args(&arguments);
        let words = [
            "the server does not support TLS, only plain HTTP",
            "--tls-verify=false",
            "insecure = true",
        ];
        let told = ends(&run(command).await, 6, &words);
        assert!(!told.contains("retrying") && !told.contains("--ca-file"), "{told}");
        assert_eq!(server.requests("").len(), 0);
    }
    let image = format!("{elsewhere}/org/app@{}", manifest("x").digest);
    let mut command = convert(&image, "oci:nowhere");
    command.arg("--tls-verify=false");
    let output = run(command).await;
    ends(&output, 6, &["does not support TLS", "not found"]);
    assert!(!server.requests("GET /v2/").is_empty());
}

/// A registry behind nothing but garbage: it speaks neither TLS nor HTTP.
#[tokio::test]
async fn what_is_no_registry_at_all() {
    let garbage = b"SSH-2.0-OpenSSH_9.9\r\n";
    let server = Server::start(Handshake::Answer(garbage), garbage.to_vec()).await;
    let error = open(&server.image(), Intent::Pull, &impatient(quick())).await.unwrap_err();
    let is_broken = matches!(&error, StoreError::Unreachable { kind: Unreachable::Broken, .. });
    assert!(is_broken, "{}", told(&error));
    assert_eq!(server.handshakes(), 1);
}
