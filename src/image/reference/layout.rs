//! References to images in OCI image layouts.

use std::{fmt, path::Path, str::FromStr};

use super::{ReferenceError, checked_tag};
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

    /// The tag: the annotation `org.opencontainers.image.ref.name` in `index.json`.
    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// The digest of the manifest.
    pub fn digest(&self) -> Option<&Digest> {
        self.digest.as_ref()
    }

    /// The same layout under another tag, without a digest.
    pub fn with_tag(&self, tag: &str) -> Result<Self, ReferenceError> {
        Ok(Self { tag: Some(checked_tag(tag)?), digest: None, ..self.clone() })
    }
}

impl FromStr for LayoutReference {
    type Err = ReferenceError;

    /// Parses what follows `oci:`. A colon with a slash after it belongs to the directory, and so
    /// does an `@` that no digest follows.
    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        let (rest, digest) = match text.rsplit_once('@') {
            Some((rest, digest)) if digest.starts_with("sha") && digest.contains(':') => {
                (rest, Some(digest.parse::<Digest>()?))
            }
            _ => (text, None),
        };
        let (dir, tag) = match rest.rsplit_once(':') {
            Some((dir, tag)) if !tag.contains('/') => (dir, Some(checked_tag(tag)?)),
            _ => (rest, None),
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
