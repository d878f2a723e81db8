//! A run that is told to end.

use std::process::{Command, Stdio};

use bytes::Bytes;
use recompress_image::{
    image::{Digest, media_type::OCI_MANIFEST},
    store::{AccessOptions, BlobContent, Intent, RawManifest, Store},
};
use serde_json::json;

use super::{case, fake::Fake, open, scripted::stall};

async fn put(store: &Store, blob: &[u8]) -> serde_json::Value {
    let (digest, size) = (Digest::sha256_of(blob), blob.len() as u64);
    let content = BlobContent::Bytes(Bytes::copy_from_slice(blob));
    store.put_blob(&digest, size, content, |_| ()).await.unwrap();
    json!({ "digest": digest.to_string(), "size": size })
}

/// A layout with an image of one empty layer.
async fn write_image(layout: &str) {
    let store = open(layout, Intent::Push, &AccessOptions::default()).await.unwrap();
    let mut layer = put(&store, &[0; 1024]).await;
    layer["mediaType"] = "application/vnd.oci.image.layer.v1.tar".into();
    let config = json!({ "architecture": "amd64", "os": "linux",
        "rootfs": { "type": "layers", "diff_ids": [layer["digest"]] } });
    let mut config = put(&store, config.to_string().as_bytes()).await;
    config["mediaType"] = "application/vnd.oci.image.config.v1+json".into();
    let manifest = json!({ "schemaVersion": 2, "mediaType": OCI_MANIFEST,
        "config": config, "layers": [layer] });
    let manifest = RawManifest::new(manifest.to_string(), OCI_MANIFEST);
    store.put_manifest(&manifest, Some("x")).await.unwrap();
}

#[tokio::test]
async fn an_open_upload_is_cancelled() {
    for (signal, code) in [(case("TERM"), 143), (case("INT"), 130)] {
        let dir = tempfile::tempdir().unwrap();
        let layout = format!("oci:{}/image:x", dir.path().display());
        write_image(&layout).await;
        let refuse: super::fake::Fault =
            Box::new(|request, _| (request.method() == "PUT").then(|| stall(vec![])));
        let fake = Fake { refuse: Some(refuse), ..Fake::default() };
        let (server, _) = fake.start().await;
        let mut command = Command::new(env!("CARGO_BIN_EXE_recompress-image"))
            .args(["convert", &layout, &format!("{}:new", server.image())])
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        server.wait_for("PUT").await;
        let (signal, process) = (format!("-{signal}"), command.id().to_string());
        assert!(Command::new("kill").args([signal, process]).status().unwrap().success());
        let ended = tokio::task::spawn_blocking(move || command.wait()).await.unwrap().unwrap();
        assert_eq!(ended.code(), Some(code));
        assert_eq!(server.requests("DELETE /v2/org/app/blobs/uploads/s1").len(), 1);
        assert_eq!(server.requests("PUT").len(), 1, "nothing is published");
    }
}
