//! Which hosts may be contacted. A registry names others: where to get tokens, where blobs are,
//! where to upload to. What it names is foreign text, and must lead neither into the network of
//! whoever runs this, nor from HTTPS to plain HTTP (CVE-2026-48978 and similar ones).

mod reach;

use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex, PoisonError},
};

use reqwest::{
    Url,
    dns::{Addrs, Name, Resolve, Resolving},
};

use self::reach::{Reach, literal};
use super::proxy::Proxy;

/// Decides which of the hosts that a registry names may be contacted.
#[derive(Clone, Debug)]
pub(super) struct Guard {
    /// Scheme, host and port of the registry itself. Credentials go nowhere else, except to its
    /// token server.
    home: Url,
    reach: Reach,
    /// Of names that only a proxy resolves, because a lookup can take long where there is one.
    proxied: Arc<Mutex<HashMap<String, Reach>>>,
}

impl Guard {
    pub(super) async fn of(home: Url) -> Self {
        let reach = Reach::of_host(&home).await;
        Self { home, reach, proxied: Arc::default() }
    }

    /// For a registry at `home` that an image named: it may have an address that the registry `namer`
    /// of that image may refer to, or a public one.
    pub(super) async fn of_named(home: Url, namer: Option<&str>) -> Self {
        let namer = namer.and_then(|host| format!("https://{host}/").parse().ok());
        let reach = match namer {
            Some(namer) => Reach::of_host(&namer).await,
            None => Reach::Public,
        };
        Self { home, reach, proxied: Arc::default() }
    }

    /// Whether a registry may be the one that `guard` was made for.
    pub(super) fn may_be(&self, guard: &Self) -> bool {
        self.reach.may_name(guard.reach)
    }

    /// Whether the registry is on this machine.
    pub(super) fn is_loopback(&self) -> bool {
        self.reach == Reach::Loopback
    }

    /// Whether `url` is of the registry itself.
    pub(super) fn is_home(&self, url: &Url) -> bool {
        url.origin() == self.home.origin()
    }

    /// Says why a URL from the registry is not followed. Names are checked when they are resolved, by
    /// [`Guarded`], or here if a proxy will resolve them.
    pub(super) async fn check(&self, url: &Url) -> Result<(), &'static str> {
        match url.scheme() {
            "https" => {}
            "http" if self.home.scheme() == "http" => {}
            "http" => return Err("plain HTTP after HTTPS"),
            _ => return Err("not an HTTP URL"),
        }
        if url.host_str().is_none_or(str::is_empty)
            || !url.username().is_empty()
            || url.password().is_some()
        {
            return Err("a malformed URL, or one with a password");
        }
        let is_allowed = match literal(url) {
            Some(address) => self.may_name(address),
            None if self.is_loopback() || Proxy::of(url).is_none() => true,
            None => self.reach.may_name(self.behind_proxy(url).await),
        };
        if is_allowed { Ok(()) } else { Err(FORBIDDEN) }
    }

    async fn behind_proxy(&self, url: &Url) -> Reach {
        let known = || self.proxied.lock().unwrap_or_else(PoisonError::into_inner);
        let name = url.host_str().unwrap_or_default();
        if let Some(&reach) = known().get(name) {
            return reach;
        }
        let reach = Reach::behind_proxy(url).await;
        known().insert(name.to_owned(), reach);
        reach
    }

    fn may_name(&self, address: IpAddr) -> bool {
        self.reach.may_name(Reach::of(address))
    }
}

pub(super) const FORBIDDEN: &str =
    "an address that is neither public nor in the registry's own network";

/// A name has only addresses that the registry must not refer to.
#[derive(Debug, thiserror::Error)]
#[error("{FORBIDDEN}")]
pub(super) struct Forbidden;

/// Resolves names from a registry, and leaves out what [`Guard`] does not allow. The addresses that
/// are checked are those that are connected to, so a name cannot change in between.
pub(super) struct Guarded {
    pub(super) guard: Guard,
    /// Hosts of proxies, which the user named and the registry did not.
    pub(super) proxies: Arc<[String]>,
}

impl Resolve for Guarded {
    fn resolve(&self, name: Name) -> Resolving {
        let (guard, proxies) = (self.guard.clone(), Arc::clone(&self.proxies));
        Box::pin(async move {
            let name = name.as_str();
            let is_proxy = proxies.iter().any(|proxy| proxy.eq_ignore_ascii_case(name));
            let allowed = |address: &SocketAddr| is_proxy || guard.may_name(address.ip());
            let addresses: Vec<_> =
                tokio::net::lookup_host((name, 0)).await?.filter(allowed).collect();
            if addresses.is_empty() {
                return Err(Forbidden.into());
            }
            Ok(Box::new(addresses.into_iter()) as Addrs)
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    async fn guard(home: &str) -> Guard {
        Guard::of(home.parse().unwrap()).await
    }

    #[tokio::test]
    async fn urls_that_a_registry_may_name() {
        let public = "https://8.8.8.8/";
        for (home, target, allowed) in [
            (public, "https://cdn.example/x", true),
            (public, "https://8.8.4.4:8443/x", true),
            (public, "http://cdn.example/x", false),
            (public, "http://8.8.8.8/", false),
            (public, "ftp://cdn.example/x", false),
            (public, "https://user:secret@cdn.example/x", false),
            (public, "https://10.0.0.1/", false),
            (public, "https://127.0.0.1/", false),
            (public, "https://2130706433/", false),
            (public, "https://0x7f.1/", false),
            (public, "https://[::ffff:7f00:1]/", false),
            (public, "https://169.254.169.254/latest/meta-data", false),
            ("https://10.0.0.1/", "https://10.9.9.9/", true),
            ("https://10.0.0.1/", "https://127.0.0.1/", false),
            ("https://10.0.0.1/", "https://169.254.169.254/", false),
            ("http://127.0.0.1:5000/", "http://127.0.0.1:9000/", true),
            ("http://127.0.0.1:5000/", "http://192.168.0.1:9000/", true),
            ("http://127.0.0.1:5000/", "http://169.254.169.254/", false),
        ] {
            let outcome = guard(home).await.check(&target.parse().unwrap()).await;
            assert_eq!(outcome.is_ok(), allowed, "{home} to {target}: {outcome:?}");
        }
    }

    #[tokio::test]
    async fn home_is_scheme_host_and_port() {
        let guard = guard("https://registry.example/").await;
        for (url, is_home) in [
            ("https://registry.example/v2/", true),
            ("https://registry.example:443/token", true),
            ("https://REGISTRY.example/x", true),
            ("http://registry.example/v2/", false),
            ("https://registry.example:8443/v2/", false),
            ("https://registry.example.evil/v2/", false),
            ("https://sub.registry.example/v2/", false),
        ] {
            assert_eq!(guard.is_home(&url.parse().unwrap()), is_home, "{url}");
        }
    }

    #[tokio::test]
    async fn names_are_checked_by_what_they_resolve_to() {
        let resolve = |home: &'static str, proxies: Vec<String>| async move {
            let guarded = Guarded { guard: guard(home).await, proxies: proxies.into() };
            guarded.resolve("localhost".parse().unwrap()).await.map(Iterator::count)
        };
        let error = resolve("https://8.8.8.8/", vec![]).await.unwrap_err();
        assert!(error.is::<Forbidden>(), "{error:?}");
        assert!(resolve("https://8.8.8.8/", vec!["Localhost".into()]).await.unwrap() > 0);
        assert!(resolve("http://127.0.0.1:5000/", vec![]).await.unwrap() > 0);
    }
}
