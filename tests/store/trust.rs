//! Which certificates of registries are trusted, and what is said of the others.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
};

use recompress_image::store::{AccessOptions, Intent, StoreError, Unreachable};
use rustls::{
    ServerConfig, ServerConnection, SupportedProtocolVersion,
    crypto::aws_lc_rs,
    sign::{CertifiedKey, SingleCertAndKey},
    version::{TLS12, TLS13},
};

use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _};

use super::{
    manifest, open,
    peer::{Peer, make_certificate},
    quick,
    sample::{convert, ends, run},
    told,
};

const FOR_LOOPBACK: &str = "subjectAltName=IP:127.0.0.1,DNS:localhost";

/// A folder in which the openssl command makes certificates; `NAME.crt` and `NAME.pem` (its key).
struct Workshop(tempfile::TempDir);

impl Workshop {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn openssl(&self, arguments: &[&str]) {
        let output = Command::new("openssl").args(arguments).current_dir(&self.0).output();
        let output = output.expect("openssl has to be installed");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    /// A certificate with these extensions, by itself or by another one. Without extensions it is
    /// a CA, by openssl's default.
    fn make(&self, name: &str, subject: &str, extensions: &[&str], issuer: Option<&str>) {
        let (certificate, key) = (format!("{name}.crt"), format!("{name}.pem"));
        let mut arguments = vec!["req", "-x509", "-newkey", "ec", "-pkeyopt"];
        arguments.extend(["ec_paramgen_curve:P-256", "-nodes", "-days", "30", "-subj", subject]);
        arguments.extend(extensions.iter().flat_map(|extension| ["-addext", extension]));
        arguments.extend(["-keyout", &key, "-out", &certificate]);
        let by = issuer.map(|issuer| [format!("{issuer}.crt"), format!("{issuer}.pem")]);
        if let Some([issuer, key]) = &by {
            arguments.extend(["-CA", issuer, "-CAkey", key]);
        }
        self.openssl(&arguments);
    }

    fn serve(&self, name: &str) -> Peer {
        Peer::serving(&self.file(&format!("{name}.crt")), &self.file(&format!("{name}.pem")))
    }

