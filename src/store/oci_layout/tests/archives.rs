//! Layouts in archives, and archives of `docker save`.

use test_support::archive::{Dialect, TarBuilder};

use super::*;
use crate::{
    image::{
        Descriptor, ImageReference,
        media_type::{OCI_LAYER, OCI_LAYER_GZIP, OCI_LAYER_ZSTD},
    },
    store::{ArchiveError, ArchiveFileError, error::StoreError::Archive},
};

const GZIP: &[u8] = b"\x1f\x8b gzip";
const ZSTD: &[u8] = b"\x28\xb5\x2f\xfd zstd";

/// A config for layers with these contents, whatever the layers are.
fn config(tars: &[&[u8]]) -> Vec<u8> {
    let diff_ids: Vec<_> = tars.iter().map(|tar| Digest::sha256_of(tar)).collect();
    let rootfs = json!({ "type": "layers", "diff_ids": diff_ids });
    json!({ "os": "linux", "architecture": "amd64", "rootfs": rootfs }).to_string().into_bytes()
}

fn tar(files: &[(&str, &[u8])]) -> Vec<u8> {
    let add = |tar: TarBuilder, (name, content): &(&str, &[u8])| {
        tar.file(Dialect::Gnu, name.as_bytes(), content)
    };
    files.iter().fold(TarBuilder::new(), add).end().finish()
}

/// Two images: one with a layer of each kind, and one without layers.
fn of_docker_save() -> Vec<u8> {
    let list = json!([
        { "Config": "c1.json", "RepoTags": ["app:1.2", "quay.io/org/app:2"],
          "Layers": ["1/layer.tar", "2.tar.gz", "3"] },
        { "Config": "c2.json", "RepoTags": null, "Layers": [] },
    ]);
    tar(&[
        ("1/layer.tar", b"plain"),
        ("2.tar.gz", GZIP),
        ("3", ZSTD),
        ("c1.json", &config(&[b"plain", b"of gzip", b"of zstd"])),
        ("c2.json", &config(&[])),
        ("manifest.json", list.to_string().as_bytes()),
    ])
}

struct File {
    dir: tempfile::TempDir,
}

impl File {
    fn new(content: &[u8]) -> Self {
        let file = Self { dir: tempfile::tempdir().unwrap() };
        fs::write(file.path(), content).unwrap();
        file
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("a.tar")
    }

    fn reference(&self, transport: &str, image: &str) -> ImageReference {
        format!("{transport}:{}{image}", self.path().display()).parse().unwrap()
    }

    async fn open(&self, transport: &str, image: &str) -> Result<Store, StoreError> {
        let reference = self.reference(transport, image);
        Store::open(&reference, Intent::Pull, &AccessOptions::default()).await
    }

    async fn layers(&self, image: &str) -> Result<Vec<Descriptor>, StoreError> {
        let store = self.open("docker-archive", image).await?;
        let which = Selector::of(&self.reference("docker-archive", image));
        Ok(store.manifest(&which).await?.manifest().unwrap().layers)
    }
}

fn names(dir: &Path) -> Vec<String> {
    let names = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name());
    names.map(|name| name.into_string().unwrap()).collect()
}

#[tokio::test]
async fn images_of_docker_save() {
    let file = File::new(&of_docker_save());
    let layers = file.layers(":app:1.2").await.unwrap();
    let expected = [(OCI_LAYER, &b"plain"[..]), (OCI_LAYER_GZIP, GZIP), (OCI_LAYER_ZSTD, ZSTD)];
    let store = file.open("docker-archive", ":@0").await.unwrap();
    for (layer, (media_type, content)) in layers.iter().zip(expected) {
        assert_eq!(layer.media_type, media_type);
        assert_eq!(layer.blob.digest, Digest::sha256_of(content));
        assert!(store.has_blob(&layer.blob.digest, layer.blob.size).await.unwrap());
        let read = store.bytes(&layer.blob.digest, layer.blob.size, 100).await.unwrap();
        assert_eq!(read, content);
    }
    for image in [":quay.io/org/app:2", ":docker.io/library/app:1.2", ":@0"] {
        assert_eq!(file.layers(image).await.unwrap(), layers, "{image}");
    }
    assert_eq!(file.layers(":@1").await.unwrap(), []);
    let manifest = store.manifest(&Selector::Only).await.unwrap();
    assert_eq!(store.manifest(&Selector::Digest(manifest.digest.clone())).await.unwrap(), manifest);
    let other = store.find_manifest(&Selector::Tag("other".to_owned())).await.unwrap();
    assert_eq!(other, None);
    assert!(store.referrers(&manifest.digest).await.unwrap().unwrap().list.is_empty());
}

