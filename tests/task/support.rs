//! The real registry of the integration tests, and where this test keeps its files.
#![allow(dead_code, reason = "shared with tests/it, which uses more of it")]

#[path = "../it/support/http.rs"]
pub(crate) mod http;
#[path = "../it/support/peers.rs"]
pub(crate) mod peers;
#[path = "../it/support/registry.rs"]
pub(crate) mod registry;

use std::{fs, path::Path};

/// A folder that goes with its handle.
pub(crate) fn work_dir() -> tempfile::TempDir {
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap()
}

/// Unwraps what a test cannot do without; see `tests/it/support.rs`.
pub(crate) fn need<T>(test: &str, found: Result<T, String>) -> Option<T> {
    match found {
        Ok(found) => Some(found),
        Err(why) if std::env::var_os("RECOMPRESS_REQUIRE_PEERS").is_some_and(|v| v == "1") => {
            panic!("{test} must not be skipped here (RECOMPRESS_REQUIRE_PEERS=1): {why}")
        }
        Err(why) => {
            eprintln!("SKIPPED: {test}: {why}");
            None
        }
    }
}

/// A file of the repository.
pub(crate) fn read(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}
