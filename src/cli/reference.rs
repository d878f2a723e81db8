//! The options as tables of the documentation, made from the parser.

use clap::{Arg, Command};

/// Markdown with the arguments and options of every subcommand, and then with those that they
/// share.
pub(super) fn tables(root: &Command) -> String {
    let mut text = String::new();
    let mut shared = None;
    let mut kinds: Vec<_> = root.get_subcommands().collect();
    let documents = kinds.split_off(kinds.len() - 2);
    for command in kinds {
        let about = command.get_about().map(ToString::to_string).unwrap_or_default();
        let (access, own): (Vec<_>, Vec<_>) =
            command.get_arguments().partition(|arg| is_shared(root, arg));
        text += &format!("### {}\n\n{about}.\n\n{}\n", command.get_name(), table(own));
        shared.get_or_insert(access);
    }
    for command in documents {
        let about = command.get_about().map(ToString::to_string).unwrap_or_default();
        text += &format!(
            "### {}\n\n{about}.\n\n{}\n",
            command.get_name(),
            table(command.get_arguments())
        );
    }
    let shared = shared.into_iter().flatten().chain(root.get_arguments());
    text + &format!("### Options of every subcommand\n\n{}", table(shared))
}

/// Whether every subcommand that reads images has the option, about the same matter.
fn is_shared(root: &Command, arg: &Arg) -> bool {
    let is_it = |other: &Arg| other.get_id() == arg.get_id() && help(other) == help(arg);
    let mut commands = root
        .get_subcommands()
        .filter(|command| !["completions", "man"].contains(&command.get_name()));
    arg.get_help_heading().is_some() && commands.all(|command| command.get_arguments().any(is_it))
}

fn table<'a>(arguments: impl IntoIterator<Item = &'a Arg>) -> String {
    let mut table = "| option | variable | values | default | description |\n\
                     |---|---|---|---|---|\n"
        .to_owned();
    for arg in arguments {
        let columns = [name(arg), code(variable(arg)), values(arg), default(arg), description(arg)];
        table += &format!("| {} |\n", columns.map(|text| cell(&text)).join(" | "));
    }
    table
}

fn name(arg: &Arg) -> String {
    let Some(long) = arg.get_long() else { return code(value_name(arg)) };
    let short = arg.get_short().map(|short| format!("`-{short}`, ")).unwrap_or_default();
    format!("{short}`--{long}`")
}

fn variable(arg: &Arg) -> Option<String> {
    arg.get_env().map(|name| name.to_string_lossy().into_owned())
}

fn value_name(arg: &Arg) -> Option<String> {
    let name = arg.get_value_names()?.first().filter(|_| arg.get_action().takes_values())?;
    Some(name.to_string())
}

/// The possible values, or the name of the value.
fn values(arg: &Arg) -> String {
    if !arg.get_action().takes_values() {
        return String::new();
    }
    let possible = arg.get_possible_values().into_iter().filter(|value| !value.is_hide_set());
    let possible: Vec<_> = possible.map(|value| format!("`{}`", value.get_name())).collect();
    match value_name(arg) {
        Some(name) if name == "BOOL" => "`true`, `false`".to_owned(),
        name if possible.is_empty() => code(name),
        _ => possible.join(", "),
    }
}

fn default(arg: &Arg) -> String {
    let values = arg.get_default_values().iter().filter(|_| arg.get_action().takes_values());
    code(values.map(|value| value.to_string_lossy().into_owned()).next())
}

/// All that the long help says, without the variable.
fn help(arg: &Arg) -> String {
    arg.get_long_help().or(arg.get_help()).map(ToString::to_string).unwrap_or_default()
}

/// The help, with that of the possible values.
fn description(arg: &Arg) -> String {
    let mut text = help(arg).replace('*', "\\*");
    for value in arg.get_possible_values() {
        if let Some(help) = value.get_help() {
            text += &format!("\n\n`{}`: {help}", value.get_name());
        }
    }
    text
}

fn code(text: Option<String>) -> String {
    text.map(|text| format!("`{text}`")).unwrap_or_default()
}

/// Text in a cell of a table: in one line, sentences ended.
fn cell(text: &str) -> String {
    let paragraphs: Vec<_> = text.split("\n\n").map(|text| text.replace('\n', " ")).collect();
    let last = paragraphs.len() - 1;
    let ended = |(number, text): (usize, &String)| {
        if number < last && !text.ends_with('.') { format!("{text}.") } else { text.clone() }
    };
    let text = paragraphs.iter().enumerate().map(ended).collect::<Vec<_>>().join(" ");
    text.replace('|', "\\|")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use clap::CommandFactory as _;

    use crate::cli::Cli;

    /// With `UPDATE_DOCS=1` in the environment the tables are written.
    #[test]
    fn the_documentation_has_the_options_of_the_parser() {
        let (begin, end) = ("<!-- options:begin -->\n", "<!-- options:end -->");
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/reference.md");
        let document = std::fs::read_to_string(path).unwrap();
        let (before, rest) = document.split_once(begin).unwrap();
        let (found, after) = rest.split_once(end).unwrap();
        let tables = format!("\n{}\n", super::tables(&Cli::command()));
        if std::env::var_os("UPDATE_DOCS").is_some_and(|value| value == "1") {
            std::fs::write(path, [before, begin, &tables, end, after].concat()).unwrap();
        } else {
            assert_eq!(found, tables, "run: UPDATE_DOCS=1 cargo test --lib cli::reference");
        }
    }
}
