//! Credentials stay with the registry they are for.

use std::process::Command;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use bytes::Bytes;
use recompress_image::{
    image::{
        Digest,
        media_type::{OCI_LAYER_GZIP, OCI_MANIFEST},
    },
    store::{AccessOptions, BlobContent, Intent, NamedBy, StoreError},
};
use serde_json::json;
use test_support::scripted::{Answer, Request, Scripted, answer};

use super::{
    fake::Fake,
    open, quick,
    sample::{Sample, convert, descriptor, ends, gzip, run, tar},
    told,
};

const PASSWORD: &str = "hunter2-and-more";
const TOKEN: &str = "t0ken-t0ken-t0ken";
const SIGNATURE: &str = "s1gnature-s1gnature";

/// A registry that wants a token, and leaves the rest to `script`.
async fn registry(script: impl Fn(&Request, &str) -> Answer + Send + Sync + 'static) -> Scripted {
    Scripted::start(move |request, host| match request.line.as_str() {
        line if line.starts_with("GET /token") => {
            answer(200, &[], format!("{{\"token\":\"{TOKEN}\"}}").as_bytes())
        }
        _ if request.authorization == format!("Bearer {TOKEN}") => script(request, host),
        _ => {
            let challenge = format!("WWW-Authenticate: Bearer realm=\"http://{host}/token\"");
            answer(401, &[&challenge], b"")
        }
    })
    .await
}

fn write_authfile(dir: &tempfile::TempDir, server: &Scripted) -> std::path::PathBuf {
    let authfile = dir.path().join("auth.json");
    let auth = BASE64_STANDARD.encode(format!("robot:{PASSWORD}"));
    let document = json!({ "auths": { &server.host: { "auth": auth } } });
    std::fs::write(&authfile, document.to_string()).unwrap();
    authfile
}

async fn store(server: &Scripted) -> recompress_image::store::Store {
    let dir = tempfile::tempdir().unwrap();
    let authfile = Some(write_authfile(&dir, server));
    let options = AccessOptions { authfile, ..quick() };
    open(&server.image(), Intent::Push, &options).await.unwrap()
}

/// A redirect to another host, and to its own: followed, and the token is sent to its own host
/// alone.
#[tokio::test]
async fn a_redirect_is_followed_without_authorization() {
    for status in [301, 302, 303, 307, 308] {
        let storage = Scripted::start(|_, _| answer(200, &[], b"content")).await;
        let target = format!("Location: http://{}/blob?sig={SIGNATURE}", storage.host);
        let server = registry(move |request, _| match request.line.as_str() {
            line if line.contains("blobs") => answer(status, &["Location: /elsewhere?x=y"], b""),
            _ => answer(status, &[&target], b""),
        })
        .await;
        let store = store(&server).await;
        let read = store.bytes(&Digest::sha256_of(b"content"), 7, 7).await.unwrap();
        assert_eq!(&read[..], b"content");
        let [request] = &storage.requests("")[..] else { panic!() };
        assert_eq!(request.line, format!("GET /blob?sig={SIGNATURE}"));
        assert_eq!(request.authorization, "");
        let at_home = &server.requests("GET /elsewhere")[0];
        assert_eq!(at_home.authorization, format!("Bearer {TOKEN}"));
    }
}

/// A redirect to a forbidden or invalid place, or without end: refused.
#[tokio::test]
async fn redirects_that_are_not_followed() {
    for (location, reason, requests) in [
        ("Location: http://169.254.169.254/latest/meta-data", "neither public", 1),
        ("Location: http://[fe80::1]/", "neither public", 1),
        ("Location: file:///etc/passwd", "not an HTTP URL", 1),
        ("Location: http://", "without a valid Location header", 1),
        ("X: y", "without a valid Location header", 1),
        ("Location: /again", "too many redirects", 11),
    ] {
        let server = registry(move |_, _| answer(302, &[location], b"")).await;
        let digest = Digest::sha256_of(b"content");
        let error = store(&server).await.bytes(&digest, 7, 7).await.unwrap_err();
        assert!(matches!(error, StoreError::Protocol { .. }), "{error:?}");
        assert!(told(&error).contains(reason), "{location}: {}", told(&error));
        let (all, at_first) = (server.requests("GET").len(), server.requests("GET /v2/").len());
        // Beside the ping and the token.
        let pings = server.requests("GET /token").len() + 1;
        assert_eq!((all - pings, at_first), (requests, 2), "{location}");
    }
}

