//! The proxies of the environment. The HTTP library uses them by itself; this says which of them a
//! request goes through, and from which variable.

use hyper_util::client::proxy::matcher::{Intercept, Matcher};
use reqwest::Url;

use crate::store::error::StoreError;

const ALL: [&str; 2] = ["ALL_PROXY", "all_proxy"];

/// A proxy that a request goes through.
pub(super) struct Proxy {
    variable: &'static str,
    intercept: Intercept,
}

impl Proxy {
    /// That of `url`, for clients that use proxies.
    pub(super) fn of(url: &Url) -> Option<Self> {
        let intercept = Matcher::from_env().intercept(&url.as_str().parse().ok()?)?;
        let (variable, _) = variable(url.scheme())?;
        Some(Self { variable, intercept })
    }

    /// `http://proxy.example:3128 (HTTPS_PROXY)`, without a password.
    pub(super) fn name(&self) -> String {
        let address = self.intercept.uri().to_string();
        format!("{} ({})", address.trim_end_matches('/'), self.variable)
    }

    pub(super) fn has_credentials(&self) -> bool {
        self.intercept.basic_auth().is_some()
    }
}

/// Reports a proxy for URLs of `scheme` that the HTTP library would ignore.
pub(super) fn check(scheme: &str) -> Result<(), StoreError> {
    let Some((variable, value)) = variable(scheme) else { return Ok(()) };
    let reason = match parse(&value) {
        None => "the value is not a valid URL".to_owned(),
        Some(proxy) => match proxy.uri().scheme_str() {
            Some("http" | "https") if has_valid_port(&proxy) => return Ok(()),
            Some("http" | "https") => "invalid port".to_owned(),
            scheme => format!("unsupported scheme {}", scheme.unwrap_or_default()),
        },
    };
    Err(StoreError::Proxy { variable, reason })
}

/// The parser of URLs reads a port that no host can have as none.
fn has_valid_port(proxy: &Intercept) -> bool {
    let Some(authority) = proxy.uri().authority() else { return false };
    let place = authority.as_str().rsplit('@').next().unwrap_or_default();
    place == authority.host() || authority.port_u16().is_some()
}

/// The hosts of all proxies, which the user named and no registry did.
pub(super) fn hosts() -> Vec<String> {
    ["https", "http"]
        .into_iter()
        .filter_map(|scheme| parse(&variable(scheme)?.1)?.uri().host().map(str::to_owned))
        .collect()
}

/// Reads a value as the HTTP library does.
fn parse(value: &str) -> Option<Intercept> {
    Matcher::builder().all(value).build().intercept(&"https://any.invalid/".parse().ok()?)
}

/// The variable that counts for URLs of `scheme`, and its value: as for the HTTP library, the first
/// one that is set, even if it is empty, and in that case that for all schemes.
fn variable(scheme: &str) -> Option<(&'static str, String)> {
    let own = match scheme {
        "https" => ["HTTPS_PROXY", "https_proxy"],
        _ => ["HTTP_PROXY", "http_proxy"],
    };
    let set = |names: [&'static str; 2]| {
        names.into_iter().find_map(|name| Some((name, std::env::var(name).ok()?)))
    };
    [own, ALL].into_iter().filter_map(set).find(|(_, value)| !value.is_empty())
}
