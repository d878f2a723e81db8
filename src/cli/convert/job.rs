//! What the arguments of `convert` mean together.

use std::{
    os::unix::ffi::OsStrExt as _,
    path::{Path, PathBuf},
    thread,
};

use super::ConvertArgs;
use crate::{
    cli::{
        memory,
        usage::UsageError,
        value::{
            CompressionFormat, ManifestType, NamedPlatform, ReuseFrom, ReuseRecipe, ReuseTrust,
        },
    },
    convert::{
        ConvertJob, ReuseOptions, derived_tag,
        format::{Format, IndexMode, Wanted},
        memory::threads_within,
    },
    image::{ImageReference, Platform, media_type::Family},
    layer::{Cuts, Recipe, gzip},
    report::human::size,
    store::AccessOptions,
    tekton,
};

/// Level of the format that `--compression-level` is not about.
const OTHER_LEVEL: u8 = 6;

impl TryFrom<ConvertArgs> for ConvertJob {
    type Error = UsageError;

    fn try_from(args: ConvertArgs) -> Result<Self, UsageError> {
        let results = args.results_dir.is_some().then_some("--results-dir");
        let results = results.or(args.artifacts_path.is_some().then_some("--artifacts-path"));
        if args.in_place && args.destination.is_none() {
            return Err(UsageError::InPlaceAlone(args.source.to_string()));
        }
        check_outputs(&args)?;
        check_source(&args.source, args.resolve_tag, results)?;
        let platforms: Vec<_> = args.platform.into_iter().flatten().collect();
        let wanted = wanted(args.compression_format, args.add, args.all_platforms, &platforms)?;
        if args.require_chunked && !wanted.makes(Format::ZstdChunked) {
            return Err(UsageError::RequireChunked);
        }
        let family = family(args.manifest_type, &wanted)?;
        let (level, gzip_level) = levels(args.compression_level, &wanted)?;
        let jobs = jobs(args.jobs, args.memory, level, &wanted)?;
        let texts: Vec<_> = platforms.iter().map(|named| named.text.as_str()).collect();
        let tag = |place: &_| derived_tag(&args.source, place, &texts, &suffix(&wanted));
        let destination = destination(args.destination, &args.source, tag)?;
        let mut access: AccessOptions = args.access.try_into()?;
        access.patience.commit = args.commit_timeout;
        let (source_access, access) = args.sides.apart(&access, &args.source, &destination)?;
        Ok(Self {
            source: args.source,
            destination,
            wanted,
            family,
            zstd: Recipe {
                chunked: true,
                level,
                cuts: Cuts::default(),
                // Known only layer by layer.
                lowest: false,
            },
            gzip_level,
            limits: args.limits.into(),
            require_chunked: args.require_chunked,
            jobs,
            expires_after: args.expires_after,
            sbom: args.sbom,
            probe: args.probe,
            in_place: args.in_place,
            reuse: reuse(args.reuse_from, args.reuse_trust, args.reuse_recipe)?,
            source_access,
            access,
            results_dir: args.results_dir.map(super::results_folder),
            artifacts_path: args.artifacts_path,
            results_limit: args.results_limit,
        })
    }
}

/// Each file that is written besides the image has a path of its own.
fn check_outputs(args: &ConvertArgs) -> Result<(), UsageError> {
    let options =
        [("--results-dir", &args.results_dir), ("--artifacts-path", &args.artifacts_path)];
    for (option, path) in options {
        if let Some(path) = path.as_ref().filter(|path| path.to_string_lossy().contains("$(")) {
            return Err(UsageError::Unsubstituted { option, path: path.display().to_string() });
        }
    }
    let results = args.results_dir.clone().map(super::results_folder);
    let results = results.iter().flat_map(|dir| tekton::NAMES.map(|name| dir.join(name)));
    let results: Vec<_> = results.map(|path| resolved(&path)).collect();
    let image = args.destination.as_ref().and_then(ImageReference::path).map(resolved);
    let is_taken = |path: &Path| image.as_ref().is_some_and(|image| path.starts_with(image));
    if results.iter().any(|path| image.as_ref() == Some(path)) {
        return Err(UsageError::SameFile { option: "--results-dir" });
    }
    if let Some(artifacts) = &args.artifacts_path {
        let is_directory = artifacts.as_os_str().as_bytes().ends_with(b"/");
        let artifacts = resolved(artifacts);
        if is_directory || results.contains(&artifacts) || is_taken(&artifacts) {
            return Err(UsageError::SameFile { option: "--artifacts-path" });
        }
    }
    Ok(())
}

/// The same path for the same file, also if that does not exist.
fn resolved(path: &Path) -> PathBuf {
    let dir = tekton::dir_of(path);
    let dir = dir.canonicalize().unwrap_or_else(|_| dir.to_owned());
    path.canonicalize().ok().or_else(|| Some(dir.join(path.file_name()?))).unwrap_or(dir)
}

/// A source in a registry has a digest, or a tag that may be resolved.
fn check_source(
    source: &ImageReference,
    resolve_tag: bool,
    results: Option<&'static str>,
) -> Result<(), UsageError> {
    if let Some(option) = results.filter(|_| resolve_tag) {
        return Err(UsageError::ResolveForResults { option });
    }
    if source.registry().is_none() || source.digest().is_some() {
        return Ok(());
    }
    match source.tag() {
        None => Err(UsageError::NoImage(source.to_string())),
        Some(_) if !resolve_tag => Err(UsageError::NoDigest(source.to_string())),
        Some(_) => Ok(()),
    }
}

