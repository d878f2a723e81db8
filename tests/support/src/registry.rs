//! The real docker-registry on a loopback port.

use std::{
    fs::{self, File},
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use reqwest::{Method, StatusCode, header};
use tempfile::TempDir;

use crate::{http::Http, media_type, peers::Peers, work_dir};

const HOST_BINARY: &str = "/usr/bin/docker-registry";
const PATIENCE: Duration = Duration::from_secs(30);

/// A running registry with an empty store. Dropping the handle stops it.
pub struct Registry {
    child: Child,
    port: u16,
    dir: TempDir,
    http: Http,
}

/// One line of the access log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    pub method: String,
    /// Path and query.
    pub path: String,
    pub status: u16,
    /// Bytes of the response's body.
    pub bytes: u64,
}

impl Registry {
    /// Starts the machine's docker-registry, or that of `hack/peers`.
    pub fn start() -> Result<Self, String> {
        let peers = if Path::new(HOST_BINARY).exists() {
            None
        } else {
            Some(Peers::find().map_err(|why| format!("no {HOST_BINARY}, and {why}"))?)
        };
        // Another process may take the free port before the registry does.
        (0..5)
            .find_map(|_| Self::try_start(peers.as_ref()))
            .ok_or_else(|| "docker-registry exits at once; run it by hand to see why".to_owned())
    }

    fn try_start(peers: Option<&Peers>) -> Option<Self> {
        let dir = work_dir();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let config = dir.path().join("config.yml");
        fs::write(&config, configuration(&dir.path().join("storage"), port)).unwrap();
        let mut command = match peers {
            None => Command::new(HOST_BINARY),
            Some(peers) => peers.command(dir.path(), &["docker-registry"]),
        };
        let log = |name| File::create(dir.path().join(name)).unwrap();
        let child = command
            .args(["serve".as_ref(), config.as_os_str()])
            .env("OTEL_TRACES_EXPORTER", "none")
            .stdin(Stdio::null())
            .stdout(log("access.log"))
            .stderr(log("error.log"))
            .spawn()
            .unwrap();
        let mut registry = Self { child, port, dir, http: Http::new() };
        registry.wait_until_ready().then_some(registry)
    }

    fn wait_until_ready(&mut self) -> bool {
        let url = self.url("");
        let started = Instant::now();
        while started.elapsed() < PATIENCE {
            if self.child.try_wait().unwrap().is_some() {
                return false;
            }
            let answer = self.http.try_send(Method::GET, &url, |request| request);
            if answer.is_ok_and(|response| response.status == StatusCode::OK) {
                return true;
            }
            thread::sleep(Duration::from_millis(20));
        }
        panic!("docker-registry did not respond at {url}");
    }

    /// `localhost:PORT`, as it stands in an image reference.
    pub fn host(&self) -> String {
        format!("localhost:{}", self.port)
    }

