#![allow(clippy::unwrap_used, clippy::expect_used)]

mod archives;

use std::{
    io::{Read as _, Write as _},
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
};

use serde_json::{Value, json};

use super::*;
use crate::{
    image::media_type::OCI_MANIFEST,
    store::{AccessOptions, BlobMismatch, Store},
};

fn manifest(name: &str) -> RawManifest {
    let document =
        json!({ "schemaVersion": 2, "mediaType": OCI_MANIFEST, "layers": [], "n": name });
    RawManifest::new(document.to_string(), OCI_MANIFEST)
}

fn index_of(root: &Path) -> Value {
    serde_json::from_slice(&fs::read(root.join("index.json")).unwrap()).unwrap()
}

fn tag(tag: &str) -> Selector {
    Selector::Tag(tag.to_owned())
}

async fn new_layout() -> (tempfile::TempDir, OciLayout) {
    let dir = tempfile::tempdir().unwrap();
    let layout = OciLayout::open(&dir.path().join("a/layout"), Intent::Push).await.unwrap();
    (dir, layout)
}

#[tokio::test]
async fn what_was_put_comes_back() {
    let dir = tempfile::tempdir().unwrap();
    let reference = format!("oci:{}/new:1.2", dir.path().display()).parse().unwrap();
    let options = AccessOptions::default();
    let store = Store::open(&reference, Intent::Push, &options).await.unwrap();
    let content = vec![7; 3 << 20];
    let (digest, size) = (Digest::sha256_of(&content), content.len() as u64);
    let file = dir.path().join("blob");
    fs::write(&file, &content).unwrap();
    assert!(!store.has_blob(&digest, size).await.unwrap());
    store.put_blob(&digest, size, BlobContent::File(file)).await.unwrap();
    assert!(store.has_blob(&digest, size).await.unwrap());
    assert!(!store.has_blob(&digest, size + 1).await.unwrap());
    store.put_manifest(&manifest("x"), Some("1.2")).await.unwrap();

    let store = Store::open(&reference, Intent::Pull, &options).await.unwrap();
    for which in [Selector::of(&reference), Selector::Only, Selector::Digest(manifest("x").digest)]
    {
        assert_eq!(store.manifest(&which).await.unwrap(), manifest("x"));
    }
    assert_eq!(store.bytes(&digest, size, size).await.unwrap(), content);
    let too_large = store.bytes(&digest, size, size - 1).await;
    assert!(matches!(too_large, Err(StoreError::TooLarge { .. })));
    let mut streamed = Vec::new();
    store.blob(&digest, size).await.unwrap().read_to_end(&mut streamed).unwrap();
    assert_eq!(streamed, content);
}

#[tokio::test]
async fn a_spool_of_the_layout_becomes_the_blob() {
    let (dir, layout) = new_layout().await;
    let store = Store::Layout(layout.clone());
    let content = vec![7; 100_000];
    let digest = Digest::sha256_of(&content);
    let inode = |path: &Path| fs::metadata(path).unwrap().ino();
    let blob = dir.path().join("a/layout/blobs/sha256").join(digest.hex());
    let elsewhere = BlobSpool::new().unwrap();
    for ((mut writer, spool), is_copied) in [(elsewhere, true), (store.spool().unwrap(), false)] {
        writer.write_all(&content).unwrap();
        writer.finish(digest.clone());
        let of_spool = inode(spool.path());
        // What is there under the name is damaged.
        fs::create_dir_all(blob.parent().unwrap()).unwrap();
        fs::write(&blob, b"damaged").unwrap();
        assert!(!store.put_spool(spool).await.unwrap());
        assert!(fs::read(&blob).unwrap() == content);
        assert_eq!(inode(&blob) != of_spool, is_copied);
        let mode = fs::metadata(&blob).unwrap().permissions().mode();
        assert_eq!(mode & 0o444, 0o444, "{mode:o}");
    }
    let (mut writer, spool) = store.spool().unwrap();
    writer.write_all(&content).unwrap();
    drop((writer, spool));
    let names = |dir: &Path| fs::read_dir(dir).unwrap().count();
    assert_eq!(names(blob.parent().unwrap()) + names(&dir.path().join("a/layout/blobs")), 2);
}

