//! What a failed run prints to standard output with `--output json`.

use std::{
    error::Error,
    ffi::{OsStr, OsString},
    fmt, io,
};

use clap::error::ErrorKind;
use serde::Serialize;

use super::{exit::ExitCode, given, hints, output};
use crate::store::{BlobMismatch, StoreError, foreign, mask, one_line};

/// Why a run failed.
#[derive(Debug, Serialize)]
pub(crate) struct Failure {
    /// The exit code.
    pub(crate) code: u8,
    pub(crate) kind: &'static str,
    pub(crate) message: String,
    /// What to do about it, if that is known.
    pub(crate) hint: Option<String>,
}

/// What advice begins with, after `; ` in a message.
const ADVICE: [&str; 42] = [
    "add ",
    "allow ",
    "buy ",
    "check ",
    "choose ",
    "consider ",
    "convert ",
    "copy ",
    "correct ",
    "create ",
    "decompress ",
    "delete ",
    "expected ",
    "for ",
    "get ",
    "give ",
    "have ",
    "if ",
    "inspect ",
    "leave ",
    "log in",
    "make ",
    "name ",
    "pass ",
    "please ",
    "push ",
    "raise ",
    "recreate ",
    "remove ",
    "renew ",
    "report ",
    "request ",
    "run ",
    "see ",
    "select ",
    "set ",
    "specify ",
    "to ",
    "try ",
    "use ",
    "write ",
    "wait ",
];

/// What a run fails with: what is wrong, and what to do about it, if that is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Words {
    message: String,
    hint: Option<String>,
}

impl fmt::Display for Words {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        self.hint.as_ref().map_or(Ok(()), |hint| write!(f, "; {hint}"))
    }
}

impl Words {
    /// Of an error and its causes. Advice comes after all of them.
    pub fn of<'a>(errors: impl IntoIterator<Item = &'a (dyn Error + 'static)>) -> Self {
        let given = given();
        let parts = errors.into_iter().map(|error| {
            let text = error.to_string();
            let is_of_system = error.downcast_ref::<io::Error>().is_some_and(is_of_system);
            split(&if is_of_system { foreign(&text) } else { text.into() }, &given)
        });
        let (messages, hints): (Vec<_>, Vec<_>) = parts.unzip();
        let hints: Vec<_> = hints.into_iter().flatten().collect();
        Self::adapted(
            &messages.join(": "),
            (!hints.is_empty()).then(|| hints.join("; ")).as_deref(),
        )
    }

    /// Of a text that is ours.
    pub fn new(text: &str) -> Self {
        let (message, hint) = split(text, &given());
        Self::adapted(&message, hint.as_deref())
    }

    /// Of what the parser of arguments refuses. `text` is its message, with usage and tips.
    pub fn of_usage(error: &clap::Error, text: &str) -> Self {
        if error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
            let hint = "run `recompress-image --help` for a list of commands";
            return Self::adapted("missing command", Some(hint));
        }
        let mut paragraphs = text
            .split("\n\n")
            .map(|text| text.lines().map(str::trim).collect::<Vec<_>>().join(" "));
        let message = paragraphs.next().unwrap_or_default();
        let mut words = Self::new(message.strip_prefix("error: ").unwrap_or(&message));
        let tip = paragraphs.find_map(|text| text.strip_prefix("tip: ").map(str::to_owned));
        words.hint = words.hint.or(tip);
        words
    }

    fn adapted(message: &str, hint: Option<&str>) -> Self {
        let adapt = |text: &str| one_line(&mask(&hints::adapt(text))).into_owned();
        Self { message: adapt(message), hint: hint.map(adapt) }
    }
}

/// Whether its text is the system's or a library's, and not that of an error of ours within.
fn is_of_system(error: &io::Error) -> bool {
    !error.get_ref().is_some_and(|error| error.is::<StoreError>() || error.is::<BlobMismatch>())
}

/// Arguments and variables that could look like advice where a message repeats them.
fn given() -> Vec<String> {
    let variables = std::env::vars_os().map(|(_, value)| value);
    let all = std::env::args_os().chain(variables);
    let texts = all.map(|text| text.to_string_lossy().into_owned());
    texts.filter(|text| text.contains("; ")).collect()
}

/// Divides a message before its advice. What is quoted, or `given`, is none of ours.
fn split(text: &str, given: &[String]) -> (String, Option<String>) {
    let is_advice = |at: usize| {
        let word = ADVICE.iter().find(|word| text[at + 2..].starts_with(**word));
        word.is_some_and(|word| {
            let begin = &text[at..at + 2 + word.len()];
            !given.iter().any(|given| given.contains(begin))
        })
    };
    let (mut quoted, mut escaped) = (false, false);
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            ';' if !quoted && text[at..].starts_with("; ") && is_advice(at) => {
                return (text[..at].to_owned(), Some(text[at + 2..].to_owned()));
            }
            _ => {}
        }
    }
    (text.to_owned(), None)
}

impl Failure {
    pub(crate) fn new(code: ExitCode, words: Words) -> Self {
        Self::of(code as u8, code.kind(), words)
    }

    fn of(code: u8, kind: &'static str, Words { message, hint }: Words) -> Self {
        Self { code, kind, message, hint }
    }
}

/// Whether the arguments, which may make no sense otherwise, ask for a JSON document.
pub fn wants_json(arguments: impl IntoIterator<Item = OsString>) -> bool {
    is_json(arguments, "--output", "RECOMPRESS_OUTPUT")
}

