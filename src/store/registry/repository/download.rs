//! One blob on its way from a registry, over as many connections as it takes (RFC 9110, section 14).

use std::{io, sync::Arc};

use bytes::Bytes;
use reqwest::{
    Response, StatusCode,
    header::{CONTENT_LENGTH, CONTENT_RANGE, ETAG, HeaderMap, IF_RANGE, RANGE},
};
use tokio::sync::mpsc;

use super::{
    super::http::{Call, Pace, RequestFailure, Retries, is_announced_longer},
    Repository,
};
use crate::{
    image::Digest,
    store::{blob::BlobMismatch, error::StoreError},
};

pub(super) struct BlobDownload {
    repository: Arc<Repository>,
    /// Asks for the whole blob.
    call: Call,
    digest: Digest,
    /// The blob's length in bytes, by its descriptor.
    size: u64,
    /// Bytes that have been passed on.
    offset: u64,
    /// Names what is being sent, so that the rest of something else is not taken for it.
    etag: Option<String>,
}

/// A body that is being received.
pub(super) struct DownloadBody {
    response: Response,
    /// Bytes at its beginning that have been passed on before.
    skip: u64,
    /// Whether its end need not be the end of the blob: it is a part, or has no length and may have
    /// been cut off.
    is_open_ended: bool,
    pace: Pace,
}

impl BlobDownload {
    /// Asks for the whole blob.
    pub(super) async fn begin(
        repository: &Arc<Repository>,
        call: Call,
        digest: &Digest,
        size: u64,
    ) -> Result<(Self, DownloadBody), StoreError> {
        let response = repository.send(&call.clone().accept(&[200])).await?;
        let (etag, repository) = (strong_etag(response.headers()), Arc::clone(repository));
        let download = Self { repository, call, digest: digest.clone(), size, offset: 0, etag };
        Ok((download, DownloadBody::new(response, 0)))
    }

    /// Passes on all pieces, and at the end perhaps an error.
    pub(super) async fn run(
        mut self,
        mut body: DownloadBody,
        pieces: &mpsc::Sender<io::Result<Bytes>>,
    ) {
        if is_announced_longer(&body.response, self.size) {
            let (digest, expected) = (self.digest, self.size);
            let too_long = BlobMismatch::TooLong { digest, expected };
            let error = io::Error::new(io::ErrorKind::InvalidData, too_long);
            let _ = pieces.send(Err(error)).await;
            return;
        }
        let mut retries = self.repository.http.retries(&self.call.action);
        loop {
            let before = self.offset;
            let failure = match self.receive(&mut body, pieces).await {
                Ok(()) => return,
                Err(failure) => failure,
            };
            // A trickle is no progress.
            if self.offset > before && !body.pace.is_slow() {
                retries.progressed(self.offset - before);
            }
            match self.resume(&mut retries, failure).await {
                Ok(Some(rest)) => body = rest,
                Ok(None) => return,
                Err(error) => {
                    let _ = pieces.send(Err(io::Error::other(error))).await;
                    return;
                }
            }
        }
    }

    /// Passes on what comes, until the end or a failure.
    async fn receive(
        &mut self,
        body: &mut DownloadBody,
        pieces: &mpsc::Sender<io::Result<Bytes>>,
    ) -> Result<(), RequestFailure> {
        loop {
            let next = self.repository.http.chunk(&mut body.response, &mut body.pace).await;
            let Some(mut piece) = next.map_err(RequestFailure::transient)? else { break };
            let known = body.skip.min(piece.len() as u64);
            body.skip -= known;
            // Not more than the piece has.
            let piece = piece.split_off(usize::try_from(known).unwrap_or(piece.len()));
            if piece.is_empty() {
                continue;
            }
            let length = piece.len() as u64;
            if pieces.send(Ok(piece)).await.is_err() {
                return Ok(());
            }
            self.offset += length;
        }
        if self.offset < self.size && body.is_open_ended {
            let reason = format!("it ends after {} of {} bytes", self.offset, self.size);
            return Err(RequestFailure::transient(
                self.repository.http.protocol(&self.call.action, reason),
            ));
        }
        // The reader checks whether this was all.
        Ok(())
    }

