//! `recompress-image completions` and `recompress-image man`: what packages of the program contain.
#![allow(clippy::doc_markdown, reason = "the comments on arguments are their help texts")]

use std::{fs, io::Write as _, path::PathBuf};

use clap::CommandFactory as _;
use clap_complete::Shell;

use super::{Cli, exit::CommandError};

#[derive(Debug, clap::Args)]
#[command(before_help = "\
Examples:
  recompress-image completions bash > /etc/bash_completion.d/recompress-image
  recompress-image completions zsh > \"${fpath[1]}/_recompress-image\"
  recompress-image completions fish > ~/.config/fish/completions/recompress-image.fish
")]
pub struct CompletionsArgs {
    /// Shell to complete for
    #[arg(value_enum)]
    shell: Shell,
}

#[derive(Debug, clap::Args)]
#[command(before_help = "\
Example:
  recompress-image man /usr/local/share/man/man1
")]
pub struct ManArgs {
    /// Directory to write the pages to; it is created if it does not exist
    dir: PathBuf,
}

pub(super) fn completions(args: &CompletionsArgs) -> Result<(), CommandError> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut super::command(), "recompress-image", &mut script);
    let mut stdout = std::io::stdout().lock();
    stdout.write_all(&script).and_then(|()| stdout.flush()).map_err(CommandError::Print)
}

pub(super) fn man(args: &ManArgs) -> Result<(), CommandError> {
    let dir = &args.dir;
    let failed = |error| CommandError::Man { dir: dir.display().to_string(), error };
    fs::create_dir_all(dir).map_err(failed)?;
    // Pages do not wrap lines as terminals do.
    let command = super::with_variables(Cli::command()).disable_help_subcommand(true);
    clap_mangen::generate_to(command, dir).map_err(failed)
}
