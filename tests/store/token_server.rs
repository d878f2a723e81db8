//! A token server for docker-registry (distribution, docs "Token Authentication"): it checks
//! passwords, knows who may what, and signs tokens.

use std::{
    fs,
    path::PathBuf,
    process::{Command, Stdio},
    time::{SystemTime, UNIX_EPOCH},
};

use base64::{
    Engine as _,
    prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD},
};
use serde_json::{Value, json};
use test_support::scripted::{Answer, Request, Scripted, answer};

/// docker-registry takes tokens for so many seconds after their end.
const LEEWAY: i64 = 60;

pub(crate) struct TokenServer {
    pub(crate) server: Scripted,
    pub(crate) certificate: PathBuf,
    _dir: tempfile::TempDir,
}

/// Who may what: user (empty for all), password, repository, actions.
pub(crate) type Rights =
    &'static [(&'static str, &'static str, &'static str, &'static [&'static str])];

impl TokenServer {
    /// Tokens are good for `lifetime` seconds; what it announces is `told`.
    pub(crate) async fn start(rights: Rights, lifetime: i64, told: Option<i64>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let file = |name: &str| dir.path().join(name);
        let (certificate, key) = (file("token.crt"), file("token.key"));
        let made = Command::new("openssl")
            .args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=tokens"])
            .arg("-keyout")
            .arg(&key)
            .arg("-out")
            .arg(&certificate)
            .stderr(Stdio::null())
            .status()
            .expect("openssl has to be installed");
        assert!(made.success());
        let pem = fs::read_to_string(&certificate).unwrap();
        let der: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
        let signing = dir.path().to_owned();
        let script = move |request: &Request, _: &str| -> Answer {
            let Some(user) = user(request, rights) else {
                return answer(401, &[], br#"{"errors":[{"code":"UNAUTHORIZED"}]}"#);
            };
            let seconds = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
            let expires = i64::try_from(seconds).unwrap() + lifetime - LEEWAY;
            let claims = json!({ "iss": "tests", "sub": user, "aud": "test", "jti": seconds.to_string(),
                "nbf": 0, "iat": 0, "exp": expires, "access": access(request, &user, rights) });
            let token =
                sign(&json!({ "typ": "JWT", "alg": "RS256", "x5c": [der] }), &claims, &signing);
            let mut body = json!({ "token": token });
            if let Some(told) = told {
                body["expires_in"] = told.into();
            }
            answer(200, &[], body.to_string().as_bytes())
        };
        Self { server: Scripted::start(script).await, certificate, _dir: dir }
    }

    pub(crate) fn realm(&self) -> String {
        format!("http://{}/token", self.server.host)
    }

    /// The exchanges so far: who asked for what.
    pub(crate) fn exchanges(&self) -> Vec<(String, String)> {
        let requests = self.server.requests("GET /token");
        let told = |request: &Request| {
            let user = credentials(request).map(|(user, _)| user).unwrap_or_default();
            (user, scopes(request).join(" "))
        };
        requests.iter().map(told).collect()
    }
}

fn credentials(request: &Request) -> Option<(String, String)> {
    let encoded = request.authorization.strip_prefix("Basic ")?;
    let text = String::from_utf8(BASE64_STANDARD.decode(encoded).unwrap()).unwrap();
    text.split_once(':').map(|(user, password)| (user.to_owned(), password.to_owned()))
}

/// Who asks, unless the password is wrong.
fn user(request: &Request, rights: Rights) -> Option<String> {
    let Some((user, password)) = credentials(request) else { return Some(String::new()) };
    rights.iter().any(|right| right.0 == user && right.1 == password).then_some(user)
}

fn scopes(request: &Request) -> Vec<String> {
    let (_, query) = request.line.split_once('?').unwrap_or_default();
    let pairs = url::form_urlencoded::parse(query.as_bytes());
    pairs.filter(|(name, _)| name == "scope").map(|(_, scope)| scope.into_owned()).collect()
}

/// Of what is asked for, what the user has.
fn access(request: &Request, user: &str, rights: Rights) -> Value {
    let scopes = scopes(request);
    let grants = scopes.iter().map(|scope| {
        let [_, repository, actions] = scope.split(':').collect::<Vec<_>>()[..] else { panic!() };
        let has = |action: &&str| {
            rights.iter().any(|&(owner, _, of, has)| {
                (owner == user || owner.is_empty()) && of == repository && has.contains(action)
            })
        };
        let actions: Vec<_> = actions.split(',').filter(has).collect();
        json!({ "type": "repository", "name": repository, "actions": actions })
    });
    grants.collect()
}

/// A JSON Web Token (RFC 7519), signed by openssl.
fn sign(header: &Value, claims: &Value, dir: &std::path::Path) -> String {
    let encode = |part: &[u8]| BASE64_URL_SAFE_NO_PAD.encode(part);
    let text = [header, claims].map(|part| encode(part.to_string().as_bytes())).join(".");
    let file = tempfile::NamedTempFile::new_in(dir).unwrap();
    fs::write(&file, &text).unwrap();
    let signed = Command::new("openssl")
        .args(["dgst", "-sha256", "-sign"])
        .arg(dir.join("token.key"))
        .arg(file.path())
        .output()
        .unwrap();
    assert!(signed.status.success(), "{}", String::from_utf8_lossy(&signed.stderr));
    format!("{text}.{}", encode(&signed.stdout))
}
