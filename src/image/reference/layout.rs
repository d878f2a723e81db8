//! References to images in OCI image layouts, on disk or in an archive.

use std::{fmt, path::Path};

use super::{ReferenceError, checked_ref_name};
use crate::image::Digest;

/// An image in an OCI image layout (image-spec, image-layout.md): a directory or an archive, and
/// perhaps which of its images.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct LayoutReference {
    form: LayoutForm,
    path: String,
    tag: Option<String>,
    digest: Option<Digest>,
}

/// What a layout is stored in, as containers-transports(5) has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LayoutForm {
    /// `oci:DIR`.
    Directory,
    /// `oci-archive:FILE`, a tar.
    Archive,
}

impl LayoutForm {
    /// The transport, with its colon.
    pub(crate) fn prefix(self) -> &'static str {
        match self {
            Self::Directory => "oci:",
            Self::Archive => "oci-archive:",
        }
    }
}

impl LayoutReference {
    pub fn form(&self) -> LayoutForm {
        self.form
    }

    /// The directory or the archive.
    pub fn path(&self) -> &Path {
        Path::new(&self.path)
    }

    /// The layout, without an image.
    pub(super) fn place(&self) -> String {
        format!("{}{}", self.form.prefix(), self.path)
    }

    /// The image's name: the annotation `org.opencontainers.image.ref.name` in `index.json`.
    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// The digest of the manifest.
    pub fn digest(&self) -> Option<&Digest> {
        self.digest.as_ref()
    }

    /// The same image without its tag.
    pub(super) fn without_tag(&self) -> Self {
        Self { tag: None, ..self.clone() }
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

impl LayoutReference {
    /// Parses what follows the transport. The path ends at the first colon, as with skopeo (`splitPathAndImage`
    /// in `oci/internal/oci_util.go` of containers/image), but for that of a digest at the end.
    pub(super) fn parse(form: LayoutForm, text: &str) -> Result<Self, ReferenceError> {
        let (rest, digest) = split_digest(text);
        let digest = digest.map(str::parse::<Digest>).transpose()?;
        let (path, tag) = match rest.split_once(':') {
            Some((path, name)) => (path, Some(checked_ref_name(name)?)),
            None => (rest, None),
        };
        if path.is_empty() {
            return Err(ReferenceError::Empty);
        }
        Ok(Self { form, path: path.to_owned(), tag, digest })
    }
}

impl fmt::Display for LayoutReference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.place())?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        if let Some(digest) = &self.digest {
            write!(f, "@{digest}")?;
        }
        Ok(())
    }
}
