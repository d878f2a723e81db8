//! Tokens: got by exchanging a credential, kept as long as they are good.

use std::{
    collections::HashMap,
    sync::{Arc, atomic::AtomicU64},
    time::Duration,
};

use oci_client::secrets::RegistryAuth;
use reqwest::{Method, Response, StatusCode, Url, header::CONTENT_TYPE};
use serde_json::Value;
use tokio::{sync::Mutex, time::Instant};

use super::{
    Repository,
    auth::Credential,
    challenge::Challenge,
    error,
    request::Call,
    retry::{self, Failure},
};
use crate::store::{Intent, StoreError, secrets};

/// The largest answer of a token server that is read, in bytes.
const ANSWER_MAX: u64 = 1 << 20;
/// How long a token is good when its server does not say (distribution, docs "Token
/// Authentication": `expires_in`).
const LIFETIME: u64 = 60;
/// No token is trusted for longer.
const LIFETIME_MAX: u64 = 24 * 60 * 60;
/// So long before its end a token is exchanged: the clocks differ, and requests take time.
const MARGIN_MAX: u64 = 60;

const ACTION: &str = "the login";
/// What comes before anybody has asked for one.
const PING: &str = "the first request";
const CLIENT: &str = env!("CARGO_PKG_NAME");

/// What requests to the registry carry.
#[derive(Debug)]
pub(super) struct Grant {
    pub(super) auth: RegistryAuth,
    expires: Option<Instant>,
}

impl Grant {
    fn anonymous() -> Self {
        Self { auth: RegistryAuth::Anonymous, expires: None }
    }
}

/// The tokens of one repository.
#[derive(Debug, Default)]
pub(super) struct Tokens {
    // Locked during an exchange, so that all who wait for a token get the same.
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// What the registry asked for last; nothing if it is open to all.
    challenge: Option<Challenge>,
    /// By scope.
    grants: HashMap<String, Arc<Grant>>,
}

impl Repository {
    /// Asks the registry how it wants to be spoken to, and gets a token.
    pub(super) async fn log_in(&self, root: Url) -> Result<(), StoreError> {
        // There is no challenge yet, so this goes out without authorization.
        let mut retries = self.retries(PING);
        let call = Call::new(Method::GET, root);
        let ping = loop {
            let failure = match self.follow(&call, &Grant::anonymous(), PING).await {
                Ok(response) if !retry::is_passing(response.status()) => break response,
                Ok(response) => self.failure(response, "answer", PING).await,
                Err(failure) => failure,
            };
            retries.pause(failure).await?;
        };
        // Who we are is nobody's business but the registry's own.
        if ping.status() == StatusCode::UNAUTHORIZED && self.guard.is_home(ping.url()) {
            self.tokens.state.lock().await.challenge = Challenge::of(ping.headers());
        }
        self.grant(None).await.map(drop)
    }

    /// What to send a request with. With `also`, it is good for pulling from that repository too.
    pub(super) async fn grant(&self, also: Option<&str>) -> Result<Arc<Grant>, StoreError> {
        let scope = self.scope(also);
        let mut state = self.tokens.state.lock().await;
        match state.grants.get(&scope) {
            Some(grant) if grant.expires.is_none_or(|end| Instant::now() < end) => {
                Ok(Arc::clone(grant))
            }
            _ => self.exchange(&mut state, scope).await,
        }
    }

    /// Replaces a grant that was refused, unless somebody else has done so since. `challenge` is
    /// what came with the refusal.
    pub(super) async fn renew(
        &self,
        refused: &Arc<Grant>,
        challenge: Option<Challenge>,
        also: Option<&str>,
    ) -> Result<Arc<Grant>, StoreError> {
        let scope = self.scope(also);
        let mut state = self.tokens.state.lock().await;
        if let Some(current) = state.grants.get(&scope)
            && !Arc::ptr_eq(current, refused)
        {
            return Ok(Arc::clone(current));
        }
        if challenge.is_some() {
            state.challenge = challenge;
        }
        self.exchange(&mut state, scope).await
    }

    fn scope(&self, also: Option<&str>) -> String {
        let actions = match self.intent {
            Intent::Pull => "pull",
            Intent::Push => "pull,push",
        };
        let own = format!("repository:{}:{actions}", self.path);
        match also {
            Some(also) => format!("{own} repository:{also}:pull"),
            None => own,
        }
    }

    async fn exchange(&self, state: &mut State, scope: String) -> Result<Arc<Grant>, StoreError> {
        let grant = match (&state.challenge, &self.credential) {
            (Some(Challenge::Bearer { realm, service }), _) => {
                self.ask_for_token(realm, service.as_deref(), &scope).await?
            }
            (Some(Challenge::Basic), Some(Credential::Password { user, password })) => {
                Grant { auth: RegistryAuth::Basic(user.clone(), password.clone()), expires: None }
            }
            _ => Grant::anonymous(),
        };
        let grant = Arc::new(grant);
        state.grants.insert(scope, Arc::clone(&grant));
        Ok(grant)
    }

