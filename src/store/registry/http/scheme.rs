//! HTTPS or plain HTTP.

use std::{
    collections::HashMap,
    net::Ipv4Addr,
    path::PathBuf,
    sync::{Arc, LazyLock, Mutex, PoisonError},
};

use reqwest::StatusCode;
use tokio::sync::OnceCell;

use super::{
    certificates::Certificates,
    error,
    retry::{RequestFailure, Retries},
};
use crate::store::{access::AccessOptions, error::StoreError};

/// Host and port, and the options that the answer depends on.
type Question = (String, bool, Option<PathBuf>, Option<PathBuf>);

type Answer = Arc<OnceCell<&'static str>>;

/// What has been found out in this process: source and destination are often on one host.
static FOUND: LazyLock<Mutex<HashMap<Question, Answer>>> = LazyLock::new(Mutex::default);

/// `https` or `http`. Plain HTTP is only for servers that do not answer a TLS handshake with TLS,
/// on this machine or if verification is turned off.
pub(super) async fn scheme(
    http: &reqwest::Client,
    registry: &str,
    host: &str,
    options: &AccessOptions,
    certificates: &Certificates,
) -> Result<&'static str, StoreError> {
    if options.tls_verify && (!is_loopback_http(host) || certificates.are_its_own()) {
        return Ok("https");
    }
    let AccessOptions { tls_verify, ca_file, cert_dir, .. } = options.clone();
    let question = (host.to_owned(), tls_verify, ca_file, cert_dir);
    let found = {
        let mut all = FOUND.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(all.entry(question).or_default())
    };
    let detect = || detect(http, registry, host, options, certificates.are_given());
    found.get_or_try_init(detect).await.copied()
}

async fn detect(
    http: &reqwest::Client,
    registry: &str,
    host: &str,
    options: &AccessOptions,
    expects_tls: bool,
) -> Result<&'static str, StoreError> {
    let patience = options.patience;
    let mut retries = Retries::new(patience, &"connection".into());
    loop {
        let answer = http.get(format!("https://{host}/v2/")).send();
        let failure = match tokio::time::timeout(patience.idle, answer).await {
            Ok(Ok(_)) => return Ok("https"),
            Ok(Err(error)) => {
                let is_plain = error::is_plain_http(&error)
                    || (!expects_tls
                        && error::is_hung_up(&error)
                        && is_registry(http, host, options).await);
                if is_plain {
                    if !is_loopback(host) {
                        tracing::warn!(
                            "registry {registry} does not support TLS: credentials and images are \
                             sent unencrypted"
                        );
                    }
                    return Ok("http");
                }
                error::failed(registry, &error, true, false)
            }
            Err(_) => RequestFailure::transient(error::timeout(registry, patience.idle)),
        };
        retries.pause(failure).await?;
    }
}

/// Whether a server that hangs up on a TLS handshake answers in plain HTTP as a registry does.
/// Servers that do speak TLS refuse plain HTTP with other statuses.
async fn is_registry(http: &reqwest::Client, host: &str, options: &AccessOptions) -> bool {
    let answer = http.get(format!("http://{host}/v2/")).send();
    let answer = tokio::time::timeout(options.patience.idle, answer).await;
    answer.is_ok_and(|answer| {
        answer.is_ok_and(|answer| {
            matches!(answer.status(), StatusCode::OK | StatusCode::UNAUTHORIZED)
        })
    })
}

/// Whether a host is this machine and the port is not that of HTTPS.
fn is_loopback_http(host: &str) -> bool {
    is_loopback(host) && split(host).1 != "443"
}

pub(super) fn is_loopback(host: &str) -> bool {
    let (name, _) = split(host);
    name == "localhost"
        || name == "[::1]"
        || name.parse::<Ipv4Addr>().is_ok_and(|address| address.is_loopback())
}

/// Name and port; the latter may be empty.
fn split(host: &str) -> (&str, &str) {
    match host.rsplit_once(':') {
        Some((name, port)) if !port.contains(']') => (name, port),
        _ => (host, ""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_loopback_hosts_may_get_plain_http() {
        for host in
            ["localhost", "localhost:5000", "127.0.0.1:5000", "127.9.9.9", "[::1]:80", "[::1]"]
        {
            assert!(is_loopback_http(host), "{host}");
        }
        for host in [
            "localhost:443",
            "127.0.0.1:443",
            "[::1]:443",
            "quay.io",
            "quay.io:80",
            "10.0.0.1:5000",
            "localhost.example",
            "127.0.0.1.example",
            "[::2]:80",
            "128.0.0.1",
        ] {
            assert!(!is_loopback_http(host), "{host}");
        }
    }
}