    /// The URL of `path` below `/v2/`.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}/v2/{path}", self.host())
    }

    /// Uploads a blob in one piece.
    pub fn put_blob(&self, repository: &str, digest: &str, bytes: Vec<u8>) {
        let start = self.url(&format!("{repository}/blobs/uploads/"));
        let opened = self.http.send(StatusCode::ACCEPTED, Method::POST, &start, |r| r);
        let location = opened.headers[header::LOCATION].to_str().unwrap();
        let upload = reqwest::Url::parse(&start).unwrap().join(location).unwrap();
        self.http.send(StatusCode::CREATED, Method::PUT, upload.as_str(), |request| {
            request.query(&[("digest", digest)]).body(bytes)
        });
    }

    /// Uploads a manifest under a tag or digest.
    pub fn put_manifest(&self, name: &str, reference: &str, media_type: &str, bytes: &[u8]) {
        let url = self.url(&format!("{name}/manifests/{reference}"));
        self.http.send(StatusCode::CREATED, Method::PUT, &url, |request| {
            request.header(header::CONTENT_TYPE, media_type).body(bytes.to_vec())
        });
    }

    /// Uploads a manifest that the registry may refuse, and returns whether it accepted it.
    pub fn takes_manifest(
        &self,
        name: &str,
        reference: &str,
        media_type: &str,
        bytes: &[u8],
    ) -> bool {
        let url = self.url(&format!("{name}/manifests/{reference}"));
        let response = self.http.try_send(Method::PUT, &url, |request| {
            request.header(header::CONTENT_TYPE, media_type).body(bytes.to_vec())
        });
        response.unwrap().status == StatusCode::CREATED
    }

    /// A manifest's exact bytes and the media type that the registry names for it.
    pub fn manifest(&self, repository: &str, reference: &str) -> (String, Vec<u8>) {
        let url = self.url(&format!("{repository}/manifests/{reference}"));
        let accept = [
            media_type::OCI_MANIFEST,
            media_type::OCI_INDEX,
            media_type::DOCKER_MANIFEST,
            media_type::DOCKER_MANIFEST_LIST,
        ];
        let response = self.http.send(StatusCode::OK, Method::GET, &url, |request| {
            request.header(header::ACCEPT, accept.join(", "))
        });
        let media_type = response.headers[header::CONTENT_TYPE].to_str().unwrap().to_owned();
        (media_type, response.body)
    }

    /// A blob's bytes.
    pub fn blob(&self, repository: &str, digest: &str) -> Vec<u8> {
        let url = self.url(&format!("{repository}/blobs/{digest}"));
        self.http.send(StatusCode::OK, Method::GET, &url, |request| request).body
    }

    /// All requests that were answered so far, oldest first. To see only later ones, keep the
    /// length of an earlier result and skip as many.
    pub fn requests(&self) -> Vec<Request> {
        // Lines are written after the response: a request of our own shows when the others are.
        let count = |log: &[Request]| log.iter().filter(|r| r.path == "/v2/?log").count();
        let seen = count(&self.read_log());
        self.http.send(StatusCode::OK, Method::GET, &self.url("?log"), |request| request);
        let started = Instant::now();
        while started.elapsed() < PATIENCE {
            let log = self.read_log();
            if count(&log) > seen {
                return log;
            }
            thread::sleep(Duration::from_millis(5));
        }
        panic!("docker-registry wrote no access log to {}", self.log_file().display());
    }

    fn log_file(&self) -> PathBuf {
        self.dir.path().join("access.log")
    }

    fn read_log(&self) -> Vec<Request> {
        fs::read_to_string(self.log_file()).unwrap().lines().filter_map(Request::parse).collect()
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        // Both fail only if it has already exited.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Request {
    /// Reads the Apache combined log format: `host - - [time] "GET /v2/ HTTP/1.1" 200 2 …`.
    fn parse(line: &str) -> Option<Self> {
        let mut quoted = line.split('"');
        let mut request = quoted.nth(1)?.split(' ');
        let mut answer = quoted.next()?.split_whitespace();
        Some(Self {
            method: request.next()?.to_owned(),
            path: request.next()?.to_owned(),
            status: answer.next()?.parse().ok()?,
            bytes: answer.next()?.parse().unwrap_or(0),
        })
    }

    /// Whether it fetched (a part of) this blob.
    pub fn fetches(&self, digest: &str) -> bool {
        self.method == "GET" && self.path.ends_with(&format!("/blobs/{digest}"))
    }
}

fn configuration(storage: &Path, port: u16) -> String {
    format!(
        "version: 0.1\n\
         log: {{ level: warn }}\n\
         storage:\n  filesystem: {{ rootdirectory: '{}' }}\n  delete: {{ enabled: true }}\n\
         http: {{ addr: '127.0.0.1:{port}', relativeurls: true }}\n",
        storage.display()
    )
}

#[test]
fn the_access_log_tells_parts_from_wholes() {
    let Some(registry) = crate::need("the_access_log_tells_parts_from_wholes", Registry::start())
    else {
        return;
    };
    let digest = crate::sha256(b"0123456789");
    registry.put_blob("some/where", &digest, b"0123456789".to_vec());
    let before = registry.requests().len();

    assert_eq!(registry.blob("some/where", &digest), b"0123456789");
    let url = registry.url(&format!("some/where/blobs/{digest}"));
    registry.http.send(StatusCode::PARTIAL_CONTENT, Method::GET, &url, |request| {
        request.header(header::RANGE, "bytes=2-4")
    });

    let log = registry.requests();
    let fetched: Vec<_> = log[before..].iter().filter(|r| r.fetches(&digest)).collect();
    let seen: Vec<_> = fetched.iter().map(|r| (r.status, r.bytes)).collect();
    assert_eq!(seen, [(200, 10), (206, 3)]);
}
