//! Certificates in addition to those of the system: authorities to trust, and our own to present.
//!
//! Those of the system are what `SSL_CERT_FILE` and `SSL_CERT_DIR` name, or else the usual places;
//! the TLS library looks there by itself.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use reqwest::Identity;
use rustls::{RootCertStore, crypto::aws_lc_rs, sign::CertifiedKey};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _};

use super::trust::Authorities;
use crate::store::{access::AccessOptions, error::StoreError, user_file};

/// Where containers-certs.d(5) and docker keep a folder for each registry.
const FOLDERS: [&str; 2] = ["/etc/containers/certs.d", "/etc/docker/certs.d"];

#[derive(Default)]
pub(super) struct Certificates {
    /// For all hosts.
    pub(super) authorities: Authorities,
    /// For the registry alone.
    pub(super) own_authorities: Authorities,
    /// For the registry alone.
    pub(super) identity: Option<ClientCertificate>,
}

/// A client certificate with its key, for clients that verify the server's and for those that do
/// not.
pub(super) struct ClientCertificate {
    pub(super) verifying: Arc<CertifiedKey>,
    pub(super) trusting: Identity,
}

impl Certificates {
    /// Reads what `options` name, or what is kept for `registry` (host and perhaps port).
    pub(super) async fn find(options: &AccessOptions, registry: &str) -> Result<Self, StoreError> {
        let (options, registry) = (options.clone(), registry.to_owned());
        let found = tokio::task::spawn_blocking(move || {
            let mut found = Self { authorities: of_ca_file(&options)?, ..Self::default() };
            let usual = FOLDERS.iter().map(|folder| Path::new(folder).join(&registry));
            let folder = match &options.cert_dir {
                Some(folder) => Some(folder.clone()),
                None => usual.into_iter().find(|folder| folder.is_dir()),
            };
            if let Some(folder) = folder {
                found.read_folder(&folder)?;
            }
            Ok(found)
        });
        found.await.unwrap_or_else(|error| Err(StoreError::internal(&error)))
    }

    /// Whether there are certificates for the registry alone.
    pub(super) fn are_its_own(&self) -> bool {
        self.identity.is_some() || !self.own_authorities.certificates.is_empty()
    }

    /// Whether the user expects the registry to speak TLS.
    pub(super) fn are_given(&self) -> bool {
        self.are_its_own() || !self.authorities.certificates.is_empty()
    }

    /// Reads a folder by the rules of containers-certs.d(5): `*.crt` are authorities, `*.cert` and
    /// `*.key` of the same name a client certificate and its key. Of several the first by name
    /// counts.
    fn read_folder(&mut self, folder: &Path) -> Result<(), StoreError> {
        let unreadable = |error: io::Error| unreadable(folder, "--cert-dir", &error);
        let mut files: Vec<PathBuf> = fs::read_dir(folder)
            .and_then(|entries| entries.map(|entry| entry.map(|entry| entry.path())).collect())
            .map_err(unreadable)?;
        files.sort();
        for file in files {
            match file.extension().and_then(|extension| extension.to_str()) {
                Some("crt") => {
                    self.own_authorities.certificates.extend(of_pem(&file, &read(&file)?)?);
                }
                Some("cert") if self.identity.is_none() => {
                    self.identity = Some(ClientCertificate::read(&file)?);
                }
                _ => {}
            }
        }
        let is_empty = self.own_authorities.certificates.is_empty();
        let note = if is_empty { " (which has no *.crt file)" } else { "" };
        self.own_authorities.places.push(format!("{}{note}", folder.display()));
        Ok(())
    }
}

