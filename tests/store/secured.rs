//! The real registry behind TLS, passwords, tokens and proxies.

use std::{fs, path::PathBuf, process::Output, time::Duration};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use recompress_image::store::{AccessOptions, Intent};
use serde_json::json;
use test_support::scripted::Request;

use super::{
    open,
    peer::Peer,
    quick,
    sample::{self, Sample, convert, ends, is_right, run, text},
    token_server::{Rights, TokenServer},
    tunnel::Tunnel,
};

const PASSWORD: &str = "correct horse";

/// A credentials file with an entry for each key.
fn authfile(dir: &tempfile::TempDir, entries: &[(&str, &str)]) -> PathBuf {
    let path = dir.path().join("auth.json");
    let entry = |&(key, who): &(&str, &str)| {
        (key.to_owned(), json!({ "auth": BASE64_STANDARD.encode(who) }))
    };
    let auths: serde_json::Map<_, _> = entries.iter().map(entry).collect();
    fs::write(&path, json!({ "auths": auths }).to_string()).unwrap();
    path
}

/// docker-registry with TLS and htpasswd: a conversion succeeds; without credentials it ends with
/// exit code 3; `-vv` logs no secret.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tls_and_a_password() {
    let (peer, certificate) = Peer::with_tls_and_password(None);
    let dir = tempfile::tempdir().unwrap();
    let image = format!("{}/org/app", peer.host());
    let authfile = authfile(&dir, &[(&peer.host(), "tester:correct horse")]);
    let options = AccessOptions {
        authfile: Some(authfile.clone()),
        cert_dir: certificate.parent().map(PathBuf::from),
        ..quick()
    };
    let source = Sample::new(&[2 << 20, 1000], 3).push(&format!("{image}:in"), &options).await;
    let certificates = format!("--cert-dir={}", certificate.parent().unwrap().display());
    let log_in = format!("--authfile={}", authfile.display());
    let mut command = convert(&source, &format!("{image}:out"));
    command.args([&certificates, &log_in, "--output=json", "-vv"]);
    let told = ends(&run(command).await, 0, &["debug ["]);
    let basic = BASE64_STANDARD.encode("tester:correct horse");
    for secret in [PASSWORD, &basic] {
        assert!(!told.contains(secret), "{secret} is told");
    }
    is_right(&format!("{image}:out"), &source, &[&certificates, &log_in]).await;
    assert!(peer.count("PUT", 201) >= 4 && peer.uploads().is_empty(), "{:?}", peer.requests());

    let before = peer.count("PUT", 201);
    let mut command = convert(&source, &format!("{image}:other"));
    command.args([&certificates, "-vv"]);
    ends(&run(command).await, 3, &["no credentials were found", "podman login"]);
    assert!(peer.count("GET", 401) > 0);
    assert_eq!(peer.count("PUT", 201), before);
}

/// docker-registry with TLS behind a CONNECT proxy: each way of trusting its certificate works;
/// without one the client fails; `NO_PROXY` is respected.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn trust_through_a_proxy() {
    let (peer, certificate) = Peer::with_tls_and_password(None);
    let tunnel = Tunnel::start(peer.host()).await;
    let dir = tempfile::tempdir().unwrap();
    let authfile = authfile(&dir, &[("registry.test", "tester:correct horse")]);
    let layout = format!("oci:{}:in", dir.path().join("layout").display());
    let source = Sample::new(&[1 << 20], 4).push(&layout, &quick()).await;
    let folder = dir.path().join("folder");
    fs::create_dir(&folder).unwrap();
    fs::copy(&certificate, folder.join("one.pem")).unwrap();
    let ca = certificate.display().to_string();
    let folder = folder.display().to_string();
    for (name, variable, option) in [
        ("SSL_CERT_FILE", ("SSL_CERT_FILE", ca.as_str()), None),
        ("SSL_CERT_DIR", ("SSL_CERT_DIR", folder.as_str()), None),
        ("--ca-file", ("NO_PROXY", "other.test"), Some(&ca)),
    ] {
        let seen = tunnel.targets().len();
        let mut command = convert(&source, &format!("registry.test/org/{seen}:out"));
        command.arg("--authfile").arg(&authfile).env("HTTPS_PROXY", tunnel.url());
        command.env(variable.0, variable.1).args(option.map(|ca| format!("--ca-file={ca}")));
        ends(&run(command).await, 0, &[&format!("registry.test/org/{seen}:out@sha256:")]);
        let targets = tunnel.targets();
        assert!(targets.len() > seen, "{name}");
        assert!(targets.iter().all(|target| target == "registry.test:443"), "{targets:?}");
    }
    let (puts, seen) = (peer.count("PUT", 201), tunnel.targets().len());
    let mut command = convert(&source, "registry.test/org/app:out");
    command.arg("--authfile").arg(&authfile).env("HTTPS_PROXY", tunnel.url());
    ends(&run(command).await, 6, &["TLS handshake failed", "--ca-file"]);
    assert_eq!(tunnel.targets().len(), seen + 1, "what is not trusted is not tried again");
    let mut command = convert(&source, "registry.test/org/app:out");
    command.arg("--authfile").arg(&authfile).env("HTTPS_PROXY", tunnel.url());
    ends(&run(with_no_proxy(command)).await, 6, &["does not resolve"]);
    assert_eq!(tunnel.targets().len(), seen + 1, "NO_PROXY is kept to");
    assert_eq!(peer.count("PUT", 201), puts);
}

