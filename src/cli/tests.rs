//! Every option of every subcommand, as the parser has them.
#![allow(clippy::unwrap_used)]

use std::{
    ffi::{OsStr, OsString},
    process,
};

use clap::{Arg, ArgAction, Command as Parser};

use super::*;

/// Set for the process that parses: the arguments, one a line.
const ARGUMENTS: &str = "TEST_OF_CLI_ARGUMENTS";

fn needed(subcommand: &str) -> Vec<String> {
    let image = format!("quay.io/a@sha256:{}", "0".repeat(64));
    let images = if subcommand == "diff" { 2 } else { 1 };
    let mut arguments = vec!["recompress-image".into(), subcommand.into()];
    arguments.resize(2 + images, image);
    arguments
}

/// What comes out of arguments in this environment. A process of its own has it.
fn parsed(arguments: &[String], environment: &[(String, String)]) -> String {
    let mut child = process::Command::new(std::env::current_exe().unwrap());
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("RECOMPRESS_") {
            child.env_remove(name);
        }
    }
    let test = "cli::tests::parses_in_its_own_environment";
    child.args(["--exact", test, "--nocapture"]).env(ARGUMENTS, arguments.join("\n"));
    let output = child.envs(environment.iter().cloned()).output().unwrap();
    let stdout = String::from_utf8(output.stdout).unwrap();
    let parsed = stdout.lines().find_map(|line| line.split_once("parsed: "));
    parsed.unwrap_or_else(|| panic!("{arguments:?} {environment:?}: {stdout}")).1.to_owned()
}

#[test]
#[allow(clippy::print_stdout, reason = "the process that runs it reads that")]
fn parses_in_its_own_environment() {
    let Some(arguments) = std::env::var_os(ARGUMENTS) else { return };
    let arguments: Vec<OsString> =
        arguments.to_str().unwrap().split('\n').map(OsString::from).collect();
    match parse(arguments) {
        Ok(cli) => println!("parsed: {cli:?}"),
        Err(error) => println!("parsed: {:?}", error.to_string()),
    }
}

fn for_each(mut check: impl FnMut(&str, &Arg)) {
    let root = Cli::command();
    let reads = |command: &&Parser| !["completions", "man"].contains(&command.get_name());
    let subcommands: Vec<&Parser> = root.get_subcommands().filter(reads).collect();
    assert_eq!(subcommands.len(), 6);
    for subcommand in subcommands {
        for arg in subcommand.get_arguments().chain(root.get_arguments()) {
            check(subcommand.get_name(), arg);
        }
    }
}

fn variable(arg: &Arg) -> Option<String> {
    arg.get_env().map(|name| name.to_str().unwrap().to_owned())
}

fn is_boolean(arg: &Arg) -> bool {
    arg.get_value_names().is_some_and(|names| *names == ["BOOL"])
}

#[test]
fn empty_variables_and_options_count_as_not_given() {
    let (mut seen, mut refused) = (0, 0);
    for_each(|subcommand, arg| {
        let plain = parsed(&needed(subcommand), &[]);
        assert!(plain.starts_with("Cli {"), "{plain}");
        if let Some(name) = variable(arg) {
            seen += 1;
            let empty = [(name.clone(), String::new())];
            assert_eq!(parsed(&needed(subcommand), &empty), plain, "{subcommand} {name}");
        }
        let Some(name) = arg.get_long().filter(|_| arg.get_action().takes_values()) else { return };
        // It is the argument that counts, and not the variable, whatever that is.
        let environment = variable(arg).map(|name| (name, "§".to_owned()));
        let environment: Vec<_> = environment.into_iter().collect();
        for empty in [&[format!("--{name}=")][..], &[format!("--{name}"), String::new()]] {
            if arg.is_require_equals_set() && empty.len() > 1 {
                continue;
            }
            let result = parsed(&[&needed(subcommand), empty].concat(), &environment);
            if given::may_be_empty(arg) {
                assert_eq!(result, plain, "{subcommand} --{name}");
            } else {
                refused += 1;
                assert!(!result.starts_with("Cli {"), "{subcommand} {empty:?}: {result}");
            }
        }
    });
    assert!(seen > 40 && refused > 10, "{seen} {refused}");
}

