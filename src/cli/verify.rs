//! `recompress-image verify`.
#![allow(clippy::doc_markdown, reason = "the comments on arguments are their help texts")]

use super::{access::AccessArgs, convert::Output, print};
use crate::{
    error::Failure,
    verify::{self, VerifyJob},
};

/// Arguments of `verify`.
#[derive(Debug, clap::Args)]
pub struct VerifyArgs {
    /// The image: REPOSITORY:TAG or REPOSITORY@DIGEST in a registry, or oci:DIR[:NAME] in an OCI
    /// image layout
    pub image: String,
    /// Another image, and the proof that both hold the same root file system: its layers are
    /// decoded too, and diffIDs and configs are compared
    #[arg(long, value_name = "SOURCE")]
    pub against: Option<String>,
    /// Which image of an index: OS/ARCH[/VARIANT]. Without it, each image of the index is verified
    #[arg(long, env = "RECOMPRESS_PLATFORM")]
    pub platform: Option<String>,
    /// Maximum decompressed layer size, as in 300GiB; without it 256GiB
    #[arg(long, env = "RECOMPRESS_MAX_LAYER_SIZE", value_name = "SIZE")]
    pub max_layer_size: Option<String>,
    /// Maximum ratio of decompressed to compressed size for a layer of more than 1 GiB; without it
    /// 1000
    #[arg(long, env = "RECOMPRESS_MAX_COMPRESSION_RATIO", value_name = "N")]
    pub max_compression_ratio: Option<String>,
    /// How registries are accessed.
    #[command(flatten)]
    pub access: AccessArgs,
    /// What to print on standard output
    #[arg(long, env = "RECOMPRESS_OUTPUT", value_enum, default_value = "text")]
    pub output: Output,
}

/// Runs the job.
pub async fn run(args: VerifyArgs) -> Result<(), Failure> {
    let output = args.output;
    let job = VerifyJob::try_from(args)?;
    let report = verify::run(&job).await?;
    print(output, &report).map_err(Failure::Print)?;
    match report.errors {
        0 => Ok(()),
        errors => Err(Failure::Findings { reference: report.reference, errors }),
    }
}
