//! Blobs (distribution-spec, "Pulling blobs" and "Pushing blobs").

use std::sync::Arc;

use reqwest::{
    Method, StatusCode, Url,
    header::{CONTENT_LENGTH, CONTENT_RANGE, HeaderMap, HeaderName, RANGE},
};
use tokio::sync::mpsc;

use super::{
    super::http::Call,
    Repository,
    download::BlobDownload,
    upload::{Begun, BlobUpload, Session, UploadSource, upload_of},
};
use crate::{
    image::{Digest, ImageReference},
    store::{
        blob::{BlobContent, BlobReader, blob_name},
        error::StoreError,
        spool::{BlobSpool, SpoolExtent},
    },
};

/// Pieces of a blob that wait for their reader. A piece is at most what the HTTP library reads at
/// once, some hundred kilobytes, so a download holds a few megabytes at most.
const PIECES_WAITING: usize = 4;
/// A blob that grows beyond this many bytes is uploaded while it is being written. A smaller one
/// waits for its digest: sending it takes seconds, and often the registry has it already, as for
/// most layers of most images. What is sent in vain of a larger one costs no time, because the wait
/// for the digest is as long either way.
const FOLLOWED_FROM: u64 = 32 << 20;

/// What a registry says of a blob.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Presence {
    Absent,
    /// With its size in bytes, if that is known.
    There(Option<u64>),
}

impl Presence {
    /// A blob of another size is damaged: better sent again than relied on.
    pub(super) fn is_of(self, size: u64) -> bool {
        matches!(self, Self::There(found) if found.is_none_or(|found| found == size))
    }
}

impl Repository {
    /// Opens a blob. A download that is interrupted resumes where it was.
    pub(crate) async fn blob(
        self: &Arc<Self>,
        digest: &Digest,
        size: u64,
    ) -> Result<BlobReader, StoreError> {
        let what = blob_name(digest);
        let call = Call::new(Method::GET, self.blob_url(digest)?, format!("download of {what}"));
        let (download, body) = BlobDownload::begin(self, call.target(what), digest, size).await?;
        let (sender, receiver) = mpsc::channel(PIECES_WAITING);
        // Ends by itself: with the blob, or when the reader is dropped.
        tokio::spawn(async move { download.run(body, &sender).await });
        Ok(BlobReader::from_channel(receiver, digest, size))
    }

    pub(crate) async fn has_blob(&self, digest: &Digest, size: u64) -> Result<bool, StoreError> {
        let what = blob_name(digest);
        let call = Call::new(Method::HEAD, self.blob_url(digest)?, format!("check for {what}"));
        let response = self.send(&call.target(what)).await?;
        let by_head = length(response.headers());
        match response.status() {
            StatusCode::NOT_FOUND => return Ok(false),
            StatusCode::OK if by_head == Some(size) => return Ok(true),
            _ => {}
        }
        // Not every server answers HEAD like GET: presigned URLs are good for GET alone, and some
        // have no length, or 0.
        Ok(match self.presence_by_get(digest).await? {
            Presence::There(None) if response.status() == StatusCode::OK => {
                Presence::There(by_head.filter(|&length| length > 0)).is_of(size)
            }
            presence => presence.is_of(size),
        })
    }

    /// Asks for the first byte of a blob.
    pub(super) async fn presence_by_get(&self, digest: &Digest) -> Result<Presence, StoreError> {
        let what = blob_name(digest);
        let call = Call::new(Method::GET, self.blob_url(digest)?, format!("check for {what}"));
        let whole = call.target(what).accept(&[200, 404]);
        let byte = whole.clone().accept(&[200, 206, 400, 404, 405, 416, 501]);
        let mut response = self.send(&byte.header(RANGE, "bytes=0-0")).await?;
        if matches!(response.status().as_u16(), 400 | 405 | 501) {
            // It may be the range that is refused. The body is not read.
            response = self.send(&whole).await?;
        }
        let total = || content_range_total(response.headers());
        Ok(match response.status().as_u16() {
            404 => Presence::Absent,
            200 => Presence::There(length(response.headers())),
            // Only an empty blob has no first byte.
            416 => Presence::There(total().or(Some(0))),
            _ => Presence::There(total()),
        })
    }

    fn blob_url(&self, digest: &Digest) -> Result<Url, StoreError> {
        self.url(&format!("blobs/{digest}"))
    }

    /// Begins an upload for [`Repository::put_spool`], or fails if this may not push. A token alone
    /// does not tell, because token servers leave out what they do not grant.
    pub(crate) async fn begin_upload(self: &Arc<Self>) -> Result<Option<Session>, StoreError> {
        let action = "check for permission to push".into();
        Ok(match Session::begin(self, &action, None).await? {
            Begun::Session(session) => Some(session),
            Begun::Mounted => None,
        })
    }

    /// Uploads a blob. The registry checks the digest. With `from`, another repository of the same
    /// registry, it is asked to mount the blob from there.
    pub(crate) async fn put_blob(
        self: &Arc<Self>,
        digest: &Digest,
        size: u64,
        content: BlobContent,
        from: Option<&str>,
    ) -> Result<(), StoreError> {
        let source = UploadSource::known(digest, size, content).await?;
        let session = match self.mount(digest, from).await {
            Some(Begun::Mounted) => return Ok(()),
            Some(Begun::Session(session)) => Some(session),
            None => None,
        };
        BlobUpload::whole(self, source).run(session).await.map(drop)
    }

    /// Whether a blob could be mounted from the repository of `image`. An upload that the registry
    /// begins instead is cancelled.
    pub(crate) async fn mount_blob(
        self: &Arc<Self>,
        digest: &Digest,
        image: &ImageReference,
    ) -> bool {
        matches!(self.mount(digest, self.neighbor(image)).await, Some(Begun::Mounted))
    }

    /// Tries to mount a blob. A refusal, of whatever kind, is no reason to stop.
    async fn mount(self: &Arc<Self>, digest: &Digest, from: Option<&str>) -> Option<Begun> {
        let from = from?;
        match Session::begin(self, &upload_of(digest), Some((digest, from))).await {
            Ok(begun) => Some(begun),
            Err(error) => {
                tracing::debug!("cannot mount blob {digest} from {from}: {error}");
                None
            }
        }
    }

    /// Uploads a blob that may still be growing, unless it turns out that the registry has it.
    /// Returns whether it has. A session that is given is used, or cancelled.
    pub(crate) async fn put_spool(
        self: &Arc<Self>,
        mut spool: BlobSpool,
        session: Option<Session>,
    ) -> Result<bool, StoreError> {
        let upload = match spool.wait_for(FOLLOWED_FROM).await {
            SpoolExtent::Finished(digest, size) => {
                if self.has_blob(&digest, size).await? {
                    return Ok(true);
                }
                let content = BlobContent::File(spool.path().to_owned());
                let source = UploadSource::known(&digest, size, content).await?;
                BlobUpload::whole(self, source)
            }
            SpoolExtent::Enough | SpoolExtent::Abandoned => BlobUpload::following(self, spool),
        };
        upload.run(session).await
    }
}

fn length(headers: &HeaderMap) -> Option<u64> {
    text(headers, CONTENT_LENGTH)?.parse().ok()
}

/// The size of the whole, from `bytes 0-0/SIZE` or `bytes */SIZE`.
fn content_range_total(headers: &HeaderMap) -> Option<u64> {
    text(headers, CONTENT_RANGE)?.rsplit_once('/')?.1.trim().parse().ok()
}

fn text(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    headers.get(name)?.to_str().ok()
}
