//! Manifests (distribution-spec, "Pull" and "Pushing manifests").

use bytes::Bytes;
use reqwest::{
    Method,
    header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderName},
};

use super::{
    super::http::{Call, RequestFailure},
    Repository,
    referrers::OCI_SUBJECT,
};
use crate::{
    image::{Digest, ReferenceError, reference::is_valid_tag},
    store::{
        access::Selector,
        error::StoreError,
        manifest::{ACCEPTED, MANIFEST_SIZE_MAX, RawManifest},
    },
};

/// The digest of a manifest in headers of requests and answers.
const DOCKER_CONTENT_DIGEST: HeaderName = HeaderName::from_static("docker-content-digest");

impl Repository {
    pub(crate) async fn manifest(&self, which: &Selector) -> Result<RawManifest, StoreError> {
        let name = match which {
            Selector::Digest(digest) => digest.as_str(),
            Selector::Tag(tag) if is_valid_tag(tag) => tag,
            Selector::Tag(tag) => {
                return Err(StoreError::Tag(ReferenceError::Tag(tag.clone())));
            }
            Selector::Only => return Err(StoreError::NothingSelected(self.place())),
        };
        let call = self.manifest_call(name, &ACCEPTED.join(", "))?;
        let (headers, bytes) = self.document(&call).await?;
        let header = |name| headers.get(name)?.to_str().ok().map(str::to_owned);
        let announced = header(CONTENT_TYPE);
        // For a tag the registry's word is all there is to compare with. A digest of an algorithm
        // that is not known cannot be checked and is no reason to stop.
        let promised = match which {
            Selector::Digest(digest) => Some(digest.clone()),
            _ => header(DOCKER_CONTENT_DIGEST).and_then(|digest| digest.parse().ok()),
        };
        let digest = self.check_digest(&bytes, promised, &call.target)?;
        RawManifest::checked(bytes, announced.as_deref(), digest).map_err(|reason| {
            StoreError::Manifest { what: call.target, place: self.place(), reason }
        })
    }

    /// A manifest of whatever media type.
    pub(crate) async fn manifest_of_type(
        &self,
        digest: &Digest,
        media_type: &str,
    ) -> Result<Bytes, StoreError> {
        let call = self.manifest_call(digest.as_str(), media_type)?;
        let (_, bytes) = self.document(&call).await?;
        self.check_digest(&bytes, Some(digest.clone()), &call.target).map(|_| bytes)
    }

    fn manifest_call(&self, name: &str, media_types: &str) -> Result<Call, StoreError> {
        let (what, url) = (format!("manifest {name}"), self.url(&format!("manifests/{name}"))?);
        let call = Call::new(Method::GET, url, format!("download of {what}")).target(what);
        Ok(call.header(ACCEPT, media_types).accept(&[200]))
    }

    /// Puts a manifest under its tag or its digest, byte for byte. Returns whether the registry
    /// lists it among the referrers of its subject.
    pub(crate) async fn put_manifest(
        &self,
        manifest: &RawManifest,
        tag: Option<&str>,
    ) -> Result<bool, StoreError> {
        let name = tag.unwrap_or(manifest.digest.as_str());
        let (what, url) = (format!("manifest {name}"), self.url(&format!("manifests/{name}"))?);
        let call = Call::new(Method::PUT, url, format!("upload of {what}"))
            .target(format!("repository for {what}"))
            .accept(&[200, 201, 202, 203, 204])
            .header(CONTENT_TYPE, &manifest.media_type)
            .bytes(manifest.bytes.clone());
        let response = self.send(&call).await?;
        let stored = response.headers().get(DOCKER_CONTENT_DIGEST);
        let stored = stored.and_then(|digest| digest.to_str().ok()?.parse::<Digest>().ok());
        match stored {
            Some(actual)
                if actual.algorithm() == manifest.digest.algorithm()
                    && actual != manifest.digest =>
            {
                let (place, expected) = (self.place(), manifest.digest.clone());
                Err(StoreError::DigestMismatch { what, place, expected, actual })
            }
            _ => Ok(response.headers().contains_key(OCI_SUBJECT)),
        }
    }

    /// Gets a document with its headers, if it is no longer than a manifest may be.
    pub(super) async fn document(&self, call: &Call) -> Result<(HeaderMap, Bytes), StoreError> {
        let mut retries = self.http.retries(&call.action);
        loop {
            let answer = self.attempt(call).await;
            let failure = match self.judge(call, answer).await {
                Ok(response) => {
                    let headers = response.headers().clone();
                    match self.http.read_bounded(response, MANIFEST_SIZE_MAX).await {
                        Ok(Some(body)) => return Ok((headers, body)),
                        Ok(None) => {
                            let (what, place) = (call.target.clone(), self.place());
                            let limit = MANIFEST_SIZE_MAX;
                            return Err(StoreError::TooLarge { what, place, limit });
                        }
                        Err(error) => RequestFailure::transient(error),
                    }
                }
                Err(failure) => failure,
            };
            retries.pause(failure).await?;
        }
    }

    /// The digest of `bytes`, by the algorithm of the one that was promised.
    fn check_digest(
        &self,
        bytes: &[u8],
        promised: Option<Digest>,
        what: &str,
    ) -> Result<Digest, StoreError> {
        let Some(expected) = promised else { return Ok(Digest::sha256_of(bytes)) };
        let mut hasher = expected.hasher();
        hasher.update(bytes);
        let actual = hasher.finish();
        if actual == expected {
            return Ok(actual);
        }
        let (what, place) = (what.to_owned(), self.place());
        Err(StoreError::DigestMismatch { what, place, expected, actual })
    }
}
