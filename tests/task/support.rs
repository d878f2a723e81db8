//! The real registry of the integration tests, and where this test keeps its files.
#![allow(dead_code, reason = "shared with tests/it, which uses more of it")]

#[path = "../it/support/http.rs"]
pub(crate) mod http;
#[path = "../it/support/missing.rs"]
mod missing;
#[path = "../it/support/peers.rs"]
pub(crate) mod peers;
#[path = "../it/support/registry.rs"]
pub(crate) mod registry;

use std::{fs, path::Path};

pub(crate) use missing::need;

/// A folder that goes with its handle.
pub(crate) fn work_dir() -> tempfile::TempDir {
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap()
}

/// A file of the repository.
pub(crate) fn read(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}
