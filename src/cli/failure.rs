//! What a failed run prints to standard output with `--output json`.

use std::ffi::OsString;

use serde::Serialize;

use super::{exit::ExitCode, hints, output};
use crate::store::mask;

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
const ADVICE: [&str; 38] = [
    "add ",
    "allow ",
    "buy ",
    "check ",
    "choose ",
    "consider ",
    "convert ",
    "correct ",
    "create ",
    "delete ",
    "expected ",
    "for ",
    "get ",
    "give ",
    "have ",
    "if ",
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
    "select ",
    "set ",
    "specify ",
    "to ",
    "try ",
    "use ",
    "write ",
    "wait ",
];

impl Failure {
    pub(crate) fn new(code: ExitCode, text: &str) -> Self {
        Self::of(code as u8, code.kind(), text)
    }

    /// Messages have their advice at the end: from where it begins, it is a hint.
    fn of(code: u8, kind: &'static str, text: &str) -> Self {
        let text = mask(&hints::adapt(text)).into_owned();
        let is_advice = |rest: &&str| ADVICE.iter().any(|word| rest.starts_with(word));
        let mut parts = text.match_indices("; ").map(|(at, _)| (at, &text[at + 2..]));
        match parts.find(|(_, rest)| is_advice(rest)) {
            Some((at, hint)) => {
                Self { code, kind, message: text[..at].to_owned(), hint: Some(hint.to_owned()) }
            }
            None => Self { code, kind, message: text, hint: None },
        }
    }
}

/// Whether the arguments, which may make no sense otherwise, ask for JSON.
pub fn wants_json(arguments: impl IntoIterator<Item = OsString>) -> bool {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    let given = arguments.iter().enumerate().rev().find_map(|(at, argument)| {
        match argument.to_str()?.strip_prefix("--output")? {
            "" => Some(arguments.get(at + 1).is_some_and(|value| value == "json")),
            rest => rest.strip_prefix('=').map(|value| value == "json"),
        }
    });
    given.unwrap_or_else(|| {
        std::env::var_os("RECOMPRESS_OUTPUT").is_some_and(|value| value == "json")
    })
}

/// Prints the failure of a run, unless its report says it already.
pub fn print(code: ExitCode, text: &str) {
    output::print_failure(&Failure::new(code, text));
}

/// The same for a run that a signal ended.
pub fn print_interrupted(code: u8, text: &str) {
    output::print_failure(&Failure::of(code, "interrupted", text));
}

/// The same for what the parser of arguments refuses. `text` is its message, with usage and hints.
pub fn print_usage(text: &str) {
    let mut paragraphs =
        text.split("\n\n").map(|text| text.lines().map(str::trim).collect::<Vec<_>>().join(" "));
    let message = paragraphs.next().unwrap_or_default();
    let message = message.strip_prefix("error: ").unwrap_or(&message).to_owned();
    let mut failure = Failure::new(ExitCode::Usage, &message);
    let tip = paragraphs.find_map(|text| text.strip_prefix("tip: ").map(str::to_owned));
    failure.hint = failure.hint.or(tip);
    output::print_failure(&failure);
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn advice_is_a_hint() {
        for (text, message, hint) in [
            ("a failed: b", "a failed: b", None),
            ("no image; nothing was published", "no image; nothing was published", None),
            (
                "connection refused; gave up after 3 attempts; check the port",
                "connection refused; gave up after 3 attempts",
                Some("check the port"),
            ),
            ("wrong; use x; or y", "wrong", Some("use x; or y")),
        ] {
            let failure = Failure::new(ExitCode::Registry, text);
            assert_eq!((&*failure.message, failure.hint.as_deref()), (message, hint));
        }
    }

    #[test]
    fn arguments_that_make_no_sense_can_ask_for_json() {
        let wants = |text: &str| wants_json(text.split(' ').map(OsString::from));
        assert!(wants("x --output json") && wants("x --output=json --nonsense"));
        assert!(!wants("x --output") && !wants("x --output=json --output text") && !wants("json"));
    }
}
