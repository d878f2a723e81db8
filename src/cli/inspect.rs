//! `recompress-image inspect`.
#![allow(clippy::doc_markdown, reason = "the comments on arguments are their help texts")]

use super::{
    access::AccessArgs,
    exit::CommandError,
    output::{PageFormat, print_page},
    value,
};
use crate::{
    image::{ImageReference, Platform},
    inspect::{self, InspectJob},
};

#[derive(Debug, clap::Args)]
#[command(before_help = "\
Examples:
  recompress-image inspect quay.io/org/app:1.2-zstd-chunked
  recompress-image inspect --platform linux/arm64 --output html oci:app:1.2 > app.html
")]
pub struct InspectArgs {
    /// Image to inspect: REPOSITORY:TAG, REPOSITORY@DIGEST, oci:DIR[:NAME] or an archive
    ///
    /// An archive is oci-archive:FILE[:NAME] or docker-archive:FILE[:NAME].
    #[arg(value_parser = value::image)]
    image: ImageReference,
    /// List the entries of each TOC, with their offsets in the blob
    #[arg(long)]
    toc: bool,
    /// Download every layer, to show the content of those without a TOC as well
    ///
    /// Without it, only the TOC and tar-split of layers in zstd:chunked are fetched.
    #[arg(long)]
    download: bool,
    /// Image of an index to inspect: OS[(VERSION)]/ARCH[/VARIANT]
    ///
    /// Without it, the images of the index are listed.
    #[arg(long, env = "RECOMPRESS_PLATFORM")]
    platform: Option<Platform>,
    /// How to print what the layers consist of
    #[arg(long, env = "RECOMPRESS_OUTPUT", value_enum, default_value = "text")]
    output: PageFormat,
    #[command(flatten)]
    access: AccessArgs,
}

pub(super) async fn run(args: InspectArgs) -> Result<(), CommandError> {
    let InspectArgs { image, toc, download, platform, output, access } = args;
    let job = InspectJob { image, platform, toc, download, access: access.try_into()? };
    let report = inspect::run(&job).await?;
    print_page("inspect", output, &report, || report.page()).map_err(CommandError::Print)
}
