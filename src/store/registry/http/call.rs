//! A request that can be sent any number of times, and what is known about it.

use std::{
    io,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::{Bytes, BytesMut};
use futures_util::{Stream, stream};
use reqwest::{
    Method, StatusCode, Url,
    header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue},
};
use tokio::{
    fs::File,
    io::{AsyncReadExt as _, AsyncSeekExt as _},
};

/// Bytes that are read from a file and handed to the connection at once.
const PIECE: usize = 256 << 10;

#[derive(Clone)]
pub(crate) struct Call {
    pub(super) method: Method,
    pub(crate) url: Url,
    pub(super) headers: HeaderMap,
    pub(super) body: RequestBody,
    /// What it is part of, for messages: `upload of blob sha256:…`.
    pub(crate) action: Arc<str>,
    /// What does not exist if the answer is 404: `blob sha256:…`.
    pub(crate) target: String,
    /// The statuses of a success; if there are none, every status that another try would not change.
    accepted: &'static [u16],
    /// Another repository that the token has to be good for.
    pub(crate) also_pulls: Option<String>,
    pub(super) follows_redirects: bool,
    /// The bytes that the registry has to store before it can answer.
    pub(super) commits: Option<u64>,
}

#[derive(Clone)]
pub(super) enum RequestBody {
    Empty,
    Bytes(Bytes),
    File(FilePart),
}

/// A part of a file as a body.
#[derive(Clone)]
pub(crate) struct FilePart {
    pub(crate) path: PathBuf,
    pub(crate) offset: u64,
    pub(crate) length: u64,
}

impl Call {
    pub(crate) fn new(method: Method, url: Url, action: impl Into<Arc<str>>) -> Self {
        Self {
            method,
            url,
            headers: HeaderMap::new(),
            body: RequestBody::Empty,
            action: action.into(),
            target: "repository".to_owned(),
            accepted: &[],
            also_pulls: None,
            follows_redirects: true,
            commits: None,
        }
    }

    pub(crate) fn target(mut self, target: impl Into<String>) -> Self {
        self.target = target.into();
        self
    }

    pub(crate) fn accept(mut self, statuses: &'static [u16]) -> Self {
        self.accepted = statuses;
        self
    }

    /// A value that no header can have is left out.
    pub(crate) fn header(mut self, name: HeaderName, value: &str) -> Self {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.headers.insert(name, value);
        }
        self
    }

    /// Sends a password wherever the request goes; only for token servers.
    pub(crate) fn basic_auth(mut self, user: &str, password: &str) -> Self {
        let value = format!("Basic {}", STANDARD.encode(format!("{user}:{password}")));
        if let Ok(mut value) = HeaderValue::from_str(&value) {
            value.set_sensitive(true);
            self.headers.insert(AUTHORIZATION, value);
        }
        self
    }

    pub(crate) fn bytes(mut self, body: Bytes) -> Self {
        self.body = RequestBody::Bytes(body);
        self
    }

    pub(crate) fn file(mut self, part: FilePart) -> Self {
        self.body = RequestBody::File(part);
        self
    }

    pub(crate) fn also_pulling_from(mut self, repository: &str) -> Self {
        self.also_pulls = Some(repository.to_owned());
        self
    }

    /// The answer may take as long as it takes to store `size` bytes.
    pub(crate) fn committing(mut self, size: u64) -> Self {
        self.commits = Some(size);
        self
    }

    /// Makes a redirect an answer like any other.
    pub(crate) fn without_redirects(mut self) -> Self {
        self.follows_redirects = false;
        self
    }

    pub(crate) fn accepts(&self, status: StatusCode) -> bool {
        self.accepted.is_empty() || self.accepted.contains(&status.as_u16())
    }

    /// The bytes of the body that are counted as they are sent; those in memory are few.
    pub(super) fn counted(&self) -> u64 {
        match &self.body {
            RequestBody::File(part) => part.length,
            RequestBody::Empty | RequestBody::Bytes(_) => 0,
        }
    }

    /// Whether sending it takes no time to speak of.
    pub(super) fn is_small(&self) -> bool {
        !matches!(self.body, RequestBody::File(_))
    }

    pub(super) fn is_read(&self) -> bool {
        matches!(self.method, Method::GET | Method::HEAD)
    }
}

impl FilePart {
    /// The part in pieces, read off the async threads; `handed_over` counts their bytes. A file
    /// that has become shorter ends the request, because it then has less than its announced length.
    pub(super) async fn pieces(
        &self,
        handed_over: Arc<AtomicU64>,
    ) -> io::Result<impl Stream<Item = io::Result<Bytes>> + Send + 'static> {
        let mut file = File::open(&self.path).await?;
        file.set_max_buf_size(PIECE);
        file.seek(io::SeekFrom::Start(self.offset)).await?;
        Ok(stream::try_unfold(file.take(self.length), move |mut file| {
            let handed_over = Arc::clone(&handed_over);
            async move {
                let mut piece = BytesMut::with_capacity(PIECE);
                let read = file.read_buf(&mut piece).await?;
                handed_over.fetch_add(read as u64, Ordering::Relaxed);
                Ok((read > 0).then(|| (piece.freeze(), file)))
            }
        }))
    }
}
