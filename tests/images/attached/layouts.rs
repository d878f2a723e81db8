//! SBOMs in OCI image layouts, which `oras` reads and writes too.

use recompress_image::{
    attached::{AttachedKind, FoundIn, list},
    image::Digest,
    store::{Intent, Selector},
};
use serde_json::Value;
use test_support::{need, peers::Peers, work_dir};

use super::{
    artifact, carry,
    documents::{pretty, spdx_of_konflux},
    image, open, put_blob, tagged,
};

const SPDX: &str = "application/spdx+json";

#[tokio::test(flavor = "multi_thread")]
async fn from_layout_to_layout() {
    let test = "from_layout_to_layout";
    let peers = need(test, Peers::find());
    let own = work_dir();
    let dir = peers.as_ref().map_or(own.path(), Peers::work).to_owned();
    let (from, to) =
        (format!("oci:{}/from:1", dir.display()), format!("oci:{}/to:2", dir.display()));
    let old = image("old").digest;
    let document = pretty(&spdx_of_konflux("quay.io/org/app", &old));
    let source = open(&from, Intent::Push).await;
    for blob in [&b"{}"[..], b"signature", &document] {
        put_blob(&source, blob).await;
    }
    source.put_manifest(&image("old"), Some("1")).await.unwrap();
    let signature = tagged("application/vnd.dev.cosign.simplesigning.v1+json", b"signature");
    let tag = format!("sha256-{}.sig", old.hex());
    source.put_manifest(&signature, Some(&tag)).await.unwrap();
    let sbom = artifact(SPDX, &old, Some((SPDX, &document)));
    source.put_manifest(&sbom, Some("a-tag-of-its-own")).await.unwrap();
    let destination = open(&to, Intent::Push).await;
    put_blob(&destination, b"{}").await;
    destination.put_manifest(&image("new"), Some("2")).await.unwrap();

    let (carried, found) = carry(&from, &to).await.unwrap();
    let carried = carried.unwrap();
    let places: Vec<_> = found.iter().map(|item| (item.kind, &item.found_in)).collect();
    assert_eq!(
        places,
        [(AttachedKind::Signature, &FoundIn::Tag(tag)), (AttachedKind::Sbom, &FoundIn::Referrers)]
    );
    let listing = list(&destination, &image("new").digest).await;
    let digests: Vec<_> = listing.found.iter().map(|item| item.digest.clone()).collect();
    assert!(digests.contains(&carried.referrer) && digests.len() == 2, "{listing:?}");
    // The image is still the only one.
    assert_eq!(destination.manifest(&Selector::Only).await.unwrap(), image("new"));

    let index = || std::fs::read(dir.join("to/index.json")).unwrap();
    let before = index();
    assert_eq!(carry(&from, &to).await.unwrap().0.unwrap(), carried);
    assert_eq!(index(), before);

    let Some(peers) = peers else { return };
    let name = format!("{}/to@{}", dir.display(), image("new").digest);
    let output = peers.run(&["oras", "discover", "--oci-layout", "--format=json", &name]);
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    let list = told.get("referrers").or(told.get("manifests")).unwrap();
    assert_eq!(list[0]["digest"], carried.referrer.as_str(), "{told}");
}

/// What oras attaches is found.
#[tokio::test(flavor = "multi_thread")]
async fn attached_by_oras() {
    let Some(peers) = need("attached_by_oras", Peers::find()) else { return };
    let dir = peers.work().to_owned();
    let store = open(&format!("oci:{}/layout:1", dir.display()), Intent::Push).await;
    put_blob(&store, b"{}").await;
    store.put_manifest(&image("old"), Some("1")).await.unwrap();
    std::fs::write(dir.join("sbom.json"), "{}").unwrap();
    let target = format!("{}/layout:1", dir.display());
    let file = format!("{}:{SPDX}", dir.join("sbom.json").display());
    let attach = ["oras", "attach", "--oci-layout", "--disable-path-validation"];
    peers.run(&[&attach[..], &["--artifact-type", SPDX, &target, &file]].concat());
    let listing = list(&store, &image("old").digest).await;
    assert_eq!(listing.unlisted, Vec::<String>::new());
    let [found] = listing.found.as_slice() else { panic!("{listing:?}") };
    assert_eq!((found.kind, found.media_type.as_str()), (AttachedKind::Sbom, SPDX));
    assert_eq!(store.manifest(&Selector::Only).await.unwrap(), image("old"));
    assert_ne!(found.digest, Digest::sha256_of(b""));
}
