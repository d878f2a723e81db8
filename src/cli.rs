//! What was typed, what it means, and how a run ends.
//!
//! Values are checked one by one by the parser (`value`), and rules for several of them by the
//! subcommand ([`usage`]). A variable or an option that is empty counts as not given (`given`).
#![allow(clippy::doc_markdown, reason = "the comments on arguments are their help texts")]

mod access;
pub mod convert;
pub mod diff;
pub mod digest;
pub mod documents;
pub mod exit;
pub mod failure;
mod given;
pub mod hints;
pub mod inspect;
mod limits;
pub mod log;
mod memory;
mod output;
pub mod probe;
#[cfg(test)]
mod reference;
pub mod usage;
mod value;
pub mod verify;

use std::{ffi::OsString, sync::LazyLock};

use clap::{
    CommandFactory as _, FromArgMatches as _, Parser, Subcommand,
    error::{ContextKind, ContextValue, ErrorKind},
};

use self::{
    convert::ConvertArgs,
    diff::DiffArgs,
    digest::DigestArgs,
    documents::{CompletionsArgs, ManArgs},
    exit::{CommandError, EXIT_CODES},
    given::Given,
    inspect::InspectArgs,
    probe::ProbeArgs,
    verify::VerifyArgs,
};
use crate::store::is_printable;

/// What was typed. Use [`parse`] to get it: the traits of clap know no empty values.
#[derive(Debug, Parser)]
#[command(name = "recompress-image", version, long_version = build_version(), max_term_width = 100)]
#[command(before_help = "\
Examples:
  recompress-image convert --resolve-tag quay.io/org/app:1.2
  recompress-image convert oci:app:1.2 oci:app:1.2-zstd-chunked
  recompress-image verify quay.io/org/app:1.2-zstd-chunked
  recompress-image diff quay.io/org/app:1.2-zstd-chunked quay.io/org/app:1.3-zstd-chunked
")]
#[command(
    about = "Re-push a container image as zstd:chunked, so that podman, CRI-O and bootc pull \
                   only the files they do not have yet"
)]
#[command(after_long_help = EXIT_CODES)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
    #[command(flatten)]
    pub log: log::LogArgs,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Convert an image and publish the result
    Convert(Box<ConvertArgs>),
    /// Verify the layers of an image, and that every client can use them
    Verify(Box<VerifyArgs>),
    /// Show what the layers of an image consist of
    Inspect(Box<InspectArgs>),
    /// Show what clients that have one image fetch to get another
    Diff(Box<DiffArgs>),
    /// Test whether a registry serves partial pulls
    Probe(Box<ProbeArgs>),
    /// Print an image reference with the digest that its tag names
    Digest(Box<DigestArgs>),
    /// Print completions for a shell
    Completions(CompletionsArgs),
    /// Write man pages
    Man(ManArgs),
}

/// Parses arguments, of which the first is the name of the program. The error is also a request for
/// help or the version.
pub fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Cli, clap::Error> {
    let command = command();
    let given = Given::of(&command, arguments);
    let mut command = given.environment(command);
    if let Some((switch, value)) = given.apart {
        let text =
            format!("invalid argument {value:?}; write {switch}={value}, with an equals sign");
        return Err(command.error(ErrorKind::UnknownArgument, text));
    }
    let arguments = given.arguments.clone();
    let matches = command.try_get_matches_from_mut(given.arguments).map_err(|mut error| {
        name_variable(&mut error, &command, &arguments);
        printable(error)
    })?;
    Cli::from_arg_matches(&matches).map_err(|error| error.format(&mut command))
}

/// Warns of variables that look like options and are none, because a setting that is misspelled would
/// be lost without a word.
pub fn warn_of_unknown_variables() {
    let known = variables();
    for (name, value) in std::env::vars_os() {
        let Some(name) = name.to_str().filter(|name| name.starts_with("RECOMPRESS_")) else {
            continue;
        };
        if value.is_empty() || known.iter().any(|known| known == name) {
            continue;
        }
        tracing::warn!(
            "the environment variable {} is ignored, because there is no such option",
            name.escape_debug()
        );
    }
}

fn is_subcommand(name: &str) -> bool {
    Cli::command().get_subcommands().any(|command| command.get_name() == name)
}

/// Those that are read.
fn variables() -> Vec<String> {
    fn of(command: &clap::Command) -> Vec<String> {
        let own = command.get_arguments().filter_map(clap::Arg::get_env);
        let own = own.map(|name| name.to_string_lossy().into_owned());
        own.chain(command.get_subcommands().flat_map(of)).collect()
    }
    let mut all = of(&Cli::command());
    all.push(hints::VARIABLE.to_owned());
    all
}