#[tokio::test]
async fn a_wrong_choice_says_what_the_archive_has() {
    let file = File::new(&of_docker_save());
    for image in ["", ":app", ":app:2", ":@2"] {
        let error = file.layers(image).await.unwrap_err();
        assert!(matches!(error, StoreError::Layout(_)), "{error:?}");
        let error = error.to_string();
        assert!(error.ends_with(": @0 (app:1.2), @1"), "{error}");
    }
    let image = |n: usize| json!({ "Config": "c", "RepoTags": [format!("\u{1b}[31m{}{n}", "x".repeat(1 << 10))] });
    let list = json!((0..1000).map(image).collect::<Vec<_>>()).to_string();
    let file = File::new(&tar(&[("manifest.json", list.as_bytes())]));
    let error = file.layers("").await.unwrap_err().to_string();
    assert!(error.ends_with("and 990 more") && error.len() < 3000, "{error}");
    assert!(!error.contains('\u{1b}'), "{error}");

    let twice =
        json!([{ "Config": "a", "RepoTags": ["x:1"] }, { "Config": "b", "RepoTags": ["x:1"] }]);
    let file = File::new(&tar(&[("manifest.json", twice.to_string().as_bytes())]));
    let error = file.layers(":x:1").await.unwrap_err();
    assert!(matches!(error, StoreError::Layout(LayoutError::Several { .. })), "{error:?}");
}

#[tokio::test]
async fn archives_that_are_wrong() {
    let list = |config: &str, layers: &[&str]| {
        json!([{ "Config": config, "Layers": layers }]).to_string().into_bytes()
    };
    let config = config(&[b"plain"]);
    let with = |list: &[u8]| tar(&[("c", &config), ("plain", b"plain"), ("manifest.json", list)]);
    for (list, words) in [
        (list("c", &[]), "0 layers of an image whose config has 1 diffIDs"),
        (list("c", &["plain", "plain"]), "2 layers"),
        (list("c", &["other"]), "has no other; manifest.json names it"),
        (list("../c", &["plain"]), "has no ../c;"),
        (list("plain", &["plain"]), "is damaged: "),
        (b"{}".to_vec(), "is damaged: "),
        (list("\u{1b}[31m", &["plain"]), "has no \\u{1b}[31m;"),
    ] {
        let error = File::new(&with(&list)).layers("").await.unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
    }
    let right = with(&list("c", &["plain"]));
    File::new(&right).layers("").await.unwrap();
    for len in [0, 512, right.len() - 1024 - 512] {
        let error = File::new(&right[..len]).layers("").await.unwrap_err();
        assert!(matches!(error, Archive(_)), "{error:?}");
    }
    let oci = File::new(&right).open("oci-archive", "").await.unwrap_err().to_string();
    assert!(oci.contains("docker-archive:FILE"), "{oci}");
}

#[tokio::test]
async fn what_is_no_archive_at_all() {
    let file = File::new(b"x");
    let open = async || match file.open("oci-archive", "").await.unwrap_err() {
        Archive(error) => error,
        error => panic!("{error:?}"),
    };
    assert!(matches!(open().await, ArchiveFileError::Unreadable { .. }));
    for (start, command) in
        [(GZIP, "gunzip <"), (ZSTD, "zstd -d <"), (b"BZh9", "bunzip2"), (b"\xfd7zXZ\0", "unxz")]
    {
        fs::write(file.path(), start).unwrap();
        let error = open().await.to_string();
        assert!(error.contains(command), "{error}");
    }
    fs::remove_file(file.path()).unwrap();
    assert!(matches!(open().await, ArchiveFileError::Missing(_)));
    fs::create_dir(file.path()).unwrap();
    assert!(matches!(open().await, ArchiveFileError::Directory(_)));
    fs::remove_dir(file.path()).unwrap();
    rustix::fs::mknodat(
        rustix::fs::CWD,
        file.path(),
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RWXU,
        0,
    )
    .unwrap();
    assert!(matches!(open().await, ArchiveFileError::NotRegular(_)));
}

