//! Where credentials files usually are.

use std::path::{Path, PathBuf};

use crate::store::user_file;

/// What of the process's environment decides where credentials are looked for.
#[derive(Clone, Debug, Default)]
pub(crate) struct Environment {
    /// `REGISTRY_AUTH_FILE`.
    pub(super) registry_auth_file: Option<PathBuf>,
    /// `containers/auth.json` in `XDG_RUNTIME_DIR`, or what podman uses without that.
    pub(super) runtime_auth_file: Option<PathBuf>,
    /// `XDG_CONFIG_HOME`.
    pub(super) config_home: Option<PathBuf>,
    /// `DOCKER_CONFIG`, a directory.
    pub(super) docker_config: Option<PathBuf>,
    /// `HOME`.
    pub(super) home: Option<PathBuf>,
    /// What Tekton's entrypoint fills (tektoncd/pipeline, pkg/credentials). It is copied to HOME
    /// too, which need not be writable.
    pub(super) tekton: Option<PathBuf>,
}

impl Environment {
    /// The environment of this process.
    pub(crate) fn of_process() -> Self {
        let path = user_file::variable;
        let runtime_auth_file = match path("XDG_RUNTIME_DIR") {
            Some(directory) => Some(directory.join("containers/auth.json")),
            None => runtime_file_of_user(),
        };
        Self {
            registry_auth_file: path("REGISTRY_AUTH_FILE"),
            runtime_auth_file,
            config_home: path("XDG_CONFIG_HOME"),
            docker_config: path("DOCKER_CONFIG"),
            home: path("HOME"),
            tekton: Some(PathBuf::from("/tekton/creds")),
        }
    }

    /// Whether `REGISTRY_AUTH_FILE` names the file.
    pub(super) fn names(&self, file: &Path) -> bool {
        self.registry_auth_file.as_deref() == Some(file)
    }

    /// The files to look into, the first that has a match wins.
    pub(super) fn files(&self) -> Vec<PathBuf> {
        let below_home = |directory: &str| self.home.as_ref().map(|home| home.join(directory));
        let config_home = self.config_home.clone().or_else(|| below_home(".config"));
        let docker_config = self.docker_config.clone().or_else(|| below_home(".docker"));
        [
            self.registry_auth_file.clone(),
            self.runtime_auth_file.clone(),
            config_home.map(|directory| directory.join("containers/auth.json")),
            docker_config.map(|directory| directory.join("config.json")),
            self.tekton.as_ref().map(|directory| directory.join(".docker/config.json")),
            self.home.as_ref().map(|home| home.join(".dockercfg")),
        ]
        .into_iter()
        .flatten()
        .collect()
    }
}

/// Where `podman login` writes without `XDG_RUNTIME_DIR` (containers/image,
/// pkg/docker/config/config.go, `defaultPerUIDPathFormat`).
fn runtime_file_of_user() -> Option<PathBuf> {
    use std::os::unix::fs::MetadataExt as _;
    let user = Path::new("/proc/self").metadata().ok()?.uid();
    Some(PathBuf::from(format!("/run/containers/{user}/auth.json")))
}
