//! Proxies that fail: the error names the proxy and its variable, and not the registry.

use test_support::scripted::{Scripted, answer};
use tokio::{io::AsyncWriteExt as _, net::TcpListener};

use super::{
    manifest,
    nginx::Nginx,
    peer::{free_port, make_certificate},
    sample::{convert, ends, run},
    tunnel::Tunnel,
};

const SECRET: &str = "pr0xy-s3cret";

fn through(variable: &str, value: &str) -> std::process::Command {
    let image = format!("registry.invalid/org/app@{}", manifest("x").digest);
    let mut command = convert(&image, "oci:nowhere");
    command.env(variable, value);
    command
}

/// Each way in which a proxy fails: nothing listens, its name does not exist, it wants a password or
/// another one, refuses the registry with any status, hangs up, or is no proxy. The error has the
/// proxy's address and variable, but no password; a missing or wrong password is not tried again.
#[tokio::test]
async fn a_proxy_that_fails_is_named() {
    let answering = |status: u16| Scripted::start(move |_, _| answer(status, &[], b""));
    let (asks, forbids, fails) = (answering(407).await, answering(403).await, answering(502).await);
    let closed = format!("127.0.0.1:{}", free_port());
    let hangs_up = saying(b"").await;
    let ssh = saying(b"SSH-2.0-OpenSSH_9.9\r\n").await;
    let with_password = format!("tester:{SECRET}@{}", asks.host);
    for (name, variable, proxy, words, is_final) in [
        ("closed", "HTTPS_PROXY", &closed, "onnection refused", false),
        ("no such name", "https_proxy", &"proxy.invalid:3128".to_owned(), "", true),
        ("407", "ALL_PROXY", &asks.host, "it requires a user and a password", true),
        ("407 again", "HTTPS_PROXY", &with_password, "it rejects the user and password", true),
        ("403", "all_proxy", &forbids.host, "it refuses to connect to this host", false),
        ("502", "HTTPS_PROXY", &fails.host, "it refuses to connect to this host", false),
        ("hangs up", "HTTPS_PROXY", &hangs_up, "it closed the connection", false),
        ("no proxy", "HTTPS_PROXY", &ssh, "or is not an HTTP proxy", false),
    ] {
        let address = format!("http://{}", proxy.rsplit('@').next().unwrap());
        let output = run(through(variable, &format!("http://{proxy}"))).await;
        let named = format!("{address} ({variable})");
        let told = ends(&output, 6, &["the proxy failed", &named, words, "NO_PROXY"]);
        assert!(!told.contains(SECRET), "{name}: {told}");
        assert_eq!(told.contains("retrying"), !is_final, "{name}: {told}");
    }
    assert!(asks.requests("CONNECT registry.invalid:443").len() == 2);
}

/// Proxy variables that cannot be used: an error that names the variable without its value, and no
/// direct connection. They do not matter for a registry on this machine.
#[tokio::test]
async fn a_proxy_variable_that_cannot_be_used_is_named() {
    for (variable, value, words) in [
        ("HTTPS_PROXY", format!("socks5://u:{SECRET}@127.0.0.1:1"), "unsupported scheme socks5"),
        ("ALL_PROXY", format!("socks5h://u:{SECRET}@127.0.0.1:1"), "unsupported scheme socks5h"),
        ("HTTPS_PROXY", format!("http://u:{SECRET}@127.0.0.1:99999"), "HTTPS_PROXY: "),
        ("https_proxy", format!("http://u:{SECRET}@"), "not a valid URL"),
        ("all_proxy", format!("http://u:{SECRET}@a b"), "not a valid URL"),
        ("HTTPS_PROXY", format!("ftp://u:{SECRET}@127.0.0.1"), "not a valid URL"),
    ] {
        let output = run(through(variable, &value)).await;
        let told = ends(&output, output.status.code().unwrap(), &[words, variable]);
        assert!(!told.contains(SECRET), "{told}");
        assert!(!told.contains("does not resolve"), "{told}");
        let server = Scripted::start(|_, _| answer(404, &[], b"")).await;
        let image = format!("{}@{}", server.image(), manifest("x").digest);
        let mut command = convert(&image, "oci:nowhere");
        command.env(variable, &value);
        ends(&run(command).await, 6, &["not found"]);
    }
}

