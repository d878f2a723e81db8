//! Reading from a registry (distribution-spec, "Pull").

mod transfer;

use std::sync::Arc;

use bytes::Bytes;
use reqwest::{
    Method, StatusCode, Url,
    header::{ACCEPT, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderName},
};
use tokio::sync::mpsc;

use self::transfer::Transfer;
use super::{Repository, request::Call, retry::Failure};
use crate::{
    image::Digest,
    store::{
        BlobReader, MANIFEST_SIZE_MAX, RawManifest, Selector, StoreError, blob_name,
        manifest::ACCEPTED,
    },
};

/// The digest of a manifest in headers of requests and answers.
pub(super) const DOCKER_CONTENT_DIGEST: HeaderName =
    HeaderName::from_static("docker-content-digest");

/// Pieces of a blob that wait for their reader. A piece is at most what the HTTP library reads at
/// once, some hundred kilobytes, so a download holds a few megabytes at most.
const PIECES_WAITING: usize = 4;

impl Repository {
    pub(in crate::store) async fn manifest(
        &self,
        which: &Selector,
    ) -> Result<RawManifest, StoreError> {
        let name = match which {
            Selector::Digest(digest) => digest.as_str(),
            Selector::Tag(tag) if crate::image::reference::is_valid_tag(tag) => tag,
            Selector::Tag(tag) => {
                return Err(StoreError::Tag(crate::image::ReferenceError::Tag(tag.clone())));
            }
            Selector::Only => return Err(StoreError::NothingSelected(self.place.clone())),
        };
        let what = format!("manifest {name}");
        let url = self.url(&format!("manifests/{name}"))?;
        let call = Call::new(Method::GET, url).header(ACCEPT, &ACCEPTED.join(", "));
        let (headers, bytes) = self.document(&call, &what).await?;
        let header = |name| headers.get(name)?.to_str().ok().map(str::to_owned);
        let announced = header(CONTENT_TYPE);
        // For a tag the registry's word is all there is to compare with. A digest of an algorithm
        // that is not known cannot be checked and is no reason to stop.
        let promised = match which {
            Selector::Digest(digest) => Some(digest.clone()),
            _ => header(DOCKER_CONTENT_DIGEST).and_then(|digest| digest.parse().ok()),
        };
        let digest = self.check_digest(&bytes, promised, &what)?;
        RawManifest::checked(bytes, announced.as_deref(), digest)
            .map_err(|reason| StoreError::Manifest { what, place: self.place.clone(), reason })
    }

    /// A manifest of whatever media type.
    pub(in crate::store) async fn manifest_of_type(
        &self,
        digest: &Digest,
        media_type: &str,
    ) -> Result<Bytes, StoreError> {
        let what = format!("manifest {digest}");
        let url = self.url(&format!("manifests/{digest}"))?;
        let call = Call::new(Method::GET, url).header(ACCEPT, media_type);
        let (_, bytes) = self.document(&call, &what).await?;
        self.check_digest(&bytes, Some(digest.clone()), &what).map(|_| bytes)
    }

    /// Opens a blob. A download that breaks off goes on where it was.
    pub(in crate::store) async fn blob(
        self: &Arc<Self>,
        digest: &Digest,
        size: u64,
    ) -> Result<BlobReader, StoreError> {
        let action = format!("the download of {}", blob_name(digest));
        let mut transfer = Transfer::new(Arc::clone(self), self.blob_url(digest)?, size, action);
        let body = transfer.begin(&blob_name(digest)).await?;
        let (sender, receiver) = mpsc::channel(PIECES_WAITING);
        // Ends by itself: with the blob, or when the reader is dropped.
        tokio::spawn(async move { transfer.run(body, &sender).await });
        Ok(BlobReader::from_channel(receiver, digest, size))
    }

    pub(in crate::store) async fn has_blob(
        &self,
        digest: &Digest,
        size: u64,
    ) -> Result<bool, StoreError> {
        let action = format!("the question for {}", blob_name(digest));
        let call = Call::new(Method::HEAD, self.blob_url(digest)?);
        let response = self.send(&call, &action).await?;
        match response.status() {
            StatusCode::OK => {
                let length = response.headers().get(CONTENT_LENGTH);
                let length = length.and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
                // A blob of another size is damaged: better sent again than relied on.
                Ok(length.is_none_or(|length| length == size))
            }
            StatusCode::NOT_FOUND => Ok(false),
            _ => Err(self.refuse(response, &blob_name(digest), &action).await),
        }
    }

    fn blob_url(&self, digest: &Digest) -> Result<Url, StoreError> {
        self.url(&format!("blobs/{digest}"))
    }

    /// Gets a manifest with its headers, no further than a manifest may go.
    pub(super) async fn document(
        &self,
        call: &Call,
        what: &str,
    ) -> Result<(HeaderMap, Bytes), StoreError> {
        let action = format!("the request for {what}");
        let mut retries = self.retries(&action);
        loop {
            let failure = match self.attempt(call, &action).await {
                Ok(response) if response.status() == StatusCode::OK => {
                    let headers = response.headers().clone();
                    match self.read_bounded(response, MANIFEST_SIZE_MAX).await {
                        Ok(Some(body)) => return Ok((headers, body)),
                        Ok(None) => {
                            let (what, place) = (what.to_owned(), self.place.clone());
                            let limit = MANIFEST_SIZE_MAX;
                            return Err(StoreError::TooLarge { what, place, limit });
                        }
                        Err(error) => Failure::passing(error),
                    }
                }
                Ok(response) => self.failure(response, what, &action).await,
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
        let (what, place) = (what.to_owned(), self.place.clone());
        Err(StoreError::DigestMismatch { what, place, expected, actual })
    }
}
