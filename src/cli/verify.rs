//! `recompress-image verify`.
#![allow(clippy::doc_markdown, reason = "the comments on arguments are their help texts")]

use super::{
    access::AccessArgs,
    exit::CommandError,
    failure::{Failure, Words},
    limits::LimitsArgs,
    output::{OutputFormat, print_with},
    value,
};
use crate::{
    image::{ImageReference, Platform},
    verify::{self, VerifyJob},
};

#[derive(Debug, clap::Args)]
#[command(before_help = "\
Examples:
  recompress-image verify quay.io/org/app:1.2-zstd-chunked
  recompress-image verify oci:app:1.2-zstd-chunked --against oci:app:1.2
")]
pub struct VerifyArgs {
    /// Image to verify: REPOSITORY:TAG, REPOSITORY@DIGEST, oci:DIR[:NAME] or an archive
    ///
    /// An archive is oci-archive:FILE[:NAME] or docker-archive:FILE[:NAME].
    #[arg(value_parser = value::image)]
    image: ImageReference,
    /// Also prove that IMAGE and SOURCE have the same root filesystem
    ///
    /// The layers of SOURCE are decoded too, and diffIDs and configs are compared.
    #[arg(long, value_name = "SOURCE", value_parser = value::image)]
    against: Option<ImageReference>,
    /// Image of an index to verify: OS[(VERSION)]/ARCH[/VARIANT]
    ///
    /// Without it, all images of the index are verified.
    #[arg(long, env = "RECOMPRESS_PLATFORM")]
    platform: Option<Platform>,
    /// How to print what was found
    #[arg(long, env = "RECOMPRESS_OUTPUT", value_enum, default_value = "text")]
    output: OutputFormat,
    #[command(flatten)]
    limits: LimitsArgs,
    #[command(flatten)]
    access: AccessArgs,
}

pub(super) async fn run(args: VerifyArgs) -> Result<(), CommandError> {
    let job = VerifyJob {
        image: args.image,
        against: args.against,
        platform: args.platform,
        limits: args.limits.into(),
        access: args.access.try_into()?,
    };
    let report = verify::run(&job).await?;
    let result = match report.errors {
        0 => Ok(()),
        errors => Err(CommandError::Findings { reference: report.reference.clone(), errors }),
    };
    let failure = result.as_ref().err().map(|error: &CommandError| {
        Failure::new(error.exit_code(), Words::new(&error.to_string()))
    });
    print_with("verify", args.output, &report, &report, failure.as_ref())
        .map_err(CommandError::Print)?;
    result
}
