//! Attached signatures, attestations and SBOMs: listed, and an SBOM copied to another image.

mod api;
mod choosing;
mod documents;
mod layouts;
mod listing;
mod registries;
mod rewriting;
mod validity;

use std::time::Duration;

use bytes::Bytes;
use recompress_image::{
    attached::{Attached, AttachedKind, CarriedSbom, SbomChoice, Subject, carry_sbom, list},
    image::{Digest, ImageReference, media_type::OCI_MANIFEST},
    store::{AccessOptions, BlobContent, Intent, Patience, RawManifest, Store, StoreError},
};
use serde_json::{Value, json};

/// The digest of `{}`.
const EMPTY_JSON: &str = "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a";

/// The manifest of an image with an empty config.
fn manifest(layers: &[Value]) -> Value {
    json!({
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": {
            "mediaType": "application/vnd.oci.image.config.v1+json",
            "digest": EMPTY_JSON,
            "size": 2,
        },
        "layers": layers,
    })
}

/// The manifest of a small image; `name` makes it one of its own.
fn image(name: &str) -> RawManifest {
    let mut document = manifest(&[]);
    document["annotations"] = json!({ "name": name });
    RawManifest::new(document.to_string(), OCI_MANIFEST)
}

/// The manifest of something that refers to `subject`.
fn artifact(kind: &str, subject: &Digest, layer: Option<(&str, &[u8])>) -> RawManifest {
    let layers: Vec<Value> = layer
        .into_iter()
        .map(|(media_type, blob)| {
            let digest = Digest::sha256_of(blob);
            json!({ "mediaType": media_type, "digest": digest, "size": blob.len() })
        })
        .collect();
    let document = json!({
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "artifactType": kind,
        "config": {
            "mediaType": "application/vnd.oci.empty.v1+json",
            "digest": EMPTY_JSON,
            "size": 2,
        },
        "layers": layers,
        "subject": { "mediaType": OCI_MANIFEST, "digest": subject, "size": 1 },
    });
    RawManifest::new(document.to_string(), OCI_MANIFEST)
}

/// A manifest of cosign's: an image that is none.
fn tagged(media_type: &str, blob: &[u8]) -> RawManifest {
    let layer = json!({
        "mediaType": media_type, "digest": Digest::sha256_of(blob), "size": blob.len(),
    });
    RawManifest::new(manifest(&[layer]).to_string(), OCI_MANIFEST)
}

async fn open(image: &str, intent: Intent) -> Store {
    // Nothing is waited for longer than a test should take.
    let patience = Patience {
        tries: 3,
        first_delay: Duration::from_millis(2),
        idle: Duration::from_secs(5),
        commit: Duration::from_secs(4),
        lag: Duration::from_millis(500),
    };
    let options = AccessOptions { patience, ..AccessOptions::default() };
    Store::open(&image.parse().unwrap(), intent, &options).await.unwrap()
}

async fn put_blob(store: &Store, blob: &[u8]) {
    let (digest, size) = (Digest::sha256_of(blob), blob.len() as u64);
    let content = BlobContent::Bytes(Bytes::copy_from_slice(blob));
    store.put_blob(&digest, size, content).await.unwrap();
}

/// Has the two images in `from` and `to`, and carries over what is attached to the first.
async fn carry(from: &str, to: &str) -> Result<(Option<CarriedSbom>, Vec<Attached>), StoreError> {
    let (source, destination) = (open(from, Intent::Pull).await, open(to, Intent::Push).await);
    let (old, new) = (image("old"), image("new"));
    let listing = list(&source, &old.digest).await;
    assert_eq!(listing.unlisted, Vec::<String>::new());
    let mut found = listing.found;
    let (old, subject) = (subject(from, &old.digest), subject(to, &new.digest));
    let only = &SbomChoice::Only;
    let carried = carry_sbom(&source, &destination, &mut found, only, &old, &subject, &new).await?;
    Ok((carried, found))
}

fn subject(image: &str, digest: &Digest) -> Subject {
    Subject::new(&image.parse::<ImageReference>().unwrap(), digest)
}

/// What was found, in short.
fn kinds(found: &[Attached]) -> Vec<(AttachedKind, &str)> {
    found.iter().map(|item| (item.kind, item.media_type.as_str())).collect()
}
