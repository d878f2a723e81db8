//! One repository of a registry: the only place that knows HTTP.
//!
//! Of [`oci_client`] the names are used: which host a registry has, and what a request may carry.
//! Its requests are not. Version 0.18 knows no retries, reads answers of any length into memory,
//! hides status codes and headers, ends an upload that takes longer than a read may, and panics
//! when a manifest that is pushed by digest is answered without a `Location`.

mod auth;
mod certificates;
mod challenge;
mod client;
mod download;
mod error;
mod origin;
mod pace;
mod ranges;
mod referrers;
mod request;
mod retry;
mod token;
mod upload;

use std::sync::atomic::AtomicBool;

use oci_client::Reference;
use reqwest::Url;

pub use self::{
    auth::AuthError,
    ranges::{RangeAnswer, RangeContent, RangePart},
    upload::uploads_cancelled,
};

use self::certificates::Certificates;
use super::{AccessOptions, CredentialOrigin, Intent, Patience, StoreError, secrets};
use crate::image::{ImageReference, RegistryReference};

/// A repository, with clients of its own: credentials may be scoped to a path, so what was found
/// for one repository is never used for another.
pub struct Repository {
    /// Host and perhaps port, as the user wrote it.
    host: String,
    path: String,
    /// Both, for messages.
    place: String,
    /// `https://HOST/v2/REPOSITORY/`.
    base: Url,
    intent: Intent,
    credential: Option<auth::Credential>,
    origin: Option<CredentialOrigin>,
    patience: Patience,
    /// For the registry itself.
    home: reqwest::Client,
    /// For hosts that the registry names.
    away: reqwest::Client,
    guard: origin::Guard,
    /// Whether the registry has ever answered.
    met: AtomicBool,
    tokens: token::Tokens,
}

impl std::fmt::Debug for Repository {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Repository")
            .field("base", &self.base.as_str())
            .field("intent", &self.intent)
            .field("origin", &self.origin)
            .finish_non_exhaustive()
    }
}

impl Repository {
    /// Looks up credentials, finds out how to talk to the registry, and gets a token.
    pub(super) async fn open(
        reference: &RegistryReference,
        intent: Intent,
        options: &AccessOptions,
    ) -> Result<Self, StoreError> {
        let (registry, repository) = (reference.registry(), reference.repository());
        let found = find_credential(reference, options).await?;
        let (credential, origin) = found.map(|found| (found.credential, found.origin)).unzip();
        match &credential {
            Some(auth::Credential::Password { user, password }) => {
                secrets::remember_password(user, password);
            }
            Some(auth::Credential::IdentityToken(token)) => secrets::remember(token),
            None => {}
        }
        // The tag is never used: oci-client wants one in its reference.
        let image =
            Reference::with_tag(registry.to_owned(), repository.to_owned(), "latest".to_owned());
        let host = image.resolve_registry();
        let certificates = Certificates::find(options, registry).await?;
        let home = client::home(options, &certificates, host)?;
        let scheme = client::scheme(&home, registry, host, options, &certificates).await?;
        let root: Url = format!("{scheme}://{host}/v2/").parse().map_err(malformed)?;
        let guard = origin::Guard::of(root.clone()).await;
        let opened = Self {
            host: registry.to_owned(),
            path: repository.to_owned(),
            place: reference.name(),
            base: root.join(&format!("{repository}/")).map_err(malformed)?,
            intent,
            credential,
            origin,
            patience: options.patience,
            home,
            away: client::away(options, &certificates, &guard)?,
            guard,
            met: AtomicBool::new(false),
            tokens: token::Tokens::default(),
        };
        opened.log_in(root).await?;
        Ok(opened)
    }

    /// The repository's name for messages.
    pub(super) fn place(&self) -> &str {
        &self.place
    }

    /// The repository of an image, if it is another one of this registry.
    pub(super) fn neighbour<'a>(&self, image: &'a ImageReference) -> Option<&'a str> {
        match image {
            ImageReference::Registry(image)
                if image.registry() == self.host && image.repository() != self.path =>
            {
                Some(image.repository())
            }
            _ => None,
        }
    }

    /// The URL of something in the repository: `blobs/sha256:…`.
    fn url(&self, path: &str) -> Result<Url, StoreError> {
        // Not joined: a digest's colon would make its algorithm a scheme.
        format!("{}{path}", self.base).parse().map_err(malformed)
    }
}

fn malformed(error: impl std::fmt::Display) -> StoreError {
    StoreError::Setup(format!("the registry's name makes no URL ({error})"))
}

async fn find_credential(
    reference: &RegistryReference,
    options: &AccessOptions,
) -> Result<Option<auth::Found>, StoreError> {
    let (reference, authfile) = (reference.clone(), options.authfile.clone());
    let search = move || {
        let environment = auth::Environment::of_process();
        auth::find(reference.registry(), reference.repository(), authfile.as_deref(), &environment)
    };
    match tokio::task::spawn_blocking(search).await {
        Ok(found) => Ok(found?),
        Err(error) => Err(StoreError::Setup(error.to_string())),
    }
}
