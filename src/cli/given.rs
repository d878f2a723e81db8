//! Empty values count as not given, so that a Task can pass each of its parameters on without a
//! shell.

use std::{
    any::TypeId,
    ffi::{OsStr, OsString},
    path::{Path, PathBuf},
};

use clap::{Arg, Command, CommandFactory as _, Id};

/// What only a switch may be. No image has such a name.
const BOOLEANS: [&str; 6] = ["true", "false", "yes", "no", "1", "0"];

/// Arguments without those that are empty, and the ids of those.
pub(super) struct Given {
    pub(super) arguments: Vec<OsString>,
    empty: Vec<Id>,
    /// A switch and the value that was typed as an argument of its own, as in `--tls-verify false`.
    pub(super) apart: Option<(String, String)>,
}

impl Given {
    /// The same command, which reads no variable that is empty, or that an empty argument overrides.
    pub(super) fn environment(&self, command: Command) -> Command {
        let is_empty = |name: &OsStr| std::env::var_os(name).is_some_and(|value| value.is_empty());
        let unread =
            |arg: &Arg| arg.get_env().is_some_and(is_empty) || self.empty.contains(arg.get_id());
        command
            .mut_args(|arg| if unread(&arg) { arg.env(None::<&str>) } else { arg })
            .mut_subcommands(|subcommand| self.environment(subcommand))
    }

    /// Leaves out options with an empty value and empty positional arguments. Those for which that
    /// could do harm stay, and are refused: switches and paths, as in `--require-chunked=$UNSET`,
    /// and positional arguments into whose place others would move up.
    pub(super) fn of(command: &Command, arguments: impl IntoIterator<Item = OsString>) -> Self {
        let mut arguments = arguments.into_iter();
        let mut given =
            Self { arguments: arguments.next().into_iter().collect(), empty: vec![], apart: None };
        let mut switch = None;
        let mut known: Vec<&Arg> = command.get_arguments().collect();
        let (mut in_subcommand, mut positionals, mut trailing) = (false, 0, None);
        while let Some(argument) = arguments.next() {
            let text = argument.to_string_lossy();
            if text == "--" {
                trailing = None;
                given.arguments.push(argument);
                given.arguments.extend(arguments);
                break;
            }
            let before = switch.take();
            if let Some(name) = before.filter(|_| BOOLEANS.contains(&&*text)) {
                given.apart.get_or_insert((name, text.clone().into_owned()));
            }
            let is_switch = |arg: &&Arg| {
                arg.is_require_equals_set() && arg.get_long() == text.strip_prefix("--")
            };
            switch = known.iter().any(is_switch).then(|| text.clone().into_owned());
            let option = |name: &str| {
                let name = name.strip_prefix("--")?;
                known
                    .iter()
                    .find(|arg| arg.get_long() == Some(name))
                    .filter(|arg| may_be_empty(arg))
            };
            if let Some(arg) = text.strip_suffix('=').and_then(option) {
                given.empty.push(arg.get_id().clone());
                continue;
            }
            if let Some(arg) = option(&text) {
                match arguments.next() {
                    Some(value) if value.is_empty() => given.empty.push(arg.get_id().clone()),
                    value => given.arguments.extend([argument].into_iter().chain(value)),
                }
                continue;
            }
            if !in_subcommand && let Some(subcommand) = command.find_subcommand(&*text) {
                known.extend(subcommand.get_arguments());
                in_subcommand = true;
            } else if !text.starts_with('-') {
                positionals += 1;
                let arg = known.iter().filter(|arg| arg.is_positional()).nth(positionals - 1);
                let arg = arg.filter(|_| text.is_empty() && positionals > 1);
                // With another one behind it, it has to stay: the other would move up.
                trailing = arg.map(|arg| (given.arguments.len(), arg.get_id().clone()));
            }
            given.arguments.push(argument);
        }
        if let Some((at, id)) = trailing {
            given.arguments.remove(at);
            given.empty.push(id);
        }
        given
    }
}

/// An empty `TMPDIR` counts as not given, too, instead of as the current directory.
pub(super) fn set_temporary_directory() {
    if std::env::var_os("TMPDIR").is_some_and(|dir| dir.is_empty()) {
        // It can be set once, which it is in tests of this process.
        let _ = tempfile::env::override_temp_dir(Path::new("/tmp"));
    }
}

/// The first argument that is neither an option nor the value of one, even if others make no sense:
/// where the name of a subcommand stands.
pub(super) fn subcommand(arguments: &[OsString]) -> Option<&OsStr> {
    let command = super::Cli::command();
    let takes_next = |text: &str| {
        let mut own = command.get_arguments().filter(|arg| arg.get_action().takes_values());
        own.any(|arg| !arg.is_require_equals_set() && arg.get_long() == text.strip_prefix("--"))
    };
    let mut rest = arguments.iter().skip(1);
    while let Some(argument) = rest.next() {
        let text = argument.to_string_lossy();
        if takes_next(&text) {
            rest.next();
        } else if !text.starts_with('-') && !text.is_empty() {
            return Some(argument);
        }
    }
    None
}

/// Whether it is an option for which an empty value means none.
pub(super) fn may_be_empty(arg: &Arg) -> bool {
    arg.get_action().takes_values()
        && !arg.is_require_equals_set()
        && arg.get_value_parser().type_id() != TypeId::of::<PathBuf>()
}
