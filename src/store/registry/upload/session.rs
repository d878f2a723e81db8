//! One upload session of a registry (distribution-spec, "Pushing blobs").

use std::{
    sync::{Arc, LazyLock},
    time::Duration,
};

use reqwest::{
    Method, Response, Url,
    header::{CONTENT_RANGE, CONTENT_TYPE, HeaderName, LOCATION, RANGE},
};
use tokio::{sync::watch, task::JoinHandle};

use super::source::Source;
use crate::{
    image::Digest,
    store::{
        StoreError,
        registry::{Repository, request::Call, retry::Failure},
    },
};

const OCI_CHUNK_MIN_LENGTH: HeaderName = HeaderName::from_static("oci-chunk-min-length");
const BLOB_TYPE: &str = "application/octet-stream";

/// How long a request that sends content may go on after its session has been given up.
/// distribution 2.8 knows nothing of a session any more in which one has broken off: it could not
/// be cancelled.
const LAST_REQUEST: Duration = Duration::from_secs(2);

/// A session. It is cancelled when it is dropped before [`Session::finish`] has come to a good end,
/// so that no half a blob stays behind in the registry.
pub(super) struct Session {
    registry: Arc<Repository>,
    action: Arc<str>,
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
    answer: JoinHandle<Result<Response, Failure>>,
    /// A PUT: there is no session any more if it comes to a good end.
    is_last: bool,
}

/// A request of a session that failed.
pub(super) struct Setback {
    /// What the registry answered, if it did.
    pub(super) status: Option<u16>,
    pub(super) failure: Failure,
}

/// What became of the wish for a session.
pub(super) enum Begun {
    Session(Session),
    /// The blob was mounted: it is there.
    Mounted,
}

impl Session {
    /// Opens a session. With `mount` the registry is asked to take that blob of the named
    /// repository instead; most that refuse it open a session all the same.
    pub(super) async fn begin(
        registry: &Arc<Repository>,
        action: &Arc<str>,
        mount: Option<(&Digest, &str)>,
    ) -> Result<Begun, StoreError> {
        let mut url = registry.url("blobs/uploads/")?;
        let mut call = Call::new(Method::POST, url.clone());
        if let Some((digest, from)) = mount {
            url.query_pairs_mut().append_pair("mount", digest.as_str()).append_pair("from", from);
            call = Call::new(Method::POST, url).also_pulling_from(from);
        }
        let response = registry.send(&call, action).await?;
        match response.status().as_u16() {
            201 if mount.is_some() => return Ok(Begun::Mounted),
            202 => {}
            _ => return Err(registry.refuse(response, "the repository", action).await),
        }
        let Some(location) = location(&response) else {
            let reason = "it does not say where to upload to (no usable Location header)";
            return Err(registry.protocol(action, reason));
        };
        let header = response.headers().get(OCI_CHUNK_MIN_LENGTH);
        let chunk_min = header.and_then(|length| length.to_str().ok()?.parse().ok()).unwrap_or(0);
        Ok(Begun::Session(Self {
            registry: Arc::clone(registry),
            action: Arc::clone(action),
            location,
            offset: 0,
            sent: 0,
            chunk_min,
            is_open: true,
            sending: None,
        }))
    }

    /// Sends the next `length` bytes. What the answer says of the range is left alone: it may be
    /// stale (as with ECR); a registry that really has another offset refuses the next chunk.
    pub(super) async fn append(&mut self, source: &Source, length: u64) -> Result<(), Setback> {
        let last = (self.offset + length).saturating_sub(1);
        let call = Call::new(Method::PATCH, self.location.clone())
            .header(CONTENT_TYPE, BLOB_TYPE)
            .header(CONTENT_RANGE, &format!("{}-{last}", self.offset));
        self.sent = self.sent.max(self.offset + length);
        let response = self.send(source.fill(call, self.offset, length), false).await?;
        if !matches!(response.status().as_u16(), 200..=204) {
            return Err(self.setback(response).await);
        }
        self.moved(&response);
        self.offset += length;
        Ok(())
    }

