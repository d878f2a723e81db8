//! Which credentials belong to a repository: the rules of containers-auth.json(5), and the file
//! that Tekton writes.

mod entry;
mod environment;

use std::{
    fmt, io,
    path::{Path, PathBuf},
    sync::Once,
};

use docker_credential::{CredentialRetrievalError, DockerCredential};
use serde_json::{Map, Value};

pub(super) use environment::Environment;

use crate::store::{
    access::Creds,
    error::{AuthError, CredentialOrigin},
    secrets, user_file,
};

/// What proves who we are.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Credential {
    /// A user name, and a password or an access token that is used like one.
    Password { user: String, password: String },
    /// A refresh token of OAuth 2, which only a token server takes.
    IdentityToken(String),
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Password { user, .. } => {
                f.debug_struct("Password").field("user", user).finish_non_exhaustive()
            }
            Self::IdentityToken(_) => f.debug_struct("IdentityToken").finish_non_exhaustive(),
        }
    }
}

impl Credential {
    /// Keeps it out of everything that is printed.
    fn remember(&self) {
        match self {
            Self::Password { user, password } => secrets::remember_password(user, password),
            Self::IdentityToken(token) => secrets::remember(token),
        }
    }
}

/// A credential, and where it was found.
#[derive(Debug)]
pub(super) struct FoundCredential {
    pub(super) credential: Credential,
    pub(super) origin: CredentialOrigin,
}

impl FoundCredential {
    /// What the user gave.
    pub(super) fn given(creds: &Creds) -> Self {
        let Creds { user, password } = creds.clone();
        let origin = CredentialOrigin::Given { user: user.clone() };
        let credential = Credential::Password { user, password };
        credential.remember();
        Self { credential, origin }
    }
}

/// Asks a credential helper: server first, then the helper's name.
type Helper<'a> = &'a dyn Fn(&str, &str) -> Result<DockerCredential, CredentialRetrievalError>;

/// Looks for the credential of `repository` on `registry`. Reads files and may run a credential
/// helper, so it is not for an async thread. If `authfile` is given, only that file is read, and it
/// has to exist; otherwise the usual files are searched, and missing ones are skipped.
pub(super) fn find(
    registry: &str,
    repository: &str,
    authfile: Option<&Path>,
    environment: &Environment,
) -> Result<Option<FoundCredential>, AuthError> {
    find_with(registry, repository, authfile, environment, &ask_helper)
}

fn find_with(
    registry: &str,
    repository: &str,
    authfile: Option<&Path>,
    environment: &Environment,
    helper: Helper<'_>,
) -> Result<Option<FoundCredential>, AuthError> {
    let files = match authfile {
        Some(path) => vec![path.to_owned()],
        None => environment.files(),
    };
    for path in files {
        let content = match user_file::read(&path) {
            Ok(content) => content,
            Err(_) if authfile.is_none() && environment.names(&path) && !path.exists() => {
                static TOLD: Once = Once::new();
                TOLD.call_once(|| {
                    tracing::warn!(
                        "REGISTRY_AUTH_FILE names {}, which does not exist; looking for credentials \
                         elsewhere",
                        path.display()
                    );
                });
                continue;
            }
            Err(error)
                if authfile.is_none()
                    && user_file::is_skipped(&path, &error, "credentials file") =>
            {
                continue;
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(AuthError::Missing(path));
            }
            Err(source) => return Err(AuthError::File { path, source }),
        };
        let file = AuthFile::parse(path, &content)?;
        if let Some(found) = file.find(registry, repository, helper)? {
            found.credential.remember();
            tracing::debug!("{registry}/{repository}: using {}", found.origin);
            return Ok(Some(found));
        }
    }
    tracing::debug!("{registry}/{repository}: no credentials found; continuing without");
    Ok(None)
}

struct AuthFile {
    path: PathBuf,
    document: Map<String, Value>,
}

impl AuthFile {
    fn parse(path: PathBuf, content: &[u8]) -> Result<Self, AuthError> {
        if content.trim_ascii().is_empty() {
            return Ok(Self { path, document: Map::new() });
        }
        match serde_json::from_slice(content) {
            Ok(Value::Object(document)) => Ok(Self { path, document }),
            Ok(_) => Err(AuthError::Malformed { path, place: "not a JSON object".to_owned() }),
            // The parser's own message may quote what it met.
            Err(error) => {
                let place = format!("line {}, column {}", error.line(), error.column());
                Err(AuthError::Malformed { path, place })
            }
        }
    }

