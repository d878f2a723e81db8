//! Configuration files that podman and docker share, certificates, and the variables that name them.

use std::{
    env,
    fs::File,
    io::{self, Read as _},
    path::{Path, PathBuf},
};

/// The largest file that is read, in bytes; real ones have a few kilobytes.
pub(super) const SIZE_MAX: u64 = 4 << 20;

/// The path in a variable. An empty one counts as not set.
pub(super) fn variable(name: &str) -> Option<PathBuf> {
    env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from)
}

pub(super) fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut content = Vec::new();
    File::open(path)?.take(SIZE_MAX + 1).read_to_end(&mut content)?;
    if content.len() as u64 > SIZE_MAX {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "larger than 4 MiB"));
    }
    Ok(content)
}

/// Whether a file in one of the usual places may be skipped after this error.
pub(super) fn is_skipped(path: &Path, error: &io::Error, what: &str) -> bool {
    match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => true,
        // In a container HOME often belongs to somebody else.
        io::ErrorKind::PermissionDenied => {
            tracing::warn!("cannot read the {what} {}: {error}; ignoring it", path.display());
            true
        }
        _ => false,
    }
}