    /// A folder with this certificate alone, as for `--cert-dir`.
    fn folder(&self, name: &str) -> PathBuf {
        let folder = self.file(&format!("{name}.d"));
        fs::create_dir_all(&folder).unwrap();
        fs::copy(self.file(&format!("{name}.crt")), folder.join("ca.crt")).unwrap();
        folder
    }
}

fn trusting(ca_file: &Path) -> AccessOptions {
    AccessOptions { ca_file: Some(ca_file.to_owned()), ..quick() }
}

fn image(host: &str) -> String {
    format!("{host}/org/app:1@{}", manifest("x").digest)
}

/// Opens the registry and says how that failed.
async fn refusal(peer: &Peer, options: &AccessOptions) -> (Unreachable, String) {
    let error = open(&image(&peer.host()), Intent::Pull, options).await.unwrap_err();
    let StoreError::Unreachable { kind, tried, .. } = &error else { panic!("{error:?}") };
    assert_eq!(tried.times, 1, "what is not trusted is not tried again: {}", told(&error));
    assert_eq!(peer.requests(), [""; 0], "nothing is sent: {}", told(&error));
    (*kind, told(&error))
}

/// docker-registry has a certificate that the user has added, of any kind: one that signs itself,
/// a CA or not, one from a CA, also with an intermediate, and the intermediate or the registry's own
/// certificate alone. The client trusts it with `--ca-file`, `--cert-dir` and `SSL_CERT_FILE`.
#[tokio::test]
async fn certificates_that_the_user_added_are_trusted() {
    let shop = Workshop::new();
    shop.make("self-ca", "/CN=registry", &[FOR_LOOPBACK], None);
    shop.make("self", "/CN=registry", &[FOR_LOOPBACK, "basicConstraints=CA:FALSE"], None);
    shop.make("root", "/CN=root", &[], None);
    shop.make("middle", "/CN=middle", &[], Some("root"));
    shop.make("end", "/CN=end", &[FOR_LOOPBACK, "basicConstraints=CA:FALSE"], Some("middle"));
    let both =
        [fs::read(shop.file("end.crt")).unwrap(), fs::read(shop.file("middle.crt")).unwrap()];
    fs::write(shop.file("chain.crt"), both.concat()).unwrap();
    fs::copy(shop.file("end.pem"), shop.file("chain.pem")).unwrap();
    for (served, trusted) in [
        ("self-ca", "self-ca"),
        ("self", "self"),
        ("chain", "root"),
        ("chain", "middle"),
        ("chain", "end"),
        ("end", "middle"),
        ("end", "end"),
    ] {
        let peer = shop.serve(served);
        for options in [
            trusting(&shop.file(&format!("{trusted}.crt"))),
            AccessOptions { cert_dir: Some(shop.folder(trusted)), ..quick() },
        ] {
            let opened = open(&image(&peer.host()), Intent::Pull, &options).await;
            assert!(opened.is_ok(), "{served} by {trusted}: {}", told(&opened.unwrap_err()));
        }
        let mut by_system = convert(&image(&peer.host()), "oci:nowhere");
        by_system.env("SSL_CERT_FILE", shop.file(&format!("{trusted}.crt")));
        ends(&run(by_system).await, 6, &["not found in"]);
        // By its name, and not by its address alone.
        let image = image(&peer.host().replace("127.0.0.1", "localhost"));
        let options = trusting(&shop.file(&format!("{trusted}.crt")));
        open(&image, Intent::Pull, &options).await.unwrap();
        assert!(peer.count("GET", 200) >= 3, "{served} by {trusted}: {:?}", peer.requests());
    }
}

/// docker-registry has a certificate that is not from a CA that the user has added, or is for other
/// names or times: refused before anything is sent. The error says what is wrong with it, and
/// advises nothing that the user has already done.
#[tokio::test]
async fn certificates_that_are_not_right_are_refused() {
    use Unreachable::{
        Name, NoNames, OtherAuthority, OtherSelfSigned, SelfSigned, Untrusted, Validity,
    };
    let shop = Workshop::new();
    let other_ip = ["subjectAltName=IP:192.0.2.7,IP:2001:db8::1"];
    shop.make("self-ca", "/CN=registry", &[FOR_LOOPBACK], None);
    shop.make("other-ip", "/CN=registry", &other_ip, None);
    shop.make("other-dns", "/CN=registry", &["subjectAltName=DNS:r.example,DNS:*.r.example"], None);
    // Some put an address there; it is no address to clients.
    shop.make("dns-for-ip", "/CN=registry", &["subjectAltName=DNS:127.0.0.1"], None);
    shop.make("nameless", "/CN=127.0.0.1", &[], None);
    shop.make("root", "/CN=root", &[], None);
    shop.make("namesake", "/CN=root", &[], None);
    shop.make("middle", "/CN=middle", &[], Some("root"));
    shop.make("end", "/CN=end", &[FOR_LOOPBACK, "basicConstraints=CA:FALSE"], Some("middle"));
    shop.make("by-root", "/CN=end", &[FOR_LOOPBACK, "basicConstraints=CA:FALSE"], Some("root"));
    for (name, dates) in [
        ("expired", ["20200101000000Z", "20210203040506Z"]),
        ("future", ["20980102030405Z", "20991231000000Z"]),
    ] {
        let file = |end: &str| shop.file(&format!("{name}.{end}"));
        make_certificate(&file("crt"), &file("pem"), Some(dates));
    }
    for (served, trusted, expected, words) in [
        (
            "self-ca",
            "",
            SelfSigned,
            "certificate is self-signed and not trusted; pass it with --ca",
        ),
        ("self-ca", "root", OtherSelfSigned, " does not contain it"),
        // A trusted CA of the same name has not signed it.
        ("root", "namesake", OtherSelfSigned, " does not contain it"),
        ("by-root", "", Untrusted, "is not from a CA that this system trusts"),
        ("by-root", "self-ca", OtherAuthority, "nor from one in "),
        ("by-root", "namesake", OtherAuthority, "is not signed by the CA that has the name of"),
        // The server does not send the certificate between them.
        ("end", "root", OtherAuthority, "nor from one in "),
        ("other-ip", "other-ip", Name, "is not for 127.0.0.1, but for 192.0.2.7, 2001:db8::1"),
        ("other-dns", "other-dns", Name, "not for 127.0.0.1, but for r.example, *.r.example"),
        ("dns-for-ip", "dns-for-ip", Name, "is not for 127.0.0.1"),
        ("nameless", "nameless", NoNames, "-addext subjectAltName="),
        (
            "expired",
            "expired",
            Validity,
            "the certificate expired on Wed, 03 Feb 2021 04:05:06 GMT; renew it",
        ),
        ("future", "future", Validity, "is only valid from Thu, 02 Jan 2098 03:04:05 GMT on"),
    ] {
        let peer = shop.serve(served);
        let ca_file = shop.file(&format!("{trusted}.crt"));
        let of_file = if trusted.is_empty() { quick() } else { trusting(&ca_file) };
        let (kind, error) = refusal(&peer, &of_file).await;
        assert_eq!(kind, expected, "{served} by {trusted}: {error}");
        assert!(error.contains(words), "{served} by {trusted}: {error}");
        assert_eq!(error.contains("--ca-file"), matches!(kind, Untrusted | SelfSigned), "{error}");
        let is_other = matches!(kind, OtherAuthority | OtherSelfSigned);
        if is_other {
            assert!(error.contains(&ca_file.display().to_string()), "{error}");
        }
        if !trusted.is_empty() {
            let folder = shop.folder(trusted);
            let options = AccessOptions { cert_dir: Some(folder.clone()), ..quick() };
            let (again, error) = refusal(&peer, &options).await;
            assert_eq!(again, expected, "{served} by {trusted}: {error}");
            assert!(error.contains(words) && !error.contains("--c"), "{error}");
            let names_folder = error.contains(&folder.display().to_string());
            assert_eq!(names_folder, is_other, "{error}");
        }
    }
}

/// A server presents a certificate that the user has added, and does not have its key, in both
/// versions of TLS: refused before anything is sent.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_without_its_key_is_refused() {
    let shop = Workshop::new();
    shop.make("self-ca", "/CN=registry", &[FOR_LOOPBACK], None);
    shop.make("self", "/CN=registry", &[FOR_LOOPBACK, "basicConstraints=CA:FALSE"], None);
    shop.make("other", "/CN=registry", &[FOR_LOOPBACK], None);
    for (name, version) in [("self-ca", &TLS13), ("self", &TLS13), ("self-ca", &TLS12)] {
        let file = shop.file(&format!("{name}.crt"));
        let (host, sent) = impostor(&file, &shop.file("other.pem"), version);
        let error = open(&image(&host), Intent::Pull, &trusting(&file)).await.unwrap_err();
        let StoreError::Unreachable { kind: Unreachable::Tls, reason, .. } = &error else {
            panic!("{name}: {error:?}")
        };
        assert!(reason.contains("BadSignature"), "{name}: {reason}");
        assert!(!sent.join().unwrap(), "{name}");
    }
}