    /// The order within a file is that of containers/image (pkg/docker/config/config.go): the
    /// registry's own helper, the longest matching key, then docker's store for everything.
    fn find(
        &self,
        registry: &str,
        repository: &str,
        helper: Helper<'_>,
    ) -> Result<Option<FoundCredential>, AuthError> {
        for (key, name) in self.object("credHelpers")? {
            if entry::names_registry(key, registry)
                && let Some(name) = name.as_str().filter(|name| !name.is_empty())
                && let Some(found) = self.ask(helper, key, name)?
            {
                return Ok(Some(found));
            }
        }
        let auths = if self.is_legacy() { &self.document } else { self.object("auths")? };
        for key in entry::matching_keys(auths.keys(), registry, repository) {
            let Some(value) = auths.get(key) else { continue };
            let credential = entry::credential(value).map_err(|_| {
                let place = format!("entry {key:?} is not the base64 form of USER:PASSWORD");
                AuthError::Malformed { path: self.path.clone(), place }
            })?;
            if let Some(credential) = credential {
                let origin = self.origin(key);
                return Ok(Some(FoundCredential { credential, origin }));
            }
        }
        if let Some(Value::String(name)) = self.document.get("credsStore")
            && !name.is_empty()
        {
            let server = entry::server_of_store(registry);
            return self.ask(helper, server, name).or_else(|error| match error {
                // A desktop's store does not exist in a container: then there is no credential.
                AuthError::Helper { .. } => {
                    tracing::warn!("ignoring docker's credential store: {error}");
                    Ok(None)
                }
                error => Err(error),
            });
        }
        Ok(None)
    }

    /// Whether it has the form of docker's `.dockercfg`: the keys without anything around them.
    fn is_legacy(&self) -> bool {
        let is_entry =
            |value: &Value| value.get("auth").is_some() || value.get("username").is_some();
        !["auths", "credHelpers", "credsStore"].iter().any(|name| self.document.contains_key(*name))
            && self.document.values().any(is_entry)
    }

    fn origin(&self, key: &str) -> CredentialOrigin {
        CredentialOrigin::File { file: self.path.clone(), key: key.to_owned() }
    }

    fn object(&self, field: &str) -> Result<&Map<String, Value>, AuthError> {
        static EMPTY: std::sync::LazyLock<Map<String, Value>> = std::sync::LazyLock::new(Map::new);
        match self.document.get(field) {
            None | Some(Value::Null) => Ok(&EMPTY),
            Some(Value::Object(object)) => Ok(object),
            Some(_) => {
                let place = format!("field {field:?} is not an object");
                Err(AuthError::Malformed { path: self.path.clone(), place })
            }
        }
    }

    fn ask(
        &self,
        helper: Helper<'_>,
        server: &str,
        name: &str,
    ) -> Result<Option<FoundCredential>, AuthError> {
        let origin = self.origin(server);
        match helper(server, name) {
            Ok(DockerCredential::UsernamePassword(user, _)) if user.is_empty() => Ok(None),
            Ok(DockerCredential::UsernamePassword(user, password)) => Ok(Some(FoundCredential {
                credential: Credential::Password { user, password },
                origin,
            })),
            Ok(DockerCredential::IdentityToken(token)) => {
                Ok(Some(FoundCredential { credential: Credential::IdentityToken(token), origin }))
            }
            // docker-credential-helpers, credentials/error.go: how a helper says "none".
            Err(CredentialRetrievalError::HelperFailure { stdout, .. })
                if stdout.contains("credentials not found") =>
            {
                Ok(None)
            }
            Err(_) => Err(AuthError::Helper {
                path: self.path.clone(),
                helper: name.to_owned(),
                server: server.to_owned(),
            }),
        }
    }
}

/// Runs the helper. The crate wants a whole configuration, so it gets one that names just this.
fn ask_helper(server: &str, name: &str) -> Result<DockerCredential, CredentialRetrievalError> {
    let config = serde_json::json!({ "credHelpers": { server: name } }).to_string();
    docker_credential::get_credential_from_reader(config.as_bytes(), server)
}

#[cfg(test)]
mod tests;
