//! Several SBOMs on one image, and lists that do not say what they list.

use recompress_image::{
    attached::{AttachedKind, SbomChoice, carry_sbom, list},
    image::media_type::{EMPTY, OCI_INDEX, OCI_MANIFEST},
    store::{Intent, RawManifest, Store},
};
use serde_json::{Value, json};
use test_support::work_dir;

use super::{
    artifact,
    documents::{pretty, spdx_of_konflux},
    image, kinds, open, put_blob, subject, tagged,
};

const SPDX: &str = "application/spdx+json";

/// A layout with the image `old`, and one with the image `new`.
struct Layouts {
    _dir: tempfile::TempDir,
    from: String,
    to: String,
    source: Store,
    destination: Store,
}

async fn layouts() -> Layouts {
    let dir = work_dir();
    let at = |name: &str| format!("oci:{}/{name}:1", dir.path().display());
    let (from, to) = (at("from"), at("to"));
    let (source, destination) = (open(&from, Intent::Push).await, open(&to, Intent::Push).await);
    for (store, name) in [(&source, "old"), (&destination, "new")] {
        put_blob(store, b"{}").await;
        store.put_manifest(&image(name), Some("1")).await.unwrap();
    }
    Layouts { _dir: dir, from, to, source, destination }
}

impl Layouts {
    async fn attach(&self, manifest: &RawManifest, blob: &[u8], tag: &str) {
        put_blob(&self.source, blob).await;
        self.source.put_manifest(manifest, Some(tag)).await.unwrap();
    }

    /// What was carried, and what was said of each SBOM that was not.
    async fn carry(&self, choice: &SbomChoice) -> (Option<String>, Vec<String>) {
        let (old, new) = (image("old"), image("new"));
        let mut found = list(&self.source, &old.digest).await.found;
        let (from, to) = (subject(&self.from, &old.digest), subject(&self.to, &new.digest));
        let carried =
            carry_sbom(&self.source, &self.destination, &mut found, choice, &from, &to, &new);
        let carried = carried.await.unwrap().map(|carried| carried.source.to_string());
        let sboms = found.into_iter().filter(|item| item.kind == AttachedKind::Sbom);
        (carried, sboms.filter_map(|item| item.reason).collect())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn out_of_different_sboms_none_is_picked() {
    let layouts = layouts().await;
    let old = image("old").digest;
    let good = pretty(&spdx_of_konflux("quay.io/org/app", &old));
    let mut other = spdx_of_konflux("quay.io/org/app", &old);
    other["comment"] = "nothing to see here".into();
    let other = pretty(&other);
    let first = artifact(SPDX, &old, Some((SPDX, &good)));
    layouts.attach(&first, &good, "first").await;
    let (carried, reasons) = layouts.carry(&SbomChoice::Only).await;
    assert_eq!((carried, reasons), (Some(first.digest.to_string()), vec![]));

    // The same document once more, in another way.
    let cosign = tagged("text/spdx+json", &good);
    layouts.attach(&cosign, &good, &format!("sha256-{}.sbom", old.hex())).await;
    let (carried, reasons) = layouts.carry(&SbomChoice::Only).await;
    assert_eq!(carried, Some(first.digest.to_string()));
    assert_eq!(reasons, ["the same document was copied"]);

    let second = artifact(SPDX, &old, Some((SPDX, &other)));
    layouts.attach(&second, &other, "second").await;
    let (carried, reasons) = layouts.carry(&SbomChoice::Only).await;
    assert_eq!((carried, reasons.len()), (None, 3));
    assert!(reasons.iter().all(|reason| reason.contains("2 different SBOMs")), "{reasons:?}");

    // By the document's digest, or by that of its manifest.
    let document = serde_json::from_slice::<Value>(&second.bytes).unwrap()["layers"][0]["digest"]
        .as_str()
        .unwrap()
        .parse()
        .unwrap();
    for digest in [document, second.digest.clone()] {
        let (carried, reasons) = layouts.carry(&SbomChoice::Named(digest)).await;
        assert_eq!((carried, reasons.len()), (Some(second.digest.to_string()), 2));
    }
    let nowhere = SbomChoice::Named(image("nothing").digest);
    assert_eq!(layouts.carry(&nowhere).await.0, None);
}

/// Some registries give the type of the config, as they did before artifacts had types of their own.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_list_does_not_say_is_in_the_manifest() {
    const BUNDLE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";
    let layouts = layouts().await;
    let old = image("old");
    let document = pretty(&spdx_of_konflux("quay.io/org/app", &old.digest));
    let sbom = artifact(SPDX, &old.digest, Some((SPDX, &document)));
    let bundle = artifact(BUNDLE, &old.digest, Some((BUNDLE, b"bundle")));
    let mut bundle: Value = serde_json::from_slice(&bundle.bytes).unwrap();
    bundle["annotations"] = json!({
        "dev.sigstore.bundle.content": "dsse-envelope",
        "dev.sigstore.bundle.predicateType": "https://slsa.dev/provenance/v1",
    });
    let bundle = RawManifest::new(bundle.to_string(), OCI_MANIFEST);
    let source = &layouts.source;
    for blob in [&document[..], b"bundle"] {
        put_blob(source, blob).await;
    }
    let entry = |manifest: &RawManifest| {
        json!({"mediaType": OCI_MANIFEST, "digest": manifest.digest, "size": manifest.size(),
            "artifactType": EMPTY})
    };
    for manifest in [&sbom, &bundle] {
        source.put_manifest(manifest, None).await.unwrap();
    }
    let index = json!({"schemaVersion": 2, "mediaType": OCI_INDEX,
        "manifests": [entry(&sbom), entry(&bundle)]});
    let index = RawManifest::new(index.to_string(), OCI_INDEX);
    let tag = format!("sha256-{}", old.digest.hex());
    source.put_manifest(&index, Some(&tag)).await.unwrap();
    let found = list(source, &old.digest).await.found;
    assert_eq!(kinds(&found), [(AttachedKind::Attestation, BUNDLE), (AttachedKind::Sbom, SPDX)]);
    let (carried, _) = layouts.carry(&SbomChoice::Only).await;
    assert_eq!(carried, Some(sbom.digest.to_string()));
}

/// GitLab's registry tags manifests with their own digests.
#[tokio::test(flavor = "multi_thread")]
async fn a_tag_that_is_the_image_itself_is_passed_over() {
    let layouts = layouts().await;
    let old = image("old");
    let tag = format!("sha256-{}", old.digest.hex());
    layouts.source.put_manifest(&old, Some(&tag)).await.unwrap();
    let listing = list(&layouts.source, &old.digest).await;
    assert!(listing.found.is_empty() && listing.unlisted.is_empty(), "{listing:?}");
}