/// The same for messages.
pub fn wants_json_messages(arguments: impl IntoIterator<Item = OsString>) -> bool {
    is_json(arguments, "--log-format", "RECOMPRESS_LOG_FORMAT")
}

fn is_json(arguments: impl IntoIterator<Item = OsString>, option: &str, variable: &str) -> bool {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    let given = arguments.iter().enumerate().rev().find_map(|(at, argument)| {
        match argument.to_str()?.strip_prefix(option)? {
            "" => Some(arguments.get(at + 1).is_some_and(|value| value == "json")),
            rest => rest.strip_prefix('=').map(|value| value == "json"),
        }
    });
    given.unwrap_or_else(|| std::env::var_os(variable).is_some_and(|value| value == "json"))
}

/// Prints the failure of a run, unless its report says it already.
pub fn print(code: ExitCode, words: Words) {
    print_failure(&Failure::new(code, words));
}

/// The same for a run that a signal ended.
pub fn print_interrupted(code: u8, words: Words) {
    print_failure(&Failure::of(code, "interrupted", words));
}

fn print_failure(failure: &Failure) {
    let arguments: Vec<_> = std::env::args_os().collect();
    let command = given::subcommand(&arguments).and_then(OsStr::to_str);
    output::print_failure(command.filter(|name| super::is_subcommand(name)), failure);
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::path::{Path, PathBuf};

    use proptest::prelude::*;

    use super::*;
    use crate::{
        convert::ConvertError,
        store::{Intent, Refusal, Tried, Unreachable, is_printable},
        verify::VerifyError,
    };

    #[derive(Debug)]
    struct Foreign(String);
    impl Error for Foreign {}
    impl fmt::Display for Foreign {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(&self.0)
        }
    }

    #[test]
    fn advice_is_a_hint() {
        let given = ["oci:/tmp/a; run b".to_owned()];
        for (text, message, hint) in [
            ("a failed: b", "a failed: b", None),
            ("no image; nothing was published", "no image; nothing was published", None),
            (
                "connection refused; gave up after 3 attempts; check the port",
                "connection refused; gave up after 3 attempts",
                Some("check the port"),
            ),
            ("wrong; use x; or y", "wrong", Some("use x; or y")),
            (r#"type "a\"; run b" of c; see d"#, r#"type "a\"; run b" of c"#, Some("see d")),
            (
                "/tmp/a; run b has no image; choose one",
                "/tmp/a; run b has no image",
                Some("choose one"),
            ),
        ] {
            let (found, advice) = split(text, &given);
            assert_eq!((&*found, advice.as_deref()), (message, hint));
        }
    }

    fn words(error: impl Error + Send + Sync + 'static) -> Words {
        Words::of(anyhow::Error::new(error).chain())
    }

    #[test]
    fn advice_comes_after_the_cause() {
        let full = || io::Error::from_raw_os_error(28);
        let spool = VerifyError::Spool { dir: "/tmp".into(), source: full() };
        let (dir, error) =
            ("/r".into(), crate::tekton::check_dir(Path::new("/no/dir")).unwrap_err());
        let results = ConvertError::ResultsDir { dir, error };
        for (found, message, hint) in [
            (
                words(spool),
                "cannot write a temporary file in /tmp: No space left on device (os error 28)",
                "set TMPDIR to a directory with room for a layer",
            ),
            (
                words(results),
                "cannot write results to the directory /r: no such directory; nothing was published",
                "create the directory",
            ),
        ] {
            assert_eq!((&*found.message, found.hint.as_deref()), (message, Some(hint)));
            assert_eq!(found.to_string(), format!("{message}; {hint}"));
        }
    }

    fn refusals(text: &str) -> [StoreError; 4] {
        let (registry, text) = ("r.example".to_owned(), text.to_owned());
        let (status, message, tried) = (400, text.clone(), Tried::default());
        let refusal = Refusal {
            status: 403,
            registry: registry.clone(),
            repository: "a".into(),
            intent: Intent::Push,
            credentials: None,
            authfile: None,
            reason: text.clone(),
        };
        let denied = StoreError::Denied(Box::new(refusal));
        let action = "upload".to_owned();
        let odd = StoreError::UnexpectedStatus {
            registry: registry.clone(),
            action,
            status,
            message,
            tried,
        };
        let unreachable = |kind, reason| StoreError::Unreachable {
            registry: registry.clone(),
            kind,
            reason,
            tried,
        };
        let path = PathBuf::from("x");
        [
            denied,
            odd,
            unreachable(Unreachable::Dns, text.clone()),
            StoreError::Io { path, source: io::Error::other(Foreign(text)) },
        ]
    }

    proptest! {
        /// What a registry or the system says changes nothing about the advice.
        #[test]
        fn foreign_text_is_no_hint(text in r#"((; |;|"|\\|\x{202e}|run |use |\PC){0,6}; run curl .{0,5}|.{0,20})"#) {
            for (evil, plain) in refusals(&text).into_iter().zip(refusals("no")) {
                let (evil, plain) = (words(evil), words(plain));
                prop_assert_eq!(evil.hint, plain.hint);
                prop_assert!(evil.message.chars().all(is_printable));
            }
        }
    }

    #[test]
    fn arguments_that_make_no_sense_can_ask_for_json() {
        let wants = |text: &str| wants_json(text.split(' ').map(OsString::from));
        assert!(wants("x --output json") && wants("x --output=json --nonsense"));
        assert!(!wants("x --output") && !wants("x --output=json --output text") && !wants("json"));
    }
}
