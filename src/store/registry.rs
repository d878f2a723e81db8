//! One repository of a registry: the only place that knows HTTP.
//!
//! [`oci_client`] exchanges credentials for tokens and uploads blobs. The other requests are made
//! here with the same HTTP library, because oci-client 0.18 reads answers of any length into
//! memory, hides status codes and headers, hashes downloads on the async threads, and panics when
//! a manifest that is pushed by digest is answered without a `Location`.

mod auth;
mod client;
mod download;
mod error;
mod upload;

use std::sync::Arc;

use oci_client::{Reference, RegistryOperation, secrets::RegistryAuth};
use reqwest::{RequestBuilder, Response, StatusCode};
use tokio::sync::Mutex;

pub use auth::AuthError;

use super::{AccessOptions, CredentialOrigin, Intent, StoreError};
use crate::image::RegistryReference;

/// A repository, with a client of its own: credentials may be scoped to a path, so what was found
/// for one repository is never used for another.
pub struct Registry {
    /// Host and perhaps port, as the user wrote it.
    host: String,
    repository: String,
    /// Both, for messages.
    place: String,
    /// `https://HOST/v2/REPOSITORY`.
    base: String,
    intent: Intent,
    credential: RegistryAuth,
    origin: Option<CredentialOrigin>,
    http: reqwest::Client,
    oci: oci_client::Client,
    /// The repository as oci-client names it.
    image: Reference,
    authorization: Mutex<Arc<Authorization>>,
}

/// What requests of our own carry.
#[derive(PartialEq, Eq)]
enum Authorization {
    /// Before the first exchange.
    Unknown,
    Anonymous,
    Basic(String, String),
    Bearer(String),
}

impl std::fmt::Debug for Registry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Registry")
            .field("base", &self.base)
            .field("intent", &self.intent)
            .field("origin", &self.origin)
            .finish_non_exhaustive()
    }
}

impl Registry {
    /// Looks up credentials, finds out how to talk to the registry, and gets a token.
    pub(super) async fn open(
        reference: &RegistryReference,
        intent: Intent,
        options: &AccessOptions,
    ) -> Result<Self, StoreError> {
        let (registry, repository) = (reference.registry(), reference.repository());
        let found = find_credential(reference, options).await?;
        let (credential, origin) = match found {
            Some(found) => (found.auth, Some(found.origin)),
            None => (RegistryAuth::Anonymous, None),
        };
        // The tag is never used: oci-client wants one in its reference.
        let image =
            Reference::with_tag(registry.to_owned(), repository.to_owned(), "latest".to_owned());
        let host = image.resolve_registry();
        let authorities = client::certificate_authorities(options).await?;
        let http = client::http(options, &authorities)?;
        let scheme = client::scheme(&http, registry, host, options).await?;
        let oci = client::oci(options, &authorities, scheme)?;
        let opened = Self {
            host: registry.to_owned(),
            repository: repository.to_owned(),
            place: reference.name(),
            base: format!("{scheme}://{host}/v2/{repository}"),
            intent,
            credential,
            origin,
            http,
            oci,
            image,
            authorization: Mutex::new(Arc::new(Authorization::Unknown)),
        };
        opened.renew(&opened.authorization().await).await?;
        Ok(opened)
    }

    /// The repository's name for messages.
    pub(super) fn place(&self) -> &str {
        &self.place
    }

    async fn authorization(&self) -> Arc<Authorization> {
        Arc::clone(&*self.authorization.lock().await)
    }

    /// Exchanges the credential again, unless somebody else has done so since `stale` was current.
    async fn renew(&self, stale: &Arc<Authorization>) -> Result<Arc<Authorization>, StoreError> {
        let mut current = self.authorization.lock().await;
        if !Arc::ptr_eq(&current, stale) {
            return Ok(Arc::clone(&current));
        }
        let operation = match self.intent {
            Intent::Pull => RegistryOperation::Pull,
            Intent::Push => RegistryOperation::Push,
        };
        // Asked for explicitly: within its requests oci-client drops the reason of a failure.
        let token = self.oci.auth(&self.image, &self.credential, operation).await;
        let renewed = match token.map_err(|error| self.oci_error(error, "the login"))? {
            Some(token) => Authorization::Bearer(token),
            None => match &self.credential {
                RegistryAuth::Basic(user, password) => {
                    Authorization::Basic(user.clone(), password.clone())
                }
                _ => Authorization::Anonymous,
            },
        };
        *current = Arc::new(renewed);
        Ok(Arc::clone(&current))
    }

    /// Sends a request of our own. After a 401 the credential is exchanged once more and the
    /// request repeated: tokens expire in the middle of a job. Other statuses are the caller's.
    async fn send(&self, request: impl Fn() -> RequestBuilder) -> Result<Response, StoreError> {
        let authorization = self.authorization().await;
        let response = self.send_as(request(), &authorization).await?;
        if response.status() != StatusCode::UNAUTHORIZED {
            return Ok(response);
        }
        drop(response);
        let authorization = self.renew(&authorization).await?;
        self.send_as(request(), &authorization).await
    }

    async fn send_as(
        &self,
        request: RequestBuilder,
        authorization: &Authorization,
    ) -> Result<Response, StoreError> {
        let request = match authorization {
            Authorization::Unknown | Authorization::Anonymous => request,
            Authorization::Basic(user, password) => request.basic_auth(user, Some(password)),
            Authorization::Bearer(token) => request.bearer_auth(token),
        };
        request.send().await.map_err(|error| error::unreachable(&self.host, &error))
    }
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
