#![allow(clippy::unwrap_used, clippy::expect_used)]

use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde_json::json;

use super::*;

/// An entry with the given user name; the password is always `secret`.
fn entry(user: &str) -> Value {
    json!({ "auth": BASE64_STANDARD.encode(format!("{user}:secret")) })
}

fn no_helper(_: &str, _: &str) -> Result<DockerCredential, CredentialRetrievalError> {
    Err(CredentialRetrievalError::HelperCommunicationError)
}

fn lookup(document: &Value, image: &str, helper: Helper<'_>) -> Result<Option<String>, AuthError> {
    let (registry, repository) = image.split_once('/').unwrap();
    let file = AuthFile::parse("auth.json".into(), document.to_string().as_bytes())?;
    let found = file.find(registry, repository, helper)?;
    Ok(found.map(|found| match found.credential {
        Credential::Password { user, password } => {
            assert_eq!(password, "secret");
            user
        }
        Credential::IdentityToken(token) => {
            assert_eq!(token, "secret");
            "<token>".to_owned()
        }
    }))
}

/// Which of the keys wins for `image`; every entry's user is its key.
fn winner(keys: &[&str], image: &str) -> Option<String> {
    let auths: Map<String, Value> =
        keys.iter().map(|key| ((*key).to_owned(), entry(&key.replace(':', "_")))).collect();
    lookup(&json!({ "auths": auths }), image, &no_helper).unwrap()
}

#[test]
fn keys_match_whole_segments_of_one_host() {
    for (keys, image, expected) in [
        (&["quay.io"][..], "quay.io/org/app", Some("quay.io")),
        (&["quay.io", "quay.io/org"], "quay.io/org/app", Some("quay.io/org")),
        (&["quay.io/org/app", "quay.io/org"], "quay.io/org/app", Some("quay.io/org/app")),
        (&["quay.io/org/app", "quay.io"], "quay.io/org/app2", Some("quay.io")),
        (&["quay.io/org"], "quay.io/organisation/app", None),
        (&["quay.io/org/app/deep"], "quay.io/org/app", None),
        (&["quay.io/org/"], "quay.io/org/app", Some("quay.io/org/")),
        (&["quay.io"], "quay.io.evil.example/org/app", None),
        (&["quay.io"], "notquay.io/org/app", None),
        (&["quay.io"], "quay.io:8443/org/app", None),
        (&["quay.io:8443"], "quay.io/org/app", None),
        (&["localhost:5000"], "localhost:5000/app", Some("localhost_5000")),
        (&["QUAY.io"], "quay.io/org/app", Some("QUAY.io")),
        (&["https://quay.io"], "quay.io/org/app", Some("https_//quay.io")),
        (&["http://quay.io/v2/"], "quay.io/org/app", Some("http_//quay.io/v2/")),
        (&["https://quay.io/org"], "quay.io/other/app", None),
        (&["https://quay.io", "quay.io"], "quay.io/org/app", Some("quay.io")),
        (&["quay.io/v2"], "quay.io/org/app", None),
        (&["quay.io/v2/"], "quay.io/org/app", Some("quay.io/v2/")),
        (&["localhost:5000/v1/"], "localhost:5000/app", Some("localhost_5000/v1/")),
        (&["quay.io/v2/", "quay.io/org"], "quay.io/org/app", Some("quay.io/org")),
        (&["quay.io/v2"], "quay.io/v2/app", Some("quay.io/v2")),
        (&["quay.io/v2/org/"], "quay.io/org/app", None),
        (&["quay.io/v2/"], "ghcr.io/org/app", None),
        (&["*.quay.io", ""], "quay.io/org/app", None),
        (
            &["https://index.docker.io/v1/"],
            "docker.io/library/x",
            Some("https_//index.docker.io/v1/"),
        ),
        (&["index.docker.io"], "docker.io/org/app", Some("index.docker.io")),
        (&["registry-1.docker.io"], "docker.io/org/app", Some("registry-1.docker.io")),
        (&["docker.io/org", "docker.io"], "docker.io/org/app", Some("docker.io/org")),
        (&["docker.io"], "index.example/org/app", None),
    ] {
        assert_eq!(winner(keys, image).as_deref(), expected, "{keys:?} for {image}");
    }
}

