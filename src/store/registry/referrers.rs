//! What refers to a manifest (distribution-spec, "Listing Referrers").

use reqwest::{
    Method, Url,
    header::{ACCEPT, HeaderMap, HeaderName, LINK},
};

use super::{Repository, request::Call};
use crate::{
    image::{Digest, Index, media_type::OCI_INDEX},
    store::{StoreError, referrers::Referrers},
};

/// By this header a registry tells that it has understood what a manifest refers to
/// (distribution-spec, "Pushing Manifests with Subject").
pub(super) const OCI_SUBJECT: HeaderName = HeaderName::from_static("oci-subject");

/// Pages that are read of one list.
const PAGES: usize = 16;

impl Repository {
    /// Lists what refers to a manifest, or nothing if the registry cannot tell: then the index
    /// under the tag [`fallback_tag`](crate::image::referrer::fallback_tag) does. No more is read than a number of pages, each
    /// no longer than a manifest may be.
    pub(in crate::store) async fn referrers(
        &self,
        subject: &Digest,
    ) -> Result<Option<Referrers>, StoreError> {
        let what = format!("list of what refers to {subject}");
        let mut url = self.url(&format!("referrers/{subject}"))?;
        let mut found = Referrers::default();
        for page in 0..PAGES {
            let call = Call::new(Method::GET, url.clone()).header(ACCEPT, OCI_INDEX);
            let (headers, body) = match self.document(&call, &what).await {
                Err(StoreError::NotFound { .. }) if page == 0 => return Ok(None),
                answer => answer?,
            };
            let index = Index::parse_list(&body).map_err(|reason| StoreError::Manifest {
                what: what.clone(),
                place: self.place.clone(),
                reason,
            })?;
            found.others += index.others();
            found.take(index.entries().cloned());
            match next_link(&headers) {
                None => return Ok(Some(found)),
                Some(_) if found.cut => break,
                Some(next) => url = self.next_page(&url, next, &what)?,
            }
        }
        found.cut = true;
        Ok(Some(found))
    }

    /// The next page, which is in the registry itself.
    fn next_page(&self, page: &Url, link: &str, what: &str) -> Result<Url, StoreError> {
        match page.join(link) {
            Ok(url) if self.guard.is_home(&url) => Ok(url),
            _ => {
                let action = format!("the request for the {what}");
                Err(self.protocol(&action, "its next page is somewhere else"))
            }
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
