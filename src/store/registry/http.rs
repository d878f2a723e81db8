//! HTTP with one registry and the hosts that it names: which client a request goes through, how
//! long it may take, which redirects are followed, and how failures are told apart.

mod call;
mod certificates;
mod client;
mod error;
mod message;
mod origin;
mod pace;
mod proxy;
mod retry;
mod scheme;
mod trust;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Instant,
};

use bytes::Bytes;
use oci_client::secrets::RegistryAuth;
use percent_encoding::{CONTROLS, percent_encode};
use reqwest::{
    RequestBuilder, Response, Url,
    header::{CONTENT_LENGTH, HeaderValue, LOCATION},
};

use self::{
    call::RequestBody,
    certificates::Certificates,
    message::BODY_MAX,
    origin::{FORBIDDEN, Forbidden, Guard},
    pace::commit_time,
};
pub(super) use self::{
    call::{Call, FilePart},
    pace::Pace,
    retry::{Again, RequestFailure, Retries},
};
use crate::progress;
use crate::store::{
    access::{AccessOptions, NamedBy, Patience},
    error::StoreError,
};

/// Redirects that are followed for one request; as many as Go's HTTP client follows.
const HOPS: usize = 10;

pub(super) struct Http {
    /// Host and perhaps port, as the user wrote it.
    pub(super) registry: String,
    /// For the registry itself.
    home: reqwest::Client,
    /// For hosts that the registry names.
    away: reqwest::Client,
    guard: Guard,
    /// Whether other machines have to be contacted with HTTPS.
    is_strict: bool,
    pub(super) patience: Patience,
    /// Whether the registry has ever answered.
    met: AtomicBool,
}

impl Http {
    /// Finds out how to talk to a registry, and at which URL its API begins. `host` is where
    /// `registry` really is.
    pub(super) async fn connect(
        registry: &str,
        host: &str,
        options: &AccessOptions,
    ) -> Result<(Self, Url), StoreError> {
        let certificates = Certificates::find(options, registry).await?;
        let namer = match &options.named_by {
            NamedBy::User => None,
            NamedBy::Image(namer) => {
                let url: Url = format!("https://{host}/").parse().map_err(StoreError::no_url)?;
                let namer = Guard::of_named(url.clone(), namer.as_deref()).await;
                namer.check(&url).await.map_err(|reason| out_of_reach(registry, reason))?;
                Some(namer)
            }
        };
        let home = client::home(options, &certificates, host, namer.as_ref())?;
        let scheme = scheme::scheme(&home, registry, host, options, &certificates).await?;
        let root: Url = format!("{scheme}://{host}/v2/").parse().map_err(StoreError::no_url)?;
        let guard = Guard::of(root.clone()).await;
        // Of several addresses, the guard goes by the first.
        if namer.is_some_and(|namer| !namer.may_be(&guard)) {
            return Err(out_of_reach(registry, FORBIDDEN));
        }
        let away = client::away(options, &certificates, &guard)?;
        let (registry, patience, met) =
            (registry.to_owned(), options.patience, AtomicBool::new(false));
        let is_strict = options.tls_verify;
        Ok((Self { registry, home, away, guard, is_strict, patience, met }, root))
    }

    pub(super) fn retries(&self, action: &Arc<str>) -> Retries {
        Retries::new(self.patience, action)
    }

    /// Few tries without a word, for what the run can do without.
    pub(super) fn few_retries(&self, action: &Arc<str>) -> Retries {
        Retries::few(self.patience, action)
    }

    /// Sends a request once, and follows redirects. `auth` goes to the registry alone.
    pub(super) async fn send(
        &self,
        call: &Call,
        auth: &RegistryAuth,
    ) -> Result<Response, RequestFailure> {
        let mut url = call.url.clone();
        for _ in 0..=HOPS {
            let handed_over = Arc::new(AtomicU64::new(0));
            let request = self.request(call, &url, auth, &handed_over).await?;
            let begin = Instant::now();
            let _shown = call.is_small().then(|| self.waited_for(call, &url));
            let response = tokio::select! {
                biased;
                answer = request.send() => answer.map_err(|error| {
                    trace_request(call, &url, "no response", begin);
                    self.failed(call, &url, &error)
                })?,
                error = self.stalled(call, &url, &handed_over) => {
                    trace_request(call, &url, "no response", begin);
                    return Err(RequestFailure::transient(error));
                }
            };
            trace_request(call, &url, response.status().as_str(), begin);
            if let Some(error) = error::of_proxy(&self.host_of(&url), &response) {
                return Err(RequestFailure::fatal(error));
            }
            if self.is_home(&url) {
                self.met.store(true, Ordering::Relaxed);
            }
            match self.redirect(call, &response)? {
                Some(next) => url = next,
                None => return Ok(response),
            }
        }
        Err(RequestFailure::fatal(self.protocol(&call.action, "too many redirects")))
    }

