//! One upload session of a registry (distribution-spec, "Pushing blobs").

use std::{
    sync::{Arc, LazyLock},
    time::Duration,
};

use reqwest::{
    Method, Response, StatusCode, Url,
    header::{CONTENT_RANGE, CONTENT_TYPE, HeaderName, LOCATION, RANGE},
};
use tokio::{sync::watch, task::JoinHandle};

use super::source::UploadSource;
use crate::{
    image::Digest,
    store::{
        error::StoreError,
        registry::{
            http::{Call, RequestFailure, location},
            repository::Repository,
        },
    },
};

const OCI_CHUNK_MIN_LENGTH: HeaderName = HeaderName::from_static("oci-chunk-min-length");
const BLOB_TYPE: &str = "application/octet-stream";
/// Registries are lenient with their own statuses: ECR answers 201 to a PATCH, for example.
const SUCCESS: &[u16] = &[200, 201, 202, 203, 204];

/// How long a request that sends content may go on after its session has been given up.
/// distribution 2.8 forgets a session in which one has broken off: it could not be cancelled.
const LAST_REQUEST: Duration = Duration::from_secs(2);

/// A session. It is cancelled when it is dropped before the last [`Session::push`] has succeeded,
/// so that no half a blob stays behind in the registry.
pub(crate) struct Session {
    repository: Arc<Repository>,
    /// What its requests are part of, for messages.
    pub(super) action: Arc<str>,
    /// Where the next request goes; the registry may change it with each answer.
    location: Url,
    /// Bytes that the registry has.
    pub(super) offset: u64,
    /// Bytes that it may have: as far as any request went.
    pub(super) sent: u64,
    /// Only the last chunk may be shorter.
    pub(super) chunk_min: u64,
    is_open: bool,
    /// The request that sends content, while there is one.
    sending: Option<Sending>,
}

/// A request on a task of its own, so that it can outlive the session by a little.
struct Sending {
    answer: JoinHandle<Result<Response, RequestFailure>>,
    /// A PUT: there is no session any more if it succeeds.
    is_last: bool,
}

/// What to send next: so many bytes. With the last ones go the digest and size of the blob.
pub(super) struct UploadPiece {
    pub(super) length: u64,
    pub(super) last: Option<(Digest, u64)>,
}

/// The answer to a request for a session.
pub(crate) enum Begun {
    Session(Session),
    /// The blob was mounted: it is there.
    Mounted,
}

impl Session {
    /// Opens a session. With `mount` the registry is asked to take that blob of the named
    /// repository instead; most that refuse it open a session all the same.
    pub(crate) async fn begin(
        repository: &Arc<Repository>,
        action: &Arc<str>,
        mount: Option<(&Digest, &str)>,
    ) -> Result<Begun, StoreError> {
        let mut url = repository.url("blobs/uploads/")?;
        let call = match mount {
            Some((digest, from)) => {
                let mut query = url.query_pairs_mut();
                query.append_pair("mount", digest.as_str()).append_pair("from", from);
                drop(query);
                let call = Call::new(Method::POST, url, Arc::clone(action));
                call.also_pulling_from(from).accept(&[201, 202]).committing(0)
            }
            None => Call::new(Method::POST, url, Arc::clone(action)).accept(SUCCESS),
        };
        let response = repository.send(&call).await?;
        if mount.is_some() && response.status() == StatusCode::CREATED {
            return Ok(Begun::Mounted);
        }
        let Some(location) = location(&response) else {
            let reason = "it does not say where to upload to: no valid Location header";
            return Err(repository.http.protocol(action, reason));
        };
        let header = response.headers().get(OCI_CHUNK_MIN_LENGTH);
        let chunk_min = header.and_then(|length| length.to_str().ok()?.parse().ok()).unwrap_or(0);
        Ok(Begun::Session(Self {
            repository: Arc::clone(repository),
            action: Arc::clone(action),
            location,
            offset: 0,
            sent: 0,
            chunk_min,
            is_open: true,
            sending: None,
        }))
    }

    /// Sends the next piece. What the answer to a chunk says of the range is ignored: it may be
    /// stale (as with ECR); a registry that really has another offset refuses the next chunk.
    /// Returns whether the answer to the last piece is as it should be.
    pub(super) async fn push(
        &mut self,
        source: &UploadSource,
        piece: &UploadPiece,
    ) -> Result<bool, RequestFailure> {
        let end = self.offset + piece.length;
        let mut url = self.location.clone();
        let mut call = match &piece.last {
            Some((digest, size)) => {
                url.query_pairs_mut().append_pair("digest", digest.as_str());
                self.call(Method::PUT, url).committing(*size)
            }
            None => self.call(Method::PATCH, url).committing(piece.length),
        };
        if piece.length > 0 {
            call = source.fill(call.header(CONTENT_TYPE, BLOB_TYPE), self.offset, piece.length);
        }
        if piece.last.is_none() {
            let range = format!("{}-{}", self.offset, end.saturating_sub(1));
            call = call.header(CONTENT_RANGE, &range);
        }
        self.sent = self.sent.max(end);
        let (repository, request) = (Arc::clone(&self.repository), call.clone());
        let answer = tokio::spawn(async move { repository.attempt(&request).await });
        let is_last = piece.last.is_some();
        let answer = (&mut self.sending.insert(Sending { answer, is_last }).answer).await;
        self.sending = None;
        let answer = answer.unwrap_or_else(|error| {
            // Only if it has panicked.
            Err(RequestFailure::fatal(StoreError::internal(&error)))
        });
        let response = self.repository.judge(&call, answer).await?;
        if is_last {
            self.is_open = false;
        } else {
            self.moved(&response);
        }
        self.offset = end;
        Ok(response.status() == StatusCode::CREATED && response.headers().contains_key(LOCATION))
    }

