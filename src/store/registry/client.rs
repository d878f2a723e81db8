//! Making the HTTP clients: trust, timeouts, and whether it is HTTPS.

use std::{net::Ipv4Addr, time::Duration};

use oci_client::client::{Certificate, CertificateEncoding, ClientConfig, ClientProtocol};
use rustls_pki_types::{CertificateDer, pem::PemObject as _};

use super::error;
use crate::store::{AccessOptions, StoreError};

/// A registry that does not take a connection within this time is not there.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);
/// A connection on which nothing has arrived for this long is dead. It does not run while nobody
/// reads, so a slow consumer is no reason for it.
const READ_TIMEOUT: Duration = Duration::from_secs(120);

const USER_AGENT: &str = concat!(env!("CARGO_PKG_NAME"), "/", env!("CARGO_PKG_VERSION"));

/// The additional authorities out of `options.ca_file`.
pub(super) async fn certificate_authorities(
    options: &AccessOptions,
) -> Result<Vec<CertificateDer<'static>>, StoreError> {
    let Some(path) = &options.ca_file else { return Ok(Vec::new()) };
    let unusable = |reason: String| StoreError::CaFile { path: path.clone(), reason };
    let pem = match tokio::fs::read(path).await {
        Ok(pem) => pem,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && options.ca_file_optional => {
            return Ok(Vec::new());
        }
        Err(error) => return Err(unusable(error.to_string())),
    };
    let authorities = CertificateDer::pem_slice_iter(&pem)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| unusable(format!("it is no valid PEM file ({error})")))?;
    let is_blank = pem.trim_ascii().is_empty();
    if authorities.is_empty() && !(is_blank && options.ca_file_optional) {
        return Err(unusable("it has no certificate".to_owned()));
    }
    Ok(authorities)
}

/// The client for our own requests.
pub(super) fn http(
    options: &AccessOptions,
    authorities: &[CertificateDer<'static>],
) -> Result<reqwest::Client, StoreError> {
    let authorities = authorities
        .iter()
        .map(|authority| reqwest::Certificate::from_der(authority))
        .collect::<Result<Vec<_>, _>>();
    authorities
        .and_then(|authorities| {
            reqwest::Client::builder()
                .user_agent(USER_AGENT)
                .connect_timeout(CONNECT_TIMEOUT)
                .read_timeout(READ_TIMEOUT)
                .tls_certs_merge(authorities)
                .tls_danger_accept_invalid_certs(!options.tls_verify)
                .build()
        })
        .map_err(|error| StoreError::Setup(error::innermost(&error)))
}

/// The client for tokens and uploads, with the same settings. It keeps the first credential that
/// it is given for a host, so there is one client for each repository.
pub(super) fn oci(
    options: &AccessOptions,
    authorities: &[CertificateDer<'static>],
    scheme: &str,
) -> Result<oci_client::Client, StoreError> {
    let certificate = |authority: &CertificateDer<'static>| Certificate {
        encoding: CertificateEncoding::Der,
        data: authority.to_vec(),
    };
    let config = ClientConfig {
        protocol: if scheme == "http" { ClientProtocol::Http } else { ClientProtocol::Https },
        accept_invalid_certificates: !options.tls_verify,
        // The default, many small PATCH requests, is slow and not taken by every registry.
        use_monolithic_push: true,
        extra_root_certificates: authorities.iter().map(certificate).collect(),
        platform_resolver: None,
        read_timeout: Some(READ_TIMEOUT),
        connect_timeout: Some(CONNECT_TIMEOUT),
        user_agent: USER_AGENT,
        ..ClientConfig::default()
    };
    // `Client::new` would replace a configuration that fails by the default one.
    oci_client::Client::try_from(config)
        .map_err(|error| StoreError::Setup(error::innermost(&error)))
}

/// `https` or `http`. Plain HTTP is for loopback hosts, and, where verification is turned off, for
/// hosts that answer a TLS handshake in plain HTTP; never for others.
pub(super) async fn scheme(
    http: &reqwest::Client,
    registry: &str,
    host: &str,
    options: &AccessOptions,
) -> Result<&'static str, StoreError> {
    if options.tls_verify {
        return Ok(if is_loopback_http(host) { "http" } else { "https" });
    }
    match http.get(format!("https://{host}/v2/")).send().await {
        Ok(_) => Ok("https"),
        Err(error) if error::is_plain_http(&error) => {
            tracing::warn!(
                registry,
                "this registry has no TLS: credentials and images go in the clear"
            );
            Ok("http")
        }
        Err(error) => Err(error::unreachable(registry, &error)),
    }
}

/// Whether a host is this machine and the port not the one of HTTPS.
fn is_loopback_http(host: &str) -> bool {
    let (name, port) = match host.rsplit_once(':') {
        Some((name, port)) if !port.contains(']') => (name, port),
        _ => (host, ""),
    };
    let is_loopback = name == "localhost"
        || name == "[::1]"
        || name.parse::<Ipv4Addr>().is_ok_and(|address| address.is_loopback());
    is_loopback && port != "443"
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

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

    #[tokio::test]
    async fn ca_files() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ca.crt");
        let options = |optional| AccessOptions {
            ca_file: Some(path.clone()),
            ca_file_optional: optional,
            ..AccessOptions::default()
        };
        assert!(certificate_authorities(&options(false)).await.is_err());
        assert!(certificate_authorities(&options(true)).await.unwrap().is_empty());
        std::fs::write(&path, "\n").unwrap();
        assert!(certificate_authorities(&options(false)).await.is_err());
        assert!(certificate_authorities(&options(true)).await.unwrap().is_empty());
        for bad in ["no PEM at all", "-----BEGIN CERTIFICATE-----\n§\n-----END CERTIFICATE-----\n"]
        {
            std::fs::write(&path, bad).unwrap();
            let error = certificate_authorities(&options(true)).await.unwrap_err();
            assert!(error.to_string().contains("ca.crt"), "{error}");
        }
    }
}
