//! What can go wrong where images live.

use std::{fmt, io, path::PathBuf, time::Duration};

use super::{Intent, oci_layout::LayoutError, registry::AuthError};
use crate::image::{Digest, DocumentError, ReferenceError};

/// A failure of a store. The variants are what a caller may want to branch on.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// 401, or a refused token exchange: the registry does not accept who we say we are.
    #[error("{0}")]
    Unauthorized(Box<Refusal>),
    /// 403: the registry knows who we are, and we may not.
    #[error("{0}")]
    Denied(Box<Refusal>),
    /// The store has no such thing.
    #[error("{what} was not found in {place}")]
    NotFound {
        /// `manifest sha256:…`, `blob sha256:…`, `tag 1.2`.
        what: String,
        /// The repository or the layout.
        place: String,
    },
    /// A registry cannot be talked to, or the connection broke.
    #[error("cannot reach registry {registry}: {kind}: {reason}{tried}")]
    Unreachable {
        /// Host and perhaps port.
        registry: String,
        /// What kind of failure.
        kind: Unreachable,
        /// The innermost cause.
        reason: String,
        /// How often.
        tried: Tried,
    },
    /// A registry answered with a status that ends the request.
    #[error("registry {registry} answered {status} to {what}{}{tried}", told(.message))]
    UnexpectedStatus {
        /// Host and perhaps port.
        registry: String,
        /// The request: `the upload of blob sha256:…`.
        what: String,
        /// The HTTP status code.
        status: u16,
        /// The registry's own words, cleaned and shortened; may be empty.
        message: String,
        /// How often.
        tried: Tried,
    },
    /// A registry broke the protocol in a way that cannot be worked around.
    #[error("registry {registry} gave no usable answer to {what}: {reason}")]
    Protocol {
        /// Host and perhaps port.
        registry: String,
        /// The request.
        what: String,
        /// What is wrong with the answer.
        reason: String,
    },
    /// Content is not what its digest promises.
    #[error("{what} in {place} is damaged or was exchanged: its content has the digest {actual}")]
    DigestMismatch {
        /// What was read or written; names the digest that was asked for.
        what: String,
        /// The repository or the layout.
        place: String,
        /// The digest that was asked for.
        expected: Digest,
        /// The digest of what came.
        actual: Digest,
    },
    /// Content is not as long as its descriptor says.
    #[error("{what} in {place} is damaged: it has {actual}, its descriptor says {expected} bytes")]
    SizeMismatch {
        /// What was read.
        what: String,
        /// The repository or the layout.
        place: String,
        /// The descriptor's size in bytes.
        expected: u64,
        /// What came: a number of bytes, or that there was more.
        actual: String,
    },
    /// A blob broke off while it was read; the cause says why.
    #[error("cannot read {what} from {place}")]
    Read {
        /// What was read.
        what: String,
        /// The repository or the layout.
        place: String,
        /// The cause.
        source: io::Error,
    },
    /// A document is larger than what is read into memory.
    #[error("{what} in {place} is larger than the {limit} bytes that are accepted")]
    TooLarge {
        /// What was to be read.
        what: String,
        /// The repository or the layout.
        place: String,
        /// The limit in bytes.
        limit: u64,
    },
    /// What is stored as a manifest is none that can be worked with.
    #[error("{what} in {place} is {reason}")]
    Manifest {
        /// Which manifest.
        what: String,
        /// The repository or the layout.
        place: String,
        /// Why.
        reason: DocumentError,
    },
    /// An image of a registry has to be named.
    #[error("{0} does not say which image: add a digest or a tag, as in {0}@sha256:…")]
    NothingSelected(String),
    /// A tag that no store would take.
    #[error(transparent)]
    Tag(#[from] ReferenceError),
    /// An image layout is not as it should be.
    #[error(transparent)]
    Layout(#[from] LayoutError),
    /// Credentials could not be read.
    #[error(transparent)]
    Credentials(#[from] AuthError),
    /// A file or a folder with certificates is of no use.
    #[error("cannot use certificates from {}: {reason}; write PEM files there", path.display())]
    CaFile {
        /// The file or folder.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// No HTTP client could be made.
    #[error(
        "cannot set up HTTPS: {0}; check that the system has CA certificates (or that \
         SSL_CERT_FILE names some) and that the proxy variables are right"
    )]
    Setup(String),
    /// A local file.
    #[error("cannot read or write {}", path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
}

/// How often and for how long a request was tried before it was given up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tried {
    /// All tries, the first one too.
    pub times: u32,
    /// From the first try to the end of the last.
    pub elapsed: Duration,
}