impl ClientCertificate {
    fn read(file: &Path) -> Result<Self, StoreError> {
        let (chain, key) = (read(file)?, read(&file.with_extension("key"))?);
        let identity = Identity::from_pem(&[chain.as_slice(), b"\n", &key].concat()).ok();
        let chain = CertificateDer::pem_slice_iter(&chain).collect::<Result<Vec<_>, _>>().ok();
        let key = PrivateKeyDer::from_pem_slice(&key).ok();
        let own = chain.zip(key).and_then(|(chain, key)| {
            CertifiedKey::from_der(chain, key, &aws_lc_rs::default_provider()).ok()
        });
        let both =
            identity.zip(own).map(|(trusting, own)| Self { trusting, verifying: own.into() });
        both.ok_or_else(|| {
            let reason = "it and the .key file next to it are not a certificate and its key";
            unusable(file, reason.to_owned())
        })
    }
}

/// Names the file that takes the place of the system's certificates.
const VARIABLE: &str = "SSL_CERT_FILE";

/// Fails if the TLS library would read that file without an end.
pub(super) fn check_variable() -> Result<(), StoreError> {
    user_file::variable(VARIABLE).map_or(Ok(()), |path| check_bounded(&path))
}

fn check_bounded(path: &Path) -> Result<(), StoreError> {
    match fs::metadata(path) {
        Ok(file) if !file.is_file() => {
            Err(unusable(path, format!("it is not a regular file; check {VARIABLE}")))
        }
        Ok(file) if file.len() > user_file::SIZE_MAX => {
            Err(unusable(path, format!("it is larger than 4 MiB; check {VARIABLE}")))
        }
        // What else is wrong with it is found out only if no other place has certificates.
        _ => Ok(()),
    }
}

/// What is wrong with the file that takes the place of the system's certificates.
pub(super) fn of_variable() -> Option<StoreError> {
    let path = user_file::variable(VARIABLE)?;
    match fs::metadata(&path) {
        Err(error) => Some(unreadable(&path, VARIABLE, &error)),
        Ok(file) if file.len() == 0 => {
            Some(unusable(&path, format!("it is empty; check {VARIABLE}")))
        }
        Ok(_) => None,
    }
}

fn of_ca_file(options: &AccessOptions) -> Result<Authorities, StoreError> {
    let Some(path) = &options.ca_file else { return Ok(Authorities::default()) };
    let certificates = read_ca_file(path, options.ca_file_optional)?;
    let note = if certificates.is_empty() { " (which is missing or empty)" } else { "" };
    let places = vec![format!("{}{note}", path.display())];
    Ok(Authorities { certificates, places })
}

fn read_ca_file(
    path: &Path,
    is_optional: bool,
) -> Result<Vec<CertificateDer<'static>>, StoreError> {
    let pem = match user_file::read(path) {
        Ok(pem) => pem,
        Err(error) if error.kind() == io::ErrorKind::NotFound && is_optional => {
            return Ok(Vec::new());
        }
        Err(error) => return Err(unreadable(path, "--ca-file", &error)),
    };
    if pem.trim_ascii().is_empty() && is_optional {
        return Ok(Vec::new());
    }
    of_pem(path, &pem)
}

fn read(file: &Path) -> Result<Vec<u8>, StoreError> {
    user_file::read(file).map_err(|error| unusable(file, error.to_string()))
}

