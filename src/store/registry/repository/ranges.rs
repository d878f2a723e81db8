//! Asking for parts of a blob, to find out how the registry answers (RFC 9110, section 14). It is
//! not how blobs are read: a registry that answers wrongly is a result here, and no error.

mod multipart;

use std::ops::Range;

use bytes::Bytes;
use reqwest::{
    Method, Response, StatusCode,
    header::{CONTENT_RANGE, CONTENT_TYPE, HeaderMap, RANGE},
};

pub(crate) use self::multipart::RangePart;
use self::multipart::{MultipartType, content_range};
use super::{
    super::http::{Call, RequestFailure, Retries},
    Repository,
};
use crate::{
    image::Digest,
    store::{blob::blob_name, error::StoreError},
};

/// Tries of a request whose answer is wanted, whatever it is. Trouble that passes should not be
/// taken for the registry's way, but trouble that stays is.
const TRIES: u32 = 3;
/// Bytes of a multipart body besides the parts: boundaries, and the headers of each part.
const OVERHEAD: u64 = 16 << 10;

/// How a registry answered a request for parts of a blob.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RangeAnswer {
    /// The HTTP status.
    pub(crate) status: u16,
    /// The host that answered, if the registry redirected to another one.
    pub(crate) redirected_to: Option<String>,
    /// What came.
    pub(crate) content: RangeContent,
}

/// What came in answer to a request for parts of a blob.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum RangeContent {
    /// The whole blob (200). It was not read.
    Whole,
    /// One part that is the whole body (206).
    Single(RangePart),
    /// Parts in a body of the type `multipart/byteranges` (206), in the order in which they came.
    Multipart(Vec<RangePart>),
    /// An answer that cannot be read (206), and why.
    Malformed(&'static str),
    /// Another status, and what the registry said.
    Refused(String),
}

impl Repository {
    /// Asks for `ranges` of a blob in one request, in their order, as clients that pull partially
    /// do. None of them is empty. No more is read than they have together, and some overhead.
    /// That the blob is not there, or that access is refused, is an error.
    pub(crate) async fn ranges(
        &self,
        digest: &Digest,
        ranges: &[Range<u64>],
    ) -> Result<RangeAnswer, StoreError> {
        let what = blob_name(digest);
        let wanted: Vec<_> = ranges.iter().map(|r| format!("{}-{}", r.start, r.end - 1)).collect();
        let url = self.url(&format!("blobs/{digest}"))?;
        let call = Call::new(Method::GET, url, format!("partial download of {what}"))
            .target(what)
            .header(RANGE, &format!("bytes={}", wanted.join(",")));
        let length = ranges.iter().map(|range| range.end - range.start).sum();

        let mut retries = self.few_retries(&call);
        loop {
            let response = match self.ask_for_status(&call, &mut retries).await? {
                Answer::Response(response) => response,
                Answer::Trouble { status, redirected_to, message } => {
                    let content = RangeContent::Refused(message);
                    return Ok(RangeAnswer { status, redirected_to, content });
                }
            };
            let (status, redirected_to) = (response.status(), self.redirected_to(&response));
            if status == StatusCode::NOT_FOUND
                || redirected_to.is_none()
                    && matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN)
            {
                return Err(self.refuse(&call, response).await);
            }
            let content = match status {
                StatusCode::OK => RangeContent::Whole,
                StatusCode::PARTIAL_CONTENT => match self.parts(response, length).await {
                    Ok(content) => content,
                    Err(error) => {
                        retries.pause(RequestFailure::transient(error)).await?;
                        continue;
                    }
                },
                _ => RangeContent::Refused(self.http.message(response).await),
            };
            return Ok(RangeAnswer { status: status.as_u16(), redirected_to, content });
        }
    }

    /// One part of a blob, not empty; `None` if the registry does not serve parts of it. It may be too
    /// short, and nothing looks at the blob's size.
    pub(crate) async fn part(
        &self,
        digest: &Digest,
        range: Range<u64>,
    ) -> Result<Option<Bytes>, StoreError> {
        let answer = self.ranges(digest, std::slice::from_ref(&range)).await?;
        Ok(match answer.content {
            RangeContent::Single(part) if part.range.as_ref().is_none_or(|it| *it == range) => {
                Some(part.bytes)
            }
            _ => None,
        })
    }

    /// Asks what refers to a manifest (distribution-spec, "Listing Referrers"), and returns the
    /// HTTP status: 200 from registries that can tell, 404 from those that cannot.
    pub(crate) async fn referrers_status(&self, digest: &Digest) -> Result<u16, StoreError> {
        let (what, url) =
            (format!("referrers of {digest}"), self.url(&format!("referrers/{digest}"))?);
        let call = Call::new(Method::GET, url, format!("check for {what}"));
        match self.ask_for_status(&call, &mut self.few_retries(&call)).await? {
            Answer::Response(response) => Ok(response.status().as_u16()),
            Answer::Trouble { status, .. } => Ok(status),
        }
    }

    fn few_retries(&self, call: &Call) -> Retries {
        Retries::new(self.http.patience.with_few_tries(TRIES), &call.action)
    }

    /// Sends a request of which every status is a result.
    async fn ask_for_status(
        &self,
        call: &Call,
        retries: &mut Retries,
    ) -> Result<Answer, StoreError> {
        loop {
            let answer = self.attempt(call).await;
            let trouble = answer.as_ref().ok();
            let trouble =
                trouble.map(|response| (response.status().as_u16(), self.redirected_to(response)));
            let failure = match self.judge(call, answer).await {
                Ok(response) => return Ok(Answer::Response(response)),
                Err(failure) => failure,
            };
            match (retries.pause(failure).await, trouble) {
                (Ok(()), _) => {}
                (Err(StoreError::UnexpectedStatus { message, .. }), Some(trouble)) => {
                    let (status, redirected_to) = trouble;
                    return Ok(Answer::Trouble { status, redirected_to, message });
                }
                (Err(error), _) => return Err(error),
            }
        }
    }

    fn redirected_to(&self, response: &Response) -> Option<String> {
        (!self.http.is_home(response.url())).then(|| self.http.host_of(response.url()))
    }

    async fn parts(&self, response: Response, length: u64) -> Result<RangeContent, StoreError> {
        let kind = MultipartType::of(header(response.headers(), CONTENT_TYPE));
        let range = content_range(header(response.headers(), CONTENT_RANGE));
        let limit = match kind {
            MultipartType::None => length,
            _ => length + OVERHEAD,
        };
        let Some(body) = self.http.read_bounded(response, limit).await? else {
            return Ok(RangeContent::Malformed("it sends more than was asked for"));
        };
        Ok(match kind {
            MultipartType::None => RangeContent::Single(RangePart { range, bytes: body }),
            MultipartType::Unbounded => {
                RangeContent::Malformed("its multipart answer names no boundary")
            }
            MultipartType::Boundary(boundary) => match multipart::parse(&body, &boundary) {
                Some(parts) => RangeContent::Multipart(parts),
                None => RangeContent::Malformed("its multipart answer is malformed or has no end"),
            },
        })
    }
}

enum Answer {
    Response(Response),
    /// A status that should have passed and did not, and what the registry said.
    Trouble {
        status: u16,
        redirected_to: Option<String>,
        message: String,
    },
}

fn header(headers: &HeaderMap, name: reqwest::header::HeaderName) -> &str {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}