    async fn request(
        &self,
        call: &Call,
        url: &Url,
        auth: &RegistryAuth,
        handed_over: &Arc<AtomicU64>,
    ) -> Result<RequestBuilder, RequestFailure> {
        let client = self.client_for(call, url).await?;
        let mut request = client.request(call.method.clone(), url.clone());
        if self.is_home(url) {
            request = match auth {
                RegistryAuth::Anonymous => request,
                RegistryAuth::Basic(user, password) => request.basic_auth(user, Some(password)),
                RegistryAuth::Bearer(token) => request.bearer_auth(token),
            };
        }
        request = request.headers(call.headers.clone());
        Ok(match &call.body {
            // Some servers insist on a length where they expect a body.
            RequestBody::Empty if call.is_read() => request,
            RequestBody::Empty => request.header(CONTENT_LENGTH, 0),
            RequestBody::Bytes(bytes) => request.body(bytes.clone()),
            RequestBody::File(part) => {
                let pieces = part.pieces(Arc::clone(handed_over)).await;
                let pieces =
                    pieces.map_err(StoreError::io(&part.path)).map_err(RequestFailure::fatal)?;
                let length = HeaderValue::from(part.length);
                request.header(CONTENT_LENGTH, length).body(reqwest::Body::wrap_stream(pieces))
            }
        })
    }

    /// Ends once nothing more is sent for a whole span of the idle time. When all has been sent, a
    /// registry that stores it gets the time for that.
    async fn stalled(&self, call: &Call, url: &Url, handed_over: &AtomicU64) -> StoreError {
        let Patience { idle, commit, .. } = self.patience;
        loop {
            let before = handed_over.load(Ordering::Relaxed);
            match call.commits.filter(|_| before >= call.counted()) {
                Some(size) => {
                    let limit = commit_time(commit, size).max(idle);
                    let _shown = self.waited_for(call, url);
                    tokio::time::sleep(limit).await;
                    return error::unanswered(&self.host_of(url), limit);
                }
                None => tokio::time::sleep(idle).await,
            }
            if handed_over.load(Ordering::Relaxed) == before {
                return error::timeout(&self.host_of(url), idle);
            }
        }
    }

    /// The client for a URL, if it may be used at all.
    async fn client_for(&self, call: &Call, url: &Url) -> Result<&reqwest::Client, RequestFailure> {
        if self.is_home(url) {
            return Ok(&self.home);
        }
        match self.guard.check(url).await {
            Ok(()) => Ok(&self.away),
            Err(reason) => {
                let host = url.host_str().unwrap_or("nowhere");
                let reason = format!("it refers to {host}: {reason}");
                Err(RequestFailure::fatal(self.protocol(&call.action, reason)))
            }
        }
    }

    /// Where a response redirects to.
    fn redirect(&self, call: &Call, response: &Response) -> Result<Option<Url>, RequestFailure> {
        let status = response.status().as_u16();
        if !call.follows_redirects || !matches!(status, 301 | 302 | 303 | 307 | 308) {
            return Ok(None);
        }
        let refused =
            |reason: &str| Err(RequestFailure::fatal(self.protocol(&call.action, reason)));
        // Whatever else the status says, it is not that the same is to be sent elsewhere
        // (RFC 9110, section 15.4).
        if !call.is_read() && !matches!(status, 307 | 308) {
            return refused("it redirects a write with a status that only reads may follow");
        }
        match location(response) {
            Some(next) => Ok(Some(next)),
            None => refused("it redirects without a valid Location header"),
        }
    }

