//! An SBOM carried over, in a registry without the referrers API and in one that has it.

use recompress_image::{
    attached::{
        Attached, AttachedKind, CarriedSbom, FoundIn, SbomChoice, SbomFormat, carry_sbom, list,
        rewrite,
    },
    image::{
        Digest,
        media_type::{OCI_INDEX, OCI_MANIFEST},
    },
    store::{Intent, RawManifest, Selector, StoreError},
};
use serde_json::{Value, json};
use test_support::{
    need,
    peers::Peers,
    registry::Registry,
    scripted::{Scripted, answer},
};

use super::{
    api::{self, Manner},
    artifact, carry,
    documents::{cyclonedx_of_konflux, pretty, spdx_of_konflux},
    image, kinds, open, put_blob, subject, tagged,
};

const SPDX: &str = "application/spdx+json";
const SIGNATURE: &str = "application/vnd.dev.cosign.simplesigning.v1+json";

/// Puts the old image with all that is attached to it into `from`, and the new one into `to`.
async fn prepare(from: &str, to: &str, sbom: &RawManifest, blobs: &[&[u8]]) {
    let source = open(from, Intent::Push).await;
    for blob in [&b"{}"[..], b"signature"].iter().chain(blobs) {
        put_blob(&source, blob).await;
    }
    let old = image("old");
    source.put_manifest(&old, Some("1")).await.unwrap();
    let signature = tagged(SIGNATURE, b"signature");
    source.put_manifest(&signature, Some(&cosign(&old.digest, "sig"))).await.unwrap();
    let attestation = artifact("application/vnd.in-toto+json", &old.digest, None);
    let referring: Vec<_> = [&attestation, sbom]
        .into_iter()
        .filter(|manifest| {
            let document: Value = serde_json::from_slice(&manifest.bytes).unwrap();
            document.get("subject").is_some()
        })
        .collect();
    let mut entries = Vec::new();
    for manifest in referring {
        source.put_manifest(manifest, None).await.unwrap();
        entries.push(json!({
            "mediaType": OCI_MANIFEST,
            "digest": manifest.digest,
            "size": manifest.bytes.len(),
            "artifactType": serde_json::from_slice::<Value>(&manifest.bytes).unwrap()["artifactType"],
        }));
    }
    if source.referrers(&old.digest).await.unwrap().is_none() {
        let index = json!({ "schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries });
        let index = RawManifest::new(index.to_string(), OCI_INDEX);
        let tag = format!("sha256-{}", old.digest.hex());
        source.put_manifest(&index, Some(&tag)).await.unwrap();
    }
    let destination = open(to, Intent::Push).await;
    put_blob(&destination, b"{}").await;
    destination.put_manifest(&image("new"), Some("2")).await.unwrap();
}

fn cosign(digest: &Digest, suffix: &str) -> String {
    format!("sha256-{}.{suffix}", digest.hex())
}

/// The real registry blocks, so it lives outside of a runtime.
fn block<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Runtime::new().unwrap().block_on(work)
}

/// The carried document is where both kinds of clients look for it.
async fn check(to: &str, carried: &CarriedSbom, expected: &str) {
    let (store, new) = (open(to, Intent::Pull).await, image("new"));
    assert_eq!(carried.digest, Digest::sha256_of(expected.as_bytes()));
    let document = store.bytes(&carried.digest, carried.size, 1 << 20).await.unwrap();
    assert_eq!(document, expected.as_bytes());
    let by_digest = store.manifest(&Selector::Digest(carried.referrer.clone())).await.unwrap();
    let referring: Value = serde_json::from_slice(&by_digest.bytes).unwrap();
    assert_eq!(referring["artifactType"], carried.format.media_type());
    assert_eq!(referring["layers"][0]["digest"], carried.digest.as_str());
    assert_eq!(
        referring["subject"],
        json!({ "mediaType": OCI_MANIFEST, "digest": new.digest, "size": new.bytes.len() })
    );
    assert_eq!(carried.tag, cosign(&new.digest, "sbom"));
    let tagged = store.manifest(&Selector::Tag(carried.tag.clone())).await.unwrap();
    let tagged: Value = serde_json::from_slice(&tagged.bytes).unwrap();
    let media_type = match carried.format {
        SbomFormat::Spdx => "text/spdx+json",
        SbomFormat::CycloneDx => "application/vnd.cyclonedx+json",
    };
    assert_eq!(tagged["layers"][0]["mediaType"], media_type);
    assert_eq!(tagged["layers"][0]["digest"], carried.digest.as_str());
    let listing = list(&store, &new.digest).await;
    assert_eq!(listing.unlisted, Vec::<String>::new());
    let sboms = listing.found.iter().filter(|item| item.kind == AttachedKind::Sbom).count();
    assert_eq!((sboms, listing.found.len()), (2, 2), "{listing:?}");
}

fn expected(document: &[u8], from: &str, to: &str) -> String {
    let (old, new) = (image("old").digest, image("new").digest);
    rewrite(document, &subject(from, &old), &subject(to, &new)).unwrap().1
}

/// What `oras discover` lists.
fn discovered(peers: &Peers, image: &str) -> Vec<String> {
    let output = peers.run(&["oras", "discover", "--plain-http", "--format=json", image]);
    let found: Value = serde_json::from_slice(&output.stdout).unwrap();
    let list = found.get("referrers").or(found.get("manifests")).and_then(Value::as_array);
    let list = list.unwrap_or_else(|| panic!("{found}"));
    list.iter().map(|entry| entry["digest"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn to_a_registry_without_the_referrers_api() {
    let test = "to_a_registry_without_the_referrers_api";
    let Some(registry) = need(test, Registry::start()) else { return };
    let (from, to) =
        (format!("{}/org/app:1", registry.host()), format!("{}/else/app:2", registry.host()));
    let old = image("old").digest;
    let document = pretty(&spdx_of_konflux(&format!("{}/org/app", registry.host()), &old));
    let sbom = artifact(SPDX, &old, Some((SPDX, &document)));
    block(prepare(&from, &to, &sbom, &[&document]));

    let (carried, found) = block(carry(&from, &to)).unwrap();
    let carried = carried.unwrap();
    block(check(&to, &carried, &expected(&document, &from, &to)));
    let url = format!("{}/else/app@{}", registry.host(), carried.digest);
    assert_eq!(carried.blob_url(&to.parse().unwrap()), url);
    assert_eq!(
        kinds(&found),
        [
            (AttachedKind::Signature, SIGNATURE),
            (AttachedKind::Attestation, "application/vnd.in-toto+json"),
            (AttachedKind::Sbom, SPDX),
        ]
    );
    let fates: Vec<_> = found.iter().map(|item| (item.carried, item.reason.is_some())).collect();
    assert_eq!(fates, [(false, true), (false, true), (true, false)]);
    assert_eq!(found[2].found_in, FoundIn::Index(format!("sha256-{}", old.hex())));
    let told = serde_json::to_value(&found[0]).unwrap();
    assert_eq!(told["kind"], "signature");
    assert_eq!(told["found_in"], cosign(&old, "sig"));

    // The second time nothing is written.
    let before = registry.requests().len();
    assert_eq!(block(carry(&from, &to)).unwrap().0, Some(carried.clone()));
    let requests = registry.requests();
    let written = requests[before..].iter().filter(|r| r.method != "GET" && r.method != "HEAD");
    assert_eq!(written.count(), 0, "{:?}", &requests[before..]);

    let Some(peers) = need(test, Peers::find()) else { return };
    let image = format!("{}/else/app@{}", registry.host(), image("new").digest);
    assert_eq!(discovered(&peers, &image), [carried.referrer.as_str()]);
}

#[tokio::test(flavor = "multi_thread")]
async fn to_a_registry_with_the_referrers_api() {
    let registry = api::start(Manner { page: 1, says_so: true }).await;
    let (from, to) =
        (format!("{}/org/app:1", registry.host), format!("{}/org/app:2", registry.host));
    let old = image("old").digest;
    let document = pretty(&cyclonedx_of_konflux("1.6", "quay.io/org/app", &old));
    let kind = "application/vnd.cyclonedx+json";
    let sbom = artifact(kind, &old, Some((kind, &document)));
    prepare(&from, &to, &sbom, &[&document]).await;

    let (carried, found) = carry(&from, &to).await.unwrap();
    let carried = carried.unwrap();
    check(&to, &carried, &expected(&document, &from, &to)).await;
    assert_eq!(found[2].found_in, FoundIn::Referrers);
    assert!(found[2].carried);
    // No index is written where the registry has one of its own.
    let index = format!("PUT /v2/org/app/manifests/sha256-{}", image("new").digest.hex());
    assert!(registry.requests(&index).iter().all(|request| request.line != index));

    let before = written(&registry);
    assert_eq!(carry(&from, &to).await.unwrap().0, Some(carried.clone()));
    assert_eq!(written(&registry), before);

    let test = "to_a_registry_with_the_referrers_api";
    let Some(peers) = need(test, Peers::find()) else { return };
    let name = format!("{}/org/app@{}", registry.host, image("new").digest);
    let digests = tokio::task::spawn_blocking(move || discovered(&peers, &name)).await.unwrap();
    assert_eq!(digests, [carried.referrer.as_str()]);
}

fn written(registry: &Scripted) -> usize {
    ["PUT", "POST", "PATCH"].iter().map(|method| registry.requests(method).len()).sum()
}

/// A registry that lists referrers but does not say so is told by the index too.
#[tokio::test(flavor = "multi_thread")]
async fn an_index_is_written_unless_the_registry_says_otherwise() {
    let registry = api::start(Manner { page: 100, says_so: false }).await;
    let (from, to) =
        (format!("{}/org/app:1", registry.host), format!("{}/org/app:2", registry.host));
    let old = image("old").digest;
    let document = pretty(&spdx_of_konflux("quay.io/org/app", &old));
    let sbom = artifact(SPDX, &old, Some((SPDX, &document)));
    prepare(&from, &to, &sbom, &[&document]).await;
    let carried = carry(&from, &to).await.unwrap().0.unwrap();
    let store = open(&to, Intent::Pull).await;
    let tag = Selector::Tag(format!("sha256-{}", image("new").digest.hex()));
    let index: Value = serde_json::from_slice(&store.manifest(&tag).await.unwrap().bytes).unwrap();
    assert_eq!(index["manifests"][0]["digest"], carried.referrer.as_str());
    assert_eq!(index["manifests"][0]["artifactType"], SPDX);
}

/// The entries of others stay in the index.
#[test]
fn the_index_keeps_what_it_has() {
    let test = "the_index_keeps_what_it_has";
    let Some(registry) = need(test, Registry::start()) else { return };
    block(keep_the_index(registry.host()));
}

async fn keep_the_index(host: String) {
    let (from, to) = (format!("{host}/a:1"), format!("{host}/a:2"));
    let old = image("old").digest;
    let document = pretty(&spdx_of_konflux("quay.io/org/app", &old));
    let sbom = tagged("text/spdx+json", &document);
    prepare(&from, &to, &artifact("other", &old, None), &[&document]).await;
    let store = open(&to, Intent::Push).await;
    store.put_manifest(&sbom, Some(&cosign(&old, "sbom"))).await.unwrap();
    let new = image("new").digest;
    let scan = artifact("application/scan", &new, None);
    store.put_manifest(&scan, None).await.unwrap();
    let entry = json!({
        "mediaType": OCI_MANIFEST, "digest": scan.digest, "size": scan.bytes.len(), "x": 1.50,
    });
    let index = json!({ "schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [entry] });
    let tag = format!("sha256-{}", new.hex());
    let index = RawManifest::new(index.to_string(), OCI_INDEX);
    store.put_manifest(&index, Some(&tag)).await.unwrap();

    let carried = carry(&from, &to).await.unwrap().0.unwrap();
    let index = store.manifest(&Selector::Tag(tag)).await.unwrap();
    let index: Value = serde_json::from_slice(&index.bytes).unwrap();
    assert_eq!(index["manifests"][0], entry);
    assert_eq!(index["manifests"][1]["digest"], carried.referrer.as_str());
}

/// Whatever is wrong with an SBOM, it is a reason and no failure; the next one is taken.
#[tokio::test(flavor = "multi_thread")]
async fn an_sbom_that_cannot_be_carried_is_told() {
    let old = image("old").digest;
    let good = pretty(&cyclonedx_of_konflux("1.5", "quay.io/org/app", &old));
    let sized = |size: u64| {
        let manifest = artifact(SPDX, &old, Some((SPDX, b"{}")));
        let mut document: Value = serde_json::from_slice(&manifest.bytes).unwrap();
        document["layers"][0]["size"] = size.into();
        RawManifest::new(document.to_string(), OCI_MANIFEST)
    };
    for (name, bad, blob, words) in [
        ("no JSON", artifact(SPDX, &old, Some((SPDX, b"{"))), &b"{"[..], "not a JSON object"),
        ("no document", artifact(SPDX, &old, None), b"", "has no document"),
        ("too large", sized((64 << 20) + 1), b"", "larger than the limit of 67108864 bytes"),
        ("damaged", sized(3), b"", "cannot be read from the source"),
        (
            "XML",
            artifact("text/spdx", &old, Some(("text/spdx+xml", b"<x/>"))),
            b"<x/>",
            "only SPDX and CycloneDX in JSON",
        ),
        (
            "another image",
            artifact(SPDX, &image("new").digest, Some((SPDX, b"{}"))),
            b"",
            "refers to another image",
        ),
    ] {
        let registry = api::start(Manner { page: 1, says_so: true }).await;
        let (from, to) = (format!("{}/a:1", registry.host), format!("{}/b:2", registry.host));
        prepare(&from, &to, &artifact("other", &old, None), &[blob, &good]).await;
        let source = open(&from, Intent::Push).await;
        let sbom = tagged("application/vnd.cyclonedx+json", &good);
        source.put_manifest(&sbom, Some(&cosign(&old, "sbom"))).await.unwrap();
        source.put_manifest(&bad, None).await.unwrap();
        let destination = open(&to, Intent::Push).await;
        let mut found = list(&source, &old).await.found;
        if name == "another image" {
            // As an index tells it that anybody can write.
            let sbom = found.iter().find(|item| item.kind == AttachedKind::Sbom).unwrap().clone();
            let (digest, found_in) = (bad.digest.clone(), FoundIn::Referrers);
            found.push(Attached { digest, found_in, media_type: SPDX.into(), ..sbom });
        }
        let new = image("new");
        let (from, to) = (subject(&from, &old), subject(&to, &new.digest));
        let is_of_another = name == "another image";
        for (choice, good_is_carried, words) in [
            (SbomChoice::Named(bad.digest.clone()), false, words),
            (SbomChoice::Named(sbom.digest.clone()), true, "--sbom names another SBOM"),
            (SbomChoice::Only, is_of_another, "2 different SBOMs"),
        ] {
            let words = if is_of_another { "refers to another image" } else { words };
            let carried = carry_sbom(&source, &destination, &mut found, &choice, &from, &to, &new);
            let carried = carried.await.unwrap().map(|carried| carried.source);
            assert_eq!(carried, good_is_carried.then(|| sbom.digest.clone()), "{name}");
            let of = |digest: &Digest| found.iter().find(|item| item.digest == *digest).unwrap();
            assert_eq!(of(&sbom.digest).carried, good_is_carried, "{name}");
            let reason = of(&bad.digest).reason.as_deref().unwrap();
            assert!(reason.contains(words), "{name}: {reason}");
        }
    }
}

/// What goes wrong at the destination is an error, and not a reason.
#[test]
fn a_destination_that_refuses_fails_the_run() {
    let test = "a_destination_that_refuses_fails_the_run";
    let Some(registry) = need(test, Registry::start()) else { return };
    block(refuse(registry.host()));
}

async fn refuse(host: String) {
    let (from, to) = (format!("{host}/a:1"), format!("{host}/b:2"));
    let old = image("old").digest;
    let document = pretty(&spdx_of_konflux("quay.io/org/app", &old));
    prepare(&from, &to, &artifact(SPDX, &old, Some((SPDX, &document))), &[&document]).await;
    let source = open(&from, Intent::Pull).await;
    let refusing = Scripted::start(|request, _| match request.method() {
        "GET" if request.line.ends_with("/v2/") => answer(200, &[], b""),
        "POST" => answer(403, &[], br#"{"errors":[{"code":"DENIED"}]}"#),
        _ => answer(404, &[], b""),
    })
    .await;
    let destination = open(&format!("{}/b:2", refusing.host), Intent::Push).await;
    let mut found = list(&source, &old).await.found;
    let new = image("new");
    let (from, to) = (subject(&from, &old), subject(&to, &new.digest));
    let only = &SbomChoice::Only;
    let carried = carry_sbom(&source, &destination, &mut found, only, &from, &to, &new);
    assert!(matches!(carried.await.unwrap_err(), StoreError::Denied(_)));
    assert!(found.iter().all(|item| !item.carried));
}