/// A server with a certificate and the key of another one. Its thread says whether it got as far as
/// to receive a request.
fn impostor(
    certificate: &Path,
    key: &Path,
    version: &'static SupportedProtocolVersion,
) -> (String, std::thread::JoinHandle<bool>) {
    let provider = aws_lc_rs::default_provider();
    let key = PrivateKeyDer::from_pem_file(key).unwrap();
    let key = provider.key_provider.load_private_key(key).unwrap();
    let chain = vec![CertificateDer::from_pem_file(certificate).unwrap()];
    let wrong = SingleCertAndKey::from(CertifiedKey::new(chain, key));
    let config = ServerConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&[version])
        .unwrap()
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(wrong));
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let host = listener.local_addr().unwrap().to_string();
    let thread = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut connection = ServerConnection::new(Arc::new(config)).unwrap();
        connection.complete_io(&mut stream).is_ok()
    });
    (host, thread)
}

/// `--ca-file` names a file that may be missing, and is: the error names the file, instead of
/// advising the option. `--tls-verify=false` accepts the same registry.
#[tokio::test]
async fn an_optional_ca_file_that_is_missing_is_named() {
    let shop = Workshop::new();
    shop.make("self-ca", "/CN=registry", &[], None);
    let peer = shop.serve("self-ca");
    let missing = shop.file("missing.crt");
    let options = AccessOptions { ca_file_optional: true, ..trusting(&missing) };
    let (kind, error) = refusal(&peer, &options).await;
    assert_eq!(kind, Unreachable::OtherSelfSigned, "{error}");
    let named = format!("{} (which is missing or empty)", missing.display());
    assert!(error.contains(&named), "{error}");
    let options = AccessOptions { tls_verify: false, ..quick() };
    open(&image(&peer.host()), Intent::Pull, &options).await.unwrap();
    assert!(peer.count("GET", 200) > 0);
}

