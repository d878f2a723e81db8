//! What was typed, what it means, and how a run ends.
//!
//! Values are checked one by one by the parser (`value`), and rules for several of them by the
//! subcommand ([`usage`]). A variable or an option that is empty counts as not given (`given`).
#![allow(clippy::doc_markdown, reason = "the comments on arguments are their help texts")]

mod access;
pub mod convert;
pub mod diff;
pub mod exit;
mod given;
pub mod hints;
pub mod inspect;
mod limits;
mod memory;
mod output;
pub mod probe;
#[cfg(test)]
mod reference;
pub mod usage;
mod value;
pub mod verify;

use std::ffi::OsString;

use clap::{
    CommandFactory as _, FromArgMatches as _, Parser, Subcommand,
    error::{ContextKind, ContextValue, ErrorKind},
};

use self::{
    convert::ConvertArgs,
    diff::DiffArgs,
    exit::{CommandError, EXIT_CODES},
    given::Given,
    inspect::InspectArgs,
    probe::ProbeArgs,
    verify::VerifyArgs,
};

/// What was typed. Use [`parse`] to get it: the traits of clap know no empty values.
#[derive(Debug, Parser)]
#[command(name = "recompress-image", version, max_term_width = 100)]
#[command(
    about = "Re-push a container image as zstd:chunked, so that podman, CRI-O and bootc pull \
                   only the files they do not have yet"
)]
#[command(after_help = EXIT_CODES)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
    /// Increase verbosity: -v for debug messages, -vv for each request
    #[arg(short, long, global = true, action = clap::ArgAction::Count, help_heading = "Logging")]
    pub verbose: u8,
    /// What to log: off, error, warn, info, debug, trace, or a filter
    ///
    /// Filters use the syntax of tracing, for example recompress_image=debug.
    #[arg(long, global = true, env = "RECOMPRESS_LOG", value_name = "FILTER")]
    #[arg(value_parser = value::log_filter)]
    #[arg(help_heading = "Logging")]
    pub log: Option<String>,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Convert an image and publish the result
    Convert(Box<ConvertArgs>),
    /// Verify the layers of an image, and what every client makes of them
    Verify(Box<VerifyArgs>),
    /// Show what the layers of an image consist of
    Inspect(Box<InspectArgs>),
    /// Show what clients that have one image fetch to get another
    Diff(Box<DiffArgs>),
    /// Test whether a registry serves partial pulls
    Probe(Box<ProbeArgs>),
}

/// Parses arguments, of which the first is the name of the program. The error is also a request for
/// help or the version.
pub fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Cli, clap::Error> {
    let command = Cli::command();
    let given = Given::of(&command, arguments);
    let mut command = given.environment(with_variables(command));
    if let Some((switch, value)) = given.apart {
        let text =
            format!("invalid argument {value:?}; write {switch}={value}, with an equals sign");
        return Err(command.error(ErrorKind::UnknownArgument, text));
    }
    let matches = command.try_get_matches_from_mut(given.arguments).map_err(printable)?;
    Cli::from_arg_matches(&matches).map_err(|error| error.format(&mut command))
}

/// The same error without control characters in what it repeats of the arguments: these may be an
/// image's or somebody else's words, and must not look like lines of ours.
fn printable(mut error: clap::Error) -> clap::Error {
    let escape =
        |text: &str| text.chars().any(char::is_control).then(|| text.escape_debug().to_string());
    let escaped: Vec<_> = error
        .context()
        .filter_map(|(kind, value)| match value {
            ContextValue::String(text) => Some((kind, ContextValue::String(escape(text)?))),
            _ => None,
        })
        .collect();
    if !escaped.is_empty() {
        // It repeats them, too.
        error.insert(ContextKind::Suggested, ContextValue::None);
    }
    for (kind, value) in escaped {
        error.insert(kind, value);
    }
    error
}

/// The same command, with the variable of an option only in its long help, so that one line is
/// enough for the short one.
fn with_variables(command: clap::Command) -> clap::Command {
    command
        .mut_args(|arg| {
            let Some(name) = arg.get_env().map(|name| name.to_string_lossy().into_owned()) else {
                return arg;
            };
            let help = arg.get_long_help().or(arg.get_help()).map(ToString::to_string);
            arg.hide_env(true).long_help(format!("{}\n\n[env: {name}]", help.unwrap_or_default()))
        })
        .mut_subcommands(with_variables)
}

pub async fn run(command: Command) -> Result<(), CommandError> {
    match command {
        Command::Convert(args) => convert::run(*args).await,
        Command::Verify(args) => verify::run(*args).await,
        Command::Inspect(args) => inspect::run(*args).await,
        Command::Diff(args) => diff::run(*args).await,
        Command::Probe(args) => probe::run(*args).await,
    }
}

#[cfg(test)]
mod tests;