/// All certificates in a PEM file; there has to be one.
fn of_pem(path: &Path, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, StoreError> {
    let malformed = |error: &dyn std::fmt::Display| {
        unusable(path, format!("not a valid PEM file: {error}; expected certificates in PEM form"))
    };
    let authorities = CertificateDer::pem_slice_iter(pem)
        .map(|authority| {
            let authority = authority.map_err(|error| malformed(&error))?;
            let parsed = RootCertStore::empty().add(authority.clone());
            parsed.map(|()| authority).map_err(|error| malformed(&error))
        })
        .collect::<Result<Vec<_>, _>>()?;
    if authorities.is_empty() {
        return Err(unusable(path, "it contains no certificate in PEM form".to_owned()));
    }
    Ok(authorities)
}

/// `option` is the one that names the file or folder.
fn unreadable(path: &Path, option: &str, error: &io::Error) -> StoreError {
    let reason = match error.kind() {
        io::ErrorKind::NotFound => format!("it does not exist; check {option}"),
        _ => error.to_string(),
    };
    unusable(path, reason)
}

fn unusable(path: &Path, reason: String) -> StoreError {
    StoreError::CaFile { path: path.to_owned(), reason }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn ca_files() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ca.crt");
        let read = |ca_file_optional| {
            let ca_file = Some(path.clone());
            of_ca_file(&AccessOptions { ca_file, ca_file_optional, ..AccessOptions::default() })
        };
        let missing = read(false).unwrap_err().to_string();
        assert!(missing.ends_with("ca.crt: it does not exist; check --ca-file"), "{missing}");
        assert!(read(true).unwrap().certificates.is_empty());
        fs::write(&path, "\n").unwrap();
        assert!(read(false).is_err());
        assert!(read(true).unwrap().certificates.is_empty());
        // It has no end.
        fs::remove_file(&path).unwrap();
        std::os::unix::fs::symlink("/dev/zero", &path).unwrap();
        for optional in [false, true] {
            let endless = read(optional).unwrap_err().to_string();
            assert!(endless.ends_with("larger than 4 MiB"), "{endless}");
        }
        fs::remove_file(&path).unwrap();
        for bad in ["no PEM at all", "-----BEGIN CERTIFICATE-----\n§\n-----END CERTIFICATE-----\n"]
        {
            fs::write(&path, bad).unwrap();
            let error = read(true).unwrap_err();
            assert!(error.to_string().contains("ca.crt"), "{error}");
        }
    }

    /// In the place of an authority, of a certificate and of its key, and of the system's.
    #[tokio::test]
    async fn files_without_an_end_are_refused() {
        for (endless, other) in [("a.crt", None), ("a.cert", None), ("a.key", Some("a.cert"))] {
            let dir = tempfile::tempdir().unwrap();
            std::os::unix::fs::symlink("/dev/zero", dir.path().join(endless)).unwrap();
            if let Some(other) = other {
                fs::write(dir.path().join(other), "x").unwrap();
            }
            let cert_dir = Some(dir.path().to_owned());
            let options = AccessOptions { cert_dir, ..AccessOptions::default() };
            let error = Certificates::find(&options, "quay.io").await.err().unwrap().to_string();
            assert!(error.ends_with("larger than 4 MiB"), "{error}");
        }
        let error = check_bounded(Path::new("/dev/zero")).unwrap_err().to_string();
        assert!(error.ends_with("it is not a regular file; check SSL_CERT_FILE"), "{error}");
        let long = tempfile::NamedTempFile::new().unwrap();
        long.as_file().set_len(user_file::SIZE_MAX + 1).unwrap();
        let error = check_bounded(long.path()).unwrap_err().to_string();
        assert!(error.ends_with("it is larger than 4 MiB; check SSL_CERT_FILE"), "{error}");
        long.as_file().set_len(user_file::SIZE_MAX).unwrap();
        check_bounded(long.path()).unwrap();
    }

    #[tokio::test]
    async fn folders_that_cannot_be_used_are_named() {
        let dir = tempfile::tempdir().unwrap();
        let find = |cert_dir: PathBuf| async move {
            let options = AccessOptions { cert_dir: Some(cert_dir), ..AccessOptions::default() };
            Certificates::find(&options, "quay.io").await
        };
        assert!(!find(dir.path().to_owned()).await.unwrap().are_its_own());
        let missing = find(dir.path().join("none")).await.err().unwrap();
        assert!(missing.to_string().contains("none"), "{missing}");
        fs::write(dir.path().join("client.cert"), "x").unwrap();
        let no_key = find(dir.path().to_owned()).await.err().unwrap();
        assert!(no_key.to_string().contains("client.key"), "{no_key}");
        fs::write(dir.path().join("client.key"), "secret").unwrap();
        let malformed = find(dir.path().to_owned()).await.err().unwrap();
        assert!(malformed.to_string().contains("client.cert"), "{malformed}");
        assert!(!format!("{malformed:?}").contains("secret"), "{malformed:?}");
    }
}