    /// Ends the session with the last `length` bytes. Returns whether the answer is as it should
    /// be; else the registry has to be asked whether it really has the blob.
    pub(super) async fn finish(
        &mut self,
        source: &Source,
        digest: &Digest,
        length: u64,
    ) -> Result<bool, Setback> {
        let mut url = self.location.clone();
        url.query_pairs_mut().append_pair("digest", digest.as_str());
        let mut call = Call::new(Method::PUT, url);
        if length > 0 {
            call = call.header(CONTENT_TYPE, BLOB_TYPE);
            call = source.fill(call, self.offset, length);
        }
        self.sent = self.sent.max(self.offset + length);
        let response = self.send(call, true).await?;
        if !matches!(response.status().as_u16(), 200..=204) {
            return Err(self.setback(response).await);
        }
        self.is_open = false;
        self.offset += length;
        Ok(response.status().as_u16() == 201 && response.headers().contains_key(LOCATION))
    }

    /// Asks the registry how much it has. If the session has ended or the answer makes no sense,
    /// there is nothing to go on from.
    pub(super) async fn look_up_offset(&mut self) -> Option<u64> {
        let response = self.request(&Call::new(Method::GET, self.location.clone())).await.ok()?;
        if !matches!(response.status().as_u16(), 200..=204) {
            return None;
        }
        let offset = match response.headers().get(RANGE) {
            Some(range) => end_of(range.to_str().ok()?)?,
            None => 0,
        };
        self.moved(&response);
        Some(offset)
    }

    async fn request(&self, call: &Call) -> Result<Response, Setback> {
        let answer = self.registry.attempt(call, &self.action).await;
        answer.map_err(|failure| Setback { status: None, failure })
    }

    /// Sends a request with content.
    async fn send(&mut self, call: Call, is_last: bool) -> Result<Response, Setback> {
        let (registry, action) = (Arc::clone(&self.registry), Arc::clone(&self.action));
        let answer = tokio::spawn(async move { registry.attempt(&call, &action).await });
        let answer = (&mut self.sending.insert(Sending { answer, is_last }).answer).await;
        self.sending = None;
        let answer = answer.unwrap_or_else(|error| {
            // Only if it has panicked.
            Err(Failure::last(StoreError::Setup(error.to_string())))
        });
        answer.map_err(|failure| Setback { status: None, failure })
    }

    async fn setback(&self, response: Response) -> Setback {
        let status = Some(response.status().as_u16());
        let failure = self.registry.failure(response, "the upload session", &self.action).await;
        Setback { status, failure }
    }

    fn moved(&mut self, response: &Response) {
        if let Some(location) = location(response) {
            self.location = location;
        }
    }
}

fn location(response: &Response) -> Option<Url> {
    let location = response.headers().get(LOCATION)?.to_str().ok()?;
    response.url().join(location).ok()
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
/// many sessions of this process may have stayed behind, since their registries could not be
/// reached; each was told of with a warning. Call it before the process ends, with a limit of time.
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
        let registry = Arc::clone(&self.registry);
        let (sending, mut at) = (self.sending.take(), self.location.clone());
        GIVEN_UP.send_modify(|given_up| given_up.cancelling += 1);
        let counted = Counted;
        runtime.spawn(async move {
            let _counted = counted;
            if let Some(Sending { mut answer, is_last }) = sending {
                match tokio::time::timeout(LAST_REQUEST, &mut answer).await {
                    Ok(Ok(Ok(response))) if !is_last => at = location(&response).unwrap_or(at),
                    // The session has become a blob.
                    Ok(Ok(Ok(response))) if response.status().is_success() => return,
                    Ok(_) => {}
                    Err(_) => answer.abort(),
                }
            }
            let call = Call::new(Method::DELETE, at);
            match registry.send(&call, "the cancellation of an upload").await {
                Ok(response) => {
                    let status = response.status().as_u16();
                    tracing::debug!(registry = registry.host, status, "cancelled an upload");
                }
                Err(error) => {
                    GIVEN_UP.send_modify(|given_up| given_up.left += 1);
                    tracing::warn!(
                        "an upload session stays in the registry until it removes what is \
                         unfinished: {error}"
                    );
                }
            }
        });
    }
}

/// Counts a cancellation as ended, however it ends.
struct Counted;

impl Drop for Counted {
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
