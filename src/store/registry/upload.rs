//! Writing to a registry (distribution-spec, "Push").

mod session;
mod source;
mod transfer;

use std::sync::Arc;

use reqwest::{Method, header::CONTENT_TYPE};

pub use self::session::uploads_cancelled;
use self::{
    session::{Begun, Session},
    source::Source,
    transfer::Transfer,
};
use super::{Repository, download::DOCKER_CONTENT_DIGEST, referrers::OCI_SUBJECT, request::Call};
use crate::{
    image::{Digest, ImageReference},
    store::{
        BlobContent, RawManifest, StoreError, blob_name,
        spool::{BlobSpool, SpoolExtent},
    },
};

/// A blob that grows beyond this many bytes is uploaded while it is being written. A smaller one
/// waits for its digest: sending it takes seconds, and often the registry has it already, which
/// for most images is so with most layers. What is sent for nothing of a larger one costs no time,
/// since the wait for the digest is as long either way.
const FOLLOWED_FROM: u64 = 32 << 20;

impl Repository {
    /// Uploads a blob. The registry checks the digest. With `from`, another repository of the same
    /// registry, it is asked to take the blob from there.
    pub(in crate::store) async fn put_blob(
        self: &Arc<Self>,
        digest: &Digest,
        size: u64,
        content: BlobContent,
        from: Option<&str>,
    ) -> Result<(), StoreError> {
        let source = Source::known(digest, size, content).await?;
        let action: Arc<str> = format!("the upload of {}", blob_name(digest)).into();
        let session = match from {
            Some(from) => match self.mount(digest, from, &action).await {
                Some(Begun::Mounted) => return Ok(()),
                Some(Begun::Session(session)) => Some(session),
                None => None,
            },
            None => None,
        };
        Transfer::whole(self, source, action).run(session).await.map(drop)
    }

    /// Whether a blob could be mounted from the repository of `image`. An upload that the registry
    /// begins instead is cancelled.
    pub(in crate::store) async fn mount_blob(
        self: &Arc<Self>,
        digest: &Digest,
        image: &ImageReference,
    ) -> bool {
        let Some(from) = self.neighbour(image) else { return false };
        let action = format!("the upload of {}", blob_name(digest)).into();
        matches!(self.mount(digest, from, &action).await, Some(Begun::Mounted))
    }

    /// Tries to mount a blob. That it is refused, by whatever words, is no reason to stop.
    async fn mount(
        self: &Arc<Self>,
        digest: &Digest,
        from: &str,
        action: &Arc<str>,
    ) -> Option<Begun> {
        match Session::begin(self, action, Some((digest, from))).await {
            Ok(begun) => Some(begun),
            Err(error) => {
                tracing::debug!(%digest, from, %error, "the blob cannot be mounted");
                None
            }
        }
    }

    /// Uploads a blob that may still be growing, unless it turns out that the registry has it.
    /// Returns whether it has.
    pub(in crate::store) async fn put_spool(
        self: &Arc<Self>,
        mut spool: BlobSpool,
    ) -> Result<bool, StoreError> {
        match spool.wait_for(FOLLOWED_FROM).await {
            SpoolExtent::Finished(digest, size) => {
                if self.has_blob(&digest, size).await? {
                    return Ok(true);
                }
                let content = BlobContent::File(spool.path().to_owned());
                self.put_blob(&digest, size, content, None).await.map(|()| false)
            }
            SpoolExtent::Enough | SpoolExtent::Abandoned => {
                let action = "the upload of a blob that is being made".into();
                let source = Source::Growing(spool);
                Transfer::following(self, source, action).run(None).await
            }
        }
    }

    /// Puts a manifest under its tag or its digest, byte for byte. Returns whether the registry
    /// lists it among what refers to its subject.
    pub(in crate::store) async fn put_manifest(
        &self,
        manifest: &RawManifest,
        tag: Option<&str>,
    ) -> Result<bool, StoreError> {
        let name = tag.unwrap_or(manifest.digest.as_str());
        let (what, action) = (format!("manifest {name}"), format!("the upload of manifest {name}"));
        let call = Call::new(Method::PUT, self.url(&format!("manifests/{name}"))?)
            .header(CONTENT_TYPE, &manifest.media_type)
            .bytes(manifest.bytes.clone());
        let response = self.send(&call, &action).await?;
        if !matches!(response.status().as_u16(), 200..=204) {
            return Err(self.refuse(response, &format!("repository for {what}"), &action).await);
        }
        let stored = response.headers().get(DOCKER_CONTENT_DIGEST);
        let stored = stored.and_then(|digest| digest.to_str().ok()?.parse::<Digest>().ok());
        match stored {
            Some(actual)
                if actual.algorithm() == manifest.digest.algorithm()
                    && actual != manifest.digest =>
            {
                let (place, expected) = (self.place.clone(), manifest.digest.clone());
                Err(StoreError::DigestMismatch { what, place, expected, actual })
            }
            _ => Ok(response.headers().contains_key(OCI_SUBJECT)),
        }
    }
}