impl fmt::Display for Tried {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.times {
            0 | 1 => Ok(()),
            times => write!(f, " (tried {times} times in {:.0} s)", self.elapsed.as_secs_f64()),
        }
    }
}

/// Kinds of [`StoreError::Unreachable`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unreachable {
    /// The host name has no address.
    Dns,
    /// Nobody listens.
    Refused,
    /// No TLS connection came about.
    Tls,
    /// The certificate has expired, or is not valid yet.
    Validity,
    /// Nothing happened for too long.
    Timeout,
    /// The connection broke, or never came about for another reason.
    Broken,
}

impl fmt::Display for Unreachable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Dns => "its name does not resolve (check the spelling and the DNS)",
            Self::Refused => "nobody listens there (check the port)",
            Self::Tls => "no TLS connection (add the registry's CA with --ca-file)",
            Self::Validity => {
                "its certificate is not valid at this time (check the clock of this machine, and \
                 have the certificate renewed if that is right)"
            }
            Self::Timeout => "no answer in time (check the network and the proxy)",
            Self::Broken => "the connection failed",
        })
    }
}

/// Why, and as whom, access was refused.
#[derive(Clone, Debug)]
pub struct Refusal {
    /// 401 or 403. A refused token exchange counts as 401.
    pub status: u16,
    /// Host and perhaps port.
    pub registry: String,
    /// The path within the registry.
    pub repository: String,
    /// What was to be done.
    pub intent: Intent,
    /// As whom; never the secret.
    pub credentials: Option<CredentialOrigin>,
    /// The registry's own words, cleaned and shortened; may be empty.
    pub reason: String,
}

/// Where a credential came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CredentialOrigin {
    /// The file that had it, or that named the helper that had it.
    pub file: PathBuf,
    /// The key in that file.
    pub key: String,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { status, registry, repository, .. } = self;
        let action = match self.intent {
            Intent::Pull => "pull from",
            Intent::Push => "push to",
        };
        write!(f, "not allowed to {action} {registry}/{repository} (status {status})")?;
        f.write_str(&told(&self.reason))?;
        match &self.credentials {
            None => write!(
                f,
                "; no credentials were found for it: log in with `podman login {registry}`, or \
                 name a file that has them with --authfile; also check the repository's name"
            ),
            Some(CredentialOrigin { file, key }) if *status == 401 => write!(
                f,
                "; the credentials under {key:?} in {} were not accepted: log in again, or name \
                 another file with --authfile",
                file.display()
            ),
            Some(CredentialOrigin { file, key }) => write!(
                f,
                "; the credentials under {key:?} in {} do not suffice: have the permission \
                 granted, or use others with --authfile",
                file.display()
            ),
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

    /// The same error with the number of tries, where it tells that.
    pub(super) fn after(mut self, count: Tried) -> Self {
        if let Self::Unreachable { tried, .. } | Self::UnexpectedStatus { tried, .. } = &mut self {
            *tried = count;
        }
        self
    }

    /// Wraps an error of a local file.
    pub(super) fn io(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { path, source }
    }
}

/// Foreign words, set apart from ours.
fn told(message: &str) -> String {
    if message.is_empty() { String::new() } else { format!(" ({message})") }
}
