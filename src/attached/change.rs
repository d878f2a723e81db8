//! What changes in an SBOM: the names of one image for those of another.

use sha2::{Digest as _, Sha256};

use super::Subject;
use crate::image::Digest;

/// Why a document cannot be made one about another image.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// It is no JSON document, or an ambiguous one.
    #[error("it is not a JSON object, or has duplicate fields")]
    NotJson,
    /// It is in another format or version.
    #[error("unsupported SBOM format {0}; expected SPDX 2.3 or CycloneDX 1.2 to 1.7")]
    Unknown(String),
    /// It is signed, and would not be any more.
    #[error("it is signed; a change would break the signature")]
    Signed,
    /// It has no place for what is to be changed.
    #[error("it does not identify the image among its packages")]
    NoSubject,
    /// It describes another image than the one it is attached to.
    #[error("it describes another image, {0}")]
    OtherImage(String),
    /// The digest is of a kind that the new image's cannot take the place of.
    #[error("the digests of source and result use different algorithms (source: {0})")]
    Algorithm(&'static str),
}

/// The names of an image and those of the one made from it.
pub(super) struct Change<'a> {
    pub(super) old: &'a Subject,
    pub(super) new: &'a Subject,
}

impl Change<'_> {
    /// Text with the new digest for the old, if it has that.
    pub(super) fn text(&self, text: &str) -> Option<String> {
        replace_hex(text, self.old.digest().hex(), self.new.digest().hex())
    }

    /// A package URL with the new digest for the old, if it has that. Then the new repository takes
    /// the old one's place too, and a tag, which named the old image, goes.
    pub(super) fn purl(&self, purl: &str) -> Option<String> {
        let changed = self.text(purl)?;
        if !is_oci(purl) {
            return Some(changed);
        }
        let (changed, fragment) = match changed.split_once('#') {
            Some((changed, fragment)) => (changed, Some(fragment)),
            None => (changed.as_str(), None),
        };
        let (path, qualifiers) = changed.split_once('?').unwrap_or((changed, ""));
        let moved = self.old.repository() != self.new.repository();
        let qualifier = |part: &str| match (part.split_once('='), self.new.repository()) {
            (Some(("tag", _)), _) => None,
            (Some(("repository_url", _)), Some(new)) if moved => {
                Some(format!("repository_url={}", super::subject::encode(new)))
            }
            _ => Some(part.to_owned()),
        };
        let parts = qualifiers.split('&').filter(|part| !part.is_empty());
        let qualifiers = parts.filter_map(qualifier).collect::<Vec<_>>().join("&");
        let mut purl = path.to_owned();
        for (separator, part) in [("?", qualifiers.as_str()), ("#", fragment.unwrap_or_default())] {
            if !part.is_empty() {
                purl.push_str(separator);
                purl.push_str(part);
            }
        }
        Some(purl)
    }

    /// Refuses text that pins another image than the old one.
    pub(super) fn check(&self, text: &str) -> Result<(), Unfit> {
        match pinned(text) {
            Some(other) if other != *self.old.digest() => Err(Unfit::OtherImage(other.to_string())),
            _ => Ok(()),
        }
    }

    /// A UUID made of `old` and the new digest.
    pub(super) fn uuid(&self, old: &str) -> String {
        let hash = Sha256::digest(format!("{old}\n{}", self.new.digest()));
        let bytes = hash.first_chunk().copied().unwrap_or_default();
        uuid::Builder::from_custom_bytes(bytes).into_uuid().to_string()
    }
}

/// Whether a package URL is that of an image.
pub(super) fn is_oci(purl: &str) -> bool {
    ["pkg:oci/", "pkg:docker/"].iter().any(|start| purl.starts_with(start))
}

/// The digest that follows `@`, or is all of `text`; in a package URL it may be encoded.
fn pinned(text: &str) -> Option<Digest> {
    let path = text.split(['?', '#']).next().unwrap_or_default();
    let last = path.rsplit('@').next().unwrap_or_default();
    let decoded = last.replace("%3A", ":").replace("%3a", ":");
    decoded.parse().ok()
}

