//! `recompress-image inspect`.
#![allow(clippy::doc_markdown, reason = "the comments on arguments are their help texts")]

use super::{access::AccessArgs, convert::Output, print};
use crate::{
    error::Failure,
    inspect::{self, InspectJob},
};

/// Arguments of `inspect`.
#[derive(Debug, clap::Args)]
pub struct InspectArgs {
    /// The image: REPOSITORY:TAG or REPOSITORY@DIGEST in a registry, or oci:DIR[:NAME] in an OCI
    /// image layout
    pub image: String,
    /// List what is in the TOC of each layer, with its place in the blob
    #[arg(long)]
    pub toc: bool,
    /// Which image of an index: OS/ARCH[/VARIANT]. Without it, the images of the index are listed
    #[arg(long, env = "RECOMPRESS_PLATFORM")]
    pub platform: Option<String>,
    /// How registries are accessed.
    #[command(flatten)]
    pub access: AccessArgs,
    /// What to print on standard output
    #[arg(long, env = "RECOMPRESS_OUTPUT", value_enum, default_value = "text")]
    pub output: Output,
}

/// Runs the job.
pub async fn run(args: InspectArgs) -> Result<(), Failure> {
    let output = args.output;
    let job = InspectJob::try_from(args)?;
    let report = inspect::run(&job).await?;
    print(output, &report).map_err(Failure::Print)
}
