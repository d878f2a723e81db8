//! What the arguments mean: checked, with the defaults filled in.

use std::{ops::RangeInclusive, path::PathBuf, str::FromStr, thread};

use bytesize::ByteSize;

use crate::{
    attached::SbomChoice,
    chunked::effort::LEVEL_MAX,
    cli::{self, access::AccessArgs, convert::ConvertArgs},
    convert::{
        ConvertJob, SbomPolicy, derived_tag,
        format::{Format, IndexMode, Wanted},
    },
    image::{ImageReference, Platform, PlatformError, ReferenceError, media_type::Family},
    inspect,
    layer::{Cuts, Recipe, gzip},
    limits::Limits,
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

/// gzip level where none is given: that of most other tools.
const DEFAULT_GZIP_LEVEL: u32 = 6;

/// What Tekton takes of a step's results, in bytes (tektoncd/pipeline, `pkg/termination/write.go`).
const RESULTS_LIMIT: usize = 4096;

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
    #[error(
        "{0:?} is no compression format; write zstd:chunked (or zstd-chunked), zstd, gzip or dual"
    )]
    Format(String),
    /// No level.
    #[error("{text:?} is no compression level; {format} has 1 (fast) to {max} (small)")]
    Level {
        /// As given.
        text: String,
        /// The format that it is for.
        format: &'static str,
        /// Its highest level.
        max: i32,
    },
    /// No limit for a layer.
    #[error("{0:?} is no size of a layer; write a number with a unit, as in 300GiB")]
    LayerSize(String),
    /// No limit for a layer's compression.
    #[error("{0:?} is no ratio; write a whole number from 1 on")]
    Ratio(String),
    /// No number of threads.
    #[error("{0:?} is no number of threads; write 1 to 1024")]
    Jobs(String),
    /// No platform.
    #[error(transparent)]
    Platform(#[from] PlatformError),
    /// Two options that contradict each other.
    #[error("--require-chunked goes with the formats zstd:chunked and dual only")]
    RequireChunked,
    /// Two options that contradict each other.
    #[error("--add and --all-platforms exclude each other: --add keeps what the index has")]
    AddOrAll,
    /// More than one platform, where one image comes out.
    #[error(
        "{0:?} names several platforms, which need an index as result; add --all-platforms, --add \
         or --compression-format=dual"
    )]
    Platforms(String),
    /// No type of manifests.
    #[error("{0:?} is no type of manifests; write oci or docker")]
    ManifestType(String),
    /// A pair that no client can read.
    #[error(
        "a Docker manifest cannot hold zstd layers, and no Docker index can mark them: no client \
         would read them; leave out --manifest-type, or write --compression-format=gzip"
    )]
    DockerZstd,
    /// A Docker manifest in an OCI index.
    #[error("--manifest-type=docker goes with single images only; leave it out for an index")]
    DockerIndex,
    /// Nothing to do with an SBOM.
    #[error("invalid value {0:?} for --sbom; expected none, copy or the digest of an SBOM")]
    Sbom(String),
    /// No period.
    #[error("{0:?} is no period; write a number and a unit of s, m, h, d, w, as in 5d")]
    Period(String),
    /// No number of bytes.
    #[error("{0:?} is no number of bytes for the results; write 1000 to 1500000")]
    ResultsLimit(String),
    /// A repository, and no image in it.
    #[error(
        "{0} names no image: a registry can only be probed with the blob of an image; write \
         {0}:TAG or {0}@sha256:…"
    )]
    NoImage(String),
}

impl TryFrom<ConvertArgs> for ConvertJob {
    type Error = UsageError;

