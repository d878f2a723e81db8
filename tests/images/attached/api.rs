//! A registry in memory that has the referrers API (distribution-spec 1.1), which those that
//! distributions ship lack. `oras` judges whether it speaks it.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use recompress_image::image::{
    Digest,
    media_type::{OCI_INDEX, OCI_MANIFEST},
};
use serde_json::{Value, json};
use test_support::scripted::{Answer, Request, Scripted, answer, cut};

/// What the registry holds.
#[derive(Default)]
struct Held {
    blobs: BTreeMap<String, Vec<u8>>,
    /// By digest and by tag.
    manifests: BTreeMap<String, Vec<u8>>,
}

/// How the registry behaves.
#[derive(Clone, Copy)]
pub(crate) struct Manner {
    /// Entries of a page.
    pub(crate) page: usize,
    /// Whether it says that it has understood a subject.
    pub(crate) says_so: bool,
}

/// Starts it, with nothing in it.
pub(crate) async fn start(manner: Manner) -> Scripted {
    let held = Arc::new(Mutex::new(Held::default()));
    Scripted::start(move |request, _| held.lock().unwrap().obey(request, manner)).await
}

impl Held {
    fn obey(&mut self, request: &Request, manner: Manner) -> Answer {
        let target = request.line.split(' ').nth(1).unwrap();
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let mut parts = path.rsplit('/');
        let (name, kind) = (parts.next().unwrap(), parts.next().unwrap());
        let digest = query.rsplit('=').next().unwrap().replace("%3A", ":");
        match (request.method(), kind) {
            ("GET", "v2") => answer(200, &[], b""),
            ("POST", _) => answer(202, &["Location: uploads/one"], b""),
            ("PUT", "uploads") => {
                assert_eq!(digest, Digest::sha256_of(&request.body).as_str());
                self.blobs.insert(digest, request.body.clone());
                answer(201, &["Location: /blob"], b"")
            }
            ("PUT", "manifests") => self.put_manifest(name, &request.body, manner),
            (method, "manifests") => {
                let Some(body) = self.manifests.get(name) else { return answer(404, &[], b"") };
                let document: Value = serde_json::from_slice(body).unwrap();
                let media_type = document["mediaType"].as_str().unwrap();
                let digest = format!("Docker-Content-Digest: {}", Digest::sha256_of(body));
                found(method, &[&format!("Content-Type: {media_type}"), &digest], body)
            }
            (method, "blobs") => match self.blobs.get(name) {
                Some(blob) => found(method, &[], blob),
                None => answer(404, &[], b""),
            },
            ("GET", "referrers") => self.referrers(path, name, query, manner.page),
            _ => panic!("{}", request.line),
        }
    }

    fn put_manifest(&mut self, name: &str, body: &[u8], manner: Manner) -> Answer {
        let document: Value = serde_json::from_slice(body).unwrap();
        let blobs = document["layers"].as_array().into_iter().flatten();
        for blob in blobs.chain(document.get("config")) {
            assert!(self.blobs.contains_key(blob["digest"].as_str().unwrap()), "{blob}");
        }
        let digest = Digest::sha256_of(body).to_string();
        self.manifests.insert(digest.clone(), body.to_vec());
        self.manifests.insert(name.to_owned(), body.to_vec());
        let mut headers = vec![format!("Docker-Content-Digest: {digest}")];
        if let Some(subject) = document["subject"]["digest"].as_str().filter(|_| manner.says_so) {
            headers.push(format!("OCI-Subject: {subject}"));
        }
        let headers: Vec<_> = headers.iter().map(String::as_str).collect();
        answer(201, &headers, b"")
    }

    fn referrers(&self, path: &str, subject: &str, query: &str, page: usize) -> Answer {
        let by_digest = self.manifests.iter().filter(|(name, _)| name.starts_with("sha256:"));
        let all: Vec<_> = by_digest.filter_map(|(_, body)| entry(body, subject)).collect();
        let first: usize = query.strip_prefix("from=").map_or(0, |from| from.parse().unwrap());
        let shown = all.iter().skip(first).take(page).collect::<Vec<_>>();
        let index = json!({ "schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": shown });
        let next = format!("Link: <{path}?from={}>; rel=\"next\"", first + page);
        let content_type = format!("Content-Type: {OCI_INDEX}");
        let headers = [content_type.as_str(), next.as_str()];
        let is_last = first + page >= all.len();
        answer(200, &headers[..if is_last { 1 } else { 2 }], index.to_string().as_bytes())
    }
}

fn entry(manifest: &[u8], subject: &str) -> Option<Value> {
    let document: Value = serde_json::from_slice(manifest).unwrap();
    (document["subject"]["digest"] == subject).then(|| {
        json!({
            "mediaType": OCI_MANIFEST,
            "digest": Digest::sha256_of(manifest),
            "size": manifest.len(),
            "artifactType": document["artifactType"],
        })
    })
}

fn found(method: &str, headers: &[&str], body: &[u8]) -> Answer {
    match method {
        "HEAD" => cut(200, headers, body.len(), b""),
        _ => answer(200, headers, body),
    }
}
