//! Which certificates of servers are trusted.

use std::{
    fmt,
    sync::{Arc, LazyLock},
    time::{Duration, SystemTime},
};

use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, OtherError, SignatureScheme,
    client::{
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        verify_server_name,
    },
    crypto::aws_lc_rs,
    server::ParsedCertificate,
    sign::{CertifiedKey, SingleCertAndKey},
};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use rustls_platform_verifier::Verifier;

use crate::store::error::Unreachable;

/// Certificates to trust in addition to those of the system.
#[derive(Clone, Debug, Default)]
pub(super) struct Authorities {
    pub(super) certificates: Vec<CertificateDer<'static>>,
    /// The files and folders they are from, and those that have none, for messages.
    pub(super) places: Vec<String>,
}

impl Authorities {
    pub(super) fn and(mut self, other: &Self) -> Self {
        self.certificates.extend_from_slice(&other.certificates);
        self.places.extend_from_slice(&other.places);
        self
    }
}

/// The TLS settings of a client that trusts these and presents `identity`.
pub(super) fn config(
    authorities: Authorities,
    identity: Option<&Arc<CertifiedKey>>,
) -> Result<ClientConfig, Error> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let roots = authorities.certificates.clone();
    let system = Verifier::new_with_extra_roots(roots, Arc::clone(&provider))?;
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Trust { system, authorities }));
    let mut config = match identity {
        Some(key) => {
            let key = SingleCertAndKey::from(Arc::clone(key));
            builder.with_client_cert_resolver(Arc::new(key))
        }
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

/// The certificates of the system, in which a server's own may be too. The verifier has them as
/// well, but only their names and keys.
static SYSTEM: LazyLock<Vec<CertificateDer<'static>>> =
    LazyLock::new(|| rustls_native_certs::load_native_certs().certs);

/// The verifier of the system, but a certificate that somebody has added is trusted also if a
/// server presents it itself. Go's verifier and openssl agree; webpki refuses it if it may sign
/// others, as those that `openssl req -x509` makes, and if it is not self-signed.
#[derive(Debug)]
struct Trust {
    system: Verifier,
    authorities: Authorities,
}

impl ServerCertVerifier for Trust {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let verified = self.system.verify_server_cert(
            end_entity,
            intermediates,
            server_name,
            ocsp_response,
            now,
        );
        let is_added = || {
            let mut added = self.authorities.certificates.iter().chain(SYSTEM.iter());
            added.any(|own| own == end_entity)
        };
        match verified {
            // The period of validity has been checked before the issuer.
            Err(error) if is_about_issuer(&error) && is_added() => {
                verify_server_name(&ParsedCertificate::try_from(end_entity)?, server_name)
                    .map(|()| ServerCertVerified::assertion())
            }
            other => other,
        }
        .map_err(|error| self.distrust(error, end_entity))
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.system.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.system.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.system.supported_verify_schemes()
    }
}

impl Trust {
    /// Puts an error in words for users, if it is of a kind they may meet.
    fn distrust(&self, error: Error, certificate: &CertificateDer<'_>) -> Error {
        let Error::InvalidCertificate(refusal) = &error else { return error };
        let (kind, reason) = match refusal {
            CertificateError::ExpiredContext { not_after, .. } => {
                (Unreachable::Validity, format!("the certificate expired on {}", date(*not_after)))
            }
            CertificateError::NotValidYetContext { not_before, .. } => (
                Unreachable::Validity,
                format!("the certificate is only valid from {} on", date(*not_before)),
            ),
            CertificateError::NotValidForNameContext { expected, presented } => {
                let kind =
                    if presented.is_empty() { Unreachable::NoNames } else { Unreachable::Name };
                (kind, names(expected, presented))
            }
            _ if is(refusal, &webpki::Error::UnsupportedCertVersion) => (
                Unreachable::Tls,
                "the certificate is of X.509 version 1; version 3 is required".to_owned(),
            ),
            _ if is_about_issuer(&error) && is_self_signed(certificate) => {
                let reason = "the registry's certificate is self-signed and not trusted";
                match self.authorities.places.join(" or ") {
                    places if places.is_empty() => (Unreachable::SelfSigned, reason.to_owned()),
                    places => (
                        Unreachable::OtherSelfSigned,
                        format!("{reason}: {places} does not contain it"),
                    ),
                }
            }
            _ if is_about_issuer(&error) => {
                let reason = format!("the certificate {}", self.of_no_authority(refusal));
                let is_given = !self.authorities.places.is_empty();
                let kind =
                    if is_given { Unreachable::OtherAuthority } else { Unreachable::Untrusted };
                (kind, reason)
            }
            _ => return error,
        };
        CertificateError::Other(OtherError(Arc::new(Distrust { kind, reason }))).into()
    }

