//! Certificates in addition to those of the system: authorities to trust, and our own to present.
//!
//! Those of the system are what `SSL_CERT_FILE` and `SSL_CERT_DIR` name, or else the usual places;
//! the TLS library looks there by itself.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use reqwest::{Certificate, Identity};
use rustls_pki_types::{CertificateDer, pem::PemObject as _};

use crate::store::{access::AccessOptions, error::StoreError};

/// Where containers-certs.d(5) and docker keep a folder for each registry.
const FOLDERS: [&str; 2] = ["/etc/containers/certs.d", "/etc/docker/certs.d"];

#[derive(Default)]
pub(super) struct Certificates {
    /// For all hosts.
    pub(super) authorities: Vec<Certificate>,
    /// For the registry alone.
    pub(super) own_authorities: Vec<Certificate>,
    /// A client certificate with its key, for the registry alone.
    pub(super) identity: Option<Identity>,
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
        self.identity.is_some() || !self.own_authorities.is_empty()
    }

    /// Reads a folder by the rules of containers-certs.d(5): `*.crt` are authorities, `*.cert` and
    /// `*.key` of the same name a client certificate and its key. Of several the first by name
    /// counts.
    fn read_folder(&mut self, folder: &Path) -> Result<(), StoreError> {
        let unreadable = |error: io::Error| unusable(folder, error.to_string());
        let mut files: Vec<PathBuf> = fs::read_dir(folder)
            .and_then(|entries| entries.map(|entry| entry.map(|entry| entry.path())).collect())
            .map_err(unreadable)?;
        files.sort();
        for file in files {
            match file.extension().and_then(|extension| extension.to_str()) {
                Some("crt") => self.own_authorities.extend(of_pem(&file, &read(&file)?)?),
                Some("cert") if self.identity.is_none() => {
                    let key = file.with_extension("key");
                    let pem = [read(&file)?, b"\n".to_vec(), read(&key)?].concat();
                    let identity = Identity::from_pem(&pem).map_err(|_| {
                        let reason =
                            "it and the .key file next to it are not a certificate and its key";
                        unusable(&file, reason.to_owned())
                    })?;
                    self.identity = Some(identity);
                }
                _ => {}
            }
        }
        Ok(())
    }
}

fn of_ca_file(options: &AccessOptions) -> Result<Vec<Certificate>, StoreError> {
    let Some(path) = &options.ca_file else { return Ok(Vec::new()) };
    let pem = match fs::read(path) {
        Ok(pem) => pem,
        Err(error) if error.kind() == io::ErrorKind::NotFound && options.ca_file_optional => {
            return Ok(Vec::new());
        }
        Err(error) => return Err(unusable(path, error.to_string())),
    };
    if pem.trim_ascii().is_empty() && options.ca_file_optional {
        return Ok(Vec::new());
    }
    of_pem(path, &pem)
}

fn read(file: &Path) -> Result<Vec<u8>, StoreError> {
    fs::read(file).map_err(|error| unusable(file, error.to_string()))
}

/// All certificates in a PEM file; there has to be one.
fn of_pem(path: &Path, pem: &[u8]) -> Result<Vec<Certificate>, StoreError> {
    let malformed =
        |error: &dyn std::fmt::Display| unusable(path, format!("not a valid PEM file: {error}"));
    let authorities = CertificateDer::pem_slice_iter(pem)
        .map(|authority| {
            let authority = authority.map_err(|error| malformed(&error))?;
            Certificate::from_der(&authority).map_err(|error| malformed(&error))
        })
        .collect::<Result<Vec<_>, _>>()?;
    if authorities.is_empty() {
        return Err(unusable(path, "it contains no certificate".to_owned()));
    }
    Ok(authorities)
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
        assert!(read(false).is_err());
        assert!(read(true).unwrap().is_empty());
        fs::write(&path, "\n").unwrap();
        assert!(read(false).is_err());
        assert!(read(true).unwrap().is_empty());
        for bad in ["no PEM at all", "-----BEGIN CERTIFICATE-----\n§\n-----END CERTIFICATE-----\n"]
        {
            fs::write(&path, bad).unwrap();
            let error = read(true).unwrap_err();
            assert!(error.to_string().contains("ca.crt"), "{error}");
        }
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
