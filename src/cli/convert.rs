//! `recompress-image convert`.
#![allow(clippy::doc_markdown, reason = "the comments on arguments are their help texts")]

mod job;

use std::{
    ffi::{OsStr, OsString},
    os::unix::ffi::OsStrExt as _,
    path::PathBuf,
    time::Duration,
};

use clap::ArgAction;

use super::{
    access::{AccessArgs, SidesArgs},
    exit::CommandError,
    given,
    limits::LimitsArgs,
    output::{OutputFormat, print},
    value::{
        self, CompressionFormat, ManifestType, NamedPlatform, ReuseFrom, ReuseRecipe, ReuseTrust,
    },
};
use crate::{
    chunked::effort::LEVEL_MAX,
    convert::{self, ConvertJob, SbomPolicy},
    image::ImageReference,
    report::{Event, Reporter},
    resolve::{Resolved, resolve},
    tekton,
};

#[derive(Debug, clap::Args)]
#[command(before_help = "\
Examples:
  # Push to the same repository, as app:1.2-zstd-chunked
  recompress-image convert --resolve-tag quay.io/org/app:1.2
  # Push to another registry, and see first what would be done
  recompress-image convert --dry-run quay.io/org/app:1.2@sha256:DIGEST registry.example/app:1.2
  # Keep gzip for other clients behind the same tag
  recompress-image convert --compression-format dual oci:app:1.2 oci:app:1.2-dual
