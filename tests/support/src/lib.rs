//! What the tests, benchmarks and fuzz targets share: archives and images made by hand, real and
//! misbehaving registries, and the tools of other projects that judge our images.
//!
//! Nothing here depends on `recompress-image`. Unit tests of the library can therefore use it
//! without a second copy of the library, and a judge shares no code with what it judges.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stderr,
    clippy::missing_panics_doc,
    clippy::new_without_default
)]

pub mod archive;
pub mod each;
pub mod http;
pub mod image;
pub mod layout;
pub mod media_type;
pub mod peers;
pub mod podman;
pub mod pulls;
pub mod registry;
pub mod scripted;
pub mod tree;
pub mod trees;

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use sha2::{Digest as _, Sha256};

/// The folder of this repository.
pub fn repository() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

/// A file of the repository.
pub fn read(path: &str) -> String {
    let path = repository().join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The folder that Cargo builds this profile in, `target/debug`. Tests run from `deps` in it.
fn build_dir() -> PathBuf {
    env::current_exe().unwrap().parent().and_then(Path::parent).unwrap().to_owned()
}

/// The program under test. Cargo builds it before any integration test of its package.
pub fn program_path() -> PathBuf {
    build_dir().join("recompress-image")
}

/// The program under test, without variables in its environment that change what it does.
pub fn program() -> Command {
    let mut command = Command::new(program_path());
    let ours = env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("RECOMPRESS_"));
    for (name, _) in ours {
        command.env_remove(name);
    }
    command.env("NO_PROXY", "*");
    command
}

/// A directory that is removed with its handle. It is in `target`, because `/tmp` may be a tmpfs,
/// which is too small for images and cannot hold podman's overlay driver.
pub fn work_dir() -> tempfile::TempDir {
    let parent = build_dir().with_file_name("tmp");
    fs::create_dir_all(&parent).unwrap();
    tempfile::tempdir_in(parent).unwrap()
}

/// Unwraps something that a test requires. If it is missing, the test must return: it reports that
/// it is skipped, or fails if `RECOMPRESS_REQUIRE_PEERS=1` forbids skipping.
pub fn need<T>(test: &str, found: Result<T, String>) -> Option<T> {
    match found {
        Ok(found) => Some(found),
        Err(why) if env::var_os("RECOMPRESS_REQUIRE_PEERS").is_some_and(|v| v == "1") => {
            panic!("{test} must not be skipped (RECOMPRESS_REQUIRE_PEERS=1): {why}")
        }
        Err(why) => {
            eprintln!("SKIPPED: {test}: {why}");
            None
        }
    }
}

/// A digest as documents write it, `sha256:…`.
pub fn sha256(bytes: &[u8]) -> String {
    digest_text(Sha256::digest(bytes).into())
}

fn digest_text(sha256: [u8; 32]) -> String {
    use std::fmt::Write as _;
    sha256.iter().fold("sha256:".to_owned(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// The name of a blob's file in a layout.
fn hex(digest: &str) -> &str {
    digest.strip_prefix("sha256:").unwrap()
}