/// A registry in plain HTTP behind a proxy: the proxy's own answers and failures are told as such.
#[tokio::test]
async fn a_proxy_for_plain_http() {
    let proxy = Scripted::start(|_, _| answer(407, &[], b"")).await;
    let tunnel = Tunnel::start(proxy.host.clone()).await;
    let address = format!("http://{}", proxy.host);
    let closed = format!("http://127.0.0.1:{}", free_port());
    for (value, words) in
        [(&address, "it requires a user and a password"), (&closed, "onnection refused")]
    {
        let mut command = through("HTTP_PROXY", value);
        command.env("HTTPS_PROXY", tunnel.url()).arg("--tls-verify=false");
        let named = format!("{value} (HTTP_PROXY)");
        ends(&run(command).await, 6, &["the proxy failed", &named, words]);
    }
}

/// A proxy that is to be spoken to in TLS speaks plain HTTP: that says nothing about the registry,
/// even if any certificate would do. Nothing is sent in plain HTTP instead.
#[tokio::test]
async fn a_proxy_without_tls_is_no_registry_without_tls() {
    let proxy = Scripted::start(|_, _| answer(200, &[], b"")).await;
    let value = format!("https://{}", proxy.host);
    let mut command = through("HTTPS_PROXY", &value);
    command.env("HTTP_PROXY", format!("http://{}", proxy.host)).arg("--tls-verify=false");
    let named = format!("{value} (HTTPS_PROXY)");
    let told = ends(&run(command).await, 6, &["the proxy failed", &named, "NO_PROXY"]);
    assert!(!told.contains("unencrypted"), "{told}");
    assert_eq!(proxy.requests("").len(), 0);
}

/// A registry behind a proxy answers 407 within TLS, where no proxy can: the proxy is not blamed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_registry_that_answers_like_a_proxy() {
    let dir = tempfile::tempdir().unwrap();
    let (certificate, key) = (dir.path().join("a.crt"), dir.path().join("a.pem"));
    make_certificate(&certificate, &key, None);
    let host = format!("127.0.0.1:{}", free_port());
    let server = format!(
        "server {{ listen {host} ssl; ssl_certificate {}; ssl_certificate_key {}; return 407; }}\n",
        certificate.display(),
        key.display()
    );
    let _nginx = Nginx::start("127.0.0.1:1", &server, "");
    let tunnel = Tunnel::start(host).await;
    let mut command = through("HTTPS_PROXY", &tunnel.url());
    command.arg("--tls-verify=false");
    let told = ends(&run(command).await, 6, &["registry.invalid returned 407"]);
    assert!(!told.contains("the proxy failed"), "{told}");
}

/// A registry behind a proxy names a token server. Names and addresses of this machine, of private
/// networks and of metadata services are refused, also if only the proxy could resolve them, and do
/// not get to the proxy. Others do.
#[tokio::test]
async fn names_behind_a_proxy_are_checked() {
    for (realm, is_allowed) in [
        ("tokens.invalid", true),
        ("localhost", false),
        ("tokens.localhost", false),
        ("127.0.0.1", false),
        ("[::ffff:0:10.0.0.1]", false),
        ("metadata.google.internal", false),
        ("tokens.corp.internal", false),
        ("tokens", false),
    ] {
        let challenge = format!("WWW-Authenticate: Bearer realm=\"http://{realm}/token\"");
        let proxy = Scripted::start(move |request, _| match request.line.as_str() {
            line if line.contains("/token") => answer(200, &[], b"{\"token\":\"t\"}"),
            _ if request.authorization == "Bearer t" => answer(404, &[], b""),
            _ => answer(401, &[&challenge], b""),
        })
        .await;
        let tunnel = Tunnel::start(proxy.host.clone()).await;
        let mut command = through("HTTP_PROXY", &format!("http://{}", proxy.host));
        command.env("HTTPS_PROXY", tunnel.url()).arg("--tls-verify=false");
        let output = run(command).await;
        let asked = proxy.requests(&format!("GET http://{realm}/token")).len();
        if is_allowed {
            ends(&output, 6, &["not found"]);
            assert!(asked > 0, "{realm}");
        } else {
            let code = output.status.code().unwrap();
            ends(&output, code, &["it refers to ", "an address that is neither public"]);
            let asked = proxy.requests("").iter().any(|request| request.line.contains("/token"));
            assert!(!asked, "{realm}");
        }
    }
}

/// The host and port of a server that says this to everyone and hangs up.
async fn saying(words: &'static [u8]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let host = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut buffer = [0; 4096];
                drop(tokio::io::AsyncReadExt::read(&mut stream, &mut buffer).await);
                drop(stream.write_all(words).await);
            });
        }
    });
    host
}
