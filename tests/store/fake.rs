//! A registry in memory that takes uploads by the book, but for the faults it is given.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use recompress_image::image::{Digest, media_type::OCI_MANIFEST};
use test_support::scripted::{Reaction, Request, Scripted, answer, cut, stall};

/// A fault takes the place of the answer. It gets the number of requests of this method so far,
/// beginning at 1; what the request changes, it has changed by then.
pub(crate) type Fault = Box<dyn Fn(&Request, usize) -> Option<Reaction> + Send + Sync>;

/// How much to read of a request's body; all of it without an answer.
type Limit = Box<dyn Fn(&Request, usize) -> Option<usize> + Send + Sync>;

#[derive(Default)]
pub(crate) struct Fake {
    /// Headers of the answer to POST.
    pub(crate) on_post: Vec<String>,
    /// Requests that are not read to the end.
    pub(crate) limit: Option<Limit>,
    /// A fault in place of what a request does.
    pub(crate) refuse: Option<Fault>,
    /// A fault in place of the answer, after the request has been obeyed.
    pub(crate) garble: Option<Fault>,
}

#[derive(Default)]
pub(crate) struct Held {
    pub(crate) blobs: HashMap<String, Vec<u8>>,
    sessions: HashMap<String, Vec<u8>>,
    counts: HashMap<String, usize>,
}

impl Held {
    /// How many sessions are open.
    pub(crate) fn open(&self) -> usize {
        self.sessions.len()
    }
}

impl Fake {
    /// Says nothing to requests with one of these methods.
    pub(crate) fn silent_at(methods: &'static [&'static str]) -> Self {
        let refuse: Fault =
            Box::new(|request, _| methods.contains(&request.method()).then(|| stall(vec![])));
        Self { refuse: Some(refuse), ..Self::default() }
    }

    /// The same, and it takes manifests and gives them back.
    pub(crate) fn taking_manifests(self) -> Self {
        let manifests = Mutex::new(HashMap::<String, Vec<u8>>::new());
        let before = self.refuse;
        let refuse: Fault = Box::new(move |request, count| {
            if let Some(refused) = before.as_ref().and_then(|fault| fault(request, count)) {
                return Some(refused);
            }
            let path = request.line.split(' ').nth(1)?.to_owned();
            let mut manifests = manifests.lock().unwrap();
            match request.method() {
                "PUT" if path.contains("/manifests/") => {
                    manifests.insert(path, request.body.clone());
                    Some(answer(201, &[], b"").into())
                }
                "GET" if path.contains("/manifests/") => {
                    let kind = format!("Content-Type: {OCI_MANIFEST}");
                    let found = manifests.get(&path);
                    let found = found.map(|manifest| answer(200, &[&kind], manifest));
                    Some(found.unwrap_or_else(|| answer(404, &[], b"")).into())
                }
                _ => None,
            }
        });
        Self { refuse: Some(refuse), ..self }
    }

    /// Starts it; what it holds can be looked at from outside.
    pub(crate) async fn start(self) -> (Scripted, Arc<Mutex<Held>>) {
        let held = Arc::new(Mutex::new(Held::default()));
        let (inside, counting) = (Arc::clone(&held), Arc::clone(&held));
        let fake = Arc::new(self);
        let limiting = Arc::clone(&fake);
        let limit = move |request: &Request| {
            let count = {
                let mut held = counting.lock().unwrap();
                let count = held.counts.entry(request.method().to_owned()).or_default();
                *count += 1;
                *count
            };
            let limit = limiting.limit.as_ref().and_then(|limit| limit(request, count));
            limit.unwrap_or(usize::MAX)
        };
        let script = move |request: &Request, _: &str| {
            let mut held = inside.lock().unwrap();
            let count = held.counts[request.method()];
            if let Some(refused) = fake.refuse.as_ref().and_then(|fault| fault(request, count)) {
                return refused;
            }
            let obeyed = fake.obey(&mut held, request);
            let garbled = fake.garble.as_ref().and_then(|fault| fault(request, count));
            garbled.unwrap_or_else(|| obeyed.into())
        };
        (Scripted::start_reading(limit, script).await, held)
    }

    fn obey(&self, held: &mut Held, request: &Request) -> Vec<u8> {
        let path = request.line.split(' ').nth(1).unwrap();
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        let name = path.rsplit('/').next().unwrap().to_owned();
        match request.method() {
            "HEAD" => match held.blobs.get(&name) {
                Some(blob) => cut(200, &[], blob.len(), b""),
                None => answer(404, &[], b""),
            },
            "POST" => {
                let id = format!("s{}", held.counts["POST"]);
                held.sessions.insert(id.clone(), Vec::new());
                let mut headers = vec![format!("Location: ../uploads/{id}")];
                headers.extend(self.on_post.clone());
                let headers: Vec<_> = headers.iter().map(String::as_str).collect();
                answer(202, &headers, b"")
            }
            "GET" if path == "/v2/" => answer(200, &[], b""),
            "GET" if name.starts_with("sha256:") => match held.blobs.get(&name) {
                Some(blob) if request.header("range") == "bytes=0-0" && !blob.is_empty() => {
                    answer(206, &[&format!("Content-Range: bytes 0-0/{}", blob.len())], &blob[..1])
                }
                Some(blob) => answer(200, &[], blob),
                None => answer(404, &[], b""),
            },
            method => {
                let Some(session) = held.sessions.get_mut(&name) else {
                    return answer(404, &[], br#"{"errors":[{"code":"BLOB_UPLOAD_UNKNOWN"}]}"#);
                };
                match method {
                    "GET" => answer(204, &[&range(session.len())], b""),
                    "PATCH" => {
                        let first = request.header("content-range").split('-').next().unwrap();
                        if first.parse() != Ok(session.len()) {
                            return answer(416, &[&range(session.len())], b"");
                        }
                        session.extend_from_slice(&request.body);
                        answer(202, &[&range(session.len())], b"")
                    }
                    "PUT" => {
                        session.extend_from_slice(&request.body);
                        if !request.is_whole() {
                            return answer(500, &[], b"");
                        }
                        let blob = held.sessions.remove(&name).unwrap();
                        let digest = Digest::sha256_of(&blob).to_string();
                        if !query.replace("%3A", ":").contains(&digest) {
                            let body = br#"{"errors":[{"code":"DIGEST_INVALID"}]}"#;
                            return answer(400, &[], body);
                        }
                        held.blobs.insert(digest, blob);
                        answer(201, &["Location: /blob"], b"")
                    }
                    "DELETE" => {
                        held.sessions.remove(&name);
                        answer(204, &[], b"")
                    }
                    other => panic!("{other}"),
                }
            }
        }
    }
}

fn range(length: usize) -> String {
    format!("Range: 0-{}", length.saturating_sub(1))
}
