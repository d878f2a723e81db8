//! The referrers of a manifest (distribution-spec, "Listing Referrers").

use std::sync::Arc;

use reqwest::{
    Method, Url,
    header::{ACCEPT, HeaderMap, HeaderName, LINK},
};

use super::{super::http::Call, Repository};
use crate::{
    image::{Digest, DocumentError, Index, media_type::OCI_INDEX, referrer::fallback_tag},
    store::{error::StoreError, referrers::Referrers},
};

/// With this header a registry says that it has processed the subject of a manifest
/// (distribution-spec, "Pushing Manifests with Subject").
pub(super) const OCI_SUBJECT: HeaderName = HeaderName::from_static("oci-subject");

/// Pages that are read of one list.
const PAGES: usize = 16;

impl Repository {
    /// Lists the referrers of a manifest; nothing if the registry has no such API: then the index
    /// under the tag [`fallback_tag`](crate::image::referrer::fallback_tag) lists them. At most
    /// [`PAGES`] pages are read, each no longer than a manifest may be.
    pub(crate) async fn referrers(
        &self,
        subject: &Digest,
    ) -> Result<Option<Referrers>, StoreError> {
        let what = format!("referrers of {subject}");
        let action: Arc<str> = format!("download of the {what}").into();
        let mut url = self.url(&format!("referrers/{subject}"))?;
        let mut found = Referrers::default();
        for page in 0..PAGES {
            let call = Call::new(Method::GET, url.clone(), Arc::clone(&action))
                .target(what.as_str())
                .accept(&[200])
                .header(ACCEPT, OCI_INDEX);
            let answer = match page {
                // Many registries do not have the API and say so in an odd way.
                0 => self.document_with(&call, self.http.few_retries(&call.action)).await,
                _ => self.document(&call).await,
            };
            let read = answer.and_then(|(headers, body)| {
                let unfit = |reason| {
                    let (what, place) = (what.clone(), self.place());
                    StoreError::Manifest { what, place, reason }
                };
                Ok((headers, Index::parse_list(&body).map_err(unfit)?))
            });
            let (headers, index) = match read {
                Err(StoreError::NotFound { .. }) if page == 0 => return Ok(None),
                Err(error) if page == 0 && is_no_api(&error) => {
                    tracing::warn!(
                        "cannot use the referrers API of {}, falling back to the tag {}: {}",
                        self.place(),
                        fallback_tag(subject),
                        error.cause(),
                    );
                    return Ok(None);
                }
                read => read?,
            };
            found.others += index.others();
            found.take(index.entries().cloned());
            match next_link(&headers) {
                None => return Ok(Some(found)),
                Some(_) if found.cut => break,
                Some(next) => url = self.next_page(&call, next)?,
            }
        }
        found.cut = true;
        Ok(Some(found))
    }

    /// The next page, which is in the registry itself.
    fn next_page(&self, page: &Call, link: &str) -> Result<Url, StoreError> {
        match page.url.join(link) {
            Ok(url) if self.http.is_home(&url) => Ok(url),
            _ => Err(self.http.protocol(&page.action, "its next page is not in the registry")),
        }
    }
}

/// Whether a registry that answers like this may lack the API: with an error, a web page, or a
/// redirect to where users log in. One that refuses access has the API.
fn is_no_api(error: &StoreError) -> bool {
    match error {
        // It is busy.
        StoreError::UnexpectedStatus { status: 429, .. } => false,
        StoreError::Manifest { reason, .. } => matches!(reason, DocumentError::Json(_)),
        error => {
            matches!(error, StoreError::UnexpectedStatus { .. } | StoreError::Protocol { .. })
        }
    }
}

/// The target of a `Link` header with `rel="next"` (RFC 8288), as registries write it.
fn next_link(headers: &HeaderMap) -> Option<&str> {
    headers.get_all(LINK).iter().find_map(|value| {
        let (target, parameters) =
            value.to_str().ok()?.trim().strip_prefix('<')?.split_once('>')?;
        let is_next = |parameter: &str| {
            let parameter = parameter.trim().to_ascii_lowercase();
            matches!(parameter.as_str(), "rel=next" | "rel=\"next\"")
        };
        parameters.split(';').any(is_next).then_some(target)
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn links_to_the_next_page() {
        for (value, expected) in [
            ("</v2/a/referrers/x?n=1>; rel=\"next\"", Some("/v2/a/referrers/x?n=1")),
            ("<?last=y>; foo=bar; Rel=next", Some("?last=y")),
            ("</v2/>; rel=\"prev\"", None),
            ("</v2/>", None),
            ("/v2/; rel=next", None),
            ("", None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(LINK, value.parse().unwrap());
            assert_eq!(next_link(&headers), expected, "{value}");
        }
        assert_eq!(next_link(&HeaderMap::new()), None);
    }
}
