//! The exchange of a credential for a token.

use std::time::Duration;

use bytes::Bytes;
use oci_client::secrets::RegistryAuth;
use reqwest::{Method, Url, header::CONTENT_TYPE};
use serde_json::Value;
use tokio::time::Instant;

use super::credentials::Credential;
use crate::store::{registry::http::Call, secrets};

/// How long a token is good when its server does not say, in seconds (distribution, docs "Token
/// Authentication": `expires_in`).
const LIFETIME: u64 = 60;
/// No token is trusted for longer, in seconds.
const LIFETIME_MAX: u64 = 24 * 60 * 60;
/// A token is replaced up to this many seconds before it expires: clocks differ, and requests take
/// time.
const MARGIN_MAX: u64 = 60;

pub(super) const ACTION: &str = "login";
const CLIENT: &str = env!("CARGO_PKG_NAME");

/// What requests to the registry carry.
#[derive(Debug)]
pub(crate) struct Grant {
    pub(crate) auth: RegistryAuth,
    pub(super) expires: Option<Instant>,
}

impl Grant {
    pub(super) fn anonymous() -> Self {
        Self { auth: RegistryAuth::Anonymous, expires: None }
    }

    pub(super) fn basic(user: &str, password: &str) -> Self {
        let auth = RegistryAuth::Basic(user.to_owned(), password.to_owned());
        Self { auth, expires: None }
    }

    pub(super) fn is_valid(&self) -> bool {
        self.expires.is_none_or(|end| Instant::now() < end)
    }

    /// Reads the answer of a token server, or says what is wrong with it. `asked` is when the
    /// request was sent: the token's lifetime began no sooner.
    pub(super) fn from_answer(body: Option<&[u8]>, asked: Instant) -> Result<Self, &'static str> {
        let body = body.ok_or("the token server's response is larger than 1 MiB")?;
        let answer: Value =
            serde_json::from_slice(body).map_err(|_| "the token server's response is not JSON")?;
        let text = |name| answer.get(name)?.as_str().filter(|text| !text.is_empty());
        let token = text("token")
            .or_else(|| text("access_token"))
            .ok_or("the token server's response has no token")?;
        if !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err("the token has characters that are invalid in a header");
        }
        secrets::remember(token);
        let lifetime = answer.get("expires_in").and_then(Value::as_u64).unwrap_or_default();
        Ok(Self {
            auth: RegistryAuth::Bearer(token.to_owned()),
            expires: Some(asked + usable(lifetime)),
        })
    }
}

/// Asks the token server at `realm`. It is never redirected: it carries the credential.
pub(super) fn call(
    realm: Url,
    service: Option<&str>,
    scope: &str,
    credential: Option<&Credential>,
) -> Call {
    let mut url = realm;
    if let Some(Credential::IdentityToken(token)) = credential {
        // distribution, docs "OAuth2 Token Authentication"; one scope parameter, with spaces.
        let mut form = url::form_urlencoded::Serializer::new(String::new());
        form.append_pair("grant_type", "refresh_token");
        form.append_pair("service", service.unwrap_or_default());
        form.append_pair("client_id", CLIENT);
        form.append_pair("scope", scope);
        form.append_pair("refresh_token", token);
        return Call::new(Method::POST, url, ACTION)
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .bytes(Bytes::from(form.finish()))
            .without_redirects();
    }
    {
        let mut query = url.query_pairs_mut();
        for scope in scope.split(' ') {
            query.append_pair("scope", scope);
        }
        if let Some(service) = service {
            query.append_pair("service", service);
        }
    }
    let call = Call::new(Method::GET, url, ACTION).without_redirects();
    match credential {
        Some(Credential::Password { user, password }) => call.basic_auth(user, password),
        _ => call,
    }
}

/// How long to use a token that is good for `lifetime` seconds; 0 means that this is not known.
fn usable(lifetime: u64) -> Duration {
    let lifetime = if lifetime == 0 { LIFETIME } else { lifetime.min(LIFETIME_MAX) };
    // In milliseconds; a quarter of the lifetime for short ones.
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
