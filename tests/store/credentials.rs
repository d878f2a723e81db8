//! Credentials, against a registry that wants a password.

use std::fs;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use bytes::Bytes;
use recompress_image::store::{
    AccessOptions, BlobContent, CredentialOrigin, Creds, Intent, Refusal, StoreError,
};

use super::{
    EMPTY_JSON, manifest, open,
    peer::Peer,
    quick,
    sample::{Sample, convert, ends, program, run},
    told,
};

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
        let (file, key) = (peer.file("auth.json"), peer.host());
        assert_eq!(credentials, Some(CredentialOrigin::File { file, key }));
        assert!(text.contains("auth.json") && !text.contains("horse"), "{text}");
    }
    let elsewhere = credentials(&peer, "quay.io", "correct horse");
    for error in refusals(elsewhere).await {
        let text = told(&error);
        assert_eq!(refused(error).credentials, None);
        let words = format!("auth.json has no entry for {}", peer.host());
        assert!(text.contains(&words) && !text.contains("podman login"), "{text}");
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

/// docker-registry wants a password that is given as an option or as a variable, for one side or
/// for both: the conversion succeeds, and no output has the password. A wrong one ends with exit
/// code 3 and names the user alone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn given_credentials() {
    const RIGHT: &str = "tester:correct horse";
    let (secured, open) = (Peer::with_password(), Peer::start());
    let image = format!("{}/org/app", secured.host());
    let creds = Creds { user: "tester".into(), password: "correct horse".into() };
    let options = AccessOptions { creds: Some(creds), ..quick() };
    let source = Sample::new(&[1000], 31).push(&format!("{image}:in"), &options).await;
    let authfile = credentials(&secured, &secured.host(), "correct horse").authfile.unwrap();
    let wrong = credentials(&open, &secured.host(), "wrong horse").authfile.unwrap();
    let [authfile, wrong] = [authfile, wrong].map(|file| file.display().to_string());
    let (within, outside) = (format!("{image}:out"), format!("{}/org/app:out", open.host()));
    for (number, (to, options, variables)) in [
        (&within, vec!["--creds", RIGHT], vec![]),
        (&within, vec![], vec![("RECOMPRESS_CREDS", RIGHT)]),
        (&within, vec!["--src-creds", RIGHT, "--dest-creds", RIGHT], vec![]),
        (&within, vec!["--authfile", &wrong, "--creds", RIGHT], vec![]),
        (&within, vec!["--src-authfile", &authfile, "--dest-creds", RIGHT], vec![]),
        (&within, vec!["--src-creds", RIGHT, "--dest-authfile", &authfile], vec![]),
        (
            &within,
            vec!["--authfile", &wrong, "--dest-authfile", &authfile, "--src-creds", RIGHT],
            vec![],
        ),
        (&outside, vec!["--src-creds", RIGHT], vec![]),
        (&outside, vec!["--src-authfile", &authfile, "--authfile", &wrong], vec![]),
        (&outside, vec![], vec![("RECOMPRESS_SRC_CREDS", RIGHT)]),
        (&outside, vec!["--creds", RIGHT, "--dest-creds", "nobody:else"], vec![]),
    ]
    .into_iter()
    .enumerate()
    {
        let mut command = convert(&source, &format!("{to}{number}"));
        command.args(&options).args(["-vv"]).envs(variables.iter().copied());
        let told = ends(&run(command).await, 0, &["debug ["]);
        assert!(!told.contains("correct horse"), "{options:?} {variables:?}: {told}");
    }

    for (options, code, words) in [
        (
            vec!["--creds", "tester:wrong horse"],
            3,
            vec!["credentials of user \"tester\"", "rejected"],
        ),
        (
            vec!["--src-creds", RIGHT, "--dest-creds", "other:wrong horse"],
            3,
            vec!["user \"other\""],
        ),
        (
            vec!["--src-creds", "correct horse"],
            2,
            vec!["invalid value for --src-creds", "USER:PASSWORD"],
        ),
        (vec!["--creds", ":correct horse"], 2, vec!["invalid value for --creds"]),
        (vec!["--dest-creds", "correct horse:"], 2, vec!["invalid value for --dest-creds"]),
    ] {
        let mut command = convert(&source, &format!("{within}x"));
        command.args(&options);
        let told = ends(&run(command).await, code, &words);
        assert!(!told.contains("horse"), "{options:?}: {told}");
    }
    // The password of one registry never goes to another.
    let mut command = convert(&source, &outside);
    command.args(["--creds", RIGHT]);
    ends(&run(command).await, 2, &["--src-creds and --dest-creds"]);
    let mut command = program();
    command.args(["verify", &format!("{outside}7"), "--against", &source, "--creds", RIGHT]);
    ends(&run(command).await, 3, &["no credentials were found", "`podman login", "--creds or"]);
    for argument in ["-h", "--help"] {
        let mut command = program();
        command.args(["convert", argument]).env("RECOMPRESS_DEST_CREDS", RIGHT);
        assert!(!ends(&run(command).await, 0, &["--dest-creds"]).contains("horse"));
    }
}

/// `REGISTRY_AUTH_FILE` names a file that does not exist: one line says so, and the run goes on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_missing_registry_auth_file_is_reported() {
    let peer = Peer::start();
    let image = format!("{}/org/app", peer.host());
    let source = Sample::new(&[1000], 32).push(&format!("{image}:in"), &quick()).await;
    let mut command = convert(&source, &format!("{image}:out"));
    command.env("REGISTRY_AUTH_FILE", "/nonexistent/auth.json");
    let told = ends(&run(command).await, 0, &["REGISTRY_AUTH_FILE names /nonexistent/auth.json"]);
    assert_eq!(told.matches("REGISTRY_AUTH_FILE").count(), 1, "{told}");
}
