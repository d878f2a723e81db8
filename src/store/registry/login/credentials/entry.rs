//! The entries of a credentials file: which keys fit a repository, and what a value says.

use base64::{
    Engine as _,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use serde_json::Value;

use super::Credential;

/// An entry that fits cannot be read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Malformed;

/// docker.io by all its names (containers/image, pkg/docker/config/config.go,
/// `normalizeRegistry`).
const DOCKER_HUB: &str = "docker.io";
const DOCKER_HUB_ALIASES: [&str; 2] = ["index.docker.io", "registry-1.docker.io"];
/// Docker's own key for it.
const DOCKER_HUB_KEY: &str = "https://index.docker.io/v1/";

/// A key without its scheme: host and perhaps port, then a path of whole segments.
struct Scope<'a> {
    registry: &'a str,
    path: &'a str,
    had_scheme: bool,
}

impl<'a> Scope<'a> {
    fn of(key: &'a str) -> Self {
        let bare = key.strip_prefix("https://").or_else(|| key.strip_prefix("http://"));
        let (registry, path) =
            bare.unwrap_or(key).split_once('/').unwrap_or((bare.unwrap_or(key), ""));
        let is_hub = registry == DOCKER_HUB || DOCKER_HUB_ALIASES.contains(&registry);
        // Docker's keys are URLs of the API. It ends there: no path of a repository. Without a scheme
        // only the slash at the end tells one from the path of a repository
        // (kubernetes, pkg/credentialprovider/keyring.go).
        let is_api = matches!(path, "v1/" | "v2/")
            || (matches!(path, "v1" | "v2") && (bare.is_some() || is_hub));
        Self {
            registry: if is_hub { DOCKER_HUB } else { registry },
            path: if is_api { "" } else { path.trim_end_matches('/') },
            had_scheme: bare.is_some(),
        }
    }

    fn covers(&self, registry: &str, repository: &str) -> bool {
        let below = |rest: &str| rest.is_empty() || rest.starts_with('/');
        self.registry.eq_ignore_ascii_case(registry)
            && (self.path.is_empty() || repository.strip_prefix(self.path).is_some_and(below))
    }
}

/// The keys that cover a repository, the longest path first. Keys match on whole segments, so
/// `quay.io/org` does not cover `quay.io/organisation`.
pub(super) fn matching_keys<'a>(
    keys: impl Iterator<Item = &'a String>,
    registry: &str,
    repository: &str,
) -> Vec<&'a str> {
    let mut matching: Vec<(&str, Scope<'_>)> = keys
        .map(|key| (key.as_str(), Scope::of(key)))
        .filter(|(_, scope)| scope.covers(registry, repository))
        .collect();
    matching.sort_by_key(|(_, scope)| (std::cmp::Reverse(scope.path.len()), scope.had_scheme));
    matching.into_iter().map(|(key, _)| key).collect()
}

/// Whether a key of `credHelpers` means this registry. Helpers know no paths.
pub(super) fn names_registry(key: &str, registry: &str) -> bool {
    let scope = Scope::of(key);
    scope.path.is_empty() && scope.registry.eq_ignore_ascii_case(registry)
}

/// What docker asks its store for.
pub(super) fn server_of_store(registry: &str) -> &str {
    if registry == DOCKER_HUB { DOCKER_HUB_KEY } else { registry }
}

/// The credential in an entry, if there is one. Tekton writes an empty `auth` where it has none,
/// and user name and password beside it.
pub(super) fn credential(entry: &Value) -> Result<Option<Credential>, Malformed> {
    let Some(entry) = entry.as_object() else {
        return if entry.is_null() { Ok(None) } else { Err(Malformed) };
    };
    let field = |name| match entry.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) if text.is_empty() => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.as_str())),
        Some(_) => Err(Malformed),
    };
    if let Some(token) = field("identitytoken")? {
        return Ok(Some(Credential::IdentityToken(token.to_owned())));
    }
    if let Some(auth) = field("auth")? {
        return decode(auth).map(Some).ok_or(Malformed);
    }
    Ok(match (field("username")?, field("password")?) {
        (Some(user), Some(password)) => {
            Some(Credential::Password { user: user.to_owned(), password: password.to_owned() })
        }
        _ => None,
    })
}

/// Base64 of `USER:PASSWORD`, padded or not.
fn decode(auth: &str) -> Option<Credential> {
    const LENIENT: GeneralPurposeConfig =
        GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    let engine = GeneralPurpose::new(&base64::alphabet::STANDARD, LENIENT);
    let text = String::from_utf8(engine.decode(auth.trim()).ok()?).ok()?;
    let (user, password) = text.split_once(':')?;
    // Docker once padded passwords with zero bytes, and takes them off still.
    let password = password.trim_end_matches('\0').to_owned();
    Some(Credential::Password { user: user.to_owned(), password })
}
