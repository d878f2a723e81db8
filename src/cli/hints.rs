//! Messages in a Tekton Task, whose users know its params and no options.

use std::borrow::Cow;

/// Set to [`TEKTON`] by the Task and the StepAction.
pub(super) const VARIABLE: &str = "RECOMPRESS_HINTS";
const TEKTON: &str = "tekton";

/// What options are to users of the Task; those that begin like another one come first.
const WORDS: [(&str, &str); 32] = [
    (", or convert what the tag names now with --resolve-tag", ""),
    ("--resolve-tag", "RECOMPRESS_RESOLVE_TAG"),
    (", or move the tag with --in-place", ""),
    ("\nFor more information, try '--help'.\n", ""),
    ("log in again or pass --authfile", "renew the secret of the ServiceAccount"),
    ("or pass --authfile", "or use another secret in the ServiceAccount"),
    ("--compression-format <FORMAT>", "COMPRESSION_FORMAT"),
    ("--compression-format", "COMPRESSION_FORMAT"),
    ("--compression-level <LEVEL>", "COMPRESSION_LEVEL"),
    ("--all-platforms[=<BOOL>]", "ALL_PLATFORMS"),
    ("--all-platforms", "ALL_PLATFORMS=true"),
    ("--add[=<BOOL>]", "ADD_TO_INDEX"),
    ("--add", "ADD_TO_INDEX=true"),
    ("--platform <PLATFORM>", "SOURCE_PLATFORM"),
    ("--platform", "SOURCE_PLATFORM"),
    ("--reuse-from <IMAGE|base|none>", "REUSE_FROM"),
    ("--reuse-from", "REUSE_FROM"),
    ("--sbom <none|copy|DIGEST>", "SBOM"),
    ("--sbom", "SBOM"),
    ("--expires-after <PERIOD>", "IMAGE_EXPIRES_AFTER"),
    ("--results-limit <BYTES>", "RESULTS_LIMIT"),
    ("--results-limit", "RESULTS_LIMIT"),
    ("--commit-timeout <TIME>", "COMMIT_TIMEOUT"),
    ("--commit-timeout", "COMMIT_TIMEOUT"),
    ("--tls-verify[=<BOOL>]", "TLSVERIFY"),
    ("--tls-verify", "TLSVERIFY"),
    ("--ca-file", "the ConfigMap that caTrustConfigMapName names"),
    ("--jobs <N>", "JOBS"),
    ("--memory", "the memory limit of the step"),
    ("--log <FILTER>", "LOG_LEVEL"),
    ("[DESTINATION]", "DESTINATION_IMAGE"),
    ("<SOURCE>", "IMAGE"),
];

/// The beginning and the end of advice on where to get credentials.
const LOGIN: (&str, &str) = ("log in with `podman login ", "`, or pass --creds or --authfile");

/// Whether messages are read by users of the Task.
pub(super) fn are_for_task() -> bool {
    std::env::var_os(VARIABLE).is_some_and(|value| value == TEKTON)
}

/// A message as its readers understand it.
pub fn adapt(text: &str) -> Cow<'_, str> {
    if are_for_task() { Cow::Owned(for_task(text)) } else { Cow::Borrowed(text) }
}

fn for_task(text: &str) -> String {
    let mut text = text.to_owned();
    if let Some((before, rest)) = text.split_once(LOGIN.0)
        && let Some((registry, after)) = rest.split_once(LOGIN.1)
    {
        text = format!("{before}add a secret for {registry} to the ServiceAccount{after}");
    }
    for (option, param) in WORDS {
        text = replace(&text, option, param);
    }
    text
}

/// Replaces an option, and not the beginning of a longer one.
fn replace(text: &str, option: &str, param: &str) -> String {
    let mut new = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once(option) {
        let is_longer = |c: char| c == '-' && option.starts_with("--") || c.is_ascii_lowercase();
        let is_word = |c: char| c == '-' || c.is_alphanumeric();
        let is_part = after.starts_with(is_longer)
            || option.starts_with(is_word) && before.ends_with(is_word);
        new += before;
        new += if is_part { option } else { param };
        rest = after;
    }
    new + rest
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use clap::CommandFactory as _;

    use super::*;
    use crate::cli::Cli;

    #[test]
    fn advice_names_params() {
        for (text, expected) in [
            (
                "it is an index; choose one image with --platform (linux/amd64), or write an index \
                 with --all-platforms, --add or --compression-format=dual",
                "it is an index; choose one image with SOURCE_PLATFORM (linux/amd64), or write an \
                 index with ALL_PLATFORMS=true, ADD_TO_INDEX=true or COMPRESSION_FORMAT=dual",
            ),
            (
                "no credentials were found: log in with `podman login quay.io`, or pass --creds or \
                 --authfile, and check the repository's name",
                "no credentials were found: add a secret for quay.io to the ServiceAccount, and \
                 check the repository's name",
            ),
            (
                "were rejected: log in again or pass --authfile",
                "were rejected: renew the secret of \
              the ServiceAccount",
            ),
            ("raise --results-limit", "raise RESULTS_LIMIT"),
            ("a longer --commit-timeout", "a longer COMMIT_TIMEOUT"),
            (
                "clients have no other tag; choose another destination, or move the tag with \
                 --in-place",
                "clients have no other tag; choose another destination",
            ),
            (
                "run `recompress-image digest app:1` to get the reference with its digest, or \
                 convert what the tag names now with --resolve-tag",
                "run `recompress-image digest app:1` to get the reference with its digest",
            ),
            ("allow this with --tls-verify=false", "allow this with TLSVERIFY=false"),
            (
                "invalid value 'x' for '--platform <PLATFORM>'",
                "invalid value 'x' for \
              'SOURCE_PLATFORM'",
            ),
            ("--add-all --x--add", "--add-all --x--add"),
        ] {
            assert_eq!(for_task(text), expected);
        }
    }

    /// Each option of `convert` that the parser would name, if the Task has a param for it.
    #[test]
    fn every_param_of_the_task_is_named() {
        let task = include_str!("../../task/recompress-image/recompress-image.yaml");
        let mut command = Cli::command();
        command.build();
        let convert = command.find_subcommand("convert").unwrap();
        let (mut found, mut lines) = (0, task.lines());
        while let Some(line) = lines.next() {
            let Some(variable) = line.trim().strip_prefix("- name: RECOMPRESS_") else { continue };
            let value = lines.next().unwrap_or_default();
            let Some(param) = value.trim().strip_prefix("value: $(params.") else { continue };
            let param = param.trim_end_matches(')');
            let variable = format!("RECOMPRESS_{variable}");
            let of_variable = |arg: &&clap::Arg| arg.get_env().is_some_and(|env| *env == *variable);
            let arg = convert.get_arguments().chain(command.get_arguments()).find(of_variable);
            let named = arg.unwrap().to_string();
            assert_eq!(for_task(&format!("for '{named}'")), format!("for '{param}'"));
            found += 1;
        }
        assert!(found > 10);
    }
}
