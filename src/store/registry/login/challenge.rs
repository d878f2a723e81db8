//! What a registry asks for in `WWW-Authenticate` (RFC 9110, section 11.6.1).

use reqwest::header::{HeaderMap, WWW_AUTHENTICATE};

/// How a registry wants clients to authenticate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Challenge {
    /// User name and password with each request.
    Basic,
    /// A token from elsewhere (distribution, docs "Token Authentication").
    Bearer {
        /// The URL that gives tokens; foreign text.
        realm: String,
        /// The name of the registry to its token server.
        service: Option<String>,
    },
}

impl Challenge {
    /// The one to answer: Bearer if there is one that can be answered, otherwise Basic. Other
    /// schemes, such as Negotiate, are ignored. Names may have characters outside of ASCII.
    pub(crate) fn of(headers: &HeaderMap) -> Option<Self> {
        let values = headers.get_all(WWW_AUTHENTICATE).into_iter();
        let all: Vec<_> = values
            .flat_map(|value| challenges(&String::from_utf8_lossy(value.as_bytes())))
            .collect();
        let bearer = all.iter().find_map(|(scheme, parameters)| {
            let parameter = |name: &str| {
                let found = parameters.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
                found.map(|(_, value)| value.clone())
            };
            let is_bearer = scheme.eq_ignore_ascii_case("bearer");
            let realm = parameter("realm").filter(|_| is_bearer)?;
            Some(Self::Bearer { realm, service: parameter("service") })
        });
        let has_basic = || all.iter().any(|(scheme, _)| scheme.eq_ignore_ascii_case("basic"));
        bearer.or_else(|| has_basic().then_some(Self::Basic))
    }
}

type Parameters = Vec<(String, String)>;

/// The schemes in a header and their parameters. Anything unreadable ends the list.
fn challenges(header: &str) -> Vec<(String, Parameters)> {
    let mut found: Vec<(String, Parameters)> = Vec::new();
    let mut rest = header;
    loop {
        rest = rest.trim_start_matches([' ', '\t', ',']);
        let end = rest.find([' ', '\t', ',', '=']).unwrap_or(rest.len());
        let (word, after) = rest.split_at(end);
        if word.is_empty() {
            return found;
        }
        match (after.trim_start_matches([' ', '\t']).strip_prefix('='), found.last_mut()) {
            (Some(after), Some((_, parameters))) => {
                let (value, after) = value(after.trim_start_matches([' ', '\t']));
                parameters.push((word.to_owned(), value));
                rest = after;
            }
            (Some(_), None) => return found,
            (None, _) => {
                found.push((word.to_owned(), Vec::new()));
                rest = after;
            }
        }
    }
}

/// A token or a quoted string at the beginning of `text`, and what is after it.
fn value(text: &str) -> (String, &str) {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find([' ', '\t', ',']).unwrap_or(text.len());
        let (value, rest) = text.split_at(end);
        return (value.to_owned(), rest);
    };
    let mut value = String::new();
    let mut characters = quoted.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return (value, quoted.get(at + 1..).unwrap_or_default()),
            '\\' => value.extend(characters.next().map(|(_, escaped)| escaped)),
            other => value.push(other),
        }
    }
    (value, "")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;
    use reqwest::header::HeaderValue;

    use super::*;

    fn of(headers: &[&str]) -> Option<Challenge> {
        let mut map = HeaderMap::new();
        for header in headers {
            map.append(WWW_AUTHENTICATE, HeaderValue::from_bytes(header.as_bytes()).unwrap());
        }
        Challenge::of(&map)
    }

    fn bearer(realm: &str, service: &str) -> Challenge {
        let service = Some(service.to_owned()).filter(|service| !service.is_empty());
        Challenge::Bearer { realm: realm.to_owned(), service }
    }

    #[test]
    fn challenges_of_real_registries() {
        for (header, expected) in [
            (
                r#"Bearer realm="https://quay.io/v2/auth",service="quay.io""#,
                bearer("https://quay.io/v2/auth", "quay.io"),
            ),
            (
                r#"Bearer realm="https://ghcr.io/token",service="ghcr.io",scope="repository:user/image:pull""#,
                bearer("https://ghcr.io/token", "ghcr.io"),
            ),
            (
                r#"Bearer realm="https://auth.docker.io/token",service="registry.docker.io""#,
                bearer("https://auth.docker.io/token", "registry.docker.io"),
            ),
            (
                r#"Bearer realm="https://registry.redhat.io/auth/realms/rhcc/protocol/redhat-docker-v2/auth",service="docker-registry""#,
                bearer(
                    "https://registry.redhat.io/auth/realms/rhcc/protocol/redhat-docker-v2/auth",
                    "docker-registry",
                ),
            ),
            (
                r#"Bearer realm="https://europe-docker.pkg.dev/v2/token",service="europe-docker.pkg.dev""#,
                bearer("https://europe-docker.pkg.dev/v2/token", "europe-docker.pkg.dev"),
            ),
            (
                r#"Basic realm="https://1.dkr.ecr.eu-west-1.amazonaws.com/",service="ecr.amazonaws.com""#,
                Challenge::Basic,
            ),
            ("Basic realm=\"Sonatype Nexus\"", Challenge::Basic),
            ("Basic", Challenge::Basic),
        ] {
            assert_eq!(of(&[header]), Some(expected), "{header}");
        }
    }

    #[test]
    fn several_odd_and_unknown_ones() {
        let token = || Some(bearer("https://a/t", "s, t"));
        let quoted = r#"Bearer service="s, t",  REALM = "https://a/t""#;
        assert_eq!(of(&["Basic realm=x", quoted]), token());
        assert_eq!(of(&[&format!("Negotiate, {quoted}, Basic realm=\"x\"")]), token());
        assert_eq!(of(&[r#"bearer realm="https:\/\/a/t""#]), Some(bearer("https://a/t", "")));
        assert_eq!(of(&["Bearer realm=https://a/t?x=1"]), Some(bearer("https://a/t?x=1", "")));
        assert_eq!(
            of(&["Bearer realm=\"https://a/ü\",service=\"Größe\""]),
            Some(bearer("https://a/ü", "Größe"))
        );
        let mut latin = HeaderMap::new();
        let bytes = b"Bearer realm=\"https://a/t\",service=\"Gr\xf6\xdfe\"";
        latin.append(WWW_AUTHENTICATE, HeaderValue::from_bytes(bytes).unwrap());
        let service = "Gr\u{fffd}\u{fffd}e";
        assert_eq!(Challenge::of(&latin), Some(bearer("https://a/t", service)));
        assert_eq!(of(&["Bearer service=x, Basic realm=y"]), Some(Challenge::Basic));
        for none in ["", "Negotiate", "Bearer", "realm=x", "=", ",,,", "Bearer realm"] {
            assert_eq!(of(&[none]), None, "{none}");
        }
    }

    proptest! {
        #[test]
        fn no_header_is_too_odd(header in "[ -~\u{a0}-\u{10ffff}]{0,80}") {
            let _ = of(&[&header]);
        }

        #[test]
        fn a_quoted_realm_comes_back(realm in "[ -~]{1,40}") {
            let escaped = realm.replace('\\', "\\\\").replace('"', "\\\"");
            let header = format!("Bearer realm=\"{escaped}\",service=s");
            prop_assert_eq!(of(&[&header]), Some(bearer(&realm, "s")));
        }
    }
}
