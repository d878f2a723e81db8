//! What the arguments mean: checked, with the defaults filled in.

use std::{ops::RangeInclusive, path::PathBuf, str::FromStr, thread};

use crate::{
    chunked::frame::LEVEL_MAX,
    cli::{self, access::AccessArgs, convert::Args},
    convert::{Job, derived_tag},
    image::{ImageReference, ReferenceError, index::Platform, index::PlatformError},
    inspect,
    layer::Recipe,
    probe,
    store::{AccessOptions, Patience},
    verify,
};

/// zstd level of the data where none is given: the fastest at which images come out smaller than
/// skopeo's at its default level.
const DEFAULT_LEVEL: i32 = 6;

/// zstd level of TOC and tar-split. Higher ones take many times as long and save little: the TOC
/// consists of digests.
const METADATA_LEVEL: i32 = 1;

/// Files up to this many bytes become one frame. One of them that has changed is fetched whole;
/// cutting it would cost all other clients more than that saves.
const WHOLE_FILE_MAX: usize = 128 << 10;

/// Arguments that make no sense.
#[derive(Debug, thiserror::Error)]
pub enum UsageError {
    /// No reference.
    #[error("cannot read the {which} {text:?}")]
    Reference {
        /// `source`, `destination` or `image`.
        which: &'static str,
        /// As given.
        text: String,
        /// What is wrong with it.
        #[source]
        error: ReferenceError,
    },
    /// The source is named by a tag alone.
    #[error(
        "the source {0} has no digest: a tag may be moved while the image is on its way, so say \
         which image is meant, as in {name}@sha256:…; to find out: \
         skopeo inspect --format '{{{{.Digest}}}}' docker://{0}, or: crane digest {0}",
        name = .0
    )]
    NoDigest(String),
    /// The destination has a digest.
    #[error(
        "the destination {0} has a digest, but the digest of the new image comes out of the \
         conversion; name a tag alone"
    )]
    DestinationDigest(String),
    /// No format.
    #[error("{0:?} is no compression format; write zstd:chunked (or zstd-chunked) or zstd")]
    Format(String),
    /// No level.
    #[error("{0:?} is no compression level; zstd has 1 (fast) to 22 (small)")]
    Level(String),
    /// No number of threads.
    #[error("{0:?} is no number of threads; write 1 to 1024")]
    Jobs(String),
    /// No platform.
    #[error(transparent)]
    Platform(#[from] PlatformError),
    /// Two options that contradict each other.
    #[error("--require-chunked goes with the format zstd:chunked only")]
    RequireChunked,
    /// A repository, and no image in it.
    #[error(
        "{0} names no image: a registry can only be probed with the blob of an image; write \
         {0}:TAG or {0}@sha256:…"
    )]
    NoImage(String),
}

impl TryFrom<Args> for Job {
    type Error = UsageError;

    fn try_from(args: Args) -> Result<Self, UsageError> {
        let source = reference("source", &args.source)?;
        if let ImageReference::Registry(reference) = &source
            && reference.digest().is_none()
        {
            return Err(UsageError::NoDigest(reference.to_string()));
        }
        let (chunked, format, suffix) = match args.compression_format.as_str() {
            "" | "zstd:chunked" | "zstd-chunked" => (true, "zstd:chunked", "zstd-chunked"),
            "zstd" => (false, "zstd", "zstd"),
            other => return Err(UsageError::Format(other.to_owned())),
        };
        if args.require_chunked && !chunked {
            return Err(UsageError::RequireChunked);
        }
        let level = match given(args.compression_level) {
            None => DEFAULT_LEVEL,
            Some(text) => number(&text, 1..=LEVEL_MAX).ok_or(UsageError::Level(text))?,
        };
        let jobs = match given(args.jobs) {
            None => thread::available_parallelism().map_or(1, usize::from),
            Some(text) => number(&text, 1..=1024).ok_or(UsageError::Jobs(text))?,
        };
        let platform = given(args.platform);
        let tag = derived_tag(&source, platform.as_deref(), suffix);
        let destination = destination(given(args.destination).as_deref(), &source, &tag)?;
        Ok(Self {
            source,
            destination,
            platform: platform.map(|text| text.parse::<Platform>()).transpose()?,
            format,
            recipe: Recipe {
                chunked,
                level,
                metadata_level: METADATA_LEVEL,
                whole_file_max: WHOLE_FILE_MAX,
            },
            require_chunked: args.require_chunked,
            jobs,
            probe: args.probe,
            access: args.access.into(),
            results_dir: given_path(args.results_dir).map(results_folder),
        })
    }
}

