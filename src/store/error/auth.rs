use std::{io, path::PathBuf};

/// Credentials could not be read. The messages name files and keys, never what is in them.
#[derive(Debug, thiserror::Error)]
pub enum AuthError {
    #[error("cannot read the credentials file {}", path.display())]
    File { path: PathBuf, source: io::Error },
    #[error("the credentials file {} does not exist; check --authfile", .0.display())]
    Missing(PathBuf),
    #[error(
        "malformed credentials file {}: {place}; recreate it with `podman login --authfile`",
        path.display()
    )]
    Malformed {
        path: PathBuf,
        /// Line and column, or the field.
        place: String,
    },
    #[error(
        "credential helper docker-credential-{helper} from {} failed for {server}; check that it is \
         installed and try `docker-credential-{helper} get`",
        path.display()
    )]
    Helper { path: PathBuf, helper: String, server: String },
}
