//! Empty values count as not given, so that a Task can pass each of its parameters on without a
//! shell.

use std::ffi::{OsStr, OsString};

use clap::{Arg, Command};

/// The same command, which does not read variables that are empty.
pub(super) fn environment(command: Command) -> Command {
    let is_empty = |name: &OsStr| std::env::var_os(name).is_some_and(|value| value.is_empty());
    command
        .mut_args(
            |arg| if arg.get_env().is_some_and(is_empty) { arg.env(None::<&str>) } else { arg },
        )
        .mut_subcommands(environment)
}

/// The arguments without options that have an empty value, and without empty positional arguments
/// but the first: the others would move up into its place.
pub(super) fn arguments(
    command: &Command,
    arguments: impl IntoIterator<Item = OsString>,
) -> Vec<OsString> {
    let mut arguments = arguments.into_iter();
    let mut given: Vec<OsString> = arguments.next().into_iter().collect();
    let mut known: Vec<&Arg> = command.get_arguments().collect();
    let (mut in_subcommand, mut positionals) = (false, 0);
    while let Some(argument) = arguments.next() {
        let text = argument.to_str().unwrap_or("not an option");
        if text == "--" {
            given.push(argument);
            given.extend(arguments);
            break;
        }
        let option = |name: &str| {
            let name = name.strip_prefix("--")?;
            known.iter().find(|arg| arg.get_long() == Some(name) && arg.get_action().takes_values())
        };
        if text.strip_suffix('=').is_some_and(|name| option(name).is_some()) {
            continue;
        }
        if option(text).is_some_and(|arg| !arg.is_require_equals_set()) {
            match arguments.next() {
                Some(value) if value.is_empty() => {}
                value => given.extend([argument].into_iter().chain(value)),
            }
            continue;
        }
        if !in_subcommand && let Some(subcommand) = command.find_subcommand(text) {
            known.extend(subcommand.get_arguments());
            in_subcommand = true;
        } else if !text.starts_with('-') {
            positionals += 1;
            if text.is_empty() && positionals > 1 {
                continue;
            }
        }
        given.push(argument);
    }
    given
}
