//! The HTTP clients: trust, timeouts, and HTTPS or HTTP.

use std::{net::Ipv4Addr, time::Duration};

use reqwest::{Certificate, ClientBuilder, Url, redirect::Policy};

use super::{
    certificates::Certificates,
    error,
    origin::{Guard, Guarded},
    retry::{RequestFailure, Retries},
};
use crate::store::{access::AccessOptions, error::StoreError};

/// A registry that does not accept a connection within this time counts as absent.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

const USER_AGENT: &str = concat!(env!("CARGO_PKG_NAME"), "/", env!("CARGO_PKG_VERSION"));

/// A client with what all have in common. It follows no redirects and has no time limit for a
/// whole request: both are handled where requests are sent.
fn builder(options: &AccessOptions, authorities: &[Certificate]) -> ClientBuilder {
    reqwest::Client::builder()
        .user_agent(USER_AGENT)
        .connect_timeout(CONNECT_TIMEOUT)
        .redirect(Policy::none())
        .tls_certs_merge(authorities.to_vec())
        .tls_danger_accept_invalid_certs(!options.tls_verify)
}

/// The client for the registry itself. Only this one has the certificates that are for it.
pub(super) fn home(
    options: &AccessOptions,
    certificates: &Certificates,
    host: &str,
) -> Result<reqwest::Client, StoreError> {
    let mut builder = builder(options, &certificates.authorities)
        .tls_certs_merge(certificates.own_authorities.clone());
    if let Some(identity) = &certificates.identity {
        builder = builder.identity(identity.clone());
    }
    // A proxy would connect to its own machine.
    let builder = if is_loopback(host) { builder.no_proxy() } else { builder };
    builder.build().map_err(|error| setup(&error))
}

/// The client for hosts that the registry names.
pub(super) fn away(
    options: &AccessOptions,
    certificates: &Certificates,
    guard: &Guard,
) -> Result<reqwest::Client, StoreError> {
    let builder = builder(options, &certificates.authorities);
    let builder = if guard.is_loopback() { builder.no_proxy() } else { builder };
    let guarded = Guarded { guard: guard.clone(), proxies: proxy_hosts().into() };
    builder.dns_resolver(guarded).build().map_err(|error| setup(&error))
}

fn setup(error: &reqwest::Error) -> StoreError {
    StoreError::Setup(error::innermost(error))
}

/// The names of the proxies that the environment has, which the HTTP library uses by itself.
fn proxy_hosts() -> Vec<String> {
    ["HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"]
        .iter()
        .filter_map(|name| std::env::var(name).ok())
        .filter_map(|proxy| {
            let url = if proxy.contains("://") { proxy } else { format!("http://{proxy}") };
            url.parse::<Url>().ok()?.host_str().map(str::to_owned)
        })
        .collect()
}

/// `https` or `http`. Plain HTTP is only for loopback hosts without certificates of their own and,
/// if verification is turned off, for hosts that answer a TLS handshake in plain HTTP.
pub(super) async fn scheme(
    http: &reqwest::Client,
    registry: &str,
    host: &str,
    options: &AccessOptions,
    certificates: &Certificates,
) -> Result<&'static str, StoreError> {
    if options.tls_verify {
        let is_plain = is_loopback_http(host) && !certificates.are_its_own();
        return Ok(if is_plain { "http" } else { "https" });
    }
    let patience = options.patience;
    let mut retries = Retries::new(patience, &"TLS detection".into());
    loop {
        let answer = http.get(format!("https://{host}/v2/")).send();
        let failure = match tokio::time::timeout(patience.idle, answer).await {
            Ok(Ok(_)) => return Ok("https"),
            Ok(Err(error)) if error::is_plain_http(&error) => {
                tracing::warn!(
                    registry,
                    "the registry does not support TLS: credentials and images are sent unencrypted"
                );
                return Ok("http");
            }
            Ok(Err(error)) => error::failed(registry, &error, false),
            Err(_) => RequestFailure::transient(error::timeout(registry, patience.idle)),
        };
        retries.pause(failure).await?;
    }
}

/// Whether a host is this machine and the port is not that of HTTPS.
fn is_loopback_http(host: &str) -> bool {
    is_loopback(host) && split(host).1 != "443"
}

fn is_loopback(host: &str) -> bool {
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
    fn only_loopback_hosts_get_plain_http() {
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
