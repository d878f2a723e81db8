//! Credentials, against a registry that wants a password.

use std::fs;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use bytes::Bytes;
use recompress_image::store::{AccessOptions, BlobContent, Intent, Refusal, StoreError};

use super::{EMPTY_JSON, manifest, open, peer::Peer, told};

/// Options with a credentials file for `key`.
fn credentials(peer: &Peer, key: &str, password: &str) -> AccessOptions {
    let authfile = peer.file("auth.json");
    let auth = BASE64_STANDARD.encode(format!("tester:{password}"));
    let document = serde_json::json!({ "auths": { key: { "auth": auth } } });
    fs::write(&authfile, document.to_string()).unwrap();
    AccessOptions { authfile: Some(authfile), ..AccessOptions::default() }
}

/// docker-registry wants a password: the client sends it with all requests but the first.
#[tokio::test]
async fn the_right_password_opens() {
    let peer = Peer::with_password();
    let image = format!("{}/org/app", peer.host());
    let options = credentials(&peer, &image, "correct horse");
    let store = open(&image, Intent::Push, &options).await.unwrap();
    let content = BlobContent::Bytes(Bytes::from_static(b"{}"));
    store.put_blob(&EMPTY_JSON.parse().unwrap(), 2, content).await.unwrap();
    store.put_manifest(&manifest("x"), Some("x")).await.unwrap();
    let selector = recompress_image::store::Selector::Tag("x".to_owned());
    assert_eq!(store.manifest(&selector).await.unwrap(), manifest("x"));
    // The ping alone goes without a password.
    assert_eq!((peer.count("GET", 401), peer.count("PUT", 201)), (1, 2));
}

/// docker-registry refuses the password with 401: the error says which credentials were used and
/// where they came from, never what they are; nothing is published.
#[tokio::test]
async fn a_wrong_password_and_none_at_all() {
    let peer = Peer::with_password();
    let image = format!("{}/org/app", peer.host());
    let wrong = credentials(&peer, &peer.host(), "wrong horse");
    let refused = |error: StoreError| match error {
        StoreError::Unauthorized(refusal) => *refusal,
        error => panic!("{error:?}"),
    };
    let refusals = |options: AccessOptions| {
        let image = image.clone();
        async move {
            let store = open(&image, Intent::Push, &options).await.unwrap();
            let digest = EMPTY_JSON.parse().unwrap();
            let content = BlobContent::Bytes(Bytes::from_static(b"{}"));
            [
                store.has_blob(&digest, 2).await.unwrap_err(),
                store.bytes(&digest, 2, 2).await.unwrap_err(),
                store.put_blob(&digest, 2, content).await.unwrap_err(),
                store.put_manifest(&manifest("x"), Some("x")).await.unwrap_err(),
            ]
        }
    };
    for error in refusals(wrong).await {
        let text = told(&error);
        let Refusal { status, registry, repository, credentials, .. } = refused(error);
        assert_eq!((status, registry, repository), (401, peer.host(), "org/app".to_owned()));
        assert_eq!(credentials.unwrap().file, peer.file("auth.json"));
        assert!(text.contains("auth.json") && !text.contains("horse"), "{text}");
    }
    let elsewhere = credentials(&peer, "quay.io", "correct horse");
    for error in refusals(elsewhere).await {
        let text = told(&error);
        assert_eq!(refused(error).credentials, None);
        assert!(text.contains("no credentials were found"), "{text}");
    }
    assert!(peer.requests().iter().all(|request| request.ends_with(" 401")));
    assert!(peer.requests().len() >= 8, "{:?}", peer.requests());
}

/// A missing credentials file: no request is sent, and the error names the file.
#[tokio::test]
async fn a_credentials_file_that_was_named_has_to_exist() {
    let peer = Peer::with_password();
    let image = format!("{}/org/app", peer.host());
    let authfile = Some(peer.file("missing.json"));
    let options = AccessOptions { authfile, ..AccessOptions::default() };
    let error = open(&image, Intent::Pull, &options).await.unwrap_err();
    assert!(matches!(error, StoreError::Credentials(_)), "{error:?}");
    assert!(told(&error).contains("missing.json"), "{}", told(&error));
    assert_eq!(peer.requests().len(), 0);
}