")]
#[expect(clippy::struct_excessive_bools, reason = "each is an option of its own")]
pub struct ConvertArgs {
    /// Image to convert: REPOSITORY[:TAG]@DIGEST, oci:DIR[:NAME] or an archive
    ///
    /// An image in a registry is named by its digest, because a tag may move before the image is
    /// converted: see --resolve-tag. oci:DIR is an OCI image layout. An archive is
    /// oci-archive:FILE[:NAME], an OCI image layout in a tar, or docker-archive:FILE[:NAME], as docker
    /// save and podman save write it.
    #[arg(env = "RECOMPRESS_SOURCE", value_parser = value::image)]
    source: ImageReference,
    /// Where to put the result: REPOSITORY[:TAG], oci:DIR[:NAME] or oci-archive:FILE[:NAME]
    ///
    /// Without it, the repository or layout of SOURCE; if SOURCE is an archive, it is required. Without
    /// a tag, the tag is that of SOURCE with the format as a suffix: app:1.2 becomes
    /// app:1.2-zstd-chunked. The file of an archive must not exist.
    #[arg(env = "RECOMPRESS_DESTINATION", value_parser = value::destination)]
    destination: Option<ImageReference>,
    /// Accept a tag as SOURCE, and convert what it names now
    ///
    /// The tag is resolved once, and only its digest is used from then on. Cannot be used with
    /// --results-dir and --artifacts-path: what is signed must be what was built and tested, and a tag
    /// may have moved since then.
    #[arg(long, env = "RECOMPRESS_RESOLVE_TAG", value_name = "BOOL", default_value = "false")]
    #[arg(num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    #[arg(action = ArgAction::Set, value_parser = value::boolean)]
    resolve_tag: bool,
    /// Allow a tag of SOURCE to be moved to the result
    ///
    /// Without it, a tag that names the source, or an index that lists it, is not moved, because
    /// clients that cannot use the result would have no other. --add and the format dual do not need it
    /// if the result has an image for each of these clients.
    #[arg(long, env = "RECOMPRESS_IN_PLACE", value_name = "BOOL", default_value = "false")]
    #[arg(num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    #[arg(action = ArgAction::Set, value_parser = value::boolean, help_heading = "Result")]
    in_place: bool,
    /// How to compress the layers
    #[arg(long, env = "RECOMPRESS_COMPRESSION_FORMAT", value_name = "FORMAT")]
    #[arg(default_value = "zstd:chunked")]
    #[arg(help_heading = "Compression")]
    compression_format: CompressionFormat,
    /// Compression level: 1 (fastest) to 22 (smallest), for gzip 1 to 9
    ///
    /// With the format dual, it is the level of the zstd:chunked images.
    #[arg(long, env = "RECOMPRESS_COMPRESSION_LEVEL", value_name = "LEVEL", default_value = "6")]
    #[arg(value_parser = value::within(1..=LEVEL_MAX))]
    #[arg(help_heading = "Compression")]
    compression_level: i32,
    /// Fail if a layer cannot be pulled partially
    ///
    /// Without it, such a layer becomes plain zstd, and the report says why.
    #[arg(long, env = "RECOMPRESS_REQUIRE_CHUNKED", value_name = "BOOL", default_value = "false")]
    #[arg(num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    #[arg(action = ArgAction::Set, value_parser = value::boolean)]
    #[arg(help_heading = "Compression")]
    require_chunked: bool,
    /// Image of an index to convert: OS[(VERSION)]/ARCH[/VARIANT]
    ///
    /// Accepts a comma-separated list and can be repeated. More than one platform requires
    /// --all-platforms, --add or the format dual.
    #[arg(long, env = "RECOMPRESS_PLATFORM", value_name = "PLATFORM")]
    #[arg(value_parser = value::platforms)]
    #[arg(help_heading = "Images of an index")]
    platform: Vec<Vec<NamedPlatform>>,
    /// Convert every image of an index, and write an index of the results
    #[arg(long, env = "RECOMPRESS_ALL_PLATFORMS", value_name = "BOOL", default_value = "false")]
    #[arg(num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    #[arg(action = ArgAction::Set, value_parser = value::boolean)]
    #[arg(help_heading = "Images of an index")]
    all_platforms: bool,
    /// Keep all entries of an index, and add the converted images that it lacks
    #[arg(long, env = "RECOMPRESS_ADD", value_name = "BOOL", default_value = "false")]
    #[arg(num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    #[arg(action = ArgAction::Set, value_parser = value::boolean)]
    #[arg(help_heading = "Images of an index")]
    add: bool,
    /// Images whose zstd layers to reuse, base or none
    ///
    /// Each is REPOSITORY:TAG, REPOSITORY@DIGEST, oci:DIR[:NAME] or an archive. A layer with the same content is taken over instead of being downloaded and converted again.
    /// Accepts a comma-separated list and can be repeated. base is the image that the annotations
    /// org.opencontainers.image.base.name and .base.digest of SOURCE name. Layers that the
    /// destination's tag has already are reused without it; none turns that off.
    #[arg(long, env = "RECOMPRESS_REUSE_FROM", value_name = "IMAGE|base|none")]
    #[arg(value_parser = value::reuse_from)]
    #[arg(help_heading = "Reuse of layers")]
    reuse_from: Vec<Vec<ReuseFrom>>,
    /// What to check before a layer is reused
    #[arg(long, env = "RECOMPRESS_REUSE_TRUST", value_name = "TRUST", default_value = "verify")]
    #[arg(help_heading = "Reuse of layers")]
    reuse_trust: ReuseTrust,
    /// Which layers to reuse
    #[arg(long, env = "RECOMPRESS_REUSE_RECIPE", value_name = "RECIPE", default_value = "any")]
    #[arg(help_heading = "Reuse of layers")]
    reuse_recipe: ReuseRecipe,
    /// How to handle an SBOM attached to the source: none, copy, or the digest of one to copy
    ///
    /// An SPDX or CycloneDX document is updated to the new digest and attached to the new image.
    /// copy requires that all SBOMs of the source are the same document; if they differ, give the
    /// digest of one.
    #[arg(long, env = "RECOMPRESS_SBOM", value_name = "none|copy|DIGEST", default_value = "none")]
    #[arg(value_parser = value::sbom)]
    #[arg(help_heading = "Result")]
    sbom: SbomPolicy,
    /// Media types of the new manifests
    #[arg(long, env = "RECOMPRESS_MANIFEST_TYPE", value_name = "TYPE", default_value = "oci")]
    #[arg(help_heading = "Compression")]
    manifest_type: ManifestType,
    /// Have Quay delete the new tag after this time, as in 12h, 5d or 3w
    #[arg(long, env = "RECOMPRESS_EXPIRES_AFTER", value_name = "PERIOD")]
    #[arg(value_parser = value::period)]
    #[arg(help_heading = "Result")]
    expires_after: Option<String>,
    /// Directory for the Tekton results, one file each
    ///
    /// The path of its IMAGE_URL file also works, as in $(step.results.IMAGE_URL.path).
    #[arg(long, env = "RECOMPRESS_RESULTS_DIR", value_name = "DIR")]
    #[arg(help_heading = "Result")]
    results_dir: Option<PathBuf>,
    /// File for the Tekton artifacts, a JSON document
    ///
    /// Pass $(step.artifacts.path), which Tekton has only if its feature flag enable-artifacts is set. A
    /// file with other content stays, and is an error.
    #[arg(long, env = "RECOMPRESS_ARTIFACTS_PATH", value_name = "FILE")]
    #[arg(help_heading = "Result")]
    artifacts_path: Option<PathBuf>,
    /// Maximum size of all Tekton results and artifacts in bytes
    ///
    /// The default is Tekton's own limit; raise it if Tekton reads results from sidecar logs.
    #[arg(long, env = "RECOMPRESS_RESULTS_LIMIT", value_name = "BYTES", default_value = "4096")]
    #[arg(value_parser = value::within(1000..=1_500_000_usize))]
    #[arg(help_heading = "Result")]
    results_limit: usize,
    /// Report what would be done, and write nothing
    ///
    /// Nothing is pushed, no results are written or removed, and layers are read only to check images
    /// that stay in an index. Whether the destination accepts a push, whether there is room for the
    /// results, and whether each layer can be pulled partially, is not known then; anything else that
    /// would make a run fail is reported.
    #[arg(long, env = "RECOMPRESS_DRY_RUN", value_name = "BOOL", default_value = "false")]
    #[arg(num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    #[arg(action = ArgAction::Set, value_parser = value::boolean)]
    #[arg(help_heading = "Result")]
    dry_run: bool,
    /// What to print to standard output: the new reference, or a report
    #[arg(long, env = "RECOMPRESS_OUTPUT", value_enum, default_value = "text")]
    #[arg(help_heading = "Result")]
    output: OutputFormat,
    /// Test afterwards whether the destination serves partial pulls
    #[arg(long, env = "RECOMPRESS_PROBE", value_name = "BOOL", default_value = "true")]
    #[arg(num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    #[arg(action = ArgAction::Set, value_parser = value::boolean)]
    #[arg(help_heading = "Result")]
    probe: bool,
    #[command(flatten)]
    limits: LimitsArgs,
    /// Maximum number of compression threads [default: one per available core]
    #[arg(long, env = "RECOMPRESS_JOBS", value_name = "N")]
    #[arg(value_parser = value::within(1..=1024_usize))]
    #[arg(help_heading = "Compression")]
    jobs: Option<usize>,
    /// Use fewer threads to stay within this much memory [default: the cgroup's limit]
    ///
    /// High compression levels need up to 76 MiB for each thread. It is an error if not even one
    /// thread fits. Layers with hundreds of thousands of files need more.
    #[arg(long, env = "RECOMPRESS_MEMORY", value_name = "SIZE", value_parser = value::size)]
    memory: Option<u64>,
    /// How long a registry may take to store what was uploaded completely, as in 90s or 1h
    ///
    /// Large layers get more: a second for each 10 MiB.
    #[arg(long, env = "RECOMPRESS_COMMIT_TIMEOUT", value_name = "TIME", default_value = "15m")]
    #[arg(value_parser = value::time, help_heading = "Registry access")]
    commit_timeout: Duration,
    #[command(flatten)]
    access: AccessArgs,
    #[command(flatten)]
    sides: SidesArgs,
}

