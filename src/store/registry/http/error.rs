//! What the HTTP libraries say, in the terms of [`StoreError`].

use std::{error::Error, io, time::Duration};

use super::{
    message::clean,
    pace::SLOWEST,
    retry::{Again, RequestFailure},
};
use crate::store::error::{StoreError, Tried, Unreachable};

/// A request that got no response, or a body that broke off.
pub(super) fn unreachable(registry: &str, error: &reqwest::Error) -> StoreError {
    let kind = if error.is_dns() {
        Unreachable::Dns
    } else if error.is_timeout() {
        Unreachable::Timeout
    } else if let Some(error) = find::<rustls::Error>(error) {
        if is_out_of_date(error) { Unreachable::Validity } else { Unreachable::Tls }
    } else if find::<io::Error>(error).is_some_and(|e| e.kind() == io::ErrorKind::ConnectionRefused)
    {
        Unreachable::Refused
    } else {
        Unreachable::Broken
    };
    StoreError::Unreachable {
        registry: registry.to_owned(),
        kind,
        reason: clean(&innermost(error)),
        tried: Tried::default(),
    }
}

/// The same, and whether to try again. With `is_known` there is a reason to believe that the host
/// exists: it has answered before, or another one has named it.
pub(super) fn failed(registry: &str, error: &reqwest::Error, is_known: bool) -> RequestFailure {
    let again = if is_final(error) {
        Again::No
    } else if !is_known && is_absent(error) {
        Again::Briefly
    } else {
        Again::After(None)
    };
    RequestFailure { error: unreachable(registry, error), again, status: None }
}

/// Nothing has moved for `idle`.
pub(super) fn timeout(registry: &str, idle: Duration) -> StoreError {
    stalled(registry, format!("no data for {} s", idle.as_secs_f32()))
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
    error.is_connect()
        && (error.is_dns()
            || error.is_timeout()
            || find::<io::Error>(error).is_some_and(|error| ABSENT.contains(&error.kind())))
}

/// Whether a certificate is valid at other times; often it is our clock that is wrong.
fn is_out_of_date(error: &rustls::Error) -> bool {
    use rustls::CertificateError::{Expired, ExpiredContext, NotValidYet, NotValidYetContext};
    matches!(
        error,
        rustls::Error::InvalidCertificate(
            Expired | ExpiredContext { .. } | NotValidYet | NotValidYetContext { .. }
        )
    )
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
    error.is_builder() || find::<rustls::Error>(error).is_some() || (error.is_dns() && is_unknown())
}

/// Whether a TLS handshake was answered by something that is not TLS, as a server of plain HTTP
/// does it (`HTTP/1.0 400 Bad Request`).
pub(super) fn is_plain_http(error: &reqwest::Error) -> bool {
    matches!(
        find::<rustls::Error>(error),
        Some(rustls::Error::InvalidMessage(rustls::InvalidMessage::InvalidContentType))
    )
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
        let is_tls = matches!(error, StoreError::Unreachable { kind: Unreachable::Tls, .. });
        assert!(is_tls, "{error:?}");
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