    fn call(&self, method: Method, url: Url) -> Call {
        let call = Call::new(method, url, Arc::clone(&self.action));
        call.target("the upload session").accept(SUCCESS)
    }

    /// Asks the registry how much it has. If the session has ended or the answer makes no sense,
    /// there is nothing to go on from.
    pub(super) async fn look_up_offset(&mut self) -> Option<u64> {
        let call = self.call(Method::GET, self.location.clone());
        let response = self.repository.attempt(&call).await.ok()?;
        if !call.accepts(response.status()) {
            return None;
        }
        let offset = match response.headers().get(RANGE) {
            Some(range) => end_of(range.to_str().ok()?)?,
            None => 0,
        };
        self.moved(&response);
        Some(offset)
    }

    fn moved(&mut self, response: &Response) {
        if let Some(location) = location(response) {
            self.location = location;
        }
    }
}

/// The length that `0-LAST` stands for. Registries say `0-0` when they have nothing.
fn end_of(range: &str) -> Option<u64> {
    let (first, last) = range.trim_start_matches("bytes=").split_once('-')?;
    match (first, last.parse::<u64>().ok()?) {
        ("0", 0) => Some(0),
        ("0", last) => last.checked_add(1),
        _ => None,
    }
}

/// Sessions that were given up, of this process.
#[derive(Default)]
struct GivenUp {
    /// How many are being cancelled.
    cancelling: usize,
    /// How many could not be: no answer came.
    left: usize,
}

static GIVEN_UP: LazyLock<watch::Sender<GivenUp>> = LazyLock::new(watch::Sender::default);

/// Waits until all uploads that were given up have been cancelled in their registries. Returns how
/// many sessions of this process may have stayed behind because their registries could not be
/// reached; each was logged as a warning. Call it before the process ends, with a time limit.
pub async fn uploads_cancelled() -> usize {
    let mut given_up = GIVEN_UP.subscribe();
    let settled = given_up.wait_for(|given_up| given_up.cancelling == 0).await;
    // The sender is never dropped.
    settled.map_or(0, |given_up| given_up.left)
}

impl Drop for Session {
    fn drop(&mut self) {
        let (true, Ok(runtime)) = (self.is_open, tokio::runtime::Handle::try_current()) else {
            return;
        };
        let repository = Arc::clone(&self.repository);
        let (sending, mut at) = (self.sending.take(), self.location.clone());
        GIVEN_UP.send_modify(|given_up| given_up.cancelling += 1);
        let count = CancellationCount;
        runtime.spawn(async move {
            let _count = count;
            if let Some(Sending { mut answer, is_last }) = sending {
                match tokio::time::timeout(LAST_REQUEST, &mut answer).await {
                    Ok(Ok(Ok(response))) if !is_last => at = location(&response).unwrap_or(at),
                    // The session has become a blob.
                    Ok(Ok(Ok(response))) if response.status().is_success() => return,
                    Ok(_) => {}
                    Err(_) => answer.abort(),
                }
            }
            let call = Call::new(Method::DELETE, at, "cancellation of an upload");
            match repository.send(&call).await {
                Ok(response) => {
                    let status = response.status().as_u16();
                    let registry = &repository.http.registry;
                    tracing::debug!("cancelled an upload to {registry}: {status}");
                }
                Err(error) => {
                    GIVEN_UP.send_modify(|given_up| given_up.left += 1);
                    tracing::warn!(
                        "an unfinished upload stays in the registry until it is garbage-collected: \
                         {error}"
                    );
                }
            }
        });
    }
}

/// Counts a cancellation as ended, however it ends.
struct CancellationCount;

impl Drop for CancellationCount {
    fn drop(&mut self) {
        GIVEN_UP.send_modify(|given_up| given_up.cancelling -= 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges() {
        for (range, end) in [
            ("0-0", Some(0)),
            ("0-9", Some(10)),
            ("bytes=0-9", Some(10)),
            ("1-9", None),
            ("0-", None),
            ("9", None),
            ("0-18446744073709551615", None),
        ] {
            assert_eq!(end_of(range), end, "{range}");
        }
    }
}
