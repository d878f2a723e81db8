//! A registry as companies have it: TLS with a certificate of their own authority, and log-ins.

use std::{
    fs,
    net::{TcpListener, TcpStream},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use tempfile::TempDir;
use test_support::work_dir;

/// The registry of the CNCF with TLS and a password, for the host `registry.test`.
pub(crate) struct Secured {
    child: Child,
    port: u16,
    dir: TempDir,
}

impl Secured {
    pub(crate) fn start() -> Result<Self, String> {
        let dir = work_dir();
        let path = |name: &str| dir.path().join(name);
        let made = Command::new("openssl")
            .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"])
            .args([
                "-nodes",
                "-subj",
                "/CN=registry",
                "-addext",
                "subjectAltName=DNS:registry.test",
            ])
            .args(["-addext", "basicConstraints=critical,CA:FALSE", "-keyout"])
            .args([path("key.pem"), "-out".into(), path("cert.pem")])
            .stderr(Stdio::null())
            .status();
        if !made.is_ok_and(|status| status.success()) {
            return Err("openssl makes no certificate".to_owned());
        }
        let hash = "$2b$04$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW";
        fs::write(path("htpasswd"), format!("robot:{hash}\n")).unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let config = json!({
            "version": "0.1", "log": {"level": "error"},
            "storage": {"filesystem": {"rootdirectory": path("storage")}},
            "http": {
                "addr": format!("127.0.0.1:{port}"),
                "tls": {"certificate": path("cert.pem"), "key": path("key.pem")},
            },
            "auth": {"htpasswd": {"realm": "test", "path": path("htpasswd")}},
        });
        fs::write(path("config.yml"), config.to_string()).unwrap();
        let child = Command::new("docker-registry")
            .args(["serve".as_ref(), path("config.yml").as_os_str()])
            .env("OTEL_TRACES_EXPORTER", "none")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|error| format!("docker-registry: {error}"))?;
        let mut registry = Self { child, port, dir };
        let started = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert_eq!(registry.child.try_wait().unwrap(), None, "docker-registry has ended");
            assert!(started.elapsed() < Duration::from_secs(60), "docker-registry does not start");
            thread::sleep(Duration::from_millis(20));
        }
        Ok(registry)
    }

    pub(crate) fn host(&self) -> String {
        format!("registry.test:{}", self.port)
    }

    /// The certificate to trust.
    pub(crate) fn ca(&self) -> String {
        fs::read_to_string(self.dir.path().join("cert.pem")).unwrap()
    }

    /// What Tekton's entrypoint makes of a secret for this registry: `auth` is there and empty if
    /// the secret had a user name and a password only.
    pub(crate) fn credentials(&self, path: &str) -> Value {
        let entry = json!({"username": "robot", "password": "secret", "auth": "", "email": "x@y"});
        json!({"auths": {format!("{}{path}", self.host()): entry}})
    }
}

impl Drop for Secured {
    fn drop(&mut self) {
        // Both fail only if it has ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
