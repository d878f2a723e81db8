//! The registry of the CNCF (`docker-registry` in Debian), one process for each test.

use std::{
    fmt::Write as _,
    fs,
    net::{TcpListener, TcpStream},
    path::PathBuf,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use recompress_image::image::Digest;

/// How long a registry may take to start; only a limit for a broken machine.
const START: Duration = Duration::from_secs(60);

/// A running registry, stopped on drop.
pub(crate) struct Peer {
    process: Child,
    port: u16,
    dir: tempfile::TempDir,
}

impl Peer {
    /// Open to all, without TLS.
    pub(crate) fn start() -> Self {
        Self::with("")
    }

    /// Wants the user `tester` with the password `correct horse`.
    pub(crate) fn with_password() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let users = dir.path().join("htpasswd");
        let hash = "$2b$05$abcdefghijklmnopqrstuuHNbAKRhpaujgo33bRWs.NLUTJO3lOy2";
        fs::write(&users, format!("tester:{hash}\n")).unwrap();
        let config = format!(
            "auth: {{ htpasswd: {{ realm: test, path: {:?} }} }}\n",
            users.display().to_string()
        );
        Self::start_in(dir, "", &config)
    }

    /// Speaks TLS with a certificate that nobody knows.
    pub(crate) fn with_tls() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (certificate, key) = (dir.path().join("cert.pem"), dir.path().join("key.pem"));
        let made = Command::new("openssl")
            .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"])
            .args(["-nodes", "-subj", "/CN=nobody", "-keyout"])
            .arg(&key)
            .arg("-out")
            .arg(&certificate)
            .stderr(Stdio::null())
            .status()
            .expect("openssl has to be installed");
        assert!(made.success(), "openssl makes a certificate");
        let (certificate, key) = (certificate.display(), key.display());
        let tls = format!("  tls: {{ certificate: '{certificate}', key: '{key}' }}\n");
        Self::start_in(dir, &tls, "")
    }

    /// Speaks TLS, and only with those who show its own certificate. That and its key are also in a
    /// folder for clients.
    pub(crate) fn with_client_certificates() -> (Self, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("certificates");
        fs::create_dir(&folder).unwrap();
        let (certificate, key) = (folder.join("own.cert"), folder.join("own.key"));
        let made = Command::new("openssl")
            .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"])
            .args(["-nodes", "-subj", "/CN=registry", "-addext", "subjectAltName=IP:127.0.0.1"])
            .args(["-addext", "basicConstraints=critical,CA:FALSE", "-keyout"])
            .arg(&key)
            .arg("-out")
            .arg(&certificate)
            .stderr(Stdio::null())
            .status()
            .expect("openssl has to be installed");
        assert!(made.success(), "openssl makes a certificate");
        fs::copy(&certificate, folder.join("own.crt")).unwrap();
        let (certificate, key) = (certificate.display(), key.display());
        let tls = format!(
            "  tls: {{ certificate: '{certificate}', key: '{key}', clientcas: ['{certificate}'] }}\n"
        );
        (Self::start_in(dir, &tls, ""), folder)
    }

    fn with(config: &str) -> Self {
        Self::start_in(tempfile::tempdir().unwrap(), "", config)
    }

    fn start_in(dir: tempfile::TempDir, http: &str, rest: &str) -> Self {
        let port = free_port();
        let mut config = String::from("version: 0.1\nlog: { level: error }\n");
        let storage = dir.path().join("storage");
        let storage = storage.display();
        writeln!(config, "storage: {{ filesystem: {{ rootdirectory: '{storage}' }} }}").unwrap();
        write!(config, "http:\n  addr: 127.0.0.1:{port}\n{http}{rest}").unwrap();
        let file = dir.path().join("config.yml");
        fs::write(&file, config).unwrap();
        let mut process = Command::new("docker-registry")
            .arg("serve")
            .arg(&file)
            .env("OTEL_TRACES_EXPORTER", "none")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("docker-registry has to be installed (Debian package docker-registry)");
        let begin = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert_eq!(process.try_wait().unwrap(), None, "docker-registry has ended");
            assert!(begin.elapsed() < START, "docker-registry does not start");
            thread::sleep(Duration::from_millis(20));
        }
        Self { process, port, dir }
    }

    /// Host and port.
    pub(crate) fn host(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// The file in which the registry keeps a blob.
    pub(crate) fn blob_file(&self, digest: &Digest) -> PathBuf {
        let blobs = self.dir.path().join("storage/docker/registry/v2/blobs/sha256");
        blobs.join(&digest.hex()[..2]).join(digest.hex()).join("data")
    }

    /// A place for the test's own files.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A port that nobody listens on.
pub(crate) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}