impl From<AccessArgs> for AccessOptions {
    fn from(args: AccessArgs) -> Self {
        Self {
            authfile: given_path(args.authfile),
            tls_verify: args.tls_verify,
            ca_file: given_path(args.ca_file),
            ca_file_optional: args.ca_file_optional,
            cert_dir: given_path(args.cert_dir),
            patience: Patience::default(),
        }
    }
}

impl TryFrom<cli::verify::Args> for verify::Job {
    type Error = UsageError;

    fn try_from(args: cli::verify::Args) -> Result<Self, UsageError> {
        let against = given(args.against);
        Ok(Self {
            image: reference("image", &args.image)?,
            against: against.map(|text| reference("source", &text)).transpose()?,
            platform: platform(args.platform)?,
            access: args.access.into(),
        })
    }
}

impl TryFrom<cli::inspect::Args> for inspect::Job {
    type Error = UsageError;

    fn try_from(args: cli::inspect::Args) -> Result<Self, UsageError> {
        Ok(Self {
            image: reference("image", &args.image)?,
            platform: platform(args.platform)?,
            toc: args.toc,
            access: args.access.into(),
        })
    }
}

impl TryFrom<cli::probe::Args> for probe::Job {
    type Error = UsageError;

    fn try_from(args: cli::probe::Args) -> Result<Self, UsageError> {
        let image = reference("image", &args.image)?;
        if let ImageReference::Registry(reference) = &image
            && reference.tag().is_none()
            && reference.digest().is_none()
        {
            return Err(UsageError::NoImage(reference.to_string()));
        }
        Ok(Self { image, access: args.access.into() })
    }
}

fn platform(text: Option<String>) -> Result<Option<Platform>, UsageError> {
    Ok(given(text).map(|text| text.parse()).transpose()?)
}

fn given(text: Option<String>) -> Option<String> {
    text.filter(|text| !text.is_empty())
}

fn given_path(path: Option<PathBuf>) -> Option<PathBuf> {
    path.filter(|path| !path.as_os_str().is_empty())
}

/// A step of Tekton is told the path of each result, and not their folder, which has the name of the
/// step in it.
fn results_folder(path: PathBuf) -> PathBuf {
    match path.parent() {
        Some(folder) if path.ends_with("IMAGE_URL") => folder.join("."),
        _ => path,
    }
}

fn number<N: FromStr + PartialOrd>(text: &str, range: RangeInclusive<N>) -> Option<N> {
    text.parse().ok().filter(|number| range.contains(number))
}

fn reference(which: &'static str, text: &str) -> Result<ImageReference, UsageError> {
    text.trim().parse().map_err(|error| UsageError::Reference {
        which,
        text: text.to_owned(),
        error,
    })
}