    async fn ask_for_token(
        &self,
        realm: &str,
        service: Option<&str>,
        scope: &str,
    ) -> Result<Grant, StoreError> {
        let malformed = || self.protocol(ACTION, "it names no usable token server");
        let realm: Url = realm.parse().map_err(|_| malformed())?;
        let mut retries = self.retries(ACTION);
        loop {
            let asked = Instant::now();
            let failure = match self.ask(&realm, service, scope).await {
                Ok(response) if response.status() == StatusCode::OK => {
                    match self.read_bounded(response, ANSWER_MAX).await {
                        Ok(body) => return self.read_token(body.as_deref(), asked),
                        Err(error) => Failure::passing(error),
                    }
                }
                Ok(response) => self.refused_exchange(response).await,
                Err(failure) => failure,
            };
            retries.pause(failure).await?;
        }
    }

    /// One question. It is never redirected: it carries the credential.
    async fn ask(
        &self,
        realm: &Url,
        service: Option<&str>,
        scope: &str,
    ) -> Result<Response, Failure> {
        let client = self.client_for(realm, ACTION)?;
        let mut url = realm.clone();
        let request = if let Some(Credential::IdentityToken(token)) = &self.credential {
            // distribution, docs "OAuth2 Token Authentication"; one scope parameter, with spaces.
            let mut form = url::form_urlencoded::Serializer::new(String::new());
            form.append_pair("grant_type", "refresh_token");
            form.append_pair("service", service.unwrap_or_default());
            form.append_pair("client_id", CLIENT);
            form.append_pair("scope", scope);
            form.append_pair("refresh_token", token);
            client
                .request(Method::POST, url)
                .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
                .body(form.finish())
        } else {
            {
                let mut query = url.query_pairs_mut();
                for scope in scope.split(' ') {
                    query.append_pair("scope", scope);
                }
                if let Some(service) = service {
                    query.append_pair("service", service);
                }
            }
            let request = client.request(Method::GET, url);
            match &self.credential {
                Some(Credential::Password { user, password }) => {
                    request.basic_auth(user, Some(password))
                }
                _ => request,
            }
        };
        self.answer(request, realm, &AtomicU64::new(0), ACTION).await
    }

    async fn refused_exchange(&self, response: Response) -> Failure {
        let status = response.status();
        if retry::is_passing(status) {
            return self.failure(response, "answer", ACTION).await;
        }
        let message = error::message(&self.read_start(response).await);
        // Token servers refuse with all sorts of statuses; it is always us that they refuse.
        Failure::last(match status.as_u16() {
            400..=499 => self.status_error(401, message, ACTION),
            other => self.status_error(other, message, ACTION),
        })
    }

    /// Takes the answer apart. `asked` is when the question was sent: the time a token is good for
    /// began no sooner.
    fn read_token(&self, body: Option<&[u8]>, asked: Instant) -> Result<Grant, StoreError> {
        let unusable = |reason: &str| self.protocol(ACTION, format!("the token server's {reason}"));
        let body = body.ok_or_else(|| unusable("answer is larger than 1 MiB"))?;
        let answer: Value =
            serde_json::from_slice(body).map_err(|_| unusable("answer is no JSON"))?;
        let text = |name| answer.get(name)?.as_str().filter(|text| !text.is_empty());
        let token = text("token")
            .or_else(|| text("access_token"))
            .ok_or_else(|| unusable("answer has no token"))?;
        if !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(unusable("token has characters that no header can have"));
        }
        secrets::remember(token);
        let lifetime = answer.get("expires_in").and_then(Value::as_u64).unwrap_or_default();
        Ok(Grant {
            auth: RegistryAuth::Bearer(token.to_owned()),
            expires: Some(asked + usable(lifetime)),
        })
    }
}

/// For how long to use a token that is good for `lifetime` seconds; 0 means that this is not known.
fn usable(lifetime: u64) -> Duration {
    let lifetime = if lifetime == 0 { LIFETIME } else { lifetime.min(LIFETIME_MAX) };
    // A quarter of a second is the least that matters.
    let margin = (lifetime * 250).min(MARGIN_MAX * 1000);
    Duration::from_millis(lifetime * 1000 - margin)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_renewed_early() {
        for (lifetime, used) in [(0, 45), (60, 45), (300, 240), (3600, 3540), (u64::MAX, 86340)] {
            assert_eq!(usable(lifetime), Duration::from_secs(used), "{lifetime}");
        }
        assert_eq!(usable(1), Duration::from_millis(750));
    }
}
