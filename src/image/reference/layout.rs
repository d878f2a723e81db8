//! References to images in OCI image layouts.

use std::{fmt, path::Path, str::FromStr};

use super::{ReferenceError, checked_ref_name};
use crate::image::Digest;

/// An image in an OCI image layout (image-spec, image-layout.md): a directory, and perhaps which
/// of its images.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct LayoutReference {
    dir: String,
    tag: Option<String>,
    digest: Option<Digest>,
}

impl LayoutReference {
    /// The layout's directory.
    pub fn dir(&self) -> &Path {
        Path::new(&self.dir)
    }

    /// The image's name: the annotation `org.opencontainers.image.ref.name` in `index.json`.
    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// The digest of the manifest.
    pub fn digest(&self) -> Option<&Digest> {
        self.digest.as_ref()
    }

    /// The same image, named by this digest.
    #[must_use]
    pub fn with_digest(&self, digest: &Digest) -> Self {
        Self { digest: Some(digest.clone()), ..self.clone() }
    }

    /// Another image of the same layout, without a digest.
    pub fn with_tag(&self, tag: &str) -> Result<Self, ReferenceError> {
        Ok(Self { tag: Some(checked_ref_name(tag)?), digest: None, ..self.clone() })
    }
}

/// What is in front of an `@`, and what is behind it, if that looks like a digest.
pub(super) fn split_digest(text: &str) -> (&str, Option<&str>) {
    match text.rsplit_once('@') {
        Some((rest, digest)) if digest.starts_with("sha") && digest.contains(':') => {
            (rest, Some(digest))
        }
        _ => (text, None),
    }
}

impl FromStr for LayoutReference {
    type Err = ReferenceError;

    /// Parses what follows `oci:`. The directory ends at the first colon, as with skopeo (`splitPathAndImage`
    /// in `oci/internal/oci_util.go` of containers/image), but for that of a digest at the end.
    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        let (rest, digest) = split_digest(text);
        let digest = digest.map(str::parse::<Digest>).transpose()?;
        let (dir, tag) = match rest.split_once(':') {
            Some((dir, name)) => (dir, Some(checked_ref_name(name)?)),
            None => (rest, None),
        };
        if dir.is_empty() {
            return Err(ReferenceError::Empty);
        }
        Ok(Self { dir: dir.to_owned(), tag, digest })
    }
}

impl fmt::Display for LayoutReference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "oci:{}", self.dir)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        if let Some(digest) = &self.digest {
            write!(f, "@{digest}")?;
        }
        Ok(())
    }
}
