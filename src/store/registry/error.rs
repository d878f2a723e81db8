//! What the HTTP libraries and the registries say, in the terms of [`StoreError`].

use std::{error::Error, io, time::Duration};

use reqwest::Response;
use serde_json::Value;

use super::{
    Repository,
    pace::{Pace, SLOWEST},
    retry::{self, Again, Failure},
};
use crate::store::{Refusal, StoreError, Tried, Unreachable, mask};

/// Bytes of an error's body that are looked at.
const BODY_MAX: usize = 64 << 10;
/// Characters of a registry's message that are passed on.
const MESSAGE_MAX: usize = 300;

impl Repository {
    /// The error that a response is, when its status is not the one hoped for. `what` is the thing
    /// that was to be found (`blob sha256:…`), `action` the request (`the upload of …`).
    pub(super) async fn refuse(&self, response: Response, what: &str, action: &str) -> StoreError {
        let status = response.status().as_u16();
        let (is_home, host) = (self.guard.is_home(response.url()), self.host_of(response.url()));
        let message = message(&self.read_start(response).await);
        match status {
            404 => StoreError::NotFound { what: what.to_owned(), place: self.place.clone() },
            _ if is_home => self.status_error(status, message, action),
            // Where a registry redirects to, our credentials are unknown by intent.
            _ => {
                let (what, tried) = (action.to_owned(), Tried::default());
                StoreError::UnexpectedStatus { registry: host, what, status, message, tried }
            }
        }
    }

    /// The same, and whether to try again.
    pub(super) async fn failure(&self, response: Response, what: &str, action: &str) -> Failure {
        let is_passing = retry::is_passing(response.status());
        let asked = retry::retry_after(response.headers());
        let error = self.refuse(response, what, action).await;
        let again = if is_passing { Again::After(asked) } else { Again::No };
        Failure { error, again }
    }

    /// The error that a status is, apart from 404.
    pub(super) fn status_error(&self, status: u16, message: String, action: &str) -> StoreError {
        match status {
            401 => StoreError::Unauthorized(Box::new(self.refusal(status, message))),
            403 => StoreError::Denied(Box::new(self.refusal(status, message))),
            _ => {
                let (registry, what) = (self.host.clone(), action.to_owned());
                let tried = Tried::default();
                StoreError::UnexpectedStatus { registry, what, status, message, tried }
            }
        }
    }

    fn refusal(&self, status: u16, reason: String) -> Refusal {
        Refusal {
            status,
            registry: self.host.clone(),
            repository: self.path.clone(),
            intent: self.intent,
            credentials: self.origin.clone(),
            reason,
        }
    }

    pub(super) fn protocol(&self, action: &str, reason: impl Into<String>) -> StoreError {
        let (registry, what) = (self.host.clone(), action.to_owned());
        StoreError::Protocol { registry, what, reason: reason.into() }
    }

    /// The beginning of a body; what cannot be read is left out, since an error is told already.
    pub(super) async fn read_start(&self, mut response: Response) -> Vec<u8> {
        let (mut body, mut pace) = (Vec::new(), Pace::default());
        while let Ok(Some(piece)) = self.chunk(&mut response, &mut pace).await {
            let room = BODY_MAX - body.len();
            body.extend_from_slice(piece.get(..room).unwrap_or(&piece));
            if body.len() >= BODY_MAX {
                break;
            }
        }
        body
    }
}

/// A request that got no answer, or a body that broke off.
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

/// The same, and whether to try again. `is_known` says that there is a reason to believe that there
/// is such a host: it has answered before, or another one has named it.
pub(super) fn failed(registry: &str, error: &reqwest::Error, is_known: bool) -> Failure {
    let again = if is_final(error) {
        Again::No
    } else if !is_known && is_absent(error) {
        Again::Briefly
    } else {
        Again::After(None)
    };
    Failure { error: unreachable(registry, error), again }
}

/// Nothing has moved for `idle`.
pub(super) fn timeout(registry: &str, idle: Duration) -> StoreError {
    stalled(registry, format!("nothing moved for {} s", idle.as_secs_f32()))
}

/// Next to nothing has moved for `idle`.
pub(super) fn slow(registry: &str, idle: Duration) -> StoreError {
    let reason = format!("it sent less than {SLOWEST} bytes a second for {} s", idle.as_secs_f32());
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

/// Whether it looks as if there were no such host, or nobody on that port.
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

/// Whether a certificate is good at other times; often it is our clock that is wrong.
fn is_out_of_date(error: &rustls::Error) -> bool {
    use rustls::CertificateError::{Expired, ExpiredContext, NotValidYet, NotValidYetContext};
    matches!(
        error,
        rustls::Error::InvalidCertificate(
            Expired | ExpiredContext { .. } | NotValidYet | NotValidYetContext { .. }
        )
    )
}

/// Whether the next try would fail too: the certificate is not trusted, the name does not exist.
/// A name server that cannot be asked just now is another thing, but only words tell the two apart
/// (those of glibc and of musl for `EAI_NONAME`).
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

/// A registry's own words. The error documents of registries (distribution-spec, "Error codes")
/// and of token servers are taken apart; other text is passed on if it is no web page.
pub(super) fn message(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body.get(..BODY_MAX).unwrap_or(body));
    let Ok(document) = serde_json::from_str::<Value>(&text) else {
        return if text.trim_start().starts_with('<') { String::new() } else { clean(&text) };
    };
    let field = |value: &Value, name| value.get(name)?.as_str().map(str::to_owned);
    let of_error = |error: &Value| match (field(error, "code"), field(error, "message")) {
        (Some(code), Some(message)) if !message.is_empty() => Some(format!("{code}: {message}")),
        (code, message) => message.filter(|message| !message.is_empty()).or(code),
    };
    let errors = document.get("errors").and_then(Value::as_array);
    let told = match errors {
        Some(errors) => errors.iter().take(3).filter_map(of_error).collect::<Vec<_>>().join("; "),
        None => ["error_description", "details", "message", "error"]
            .iter()
            .find_map(|name| field(&document, name))
            .unwrap_or_default(),
    };
    clean(&told)
}

/// Foreign text without control characters and secrets, on one line and not too long.
fn clean(text: &str) -> String {
    let text = mask(text);
    let spaced = text.split(|c: char| c.is_control() || c.is_whitespace());
    let line = spaced.filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(MESSAGE_MAX) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn messages_of_registries() {
        for (body, expected) in [
            ("", ""),
            ("<html>502</html>", ""),
            ("just\r\ntext \u{1b}[31m", "just text [31m"),
            (
                r#"{"errors":[{"code":"DENIED","message":"no\nway","detail":"x"}]}"#,
                "DENIED: no way",
            ),
            (r#"{"errors":[{"code":"A"},{"message":"b"},{},{"code":"C"},{"code":"D"}]}"#, "A; b"),
            (r#"{"errors":[]}"#, ""),
            (r#"{"details":"incorrect username or password"}"#, "incorrect username or password"),
            (r#"{"error":"invalid_token","error_description":"expired"}"#, "expired"),
            ("5", ""),
        ] {
            assert_eq!(message(body.as_bytes()), expected, "{body}");
        }
        assert!(message(&vec![b'x'; 1 << 20]).chars().count() <= MESSAGE_MAX + 1);
        assert_eq!(message(&[0xff, 0xfe]), "\u{fffd}\u{fffd}");
    }

    #[tokio::test]
    async fn plain_http_in_answer_to_a_handshake_is_recognised() {
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
