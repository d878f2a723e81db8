//! Manifests (distribution-spec, "Pull" and "Pushing manifests").

use bytes::Bytes;
use reqwest::{
    Method,
    header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderName},
};
use tokio::time::Instant;

use super::{
    super::http::{Call, RequestFailure, Retries},
    Repository,
    referrers::OCI_SUBJECT,
};
use crate::{
    image::{Descriptor, Digest, ReferenceError, reference::is_valid_tag},
    store::{
        access::Selector,
        error::StoreError,
        manifest::{ACCEPTED, MANIFEST_SIZE_MAX, RawManifest},
    },
};

/// The digest of a manifest in headers of requests and answers.
const DOCKER_CONTENT_DIGEST: HeaderName = HeaderName::from_static("docker-content-digest");

/// What is wrong if a website answers.
const WEB_PAGE: &str =
    "a web page, so it is probably no registry; check the name, or the proxy in between";

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

    /// Puts a manifest under its tag or its digest, byte for byte.
    pub(crate) async fn put_manifest(
        &self,
        manifest: &RawManifest,
        tag: Option<&str>,
    ) -> Result<(), StoreError> {
        self.send_manifest(manifest, tag, true).await.map(drop)
    }

    /// Puts a manifest that has a subject under its digest. Returns whether the registry lists it
    /// among the referrers of its subject, which only the answer to the PUT tells.
    pub(crate) async fn put_referrer(&self, manifest: &RawManifest) -> Result<bool, StoreError> {
        let answer = self.send_manifest(manifest, None, false).await?;
        Ok(answer.is_some_and(|headers| headers.contains_key(OCI_SUBJECT)))
    }

    /// Returns the headers of the answer. With `once`, the manifest is not sent again if it turns
    /// out to be there after a failure; then there are none.
    async fn send_manifest(
        &self,
        manifest: &RawManifest,
        tag: Option<&str>,
        once: bool,
    ) -> Result<Option<HeaderMap>, StoreError> {
        let name = tag.unwrap_or(manifest.digest.as_str());
        let (what, url) = (format!("manifest {name}"), self.url(&format!("manifests/{name}"))?);
        let call = Call::new(Method::PUT, url, format!("upload of {what}"))
            .target(format!("repository for {what}"))
            .accept(&[200, 201, 202, 203, 204])
            .header(CONTENT_TYPE, &manifest.media_type)
            .bytes(manifest.bytes.clone())
            .committing(manifest.size());
        let mut retries = self.http.retries(&call.action);
        let headers = loop {
            let begin = Instant::now();
            let answer = self.attempt(&call).await;
            let failure = match self.judge(&call, answer).await {
                Ok(response) => break response.headers().clone(),
                Err(failure) => failure,
            };
            if failure.status.is_some() {
                retries.excuse(begin.elapsed());
            }
            // Only the answer may have been lost.
            let is_unclear = failure.is_transient() && failure.status != Some(429);
            if once && is_unclear && self.names(name, manifest).await {
                return Ok(None);
            }
            let paused = retries.pause(failure).await;
            paused.map_err(|error| of_foreign_layers(error, manifest))?;
        };
        let stored = headers.get(DOCKER_CONTENT_DIGEST);
        let stored = stored.and_then(|digest| digest.to_str().ok()?.parse::<Digest>().ok());
        match stored {
            Some(actual)
                if actual.algorithm() == manifest.digest.algorithm()
                    && actual != manifest.digest =>
            {
                let (place, expected) = (self.place(), manifest.digest.clone());
                Err(StoreError::DigestMismatch { what, place, expected, actual })
            }
            _ => Ok(Some(headers)),
        }
    }

    /// Whether `name` is that of a manifest now; one look.
    async fn names(&self, name: &str, manifest: &RawManifest) -> bool {
        let Ok(call) = self.manifest_call(name, &manifest.media_type) else { return false };
        let answer = self.attempt(&call).await;
        let Ok(response) = self.judge(&call, answer).await else { return false };
        let found = self.http.read_bounded(response, MANIFEST_SIZE_MAX).await;
        found.is_ok_and(|found| found.as_ref() == Some(&manifest.bytes))
    }

    /// Gets a document with its headers, if it is no longer than a manifest may be.
    pub(super) async fn document(&self, call: &Call) -> Result<(HeaderMap, Bytes), StoreError> {
        self.document_with(call, self.http.retries(&call.action)).await
    }

    pub(super) async fn document_with(
        &self,
        call: &Call,
        mut retries: Retries,
    ) -> Result<(HeaderMap, Bytes), StoreError> {
        loop {
            let answer = self.attempt(call).await;
            let failure = match self.judge(call, answer).await {
                Ok(response) => {
                    let headers = response.headers().clone();
                    let kind = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
                    if kind.is_some_and(|kind| kind.trim_start().starts_with("text/html")) {
                        return Err(self.http.protocol(&call.action, WEB_PAGE));
                    }
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

/// Adds the likely cause to the refusal of a manifest with foreign layers: distribution answers 500
/// to their `urls`.
fn of_foreign_layers(error: StoreError, manifest: &RawManifest) -> StoreError {
    let has_foreign = || {
        manifest.manifest().is_ok_and(|read| read.layers.iter().any(Descriptor::is_not_distributed))
    };
    match error {
        StoreError::UnexpectedStatus { .. } if has_foreign() => {
            StoreError::ForeignLayers(Box::new(error))
        }
        other => other,
    }
}