/// Removes the results of an earlier run, going by the bare arguments: even if these make no sense,
/// nothing may stay that a pipeline would take for results of this run. Whoever asks for help begins
/// no run.
pub fn clear_results(arguments: impl IntoIterator<Item = OsString>) {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    let dirs = paths(&arguments, "--results-dir", "RECOMPRESS_RESULTS_DIR");
    let files = paths(&arguments, "--artifacts-path", "RECOMPRESS_ARTIFACTS_PATH");
    if dirs.is_empty() && files.is_empty() {
        return;
    }
    let asks_for_help = || super::parse(arguments.clone()).is_err_and(|error| !error.use_stderr());
    let is_convert = given::subcommand(&arguments).is_some_and(|name| name == "convert");
    if !is_convert || is_dry_run(&arguments) || asks_for_help() {
        return;
    }
    // What cannot be removed is found again, and reported, when the run begins.
    for dir in dirs {
        let _ = tekton::clear(&results_folder(dir));
    }
    for file in files {
        let _ = tekton::clear_artifacts(&file);
    }
}

/// All paths that are given by an option or its variable.
fn paths(arguments: &[OsString], option: &str, variable: &str) -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> = std::env::var_os(variable).map(Into::into).into_iter().collect();
    for (number, argument) in arguments.iter().enumerate() {
        if argument == option {
            paths.extend(arguments.get(number + 1).map(PathBuf::from));
        } else if let Some(rest) = argument.as_bytes().strip_prefix(option.as_bytes())
            && let Some(path) = rest.strip_prefix(b"=")
        {
            paths.push(OsStr::from_bytes(path).into());
        }
    }
    paths.retain(|path| !path.as_os_str().is_empty());
    paths
}

