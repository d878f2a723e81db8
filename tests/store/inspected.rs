//! What `inspect` prints for people.

use recompress_image::{
    image::media_type::OCI_INDEX,
    store::{Intent, RawManifest},
};
use serde_json::json;

use super::{
    open, quick, reuse,
    sample::{Sample, convert, ends, program, run},
};

async fn inspect(image: &str, more: &[&str]) -> String {
    let mut command = program();
    command.args(["inspect", image]).args(more);
    ends(&run(command).await, 0, &[])
}

/// Layers without a TOC are named once, in the words of those that were read.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_image() {
    let dir = tempfile::tempdir().unwrap();
    let name = |name: &str| format!("oci:{}:{name}", dir.path().join(name).display());
    let gzip = Sample::new(&[900, 5_000, 7_000], 110).push(&name("gzip"), &quick()).await;
    ends(&run(convert(&gzip, &name("z"))).await, 0, &[]);
    let hint = "3 layers have no TOC; add --download to show their content.";
    for form in ["--output=text", "--output=html"] {
        let text = inspect(&gzip, &[form]).await;
        assert_eq!(text.matches("add --download").count(), 1, "{text}");
        assert!(text.contains(hint), "{text}");
        assert!(!text.contains("application/vnd.oci.image.layer"), "{text}");
        assert!(!inspect(&gzip, &[form, "--download"]).await.contains("add --download"));
    }
    let text = inspect(&gzip, &[]).await;
    assert_eq!(text.matches(": gzip\n").count(), 3, "{text}");
    assert!(text.contains("  linux/amd64, 3 layers, ") && text.contains(" compressed\n"), "{text}");
    let text = inspect(&name("z"), &[]).await;
    assert!(text.contains(" uncompressed\n"), "{text}");
    assert!(!text.contains("holes"), "{text}");
}

/// An index has no entries to list, and says how to get them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_index() {
    let dir = tempfile::tempdir().unwrap();
    let name = format!("oci:{}:1", dir.path().display());
    let store = open(&name, Intent::Push, &quick()).await.unwrap();
    let mut entries = Vec::new();
    for (seed, architecture) in [(111, "amd64"), (112, "arm64")] {
        entries.push(reuse::image_of(&store, architecture, seed).await);
    }
    entries[1]["annotations"] = json!({ "io.github.containers.compression.zstd": "true" });
    let index = json!({ "schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries });
    let index = RawManifest::new(index.to_string(), OCI_INDEX);
    store.put_manifest(&index, Some("1")).await.unwrap();
    let text = inspect(&name, &[]).await;
    assert!(text.contains("Add --platform linux/amd64 to see its layers."), "{text}");
    assert_eq!(text.matches(", marked as zstd\n").count(), 1, "{text}");
    let text = inspect(&name, &["--toc"]).await;
    assert!(text.contains("Add --platform linux/amd64 to list entries."), "{text}");
    let text = inspect(&name, &["--toc", "--platform=linux/amd64"]).await;
    assert!(text.contains("1 layer, ") && !text.contains("--platform"), "{text}");
}