#[test]
fn an_empty_source_is_refused_and_an_empty_variable_is_not_a_source() {
    let words = |words: &[&str]| words.iter().map(ToString::to_string).collect::<Vec<_>>();
    let empty = [("RECOMPRESS_SOURCE".to_owned(), String::new())];
    let none = parsed(&words(&["recompress-image", "convert"]), &empty);
    assert!(none.contains("<SOURCE>") && none.contains("required"), "{none}");
    // The destination does not take the place of a source that is empty.
    let source = parsed(&words(&["recompress-image", "convert", "", "oci:dir:x"]), &[]);
    assert!(source.contains("invalid value '' for '<SOURCE>'"), "{source}");
    let destination = [needed("convert"), words(&["", "--jobs", "3"])].concat();
    let without = [needed("convert"), words(&["--jobs", "3"])].concat();
    assert_eq!(parsed(&destination, &[]), parsed(&without, &[]));
    let ignored = [("RECOMPRESS_DESTINATION".to_owned(), "oci:dir:x".to_owned())];
    assert_eq!(parsed(&destination, &ignored), parsed(&without, &[]));
    // None moves up, and none is too many unnoticed.
    for (subcommand, more) in [("convert", &["", "oci:dir:x"][..]), ("inspect", &[""])] {
        let result = parsed(&[needed(subcommand), words(more)].concat(), &[]);
        assert!(!result.starts_with("Cli {"), "{result}");
    }
}

#[test]
fn an_argument_that_is_not_unicode_is_none_more() {
    use std::os::unix::ffi::OsStringExt as _;
    let mut arguments: Vec<_> =
        ["recompress-image", "convert", "", "oci:f:y"].map(Into::into).into();
    arguments.insert(2, OsString::from_vec(b"--authfile=/\xff".to_vec()));
    let error = parse(arguments).unwrap_err().to_string();
    assert!(error.contains("invalid value '' for '<SOURCE>'"), "{error}");
}

#[test]
fn what_is_repeated_of_the_arguments_has_no_control_characters() {
    for argument in
        ["quay.io/a\u{1b}[31mX\nanother line", "--a\nb", "--jobs=\n1", "--platform=li\nnux"]
    {
        let source = needed("convert").pop().unwrap();
        let arguments = ["recompress-image", "convert", argument, &source, "more"];
        let error = parse(arguments.map(OsString::from)).unwrap_err().to_string();
        assert!(error.lines().all(|line| !line.chars().any(char::is_control)), "{error:?}");
        assert!(!error.contains("\nanother") && !error.contains("\nnux"), "{error:?}");
    }
}

#[test]
fn what_is_repeated_of_the_arguments_has_no_passwords() {
    let source = needed("convert").pop().unwrap();
    for argument in [
        "https://user:hunter2@host/x:1",
        "docker://user:hunter2@host/x:1",
        "oci:https://user:hunter2@host/x:1",
        "https://user:hun/ter2@host/x",
        "https://user:hunter2@host/x@sha256:12",
        "https://user:hun'\nter2 @host/x",
        "--platform=https://user:hunter2@host/x",
        "--https://user:hunter2@host/x",
    ] {
        for arguments in
            [["convert", argument, "oci:a:b"], ["convert", &source, argument]].as_slice()
        {
            let arguments = ["recompress-image"].iter().chain(arguments).map(OsString::from);
            let error = render(&parse(arguments).unwrap_err());
            let masked = error.contains("://***@") && !error.contains("hun");
            assert!(masked && !error.contains("ter2"), "{error}");
        }
    }
    let arguments = ["recompress-image", "inspect", "docker://quay.io/app@sha256:12"];
    let error = render(&parse(arguments.map(OsString::from)).unwrap_err());
    assert!(error.contains("docker://quay.io/app@sha256:12") && error.contains("64"), "{error}");
}