/// The destination, with a tag. Where only a repository or a directory is given, the tag is the
/// derived one.
fn destination(
    text: Option<&str>,
    source: &ImageReference,
    tag: &str,
) -> Result<ImageReference, UsageError> {
    let named = match text {
        Some(text) => reference("destination", text)?,
        None => source.clone(),
    };
    if text.is_some() && named.digest().is_some() {
        return Err(UsageError::DestinationDigest(named.to_string()));
    }
    if text.is_some() && named.tag().is_some() {
        return Ok(named);
    }
    named.with_tag(tag).map_err(|error| UsageError::Reference {
        which: "destination",
        text: named.to_string(),
        error,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use clap::Parser as _;

    use super::*;
    use crate::cli::{Cli, Command};

    fn job(args: &[&str]) -> Result<Job, UsageError> {
        let cli = Cli::try_parse_from(["recompress-image", "convert"].iter().chain(args)).unwrap();
        let Command::Convert(args) = cli.command else { panic!("{args:?}") };
        Job::try_from(*args)
    }

    fn at(text: &str) -> String {
        format!("{text}@sha256:{}", "0".repeat(64))
    }

    #[test]
    fn destinations() {
        let source = at("quay.io/org/app:1.2");
        let to = |destination| job(&[&source, destination]).unwrap().destination.to_string();
        assert_eq!(
            job(&[&source]).unwrap().destination.to_string(),
            "quay.io/org/app:1.2-zstd-chunked"
        );
        assert_eq!(to(""), "quay.io/org/app:1.2-zstd-chunked");
        assert_eq!(to("localhost:5000/a/b:c"), "localhost:5000/a/b:c");
        assert_eq!(to("docker://localhost:5000/a/b"), "localhost:5000/a/b:1.2-zstd-chunked");
        assert_eq!(to("oci:dir"), "oci:dir:1.2-zstd-chunked");
        assert!(matches!(job(&[&source, &source]), Err(UsageError::DestinationDigest(_))));
        let plain = job(&[&source, "--compression-format=zstd"]).unwrap();
        assert_eq!(plain.destination.to_string(), "quay.io/org/app:1.2-zstd");
        let platform = job(&[&source, "--platform", "linux/arm64"]).unwrap();
        assert_eq!(
            platform.destination.to_string(),
            "quay.io/org/app:1.2-linux-arm64-zstd-chunked"
        );
        assert_eq!(job(&["oci:dir:t"]).unwrap().destination.to_string(), "oci:dir:t-zstd-chunked");
    }

    #[test]
    fn a_source_in_a_registry_needs_a_digest() {
        let message = job(&["docker://quay.io/org/app:1.2"]).unwrap_err().to_string();
        assert!(message.contains("quay.io/org/app:1.2@sha256:…"), "{message}");
        assert!(message.contains("'{{.Digest}}' docker://quay.io/org/app:1.2"), "{message}");
        assert!(message.contains("crane digest quay.io/org/app:1.2"), "{message}");
    }

    #[test]
    fn values_are_checked_and_empty_ones_are_none() {
        let source = at("quay.io/a");
        let with = |option: &str| job(&[&source, option]);
        assert!(matches!(with("--compression-format=gz"), Err(UsageError::Format(_))));
        assert!(matches!(with("--compression-level=23"), Err(UsageError::Level(_))));
        assert!(matches!(with("--jobs=0"), Err(UsageError::Jobs(_))));
        assert!(matches!(with("--platform=x"), Err(UsageError::Platform(_))));
        assert_eq!(with("--compression-level=").unwrap().recipe.level, DEFAULT_LEVEL);
        assert_eq!(with("--compression-format=").unwrap().format, "zstd:chunked");
        assert!(with("--jobs=").unwrap().jobs >= 1);
        assert!(!with("--tls-verify=false").unwrap().access.tls_verify);
        assert!(with("--tls-verify").unwrap().access.tls_verify);
        assert!(!with("--ca-file=x").unwrap().access.ca_file_optional);
        assert!(with("--ca-file-optional").unwrap().access.ca_file_optional);
        assert!(with("--tls-verify").unwrap().probe && !with("--probe=false").unwrap().probe);
        let results = |path| with(&format!("--results-dir={path}")).unwrap().results_dir.unwrap();
        assert_eq!(
            results("/tekton/steps/step-a/results/IMAGE_URL"),
            results("/tekton/steps/step-a/results")
        );
        assert_eq!(results("IMAGE_URL"), PathBuf::from("."));
        let contradiction = job(&[&source, "--require-chunked", "--compression-format=zstd"]);
        assert!(matches!(contradiction, Err(UsageError::RequireChunked)));
    }
}