fn with_no_proxy(mut command: std::process::Command) -> std::process::Command {
    command.env("NO_PROXY", "elsewhere.test,.registry.test,registry.test");
    command
}

const RIGHTS: Rights = &[
    ("reader", "read-secret", "org/private", &["pull"]),
    ("writer", "write-secret", "org/made", &["pull", "push"]),
    ("setup", "setup-secret", "org/private", &["pull", "push"]),
    ("setup", "setup-secret", "org/public", &["pull", "push"]),
    ("", "", "org/public", &["pull"]),
];

/// A registry with a token server, and an image in two of its repositories.
async fn with_tokens(lifetime: i64, told: Option<i64>) -> (TokenServer, Peer, Sample) {
    let tokens = TokenServer::start(RIGHTS, lifetime, told).await;
    let peer = Peer::with_tokens(&tokens.realm(), &tokens.certificate);
    let dir = tempfile::tempdir().unwrap();
    let authfile = Some(authfile(&dir, &[(&peer.host(), "setup:setup-secret")]));
    let options = AccessOptions { authfile, ..quick() };
    let sample = Sample::new(&[1 << 20, 2000], 5);
    for repository in ["private", "public"] {
        sample.push(&format!("{}/org/{repository}:in", peer.host()), &options).await;
    }
    (tokens, peer, sample)
}

fn holds_no_secret(output: &Output, tokens: &TokenServer) {
    let told = text(output);
    for (user, secret, ..) in RIGHTS.iter().filter(|right| !right.1.is_empty()) {
        let basic = BASE64_STANDARD.encode(format!("{user}:{secret}"));
        assert!(!told.contains(secret) && !told.contains(&basic), "{secret} is told");
    }
    // All tokens begin with the same header.
    assert!(!told.contains("eyJ"), "a token is told: {told}");
    assert!(!tokens.exchanges().is_empty());
}

/// docker-registry with tokens; source and destination have different users: a token for each by
/// its own credentials; a refused mount becomes an upload; `-vv` logs no secret.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_credentials_on_one_host() {
    let (tokens, peer, sample) = with_tokens(600, Some(600)).await;
    let (from, to) = (format!("{}/org/private", peer.host()), format!("{}/org/made", peer.host()));
    let dir = tempfile::tempdir().unwrap();
    let authfile = authfile(&dir, &[(&from, "reader:read-secret"), (&to, "writer:write-secret")]);
    let log_in = format!("--authfile={}", authfile.display());
    let source = sample.named(&format!("{from}:in"));
    let before = tokens.exchanges().len();
    let mut command = convert(&source, &format!("{to}:out"));
    command.args([&log_in, "-vv", "--output=json"]);
    let output = run(command).await;
    ends(&output, 0, &["debug ["]);
    holds_no_secret(&output, &tokens);
    let exchanges = tokens.exchanges().split_off(before);
    let pulls = ("reader".to_owned(), "repository:org/private:pull".to_owned());
    let pushes = ("writer".to_owned(), "repository:org/made:pull,push".to_owned());
    let mounts = ("writer".to_owned(), format!("{} repository:org/private:pull", pushes.1));
    assert_eq!(exchanges.iter().filter(|&exchange| *exchange == pulls).count(), 1);
    assert_eq!(exchanges.iter().filter(|&exchange| *exchange == pushes).count(), 1);
    assert!(exchanges.contains(&mounts), "{exchanges:?}");
    is_right(&format!("{to}:out"), &source, &[&log_in]).await;
    assert!(peer.uploads().is_empty(), "{:?}", peer.requests());
}

/// docker-registry with tokens; everyone may pull the source: that token is requested without
/// credentials.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_public_source_needs_no_credentials() {
    let (tokens, peer, sample) = with_tokens(600, None).await;
    let dir = tempfile::tempdir().unwrap();
    let to = format!("{}/org/made", peer.host());
    let log_in =
        format!("--authfile={}", authfile(&dir, &[(&to, "writer:write-secret")]).display());
    let source = sample.named(&format!("{}/org/public:in", peer.host()));
    let before = tokens.exchanges().len();
    let mut command = convert(&source, &format!("{to}:out"));
    command.arg(&log_in);
    ends(&run(command).await, 0, &[]);
    let exchanges = tokens.exchanges().split_off(before);
    assert!(exchanges.contains(&(String::new(), "repository:org/public:pull".to_owned())));
    is_right(&format!("{to}:out"), &source, &[&log_in]).await;
}

