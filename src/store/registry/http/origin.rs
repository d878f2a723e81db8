//! Which hosts may be contacted. A registry names others: where to get tokens, where blobs are,
//! where to upload to. What it names is foreign text, and must lead neither into the network of
//! whoever runs this, nor from HTTPS to plain HTTP (CVE-2026-48978 and similar ones).

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use reqwest::{
    Url,
    dns::{Addrs, Name, Resolve, Resolving},
};

/// Behind a proxy there may be no name server that answers.
const LOOKUP: Duration = Duration::from_secs(5);

/// From where an address can be reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reach {
    /// From everywhere.
    Public,
    /// From an organization's network (RFC 1918, RFC 4193, RFC 6598).
    Private,
    /// From this machine.
    Loopback,
    /// From the local link, where clouds have their metadata services; or from nowhere.
    Link,
}

impl Reach {
    pub(super) fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => Self::of_v4(address),
            IpAddr::V6(address) => match embedded(address) {
                Some(embedded) => Self::of_v4(embedded),
                None => Self::of_v6(address),
            },
        }
    }

    fn of_v4(address: Ipv4Addr) -> Self {
        let [first, second, ..] = address.octets();
        if address.is_loopback() || first == 0 {
            Self::Loopback
        } else if address.is_link_local() || first >= 224 {
            Self::Link
        } else if address.is_private() || (first == 100 && second & 0xc0 == 64) {
            Self::Private
        } else {
            Self::Public
        }
    }

    fn of_v6(address: Ipv6Addr) -> Self {
        if address.is_loopback() || address.is_unspecified() {
            Self::Loopback
        } else if address.is_unicast_link_local() || address.is_multicast() {
            Self::Link
        } else if address.is_unique_local() {
            Self::Private
        } else {
            Self::Public
        }
    }

    /// The reach of the host in `url`: that of its address, or of the first that its name has.
    /// What has no address here is behind a proxy, if anywhere.
    pub(super) async fn of_host(url: &Url) -> Self {
        let address = match literal(url) {
            Some(address) => Some(address),
            None => match url.host_str() {
                Some(name) => tokio::time::timeout(LOOKUP, tokio::net::lookup_host((name, 0)))
                    .await
                    .ok()
                    .and_then(|addresses| addresses.ok()?.next())
                    .map(|address| address.ip()),
                None => None,
            },
        };
        address.map_or(Self::Public, Self::of)
    }

    /// Whether a registry of this reach may send us to an address of `other` reach. From this
    /// machine that is the neighborhood too: a mirror on it fetches from there.
    fn may_name(self, other: Self) -> bool {
        other == Self::Public || other == self || (self == Self::Loopback && other == Self::Private)
    }
}

/// The IPv4 address in an IPv6 address of 6to4 (RFC 3056) or NAT64 (RFC 6052).
fn embedded(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let ([0x2002, high, low, ..] | [0x64, 0xff9b, 0, 0, 0, 0, high, low]) = address.segments()
    else {
        return None;
    };
    Some(Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low)))
}

fn literal(url: &Url) -> Option<IpAddr> {
    let host = url.host_str()?;
    host.trim_start_matches('[').trim_end_matches(']').parse().ok()
}

/// Decides which of the hosts that a registry names may be contacted.
#[derive(Clone, Debug)]
pub(super) struct Guard {
    /// Scheme, host and port of the registry itself. Credentials go nowhere else, except to its
    /// token server.
    home: Url,
    reach: Reach,
}

impl Guard {
    pub(super) async fn of(home: Url) -> Self {
        let reach = Reach::of_host(&home).await;
        Self { home, reach }
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
    /// [`Guarded`].
    pub(super) fn check(&self, url: &Url) -> Result<(), &'static str> {
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
        match literal(url) {
            Some(address) if !self.may_name(address) => Err(FORBIDDEN),
            _ => Ok(()),
        }
    }

    fn may_name(&self, address: IpAddr) -> bool {
        self.reach.may_name(Reach::of(address))
    }
}

const FORBIDDEN: &str = "an address that is neither public nor in the registry's own network";

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

    #[test]
    fn reaches() {
        use Reach::{Link, Loopback, Private, Public};
        for (address, expected) in [
            ("8.8.8.8", Public),
            ("100.63.0.1", Public),
            ("100.64.0.1", Private),
            ("10.1.2.3", Private),
            ("172.31.0.1", Private),
            ("172.32.0.1", Public),
            ("192.168.0.1", Private),
            ("127.9.9.9", Loopback),
            ("0.0.0.0", Loopback),
            ("169.254.169.254", Link),
            ("224.0.0.1", Link),
            ("255.255.255.255", Link),
            ("2606:4700::1", Public),
            ("::1", Loopback),
            ("::", Loopback),
            ("::ffff:127.0.0.1", Loopback),
            ("::ffff:10.0.0.1", Private),
            ("64:ff9b::a9fe:a9fe", Link),
            ("2002:7f00:1::", Loopback),
            ("fd00:ec2::254", Private),
            ("fe80::1", Link),
            ("ff02::1", Link),
        ] {
            assert_eq!(Reach::of(address.parse().unwrap()), expected, "{address}");
        }
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
            let outcome = guard(home).await.check(&target.parse().unwrap());
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
