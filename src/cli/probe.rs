//! `recompress-image probe`.
#![allow(clippy::doc_markdown, reason = "the comments on arguments are their help texts")]

use super::{
    access::AccessArgs,
    exit::CommandError,
    output::{OutputFormat, print},
    value,
};
use crate::{
    image::ImageReference,
    probe::{self, ProbeJob, ProbeReport},
};

#[derive(Debug, clap::Args)]
#[command(before_help = "\
Example:
  recompress-image probe quay.io/org/app:1.2-zstd-chunked
")]
pub struct ProbeArgs {
    /// Image in the registry to probe: REPOSITORY:TAG or REPOSITORY@DIGEST
    ///
    /// Any image works; parts of one of its blobs are requested. For an index, the first image is
    /// used.
    #[arg(value_parser = value::image_in_repository)]
    image: ImageReference,
    /// How to print the verdict
    #[arg(long, env = "RECOMPRESS_OUTPUT", value_enum, default_value = "text")]
    output: OutputFormat,
    #[command(flatten)]
    access: AccessArgs,
}

/// The report of a registry, with the image that it was asked about.
#[derive(serde::Serialize)]
struct Named<'a> {
    reference: String,
    #[serde(flatten)]
    report: &'a ProbeReport,
}

pub(super) async fn run(args: ProbeArgs) -> Result<(), CommandError> {
    let ProbeArgs { image, output, access } = args;
    let reference = image.to_string();
    let report = probe::run(&ProbeJob { image, access: access.try_into()? }).await?;
    let named = Named { reference, report: &report };
    print("probe", output, &report, &named).map_err(CommandError::Print)
}