/// The token server answers 401, or with a token that does not allow a push: exit code 3, no secret
/// is printed, nothing is published.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_token_server_refuses() {
    let (tokens, peer, sample) = with_tokens(600, None).await;
    let dir = tempfile::tempdir().unwrap();
    let puts = peer.count("PUT", 201);
    for (name, who, repository, words) in [
        ("a wrong password", "writer:wrong-secret", "made", &["were rejected"]),
        ("the wrong repository", "writer:write-secret", "private", &["were rejected"]),
    ] {
        let host = peer.host();
        let log_in = authfile(&dir, &[(&host, who)]);
        let source = sample.named(&format!("{host}/org/public:in"));
        let mut command = convert(&source, &format!("{host}/org/{repository}:out"));
        command.arg("--authfile").arg(log_in).arg("-vv");
        let output = run(command).await;
        let told = ends(&output, 3, words);
        assert!(!told.contains("wrong-secret"), "{name}: {told}");
        holds_no_secret(&output, &tokens);
    }
    assert_eq!(peer.count("PUT", 201), puts);
    assert!(tokens.exchanges().iter().any(|(user, _)| user == "writer"));
}

/// Tokens end sooner than their server says: a new token after each 401. They end after two
/// seconds, as announced: a new token in time, and no 401.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tokens_that_end_in_the_middle() {
    for (name, told, refused) in
        [("sooner than told", Some(3600), true), ("as told", Some(2), false)]
    {
        let (tokens, peer, _) = with_tokens(600, None).await;
        drop(tokens);
        let tokens = TokenServer::start(RIGHTS, 2, told).await;
        let peer = {
            drop(peer);
            Peer::with_tokens(&tokens.realm(), &tokens.certificate)
        };
        let dir = tempfile::tempdir().unwrap();
        let image = format!("{}/org/made", peer.host());
        let authfile = Some(authfile(&dir, &[(&image, "writer:write-secret")]));
        let options = AccessOptions { authfile, ..quick() };
        let store = open(&image, Intent::Push, &options).await.unwrap();
        for blob in ["one", "two"] {
            tokio::time::sleep(Duration::from_millis(3100)).await;
            sample::put(&store, blob.into()).await;
        }
        assert_eq!(tokens.exchanges().len(), 3, "{name}: {:?}", peer.requests());
        let refusals = peer.count("POST", 401);
        assert_eq!(refusals, if refused { 2 } else { 0 }, "{name}: {:?}", peer.requests());
        assert_eq!(peer.count("PUT", 201), 2);
    }
}

/// docker-registry with tokens: the client asks the credential helper for this host; `-vv` logs no
/// secret.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_helper_is_asked_for_the_password() {
    use std::os::unix::fs::PermissionsExt as _;
    let (tokens, peer, sample) = with_tokens(600, None).await;
    let dir = tempfile::tempdir().unwrap();
    let helper = dir.path().join("docker-credential-test");
    let script = "#!/bin/sh\nread server\necho \"$server\" >>\"$0.log\"\n\
        echo '{\"ServerURL\":\"x\",\"Username\":\"writer\",\"Secret\":\"write-secret\"}'\n";
    fs::write(&helper, script).unwrap();
    fs::set_permissions(&helper, fs::Permissions::from_mode(0o755)).unwrap();
    let authfile = dir.path().join("auth.json");
    fs::write(&authfile, json!({ "credHelpers": { peer.host(): "test" } }).to_string()).unwrap();
    let source = sample.named(&format!("{}/org/public:in", peer.host()));
    let path = format!("{}:{}", dir.path().display(), std::env::var("PATH").unwrap());
    let mut command = convert(&source, &format!("{}/org/made:out", peer.host()));
    command.arg("--authfile").arg(&authfile).env("PATH", path).arg("-vv");
    let output = run(command).await;
    ends(&output, 0, &[]);
    holds_no_secret(&output, &tokens);
    let asked = fs::read_to_string(dir.path().join("docker-credential-test.log")).unwrap();
    assert!(asked.lines().all(|server| server == peer.host()), "{asked}");
    let push = tokens.server.requests("GET /token");
    let is_push = |request: &&Request| request.line.contains("made%3Apull%2Cpush");
    let basic = format!("Basic {}", BASE64_STANDARD.encode("writer:write-secret"));
    assert!(push.iter().filter(is_push).all(|request| request.authorization == basic));
}
