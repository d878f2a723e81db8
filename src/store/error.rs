//! Errors of stores.

mod archive;
mod auth;
mod layout;
mod registries_conf;

use std::{fmt, io, path::PathBuf, time::Duration};

pub use self::{
    archive::{ArchiveError, ArchiveFileError},
    auth::AuthError,
    layout::LayoutError,
    registries_conf::RegistriesConfError,
};
use super::{access::Intent, foreign::foreign};
use crate::image::{Digest, DocumentError, ReferenceError};

/// A failure of a store. The variants are what a caller may want to branch on.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// 401, or a refused token exchange: the registry does not accept the credentials.
    #[error("{0}")]
    Unauthorized(Box<Refusal>),
    /// 403: the credentials are valid, but lack a permission.
    #[error("{0}")]
    Denied(Box<Refusal>),
    /// `what` is `manifest sha256:…` or `blob sha256:…`, `place` the repository or, if it is local, the
    /// layout.
    #[error("{what} not found in {place}")]
    NotFound { what: String, place: String, is_local: bool },
    /// The registry cannot be reached, or the connection broke. `reason` is the innermost cause.
    #[error("{}{tried}{}", self.cause(), hint(kind.hint(registry)))]
    Unreachable { registry: String, kind: Unreachable, reason: String, tried: Tried },
    /// A status that ends the request. `action` is `upload of blob sha256:…`, `message` the
    /// registry's own words, cleaned and shortened, or empty.
    #[error("{action} failed: {}{tried}", self.cause())]
    UnexpectedStatus {
        registry: String,
        action: String,
        status: u16,
        message: String,
        tried: Tried,
    },
    /// A manifest with foreign layers was refused, most likely because of them.
    #[error(
        "{0}; the image has foreign layers, and registries such as distribution refuse those unless \
         their URLs are allowed: have them allowed (validation.manifests.urls), or push to another \
         registry"
    )]
    ForeignLayers(Box<StoreError>),
    /// The registry broke the protocol in a way that cannot be worked around.
    #[error("{action} failed: {}", self.cause())]
    Protocol { registry: String, action: String, reason: String },
    /// An image named the registry, and must not.
    #[error("{registry} is not contacted, because an image named it and it has {reason}")]
    OutOfReach { registry: String, reason: &'static str },
    /// The writer of a blob gave up before its end.
    #[error("{action} failed: the blob was not finished")]
    Abandoned { action: String },
    /// Content does not have the digest that was asked for.
    #[error("{what} in {place} has the wrong content: its digest is {actual}")]
    DigestMismatch { what: String, place: String, expected: Digest, actual: Digest },
    /// Content is not as long as its descriptor says. `actual` is a number of bytes, or `more`.
    #[error("{what} in {place} has the wrong size: {actual}; expected {expected} bytes")]
    SizeMismatch { what: String, place: String, expected: u64, actual: String },
    #[error("cannot read {what} from {place}")]
    Read { what: String, place: String, source: io::Error },
    /// A document is larger than what is read into memory; `limit` is in bytes.
    #[error("{what} in {place} is larger than the limit of {limit} bytes")]
    TooLarge { what: String, place: String, limit: u64 },
    /// What is stored as a manifest cannot be used as one.
    #[error("{what} in {place} is {reason}")]
    Manifest { what: String, place: String, reason: DocumentError },
    #[error("{0} has neither a tag nor a digest; add one, as in {0}:TAG or {0}@sha256:…")]
    NothingSelected(String),
    #[error(transparent)]
    Tag(#[from] ReferenceError),
    #[error(transparent)]
    Layout(#[from] LayoutError),
    #[error(transparent)]
    Archive(#[from] ArchiveFileError),
    #[error(transparent)]
    Credentials(#[from] AuthError),
    #[error(transparent)]
    RegistriesConf(#[from] RegistriesConfError),
    /// No mirror has the image, and then the registry itself failed. `mirrors` are names and
    /// what they failed with, which has been logged.
    #[error("no mirror could be used: {}", listed(mirrors))]
    Mirrors { mirrors: Vec<(String, StoreError)>, source: Box<StoreError> },
    #[error("cannot use certificates from {}: {reason}", path.display())]
    CaFile { path: PathBuf, reason: String },
    /// The value is not told, because it may have a password.
    #[error("cannot use the proxy in {variable}: {reason}; expected a URL as in http://HOST:PORT")]
    Proxy { variable: &'static str, reason: String },
    /// No HTTP client could be created.
    #[error(
        "cannot set up HTTPS: {0}; check the CA certificates of the system or SSL_CERT_FILE, and \
         the proxy variables"
    )]
    Setup(String),
    #[error("invalid registry URL: {0}")]
    Url(String),
    #[error("internal error: {0}; please report this bug")]
    Internal(String),
    #[error("cannot read or write {}", path.display())]
    Io { path: PathBuf, source: io::Error },
}

/// How often and for how long a request was tried before it was given up, with the first try.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tried {
    pub times: u32,
    /// From the first try to the end of the last.
    pub elapsed: Duration,
}

impl fmt::Display for Tried {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.times {
            0 | 1 => Ok(()),
            times => match self.elapsed.as_secs() {
                0 => write!(f, "; gave up after {times} attempts"),
                seconds => write!(f, "; gave up after {times} attempts in {seconds} s"),
            },
        }
    }
}

/// Kinds of [`StoreError::Unreachable`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unreachable {
    Dns,
    Refused,
    Tls,
    /// The certificate is not from a CA that is trusted, and the user has named none.
    Untrusted,
    /// The same, although the user has named some.
    OtherAuthority,
    /// The certificate is by nobody else and not trusted, and the user has named none.
    SelfSigned,
    /// The same, although the user has named some.
    OtherSelfSigned,
    /// The certificate is for other names.
    Name,
    /// The certificate has no subject alternative names.
    NoNames,
    /// The certificate has expired, or is not valid yet.
    Validity,
    /// The server wants a client certificate, or another one.
    ClientCertificate,
    /// The server does not speak TLS.
    PlainHttp,
    /// The proxy failed, and not the registry.
    Proxy,
    Timeout,
    /// The connection broke, or failed for another reason.
    Broken,
}

impl Unreachable {
    fn hint(self, registry: &str) -> &'static str {
        match self {
            // There is no network in between.
            Self::Timeout if registry.starts_with("localhost") || registry.starts_with("127.") => {
                ""
            }

            Self::Dns => "check the spelling and the DNS",
            Self::Refused => "check the port",
            Self::Untrusted => "add the registry's CA with --ca-file",
            Self::OtherAuthority => "check which CA the registry's certificate is from",
            Self::SelfSigned => "pass it with --ca-file",
            Self::NoNames => {
                "make it with a subjectAltName, as in `-addext subjectAltName=DNS:NAME`"
            }
            Self::Name => "use a name of the certificate, or get one for this name",
            Self::Validity => "renew it, or check the clock of this machine",
            Self::ClientCertificate => {
                "check the *.cert and *.key files in the directory of certificates (--cert-dir)"
            }
            Self::PlainHttp => {
                "allow this with --tls-verify=false or, for this registry alone, with insecure = true \
                 in registries.conf"
            }
            Self::Proxy => "correct this variable, or add the registry to NO_PROXY",
            Self::Timeout => "check the network",
            Self::OtherSelfSigned | Self::Tls | Self::Broken => "",
        }
    }
}

