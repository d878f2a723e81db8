//! Requests: where they go, what they carry, and what is done when they fail.

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::{Bytes, BytesMut};
use futures_util::{Stream, stream};
use oci_client::secrets::RegistryAuth;
use reqwest::{
    Method, RequestBuilder, Response, StatusCode, Url,
    header::{CONTENT_LENGTH, HeaderMap, HeaderName, HeaderValue, LOCATION},
};
use tokio::{
    fs::File,
    io::{AsyncReadExt as _, AsyncSeekExt as _},
};

use super::{
    Repository,
    challenge::Challenge,
    error,
    pace::Pace,
    retry::{self, Failure, Retries},
    token::Grant,
};
use crate::store::StoreError;

/// Redirects that are followed for one request; as many as Go's HTTP client follows.
const HOPS: usize = 10;
/// Bytes that are read from a file and handed to the connection at once.
const PIECE: usize = 256 << 10;

/// A request that can be sent any number of times.
#[derive(Clone)]
pub(super) struct Call {
    method: Method,
    pub(super) url: Url,
    headers: HeaderMap,
    body: Body,
    /// A further repository to be allowed to pull from.
    also: Option<String>,
}

#[derive(Clone)]
enum Body {
    Empty,
    Bytes(Bytes),
    File(FilePart),
}

/// A part of a file as a body.
#[derive(Clone)]
pub(super) struct FilePart {
    pub(super) path: PathBuf,
    pub(super) offset: u64,
    pub(super) length: u64,
}

impl Call {
    pub(super) fn new(method: Method, url: Url) -> Self {
        Self { method, url, headers: HeaderMap::new(), body: Body::Empty, also: None }
    }

    /// A value that no header can have is left out.
    pub(super) fn header(mut self, name: HeaderName, value: &str) -> Self {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.headers.insert(name, value);
        }
        self
    }

    pub(super) fn bytes(mut self, body: Bytes) -> Self {
        self.body = Body::Bytes(body);
        self
    }

    pub(super) fn file(mut self, part: FilePart) -> Self {
        self.body = Body::File(part);
        self
    }

    pub(super) fn also_pulling_from(mut self, repository: &str) -> Self {
        self.also = Some(repository.to_owned());
        self
    }
}

impl Repository {
    /// Sends a request until the answer is one that another try would not change. Which statuses
    /// are good is the caller's to say.
    pub(super) async fn send(&self, call: &Call, action: &str) -> Result<Response, StoreError> {
        let mut retries = self.retries(action);
        loop {
            let failure = match self.attempt(call, action).await {
                Ok(response) if !retry::is_passing(response.status()) => return Ok(response),
                Ok(response) => self.failure(response, "answer", action).await,
                Err(failure) => failure,
            };
            retries.pause(failure).await?;
        }
    }

    pub(super) fn retries<'a>(&'a self, action: &'a str) -> Retries<'a> {
        Retries::new(&self.patience, action)
    }

    /// One try: with authorization, which is renewed after a 401 since tokens expire in the
    /// middle of a job.
    pub(super) async fn attempt(&self, call: &Call, action: &str) -> Result<Response, Failure> {
        let also = call.also.as_deref();
        let grant = self.grant(also).await.map_err(Failure::last)?;
        let response = self.follow(call, &grant, action).await?;
        if response.status() != StatusCode::UNAUTHORIZED || !self.guard.is_home(response.url()) {
            return Ok(response);
        }
        let challenge = Challenge::of(response.headers());
        let renewed = self.renew(&grant, challenge, also).await.map_err(Failure::last)?;
        match &renewed.auth {
            RegistryAuth::Bearer(_) => {}
            same if *same == grant.auth => return Ok(response),
            _ => {}
        }
        drop(response);
        self.follow(call, &renewed, action).await
    }

