//! Values of arguments: what can be said of one by itself. Rules for several are in
//! [`super::usage`].

use std::{borrow::Cow, ops::RangeInclusive, path::Path, str::FromStr, time::Duration};

use bytesize::ByteSize;
use clap::ValueEnum;

use tracing_subscriber::{EnvFilter, filter::LevelFilter};

use crate::{
    attached::SbomChoice,
    convert::SbomPolicy,
    image::{ImageReference, Platform, PlatformError, ReferenceError},
};

/// Why a value is refused. The parser names the option and the value.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ValueError {
    #[error(transparent)]
    Reference(#[from] ReferenceError),
    #[error(
        "a destination cannot have a digest, because that of the new image is not known yet; \
         name it by tag only"
    )]
    DestinationDigest,
    #[error(
        "not an image in a registry; for an OCI layout, write oci:{0}; for an archive, write \
         oci-archive:{0} or docker-archive:{0}"
    )]
    Path(String),
    #[error(
        "not an image in a registry; for an OCI layout, write oci:{0}; for an archive, write \
         oci-archive:{0}"
    )]
    DestinationPath(String),
    #[error("it has neither a tag nor a digest; expected {0}:TAG or {0}@sha256:…")]
    NoImage(String),
    #[error("a docker-archive has no manifest, and so no digest; pass it to convert as it is")]
    NoManifest,
    #[error(transparent)]
    Platform(#[from] PlatformError),
    #[error("expected none, copy or the digest of an SBOM")]
    Sbom,
    #[error("expected a number and one of the units s, m, h, d and w, as in 5d")]
    Period,
    #[error("expected a time from 1s to 1day, as in 90s, 15m or 1h")]
    Time,
    #[error("expected a size greater than 0, as in 300GiB")]
    Size,
    #[error(
        "expected off, error, warn, info, debug, trace, or a filter as in recompress_image=debug"
    )]
    LogFilter,
    #[error("expected true or false")]
    Boolean,
    #[error("expected a whole number, {min} or more")]
    AtLeast { min: u64 },
    #[error("expected a whole number from {min} to {max}")]
    Number { min: u64, max: u64 },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum CompressionFormat {
    /// zstd with a table of contents, for partial pulls
    #[value(name = "zstd:chunked", alias = "zstd-chunked")]
    ZstdChunked,
    /// Plain zstd
    Zstd,
    /// gzip, which every client can read
    Gzip,
    /// An index with each image as gzip and, after those, as zstd:chunked
    Dual,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ManifestType {
    /// OCI manifests
    Oci,
    /// Docker schema 2, for single images with gzip layers
    Docker,
}

/// A platform with the text that named it, which goes into derived tags.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NamedPlatform {
    pub(super) text: String,
    pub(super) platform: Platform,
}

pub(super) fn image(text: &str) -> Result<ImageReference, ValueError> {
    let text = text.trim();
    // No name of a registry begins like that, and few people mean an image of docker.io by the name
    // of a file that they have.
    let is_hostless = || !text.split('/').next().unwrap_or_default().contains('.');
    let is_path = text.starts_with(['/', '.'])
        || (!text.contains([':', '@'])
            && (text.ends_with('/') || (is_hostless() && Path::new(text).exists())));
    if is_path {
        return Err(ValueError::Path(text.to_owned()));
    }
    Ok(text.parse()?)
}

/// The text with what stands for a user name and a password in a URL masked: no `@` but that of a
/// digest belongs there otherwise.
pub(super) fn without_credentials(text: &str) -> Cow<'_, str> {
    let Some((scheme, rest)) = text.split_once("://") else { return text.into() };
    let is_digest = |text: &str| {
        ["sha256:", "sha512:"].iter().any(|name| text.starts_with(name)) && !text.contains('/')
    };
    let end = rest.rmatch_indices('@').find(|(at, _)| !is_digest(&rest[at + 1..]));
    end.map_or(text.into(), |(at, _)| format!("{scheme}://***{}", &rest[at..]).into())
}

pub(super) fn destination(text: &str) -> Result<ImageReference, ValueError> {
    let reference = image(text).map_err(|error| match error {
        ValueError::Path(path) => ValueError::DestinationPath(path),
        error => error,
    })?;
    if reference.digest().is_some() {
        return Err(ValueError::DestinationDigest);
    }
    if let ImageReference::DockerArchive(_) = reference {
        return Err(ReferenceError::DockerArchive.into());
    }
    Ok(reference)
}

/// An image, and not a whole repository.
pub(super) fn image_in_repository(text: &str) -> Result<ImageReference, ValueError> {
    match image(text)? {
        ImageReference::Registry(at) if at.tag().is_none() && at.digest().is_none() => {
            Err(ValueError::NoImage(at.to_string()))
        }
        reference => Ok(reference),
    }
}