/// A dry run has no results, and leaves those of others.
fn is_dry_run(arguments: &[OsString]) -> bool {
    let is_true =
        |text: &OsStr| text.to_str().is_some_and(|text| matches!(value::boolean(text), Ok(true)));
    let given = arguments.iter().rev().find_map(|argument| {
        match argument.as_bytes().strip_prefix(b"--dry-run")? {
            [] => Some(true),
            rest => rest.strip_prefix(b"=").map(|text| is_true(OsStr::from_bytes(text))),
        }
    });
    given.unwrap_or_else(|| {
        std::env::var_os("RECOMPRESS_DRY_RUN").is_some_and(|text| is_true(&text))
    })
}

/// A step of Tekton is told the path of each result, and not their directory, which has the name of
/// the step in it.
fn results_folder(path: PathBuf) -> PathBuf {
    match path.parent() {
        Some(folder) if path.ends_with("IMAGE_URL") => folder.join("."),
        _ => path,
    }
}

pub(super) async fn run(args: ConvertArgs) -> Result<(), CommandError> {
    let (output, dry_run) = (args.output, args.dry_run);
    let authfiles = args.sides.authfiles();
    let mut job = ConvertJob::try_from(args)?;
    let sides = [(&job.source, &job.source_access), (&job.destination, &job.access)];
    for ((option, given), (image, access)) in authfiles.into_iter().zip(sides) {
        let file = access.authfile.as_ref().filter(|file| given && !file.exists());
        if let Some(file) = file.filter(|_| image.registry().is_some()) {
            return Err(CommandError::NoAuthfile { option, file: file.display().to_string() });
        }
    }
    let reporter = Reporter::for_stderr();
    if job.source.registry().is_some() && job.source.digest().is_none() {
        let found = resolve(&job.source, None, &job.source_access).await;
        let Resolved { reference, digest, .. } = found.map_err(CommandError::Resolve)?;
        reporter.event(&Event::Resolved { tag: &job.source, digest: &digest });
        job.source = reference;
    } else if let Some(digest) =
        convert::origin(&job.source, &job.source_access).await.map_err(CommandError::Resolve)?
    {
        reporter.event(&Event::Resolved { tag: &job.source, digest: &digest });
        job.source = job.source.with_digest(&digest);
    }
    if dry_run {
        let plan = Box::pin(convert::dry_run(&job, &reporter)).await?;
        return print("convert", output, &plan, &plan).map_err(CommandError::Print);
    }
    let summary = convert::run(&job, &reporter).await?;
    let line = format!("{}\n", summary.image.reference);
    print("convert", output, &line, &summary).map_err(|source| CommandError::Stdout {
        reference: summary.image.reference.clone(),
        source,
    })
}
