//! What the HTTP libraries say, in the terms of [`StoreError`].

use std::{error::Error, io, time::Duration};

use reqwest::{Response, StatusCode, Url};

use super::{
    message::clean,
    pace::SLOWEST,
    proxy::Proxy,
    retry::{Again, RequestFailure},
    scheme::is_loopback,
    trust::Distrust,
};
use crate::store::error::{StoreError, Tried, Unreachable};

/// A request that got no response, or a body that broke off.
pub(super) fn unreachable(registry: &str, error: &reqwest::Error) -> StoreError {
    let (kind, reason) = by_proxy(error)
        .map(|reason| (Unreachable::Proxy, reason))
        .or_else(|| find(error).map(of_tls))
        .unwrap_or_else(|| of_connection(error));
    StoreError::Unreachable {
        registry: registry.to_owned(),
        kind,
        reason: clean(&reason),
        tried: Tried::default(),
    }
}

fn of_connection(error: &reqwest::Error) -> (Unreachable, String) {
    let reason = innermost(error);
    if error.is_dns() {
        (Unreachable::Dns, reason)
    } else if error.is_timeout() {
        // A proxy that waits for the registry cannot be told from one that does nothing.
        let proxy = error.url().filter(|_| error.is_connect()).and_then(proxy_of);
        let through = proxy.map(|proxy| format!(" through the proxy {}", proxy.name()));
        let what = if error.is_connect() { "no connection" } else { "no response" };
        (Unreachable::Timeout, format!("{what}{}", through.unwrap_or_default()))
    } else if is_of(error, &[io::ErrorKind::ConnectionRefused]) {
        (Unreachable::Refused, reason)
    } else {
        (Unreachable::Broken, reason)
    }
}

fn of_tls(error: &rustls::Error) -> (Unreachable, String) {
    use rustls::{
        AlertDescription::{
            AccessDenied, BadCertificate, CertificateExpired, CertificateRequired,
            CertificateRevoked, CertificateUnknown, UnknownCA, UnsupportedCertificate,
        },
        Error::{AlertReceived, InvalidMessage},
        InvalidMessage::InvalidContentType,
    };
    match error {
        InvalidMessage(InvalidContentType) => {
            (Unreachable::PlainHttp, "the server does not support TLS".to_owned())
        }
        AlertReceived(
            alert @ (CertificateRequired
            | BadCertificate
            | UnsupportedCertificate
            | CertificateRevoked
            | CertificateExpired
            | CertificateUnknown
            | UnknownCA
            | AccessDenied),
        ) => {
            let reason = format!(
                "the server requires a client certificate, or rejects the one it was sent \
                 ({alert:?})"
            );
            (Unreachable::ClientCertificate, reason)
        }
        other => match Distrust::of(other) {
            Some(distrust) => (distrust.kind, distrust.to_string()),
            None => (Unreachable::Tls, other.to_string()),
        },
    }
}

/// How a proxy failed, if it was the proxy.
fn by_proxy(error: &reqwest::Error) -> Option<String> {
    let url = error.url()?;
    let proxy = proxy_of(url)?;
    // The library does not export this error.
    let mut words = causes(error).map(ToString::to_string);
    let tunnel = words.find_map(|text| text.strip_prefix("tunnel error: ").map(str::to_owned));
    let reason = match tunnel.as_deref() {
        Some("proxy authorization required") => unauthorized(&proxy).to_owned(),
        Some("unsuccessful") => {
            "it refuses to connect to this host, or is not an HTTP proxy".to_owned()
        }
        Some("unexpected end of file") => "it closed the connection".to_owned(),
        Some(_) => find(error).map_or_else(|| innermost(error), |error| of_tls(error).1),
        None if url.scheme() == "http" && error.is_connect() => innermost(error),
        None => return None,
    };
    Some(format!("{}: {reason}", proxy.name()))
}

/// A proxy answers a request in plain HTTP itself, and cannot answer one within TLS. No registry sends
/// this status.
pub(super) fn of_proxy(registry: &str, response: &Response) -> Option<StoreError> {
    let url = response.url();
    if response.status() != StatusCode::PROXY_AUTHENTICATION_REQUIRED || url.scheme() != "http" {
        return None;
    }
    let proxy = proxy_of(url)?;
    let reason = format!("{}: {}", proxy.name(), unauthorized(&proxy));
    let (registry, kind) = (registry.to_owned(), Unreachable::Proxy);
    Some(StoreError::Unreachable { registry, kind, reason, tried: Tried::default() })
}

fn unauthorized(proxy: &Proxy) -> &'static str {
    if proxy.has_credentials() {
        "it rejects the user and password"
    } else {
        "it requires a user and a password, as in http://USER:PASSWORD@HOST:PORT"
    }
}

/// Hosts on this machine are contacted without a proxy.
fn proxy_of(url: &Url) -> Option<Proxy> {
    url.host_str().filter(|host| !is_loopback(host)).and_then(|_| Proxy::of(url))
}

/// The same, and whether to try again. A host that has answered before exists, and so probably does
/// one that another host has named.
pub(super) fn failed(
    registry: &str,
    error: &reqwest::Error,
    is_home: bool,
    has_answered: bool,
) -> RequestFailure {
    let is_known = has_answered || !is_home;
    let again = if is_final(error) {
        Again::No
    } else if !is_known && (is_absent(error) || by_proxy(error).is_some()) {
        Again::Briefly
    } else {
        Again::After(None)
    };
    let mut failure = RequestFailure { error: unreachable(registry, error), again, status: None };
    if let StoreError::Unreachable { kind: kind @ Unreachable::PlainHttp, .. } = &mut failure.error
        && !is_home
    {
        // No option makes that acceptable.
        *kind = Unreachable::Tls;
    }
    failure
}

