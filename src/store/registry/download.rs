//! Reading from a registry (distribution-spec, "Pull").

use std::io;

use bytes::Bytes;
use reqwest::{
    Response, StatusCode,
    header::{ACCEPT, CONTENT_LENGTH, CONTENT_TYPE, HeaderName},
};
use tokio::sync::mpsc;

use super::{Registry, error};
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

impl Registry {
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
        let url = format!("{}/manifests/{name}", self.base);
        let accept = ACCEPTED.join(", ");
        let response = self.send(|| self.http.get(&url).header(ACCEPT, &accept)).await?;
        let response = self.expect_ok(response, &what).await?;
        let header = |name| response.headers().get(name)?.to_str().ok().map(str::to_owned);
        let announced = header(CONTENT_TYPE);
        // For a tag the registry's word is all there is to compare with. A digest of an algorithm
        // that is not known cannot be checked and is no reason to stop.
        let promised = match which {
            Selector::Digest(digest) => Some(digest.clone()),
            _ => header(DOCKER_CONTENT_DIGEST).and_then(|digest| digest.parse().ok()),
        };
        let bytes = self.read_bounded(response, &what).await?;
        let digest = self.check_digest(&bytes, promised, &what)?;
        RawManifest::checked(bytes, announced.as_deref(), digest)
            .map_err(|reason| StoreError::Manifest { what, place: self.place.clone(), reason })
    }

    pub(in crate::store) async fn blob(
        &self,
        digest: &Digest,
        size: u64,
    ) -> Result<BlobReader, StoreError> {
        let url = self.blob_url(digest);
        let response = self.send(|| self.http.get(&url)).await?;
        let mut response = self.expect_ok(response, &blob_name(digest)).await?;
        let (sender, receiver) = mpsc::channel(PIECES_WAITING);
        let registry = self.host.clone();
        // Ends by itself: with the body, or when the reader is dropped.
        tokio::spawn(async move {
            loop {
                let piece = match response.chunk().await {
                    Ok(Some(piece)) => Ok(piece),
                    Ok(None) => break,
                    Err(failure) => Err(io::Error::other(error::unreachable(&registry, &failure))),
                };
                let failed = piece.is_err();
                if sender.send(piece).await.is_err() || failed {
                    break;
                }
            }
        });
        Ok(BlobReader::from_channel(receiver, digest, size))
    }

    pub(in crate::store) async fn has_blob(
        &self,
        digest: &Digest,
        size: u64,
    ) -> Result<bool, StoreError> {
        let url = self.blob_url(digest);
        let response = self.send(|| self.http.head(&url)).await?;
        match response.status() {
            StatusCode::OK => {
                let length = response.headers().get(CONTENT_LENGTH);
                let length = length.and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
                // A blob of another size is damaged: better sent again than relied on.
                Ok(length.is_none_or(|length| length == size))
            }
            StatusCode::NOT_FOUND => Ok(false),
            _ => {
                let what = blob_name(digest);
                Err(self.refuse(response, &what, &format!("the question for {what}")).await)
            }
        }
    }

    fn blob_url(&self, digest: &Digest) -> String {
        format!("{}/blobs/{digest}", self.base)
    }

    async fn expect_ok(&self, response: Response, what: &str) -> Result<Response, StoreError> {
        if response.status() == StatusCode::OK {
            return Ok(response);
        }
        Err(self.refuse(response, what, &format!("the request for {what}")).await)
    }

    /// Reads a manifest's body, no further than a manifest may go.
    async fn read_bounded(&self, mut response: Response, what: &str) -> Result<Bytes, StoreError> {
        let mut body = Vec::new();
        loop {
            match response.chunk().await {
                Ok(Some(piece)) => body.extend_from_slice(&piece),
                Ok(None) => return Ok(body.into()),
                Err(failure) => return Err(error::unreachable(&self.host, &failure)),
            }
            if body.len() as u64 > MANIFEST_SIZE_MAX {
                let (what, place) = (what.to_owned(), self.place.clone());
                return Err(StoreError::TooLarge { what, place, limit: MANIFEST_SIZE_MAX });
            }
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
