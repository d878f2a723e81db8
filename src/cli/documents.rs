//! `recompress-image completions` and `recompress-image man`: what packages of the program contain.
#![allow(clippy::doc_markdown, reason = "the comments on arguments are their help texts")]

use std::{
    fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use clap::CommandFactory as _;
use clap_complete::Shell;

use super::{Cli, exit::CommandError};

const NAME: &str = "recompress-image";

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
    let script = script(args.shell);
    let mut stdout = std::io::stdout().lock();
    stdout.write_all(&script).and_then(|()| stdout.flush()).map_err(CommandError::Print)
}

fn script(shell: Shell) -> Vec<u8> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut super::command(), NAME, &mut script);
    if shell != Shell::Bash {
        return script;
    }
    // The generator takes the hyphen of the name for that before a subcommand, but only in some places.
    let script = String::from_utf8_lossy(&script);
    script.replace("recompress__subcmd__image", "recompress__image").into_bytes()
}

pub(super) fn man(args: &ManArgs) -> Result<(), CommandError> {
    let dir = &args.dir;
    write_pages(dir).map_err(|error| CommandError::Man { dir: dir.display().to_string(), error })
}

/// Each page is a new file, so that a link of that name is replaced and not followed.
fn write_pages(dir: &Path) -> io::Result<()> {
    fs::create_dir_all(dir)?;
    let new = tempfile::tempdir_in(dir)?;
    // Pages do not wrap lines as terminals do.
    let command = super::with_variables(Cli::command()).disable_help_subcommand(true);
    // The same pages for each target.
    let command = command.long_version(None::<&str>);
    clap_mangen::generate_to(command, new.path())?;
    for page in fs::read_dir(new.path())? {
        let page = page?;
        let text = fs::read_to_string(page.path())?;
        fs::write(page.path(), with_exit_status(&with_short_synopsis(&text)))?;
        fs::rename(page.path(), dir.join(page.file_name()))?;
    }
    Ok(())
}

/// The generator lists the options in no order.
fn with_short_synopsis(page: &str) -> String {
    let is_option = |word: &&str| word.starts_with("[\\fB\\-");
    let mut lines: Vec<_> = page.lines().map(str::to_owned).collect();
    let heading = lines.iter().position(|line| line == ".SH SYNOPSIS");
    if let Some(line) = heading.and_then(|at| lines.get_mut(at + 1)) {
        let (options, mut words): (Vec<_>, Vec<_>) = line.split(' ').partition(is_option);
        let name = words.iter().position(|word| word.ends_with("\\fR")).unwrap_or_default();
        if !options.is_empty() {
            words.insert(name + 1, "[OPTIONS]");
        }
        *line = words.join(" ");
    }
    lines.join("\n") + "\n"
}

/// The generator has a heading of its own for what follows the options, and fills its lines.
fn with_exit_status(page: &str) -> String {
    let Some((before, rest)) = page.split_once(".SH EXTRA\nExit codes:\n") else {
        return page.to_owned();
    };
    let (codes, after) = rest.find(".SH ").map_or((rest, ""), |at| rest.split_at(at));
    format!("{before}.SH \"EXIT STATUS\"\n.nf\n{codes}.fi\n{after}")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::process::Command;

    use super::*;

    /// What bash offers for the last of the words.
    fn completed(words: &[&str]) -> Vec<String> {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(&script(Shell::Bash)).unwrap();
        let run = r#"
            source "$1" && shift
            COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
            compopt() { :; }
            [[ $(complete -p "$1") =~ -F\ ([^ ]+) ]]
            "${BASH_REMATCH[1]}" "$1" "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD-1]}"
            ((!${#COMPREPLY[@]})) || printf '%s\n' "${COMPREPLY[@]}""#;
        let mut command = Command::new("bash");
        command.args(["--norc", "-c", run, "bash"]).arg(file.path()).arg(NAME).args(words);
        let output = command.output().unwrap();
        assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
        String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
    }

    #[test]
    fn bash_completes_commands_options_and_values() {
        assert_eq!(completed(&["conv"]), ["convert"]);
        assert_eq!(
            completed(&["convert", "--comp"]),
            ["--compression-format", "--compression-level"]
        );
        assert_eq!(completed(&["convert", "--compression-format", "d"]), ["dual"]);
        assert_eq!(completed(&["completions", "b"]), ["bash"]);
        for command in Cli::command().get_subcommands() {
            for option in command.get_arguments().filter_map(clap::Arg::get_long) {
                let option = format!("--{option}");
                let found = completed(&[command.get_name(), &option]);
                assert!(found.contains(&option), "{} {option}: {found:?}", command.get_name());
            }
        }
    }

    #[test]
    fn a_page_replaces_a_link() {
        let dir = tempfile::tempdir().unwrap();
        let (kept, page) = (dir.path().join("kept"), dir.path().join("recompress-image.1"));
        fs::write(&kept, "kept").unwrap();
        std::os::unix::fs::symlink(&kept, &page).unwrap();
        write_pages(dir.path()).unwrap();
        assert_eq!(fs::read_to_string(&kept).unwrap(), "kept");
        assert!(fs::symlink_metadata(&page).unwrap().is_file());
        let page = fs::read_to_string(&page).unwrap();
        assert!(!page.contains(env!("BUILT_FROM")), "{page}");
        let (_, status) = page.split_once(".SH \"EXIT STATUS\"\n.nf\n  0 ").unwrap();
        assert!(status.contains("SIGTERM\n.fi\n.SH ") && !page.contains(".SH EXTRA"), "{page}");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 10);
        let page = fs::read_to_string(dir.path().join("recompress-image-convert.1")).unwrap();
        let synopsis = page.split_once(".SH SYNOPSIS\n").unwrap().1.lines().next().unwrap();
        let expected =
            "\\fBrecompress\\-image convert\\fR [OPTIONS] <\\fISOURCE\\fR> [\\fIDESTINATION\\fR]";
        assert_eq!(synopsis.trim_end(), expected);
    }
}
