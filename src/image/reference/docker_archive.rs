//! References to images in the archives of `docker save`.

use std::{fmt, path::Path, str::FromStr};

use super::{ReferenceError, RegistryReference, shorten};

/// An image in an archive that `docker save` or `podman save` wrote, or that has the same form.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct DockerArchiveReference {
    path: String,
    image: ArchivedImage,
}

/// Which image of an archive.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ArchivedImage {
    /// The only one.
    Only,
    /// By one of its names, with a tag and without a digest.
    Name(RegistryReference),
    /// By its place in the list of images, from 0.
    Number(usize),
}

impl DockerArchiveReference {
    pub(crate) const PREFIX: &str = "docker-archive:";

    pub fn path(&self) -> &Path {
        Path::new(&self.path)
    }

    pub fn image(&self) -> &ArchivedImage {
        &self.image
    }

    /// The tag in the image's name.
    pub fn tag(&self) -> Option<&str> {
        match &self.image {
            ArchivedImage::Name(name) => name.tag(),
            ArchivedImage::Only | ArchivedImage::Number(_) => None,
        }
    }

    /// The archive, without an image.
    pub(super) fn place(&self) -> String {
        format!("{}{}", Self::PREFIX, self.path)
    }
}

impl ArchivedImage {
    /// A name as it stands in an archive or on a command line: short ones are those of docker.io,
    /// and the default tag is `latest` (`ParseReference` in `docker/archive/transport.go` of
    /// containers/image).
    pub(crate) fn named(text: &str) -> Result<RegistryReference, ReferenceError> {
        let name: RegistryReference = text.parse()?;
        match (name.tag(), name.digest()) {
            (_, Some(_)) => Err(ReferenceError::ArchivedName(shorten(text))),
            (Some(_), None) => Ok(name),
            (None, None) => name.with_tag("latest"),
        }
    }
}

impl FromStr for DockerArchiveReference {
    type Err = ReferenceError;

    /// Parses what follows `docker-archive:`. The path ends at the first colon.
    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        let (path, image) = match text.split_once(':') {
            None => (text, ArchivedImage::Only),
            Some((path, image)) => (path, image.parse()?),
        };
        if path.is_empty() {
            return Err(ReferenceError::Empty);
        }
        Ok(Self { path: path.to_owned(), image })
    }
}

impl FromStr for ArchivedImage {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        let Some(number) = text.strip_prefix('@') else { return Self::named(text).map(Self::Name) };
        // A number alone: parsing would take "+1".
        let digits = number.bytes().all(|b| b.is_ascii_digit());
        let number = number.parse().ok().filter(|_| digits);
        number.map(Self::Number).ok_or_else(|| ReferenceError::ArchivedName(shorten(text)))
    }
}

impl fmt::Display for ArchivedImage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Only => Ok(()),
            Self::Name(name) => name.fmt(f),
            Self::Number(number) => write!(f, "@{number}"),
        }
    }
}

impl fmt::Display for DockerArchiveReference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.place())?;
        match &self.image {
            ArchivedImage::Only => Ok(()),
            image => write!(f, ":{image}"),
        }
    }
}
