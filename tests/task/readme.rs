//! READMEs against what they describe. Their tables are made from the definitions: with
//! `RECOMPRESS_BLESS=1` in the environment they are written, otherwise compared.

use std::{collections::BTreeSet, fmt::Write as _, fs, path::Path, process::Command};

use test_support::read;

use crate::{
    NAME, action,
    definition::{ParamSpec, ResultSpec},
    task,
};

/// All words of `text` that start with `prefix`, cut at the first character that `part` refuses.
fn words<'a>(text: &'a str, prefix: &str, part: impl Fn(char) -> bool) -> BTreeSet<&'a str> {
    text.match_indices(prefix)
        .filter(|(at, _)| !text[..*at].ends_with(&part))
        .map(|(at, _)| text[at..].split(|c| !part(c)).next().unwrap())
        .filter(|word| {
            word.trim_start_matches(prefix).starts_with(|c: char| c.is_ascii_alphabetic())
        })
        .collect()
}

pub(crate) fn options(text: &str) -> BTreeSet<&str> {
    words(text, "--", |c| c.is_ascii_lowercase() || c == '-')
}

pub(crate) fn variables(text: &str) -> BTreeSet<&str> {
    words(text, "RECOMPRESS_", |c| c.is_ascii_uppercase() || c == '_')
}

/// The part of a document under the heading `heading`, up to the next heading of any level.
fn section<'a>(document: &'a str, heading: &str) -> &'a str {
    let start = document
        .find(&format!("\n{heading}\n"))
        .unwrap_or_else(|| panic!("no heading {heading:?}"));
    let body = &document[start + heading.len() + 2..];
    body.split("\n#").next().unwrap()
}

pub(crate) fn help() -> String {
    help_of("convert")
}

pub(crate) fn help_of(subcommand: &str) -> String {
    let program = env!("CARGO_BIN_EXE_recompress-image");
    let output = Command::new(program).args([subcommand, "--help"]).output().unwrap();
    assert!(output.status.success(), "{subcommand} --help: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// The tables in the form of Konflux's generator.
fn tables(params: &[ParamSpec], results: &[ResultSpec]) -> [(&'static str, String); 2] {
    let mut of_params = "|name|description|default value|required|\n|---|---|---|---|\n".to_owned();
    for param in params {
        let default = param.default.as_ref().map_or("", |default| default.as_str().unwrap());
        let required = param.default.is_none();
        writeln!(of_params, "|{}|{}|{default}|{required}|", param.name, param.description).unwrap();
    }
    let mut of_results = "|name|description|\n|---|---|\n".to_owned();
    for result in results {
        writeln!(of_results, "|{}|{}|", result.name, result.description).unwrap();
    }
    [("## Parameters", of_params), ("## Results", of_results)]
}

#[test]
fn the_readmes_have_the_tables_of_the_definitions() {
    let (task, action) = (task().spec, action().spec);
    for (path, tables) in [
        (format!("task/{NAME}/README.md"), tables(&task.params, &task.results)),
        (format!("stepaction/{NAME}/README.md"), tables(&action.params, &action.results)),
    ] {
        for (heading, table) in tables {
            let readme = read(&path);
            let found = section(&readme, heading);
            if std::env::var_os("RECOMPRESS_BLESS").is_some_and(|value| value == "1") {
                let blessed = readme.replacen(
                    &format!("{heading}\n{found}"),
                    &format!("{heading}\n{table}"),
                    1,
                );
                let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(&path);
                fs::write(path, blessed).unwrap();
            } else {
                assert_eq!(found.trim_start(), table, "{path}: run hack/generate-task-readme");
            }
        }
    }
}

#[test]
fn the_reference_names_every_option_and_no_other() {
    let help = ["convert", "verify", "inspect", "diff", "probe", "digest"].map(help_of).concat();
    let reference = read("docs/reference.md");
    let table = reference.split("<!-- options:begin -->").nth(1).unwrap();
    let table = table.split("<!-- options:end -->").next().unwrap();
    let of_clap = BTreeSet::from(["--help", "--version"]);
    assert_eq!(options(table), options(&help).difference(&of_clap).copied().collect());
    assert_eq!(variables(table), variables(&help));
}