    /// Asks for the rest, as often as it takes. There is none if the blob ends here.
    async fn resume(
        &mut self,
        retries: &mut Retries,
        mut failure: RequestFailure,
    ) -> Result<Option<DownloadBody>, StoreError> {
        loop {
            retries.pause(failure).await?;
            failure = match self.ask_for_rest().await {
                Ok(rest) => return Ok(rest),
                Err(failure) => failure,
            };
        }
    }

    async fn ask_for_rest(&mut self) -> Result<Option<DownloadBody>, RequestFailure> {
        let mut call = self.call.clone().accept(&[200, 206, 416]);
        if self.offset > 0 {
            call = call.header(RANGE, &format!("bytes={}-", self.offset));
            if let Some(etag) = &self.etag {
                call = call.header(IF_RANGE, etag);
            }
        }
        let answer = self.repository.attempt(&call).await;
        let response = self.repository.judge(&call, answer).await?;
        match response.status() {
            StatusCode::RANGE_NOT_SATISFIABLE => Ok(None),
            StatusCode::PARTIAL_CONTENT => {
                if begins_at(response.headers(), self.offset, self.size) {
                    return Ok(Some(DownloadBody::new(response, 0)));
                }
                let reason = "it sends a different part of the blob than requested";
                Err(RequestFailure::fatal(self.repository.http.protocol(&call.action, reason)))
            }
            _ => Ok(Some(DownloadBody::new(response, self.offset))),
        }
    }
}

impl DownloadBody {
    /// A body of which `skip` bytes are known.
    fn new(response: Response, skip: u64) -> Self {
        let is_open_ended = !response.headers().contains_key(CONTENT_LENGTH)
            || response.status() == StatusCode::PARTIAL_CONTENT;
        Self { response, skip, is_open_ended, pace: Pace::default() }
    }
}

/// The entity tag if it says that the bytes are the same; a weak one does not (RFC 9110, section 13.1.5).
fn strong_etag(headers: &HeaderMap) -> Option<String> {
    let etag = headers.get(ETAG)?.to_str().ok()?;
    etag.starts_with('"').then(|| etag.to_owned())
}

/// Whether `Content-Range` is the part from `offset` on of something with `size` bytes.
fn begins_at(headers: &HeaderMap, offset: u64, size: u64) -> bool {
    let parse = || {
        let range = headers.get(CONTENT_RANGE)?.to_str().ok()?.strip_prefix("bytes ")?;
        let (range, total) = range.split_once('/')?;
        let (first, last) = range.split_once('-')?;
        let (first, last) = (first.parse::<u64>().ok()?, last.parse::<u64>().ok()?);
        let fits = total == "*" || total.parse() == Ok(size);
        Some(fits && first == offset && first <= last && last < size)
    };
    parse().unwrap_or(false)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn content_ranges_are_read_strictly() {
        for (range, fits) in [
            ("bytes 5-9/10", true),
            ("bytes 5-7/10", true),
            ("bytes 5-9/*", true),
            ("bytes 4-9/10", false),
            ("bytes 6-9/10", false),
            ("bytes 5-9/11", false),
            ("bytes 5-10/10", false),
            ("bytes 5-4/10", false),
            ("bytes 5-/10", false),
            ("bytes */10", false),
            ("bytes 5-9", false),
            ("5-9/10", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(CONTENT_RANGE, range.parse().unwrap());
            assert_eq!(begins_at(&headers, 5, 10), fits, "{range}");
        }
        assert!(!begins_at(&HeaderMap::new(), 5, 10));
    }

    #[test]
    fn weak_etags_do_not_count() {
        for (etag, expected) in [("\"a\"", Some("\"a\"")), ("W/\"a\"", None), ("a", None)] {
            let mut headers = HeaderMap::new();
            headers.insert(ETAG, etag.parse().unwrap());
            assert_eq!(strong_etag(&headers).as_deref(), expected, "{etag}");
        }
    }
}