/// Replaces hexadecimal digits, in upper or lower case, that are no part of a longer row of such.
fn replace_hex(text: &str, old: &str, new: &str) -> Option<String> {
    let lower = text.to_ascii_lowercase();
    let digit = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_hexdigit);
    let is_whole = |at: usize| {
        let (bytes, end) = (lower.as_bytes(), at + old.len());
        let before = at.checked_sub(1).and_then(|before| bytes.get(before));
        // `%3A` is a colon.
        let encoded = at >= 3 && bytes.get(at - 3..at) == Some(b"%3a");
        (encoded || !digit(before)) && !digit(bytes.get(end))
    };
    let places: Vec<usize> =
        lower.match_indices(old).map(|(at, _)| at).filter(|&at| is_whole(at)).collect();
    if places.is_empty() {
        return None;
    }
    let mut result = text.to_owned();
    for at in places.into_iter().rev() {
        result.replace_range(at..at + old.len(), new);
    }
    Some(result)
}

/// A part of foreign text for a message.
pub(super) fn shorten(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(40).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn subject(image: &str, content: &str) -> Subject {
        Subject::new(&image.parse().unwrap(), &Digest::sha256_of(content.as_bytes()))
    }

    #[test]
    fn package_urls() {
        let (old, new) = (subject("quay.io/org/app:1", "old"), subject("quay.io/else/app", "new"));
        let change = Change { old: &old, new: &new };
        let (o, n) = (old.digest().hex(), new.digest().hex());
        for (purl, expected) in [
            (
                format!("pkg:oci/app@sha256:{o}?arch=amd64&repository_url=quay.io/org/app&tag=1"),
                format!("pkg:oci/app@sha256:{n}?arch=amd64&repository_url=quay.io/else/app"),
            ),
            (
                format!("pkg:docker/org/app@sha256%3A{o}?tag=1#sub/path"),
                format!("pkg:docker/org/app@sha256%3A{n}#sub/path"),
            ),
            (
                format!("pkg:generic/app?checksum=sha256:{}&tag=1", o.to_uppercase()),
                format!("pkg:generic/app?checksum=sha256:{n}&tag=1"),
            ),
        ] {
            assert_eq!(change.purl(&purl).as_deref(), Some(&*expected));
        }
        for other in [format!("pkg:oci/app@sha256:{n}"), format!("x{o}0"), format!("f{o}")] {
            assert_eq!(change.purl(&other), None, "{other}");
        }
        assert_eq!(new.purl(), format!("pkg:oci/app@sha256:{n}?repository_url=quay.io/else/app"));
        let layout = subject("oci:/some/where/My app:1", "x");
        assert_eq!(layout.purl(), format!("pkg:oci/my%20app@{}", layout.digest()));
        assert_eq!(layout.pinned(), format!("My app@{}", layout.digest()));
    }

    #[test]
    fn text_that_pins_an_image() {
        let digest = Digest::sha256_of(b"");
        let encoded = format!("pkg:oci/a@{}?x=y@z", digest.as_str().replace(':', "%3A"));
        for text in [format!("quay.io/a:1@{digest}"), digest.to_string(), encoded] {
            assert_eq!(pinned(&text).as_ref(), Some(&digest), "{text}");
        }
        for text in ["", ".", "quay.io/a:1", "a@sha256:12", "pkg:oci/a?tag=1"] {
            assert_eq!(pinned(text), None, "{text}");
        }
    }

    #[test]
    fn identifiers_depend_on_both() {
        let (old, new) = (subject("a/b", "old"), subject("a/b", "new"));
        let uuid = Change { old: &old, new: &new }.uuid("urn:x");
        assert_eq!(uuid, "a52b6460-c356-8b3d-a11c-849d5dfc080a");
        assert_ne!(uuid, Change { old: &old, new: &new }.uuid("urn:y"));
        assert_ne!(uuid, Change { old: &new, new: &old }.uuid("urn:x"));
    }
}
