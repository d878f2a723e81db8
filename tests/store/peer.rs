//! The registry of the CNCF (`docker-registry` in Debian), one process for each test.

use std::{
    fmt::Write as _,
    fs::{self, File},
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
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
        let auth = htpasswd(dir.path());
        Self::start_in(dir, "", &auth)
    }

    /// The same over TLS, by a certificate for 127.0.0.1 that is in the returned file. `dates` are
    /// those that openssl is to write into it.
    pub(crate) fn with_tls_and_password(dates: Option<[&str; 2]>) -> (Self, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let (certificate, key) = (dir.path().join("registry.crt"), dir.path().join("registry.key"));
        make_certificate(&certificate, &key, dates);
        let auth = htpasswd(dir.path());
        let (tls, file) = (tls(&certificate, &key), certificate);
        (Self::start_in(dir, &tls, &auth), file)
    }

    /// Wants tokens of the token server at `realm`, signed by the key of `certificate`.
    pub(crate) fn with_tokens(realm: &str, certificate: &Path) -> Self {
        let certificate = certificate.display();
        Self::with(&format!(
            "auth:\n  token: {{ realm: '{realm}', service: test, issuer: tests, \
             rootcertbundle: '{certificate}' }}\n"
        ))
    }

    /// Takes nothing, for it is being looked after.
    pub(crate) fn read_only() -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("storage/docker/registry/v2/repositories")).unwrap();
        Self::start_with(dir, "", "", "maintenance: { readonly: { enabled: true } }, ")
    }

    /// Serves TLS with a self-signed certificate.
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

    /// Serves TLS with this certificate, open to all.
    pub(crate) fn serving(certificate: &Path, key: &Path) -> Self {
        Self::start_in(tempfile::tempdir().unwrap(), &tls(certificate, key), "")
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
        Self::start_with(dir, http, rest, "")
    }

    fn start_with(dir: tempfile::TempDir, http: &str, rest: &str, more: &str) -> Self {
        let port = free_port();
        let mut config = String::from("version: 0.1\nlog: { level: error }\n");
        let storage = dir.path().join("storage");
        let storage = storage.display();
        writeln!(config, "storage: {{ {more}filesystem: {{ rootdirectory: '{storage}' }} }}")
            .unwrap();
        // Relative, so that a proxy may be in front of it.
        write!(config, "http:\n  addr: 127.0.0.1:{port}\n  relativeurls: true\n{http}{rest}")
            .unwrap();
        let file = dir.path().join("config.yml");
        fs::write(&file, config).unwrap();
        let mut process = Command::new("docker-registry")
            .arg("serve")
            .arg(&file)
            .env("OTEL_TRACES_EXPORTER", "none")
            .stdout(File::create(dir.path().join("access.log")).unwrap())
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

    /// The requests so far, by the registry's own log: `PUT /v2/… 201`.
    pub(crate) fn requests(&self) -> Vec<String> {
        let log = fs::read_to_string(self.dir.path().join("access.log")).unwrap();
        let parse = |line: &str| {
            let mut quoted = line.split('"');
            let request = quoted.nth(1)?.trim_end_matches(" HTTP/1.1");
            let status = quoted.next()?.split_whitespace().next()?;
            Some(format!("{request} {status}"))
        };
        log.lines().filter_map(parse).collect()
    }

    /// How many requests of a method there were that were answered with a status.
    pub(crate) fn count(&self, method: &str, status: u16) -> usize {
        let (method, status) = (format!("{method} "), format!(" {status}"));
        let requests = self.requests();
        requests.iter().filter(|line| line.starts_with(&method) && line.ends_with(&status)).count()
    }

    /// The upload sessions that are open and that the client has neither cancelled nor could have:
    /// it does not know of a session if the answer to its POST was lost; and this registry answers
    /// 404 to every request for a session in which one has broken off in its body.
    pub(crate) fn forgotten_uploads(&self) -> Vec<String> {
        let requests = self.requests();
        let is_forgotten = |id: &String| {
            let mut of_session = requests.iter().filter(|line| line.contains(id)).peekable();
            of_session.peek().is_some() && !of_session.any(|line| line.starts_with("DELETE"))
        };
        self.uploads().into_iter().filter(is_forgotten).collect()
    }

    /// The upload sessions that are open.
    pub(crate) fn uploads(&self) -> Vec<String> {
        // A cancelled one leaves a folder without this file.
        let folders = self.in_sessions("startedat", "%h\n");
        let name = |line: &str| line.rsplit('/').next().unwrap_or_default().to_owned();
        folders.lines().map(name).collect()
    }

    /// How many bytes are in the upload sessions that are open.
    pub(crate) fn uploaded(&self) -> u64 {
        let sizes = self.in_sessions("data", "%s\n");
        sizes.lines().map(|size| size.parse::<u64>().unwrap()).sum()
    }

    /// What `find` prints of each file of that name in an upload session.
    fn in_sessions(&self, name: &str, format: &str) -> String {
        let root = self.dir.path().join("storage/docker/registry/v2/repositories");
        let path = format!("*/_uploads/*/{name}");
        let found =
            Command::new("find").arg(root).args(["-path", &path, "-printf", format]).output();
        String::from_utf8(found.unwrap().stdout).unwrap()
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

fn htpasswd(dir: &Path) -> String {
    let users = dir.join("htpasswd");
    let hash = "$2b$05$abcdefghijklmnopqrstuuHNbAKRhpaujgo33bRWs.NLUTJO3lOy2";
    fs::write(&users, format!("tester:{hash}\n")).unwrap();
    format!("auth: {{ htpasswd: {{ realm: test, path: {:?} }} }}\n", users.display().to_string())
}

fn tls(certificate: &Path, key: &Path) -> String {
    format!("  tls: {{ certificate: '{}', key: '{}' }}\n", certificate.display(), key.display())
}

/// Has openssl make a certificate for 127.0.0.1 and registry.test that signs itself, valid now or at the given dates
/// (`YYYYMMDDHHMMSSZ`).
pub(crate) fn make_certificate(certificate: &Path, key: &Path, dates: Option<[&str; 2]>) {
    let openssl = |command: &mut Command| {
        let output = command.output().expect("openssl has to be installed");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str| dir.path().join(name);
    let config = "[ca]\ndefault_ca=own\n[own]\ndatabase=index\nserial=serial\nnew_certs_dir=.\n\
        default_md=sha256\npolicy=any\nx509_extensions=server\n[any]\ncommonName=supplied\n\
        [server]\nsubjectAltName=IP:127.0.0.1,DNS:registry.test\nbasicConstraints=critical,CA:FALSE\n\
        [req]\ndistinguished_name=name\n[name]\n";
    fs::write(file("config"), config).unwrap();
    fs::write(file("index"), "").unwrap();
    fs::write(file("serial"), "01\n").unwrap();
    let [begin, end] = dates.unwrap_or(["20200101000000Z", "20991231000000Z"]);
    openssl(
        Command::new("openssl")
            .args(["req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"])
            .args(["-nodes", "-subj", "/CN=registry", "-config", "config", "-keyout"])
            .arg(key)
            .args(["-out", "request"])
            .current_dir(dir.path()),
    );
    openssl(
        Command::new("openssl")
            .args(["ca", "-batch", "-selfsign", "-notext", "-config", "config", "-in", "request"])
            .args(["-startdate", begin, "-enddate", end, "-keyfile"])
            .arg(key)
            .arg("-out")
            .arg(certificate)
            .current_dir(dir.path()),
    );
}

/// A port on which nothing listens.
pub(crate) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}