/// What the parser of arguments complains of, with each thing said once.
pub fn render(error: &clap::Error) -> String {
    let text = error.render().to_string();
    let Some((before, after)) = text.split_once("': invalid ") else { return text };
    let Some((what, rest)) = after.split_once(" \"") else { return text };
    let Some((value, advice)) = rest.split_once("\"; ") else { return text };
    if before.contains(&format!("invalid value '{value}' for")) {
        format!("{before}': {advice}")
    } else {
        format!("{before}': malformed {what} \"{value}\"; {advice}")
    }
}

/// Says so if a value that is refused was not typed.
fn name_variable(error: &mut clap::Error, command: &clap::Command, arguments: &[OsString]) {
    let text = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.as_str()),
        _ => None,
    };
    let (Some(refused), Some(value)) =
        (text(ContextKind::InvalidArg), text(ContextKind::InvalidValue))
    else {
        return;
    };
    let is = |text: &str, long: &str| {
        let rest = text.strip_prefix("--").and_then(|text| text.strip_prefix(long));
        rest.is_some_and(|rest| !rest.starts_with(|c: char| c == '-' || c.is_alphanumeric()))
    };
    let typed = |long| arguments.iter().any(|argument| is(&argument.to_string_lossy(), long));
    let subcommands = command.get_subcommands().flat_map(clap::Command::get_arguments);
    let variable = command.get_arguments().chain(subcommands).find_map(|arg| {
        let (name, long) = (arg.get_env()?, arg.get_long()?);
        let is_read = is(refused, long) && !typed(long);
        let has_value = is_read && std::env::var(name).is_ok_and(|found| found == value);
        has_value.then(|| (name.to_string_lossy().into_owned(), long))
    });
    let Some((name, option)) = variable.filter(|_| !hints::are_for_task()) else { return };
    let tip = format!("the environment variable {name} has this value; --{option} overrides it");
    error.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![tip.into()]));
}

/// The same error without passwords and control characters in what it repeats of the arguments: these
/// may be an image's or somebody else's words, and must not look like lines of ours.
fn printable(mut error: clap::Error) -> clap::Error {
    if let Some(text) = with_credentials(&error) {
        return clap::Error::raw(error.kind(), text);
    }
    let escape = |text: &str| {
        let masked = value::without_credentials(text);
        let is_escaped = !masked.chars().all(is_printable);
        let printed = if is_escaped { masked.escape_debug().to_string().into() } else { masked };
        (printed != text).then(|| printed.into_owned())
    };
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

/// What to print of a value with credentials: the reason why it was refused may repeat them.
fn with_credentials(error: &clap::Error) -> Option<String> {
    let typed = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text),
        _ => None,
    };
    let value = typed(ContextKind::InvalidValue)?;
    let masked = value::without_credentials(value);
    (error.kind() == ErrorKind::ValueValidation && masked != *value).then(|| {
        format!(
            "invalid value '{}' for '{}': only a digest may follow an @; log in with `podman login`, \
             or pass --authfile, to use credentials\n",
            masked.escape_debug(),
            typed(ContextKind::InvalidArg).map_or("", String::as_str)
        )
    })
}

/// With the commit and the target that it was built for, as far as that is known.
fn build_version() -> &'static str {
    static TEXT: LazyLock<String> = LazyLock::new(|| {
        let version = env!("CARGO_PKG_VERSION");
        format!("{version} ({})", env!("BUILT_FROM"))
    });
    TEXT.as_str()
}

/// The parser, with examples before the options.
fn command() -> clap::Command {
    const TEMPLATE: &str = "\
{about-with-newline}
{before-help}{usage-heading} {usage}

{all-args}{after-help}";
    let command = with_variables(Cli::command()).help_template(TEMPLATE);
    command.mut_subcommands(|subcommand| {
        let codes = match subcommand.get_name() {
            "completions" | "man" => return subcommand.help_template(TEMPLATE),
            _ => "Exit codes: run `recompress-image --help` for their meaning.",
        };
        let codes = match subcommand.get_name() {
            "verify" => {
                "Exit codes: 0 if the image has no errors, 8 if it has some; run \
                         `recompress-image --help` for others."
            }
            _ => codes,
        };
        subcommand.help_template(TEMPLATE).after_long_help(codes)
    })
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
    output::begin();
    given::set_temporary_directory();
    match command {
        Command::Convert(args) => convert::run(*args).await,
        Command::Verify(args) => verify::run(*args).await,
        Command::Inspect(args) => inspect::run(*args).await,
        Command::Diff(args) => diff::run(*args).await,
        Command::Probe(args) => probe::run(*args).await,
        Command::Digest(args) => digest::run(*args).await,
        Command::Completions(args) => documents::completions(&args),
        Command::Man(args) => documents::man(&args),
    }
}

#[cfg(test)]
mod tests;