    fn try_from(args: ConvertArgs) -> Result<Self, UsageError> {
        let source = reference("source", &args.source)?;
        if let ImageReference::Registry(reference) = &source
            && reference.digest().is_none()
        {
            return Err(UsageError::NoDigest(reference.to_string()));
        }
        let wanted = wanted(&args)?;
        if args.require_chunked && !wanted.makes(Format::ZstdChunked) {
            return Err(UsageError::RequireChunked);
        }
        let family = family(given(args.manifest_type).as_deref(), &wanted)?;
        let (level, gzip_level) = levels(given(args.compression_level), &wanted)?;
        let jobs = match given(args.jobs) {
            None => thread::available_parallelism().map_or(1, usize::from),
            Some(text) => number(&text, 1..=1024).ok_or(UsageError::Jobs(text))?,
        };
        let limits = limits(args.max_layer_size, args.max_compression_ratio)?;
        let results_limit = match given(args.results_limit) {
            None => RESULTS_LIMIT,
            Some(text) => number(&text, 1000..=1_500_000).ok_or(UsageError::ResultsLimit(text))?,
        };
        let sbom = match given(args.sbom).as_deref() {
            None | Some("none") => SbomPolicy::None,
            Some("copy") => SbomPolicy::Copy(SbomChoice::Only),
            Some(other) => match other.parse() {
                Ok(digest) => SbomPolicy::Copy(SbomChoice::Named(digest)),
                Err(_) => return Err(UsageError::Sbom(other.to_owned())),
            },
        };
        let expires_after = match given(args.expires_after) {
            Some(text) if !is_period(&text) => return Err(UsageError::Period(text)),
            period => period,
        };
        let platforms = platform_texts(&args.platform);
        let tag = |place: &_| derived_tag(&source, place, &platforms, &suffix(&wanted));
        let destination = destination(given(args.destination).as_deref(), &source, tag)?;
        Ok(Self {
            source,
            destination,
            wanted,
            family,
            zstd: Recipe {
                chunked: true,
                level,
                metadata_level: METADATA_LEVEL,
                cuts: Cuts::default(),
                // Known only layer by layer.
                lowest: false,
            },
            gzip_level,
            limits,
            require_chunked: args.require_chunked,
            jobs,
            expires_after,
            sbom,
            probe: args.probe,
            access: args.access.into(),
            results_dir: given_path(args.results_dir).map(results_folder),
            results_limit,
        })
    }
}

fn wanted(args: &ConvertArgs) -> Result<Wanted, UsageError> {
    let texts = platform_texts(&args.platform);
    let platforms = texts.iter().map(|text| text.parse());
    let mut platforms = platforms.collect::<Result<Vec<Platform>, _>>()?;
    if args.add && args.all_platforms {
        return Err(UsageError::AddOrAll);
    }
    let mode = if args.add { IndexMode::Add } else { IndexMode::AllPlatforms };
    let format = match args.compression_format.as_str() {
        "" | "zstd:chunked" | "zstd-chunked" => Format::ZstdChunked,
        "zstd" => Format::Zstd,
        "gzip" => Format::Gzip,
        "dual" => {
            let mode = if args.add { mode } else { IndexMode::Dual };
            let formats = vec![Format::Gzip, Format::ZstdChunked];
            return Ok(Wanted::Index { mode, formats, platforms });
        }
        other => return Err(UsageError::Format(other.to_owned())),
    };
    if args.add || args.all_platforms {
        return Ok(Wanted::Index { mode, formats: vec![format], platforms });
    }
    if platforms.len() > 1 {
        return Err(UsageError::Platforms(texts.join(",")));
    }
    Ok(Wanted::Image { format, platform: platforms.pop() })
}

/// The platforms as they were given; an empty one counts as none.
fn platform_texts(texts: &[String]) -> Vec<&str> {
    texts.iter().map(|text| text.trim()).filter(|text| !text.is_empty()).collect()
}

fn family(text: Option<&str>, wanted: &Wanted) -> Result<Family, UsageError> {
    match text {
        None | Some("oci") => Ok(Family::Oci),
        Some("docker") => match wanted {
            Wanted::Image { format, .. } if !format.is_zstd() => Ok(Family::Docker),
            Wanted::Index { formats, .. } if !formats.iter().any(|format| format.is_zstd()) => {
                Err(UsageError::DockerIndex)
            }
            _ => Err(UsageError::DockerZstd),
        },
        Some(other) => Err(UsageError::ManifestType(other.to_owned())),
    }
}