/// Whatever happens to the file, nothing false is read from it.
#[tokio::test]
async fn a_file_that_changes_while_it_is_read() {
    let content = of_docker_save();
    let file = File::new(&content);
    let plain = Digest::sha256_of(b"plain");
    let store = file.open("docker-archive", ":@0").await.unwrap();
    let other = file.dir.path().join("other");
    fs::write(&other, b"something else").unwrap();
    fs::rename(&other, file.path()).unwrap();
    assert_eq!(store.bytes(&plain, 5, 5).await.unwrap(), &b"plain"[..], "it is still open");

    fs::write(file.path(), &content).unwrap();
    let store = file.open("docker-archive", ":@0").await.unwrap();
    let mut changed = content.clone();
    changed[512] ^= 1;
    fs::write(file.path(), &changed).unwrap();
    let error = store.bytes(&plain, 5, 5).await.unwrap_err();
    assert!(matches!(error, StoreError::DigestMismatch { .. }), "{error:?}");
    fs::write(file.path(), &content[..514]).unwrap();
    let error = store.bytes(&plain, 5, 5).await.unwrap_err();
    assert!(matches!(error, StoreError::SizeMismatch { .. }), "{error:?}");
}

/// Claims of any size are refused before anything is read.
#[tokio::test]
async fn documents_of_a_gigabyte() {
    let header = test_support::archive::HeaderBlock::new(Dialect::Gnu, b'0', b"manifest.json");
    let file = File::new(&header.size(1 << 30).finish());
    let grown = fs::File::options().write(true).open(file.path()).unwrap();
    grown.set_len((1 << 30) + 2048).unwrap();
    let error = file.layers("").await.unwrap_err();
    assert!(matches!(error, StoreError::TooLarge { .. }), "{error:?}");
}

async fn written(file: &File) -> Store {
    let reference = file.reference("oci-archive", ":1.2");
    Store::open(&reference, Intent::Push, &AccessOptions::default()).await.unwrap()
}

fn absent() -> File {
    File { dir: tempfile::tempdir().unwrap() }
}