    fn of_no_authority(&self, refusal: &CertificateError) -> String {
        let places = self.authorities.places.join(" or ");
        match (refusal, places.is_empty()) {
            (CertificateError::UnknownIssuer, true) => {
                "is not from a CA that this system trusts".to_owned()
            }
            (CertificateError::UnknownIssuer, false) => {
                format!("is neither from a CA that this system trusts nor from one in {places}")
            }
            (CertificateError::Other(_), true) => {
                "is that of a CA, and this system does not trust it".to_owned()
            }
            (CertificateError::Other(_), false) => {
                format!(
                    "is that of a CA, and neither trusted by this system nor the same as one in \
                     {places}"
                )
            }
            (_, true) => {
                "is not signed by the trusted CA that has the name of its issuer".to_owned()
            }
            (_, false) => {
                format!(
                    "is not signed by the CA that has the name of its issuer, of this system or \
                     in {places}"
                )
            }
        }
    }
}

/// Whether a certificate is refused because of who signed it or what it may sign.
#[expect(deprecated, reason = "webpki has both kinds of errors")]
fn is_about_issuer(error: &Error) -> bool {
    let Error::InvalidCertificate(refusal) = error else { return false };
    matches!(
        refusal,
        CertificateError::UnknownIssuer
            | CertificateError::BadSignature
            | CertificateError::UnsupportedSignatureAlgorithm
            | CertificateError::UnsupportedSignatureAlgorithmContext { .. }
            | CertificateError::UnsupportedSignatureAlgorithmForPublicKeyContext { .. }
    ) || is(refusal, &webpki::Error::CaUsedAsEndEntity)
}

/// Whether a certificate names itself as its issuer.
fn is_self_signed(certificate: &CertificateDer<'_>) -> bool {
    webpki::EndEntityCert::try_from(certificate)
        .is_ok_and(|certificate| certificate.issuer() == certificate.subject())
}

fn is(refusal: &CertificateError, expected: &webpki::Error) -> bool {
    matches!(refusal, CertificateError::Other(OtherError(error))
        if error.downcast_ref() == Some(expected))
}

fn date(time: UnixTime) -> impl fmt::Display {
    let since = Duration::from_secs(time.as_secs());
    SystemTime::UNIX_EPOCH
        .checked_add(since)
        // The end of what HTTP dates can express.
        .filter(|_| time.as_secs() < 253_402_300_800)
        .map_or_else(|| "a date after 9999".to_owned(), httpdate::fmt_http_date)
}

/// webpki writes names as `DnsName("a.example")` and `IpAddress(127.0.0.1)`.
fn names(expected: &ServerName<'_>, presented: &[String]) -> String {
    let plain = |name: &String| {
        let inner = name.split_once('(').and_then(|(_, rest)| rest.strip_suffix(')'));
        inner.unwrap_or(name).trim_matches('"').to_owned()
    };
    let presented: Vec<_> = presented.iter().map(plain).collect();
    let expected = expected.to_str();
    if presented.is_empty() {
        return format!(
            "the certificate is not for {expected}: it has no subject alternative names, and its \
             common name does not count"
        );
    }
    format!("the certificate is not for {expected}, but for {}", presented.join(", "))
}

/// Why a server is not trusted, in words for users.
#[derive(Debug, thiserror::Error)]
#[error("{reason}")]
pub(super) struct Distrust {
    pub(super) kind: Unreachable,
    reason: String,
}

impl Distrust {
    /// What [`Trust`] has put into an error.
    pub(super) fn of(error: &Error) -> Option<&Self> {
        match error {
            Error::InvalidCertificate(CertificateError::Other(OtherError(error))) => {
                error.downcast_ref()
            }
            _ => None,
        }
    }
}