/// Whatever the other arguments are.
#[test]
fn the_subcommand_is_the_first_that_is_no_option() {
    for (text, expected) in [
        ("convert", Some("convert")),
        ("--log debug convert", Some("convert")),
        ("--log=debug -v --nonsense convert --more", Some("convert")),
        ("--log convert verify", Some("verify")),
        ("diff oci:w:1 convert", Some("diff")),
        ("verify --platform convert", Some("verify")),
        ("help convert", Some("help")),
        ("-v", None),
        ("--log", None),
    ] {
        let arguments = ["recompress-image"].into_iter().chain(text.split(' '));
        let arguments: Vec<_> = arguments.map(OsString::from).collect();
        assert_eq!(given::subcommand(&arguments), expected.map(OsStr::new), "{text}");
    }
}

/// Help is no run, and neither is another command.
#[test]
fn results_go_only_before_a_conversion() {
    let dir = tempfile::tempdir().unwrap();
    let result = dir.path().join("IMAGE_URL");
    let option = format!("--results-dir={}", dir.path().display());
    for (text, goes) in [
        ("help convert", false),
        ("convert --help", false),
        ("convert -h", false),
        ("convert -vh oci:w:1", false),
        ("--help convert", false),
        ("--version convert", false),
        ("diff oci:w:1 convert", false),
        ("verify --platform convert oci:w:1", false),
        ("convert --dry-run oci:w:1", false),
        ("convert", true),
        ("convert --nonsense", true),
        ("--log=debug convert oci:w:1", true),
        ("convert oci:w:1 -- --help", true),
    ] {
        std::fs::write(&result, "of an earlier run").unwrap();
        let mut arguments: Vec<_> =
            ["recompress-image"].into_iter().chain(text.split(' ')).collect();
        let at = arguments.iter().position(|argument| *argument == "--").unwrap_or(arguments.len());
        arguments.insert(at, &option);
        convert::clear_results(arguments.into_iter().map(OsString::from));
        assert_eq!(!result.exists(), goes, "{text}");
    }
}

#[test]
fn a_value_apart_from_its_switch_and_a_path_are_no_images() {
    let image = needed("verify").pop().unwrap();
    let image = image.as_str();
    for (arguments, words) in [
        (&["--tls-verify", "false", image][..], "write --tls-verify=false, with an equals sign"),
        (&[image, "--tls-verify", "0"], "write --tls-verify=0, with an equals sign"),
        (&["./app"], "for an OCI layout, write oci:./app"),
        (&["/tmp/x"], "for an OCI layout, write oci:/tmp/x"),
        (&["app/"], "for an OCI layout, write oci:app/"),
        // Both are here.
        (&["src/cli"], "for an OCI layout, write oci:src/cli"),
        (&["src"], "for an OCI layout, write oci:src"),
        (&["https://quay.io/org/app:1"], "leave out https://"),
    ] {
        let arguments = ["recompress-image", "verify"].iter().chain(arguments);
        let error = parse(arguments.map(OsString::from)).unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
    }
}

#[test]
fn booleans_have_many_words_everywhere() {
    let mut seen = 0;
    for_each(|subcommand, arg| {
        if !is_boolean(arg) {
            return;
        }
        seen += 1;
        let (name, variable) = (arg.get_long().unwrap(), variable(arg).unwrap());
        let with = |word: &str| {
            let arguments = [needed(subcommand), vec![format!("--{name}={word}")]].concat();
            parsed(&arguments, &[])
        };
        let (yes, no) = (with("true"), with("false"));
        assert_ne!(yes, no);
        let bare = [needed(subcommand), vec![format!("--{name}")]].concat();
        assert_eq!(parsed(&bare, &[]), yes);
        for (word, expected) in
            [("true", &yes), ("1", &yes), ("yes", &yes), ("false", &no), ("0", &no), ("no", &no)]
        {
            assert_eq!(with(word), *expected, "{subcommand} --{name}={word}");
            let environment = [(variable.clone(), word.to_owned())];
            let from_variable = parsed(&needed(subcommand), &environment);
            assert_eq!(from_variable, *expected, "{subcommand} {variable}={word}");
        }
    });
    assert!(seen >= 12, "{seen}");
}

#[test]
fn the_parser_is_sound_and_every_option_has_one_line_of_help() {
    Cli::command().debug_assert();
    for_each(|subcommand, arg| {
        let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
        assert!(!help.is_empty() && !help.ends_with('.'), "{subcommand} {}: {help}", arg.get_id());
        assert!(help.len() <= 90, "{subcommand} {}: {help}", arg.get_id());
        assert!(!matches!(arg.get_action(), ArgAction::SetFalse));
    });
}

