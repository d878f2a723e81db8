//! How large layers may be: the same options for each subcommand that decompresses them.
#![allow(clippy::doc_markdown, reason = "the comments on arguments are their help texts")]

use super::value;
use crate::limits::Limits;

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Limits")]
pub(crate) struct LimitsArgs {
    /// Maximum decompressed layer size
    #[arg(long, env = "RECOMPRESS_MAX_LAYER_SIZE", value_name = "SIZE", default_value = "256GiB")]
    #[arg(value_parser = value::size)]
    max_layer_size: u64,
    /// Maximum ratio of decompressed to compressed size, for layers over 1 GiB
    #[arg(
        long,
        env = "RECOMPRESS_MAX_COMPRESSION_RATIO",
        value_name = "N",
        default_value = "1000"
    )]
    #[arg(value_parser = value::within(1..=u64::MAX))]
    max_compression_ratio: u64,
}

impl From<LimitsArgs> for Limits {
    fn from(args: LimitsArgs) -> Self {
        Self { size: args.max_layer_size, ratio: args.max_compression_ratio }
    }
}