/// The storage that the registry redirects to refuses access: no new token, and the error does not
/// mention credentials.
#[tokio::test]
async fn what_storage_refuses_is_not_blamed_on_the_credentials() {
    for status in [401, 403] {
        let storage = Scripted::start(move |_, _| answer(status, &[], b"expired")).await;
        let target = format!("Location: http://{}/blob", storage.host);
        let server = registry(move |_, _| answer(307, &[&target], b"")).await;
        let digest = Digest::sha256_of(b"content");
        let error = store(&server).await.bytes(&digest, 7, 7).await.unwrap_err();
        assert!(matches!(error, StoreError::UnexpectedStatus { .. }), "{error:?}");
        assert_eq!((storage.requests("").len(), server.requests("GET /token").len()), (1, 1));
    }
}

/// The `Location` of an upload is on another host: the client uploads there without the token.
#[tokio::test]
async fn an_upload_elsewhere_goes_without_authorization() {
    let storage = Scripted::start(|_, _| answer(201, &["Location: /blob"], b"")).await;
    let target = format!("Location: http://{}/upload?sig={SIGNATURE}", storage.host);
    let server = registry(move |_, _| answer(202, &[&target], b"")).await;
    let content = BlobContent::Bytes(Bytes::from_static(b"content"));
    let digest = Digest::sha256_of(b"content");
    store(&server).await.put_blob(&digest, 7, content).await.unwrap();
    let [put] = &storage.requests("PUT /upload?sig=")[..] else { panic!() };
    assert_eq!((put.authorization.as_str(), &put.body[..]), ("", &b"content"[..]));
    assert_eq!(server.requests("POST")[0].authorization, format!("Bearer {TOKEN}"));
}

/// An image of one empty layer, and a registry that has it and accepts anything.
async fn image() -> (Scripted, Scripted, String) {
    let layer = vec![0; 1024];
    let digest = |bytes: &[u8]| Digest::sha256_of(bytes).to_string();
    let config = json!({ "architecture": "amd64", "os": "linux",
        "rootfs": { "type": "layers", "diff_ids": [digest(&layer)] } });
    let config = config.to_string().into_bytes();
    let manifest = json!({ "schemaVersion": 2, "mediaType": OCI_MANIFEST,
        "config": { "mediaType": "application/vnd.oci.image.config.v1+json",
            "digest": digest(&config), "size": config.len() },
        "layers": [{ "mediaType": "application/vnd.oci.image.layer.v1.tar",
            "digest": digest(&layer), "size": layer.len() }] });
    let manifest = manifest.to_string().into_bytes();
    let source = digest(&manifest);
    let blobs = [layer, config];
    let storage = Scripted::start(move |request, _| {
        let blob = blobs.iter().find(|blob| request.line.contains(&digest(blob)));
        blob.map_or_else(|| answer(404, &[], b""), |blob| answer(200, &[], blob))
    })
    .await;
    let target = storage.host.clone();
    let server = registry(move |request, _| {
        let line = request.line.as_str();
        let path = line.split(' ').nth(1).unwrap();
        match request.method() {
            "HEAD" => answer(404, &[], b""),
            "POST" => answer(202, &[&format!("Location: /upload?sig={SIGNATURE}")], b""),
            "PUT" if line.contains("manifests") => answer(201, &[], b""),
            "PUT" => answer(201, &["Location: /blob"], b""),
            _ if line.contains("/blobs/") => {
                let signed = format!("Location: http://{target}{path}?sig={SIGNATURE}");
                answer(307, &[&signed], b"")
            }
            _ if line.contains("manifests") => {
                answer(200, &[&format!("Content-Type: {OCI_MANIFEST}")], &manifest)
            }
            _ => answer(404, &[], b""),
        }
    })
    .await;
    (server, storage, source)
}

