//! From where a host can be reached.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    time::Duration,
};

use reqwest::Url;

/// Behind a proxy there may be no name server that answers.
const LOOKUP: Duration = Duration::from_secs(5);

/// From where an address can be reached, the most private last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
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
        match address {
            IpAddr::V4(address) => Self::of_v4(address),
            IpAddr::V6(address) => Self::of_v6(address),
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
        let v4 = |high: u16, low: u16| {
            Self::of_v4(Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low)))
        };
        match address.segments() {
            _ if address.is_loopback() || address.is_unspecified() => Self::Loopback,
            _ if address.is_unicast_link_local() || address.is_multicast() => Self::Link,
            // IPv4-compatible and -mapped addresses (RFC 4291), and those of NAT64 (RFC 6052) and
            // 6to4 (RFC 3056).
            [0, 0, 0, 0, 0, 0 | 0xffff, high, low]
            | [0x64, 0xff9b, 0, 0, 0, 0, high, low]
            | [0x2002, high, low, ..] => v4(high, low),
            // IPv4-translated addresses (RFC 2765) and those of a network's own NAT64 (RFC 8215)
            // are routed only within it.
            [0, 0, 0, 0, 0xffff, 0, high, low] | [0x64, 0xff9b, 1, 0, 0, 0, high, low] => {
                Self::Private.max(v4(high, low))
            }
            // With a longer prefix, the IPv4 address may be elsewhere.
            [0x64, 0xff9b, 1, a, b, c, high, low] => {
                Self::Private.max(v4(high, low)).max(v4(a, b << 8 | c >> 8))
            }
            // Teredo inverts the address (RFC 4380).
            [0x2001, 0, .., high, low] => v4(!high, !low),
            // Site-local addresses (RFC 3879) are deprecated, and still routed in private.
            [first, ..] if address.is_unique_local() || first & 0xffc0 == 0xfec0 => Self::Private,
            _ => Self::Public,
        }
    }

    /// What a name says by itself, if nothing here can resolve it (RFC 6761, RFC 6762, RFC 8375,
    /// and `.internal`, which ICANN has reserved). Names without a dot are of the local network.
    fn of_name(name: &str) -> Self {
        const METADATA: [&str; 4] = [
            "metadata",
            "metadata.google.internal",
            "metadata.azure.internal",
            "instance-data.ec2.internal",
        ];
        let name = name.trim_end_matches('.').to_ascii_lowercase();
        let ends = |domain: &str| {
            name.strip_suffix(domain).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
        };
        if ends("localhost") {
            Self::Loopback
        } else if METADATA.contains(&name.as_str()) {
            Self::Link
        } else if !name.contains('.') || ["internal", "local", "home.arpa"].into_iter().any(ends) {
            Self::Private
        } else {
            Self::Public
        }
    }

    /// The reach of the host in `url`: that of its address, or of the first that its name has.
    pub(super) async fn of_host(url: &Url) -> Self {
        match literal(url) {
            Some(address) => Self::of(address),
            None => match lookup(url).await.first() {
                Some(&address) => Self::of(address),
                None => Self::of_name(url.host_str().unwrap_or_default()),
            },
        }
    }

    /// What a proxy could reach by the name in `url`, as far as it can be known here: the most
    /// private of its addresses.
    pub(super) async fn behind_proxy(url: &Url) -> Self {
        let addresses = lookup(url).await.into_iter().map(Self::of);
        let by_name = Self::of_name(url.host_str().unwrap_or_default());
        addresses.max().unwrap_or(by_name)
    }

    /// Whether a registry of this reach may send us to an address of `other` reach. From this
    /// machine that is the neighborhood too: a mirror on it fetches from there.
    pub(super) fn may_name(self, other: Self) -> bool {
        other == Self::Public || other == self || (self == Self::Loopback && other == Self::Private)
    }
}

/// The addresses of the name in `url`, if there is a name server that knows some.
async fn lookup(url: &Url) -> Vec<IpAddr> {
    let Some(name) = url.host_str() else { return Vec::new() };
    let found = tokio::time::timeout(LOOKUP, tokio::net::lookup_host((name, 0))).await;
    found.ok().and_then(Result::ok).into_iter().flatten().map(|address| address.ip()).collect()
}

pub(super) fn literal(url: &Url) -> Option<IpAddr> {
    let host = url.host_str()?;
    host.trim_start_matches('[').trim_end_matches(']').parse().ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::*;
    use Reach::{Link, Loopback, Private, Public};

    #[test]
    fn addresses() {
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
            ("::ffff:8.8.8.8", Public),
            ("::127.0.0.1", Loopback),
            ("::10.0.0.1", Private),
            ("::ffff:0:169.254.169.254", Link),
            ("::ffff:0:8.8.8.8", Private),
            ("64:ff9b::a9fe:a9fe", Link),
            ("64:ff9b::8.8.8.8", Public),
            ("64:ff9b:1::8.8.8.8", Private),
            ("64:ff9b:1::10.0.0.1", Private),
            ("64:ff9b:1:abcd::8.8.8.8", Private),
            ("64:ff9b:1:abcd::169.254.169.254", Link),
            ("64:ff9b:1:a9fe:a9:fe00::", Link),
            ("2002:7f00:1::", Loopback),
            ("2002:808:808::", Public),
            // The client's address is that of 127.0.0.1, inverted.
            ("2001:0:808:808::80ff:fffe", Loopback),
            ("fd00:ec2::254", Private),
            ("fec0::1", Private),
            ("feff::1", Private),
            ("fe80::1", Link),
            ("ff02::1", Link),
        ] {
            assert_eq!(Reach::of(address.parse().unwrap()), expected, "{address}");
        }
    }

    #[test]
    fn names() {
        for (name, expected) in [
            ("registry.example", Public),
            ("localhost", Loopback),
            ("LOCALHOST.", Loopback),
            ("a.localhost", Loopback),
            ("notlocalhost.example", Public),
            ("metadata.google.internal", Link),
            ("Metadata", Link),
            ("auth.corp.internal", Private),
            ("internal.example", Public),
            ("printer.local", Private),
            ("nas.home.arpa", Private),
            ("registry", Private),
        ] {
            assert_eq!(Reach::of_name(name), expected, "{name}");
        }
    }

    proptest! {
        /// Writing an IPv4 address as an IPv6 address opens nothing that is closed without that.
        #[test]
        fn an_embedded_address_is_at_least_as_private(bits: u32, subnet: u16) {
            let v4 = Ipv4Addr::from_bits(bits);
            let (high, low) = ((bits >> 16) as u16, (bits & 0xffff) as u16);
            for segments in [
                [0, 0, 0, 0, 0, 0, high, low],
                [0, 0, 0, 0, 0, 0xffff, high, low],
                [0, 0, 0, 0, 0xffff, 0, high, low],
                [0x64, 0xff9b, 0, 0, 0, 0, high, low],
                [0x64, 0xff9b, 1, 0, 0, 0, high, low],
                [0x64, 0xff9b, 1, subnet, 0, 0, high, low],
                [0x64, 0xff9b, 1, high, low >> 8, low << 8, 0, 0],
                [0x2002, high, low, subnet, 0, 0, 0, 1],
                [0x2001, 0, 0x808, 0x808, 0, subnet, !high, !low],
            ] {
                let address = IpAddr::V6(segments.into());
                prop_assert!(Reach::of(address) >= Reach::of(v4.into()), "{address} for {v4}");
            }
        }
    }
}
