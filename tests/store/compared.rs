//! What `diff` says of images that cannot be compared as usual.

use recompress_image::{
    image::media_type::{OCI_INDEX, OCI_MANIFEST},
    store::{Intent, RawManifest},
};
use serde_json::{Value, json};

use super::{
    open, quick,
    sample::{Sample, convert, descriptor, ends, program, put, run},
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

/// What is printed in this form. Lines after the names of the images fit a terminal.
async fn printed(old: &str, new: &str, form: &str) -> String {
    let mut command = program();
    command.args(["diff", old, new, "--output", form]);
    let output = run(command).await;
    ends(&output, 0, &[]);
    let text = String::from_utf8(output.stdout).unwrap();
    if form == "text" {
        for line in text.lines().skip(2) {
            assert!(line.chars().count() <= 80 && line.trim_end() == line, "{line:?} in {text}");
        }
    }
    text
}

/// Pushes two versions of an image, and converts them; returns the names of all four.
async fn versions(dir: &std::path::Path) -> [String; 4] {
    let name = |name: &str| format!("oci:{}:{name}", dir.join(name).display());
    let lengths = [900, 50_000, 3_000];
    let old = Sample::new(&lengths[..2], 97).push(&name("old"), &quick()).await;
    let new = Sample::new(&lengths, 97).push(&name("new"), &quick()).await;
    for (source, to) in [(&old, "old-z"), (&new, "new-z")] {
        ends(&run(convert(source, &name(to))).await, 0, &[]);
    }
    [old, new, name("old-z"), name("new-z")]
}

/// What cannot be reused is said before the figures, and nothing is said that means nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn images_without_a_toc() {
    let dir = tempfile::tempdir().unwrap();
    let [old, new, old_z, new_z] = versions(dir.path()).await;

    let text = printed(&old, &new_z, "text").await;
    let flat = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let lead = "OLD has no zstd:chunked layers, so nothing of it can be reused: this is the cost of \
                the first pull. To see an update, compare two converted images.";
    let at = |words: &str| flat.find(words).unwrap_or_else(|| panic!("no {words:?} in {text}"));
    assert!(at(lead) < at("NEW as a whole"));
    for words in [" not in a TOC of OLD ", " largest files ", " all ", "not counted: multipart"] {
        at(words);
    }
    for words in ["new files", "changed files", "same content", "partial  ", "layers as a whole"] {
        assert!(!text.contains(words), "{words:?} in {text}");
    }
    assert!(printed(&old, &new_z, "html").await.contains(lead));
    let report = diff(&old, &new_z).await;
    let image = &report["images"][0];
    assert_eq!(image["old"]["layers_with_toc"], 0);
    assert_eq!(image["files"]["new"]["compressed"], image["files"]["new"]["fetched"]);

    // Layers with the same blob are there all the same.
    for new in [&new, &old] {
        let text = printed(&old, new, "text").await;
        let is_same = new == &old;
        let words = if is_same {
            "are the same image; a client fetches"
        } else {
            "Neither image has zstd:chunked layers that clients can use, so no client can"
        };
        assert!(text.contains(words), "{text}");
        assert_eq!(text.contains("Changed layers: "), !is_same, "{text}");
        assert_eq!(text.contains("(1 of 3)."), !is_same, "{text}");
        assert_eq!(text.contains("  layer  "), !is_same, "{text}");
        for words in ["partial pull,", "fetched  ░", "note:", "it has no TOC", "0 B   "] {
            assert!(!text.contains(words) || (!is_same && words == "0 B   "), "{words}: {text}");
        }
        let html = printed(&old, new, "html").await;
        assert!(!html.contains("class=\"bars\"") && !html.contains("class=\"view"), "{html}");
    }
    let text = printed(&new_z, &new_z, "text").await;
    assert!(text.contains("OLD and NEW are the same image; a client fetches"), "{text}");
    assert_eq!(text.lines().count(), 6, "{text}");
    let text = printed(&old_z, &new, "text").await;
    assert!(text.contains("NEW has no zstd:chunked layers that clients can use"), "{text}");
}

/// The figures of an update, and of gzip as far as it reuses layers.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_update_of_converted_images() {
    let dir = tempfile::tempdir().unwrap();
    let [_, new, old_z, new_z] = versions(dir.path()).await;
    // In the repository of its source, the sizes as gzip are known.
    let (place, _) = new.rsplit_once(':').unwrap();
    let beside = format!("{place}:beside");
    ends(&run(convert(&new, &beside)).await, 0, &[]);
    let text = printed(&old_z, &beside, "text").await;
    let gzip = text.lines().find(|line| line.contains("changed layers as gzip")).unwrap();
    assert!(gzip.contains('█') && gzip.contains('░'), "{text}");
    assert!(text.contains("gzip sizes are those of the source, sha256:"), "{text}");
    let html = printed(&old_z, &new_z, "html").await;
    let report = diff(&old_z, &new_z).await;
    let layers = report["images"][0]["layers"].as_array().unwrap();
    let states: Vec<_> = layers.iter().map(|layer| layer["state"].as_str().unwrap()).collect();
    assert_eq!(states, ["same", "same", "partial"]);
    for words in [
        "<p>With partial pulls, a client that has OLD fetches ",
        ">New and changed files (21)<",
        ">Uncompressed<",
    ] {
        assert!(html.contains(words), "no {words} in {html}");
    }
    assert!(!html.contains("class=\"figures\""), "{html}");
}

/// Platforms of which one side has no image are named in short.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn several_platforms() {
    let dir = tempfile::tempdir().unwrap();
    let mut names = Vec::new();
    for (name, platforms) in
        [("old", ["amd64", "arm64", "ppc64le"]), ("new", ["amd64", "arm64", "s390x"])]
    {
        let place = format!("oci:{}:{name}", dir.path().join(name).display());
        let store = open(&place, Intent::Push, &quick()).await.unwrap();
        let mut entries = Vec::new();
        for (seed, architecture) in (100..).zip(platforms) {
            let entry = super::reuse::image_of(&store, architecture, seed).await;
            entries.push(entry);
        }
        let index = json!({ "schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries });
        let index = RawManifest::new(index.to_string(), OCI_INDEX);
        store.put_manifest(&index, Some(name)).await.unwrap();
        names.push(place);
    }
    let text = printed(&names[0], &names[1], "text").await;
    for words in [
        "  linux/s390x: only in NEW\n",
        "  linux/ppc64le: only in OLD\n",
        "Add --platform linux/amd64 to see layers and files.",
        "XFS, btrfs",
        "OLD and NEW are the same image",
    ] {
        assert!(text.contains(words), "no {words:?} in {text}");
    }
    let html = printed(&names[0], &names[1], "html").await;
    assert!(
        html.contains("linux/s390x: only in NEW") && html.contains("Add --platform linux/amd64")
    );
}
