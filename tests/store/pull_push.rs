//! Everyday use, against a real registry.

use std::{fs, io::Read as _, sync::Arc};

use bytes::Bytes;
use recompress_image::{
    image::Digest,
    store::{
        AccessOptions, BlobContent, BlobMismatch, BlobReader, Intent, Selector, Store, StoreError,
        Unreachable,
    },
};

use super::{
    EMPTY_JSON, manifest, open,
    peer::{self, Peer},
    quick, told,
};

/// Bytes that do not compress and differ everywhere.
pub(crate) fn noise(length: u32) -> Vec<u8> {
    (0..length).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect()
}

async fn drain(mut reader: BlobReader) -> std::io::Result<Vec<u8>> {
    let read = move || {
        let mut content = Vec::new();
        reader.read_to_end(&mut content).map(|_| content)
    };
    tokio::task::spawn_blocking(read).await.unwrap()
}

async fn push_config(store: &Store) {
    let content = BlobContent::Bytes(Bytes::from_static(b"{}"));
    store.put_blob(&EMPTY_JSON.parse().unwrap(), 2, content).await.unwrap();
}

fn tag(tag: &str) -> Selector {
    Selector::Tag(tag.to_owned())
}

/// Blobs are uploaded to docker-registry and downloaded again, the empty one too.
#[tokio::test]
async fn blobs_go_up_and_come_back() {
    let peer = Peer::start();
    let image = format!("{}/deep/er/repository", peer.host());
    let options = AccessOptions::default();
    let store = open(&image, Intent::Push, &options).await.unwrap();
    let file = peer.file("blob");
    for content in [noise(5_000_001), Vec::new()] {
        fs::write(&file, &content).unwrap();
        let (digest, size) = (Digest::sha256_of(&content), content.len() as u64);
        let missing = store.blob(&digest, size).await.unwrap_err();
        assert!(matches!(missing, StoreError::NotFound { .. }), "{missing:?}");
        assert!(!store.has_blob(&digest, size).await.unwrap());
        let upload = BlobContent::File(file.clone());
        store.put_blob(&digest, size, upload).await.unwrap();
        assert!(store.has_blob(&digest, size).await.unwrap());
        let reader = store.blob(&digest, size).await.unwrap();
        assert!(drain(reader).await.unwrap() == content);
        assert!(store.bytes(&digest, size, size).await.unwrap() == content);
    }
    let seen = [("PUT", 201), ("GET", 404), ("HEAD", 404)].map(|(m, s)| peer.count(m, s));
    assert_eq!(seen, [2, 2, 2], "{:?}", peer.requests());
}

/// Eight uploads to docker-registry at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_store_serves_many_tasks() {
    let peer = Peer::start();
    let image = format!("{}/org/app", peer.host());
    let store = Arc::new(open(&image, Intent::Push, &AccessOptions::default()).await.unwrap());
    let copies = (1..9).map(|n| {
        let store = Arc::clone(&store);
        tokio::spawn(async move {
            let content = noise(n * 100_000);
            let (digest, size) = (Digest::sha256_of(&content), content.len() as u64);
            let upload = BlobContent::Bytes(content.clone().into());
            store.put_blob(&digest, size, upload).await.unwrap();
            let reader = store.blob(&digest, size).await.unwrap();
            assert!(drain(reader).await.unwrap() == content);
        })
    });
    for copy in copies.collect::<Vec<_>>() {
        copy.await.unwrap();
    }
    assert_eq!((peer.count("POST", 202), peer.count("PUT", 201)), (8, 8));
}

