//! What `diff` says of images that cannot be compared as usual.

use recompress_image::{
    image::media_type::{OCI_INDEX, OCI_MANIFEST},
    store::{Intent, RawManifest},
};
use serde_json::{Value, json};

use super::{
    open, quick,
    sample::{Sample, descriptor, ends, program, put, run},
};

async fn diff(old: &str, new: &str) -> Value {
    let mut command = program();
    command.args(["diff", old, new, "--output=json"]);
    let output = run(command).await;
    ends(&output, 0, &[]);
    serde_json::from_slice(&output.stdout).unwrap()
}

/// A mirror may have only some images of an index: those are compared.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_index_without_one_of_its_images() {
    let dir = tempfile::tempdir().unwrap();
    let place = format!("oci:{}:1", dir.path().display());
    let image = Sample::new(&[900], 95);
    image.push(&place, &quick()).await;
    let entry = |architecture: &str, digest: &Value| {
        json!({ "mediaType": OCI_MANIFEST, "digest": digest, "size": image.manifest.size(),
            "platform": { "os": "linux", "architecture": architecture } })
    };
    let absent = json!(format!("sha256:{}", "1".repeat(64)));
    let index = json!({ "schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [
        entry("arm64", &absent), entry("amd64", &json!(image.manifest.digest)) ] });
    let index = RawManifest::new(index.to_string(), OCI_INDEX);
    let store = open(&place, Intent::Push, &quick()).await.unwrap();
    store.put_manifest(&index, Some("index")).await.unwrap();
    let index = format!("oci:{}:index", dir.path().display());
    let report = diff(&index, &index).await;
    assert_eq!(report["images"].as_array().unwrap().len(), 1);
    assert_eq!(report["images"][0]["platform"], "linux/amd64");
    assert_eq!(report["skipped"][0]["platform"], "linux/arm64");
}

/// Images for different platforms are compared as they were asked for, and the report says so.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn images_for_different_platforms() {
    let dir = tempfile::tempdir().unwrap();
    let [old, new] = ["old", "new"].map(|name| dir.path().join(name));
    let [old_name, new_name] = [&old, &new].map(|dir| format!("oci:{}:1", dir.display()));
    let image = Sample::new(&[900], 96);
    image.push(&old_name, &quick()).await;
    // The same for another platform.
    let mut manifest: Value = serde_json::from_slice(&image.manifest.bytes).unwrap();
    let config = image.blob(manifest["config"]["digest"].as_str().unwrap()).unwrap();
    let mut config: Value = serde_json::from_slice(&config).unwrap();
    config["architecture"] = json!("arm64");
    let config = config.to_string();
    let store = open(&new_name, Intent::Push, &quick()).await.unwrap();
    put(&store, config.clone().into()).await;
    let described = descriptor("", config.as_bytes());
    manifest["config"]["digest"] = described["digest"].clone();
    manifest["config"]["size"] = described["size"].clone();
    for layer in image.layers() {
        put(&store, image.blob(layer.as_str()).unwrap()).await;
    }
    let manifest = RawManifest::new(manifest.to_string(), OCI_MANIFEST);
    store.put_manifest(&manifest, Some("1")).await.unwrap();
    let notes = |report: &Value| report["images"][0]["notes"].to_string();
    let report = diff(&old_name, &new_name).await;
    let note = "OLD is an image for linux/amd64, and NEW one for linux/arm64";
    assert!(notes(&report).contains(note), "{report:#}");
    assert!(!notes(&diff(&new_name, &new_name).await).contains("OLD is"));
}
