//! `recompress-image digest`.
#![allow(clippy::doc_markdown, reason = "the comments on arguments are their help texts")]

use super::{
    access::AccessArgs,
    exit::CommandError,
    output::{OutputFormat, print},
    value,
};
use crate::{
    image::{ImageReference, Platform},
    resolve::resolve,
};

#[derive(Debug, clap::Args)]
#[command(before_help = "\
Examples:
  recompress-image digest quay.io/org/app:1.2
  recompress-image convert \"$(recompress-image digest quay.io/org/app:1.2)\"
")]
pub struct DigestArgs {
    /// Image to look up: REPOSITORY:TAG, REPOSITORY@DIGEST, oci:DIR[:NAME] or an OCI archive
    #[arg(value_parser = value::image_with_manifest)]
    image: ImageReference,
    /// Image of an index to look up: OS[(VERSION)]/ARCH[/VARIANT]
    ///
    /// Without it, the digest is that of the index. With it, the reference has no tag.
    #[arg(long, env = "RECOMPRESS_PLATFORM")]
    platform: Option<Platform>,
    /// What to print: the reference with its digest, or a report
    ///
    /// The reference can be used as the SOURCE of convert. The digest alone is what follows the @.
    #[arg(long, env = "RECOMPRESS_OUTPUT", value_enum, default_value = "text")]
    output: OutputFormat,
    #[command(flatten)]
    access: AccessArgs,
}

pub(super) async fn run(args: DigestArgs) -> Result<(), CommandError> {
    let DigestArgs { image, platform, output, access } = args;
    let resolved = resolve(&image, platform.as_ref(), &access.try_into()?).await;
    let resolved = resolved.map_err(CommandError::Resolve)?;
    let line = format!("{}\n", resolved.reference);
    print("digest", output, &line, &resolved).map_err(CommandError::Print)
}
