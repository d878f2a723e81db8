//! Lists of what is attached to an image, and registries that make it hard.

use recompress_image::{
    attached::{AttachedKind, FoundIn, Listing, list},
    image::{Digest, media_type::OCI_INDEX},
    store::Intent,
};
use serde_json::{Value, json};
use test_support::scripted::{Answer, Scripted, answer};

use super::{
    api::{self, Manner},
    artifact, image, open, put_blob, tagged,
};

async fn scripted(
    script: impl Fn(&str, &str) -> Option<Answer> + Send + Sync + 'static,
) -> Scripted {
    Scripted::start(move |request, host| match request.line.as_str() {
        "GET /v2/" => answer(200, &[], b""),
        line => script(line, host).unwrap_or_else(|| answer(404, &[], b"")),
    })
    .await
}

fn entry(name: &str) -> Value {
    json!({
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "digest": Digest::sha256_of(name.as_bytes()),
        "size": 7,
        "artifactType": "application/spdx+json",
    })
}

fn index(entries: &[Value]) -> Vec<u8> {
    json!({ "schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries }).to_string().into()
}

const INDEX: &str = "Content-Type: application/vnd.oci.image.index.v1+json";

#[tokio::test]
async fn all_pages_and_all_tags_each_thing_once() {
    let registry = api::start(Manner { page: 2, says_so: true }).await;
    let store = open(&format!("{}/a", registry.host), Intent::Push).await;
    put_blob(&store, b"{}").await;
    let subject = image("old").digest;
    let kinds = ["application/spdx+json", "application/vnd.cncf.notary.signature", "x/y"];
    let mut expected = Vec::new();
    for kind in kinds {
        let manifest = artifact(kind, &subject, None);
        store.put_manifest(&manifest, None).await.unwrap();
        expected.push(manifest.digest);
    }
    // Under cosign's tag too; not twice in the list.
    let twice = artifact("text/spdx", &subject, Some(("text/spdx", b"{}")));
    store.put_manifest(&twice, Some(&format!("sha256-{}.sbom", subject.hex()))).await.unwrap();
    let signature = tagged("application/vnd.dev.cosign.simplesigning.v1+json", b"{}");
    store.put_manifest(&signature, Some(&format!("sha256-{}.sig", subject.hex()))).await.unwrap();
    // Of another image.
    let other = artifact("x/y", &image("new").digest, None);
    store.put_manifest(&other, None).await.unwrap();

    let listing = list(&store, &subject).await;
    assert_eq!(listing.unlisted, Vec::<String>::new());
    expected.extend([twice.digest, signature.digest.clone()]);
    let mut found: Vec<_> = listing.found.iter().map(|item| item.digest.clone()).collect();
    found.sort();
    expected.sort();
    assert_eq!(found, expected);
    let kinds: Vec<_> = listing.found.iter().map(|item| item.kind).collect();
    assert_eq!(
        kinds,
        [
            AttachedKind::Signature,
            AttachedKind::Signature,
            AttachedKind::Sbom,
            AttachedKind::Sbom,
            AttachedKind::Other
        ]
    );
    let tag = FoundIn::Tag(format!("sha256-{}.sig", subject.hex()));
    let signature = listing.found.iter().find(|item| item.digest == signature.digest).unwrap();
    assert_eq!((&signature.found_in, signature.size > 100), (&tag, true));
    let pages = registry.requests("GET /v2/a/referrers/").len();
    assert_eq!(pages, 2);
}

/// An image without anything: nothing to tell, and nothing to warn of.
#[tokio::test]
async fn nothing_hangs_on_it() {
    let registry = scripted(|_, _| None).await;
    let store = open(&registry.image(), Intent::Pull).await;
    assert_eq!(list(&store, &image("old").digest).await, Listing::default());
}

/// Some registries refuse access to what does not exist.
#[tokio::test]
async fn refusals_are_told_and_the_rest_is_listed() {
    let tag = format!("sha256-{}", image("old").digest.hex());
    let own = tag.clone();
    let registry = scripted(move |line, _| match line {
        line if line.ends_with(&own) => Some(answer(200, &[INDEX], &index(&[entry("x")]))),
        line if line.rsplit('.').next() == Some("sbom") => None,
        _ => Some(answer(403, &[], b"")),
    })
    .await;
    let store = open(&registry.image(), Intent::Pull).await;
    let listing = list(&store, &image("old").digest).await;
    assert_eq!(listing.found.len(), 1);
    assert_eq!(listing.found[0].found_in, FoundIn::Index(tag));
    // The referrers, .sig and .att.
    assert_eq!(listing.unlisted.len(), 3, "{listing:?}");
    assert!(listing.unlisted.iter().all(|told| told.contains("403")), "{listing:?}");
}

#[tokio::test]
async fn answers_of_no_use_are_told() {
    let elsewhere = Scripted::start(|_, _| answer(200, &[], b"")).await;
    let away = format!("Link: <http://{}/v2/more>; rel=\"next\"", elsewhere.host);
    let long = vec![b' '; (4 << 20) + 1];
    let cases: [(&str, Vec<String>, Vec<u8>, &str); 4] = [
        ("no index", vec![], b"{}".to_vec(), "no list of manifests"),
        ("too long", vec![], long, "larger than the limit of 4194304 bytes"),
        ("leads away", vec![away], index(&[entry("x")]), "next page is not in the registry"),
        ("odd entries", vec![], index(&[entry("x"), json!(5), json!({})]), "2 entries"),
    ];
    for (name, headers, body, words) in cases {
        let registry = scripted(move |line, _| {
            let headers: Vec<_> = headers.iter().map(String::as_str).collect();
            line.contains("/referrers/").then(|| answer(200, &headers, &body))
        })
        .await;
        let store = open(&registry.image(), Intent::Pull).await;
        let listing = list(&store, &image("old").digest).await;
        assert_eq!(listing.unlisted.len(), 1, "{name}: {listing:?}");
        assert!(listing.unlisted[0].contains(words), "{name}: {listing:?}");
    }
    assert!(elsewhere.requests("GET").is_empty());
}

/// A list without an end is read for a while.
#[tokio::test]
async fn lists_have_a_bound() {
    let next = "Link: <?more>; rel=\"next\"";
    let registry = scripted(move |line, _| {
        line.contains("/referrers/").then(|| answer(200, &[INDEX, next], &index(&[entry("x")])))
    })
    .await;
    let store = open(&registry.image(), Intent::Pull).await;
    let listing = list(&store, &image("old").digest).await;
    assert_eq!((listing.found.len(), listing.unlisted.len()), (1, 1), "{listing:?}");
    assert_eq!(registry.requests("GET /v2/org/app/referrers/").len(), 16);

    let many: Vec<_> = (0..1500).map(|n| entry(&n.to_string())).collect();
    let registry = scripted(move |line, _| {
        line.contains("/referrers/").then(|| answer(200, &[INDEX, next], &index(&many)))
    })
    .await;
    let store = open(&registry.image(), Intent::Pull).await;
    let listing = list(&store, &image("old").digest).await;
    assert_eq!((listing.found.len(), listing.unlisted.len()), (1000, 1), "{listing:?}");
    assert_eq!(registry.requests("GET /v2/org/app/referrers/").len(), 1);
}

/// Artifact types are the words of strangers.
#[tokio::test]
async fn foreign_words_are_cleaned() {
    let mut entry = entry("x");
    entry["artifactType"] = format!("evil\u{1b}[31m\n{}", "x".repeat(1000)).into();
    let registry = scripted(move |line, _| {
        line.contains("/referrers/").then(|| answer(200, &[INDEX], &index(&[entry.clone()])))
    })
    .await;
    let store = open(&registry.image(), Intent::Pull).await;
    let found = list(&store, &image("old").digest).await.found;
    assert!(found[0].media_type.starts_with("evil[31mx"), "{found:?}");
    assert!(found[0].media_type.len() <= 160);
}