    /// A request that got no response.
    fn failed(&self, call: &Call, url: &Url, error: &reqwest::Error) -> RequestFailure {
        let host = self.host_of(url);
        if let Some(forbidden) = error::find::<Forbidden>(error) {
            if self.is_home(url) {
                return RequestFailure::fatal(out_of_reach(&self.registry, FORBIDDEN));
            }
            let reason = format!("it refers to {host}: {forbidden}");
            return RequestFailure::fatal(self.protocol(&call.action, reason));
        }
        error::failed(&host, error, self.is_home(url), self.met.load(Ordering::Relaxed))
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

    fn waited_for(&self, call: &Call, url: &Url) -> progress::Wait {
        progress::wait(format!("waiting for {} ({})", self.host_of(url), call.action), None)
    }

    /// A whole body, if it has no more than `limit` bytes; else nothing.
    pub(super) async fn read_bounded(
        &self,
        mut response: Response,
        limit: u64,
    ) -> Result<Option<Bytes>, StoreError> {
        if is_announced_longer(&response, limit) {
            return Ok(None);
        }
        let (mut body, mut pace) = (Vec::new(), Pace::default());
        while let Some(piece) = self.chunk(&mut response, &mut pace).await? {
            if (body.len() + piece.len()) as u64 > limit {
                return Ok(None);
            }
            body.extend_from_slice(&piece);
        }
        Ok(Some(body.into()))
    }

    /// What the body of a refusal says. What cannot be read is left out, because an error is
    /// reported already.
    pub(super) async fn message(&self, mut response: Response) -> String {
        if is_announced_longer(&response, BODY_MAX as u64) {
            return message::message(&[]);
        }
        let (mut body, mut pace) = (Vec::new(), Pace::default());
        while let Ok(Some(piece)) = self.chunk(&mut response, &mut pace).await {
            let room = BODY_MAX - body.len();
            body.extend_from_slice(piece.get(..room).unwrap_or(&piece));
            if body.len() >= BODY_MAX {
                break;
            }
        }
        message::message(&body)
    }

    /// Whether `url` is of the registry itself.
    pub(super) fn is_home(&self, url: &Url) -> bool {
        self.guard.is_home(url)
    }

    /// Whether a password may go to `url`. A registry on this machine that speaks plain HTTP may name
    /// other servers that do so, but on the way to those others could read it.
    pub(super) fn may_have_password(&self, url: &Url) -> bool {
        url.scheme() == "https"
            || self.is_home(url)
            || !self.is_strict
            || url.host_str().is_some_and(scheme::is_loopback)
    }

    /// A host's name for messages.
    pub(super) fn host_of(&self, url: &Url) -> String {
        match url.host_str() {
            Some(host) if !self.is_home(url) => host.to_owned(),
            _ => self.registry.clone(),
        }
    }

    pub(super) fn protocol(&self, action: &str, reason: impl Into<String>) -> StoreError {
        let (registry, action) = (self.registry.clone(), action.to_owned());
        StoreError::Protocol { registry, action, reason: reason.into() }
    }
}

/// Parameters of requests that are no secrets. Others may grant access, as in signed URLs.
const PARAMETERS: [&str; 8] =
    ["digest", "mount", "from", "n", "last", "artifactType", "service", "scope"];

/// A request and its answer, for whoever wants to know each.
fn trace_request(call: &Call, url: &Url, status: &str, begin: Instant) {
    let (method, seconds) = (&call.method, begin.elapsed().as_secs_f64());
    tracing::trace!("{method} {}: {status} in {seconds:.3} s", printable(url));
}

/// A URL without what may be secret.
fn printable(url: &Url) -> String {
    let mut shown = url.clone();
    // URLs of HTTP can always be without them.
    let _ = shown.set_username("").and_then(|()| shown.set_password(None));
    shown.set_fragment(None);
    shown.set_query(None);
    let pairs = url.query_pairs().map(|(name, value)| {
        let value = if PARAMETERS.contains(&&*name) { &*value } else { "***" };
        format!("{name}={value}")
    });
    let pairs: Vec<_> = pairs.collect();
    if pairs.is_empty() { shown.to_string() } else { format!("{shown}?{}", pairs.join("&")) }
}

fn out_of_reach(registry: &str, reason: &'static str) -> StoreError {
    StoreError::OutOfReach { registry: registry.to_owned(), reason }
}

/// Whether a body is known to be too long before it comes: its end, or the bound, may be far away.
pub(super) fn is_announced_longer(response: &Response, most: u64) -> bool {
    response.content_length().is_some_and(|length| length > most)
}

/// The URL of a `Location` header. Servers that write characters outside of ASCII there mean their
/// bytes.
pub(super) fn location(response: &Response) -> Option<Url> {
    let location = response.headers().get(LOCATION)?.as_bytes();
    let location = percent_encode(location, CONTROLS).to_string();
    response.url().join(&location).ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_printed_url_has_no_secrets() {
        for (url, printed) in [
            ("https://u:p@r.example/v2/a/manifests/x", "https://r.example/v2/a/manifests/x"),
            (
                "https://s3.example/b?X-Amz-Signature=abc&digest=sha256:1#f",
                "https://s3.example/b?X-Amz-Signature=***&digest=sha256:1",
            ),
            ("https://r.example/u/1?_state=abc", "https://r.example/u/1?_state=***"),
        ] {
            assert_eq!(printable(&url.parse().unwrap()), printed);
        }
    }
}