impl fmt::Display for Unreachable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Dns => "host name does not resolve",
            Self::Refused => "connection refused",
            Self::Tls
            | Self::Untrusted
            | Self::OtherAuthority
            | Self::SelfSigned
            | Self::OtherSelfSigned
            | Self::Name
            | Self::NoNames
            | Self::Validity
            | Self::ClientCertificate => "TLS handshake failed",
            Self::PlainHttp => "the server does not support TLS, only plain HTTP",
            Self::Proxy => "the proxy failed",
            Self::Timeout => "timed out",
            Self::Broken => "connection failed",
        })
    }
}

/// Why, and with which credentials, access was refused.
#[derive(Clone, Debug)]
pub struct Refusal {
    /// 401 or 403. A refused token exchange counts as 401.
    pub status: u16,
    /// Host and perhaps port.
    pub registry: String,
    pub repository: String,
    pub intent: Intent,
    /// Never the secret itself.
    pub credentials: Option<CredentialOrigin>,
    /// The only file in which they were looked for, if the user named one.
    pub authfile: Option<PathBuf>,
    /// The registry's own words, cleaned and shortened; may be empty.
    pub reason: String,
}

/// Where a credential came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CredentialOrigin {
    /// The user gave it.
    Given { user: String },
    /// A file had it, or named the helper that had it.
    File { file: PathBuf, key: String },
}