/// Puts some blobs in this order, and an image with a tag.
async fn put(store: &Store, blobs: &[&'static [u8]]) {
    for content in blobs {
        let content = Bytes::from_static(content);
        let (digest, size) = (Digest::sha256_of(&content), content.len() as u64);
        store.put_blob(&digest, size, BlobContent::Bytes(content)).await.unwrap();
        assert!(store.has_blob(&digest, size).await.unwrap());
    }
    store.put_manifest(&manifest("x"), Some("1.2")).await.unwrap();
}

#[tokio::test]
async fn an_archive_appears_as_a_whole() {
    let (file, again) = (absent(), absent());
    let store = written(&file).await;
    put(&store, &[b"one", b"two", b""]).await;
    assert!(!file.path().exists());
    assert_eq!(store.place(), file.reference("oci-archive", "").to_string());
    store.complete().await.unwrap();
    store.complete().await.unwrap();
    let opened = file.open("oci-archive", ":1.2").await.unwrap();
    for store in [&store, &opened] {
        for which in [tag("1.2"), Selector::Only, Selector::Digest(manifest("x").digest)] {
            assert_eq!(store.manifest(&which).await.unwrap(), manifest("x"));
        }
        for content in [&b"one"[..], b"two", b""] {
            let (digest, size) = (Digest::sha256_of(content), content.len() as u64);
            assert!(store.has_blob(&digest, size).await.unwrap());
            assert_eq!(store.bytes(&digest, size, 100).await.unwrap(), content);
        }
        assert!(!store.has_blob(&Digest::sha256_of(b"three"), 5).await.unwrap());
    }
    drop(store);
    assert_eq!(names(file.dir.path()), ["a.tar"]);
    let mode = fs::metadata(file.path()).unwrap().permissions().mode();
    assert_eq!(mode & 0o444, 0o444, "{mode:o}");

    let store = written(&again).await;
    put(&store, &[b"", b"two", b"one"]).await;
    store.complete().await.unwrap();
    assert!(fs::read(again.path()).unwrap() == fs::read(file.path()).unwrap());
}

#[tokio::test]
async fn an_archive_that_is_not_completed_leaves_nothing() {
    let file = absent();
    let store = written(&file).await;
    put(&store, &[b"one"]).await;
    assert_eq!(names(file.dir.path()).len(), 1);
    drop(store);
    assert_eq!(names(file.dir.path()), [""; 0]);
}

#[tokio::test]
async fn an_archive_that_exists_is_not_changed() {
    let file = File::new(b"precious");
    let reference = file.reference("oci-archive", ":1.2");
    for intent in [Intent::Push, Intent::PlanPush] {
        let error = Store::open(&reference, intent, &AccessOptions::default()).await.unwrap_err();
        assert!(matches!(error, Archive(ArchiveFileError::Exists(_))), "{error:?}");
    }
    // One that appears meanwhile stays, too.
    fs::remove_file(file.path()).unwrap();
    let store = written(&file).await;
    put(&store, &[b"one"]).await;
    fs::write(file.path(), b"precious").unwrap();
    let error = store.complete().await.unwrap_err();
    assert!(matches!(error, Archive(ArchiveFileError::Exists(_))), "{error:?}");
    drop(store);
    assert_eq!(fs::read(file.path()).unwrap(), b"precious");
    assert_eq!(names(file.dir.path()), ["a.tar"]);
}

#[tokio::test]
async fn a_damaged_blob_does_not_get_into_an_archive() {
    let file = absent();
    let store = written(&file).await;
    put(&store, &[b"one"]).await;
    let Store::Layout(layout) = &store else { panic!() };
    fs::write(layout.blob_path(&Digest::sha256_of(b"one")), b"two").unwrap();
    let error = store.complete().await.unwrap_err();
    assert!(matches!(error, StoreError::DigestMismatch { .. }), "{error:?}");
    assert!(!file.path().exists());
}

#[tokio::test]
async fn what_would_be_put_into_an_archive() {
    let file = absent();
    let reference = file.reference("oci-archive", ":1.2");
    let options = AccessOptions::default();
    let store = Store::open(&reference, Intent::PlanPush, &options).await.unwrap();
    assert_eq!(store.find_manifest(&tag("1.2")).await.unwrap(), None);
    assert!(!store.has_blob(&Digest::sha256_of(b""), 0).await.unwrap());
    assert_eq!(store.place(), file.reference("oci-archive", "").to_string());
    assert_eq!(names(file.dir.path()), [""; 0]);
    let elsewhere = format!("oci-archive:{}/no/a.tar", file.dir.path().display()).parse().unwrap();
    let error = Store::open(&elsewhere, Intent::Push, &options).await.unwrap_err();
    assert!(matches!(error, Archive(ArchiveFileError::NoDirectory(_))), "{error:?}");
    let docker = file.reference("docker-archive", "");
    let error = Store::open(&docker, Intent::Push, &options).await.unwrap_err();
    assert!(matches!(error, StoreError::Tag(_)), "{error:?}");
}

/// An index that leads out of the archive, and one that some readers do not see.
#[tokio::test]
async fn an_index_that_readers_see_differently() {
    let marker = (files::OCI_LAYOUT, &br#"{"imageLayoutVersion":"1.0.0"}"#[..]);
    let index = index::LayoutIndex::empty().to_bytes();
    File::new(&tar(&[marker, ("index.json", &index)])).open("oci-archive", "").await.unwrap();
    for name in ["index.json", "./index.json", "x/../index.json"] {
        let file = File::new(&tar(&[marker, ("index.json", &index), (name, b"{}")]));
        let error = file.open("oci-archive", "").await.unwrap_err();
        let Archive(ArchiveFileError::Unreadable { error, .. }) = error else {
            panic!("{error:?}")
        };
        assert!(matches!(error, ArchiveError::Entry { .. }), "{error}");
    }
    let other = (files::OCI_LAYOUT, &br#"{"imageLayoutVersion":"2.0.0"}"#[..]);
    let error = File::new(&tar(&[other, ("index.json", &index)])).open("oci-archive", "").await;
    assert!(matches!(error, Err(StoreError::Layout(LayoutError::Version { .. }))));
}