#[test]
fn forms_of_an_entry() {
    let find =
        |value: Value| lookup(&json!({ "auths": { "quay.io": value } }), "quay.io/a", &no_helper);
    let plain = json!({ "username": "me", "password": "secret" });
    let empty_auth = json!({ "auth": "", "username": "me", "password": "secret", "email": "" });
    let unpadded = json!({ "auth": BASE64_STANDARD.encode("me:secret").trim_end_matches('=') });
    let zeros = json!({ "auth": BASE64_STANDARD.encode("me:secret\0\0") });
    for value in [plain, empty_auth, unpadded, zeros, entry("me")] {
        assert_eq!(find(value.clone()).unwrap().as_deref(), Some("me"), "{value}");
    }
    for none in [json!({}), json!({ "auth": "" }), json!({ "auth": null }), json!(null)] {
        assert_eq!(find(none.clone()).unwrap(), None, "{none}");
    }
    for bad in [
        json!("secret"),
        json!({ "auth": 5 }),
        json!({ "auth": "c2VjcmV0" }),
        json!({ "auth": "§" }),
    ] {
        assert!(matches!(find(bad.clone()), Err(AuthError::Malformed { .. })), "{bad}");
    }
    let token = json!({ "auth": BASE64_STANDARD.encode("me:"), "identitytoken": "secret" });
    assert_eq!(find(token).unwrap().as_deref(), Some("<token>"));
}

#[test]
fn the_legacy_form_has_its_keys_at_the_top() {
    let document = json!({ "https://quay.io/v1/": entry("legacy"), "ghcr.io": entry("other") });
    let find = |image| lookup(&document, image, &no_helper).unwrap();
    assert_eq!(find("quay.io/org/app").as_deref(), Some("legacy"));
    assert_eq!(find("ghcr.io/org/app").as_deref(), Some("other"));
    assert_eq!(find("docker.io/org/app"), None);
    // An entry beside `auths` is none.
    let both = json!({ "auths": {}, "quay.io": entry("stray") });
    assert_eq!(lookup(&both, "quay.io/org/app", &no_helper).unwrap(), None);
}

#[test]
fn an_empty_entry_gives_way_to_the_next_key() {
    let document = json!({ "auths": { "quay.io/org": { "auth": "" }, "quay.io": entry("wide") } });
    assert_eq!(lookup(&document, "quay.io/org/app", &no_helper).unwrap().as_deref(), Some("wide"));
    assert_eq!(lookup(&json!({ "auths": null }), "quay.io/a", &no_helper).unwrap(), None);
}

#[test]
fn helpers() {
    let helper = |server: &str, name: &str| match (server, name) {
        ("quay.io", "good") | ("https://index.docker.io/v1/", "store") => {
            Ok(DockerCredential::UsernamePassword(format!("{name} {server}"), "secret".to_owned()))
        }
        (_, "token") => Ok(DockerCredential::IdentityToken("secret".to_owned())),
        (_, "none") => Err(CredentialRetrievalError::HelperFailure {
            helper: name.to_owned(),
            stdout: "credentials not found in native keychain".to_owned(),
            stderr: String::new(),
        }),
        _ => Err(CredentialRetrievalError::HelperCommunicationError),
    };
    let find = |document: Value, image| lookup(&document, image, &helper);
    let auths = json!({ "quay.io/org": entry("file") });
    let with = |name: &str| json!({ "credHelpers": { "quay.io": name }, "auths": auths });
    assert_eq!(find(with("good"), "quay.io/org/a").unwrap().as_deref(), Some("good quay.io"));
    assert_eq!(find(with("none"), "quay.io/org/a").unwrap().as_deref(), Some("file"));
    assert_eq!(find(with(""), "quay.io/org/a").unwrap().as_deref(), Some("file"));
    assert!(matches!(find(with("broken"), "quay.io/org/a"), Err(AuthError::Helper { .. })));
    assert_eq!(find(with("token"), "quay.io/a").unwrap().as_deref(), Some("<token>"));
    assert_eq!(find(with("good"), "ghcr.io/a").unwrap(), None);
    let store = json!({ "credsStore": "store" });
    let expected = Some("store https://index.docker.io/v1/");
    assert_eq!(find(store, "docker.io/library/a").unwrap().as_deref(), expected);
    assert_eq!(find(json!({ "credsStore": "desktop" }), "quay.io/a").unwrap(), None);
}

