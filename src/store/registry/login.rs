//! Who we are to one repository: the credential, and the tokens it is exchanged for.

mod challenge;
mod credentials;
mod token;

use std::{collections::HashMap, path::PathBuf, sync::Arc};

use oci_client::secrets::RegistryAuth;
use reqwest::{Response, Url};
use tokio::{sync::Mutex, time::Instant};

use self::credentials::{Credential, Environment, FoundCredential};
pub(super) use self::{challenge::Challenge, token::Grant};
use super::http::{Again, Call, Http, RequestFailure};
use crate::{
    image::RegistryReference,
    store::{
        access::{AccessOptions, Intent},
        error::{Refusal, StoreError, Tried},
    },
};

/// The largest answer of a token server that is read, in bytes.
const ANSWER_MAX: u64 = 1 << 20;

pub(super) struct Login {
    pub(super) repository: String,
    pub(super) intent: Intent,
    credential: Option<FoundCredential>,
    authfile: Option<PathBuf>,
    // Locked during an exchange, so that all who wait for a token get the same.
    tokens: Mutex<Tokens>,
}

#[derive(Default)]
struct Tokens {
    /// What the registry asked for last; nothing if it is open to all.
    challenge: Option<Challenge>,
    /// By scope.
    grants: HashMap<String, Arc<Grant>>,
}

impl Login {
    /// Looks for the credential of a repository.
    pub(super) async fn find(
        reference: &RegistryReference,
        intent: Intent,
        options: &AccessOptions,
    ) -> Result<Self, StoreError> {
        let credential = match options.creds.as_ref().map(FoundCredential::given) {
            None => Self::search(reference, options).await?,
            given => given,
        };
        let (repository, authfile) = (reference.repository().to_owned(), options.authfile.clone());
        Ok(Self { repository, intent, credential, authfile, tokens: Mutex::default() })
    }

    async fn search(
        reference: &RegistryReference,
        options: &AccessOptions,
    ) -> Result<Option<FoundCredential>, StoreError> {
        let (wanted, authfile) = (reference.clone(), options.authfile.clone());
        let search = move || {
            let environment = Environment::of_process();
            let (registry, repository) = (wanted.registry(), wanted.repository());
            credentials::find(registry, repository, authfile.as_deref(), &environment)
        };
        let found = tokio::task::spawn_blocking(search).await;
        Ok(found.map_err(|error| StoreError::internal(&error))??)
    }

    /// Begins with what the registry asked for at the first contact.
    pub(super) async fn begin(
        &self,
        http: &Http,
        challenge: Option<Challenge>,
    ) -> Result<(), StoreError> {
        self.tokens.lock().await.challenge = challenge;
        self.grant(http, None).await.map(drop)
    }

    /// What to send a request with. With `also`, it is good for pulling from that repository too.
    pub(super) async fn grant(
        &self,
        http: &Http,
        also: Option<&str>,
    ) -> Result<Arc<Grant>, StoreError> {
        let scope = self.scope(also);
        let mut tokens = self.tokens.lock().await;
        match tokens.grants.get(&scope) {
            Some(grant) if grant.is_valid() => Ok(Arc::clone(grant)),
            _ => self.exchange(http, &mut tokens, scope).await,
        }
    }

    /// Replaces a grant that was refused, unless another task has done so already. `challenge` came
    /// with the refusal.
    pub(super) async fn renew(
        &self,
        http: &Http,
        refused: &Arc<Grant>,
        challenge: Option<Challenge>,
        also: Option<&str>,
    ) -> Result<Arc<Grant>, StoreError> {
        let scope = self.scope(also);
        let mut tokens = self.tokens.lock().await;
        if let Some(current) = tokens.grants.get(&scope)
            && !Arc::ptr_eq(current, refused)
        {
            return Ok(Arc::clone(current));
        }
        if challenge.is_some() {
            tokens.challenge = challenge;
        }
        self.exchange(http, &mut tokens, scope).await
    }

    fn scope(&self, also: Option<&str>) -> String {
        let actions = match self.intent {
            Intent::Pull => "pull",
            Intent::Push | Intent::PlanPush => "pull,push",
        };
        let own = format!("repository:{}:{actions}", self.repository);
        match also {
            Some(also) => format!("{own} repository:{also}:pull"),
            None => own,
        }
    }

    async fn exchange(
        &self,
        http: &Http,
        tokens: &mut Tokens,
        scope: String,
    ) -> Result<Arc<Grant>, StoreError> {
        let credential = self.credential.as_ref().map(|found| &found.credential);
        let grant = match (&tokens.challenge, credential) {
            (Some(Challenge::Bearer { realm, service }), credential) => {
                let realm: Url = realm
                    .parse()
                    .map_err(|_| http.protocol(token::ACTION, "it names no valid token server"))?;
                if credential.is_some() && !http.may_have_password(&realm) {
                    let host = realm.host_str().unwrap_or("nowhere");
                    let reason = format!(
                        "its token server {host} speaks plain HTTP; to send the password \
                         unencrypted, use --tls-verify=false"
                    );
                    return Err(http.protocol(token::ACTION, reason));
                }
                let call = token::call(realm, service.as_deref(), &scope, credential);
                self.ask_for_token(http, &call).await?
            }
            (Some(Challenge::Basic), Some(Credential::Password { user, password })) => {
                Grant::basic(user, password)
            }
            _ => Grant::anonymous(),
        };
        let grant = Arc::new(grant);
        tokens.grants.insert(scope, Arc::clone(&grant));
        Ok(grant)
    }

    async fn ask_for_token(&self, http: &Http, call: &Call) -> Result<Grant, StoreError> {
        let mut retries = http.retries(&call.action);
        loop {
            let asked = Instant::now();
            let failure = match http.send(call, &RegistryAuth::Anonymous).await {
                Ok(response) if response.status().is_success() => {
                    match http.read_bounded(response, ANSWER_MAX).await {
                        Ok(body) => {
                            return Grant::from_answer(body.as_deref(), asked)
                                .map_err(|reason| http.protocol(&call.action, reason));
                        }
                        Err(error) => RequestFailure::transient(error),
                    }
                }
                Ok(response) => self.refused_exchange(http, call, response).await,
                Err(failure) => failure,
            };
            retries.pause(failure).await?;
        }
    }

    async fn refused_exchange(
        &self,
        http: &Http,
        call: &Call,
        response: Response,
    ) -> RequestFailure {
        let (status, host) = (response.status().as_u16(), http.host_of(response.url()));
        let again = Again::of(&response);
        let message = http.message(response).await;
        let error = match (again, status) {
            // Token servers refuse with all sorts of statuses; it is always us that they refuse.
            (Again::No, 400..=499) => self.refused(http, 401, message),
            _ => StoreError::UnexpectedStatus {
                registry: host,
                action: call.action.to_string(),
                status,
                message,
                tried: Tried::default(),
            },
        };
        RequestFailure { error, again, status: Some(status) }
    }

    /// The error for a 401 or 403 of the registry itself.
    pub(super) fn refused(&self, http: &Http, status: u16, reason: String) -> StoreError {
        let refusal = Box::new(Refusal {
            status,
            registry: http.registry.clone(),
            repository: self.repository.clone(),
            intent: self.intent,
            credentials: self.credential.as_ref().map(|found| found.origin.clone()),
            authfile: self.authfile.clone(),
            reason,
        });
        if status == 401 { StoreError::Unauthorized(refusal) } else { StoreError::Denied(refusal) }
    }
}
