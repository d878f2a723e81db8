//! The HTTP clients: trust, timeouts and proxies.

use std::time::Duration;

use reqwest::{ClientBuilder, redirect::Policy};

use super::{
    certificates::{self, Certificates, ClientCertificate},
    error,
    origin::{Guard, Guarded},
    proxy,
    scheme::is_loopback,
    trust::{self, Authorities},
};
use crate::store::{access::AccessOptions, error::StoreError};

/// A registry that does not accept a connection within this time counts as absent.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

const USER_AGENT: &str = concat!(env!("CARGO_PKG_NAME"), "/", env!("CARGO_PKG_VERSION"));

/// A client with what all have in common. It follows no redirects and has no time limit for a
/// whole request: both are handled where requests are sent.
fn builder(
    options: &AccessOptions,
    authorities: Authorities,
    identity: Option<&ClientCertificate>,
    uses_proxies: bool,
) -> Result<ClientBuilder, StoreError> {
    let builder = reqwest::Client::builder()
        .user_agent(USER_AGENT)
        .connect_timeout(CONNECT_TIMEOUT)
        .redirect(Policy::none());
    let builder = if uses_proxies {
        proxy::check("https")?;
        if !options.tls_verify {
            proxy::check("http")?;
        }
        builder
    } else {
        builder.no_proxy()
    };
    if !options.tls_verify {
        let builder = builder.tls_danger_accept_invalid_certs(true);
        return Ok(match identity {
            Some(own) => builder.identity(own.trusting.clone()),
            None => builder,
        });
    }
    certificates::check_variable()?;
    let tls = trust::config(authorities, identity.map(|own| &own.verifying));
    let tls = tls.map_err(|error| {
        certificates::of_variable().unwrap_or_else(|| StoreError::Setup(error.to_string()))
    });
    Ok(builder.tls_backend_preconfigured(tls?))
}

/// The client for the registry itself. Only this one has the certificates that are for it. With
/// `namer`, the registry may only be where that allows.
pub(super) fn home(
    options: &AccessOptions,
    certificates: &Certificates,
    host: &str,
    namer: Option<&Guard>,
) -> Result<reqwest::Client, StoreError> {
    let authorities = certificates.authorities.clone().and(&certificates.own_authorities);
    // A proxy would connect to its own machine.
    let uses_proxies = !is_loopback(host);
    let mut builder = builder(options, authorities, certificates.identity.as_ref(), uses_proxies)?;
    if let Some(namer) = namer {
        builder = builder.dns_resolver(guarded(namer));
    }
    builder.build().map_err(|error| setup(&error))
}

fn guarded(guard: &Guard) -> Guarded {
    Guarded { guard: guard.clone(), proxies: proxy::hosts().into() }
}

/// The client for hosts that the registry names.
pub(super) fn away(
    options: &AccessOptions,
    certificates: &Certificates,
    guard: &Guard,
) -> Result<reqwest::Client, StoreError> {
    builder(options, certificates.authorities.clone(), None, !guard.is_loopback())?
        .dns_resolver(guarded(guard))
        .build()
        .map_err(|error| setup(&error))
}

fn setup(error: &reqwest::Error) -> StoreError {
    StoreError::Setup(error::innermost(error))
}