impl fmt::Display for CredentialOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Given { user } => write!(f, "the given credentials of user {user:?}"),
            Self::File { file, key } => {
                write!(f, "the credentials for {key:?} in {}", file.display())
            }
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { status, registry, repository, .. } = self;
        let (verb, preposition) = match self.intent {
            Intent::Pull => ("pull", "from"),
            Intent::Push | Intent::PlanPush => ("push", "to"),
        };
        write!(f, "not allowed to {verb} {preposition} {registry}/{repository}: ")?;
        write!(f, "the registry returned {status}{}; ", told(&self.reason))?;
        match &self.credentials {
            None => {
                match &self.authfile {
                    Some(file) => {
                        write!(f, "{} has no entry for {registry}: add one", file.display())?;
                    }
                    None => write!(
                        f,
                        "no credentials were found: log in with `podman login {registry}`, or pass \
                         --creds or --authfile"
                    )?,
                }
                f.write_str(", and check the repository's name")
            }
            Some(origin @ CredentialOrigin::Given { .. }) if *status == 401 => {
                write!(f, "{origin} were rejected: check user name and password")
            }
            Some(origin) if *status == 401 => {
                write!(f, "{origin} were rejected: log in again or pass --authfile")
            }
            Some(origin @ CredentialOrigin::Given { .. }) => {
                write!(f, "{origin} lack permission to {verb}: request access")
            }
            Some(origin) => {
                write!(f, "{origin} lack permission to {verb}: request access or pass --authfile")
            }
        }
    }
}

impl StoreError {
    /// The error with all of its causes, for reports in which it is one line among others.
    pub(crate) fn with_causes(&self) -> String {
        let error: &dyn std::error::Error = self;
        let causes = std::iter::successors(Some(error), |error| error.source());
        causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
    }

    /// What went wrong, without the action, the number of tries and the hint.
    pub(super) fn cause(&self) -> String {
        match self {
            Self::Unreachable { registry, kind, reason, .. } => {
                let reason = match kind {
                    // The system's words are the same.
                    Unreachable::Refused | Unreachable::PlainHttp => "",
                    _ => reason,
                };
                format!("cannot reach registry {registry}: {kind}{}", told(reason))
            }
            Self::UnexpectedStatus { registry, status, message, .. } => {
                format!("registry {registry} returned {status}{}", told(message))
            }
            Self::Protocol { registry, reason, .. } => {
                format!("registry {registry} sent an invalid response: {reason}")
            }
            other => other.to_string(),
        }
    }

    /// What went wrong in a few words, for lists.
    fn summary(&self) -> String {
        match self {
            Self::NotFound { .. } => "not found".to_owned(),
            Self::Unauthorized(_) | Self::Denied(_) => "access denied".to_owned(),
            Self::Unreachable { kind, .. } => kind.to_string(),
            Self::UnexpectedStatus { status, .. } => format!("status {status}"),
            Self::DigestMismatch { .. } | Self::SizeMismatch { .. } => "wrong content".to_owned(),
            Self::RegistriesConf(RegistriesConfError::Blocked { .. }) => "blocked".to_owned(),
            other => other.to_string(),
        }
    }

    /// Whether a registry understood the request and does not do it.
    pub(crate) fn is_refusal(&self) -> bool {
        match self {
            Self::Unauthorized(_) | Self::Denied(_) => true,
            // The others of these are transient.
            Self::UnexpectedStatus { status, .. } => {
                (400..500).contains(status) && !matches!(status, 408 | 429)
            }
            _ => false,
        }
    }

    /// The same error with the number of tries, if it reports that.
    pub(super) fn after(mut self, count: Tried) -> Self {
        if let Self::Unreachable { tried, .. } | Self::UnexpectedStatus { tried, .. } = &mut self {
            *tried = count;
        }
        self
    }

    pub(super) fn io(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { path, source }
    }

    pub(super) fn internal(error: &tokio::task::JoinError) -> Self {
        Self::Internal(error.to_string())
    }

    pub(super) fn no_url(error: impl fmt::Display) -> Self {
        Self::Url(error.to_string())
    }
}

fn listed(mirrors: &[(String, StoreError)]) -> String {
    let each = mirrors.iter().map(|(mirror, error)| format!("{mirror} ({})", error.summary()));
    each.collect::<Vec<_>>().join(", ")
}

/// Foreign words after ours.
fn told(message: &str) -> String {
    if message.is_empty() { String::new() } else { format!(": {}", foreign(message)) }
}

fn hint(hint: &str) -> String {
    if hint.is_empty() { String::new() } else { format!("; {hint}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_registry_that_is_busy_refuses_nothing() {
        for (status, is_refusal) in
            [(400, true), (403, true), (412, true), (408, false), (429, false), (500, false)]
        {
            let (registry, action, message) = (String::new(), String::new(), String::new());
            let tried = Tried::default();
            let error = StoreError::UnexpectedStatus { registry, action, status, message, tried };
            assert_eq!(error.is_refusal(), is_refusal, "{status}");
        }
    }
}