/// The registry wants a client certificate, or another one: the error says so. With the right one
/// everything works, whether or not the registry's is verified.
#[tokio::test]
async fn client_certificates_are_presented_and_missed() {
    let (peer, folder) = Peer::with_client_certificates();
    let image = image(&peer.host());
    for tls_verify in [true, false] {
        let options = AccessOptions { cert_dir: Some(folder.clone()), tls_verify, ..quick() };
        open(&image, Intent::Pull, &options).await.unwrap();
    }
    let shop = Workshop::new();
    shop.make("other", "/CN=other", &["basicConstraints=CA:FALSE"], None);
    let other = shop.file("other.d");
    fs::create_dir(&other).unwrap();
    for (from, to) in [("other.crt", "other.cert"), ("other.pem", "other.key")] {
        fs::copy(shop.file(from), other.join(to)).unwrap();
    }
    let seen = peer.requests().len();
    let ca = format!("--ca-file={}", folder.join("own.crt").display());
    for (arguments, words) in [
        (vec![ca.clone()], "the server requires a client certificate"),
        (vec![ca, format!("--cert-dir={}", other.display())], "check the *.cert and *.key files"),
    ] {
        let mut command = convert(&image, "oci:nowhere");
        command.args(&arguments);
        ends(&run(command).await, 6, &["TLS handshake failed", words]);
    }
    assert_eq!(peer.requests().len(), seen);
}

/// `SSL_CERT_FILE` names a file that does not exist or is empty: the error names the variable.
#[tokio::test]
async fn a_variable_that_names_no_certificates() {
    let shop = Workshop::new();
    fs::write(shop.file("empty.crt"), "").unwrap();
    for (name, words) in [("missing.crt", "does not exist"), ("empty.crt", "is empty")] {
        let mut command = convert(&image("127.0.0.1:1"), "oci:nowhere");
        command.env("SSL_CERT_FILE", shop.file(name)).env_remove("SSL_CERT_DIR");
        let words = format!("{name}: it {words}; check SSL_CERT_FILE");
        ends(&run(command).await, 7, &[&words]);
    }
}

/// The files for `--ca-file` and `--cert-dir` cannot be used: exit code 7 and the name of the file,
/// before any connection.
#[tokio::test]
async fn files_that_cannot_be_used() {
    let shop = Workshop::new();
    shop.make("one", "/CN=one", &[], None);
    shop.make("two", "/CN=two", &[], None);
    let file = |name: &str, content: &[u8]| {
        fs::write(shop.file(name), content).unwrap();
        shop.file(name)
    };
    let read = |name: &str| fs::read(shop.file(name)).unwrap();
    let no_certificate =
        b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n".as_slice();
    let mixed = shop.file("mixed.d");
    fs::create_dir(&mixed).unwrap();
    fs::write(mixed.join("own.cert"), read("one.crt")).unwrap();
    fs::write(mixed.join("own.key"), read("two.pem")).unwrap();
    for (name, argument, words) in [
        ("no PEM", format!("--ca-file={}", file("a.crt", b"x").display()), "a.crt"),
        ("no DER", format!("--ca-file={}", file("b.crt", no_certificate).display()), "b.crt"),
        ("a key", format!("--ca-file={}", shop.file("one.pem").display()), "one.pem"),
        ("another key", format!("--cert-dir={}", mixed.display()), "own.cert"),
    ] {
        let mut command = convert(&image("127.0.0.1:1"), "oci:nowhere");
        command.arg(argument);
        let output = run(command).await;
        let told = ends(&output, output.status.code().unwrap(), &[words, "cannot use"]);
        assert!(!told.contains("connection refused"), "{name}: {told}");
    }
}