#[tokio::test]
async fn a_damaged_blob_is_noticed() {
    let (_dir, layout) = new_layout().await;
    let digest = Digest::sha256_of(b"right");
    let path = layout.root.join("blobs/sha256");
    fs::create_dir_all(&path).unwrap();
    fs::write(path.join(digest.hex()), b"wrong").unwrap();
    let mut reader = layout.blob(&digest, 5).await.unwrap();
    let error = io::copy(&mut reader, &mut io::sink()).unwrap_err();
    assert!(matches!(BlobMismatch::of(&error), Some(BlobMismatch::Digest { .. })));
    let error = layout.manifest(&Selector::Digest(digest)).await.unwrap_err();
    assert!(matches!(error, StoreError::DigestMismatch { .. }));
}

#[tokio::test]
async fn wrong_content_is_not_stored() {
    let (_dir, layout) = new_layout().await;
    let digest = Digest::sha256_of(b"right");
    let content = |text: &'static [u8]| BlobContent::Bytes(Bytes::from_static(text));
    let error = layout.put_blob(&digest, 5, content(b"wrong")).await.unwrap_err();
    assert!(matches!(error, StoreError::DigestMismatch { .. }));
    let error = layout.put_blob(&digest, 5, content(b"right!")).await.unwrap_err();
    assert!(matches!(error, StoreError::SizeMismatch { .. }));
    assert!(!layout.has_blob(&digest, 5).await.unwrap());
    let left = fs::read_dir(layout.root.join("blobs/sha256")).unwrap().count();
    assert_eq!(left, 0, "no temporary file stays behind");
}

#[tokio::test]
async fn the_tag_moves_and_nothing_else_changes() {
    let (_dir, layout) = new_layout().await;
    let foreign = json!({
        "z": [1.0, "kept"], "schemaVersion": 2,
        "manifests": [
            { "digest": manifest("old").digest, "mediaType": OCI_MANIFEST, "size": 1, "x": true,
              "annotations": { REF: "1.2", "other": "kept" } },
            { "digest": manifest("other").digest, "size": 2, "annotations": { REF: "other" } },
        ],
        "annotations": { "a": "b" },
    });
    fs::write(layout.root.join("index.json"), foreign.to_string()).unwrap();
    layout.put_manifest(&manifest("new"), Some("1.2")).await.unwrap();
    layout.put_manifest(&manifest("new"), Some("1.2")).await.unwrap();
    let size = manifest("new").bytes.len();
    let expected = json!({
        "z": [1.0, "kept"], "schemaVersion": 2,
        "manifests": [
            { "digest": manifest("old").digest, "mediaType": OCI_MANIFEST, "size": 1, "x": true,
              "annotations": { "other": "kept" } },
            { "digest": manifest("other").digest, "size": 2, "annotations": { REF: "other" } },
            { "mediaType": OCI_MANIFEST, "digest": manifest("new").digest, "size": size,
              "annotations": { REF: "1.2" } },
        ],
        "annotations": { "a": "b" },
    });
    let written = fs::read_to_string(layout.root.join("index.json")).unwrap();
    assert_eq!(written, expected.to_string(), "also the order of the fields");

    layout.put_manifest(&manifest("old"), Some("again")).await.unwrap();
    layout.put_manifest(&manifest("new"), Some("second")).await.unwrap();
    let index = index_of(&layout.root);
    let old = index.pointer("/manifests/0/annotations").unwrap();
    assert_eq!(*old, json!({ "other": "kept", REF: "again" }));
    assert_eq!(index["manifests"].as_array().unwrap().len(), 4, "one entry for each tag");
    assert_eq!(layout.manifest(&tag("1.2")).await.unwrap(), manifest("new"));
    assert_eq!(layout.manifest(&tag("second")).await.unwrap(), manifest("new"));
}

const REF: &str = "org.opencontainers.image.ref.name";