/// The levels for zstd and for gzip. What is given is for the format that is asked for, of two for
/// zstd.
fn levels(text: Option<String>, wanted: &Wanted) -> Result<(i32, u32), UsageError> {
    let Some(text) = text else { return Ok((DEFAULT_LEVEL, DEFAULT_GZIP_LEVEL)) };
    let zstd = wanted.makes(Format::ZstdChunked) || wanted.makes(Format::Zstd);
    if zstd {
        let level = number(&text, 1..=LEVEL_MAX);
        let wrong = UsageError::Level { text, format: "zstd", max: LEVEL_MAX };
        Ok((level.ok_or(wrong)?, DEFAULT_GZIP_LEVEL))
    } else {
        let level = number(&text, 1..=gzip::LEVEL_MAX);
        let max = i32::try_from(gzip::LEVEL_MAX).unwrap_or(i32::MAX);
        Ok((DEFAULT_LEVEL, level.ok_or(UsageError::Level { text, format: "gzip", max })?))
    }
}

/// What tags of these results end in.
fn suffix(wanted: &Wanted) -> String {
    match wanted {
        Wanted::Image { format, .. } => format.in_tags().to_owned(),
        Wanted::Index { mode, formats, platforms } => match (mode, &formats[..]) {
            // The tag of one image of an index has the platform in it, too.
            (IndexMode::AllPlatforms, [format]) if !platforms.is_empty() => {
                format!("{}-index", format.in_tags())
            }
            (IndexMode::Add, [format]) => format!("with-{}", format.in_tags()),
            (_, [format]) => format.in_tags().to_owned(),
            (_, _) => "dual".to_owned(),
        },
    }
}

/// Quay reads `quay.expires-after` as a number and a unit (quay/quay, `util/timedeltastring.py`).
fn is_period(text: &str) -> bool {
    let unit = |last: char| "smhdw".contains(last);
    text.strip_suffix(unit).is_some_and(|number| {
        !number.is_empty() && number.len() <= 9 && number.bytes().all(|b| b.is_ascii_digit())
    })
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

impl TryFrom<cli::verify::VerifyArgs> for verify::VerifyJob {
    type Error = UsageError;

    fn try_from(args: cli::verify::VerifyArgs) -> Result<Self, UsageError> {
        let against = given(args.against);
        Ok(Self {
            image: reference("image", &args.image)?,
            against: against.map(|text| reference("source", &text)).transpose()?,
            platform: platform(args.platform)?,
            limits: limits(args.max_layer_size, args.max_compression_ratio)?,
            access: args.access.into(),
        })
    }
}

impl TryFrom<cli::inspect::InspectArgs> for inspect::InspectJob {
    type Error = UsageError;

    fn try_from(args: cli::inspect::InspectArgs) -> Result<Self, UsageError> {
        Ok(Self {
            image: reference("image", &args.image)?,
            platform: platform(args.platform)?,
            toc: args.toc,
            access: args.access.into(),
        })
    }
}

impl TryFrom<cli::probe::ProbeArgs> for probe::ProbeJob {
    type Error = UsageError;

    fn try_from(args: cli::probe::ProbeArgs) -> Result<Self, UsageError> {
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

fn limits(size: Option<String>, ratio: Option<String>) -> Result<Limits, UsageError> {
    let mut limits = Limits::default();
    if let Some(text) = given(size) {
        let size = text.parse().map(|size: ByteSize| size.as_u64());
        limits.size = size.ok().filter(|&size| size > 0).ok_or(UsageError::LayerSize(text))?;
    }
    if let Some(text) = given(ratio) {
        limits.ratio = number(&text, 1..=u64::MAX).ok_or(UsageError::Ratio(text))?;
    }
    Ok(limits)
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
pub(crate) fn results_folder(path: PathBuf) -> PathBuf {
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
    tag: impl FnOnce(&ImageReference) -> String,
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
    named.with_tag(&tag(&named)).map_err(|error| UsageError::Reference {
        which: "destination",
        text: named.to_string(),
        error,
    })
}

#[cfg(test)]
mod tests;
