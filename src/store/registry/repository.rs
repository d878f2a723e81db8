//! One repository of a registry: what can be read from it and written to it.

mod blobs;
mod download;
mod lag;
mod manifests;
pub(super) mod ranges;
mod referrers;
mod sources;
pub(super) mod upload;

use std::{fmt, sync::atomic::AtomicBool};

use oci_client::{Reference, secrets::RegistryAuth};
use reqwest::{Method, Response, StatusCode, Url};

use super::{
    http::{Again, Call, Http, RequestFailure},
    login::{Challenge, Login},
};
use crate::{
    image::{ImageReference, RegistryReference},
    store::{
        access::{AccessOptions, Intent},
        error::{StoreError, Tried},
    },
};

/// A repository, with clients and tokens of its own: credentials may be scoped to a path, so what
/// was found for one repository is never used for another.
pub struct Repository {
    /// What it was opened for, by the name that is contacted.
    reference: RegistryReference,
    http: Http,
    login: Login,
    /// `https://HOST/v2/REPOSITORY/`.
    base: Url,
    /// Whether it is a mirror only for what is asked for by digest.
    is_for_digests: bool,
    /// Whether an upload in chunks has come to nothing although each was accepted.
    loses_chunks: AtomicBool,
}

impl fmt::Debug for Repository {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Repository")
            .field("base", &self.base.as_str())
            .field("intent", &self.login.intent)
            .finish_non_exhaustive()
    }
}

impl Repository {
    /// Looks up credentials, finds out how to talk to the registry, and gets a token.
    async fn contact(
        reference: &RegistryReference,
        intent: Intent,
        options: &AccessOptions,
    ) -> Result<Self, StoreError> {
        let (registry, repository) = (reference.registry(), reference.repository());
        let login = Login::find(reference, intent, options).await?;
        // The tag is never used: oci-client wants one in its reference.
        let image =
            Reference::with_tag(registry.to_owned(), repository.to_owned(), "latest".to_owned());
        let (http, root) = Http::connect(registry, image.resolve_registry(), options).await?;
        let base = root.join(&format!("{repository}/")).map_err(StoreError::no_url)?;
        let reference = reference.clone();
        let (is_for_digests, loses_chunks) = (false, AtomicBool::default());
        let opened = Self { reference, http, login, base, is_for_digests, loses_chunks };
        opened.log_in(root).await?;
        Ok(opened)
    }

    /// Asks the registry how it wants clients to authenticate, and gets a token.
    async fn log_in(&self, root: Url) -> Result<(), StoreError> {
        // There is no challenge yet, so this goes out without authorization.
        let call = Call::new(Method::GET, root, "connection");
        let mut retries = self.http.retries(&call.action);
        let ping = loop {
            let answer = self.http.send(&call, &RegistryAuth::Anonymous).await;
            match self.judge(&call, answer).await {
                Ok(response) => break response,
                Err(failure) => retries.pause(failure).await?,
            }
        };
        // Who we are is nobody's business but the registry's own.
        let is_asked = ping.status() == StatusCode::UNAUTHORIZED && self.http.is_home(ping.url());
        let challenge = if is_asked { Challenge::of(ping.headers()) } else { None };
        self.login.begin(&self.http, challenge).await
    }

    pub(crate) fn reference(&self) -> &RegistryReference {
        &self.reference
    }

    pub(crate) fn is_for_digests(&self) -> bool {
        self.is_for_digests
    }

    /// The repository's name for messages.
    pub(crate) fn place(&self) -> String {
        format!("{}/{}", self.http.registry, self.login.repository)
    }

    /// The repository of an image, if it is another one of this registry.
    pub(crate) fn neighbor<'a>(&self, image: &'a ImageReference) -> Option<&'a str> {
        match image {
            ImageReference::Registry(image)
                if image.registry() == self.http.registry
                    && image.repository() != self.login.repository =>
            {
                Some(image.repository())
            }
            _ => None,
        }
    }

    /// The URL of something in the repository: `blobs/sha256:…`.
    fn url(&self, path: &str) -> Result<Url, StoreError> {
        // Not joined: a digest's colon would make its algorithm a scheme.
        format!("{}{path}", self.base).parse().map_err(StoreError::no_url)
    }

    /// Sends a request until it succeeds, or fails in a way that another try would not change.
    async fn send(&self, call: &Call) -> Result<Response, StoreError> {
        let mut retries = self.http.retries(&call.action);
        loop {
            let answer = self.attempt(call).await;
            match self.judge(call, answer).await {
                Ok(response) => return Ok(response),
                Err(failure) => retries.pause(failure).await?,
            }
        }
    }

    /// One try, with authorization; whatever the status is, there is a response. A token is renewed
    /// after a 401, because tokens expire in the middle of a job.
    async fn attempt(&self, call: &Call) -> Result<Response, RequestFailure> {
        let also = call.also_pulls.as_deref();
        let grant = self.login.grant(&self.http, also).await.map_err(RequestFailure::fatal)?;
        let response = self.http.send(call, &grant.auth).await?;
        if response.status() != StatusCode::UNAUTHORIZED || !self.http.is_home(response.url()) {
            return Ok(response);
        }
        let challenge = Challenge::of(response.headers());
        let renewed = self.login.renew(&self.http, &grant, challenge, also).await;
        let renewed = renewed.map_err(RequestFailure::fatal)?;
        let is_token = matches!(renewed.auth, RegistryAuth::Bearer(_));
        if !is_token && renewed.auth == grant.auth {
            return Ok(response);
        }
        drop(response);
        self.http.send(call, &renewed.auth).await
    }

    /// Makes a response that is no success a failure.
    async fn judge(
        &self,
        call: &Call,
        answer: Result<Response, RequestFailure>,
    ) -> Result<Response, RequestFailure> {
        let response = answer?;
        let (status, again) = (response.status(), Again::of(&response));
        if again == Again::No && call.accepts(status) {
            return Ok(response);
        }
        let error = self.refuse(call, response).await;
        Err(RequestFailure { error, again, status: Some(status.as_u16()) })
    }

    async fn refuse(&self, call: &Call, response: Response) -> StoreError {
        let (status, registry) = (response.status().as_u16(), self.http.host_of(response.url()));
        let is_home = self.http.is_home(response.url());
        let message = self.http.message(response).await;
        match status {
            404 => {
                let (what, place) = (call.target.clone(), self.place());
                StoreError::NotFound { what, place, is_local: false }
            }
            401 | 403 if is_home => self.login.refused(&self.http, status, message),
            // Where a registry redirects to, our credentials are unknown on purpose.
            _ => StoreError::UnexpectedStatus {
                registry,
                action: call.action.to_string(),
                status,
                message,
                tried: Tried::default(),
            },
        }
    }
}
