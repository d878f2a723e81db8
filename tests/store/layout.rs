//! Layouts that are shared with skopeo.

use std::{path::Path, process::Command};

use bytes::Bytes;
use recompress_image::store::{AccessOptions, BlobContent, Intent, Selector};

use super::{EMPTY_JSON, manifest, open};

fn skopeo(arguments: &[&str]) -> Vec<u8> {
    let output = Command::new("skopeo")
        .arg("--insecure-policy")
        .args(arguments)
        .output()
        .expect("skopeo has to be installed (Debian package skopeo)");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "skopeo {arguments:?}: {errors}");
    output.stdout
}

fn place(dir: &Path, name: &str) -> String {
    format!("oci:{}/{name}", dir.display())
}

#[tokio::test]
async fn skopeo_reads_ours_and_we_read_skopeos() {
    let dir = tempfile::tempdir().unwrap();
    let options = AccessOptions::default();
    let (ours, theirs) = (place(dir.path(), "ours:1.2"), place(dir.path(), "theirs:3.4"));
    let store = open(&ours, Intent::Push, &options).await.unwrap();
    let config = BlobContent::Bytes(Bytes::from_static(b"{}"));
    store.put_blob(&EMPTY_JSON.parse().unwrap(), 2, config).await.unwrap();
    store.put_manifest(&manifest("x"), Some("1.2")).await.unwrap();
    assert_eq!(skopeo(&["inspect", "--raw", &ours]), manifest("x").bytes);

    skopeo(&["copy", "--preserve-digests", &ours, &theirs]);
    let store = open(&theirs, Intent::Push, &options).await.unwrap();
    for which in [Selector::Only, Selector::Tag("3.4".to_owned())] {
        assert_eq!(store.manifest(&which).await.unwrap(), manifest("x"));
    }
    let config = store.bytes(&EMPTY_JSON.parse().unwrap(), 2, 2).await.unwrap();
    assert_eq!(config, Bytes::from_static(b"{}"));
    store.put_manifest(&manifest("y"), Some("3.4")).await.unwrap();
    assert_eq!(skopeo(&["inspect", "--raw", &theirs]), manifest("y").bytes);
}