/// The registry wants a token, redirects to signed URLs and loses what was pushed: neither
/// password, token nor signature appears in logs, errors or JSON.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_secret_is_told_at_any_verbosity() {
    let (server, storage, digest) = image().await;
    let dir = tempfile::tempdir().unwrap();
    let authfile = write_authfile(&dir, &server);
    let mut command = Command::new(env!("CARGO_BIN_EXE_recompress-image"));
    command
        .args(["convert", "--output=json", "--in-place", "--authfile"])
        .arg(&authfile)
        .arg(format!("{}@{digest}", server.image()))
        .arg(format!("{}:new", server.image()))
        .env("RECOMPRESS_LOG", "trace")
        // Nobody listens there, and a registry on this machine is not looked for there either.
        .envs([("HTTP_PROXY", "http://127.0.0.1:1"), ("http_proxy", "http://127.0.0.1:1")])
        .current_dir(dir.path());
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    let told = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    // It fails in the end, since the registry does not give back what was pushed.
    assert!(told.contains("does not match what was pushed"), "{told}");
    assert!(told.contains("trace [") || told.contains("debug ["), "{told}");
    assert!(storage.requests("GET").iter().any(|request| request.line.contains(SIGNATURE)));
    assert!(server.requests("PUT").len() >= 4, "{told}");
    let auth = BASE64_STANDARD.encode(format!("robot:{PASSWORD}"));
    for secret in [PASSWORD, TOKEN, SIGNATURE, auth.as_str()] {
        assert!(!told.contains(secret), "{secret} is told: {told}");
    }
}

/// A foreign layer with `urls`: they are kept, and no request is sent there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_urls_of_a_foreign_layer_are_passed_on_and_not_followed() {
    let elsewhere = Scripted::start(|_, _| answer(200, &[], b"")).await;
    let layer = gzip(&tar(1000, &mut fastrand::Rng::with_seed(1)));
    let mut foreign = descriptor(
        "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
        b"not to be had from here",
    );
    foreign["urls"] = json!([format!("http://{}/layer", elsewhere.host)]);
    let layers = [foreign, descriptor(OCI_LAYER_GZIP, &layer)];
    let diff_ids =
        [Digest::sha256_of(b"x"), Digest::sha256_of(&tar(1000, &mut fastrand::Rng::with_seed(1)))];
    let dir = tempfile::tempdir().unwrap();
    let image = format!("oci:{}:in", dir.path().join("layout").display());
    let source = Sample::of(vec![layer], &layers, &diff_ids).push(&image, &quick()).await;
    let (server, _) = Fake::default().taking_manifests().start().await;
    let mut command = convert(&source, &format!("{}:out", server.image()));
    command.arg("--probe=false");
    ends(&run(command).await, 0, &[]);
    let put = server.requests("PUT /v2/org/app/manifests/out").pop().unwrap();
    let manifest: serde_json::Value = serde_json::from_slice(&put.body).unwrap();
    assert_eq!(manifest["layers"][0]["urls"], layers[0]["urls"]);
    assert_eq!(elsewhere.requests("").len(), 0);
}

/// A proxy in the environment: the client sends CONNECT to it.
#[tokio::test]
async fn other_registries_are_asked_through_the_proxy() {
    let proxy = Scripted::start(|_, _| answer(403, &[], b"")).await;
    let image = format!("registry.invalid/org/app@{}", Digest::sha256_of(b""));
    let mut command = Command::new(env!("CARGO_BIN_EXE_recompress-image"))
        .args(["convert", &image, "oci:there"])
        .env("HTTPS_PROXY", format!("http://{}", proxy.host))
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let request = proxy.wait_for("CONNECT").await;
    command.kill().unwrap();
    command.wait().unwrap();
    assert_eq!(request.line, "CONNECT registry.invalid:443");
}

/// A registry that an image names, by a name that leads to this machine, is not even connected to;
/// unless the image is on this machine, too.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_that_an_image_gives_for_this_machine() {
    let server = Scripted::start(|_, _| answer(200, &[], b"{}")).await;
    let (_, port) = server.host.rsplit_once(':').unwrap();
    let image = format!("localhost:{port}/org/base");
    let named = |by: Option<&str>| AccessOptions {
        named_by: NamedBy::Image(by.map(str::to_owned)),
        ..quick()
    };
    for by in [None, Some("8.8.8.8"), Some("10.0.0.1:5000")] {
        let error = open(&image, Intent::Pull, &named(by)).await.unwrap_err();
        let text = error.to_string();
        assert!(text.contains("neither public nor in the registry's own network"), "{text}");
    }
    assert_eq!(server.requests("").len(), 0);
    open(&image, Intent::Pull, &named(Some("127.0.0.1:5000"))).await.unwrap();
    open(&image, Intent::Pull, &quick()).await.unwrap();
}