#[test]
fn help_has_examples_before_options_and_exit_codes_only_if_it_is_long() {
    let mut root = command();
    root.build();
    for name in ["convert", "verify", "inspect", "diff", "probe", "digest"] {
        let command = root.find_subcommand_mut(name).unwrap();
        let (short, long) =
            (command.render_help().to_string(), command.render_long_help().to_string());
        for help in [&short, &long] {
            let at = |words: &str| help.find(words).unwrap_or_else(|| panic!("{words}: {help}"));
            assert!(
                at("Example") < at("Usage:") && at("Usage:") < at("Registry access:"),
                "{help}"
            );
        }
        assert!(!short.contains("Exit codes") && long.contains("Exit codes"), "{short}");
        assert!(!short.contains("[env:") && long.contains("[env:"), "{short}");
    }
    let headings =
        ["Compression:", "Images of an index:", "Reuse of layers:", "Result:", "Limits:"];
    let help = root.find_subcommand_mut("convert").unwrap().render_help().to_string();
    assert!(headings.iter().all(|heading| help.contains(heading)), "{help}");
    assert!(root.render_long_help().to_string().contains("130  interrupted by SIGINT"));
}

#[test]
fn each_command_says_what_it_prints() {
    let root = Cli::command();
    let mut texts: Vec<_> = root
        .get_subcommands()
        .filter_map(|command| command.get_arguments().find(|arg| arg.get_id() == "output"))
        .map(|arg| arg.get_help().unwrap().to_string())
        .collect();
    texts.sort();
    texts.dedup();
    assert_eq!(texts.len(), 6);
}

#[test]
fn the_long_version_says_what_was_built() {
    let version = build_version();
    let number = env!("CARGO_PKG_VERSION");
    assert!(version.starts_with(&format!("{number} (")), "{version}");
    assert!(version.contains(std::env::consts::ARCH), "{version}");
    let short = Cli::command().render_version();
    assert_eq!(short.trim_end(), format!("recompress-image {number}"));
}

#[test]
fn every_shell_gets_completions_and_every_command_a_man_page() {
    for shell in [clap_complete::Shell::Bash, clap_complete::Shell::Zsh, clap_complete::Shell::Fish]
    {
        let mut script = Vec::new();
        clap_complete::generate(shell, &mut command(), "recompress-image", &mut script);
        let script = String::from_utf8(script).unwrap();
        for words in ["convert", "reuse-trust", "zstd", "completions"] {
            assert!(script.contains(words), "{shell} {words}");
        }
    }
    let dir = tempfile::tempdir().unwrap();
    let Ok(Cli { command: Command::Man(args), .. }) =
        parse(["recompress-image".into(), "man".into(), dir.path().into()])
    else {
        panic!();
    };
    documents::man(&args).unwrap();
    let mut pages: Vec<_> =
        std::fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    pages.sort();
    let names = [
        "-completions",
        "-convert",
        "-diff",
        "-digest",
        "-inspect",
        "-man",
        "-probe",
        "-verify",
        "",
    ];
    assert_eq!(pages, names.map(|name| OsString::from(format!("recompress-image{name}.1"))));
    let page = std::fs::read_to_string(dir.path().join("recompress-image-convert.1")).unwrap();
    assert!(page.contains("RECOMPRESS_COMPRESSION_LEVEL"), "{page}");
}

#[test]
fn a_value_is_called_invalid_once() {
    for (argument, words) in [
        ("--platform=linux", "invalid value 'linux' for '--platform <PLATFORM>': expected OS/ARCH"),
        ("quay.io/a@sha256:12", "': malformed digest \"sha256:12\"; expected 64 digits"),
        ("dir:/tmp/x", "`skopeo copy dir:… oci:DIR:1.2`"),
        ("docker-daemon:app:1", "`skopeo copy docker-daemon:… oci:DIR:1.2`"),
    ] {
        let arguments = ["recompress-image", "diff", "quay.io/a:b", argument];
        let error = render(&parse(arguments.map(OsString::from)).unwrap_err());
        assert!(error.contains(words), "{error}");
        assert!(error.matches("invalid").count() <= 1, "{error}");
    }
}