/// Manifests come back from docker-registry byte for byte; invalid tags are not requested.
#[tokio::test]
async fn manifests_by_digest_and_by_tag() {
    let peer = Peer::start();
    let options = AccessOptions::default();
    let image = format!("{}/org/app", peer.host());
    let store = open(&image, Intent::Push, &options).await.unwrap();
    push_config(&store).await;
    store.put_manifest(&manifest("one"), None).await.unwrap();
    let missing = store.manifest(&tag("1.0")).await.unwrap_err();
    assert!(matches!(missing, StoreError::NotFound { .. }), "{missing:?}");
    store.put_manifest(&manifest("two"), Some("1.0")).await.unwrap();
    let store = open(&image, Intent::Pull, &options).await.unwrap();
    let one = Selector::Digest(manifest("one").digest);
    assert_eq!(store.manifest(&one).await.unwrap(), manifest("one"));
    assert_eq!(store.manifest(&tag("1.0")).await.unwrap(), manifest("two"));
    let nameless = store.manifest(&Selector::Only).await.unwrap_err();
    assert!(matches!(nameless, StoreError::NothingSelected(_)));
    for bad in ["", "../tags/list", "a b"] {
        assert!(matches!(store.manifest(&tag(bad)).await, Err(StoreError::Tag(_))), "{bad}");
        let put = store.put_manifest(&manifest("one"), Some(bad)).await;
        assert!(matches!(put, Err(StoreError::Tag(_))), "{bad}");
    }
    assert!(!peer.requests().iter().any(|line| line.contains("tags") || line.contains("a b")));
}

/// docker-registry answers 400 with a code: reported, and not retried.
#[tokio::test]
async fn what_the_registry_refuses_is_told_in_its_words() {
    let peer = Peer::start();
    let image = format!("{}/org/app", peer.host());
    let store = open(&image, Intent::Push, &AccessOptions::default()).await.unwrap();
    let error = store.put_manifest(&manifest("no config"), Some("x")).await.unwrap_err();
    assert!(matches!(error, StoreError::UnexpectedStatus { status: 400, .. }), "{error:?}");
    assert!(told(&error).contains("BLOB_UNKNOWN"), "{}", told(&error));
    let lie = Digest::sha256_of(b"something else");
    let content = BlobContent::Bytes(Bytes::from_static(b"content"));
    let error = store.put_blob(&lie, 7, content).await.unwrap_err();
    assert!(told(&error).contains("DIGEST_INVALID"), "{}", told(&error));
    assert!(!store.has_blob(&lie, 7).await.unwrap());
    assert_eq!(peer.count("PUT", 400), 2, "what is refused is not tried again");
}

/// A file has changed: no session is opened in docker-registry.
#[tokio::test]
async fn a_file_of_another_length_is_not_sent() {
    let peer = Peer::start();
    let image = format!("{}/org/app", peer.host());
    let store = open(&image, Intent::Push, &AccessOptions::default()).await.unwrap();
    let file = peer.file("blob");
    fs::write(&file, "seven b").unwrap();
    let digest = Digest::sha256_of(b"seven b");
    let error = store.put_blob(&digest, 8, BlobContent::File(file)).await.unwrap_err();
    assert!(matches!(error, StoreError::SizeMismatch { expected: 8, .. }), "{error:?}");
    let error = store.put_blob(&digest, 7, BlobContent::File(peer.file("none"))).await;
    assert!(matches!(error, Err(StoreError::Io { .. })), "{error:?}");
    assert_eq!(peer.count("POST", 202), 0);
}

