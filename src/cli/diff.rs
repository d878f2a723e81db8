//! `recompress-image diff`.
#![allow(clippy::doc_markdown, reason = "the comments on arguments are their help texts")]

use super::{
    access::AccessArgs,
    exit::CommandError,
    output::{PageFormat, print_page},
    value,
};
use crate::{
    diff::{self, DiffJob},
    image::{ImageReference, Platform},
};

#[derive(Debug, clap::Args)]
#[command(before_help = "\
Example:
  recompress-image diff quay.io/org/app:1.2 quay.io/org/app:1.3 --platform linux/amd64
")]
pub struct DiffArgs {
    /// Image that clients have: REPOSITORY:TAG, REPOSITORY@DIGEST, oci:DIR[:NAME] or an archive
    ///
    /// An archive is oci-archive:FILE[:NAME] or docker-archive:FILE[:NAME].
    #[arg(value_parser = value::image)]
    old: ImageReference,
    /// Image that they pull
    #[arg(value_parser = value::image)]
    new: ImageReference,
    /// Images of indexes to compare: OS[(VERSION)]/ARCH[/VARIANT]
    ///
    /// Without it, two indexes are compared for every platform, and files are not listed.
    #[arg(long, env = "RECOMPRESS_PLATFORM")]
    platform: Option<Platform>,
    /// How to print the comparison
    #[arg(long, env = "RECOMPRESS_OUTPUT", value_enum, default_value = "text")]
    output: PageFormat,
    #[command(flatten)]
    access: AccessArgs,
}

pub(super) async fn run(args: DiffArgs) -> Result<(), CommandError> {
    let DiffArgs { old, new, platform, output, access } = args;
    let job = DiffJob { old, new, platform, access: access.try_into()? };
    let report = diff::run(&job).await?;
    print_page("diff", output, &report, || report.page()).map_err(CommandError::Print)
}