/// The number of threads: as many as asked for, and as memory suffices for.
fn jobs(
    asked: Option<usize>,
    memory: Option<u64>,
    level: i32,
    wanted: &Wanted,
) -> Result<usize, UsageError> {
    let cores = || thread::available_parallelism().map_or(1, usize::from);
    let jobs = asked.unwrap_or_else(cores);
    let Some(limit) = memory.or_else(memory::limit) else { return Ok(jobs) };
    let fit = match threads_within(limit, jobs, level, wanted) {
        Ok(fit) => fit,
        // What one thread needs is an upper bound, which the user need not know of.
        Err(_) if memory.is_none() => 1,
        Err(needed) => return Err(UsageError::Memory { limit, needed }),
    };
    if fit < jobs {
        let limit = size(limit);
        tracing::info!("using {fit} of {jobs} threads, to stay within {limit} of memory");
    }
    Ok(fit)
}

fn wanted(
    format: CompressionFormat,
    add: bool,
    all_platforms: bool,
    named: &[NamedPlatform],
) -> Result<Wanted, UsageError> {
    if add && all_platforms {
        return Err(UsageError::AddOrAll);
    }
    let mut platforms: Vec<Platform> = named.iter().map(|named| named.platform.clone()).collect();
    let mode = if add { IndexMode::Add } else { IndexMode::AllPlatforms };
    let format = match format {
        CompressionFormat::ZstdChunked => Format::ZstdChunked,
        CompressionFormat::Zstd => Format::Zstd,
        CompressionFormat::Gzip => Format::Gzip,
        CompressionFormat::Dual => {
            let mode = if add { mode } else { IndexMode::Dual };
            let formats = vec![Format::Gzip, Format::ZstdChunked];
            return Ok(Wanted::Index { mode, formats, platforms });
        }
    };
    if add || all_platforms {
        return Ok(Wanted::Index { mode, formats: vec![format], platforms });
    }
    if platforms.len() > 1 {
        let texts: Vec<_> = named.iter().map(|named| named.text.as_str()).collect();
        return Err(UsageError::Platforms(texts.join(",")));
    }
    Ok(Wanted::Image { format, platform: platforms.pop() })
}

fn reuse(
    given: Vec<Vec<ReuseFrom>>,
    trust: ReuseTrust,
    recipe: ReuseRecipe,
) -> Result<ReuseOptions, UsageError> {
    let given: Vec<_> = given.into_iter().flatten().collect();
    let mut options = ReuseOptions {
        off: given.contains(&ReuseFrom::Nothing),
        base: given.contains(&ReuseFrom::Base),
        images: Vec::new(),
        trust_digests: trust == ReuseTrust::Digest,
        same_recipe: recipe == ReuseRecipe::Same,
    };
    if options.off && given.len() > 1 {
        return Err(UsageError::ReuseNone);
    }
    for from in given {
        if let ReuseFrom::Image(image) = from {
            options.images.push(image);
        }
    }
    Ok(options)
}

fn family(manifest_type: ManifestType, wanted: &Wanted) -> Result<Family, UsageError> {
    match (manifest_type, wanted) {
        (ManifestType::Oci, _) => Ok(Family::Oci),
        (_, Wanted::Image { format, .. }) if !format.is_zstd() => Ok(Family::Docker),
        (_, Wanted::Index { formats, .. }) if !formats.iter().any(|format| format.is_zstd()) => {
            Err(UsageError::DockerIndex)
        }
        _ => Err(UsageError::DockerZstd),
    }
}

/// The levels for zstd and for gzip. The given one is for the format that is asked for, with `dual`
/// for zstd.
fn levels(level: i32, wanted: &Wanted) -> Result<(i32, u32), UsageError> {
    if wanted.makes(Format::ZstdChunked) || wanted.makes(Format::Zstd) {
        return Ok((level, OTHER_LEVEL.into()));
    }
    let gzip = u32::try_from(level).ok().filter(|&level| level <= gzip::LEVEL_MAX);
    let max = i32::try_from(gzip::LEVEL_MAX).unwrap_or(i32::MAX);
    Ok((OTHER_LEVEL.into(), gzip.ok_or(UsageError::Level { level, format: "gzip", max })?))
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

/// The destination, with a tag. If only a repository, a directory or a file is given, the tag is
/// derived.
fn destination(
    given: Option<ImageReference>,
    source: &ImageReference,
    tag: impl FnOnce(&ImageReference) -> String,
) -> Result<ImageReference, UsageError> {
    let place = match given {
        Some(given) if given.tag().is_some() => return Ok(given),
        Some(given) if source.tag().is_none() && source.digest().is_none() => {
            let (image, destination) = (source.to_string(), given.to_string());
            return Err(UsageError::NoTag { image, destination });
        }
        Some(given) => given,
        None if source.is_archive() => {
            return Err(UsageError::NoDestination(source.to_string()));
        }
        None => source.clone(),
    };
    place
        .with_tag(&tag(&place))
        .map_err(|error| UsageError::DerivedTag { destination: place.to_string(), error })
}

#[cfg(test)]
mod tests;