/// The files of docker-registry are replaced: detected by digest and size.
#[tokio::test]
async fn content_that_was_exchanged_in_the_registry_is_noticed() {
    let peer = Peer::start();
    let image = format!("{}/org/app", peer.host());
    let store = open(&image, Intent::Push, &AccessOptions::default()).await.unwrap();
    push_config(&store).await;
    let content = noise(100_000);
    let digest = Digest::sha256_of(&content);
    let upload = BlobContent::Bytes(content.clone().into());
    store.put_blob(&digest, 100_000, upload).await.unwrap();
    store.put_manifest(&manifest("right"), Some("x")).await.unwrap();

    let mut wrong = content;
    wrong[99_999] ^= 1;
    fs::write(peer.blob_file(&digest), &wrong).unwrap();
    let error = drain(store.blob(&digest, 100_000).await.unwrap()).await.unwrap_err();
    let expected =
        BlobMismatch::Digest { expected: digest.clone(), actual: Digest::sha256_of(&wrong) };
    assert_eq!(BlobMismatch::of(&error), Some(&expected));
    let error = store.bytes(&digest, 100_000, 1 << 20).await.unwrap_err();
    assert!(matches!(error, StoreError::DigestMismatch { .. }), "{error:?}");

    for (size, length) in [(99_999, "more"), (100_001, "100000 bytes")] {
        let error = store.bytes(&digest, size, 1 << 20).await.unwrap_err();
        assert!(
            matches!(&error, StoreError::SizeMismatch { actual, .. } if actual == length),
            "{error:?}"
        );
        assert!(!store.has_blob(&digest, size).await.unwrap());
    }

    let right = manifest("right").digest;
    fs::write(peer.blob_file(&right), &manifest("wrong").bytes).unwrap();
    let error = store.manifest(&Selector::Digest(right)).await.unwrap_err();
    assert!(matches!(error, StoreError::DigestMismatch { .. }), "{error:?}");
    let blob = format!("GET /v2/org/app/blobs/{digest} 200");
    assert_eq!(peer.requests().iter().filter(|line| **line == blob).count(), 4);
}

/// Nothing listens, or the name does not exist: different errors.
#[tokio::test]
async fn registries_that_are_not_there() {
    let options = quick();
    let refused = format!("127.0.0.1:{}/org/app:x", peer::free_port());
    for (image, expected) in
        [(refused.as_str(), Unreachable::Refused), ("unknown.invalid/org/app:x", Unreachable::Dns)]
    {
        let error = open(image, Intent::Pull, &options).await.unwrap_err();
        match &error {
            StoreError::Unreachable { kind, .. } => assert_eq!(*kind, expected, "{error:?}"),
            _ => panic!("{error:?}"),
        }
        let told = told(&error);
        let host = image.split('/').next().unwrap();
        assert_eq!(told.matches(host).count(), 1, "nothing is said twice: {told}");
    }
}

/// docker-registry with an untrusted certificate, or without TLS; with `--tls-verify=false` the
/// client uses https or http accordingly.
#[tokio::test]
async fn without_verification_tls_is_tried_first() {
    let tls = Peer::with_tls();
    let plain = Peer::start();
    let options = AccessOptions { tls_verify: false, ..AccessOptions::default() };
    for (peer, scheme) in [(&tls, "https"), (&plain, "http")] {
        let image = format!("{}/org/app", peer.host());
        let store = open(&image, Intent::Push, &options).await.unwrap();
        push_config(&store).await;
        assert!(store.has_blob(&EMPTY_JSON.parse().unwrap(), 2).await.unwrap());
        let base = format!("{scheme}://{}", peer.host());
        assert!(format!("{store:?}").contains(&base), "{store:?}");
        assert_eq!(peer.count("PUT", 201), 1);
    }
}

/// docker-registry wants a client certificate: the client presents it.
#[tokio::test]
async fn a_client_certificate_opens() {
    let (peer, folder) = Peer::with_client_certificates();
    let image = format!("{}/org/app", peer.host());
    let options = AccessOptions { cert_dir: Some(folder.clone()), ..quick() };
    let store = open(&image, Intent::Push, &options).await.unwrap();
    push_config(&store).await;
    assert!(store.has_blob(&EMPTY_JSON.parse().unwrap(), 2).await.unwrap());

    // With the authority alone the registry is trusted, but we are not.
    fs::remove_file(folder.join("own.cert")).unwrap();
    let requests = peer.requests().len();
    open(&image, Intent::Push, &options).await.unwrap_err();
    assert_eq!(peer.requests().len(), requests);
}