#[tokio::test]
async fn concurrent_writers_lose_no_tag() {
    let (_dir, layout) = new_layout().await;
    let writers = (0..16).map(|n| {
        let layout = layout.clone();
        tokio::spawn(async move {
            let name = format!("t{n}");
            layout.put_manifest(&manifest(&name), Some(&name)).await.unwrap();
        })
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await.unwrap();
    }
    for n in 0..16 {
        let name = format!("t{n}");
        assert_eq!(layout.manifest(&tag(&name)).await.unwrap(), manifest(&name));
    }
}

#[tokio::test]
async fn a_wrong_selection_says_what_is_there() {
    let (_dir, layout) = new_layout().await;
    let error = layout.manifest(&Selector::Only).await.unwrap_err().to_string();
    assert!(error.ends_with(" has no image; it is empty"), "{error}");
    layout.put_manifest(&manifest("a"), Some("first")).await.unwrap();
    layout.put_manifest(&manifest("b"), Some("second")).await.unwrap();
    for which in [Selector::Only, tag("third")] {
        let error = layout.manifest(&which).await.unwrap_err();
        assert!(matches!(error, StoreError::Layout(_)), "{error:?}");
        let error = error.to_string();
        assert!(error.contains("first (sha256:") && error.contains("second (sha256:"), "{error}");
    }
    let missing = layout.manifest(&Selector::Digest(Digest::sha256_of(b""))).await.unwrap_err();
    assert!(matches!(missing, StoreError::NotFound { .. }), "{missing:?}");
}

#[tokio::test]
async fn only_layouts_are_opened() {
    let dir = tempfile::tempdir().unwrap();
    let problem = |path: PathBuf, intent| async move {
        match OciLayout::open(&path, intent).await.unwrap_err() {
            StoreError::Layout(error) => error,
            error => panic!("{error:?}"),
        }
    };
    let path = dir.path().to_owned();
    let missing = problem(path.join("missing"), Intent::Pull).await;
    assert!(matches!(missing, LayoutError::Missing(_)));
    assert!(!path.join("missing").exists());
    assert!(matches!(problem(path.clone(), Intent::Pull).await, LayoutError::NoLayout(_)));
    fs::write(path.join("precious"), "x").unwrap();
    assert!(matches!(problem(path.clone(), Intent::Push).await, LayoutError::Occupied(_)));
    let file = problem(path.join("precious"), Intent::Push).await;
    assert!(matches!(file, LayoutError::Missing(_)));
    fs::write(path.join("oci-layout"), r#"{"imageLayoutVersion":"2.0.0"}"#).unwrap();
    assert!(matches!(problem(path, Intent::Push).await, LayoutError::Version { .. }));
}

#[tokio::test]
async fn files_are_readable_for_others() {
    let (_dir, layout) = new_layout().await;
    let private = tempfile::NamedTempFile::new().unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(private.path()), 0o600);
    // Whatever the umask is, it treats both alike.
    let plain = layout.root.join("plain");
    fs::write(&plain, "").unwrap();
    assert_eq!(mode(&layout.root.join("index.json")), mode(&plain) & 0o644);
}

#[tokio::test]
async fn a_damaged_index_is_refused() {
    let (_dir, layout) = new_layout().await;
    for bad in ["", "[]", "{}", r#"{"manifests":{}}"#, r#"{"manifests":[1]}"#] {
        fs::write(layout.root.join("index.json"), bad).unwrap();
        let error = layout.put_manifest(&manifest("a"), Some("x")).await.unwrap_err();
        assert!(matches!(error, StoreError::Layout(LayoutError::Damaged { .. })), "{bad}");
        assert_eq!(fs::read_to_string(layout.root.join("index.json")).unwrap(), bad);
    }
}

#[tokio::test]
async fn a_damaged_blob_counts_only_where_nothing_is_written() {
    let (_dir, layout) = new_layout().await;
    let (digest, content) = (Digest::sha256_of(b"right"), Bytes::from_static(b"right"));
    let content = BlobContent::Bytes(content);
    layout.put_blob(&digest, 5, content.clone()).await.unwrap();
    fs::write(layout.blob_path(&digest), b"wrong").unwrap();
    let open = |intent| OciLayout::open(&layout.root, intent);
    assert!(open(Intent::Pull).await.unwrap().has_blob(&digest, 5).await.unwrap());
    let again = open(Intent::Push).await.unwrap();
    assert!(!again.has_blob(&digest, 5).await.unwrap());
    again.put_blob(&digest, 5, content).await.unwrap();
    assert_eq!(fs::read(layout.blob_path(&digest)).unwrap(), b"right");
    let third = open(Intent::Push).await.unwrap();
    assert!(third.has_blob(&digest, 5).await.unwrap());
    // It is read once only.
    fs::write(layout.blob_path(&digest), b"wrong").unwrap();
    assert!(third.has_blob(&digest, 5).await.unwrap());
}

#[tokio::test]
async fn a_creation_that_was_interrupted_is_gone_on_with() {
    let (_dir, layout) = new_layout().await;
    let open = || OciLayout::open(&layout.root, Intent::Push);
    fs::remove_file(layout.root.join("oci-layout")).unwrap();
    fs::write(layout.root.join(".tmp-abc"), b"").unwrap();
    open().await.unwrap().put_manifest(&manifest("a"), Some("a")).await.unwrap();
    fs::remove_file(layout.root.join("oci-layout")).unwrap();
    let error = open().await.unwrap_err();
    assert!(matches!(error, StoreError::Layout(LayoutError::Occupied(_))), "{error:?}");
}
