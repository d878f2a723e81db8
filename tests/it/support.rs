//! What integration tests share: real registries, real readers, and images made of real trees.

pub(crate) mod each;
pub(crate) mod http;
pub(crate) mod image;
mod missing;
pub(crate) mod peers;
pub(crate) mod podman;
pub(crate) mod pulls;
pub(crate) mod registry;
pub(crate) mod tree;
pub(crate) mod trees;

use std::{path::Path, process::Command};

pub(crate) use missing::need;
use peers::Peers;
use registry::Registry;

/// A directory that is removed with its handle. It lies below `target`, because `/tmp` may be a
/// tmpfs, which is too small for images and no place for podman's overlay driver.
pub(crate) fn work_dir() -> tempfile::TempDir {
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap()
}

/// Converts `source` (`name@sha256:…`) to `destination` (`name:tag`) within `registry`, with the
/// program under test; `RECOMPRESS_TEST_CONVERTER=skopeo` lets skopeo do it instead, which shows
/// that a test judges rightly.
pub(crate) fn convert(
    registry: &Registry,
    peers: Option<&Peers>,
    source: &str,
    destination: &str,
    results: &Path,
) {
    let source = format!("docker://{}/{source}", registry.host());
    let destination = format!("{}/{destination}", registry.host());
    if std::env::var_os("RECOMPRESS_TEST_CONVERTER").is_some_and(|v| v == "skopeo") {
        let peers = peers.expect("RECOMPRESS_TEST_CONVERTER=skopeo needs hack/peers");
        convert_with_skopeo(peers, &source, &format!("docker://{destination}"));
        return;
    }
    let output = Command::new(env!("CARGO_BIN_EXE_recompress-image"))
        .args(["convert", &source, &destination, "--results-dir"])
        .arg(results)
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "convert {source} {destination}: {}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

fn convert_with_skopeo(peers: &Peers, source: &str, destination: &str) {
    // Straight to the same repository skopeo would take the gzip layers that it finds there; the
    // flag against that is missing in Debian 13.
    let layout = peers.work().join("skopeo");
    let between = format!("oci:{}:between", layout.display());
    let format = ["--dest-compress-format=zstd:chunked", "--dest-compress-level=3"];
    let compress = ["skopeo", "copy", "--src-tls-verify=false", format[0], format[1]];
    peers.run(&[&compress[..], &[source, &between]].concat());
    peers.run(&["skopeo", "copy", "--dest-tls-verify=false", &between, destination]);
    std::fs::remove_dir_all(layout).unwrap();
}