#[test]
fn a_helper_that_does_not_exist_is_named() {
    let document = json!({ "credHelpers": { "quay.io": "there-is-none-of-this-name" } });
    let error = lookup(&document, "quay.io/a", &ask_helper).unwrap_err().to_string();
    assert!(error.contains("docker-credential-there-is-none-of-this-name"), "{error}");
}

struct Files {
    dir: tempfile::TempDir,
}

impl Files {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn write(&self, name: &str, content: &str) {
        std::fs::create_dir_all(self.path(name).parent().unwrap()).unwrap();
        std::fs::write(self.path(name), content).unwrap();
    }

    fn environment(&self) -> Environment {
        Environment {
            registry_auth_file: Some(self.path("named.json")),
            runtime_auth_file: Some(self.path("run/auth.json")),
            config_home: None,
            docker_config: None,
            home: Some(self.path("home")),
            tekton: Some(self.path("tekton")),
        }
    }
}

fn user(found: Option<FoundCredential>) -> Option<String> {
    match found?.credential {
        Credential::Password { user, .. } => Some(user),
        other @ Credential::IdentityToken(_) => panic!("{other:?}"),
    }
}

#[test]
fn files_are_searched_in_order_and_until_one_matches() {
    let files = Files::new();
    let environment = files.environment();
    let find = || user(find("quay.io", "org/app", None, &environment).unwrap());
    assert_eq!(find(), None);
    let order = [
        "tekton/.docker/config.json",
        "home/.docker/config.json",
        "home/.config/containers/auth.json",
        "run/auth.json",
        "named.json",
    ];
    for name in order {
        files.write(name, &json!({ "auths": { "ghcr.io": entry("foreign") } }).to_string());
    }
    assert_eq!(find(), None);
    for name in order {
        files.write(name, &json!({ "auths": { "quay.io": entry(name) } }).to_string());
        assert_eq!(find().as_deref(), Some(name));
    }
    files.write("named.json", " \n");
    assert_eq!(find().as_deref(), Some("run/auth.json"), "an empty file has no match");
}

#[test]
fn variables_replace_places_below_home() {
    let files = Files::new();
    let environment = Environment {
        config_home: Some("/config".into()),
        docker_config: Some("/docker".into()),
        ..files.environment()
    };
    let expected = [
        files.path("named.json"),
        files.path("run/auth.json"),
        "/config/containers/auth.json".into(),
        "/docker/config.json".into(),
        files.path("tekton/.docker/config.json"),
        files.path("home/.dockercfg"),
    ];
    assert_eq!(environment.files(), expected);
    assert_eq!(Environment::default().files(), <[PathBuf; 0]>::default(), "HOME may be unset");
}

#[test]
fn a_named_file_is_the_only_one_and_must_exist() {
    let files = Files::new();
    let auths = |user| json!({ "auths": { "quay.io": entry(user) } }).to_string();
    files.write("run/auth.json", &auths("usual"));
    files.write("named.json", "{}");
    let environment = files.environment();
    let find = |name: &str| find("quay.io", "a", Some(&files.path(name)), &environment);
    assert_eq!(user(find("named.json").unwrap()), None);
    assert!(matches!(find("missing.json"), Err(AuthError::Missing(_))));
    files.write("named.json", &auths("named"));
    assert_eq!(user(find("named.json").unwrap()).as_deref(), Some("named"));
}

#[test]
fn a_malformed_file_is_named_and_not_quoted() {
    let files = Files::new();
    for content in
        [r#"{"auths":{"quay.io":{"auth":"secret}}}"#, r#"["secret"]"#, r#"{"auths":"secret"}"#]
    {
        files.write("named.json", content);
        let error = find("quay.io", "a", None, &files.environment()).unwrap_err();
        let text = format!("{error} {error:?}");
        assert!(text.contains("named.json"), "{text}");
        assert!(!text.contains("secret"), "{text}");
    }
}

#[test]
fn no_secret_in_debug_output() {
    let document = json!({ "auths": { "quay.io": entry("me") } }).to_string();
    let file = AuthFile::parse("a".into(), document.as_bytes()).unwrap();
    let found = file.find("quay.io", "a", &no_helper).unwrap().unwrap();
    assert!(!format!("{found:?}").contains("secret"));
    assert!(!format!("{:?}", Credential::IdentityToken("secret".to_owned())).contains("secret"));
}
