//! `recompress-image convert`.
#![allow(clippy::doc_markdown, reason = "the comments on arguments are their help texts")]

use std::{
    ffi::{OsStr, OsString},
    io::Write as _,
    os::unix::ffi::OsStrExt as _,
    path::PathBuf,
};

use clap::ValueEnum;

use super::access::AccessArgs;
use crate::{
    convert::{self, ConvertJob},
    error::Failure,
    options,
    report::{Reporter, Summary},
    tekton,
};

/// Arguments of `convert`. Each can come from the environment, so that a Task passes them without
/// a shell; there, an empty value counts as none.
#[derive(Debug, clap::Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is an option of its own")]
pub struct ConvertArgs {
    /// The image: REPOSITORY[:TAG]@DIGEST in a registry, or oci:DIR[:NAME] in an OCI image layout
    #[arg(env = "RECOMPRESS_SOURCE")]
    pub source: String,
    /// Where to put the result: REPOSITORY:TAG or oci:DIR[:NAME]. Without it, next to the source
    /// under its tag with the format as a suffix: app:1.2 becomes app:1.2-zstd-chunked
    #[arg(env = "RECOMPRESS_DESTINATION")]
    pub destination: Option<String>,
    /// How to compress the layers: zstd:chunked (or zstd-chunked), zstd or gzip; or dual, an index
    /// with the gzip images first and the zstd:chunked ones behind them
    #[arg(long, env = "RECOMPRESS_COMPRESSION_FORMAT", value_name = "FORMAT")]
    #[arg(default_value = "zstd:chunked")]
    pub compression_format: String,
    /// zstd level, 1 (fast) to 22 (small); with gzip its own, 1 to 9
    #[arg(long, env = "RECOMPRESS_COMPRESSION_LEVEL", value_name = "LEVEL")]
    pub compression_level: Option<String>,
    /// Fail rather than leave a layer as plain zstd that cannot be pulled partially
    #[arg(long, env = "RECOMPRESS_REQUIRE_CHUNKED")]
    #[arg(num_args = 0..=1, require_equals = true, default_value = "false")]
    #[arg(default_missing_value = "true", action = clap::ArgAction::Set)]
    pub require_chunked: bool,
    /// Which image of an index: OS[(VERSION)]/ARCH[/VARIANT]; several, given again or separated by
    /// commas, if the result is an index too
    #[arg(long, env = "RECOMPRESS_PLATFORM", value_delimiter = ',')]
    pub platform: Vec<String>,
    /// Convert each image of an index, and write an index of the results
    #[arg(long, env = "RECOMPRESS_ALL_PLATFORMS", value_name = "BOOL")]
    #[arg(num_args = 0..=1, require_equals = true, default_value = "false")]
    #[arg(default_missing_value = "true", action = clap::ArgAction::Set)]
    pub all_platforms: bool,
    /// Keep all entries of an index, and add the images of this format that it does not have yet
    #[arg(long, env = "RECOMPRESS_ADD", value_name = "BOOL")]
    #[arg(num_args = 0..=1, require_equals = true, default_value = "false")]
    #[arg(default_missing_value = "true", action = clap::ArgAction::Set)]
    pub add: bool,
    /// How to handle an SBOM (SPDX or CycloneDX) attached to the source: none, or copy, to attach it
    /// to the new image with the digests in it changed. Of several different ones, name one by its
    /// digest
    #[arg(long, env = "RECOMPRESS_SBOM", value_name = "WHAT")]
    pub sbom: Option<String>,
    /// Media types of the new manifests: oci, or docker for gzip layers
    #[arg(long, env = "RECOMPRESS_MANIFEST_TYPE", value_name = "TYPE")]
    pub manifest_type: Option<String>,
    /// Have Quay remove the new tag after a while, as in 12h, 5d or 3w
    #[arg(long, env = "RECOMPRESS_EXPIRES_AFTER", value_name = "PERIOD")]
    pub expires_after: Option<String>,
    /// How registries are accessed.
    #[command(flatten)]
    pub access: AccessArgs,
    /// Folder for the results, a file each; the path of IMAGE_URL in it will do, as Tekton has it
    /// in $(step.results.IMAGE_URL.path)
    #[arg(long, env = "RECOMPRESS_RESULTS_DIR", value_name = "DIR")]
    pub results_dir: Option<PathBuf>,
    /// How many bytes Tekton takes of all results, 4096 unless it reads them from sidecar logs
    #[arg(long, env = "RECOMPRESS_RESULTS_LIMIT", value_name = "BYTES")]
    pub results_limit: Option<String>,
    /// What to print on standard output: the new reference, or all there is to know
    #[arg(long, env = "RECOMPRESS_OUTPUT", value_enum, default_value = "text")]
    pub output: Output,
    /// Ask the destination's registry afterwards whether it serves partial pulls
    #[arg(long, env = "RECOMPRESS_PROBE", value_name = "BOOL")]
    #[arg(num_args = 0..=1, require_equals = true, default_value = "true")]
    #[arg(default_missing_value = "true", action = clap::ArgAction::Set)]
    pub probe: bool,
    /// The longest that a layer may be when decompressed, as in 300GiB; without it 256GiB
    #[arg(long, env = "RECOMPRESS_MAX_LAYER_SIZE", value_name = "SIZE")]
    pub max_layer_size: Option<String>,
    /// How many times longer a layer of more than 1 GiB may be when decompressed; without it 1000
    #[arg(long, env = "RECOMPRESS_MAX_COMPRESSION_RATIO", value_name = "N")]
    pub max_compression_ratio: Option<String>,
    /// Number of threads that compress; without it, as many as there are cores to use
    #[arg(long, env = "RECOMPRESS_JOBS", value_name = "N")]
    pub jobs: Option<String>,
}

/// Removes the results of an earlier run, going by the bare arguments: even if these make no sense,
/// nothing may stay that a pipeline would take for results of this run.
pub fn clear_results(arguments: impl IntoIterator<Item = OsString>) {
    let arguments: Vec<OsString> = arguments.into_iter().skip(1).collect();
    if !arguments.iter().any(|argument| argument == "convert") {
        return;
    }
    let mut dirs: Vec<PathBuf> =
        std::env::var_os("RECOMPRESS_RESULTS_DIR").map(Into::into).into_iter().collect();
    for (number, argument) in arguments.iter().enumerate() {
        if argument == "--results-dir" {
            dirs.extend(arguments.get(number + 1).map(PathBuf::from));
        } else if let Some(dir) = argument.as_bytes().strip_prefix(b"--results-dir=") {
            dirs.push(OsStr::from_bytes(dir).into());
        }
    }
    for dir in dirs.into_iter().filter(|dir| !dir.as_os_str().is_empty()) {
        // What cannot be removed is found again, and told, when the run begins.
        let _ = tekton::clear(&options::results_folder(dir));
    }
}

/// What goes to standard output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// The new image's reference, on a line.
    Text,
    /// The summary, as one JSON document.
    Json,
}

/// Runs the job.
pub async fn run(args: ConvertArgs) -> Result<(), Failure> {
    let output = args.output;
    let job = ConvertJob::try_from(args)?;
    let summary = convert::run(&job, &Reporter::for_stderr()).await?;
    print(output, &summary).map_err(Failure::Stdout)
}

fn print(output: Output, summary: &Summary) -> std::io::Result<()> {
    let mut stdout = std::io::stdout().lock();
    match output {
        Output::Text => writeln!(stdout, "{}", summary.image.reference)?,
        Output::Json => {
            serde_json::to_writer_pretty(&mut stdout, summary)?;
            writeln!(stdout)?;
        }
    }
    stdout.flush()
}
