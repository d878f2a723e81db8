//! How stores are opened, and what is asked of them.

use std::{fmt, path::PathBuf, time::Duration};

use crate::image::{Digest, ImageReference};

/// What a store is opened for. In a registry this decides the scope of the token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Intent {
    Pull,
    /// Pull and push.
    Push,
    /// To read what a push would meet, and to write nothing.
    PlanPush,
}

/// How registries are accessed. Layouts need none of it.
#[derive(Clone, Debug)]
pub struct AccessOptions {
    /// The only file to look for credentials in; without it the usual files are searched
    /// (containers-auth.json(5)).
    pub authfile: Option<PathBuf>,
    /// Used instead of what any file has.
    pub creds: Option<Creds>,
    /// Whether HTTPS and a certificate that can be verified are required. Otherwise any certificate
    /// is accepted, and plain HTTP too if the registry does not support TLS.
    pub tls_verify: bool,
    /// Whether `tls_verify` also holds for registries that registries.conf calls insecure: if it is
    /// not the default.
    pub tls_verify_given: bool,
    /// A PEM file with certificate authorities to trust in addition to those of the system.
    pub ca_file: Option<PathBuf>,
    /// Whether `ca_file` may be missing or empty.
    pub ca_file_optional: bool,
    /// The only folder to look for certificates of the registry in; without it the usual ones are
    /// searched (containers-certs.d(5)).
    pub cert_dir: Option<PathBuf>,
    /// The main file with mirrors and blocked registries; without it the usual one is read
    /// (containers-registries.conf(5)).
    pub registries_conf: Option<PathBuf>,
    pub named_by: NamedBy,
    pub patience: Patience,
}

/// Who named a registry. What an image names must not lead into the network of whoever runs this.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum NamedBy {
    #[default]
    User,
    /// An image in this registry, or in a layout.
    Image(Option<String>),
}

/// A user name and a password, for one registry.
#[derive(Clone, PartialEq, Eq)]
pub struct Creds {
    pub user: String,
    pub password: String,
}

impl fmt::Debug for Creds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Creds").field("user", &self.user).finish_non_exhaustive()
    }
}

impl AccessOptions {
    /// The options for `other`, if these are for `own`: given credentials are not for another
    /// registry.
    #[must_use]
    pub fn toward(&self, own: &ImageReference, other: &ImageReference) -> Self {
        let creds = self.creds.clone().filter(|_| own.registry() == other.registry());
        Self { creds, ..self.clone() }
    }
}

/// How long to wait for a registry in trouble.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// How often a request is tried, and a transfer that makes no progress; at least 1.
    pub tries: u32,
    /// The bound of the wait after the first failure. It doubles with each one after that.
    pub first_delay: Duration,
    /// A connection on which nothing moves for this long is dead.
    pub idle: Duration,
    /// How long a registry may take to answer once an upload has been sent completely. Large blobs
    /// get more.
    pub commit: Duration,
    /// How long something that was written successfully may remain invisible to readers.
    pub lag: Duration,
}

impl Patience {
    /// The same with no more than `tries`, for what can be done without.
    #[must_use]
    pub(crate) fn with_few_tries(self, tries: u32) -> Self {
        Self { tries: self.tries.min(tries), ..self }
    }
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            tries: 6,
            first_delay: Duration::from_secs(1),
            idle: Duration::from_secs(120),
            commit: Duration::from_secs(900),
            lag: Duration::from_secs(60),
        }
    }
}

impl Default for AccessOptions {
    fn default() -> Self {
        Self {
            authfile: None,
            creds: None,
            tls_verify: true,
            tls_verify_given: false,
            ca_file: None,
            ca_file_optional: false,
            cert_dir: None,
            registries_conf: None,
            named_by: NamedBy::User,
            patience: Patience::default(),
        }
    }
}

/// Which manifest of a store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selector {
    Digest(Digest),
    Tag(String),
    /// The only one that a layout lists; a registry has no list.
    Only,
}

impl Selector {
    /// What `reference` selects: its digest, or its tag, or the only image there is.
    pub fn of(reference: &ImageReference) -> Self {
        match (reference.digest(), reference.tag()) {
            (Some(digest), _) => Self::Digest(digest.clone()),
            (None, Some(tag)) => Self::Tag(tag.to_owned()),
            (None, None) => Self::Only,
        }
    }
}