/// Nothing has moved for `idle`.
pub(super) fn timeout(registry: &str, idle: Duration) -> StoreError {
    stalled(registry, format!("no data for {} s", idle.as_secs_f32()))
}

/// A write was sent completely, and there is no answer.
pub(super) fn unanswered(registry: &str, waited: Duration) -> StoreError {
    let reason = format!(
        "no answer for {} s after all was sent; a slow registry needs a longer --commit-timeout",
        waited.as_secs_f32()
    );
    stalled(registry, reason)
}

/// Next to nothing has moved for `idle`.
pub(super) fn slow(registry: &str, idle: Duration) -> StoreError {
    let reason = format!("fewer than {SLOWEST} bytes per second for {} s", idle.as_secs_f32());
    stalled(registry, reason)
}

fn stalled(registry: &str, reason: String) -> StoreError {
    StoreError::Unreachable {
        registry: registry.to_owned(),
        kind: Unreachable::Timeout,
        reason,
        tried: Tried::default(),
    }
}

/// Whether it looks as if there is no such host, or nothing listens on that port.
fn is_absent(error: &reqwest::Error) -> bool {
    const ABSENT: [io::ErrorKind; 3] = [
        io::ErrorKind::ConnectionRefused,
        io::ErrorKind::HostUnreachable,
        io::ErrorKind::NetworkUnreachable,
    ];
    error.is_connect() && (error.is_dns() || error.is_timeout() || is_of(error, &ABSENT))
}

/// Whether the next try would fail too: the certificate is not trusted, or the name does not exist.
/// A name server that does not answer is another matter, but only the text tells the two apart
/// (of glibc and of musl for `EAI_NONAME`).
pub(super) fn is_final(error: &reqwest::Error) -> bool {
    const NO_SUCH_NAME: [&str; 2] = ["Name or service not known", "Name does not resolve"];
    let is_unknown = || {
        let reason = innermost(error);
        NO_SUCH_NAME.iter().any(|words| reason.contains(words))
    };
    error.is_builder()
        || find::<rustls::Error>(error).is_some()
        || (error.is_dns() && is_unknown())
        || innermost(error).ends_with("proxy authorization required")
}

/// Whether a TLS handshake was answered by something that is not TLS, as a server of plain HTTP
/// does it (`HTTP/1.0 400 Bad Request`). What a proxy does says nothing about the server.
pub(super) fn is_plain_http(error: &reqwest::Error) -> bool {
    let is_no_tls = matches!(
        find::<rustls::Error>(error),
        Some(rustls::Error::InvalidMessage(rustls::InvalidMessage::InvalidContentType))
    );
    is_no_tls && by_proxy(error).is_none()
}

/// Whether a TLS handshake was answered with the end of the connection.
pub(super) fn is_hung_up(error: &reqwest::Error) -> bool {
    const ENDS: [io::ErrorKind; 3] =
        [io::ErrorKind::UnexpectedEof, io::ErrorKind::ConnectionReset, io::ErrorKind::BrokenPipe];
    error.is_connect() && is_of(error, &ENDS) && by_proxy(error).is_none()
}

/// The chain of causes from the outside to the inside. An [`io::Error`] hides what it wraps from
/// `source()`, so it is opened.
fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |&error| {
        let wrapped = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        match wrapped {
            Some(wrapped) => Some(wrapped as &(dyn Error + 'static)),
            None => error.source(),
        }
    })
}

/// Whether an I/O error of one of these kinds is among the causes; others may be around it.
fn is_of(error: &(dyn Error + 'static), kinds: &[io::ErrorKind]) -> bool {
    causes(error)
        .filter_map(|cause| cause.downcast_ref::<io::Error>())
        .any(|error| kinds.contains(&error.kind()))
}

pub(super) fn find<'a, E: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a E> {
    causes(error).find_map(|cause| cause.downcast_ref())
}

/// The innermost cause in words. Outer ones of the HTTP libraries say only that something failed,
/// and repeat the URL.
pub(super) fn innermost(error: &(dyn Error + 'static)) -> String {
    causes(error).last().map(ToString::to_string).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[tokio::test]
    async fn plain_http_in_answer_to_a_handshake_is_recognized() {
        use tokio::io::AsyncWriteExt as _;
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("https://{}/v2/", listener.local_addr().unwrap());
        let answer = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            stream.write_all(b"HTTP/1.0 400 Bad Request\r\n\r\n").await.unwrap();
            stream
        };
        let (result, _stream) = tokio::join!(reqwest::get(&url), answer);
        let error = result.unwrap_err();
        assert!(is_plain_http(&error), "{error:?}");
        let error = unreachable("here", &error);
        let is_plain =
            matches!(error, StoreError::Unreachable { kind: Unreachable::PlainHttp, .. });
        assert!(is_plain, "{error:?}");
        assert!(!error.to_string().contains("127.0.0.1"), "{error}");
    }

    #[test]
    fn the_innermost_cause_is_found_through_io_errors() {
        let inner = io::Error::other(rustls::Error::HandshakeNotComplete);
        let outer = io::Error::other(inner);
        assert!(find::<rustls::Error>(&outer).is_some());
        assert_eq!(innermost(&outer), rustls::Error::HandshakeNotComplete.to_string());
    }
}
