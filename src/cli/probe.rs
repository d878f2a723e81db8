//! `recompress-image probe`.
#![allow(clippy::doc_markdown, reason = "the comments on arguments are their help texts")]

use super::{access::AccessArgs, convert::Output, print};
use crate::{
    error::Failure,
    probe::{self, ProbeJob},
};

/// Arguments of `probe`.
#[derive(Debug, clap::Args)]
pub struct ProbeArgs {
    /// An image of the registry, to ask for parts of one of its blobs: REPOSITORY:TAG or
    /// REPOSITORY@DIGEST
    pub image: String,
    /// How registries are accessed.
    #[command(flatten)]
    pub access: AccessArgs,
    /// What to print on standard output
    #[arg(long, env = "RECOMPRESS_OUTPUT", value_enum, default_value = "text")]
    pub output: Output,
}

/// Runs the job.
pub async fn run(args: ProbeArgs) -> Result<(), Failure> {
    let output = args.output;
    let job = ProbeJob::try_from(args)?;
    let report = probe::run(&job).await?;
    print(output, &report).map_err(Failure::Print)
}