/// An image that has a digest.
pub(super) fn image_with_manifest(text: &str) -> Result<ImageReference, ValueError> {
    match image_in_repository(text)? {
        ImageReference::DockerArchive(_) => Err(ValueError::NoManifest),
        reference => Ok(reference),
    }
}

/// Platforms separated by commas. Empty parts are left out.
pub(super) fn platforms(text: &str) -> Result<Vec<NamedPlatform>, ValueError> {
    let texts = text.split(',').map(str::trim).filter(|text| !text.is_empty());
    texts.map(|text| Ok(NamedPlatform { text: text.to_owned(), platform: text.parse()? })).collect()
}

pub(super) fn sbom(text: &str) -> Result<SbomPolicy, ValueError> {
    match text {
        "none" => Ok(SbomPolicy::None),
        "copy" => Ok(SbomPolicy::Copy(SbomChoice::Only)),
        digest => match digest.parse() {
            Ok(digest) => Ok(SbomPolicy::Copy(SbomChoice::Named(digest))),
            Err(_) => Err(ValueError::Sbom),
        },
    }
}

/// Where `--reuse-from` takes layers from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ReuseFrom {
    Nothing,
    Base,
    Image(ImageReference),
}

/// Images separated by commas, `base` or `none`. Empty parts are left out.
pub(super) fn reuse_from(text: &str) -> Result<Vec<ReuseFrom>, ValueError> {
    let texts = text.split(',').map(str::trim).filter(|text| !text.is_empty());
    let parse = |text: &str| match text {
        "none" => Ok(ReuseFrom::Nothing),
        "base" => Ok(ReuseFrom::Base),
        image => image_in_repository(image).map(ReuseFrom::Image),
    };
    texts.map(parse).collect()
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ReuseTrust {
    /// Check all of each layer
    Verify,
    /// For images named by digest, check only TOC and tar-split of each layer
    Digest,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ReuseRecipe {
    /// Layers made by any tool at any level
    Any,
    /// Only layers that this program has made with the same format and level
    Same,
}

/// Quay reads `quay.expires-after` as a number and a unit (quay/quay, `util/timedeltastring.py`).
pub(super) fn period(text: &str) -> Result<String, ValueError> {
    let unit = |last: char| "smhdw".contains(last);
    let is_period = text.strip_suffix(unit).is_some_and(|number| {
        !number.is_empty() && number.len() <= 9 && number.bytes().all(|b| b.is_ascii_digit())
    });
    if is_period { Ok(text.to_owned()) } else { Err(ValueError::Period) }
}

/// How long to wait for something.
pub(super) fn time(text: &str) -> Result<Duration, ValueError> {
    let bounds = Duration::from_secs(1)..=Duration::from_secs(24 * 60 * 60);
    let time = humantime::parse_duration(text).ok();
    time.filter(|time| bounds.contains(time)).ok_or(ValueError::Time)
}

/// A word alone would name a module, and silence all others: more likely it is a level misspelled.
pub(super) fn log_filter(text: &str) -> Result<String, ValueError> {
    let is_level = text.parse::<LevelFilter>().is_ok();
    let is_filter = text.contains('=') && EnvFilter::try_new(text).is_ok();
    if is_level || is_filter { Ok(text.to_owned()) } else { Err(ValueError::LogFilter) }
}

/// `true` or `false`, and the words that pipelines have for them.
pub(super) fn boolean(text: &str) -> Result<bool, ValueError> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "1" | "yes" => Ok(true),
        "false" | "0" | "no" => Ok(false),
        _ => Err(ValueError::Boolean),
    }
}

/// A number of bytes, more than none.
pub(super) fn size(text: &str) -> Result<u64, ValueError> {
    let size = text.parse().map(|size: ByteSize| size.as_u64());
    size.ok().filter(|&size| size > 0).ok_or(ValueError::Size)
}

/// A parser of numbers within a range.
pub(super) fn within<N>(
    range: RangeInclusive<N>,
) -> impl Fn(&str) -> Result<N, ValueError> + Clone + Send + Sync
where
    N: FromStr + PartialOrd + Copy + Send + Sync + TryInto<u64>,
{
    move |text| {
        let bound = |bound: N| bound.try_into().unwrap_or(u64::MAX);
        let error = || match (bound(*range.start()), bound(*range.end())) {
            (min, u64::MAX) => ValueError::AtLeast { min },
            (min, max) => ValueError::Number { min, max },
        };
        text.parse().ok().filter(|number| range.contains(number)).ok_or_else(error)
    }
}