    /// Sends a request and follows redirects. Authorization goes to the registry alone.
    pub(super) async fn follow(
        &self,
        call: &Call,
        grant: &Grant,
        action: &str,
    ) -> Result<Response, Failure> {
        let is_read = matches!(call.method, Method::GET | Method::HEAD);
        let mut url = call.url.clone();
        for _ in 0..=HOPS {
            let response = self.send_to(&url, call, grant, action).await?;
            if !matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308) {
                return Ok(response);
            }
            // Whatever else the status says, it is not that the same is to be sent elsewhere
            // (RFC 9110, section 15.4).
            if !is_read && !matches!(response.status().as_u16(), 307 | 308) {
                return Err(Failure::last(self.protocol(action, "it redirects what is written")));
            }
            let location = response.headers().get(LOCATION).and_then(|at| at.to_str().ok());
            url = match location.map(|location| url.join(location)) {
                Some(Ok(next)) => next,
                _ => return Err(Failure::last(self.protocol(action, "it redirects to no URL"))),
            };
            tracing::debug!(to = %url.origin().ascii_serialization(), "redirected");
        }
        Err(Failure::last(self.protocol(action, "it redirects again and again")))
    }

    async fn send_to(
        &self,
        url: &Url,
        call: &Call,
        grant: &Grant,
        action: &str,
    ) -> Result<Response, Failure> {
        let mut request = self.client_for(url, action)?.request(call.method.clone(), url.clone());
        if self.guard.is_home(url) {
            request = match &grant.auth {
                RegistryAuth::Anonymous => request,
                RegistryAuth::Basic(user, password) => request.basic_auth(user, Some(password)),
                RegistryAuth::Bearer(token) => request.bearer_auth(token),
            };
        }
        request = request.headers(call.headers.clone());
        let handed_over = Arc::new(AtomicU64::new(0));
        request = match &call.body {
            // Some servers insist on a length where they expect a body.
            Body::Empty if matches!(call.method, Method::GET | Method::HEAD) => request,
            Body::Empty => request.header(CONTENT_LENGTH, 0),
            Body::Bytes(bytes) => request.body(bytes.clone()),
            Body::File(part) => {
                let pieces = pieces(part, Arc::clone(&handed_over)).await;
                let pieces = pieces.map_err(StoreError::io(&part.path)).map_err(Failure::last)?;
                let length = HeaderValue::from(part.length);
                request.header(CONTENT_LENGTH, length).body(reqwest::Body::wrap_stream(pieces))
            }
        };
        self.answer(request, url, &handed_over, action).await
    }

    /// Waits for the answer to a request, as long as something moves.
    pub(super) async fn answer(
        &self,
        request: RequestBuilder,
        url: &Url,
        handed_over: &AtomicU64,
        action: &str,
    ) -> Result<Response, Failure> {
        let (host, idle) = (self.host_of(url), self.patience.idle);
        match unless_idle(request.send(), idle, handed_over).await {
            Some(Ok(response)) => {
                if self.guard.is_home(url) {
                    self.met.store(true, Ordering::Relaxed);
                }
                Ok(response)
            }
            Some(Err(error)) => {
                if let Some(forbidden) = error::find::<super::origin::Forbidden>(&error) {
                    let reason = format!("it leads {forbidden} ({host})");
                    return Err(Failure::last(self.protocol(action, reason)));
                }
                let is_known = self.met.load(Ordering::Relaxed) || !self.guard.is_home(url);
                Err(error::failed(&host, &error, is_known))
            }
            None => Err(Failure::passing(error::timeout(&host, idle))),
        }
    }

    /// The client to use for a URL, if it may be used at all.
    pub(super) fn client_for(&self, url: &Url, action: &str) -> Result<&reqwest::Client, Failure> {
        if self.guard.is_home(url) {
            return Ok(&self.home);
        }
        match self.guard.check(url) {
            Ok(()) => Ok(&self.away),
            Err(reason) => {
                let host = url.host_str().unwrap_or("nowhere");
                let reason = format!("it leads {reason} ({host})");
                Err(Failure::last(self.protocol(action, reason)))
            }
        }
    }

    /// The next piece of a body, or nothing at its end.
    pub(super) async fn chunk(
        &self,
        response: &mut Response,
        pace: &mut Pace,
    ) -> Result<Option<Bytes>, StoreError> {
        let (host, idle, begin) =
            (self.host_of(response.url()), self.patience.idle, Instant::now());
        match tokio::time::timeout(idle, response.chunk()).await {
            Ok(Ok(Some(piece))) => {
                pace.note(begin.elapsed(), piece.len(), idle);
                if pace.is_slow() { Err(error::slow(&host, idle)) } else { Ok(Some(piece)) }
            }
            Ok(Ok(None)) => Ok(None),
            Ok(Err(failure)) => Err(error::unreachable(&host, &failure)),
            Err(_) => Err(error::timeout(&host, idle)),
        }
    }

    /// A whole body, if it has no more than `limit` bytes; else nothing.
    pub(super) async fn read_bounded(
        &self,
        mut response: Response,
        limit: u64,
    ) -> Result<Option<Bytes>, StoreError> {
        let (mut body, mut pace) = (Vec::new(), Pace::default());
        while let Some(piece) = self.chunk(&mut response, &mut pace).await? {
            if (body.len() + piece.len()) as u64 > limit {
                return Ok(None);
            }
            body.extend_from_slice(&piece);
        }
        Ok(Some(body.into()))
    }

    /// A host's name for messages.
    pub(super) fn host_of(&self, url: &Url) -> String {
        match url.host_str() {
            Some(host) if !self.guard.is_home(url) => host.to_owned(),
            _ => self.host.clone(),
        }
    }
}

/// Waits for `work`, as long as `counter` grows in each span of `idle`. After its last growth
/// there is one full span more, for the answer.
async fn unless_idle<T>(
    work: impl Future<Output = T>,
    idle: Duration,
    counter: &AtomicU64,
) -> Option<T> {
    let mut work = std::pin::pin!(work);
    let mut before = None;
    loop {
        if let Ok(done) = tokio::time::timeout(idle, work.as_mut()).await {
            return Some(done);
        }
        let now = Some(counter.load(Ordering::Relaxed));
        if now == before || now == Some(0) {
            return None;
        }
        before = now;
    }
}

/// A part of a file in pieces, read off the async threads. A file that has become shorter ends
/// the request, since it then has less than its announced length.
async fn pieces(
    part: &FilePart,
    handed_over: Arc<AtomicU64>,
) -> std::io::Result<impl Stream<Item = std::io::Result<Bytes>> + Send + 'static> {
    let mut file = File::open(&part.path).await?;
    file.set_max_buf_size(PIECE);
    file.seek(std::io::SeekFrom::Start(part.offset)).await?;
    let file = file.take(part.length);
    Ok(stream::try_unfold(file, move |mut file| {
        let handed_over = Arc::clone(&handed_over);
        async move {
            let mut piece = BytesMut::with_capacity(PIECE);
            let read = file.read_buf(&mut piece).await?;
            handed_over.fetch_add(read as u64, Ordering::Relaxed);
            Ok((read > 0).then(|| (piece.freeze(), file)))
        }
    }))
}
