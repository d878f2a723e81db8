//! The Tekton Task against what Tekton demands, against its own README, and against the binary.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod definition;

use definition::{Step, Task};
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Command;

const NAME: &str = "recompress-image";

fn read(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn definition() -> String {
    read(&format!("task/{NAME}/{NAME}.yaml"))
}

fn task() -> Task {
    serde_saphyr::from_str(&definition()).unwrap()
}

fn step(task: &Task) -> &Step {
    let [step] = task.spec.steps.as_slice() else { panic!("the Task has exactly one step") };
    step
}

fn names<'a>(items: impl IntoIterator<Item = &'a str>) -> BTreeSet<&'a str> {
    let mut seen = BTreeSet::new();
    for item in items {
        assert!(seen.insert(item), "{item} is there twice");
    }
    seen
}

/// All `NAME` of `$(KIND.NAME` in `text`, the terms that Tekton substitutes.
fn substituted<'a>(text: &'a str, kind: &str) -> BTreeSet<&'a str> {
    text.split(&format!("$({kind}."))
        .skip(1)
        .map(|rest| rest.split([')', '.', '[']).next().unwrap())
        .collect()
}

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

fn options(text: &str) -> BTreeSet<&str> {
    words(text, "--", |c| c.is_ascii_lowercase() || c == '-')
}

fn variables(text: &str) -> BTreeSet<&str> {
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

fn help() -> String {
    let output =
        Command::new(env!("CARGO_BIN_EXE_recompress-image")).args(["convert", "--help"]).output();
    let output = output.unwrap();
    assert!(output.status.success(), "convert --help: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn metadata_follows_the_conventions_of_tekton_and_konflux() {
    let task = task();
    assert_eq!(task.api_version, "tekton.dev/v1");
    assert_eq!(task.kind, "Task");
    assert_eq!(task.metadata.name, NAME);
    assert!(!task.spec.description.is_empty());
    assert_eq!(task.metadata.labels["app.kubernetes.io/version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(task.metadata.labels["build.appstudio.redhat.com/build_type"], "docker");
    for annotation in ["pipelines.minVersion", "categories", "tags", "displayName", "platforms"] {
        let value = &task.metadata.annotations[&format!("tekton.dev/{annotation}")];
        assert!(value.as_str().is_some_and(|value| !value.is_empty()), "{annotation}: {value}");
    }
}

#[test]
fn only_the_source_is_required_and_all_defaults_are_strings() {
    let task = task();
    for param in &task.spec.params {
        assert_eq!(param.kind, "string", "{}", param.name);
        assert!(!param.description.is_empty(), "{}", param.name);
        match &param.default {
            None => assert_eq!(param.name, "IMAGE"),
            Some(default) => assert!(default.is_string(), "{}: {default}", param.name),
        }
    }
}

#[test]
fn every_param_is_declared_and_used() {
    let task = task();
    let declared = names(task.spec.params.iter().map(|param| param.name.as_str()));
    let text = definition();
    assert_eq!(declared, substituted(&text, "params"));
    assert!(substituted(&text, "results").is_subset(&result_names(&task)));
    assert_eq!(substituted(&text, "workspaces"), BTreeSet::new());
}

fn result_names(task: &Task) -> BTreeSet<&str> {
    names(task.spec.results.iter().map(|result| result.name.as_str()))
}

/// Chains and Conforma take a URL and a digest as one output of the run, by the suffixes of their
/// names (tektoncd/chains, `pkg/artifacts/signable.go`): another pair would be signed as ours.
#[test]
fn results_are_those_that_chains_pairs() {
    let task = task();
    assert_eq!(result_names(&task), BTreeSet::from(["IMAGE_DIGEST", "IMAGE_REF", "IMAGE_URL"]));
    for result in &task.spec.results {
        assert_eq!(result.kind, "string", "{}", result.name);
        assert!(!result.description.is_empty(), "{}", result.name);
    }
    let args = &step(&task).args;
    let at = args.iter().position(|arg| arg == "--results-dir").unwrap();
    assert_eq!(args[at + 1], "/tekton/results");
}

/// A param in `args` could pass for an option, one in a script for code: both go by `env`.
#[test]
fn the_step_is_a_command_and_params_reach_it_by_environment_only() {
    let task = task();
    let step = step(&task);
    assert_eq!(step.name, "recompress");
    assert_eq!(step.image_pull_policy, "IfNotPresent");
    assert_eq!(step.args.first().map(String::as_str), Some("convert"));
    for word in step.command.iter().chain(&step.args).chain([&step.image]) {
        assert!(!word.contains("$("), "{word}");
    }
    names(step.env.iter().map(|variable| variable.name.as_str()));
    for variable in &step.env {
        assert!(variable.value.is_string(), "{}: {}", variable.name, variable.value);
    }
    let entrypoint = format!("ENTRYPOINT {:?}", step.command);
    assert!(read("Containerfile").lines().any(|line| line == entrypoint), "{entrypoint}");
}

#[test]
fn the_placeholder_image_is_in_one_place_and_has_our_version() {
    let task = task();
    let image = &step(&task).image;
    let (repository, tag) = image.rsplit_once(':').unwrap();
    assert_eq!(tag, env!("CARGO_PKG_VERSION"));
    assert_eq!(definition().matches(repository).count(), 1);
    for document in ["README.md", &format!("task/{NAME}/README.md")] {
        assert!(read(document).contains(&format!("sed \"s|{image}|$image|\"")), "{document}");
    }
    assert!(read("Containerfile").lines().any(|line| line == format!("ARG VERSION={tag}")));
}

/// The Pod Security Standard "restricted", and no writable root on top of it.
#[test]
fn the_step_is_restricted() {
    let task = task();
    let context = &step(&task).security_context;
    assert!(context.run_as_non_root);
    assert!(context.read_only_root_filesystem);
    assert!(!context.allow_privilege_escalation);
    assert_eq!(context.capabilities.drop, ["ALL"]);
    assert_eq!(context.seccomp_profile.kind, "RuntimeDefault");
}

#[test]
fn memory_is_guaranteed_and_cpu_is_not_limited() {
    let task = task();
    let resources = &step(&task).compute_resources;
    assert_eq!(resources.limits.keys().collect::<Vec<_>>(), ["memory"]);
    assert_eq!(resources.limits["memory"], resources.requests["memory"]);
    assert!(resources.requests.contains_key("cpu"));
}

#[test]
fn temporary_files_go_to_a_volume_that_dies_with_the_pod() {
    let task = task();
    let step = step(&task);
    let [mount] = step.volume_mounts.as_slice() else { panic!("one mount") };
    let [volume] = task.spec.volumes.as_slice() else { panic!("one volume") };
    assert_eq!(mount.name, volume.name);
    assert_eq!(volume.empty_dir.len(), 0);
    // Tekton's webhook refuses mounts there.
    assert!(!mount.mount_path.starts_with("/tekton"));
    let tmpdir = step.env.iter().find(|variable| variable.name == "TMPDIR").unwrap();
    assert_eq!(tmpdir.value, mount.mount_path.as_str());
}

#[test]
fn the_task_readme_has_the_tables_of_the_definition() {
    let task = task();
    let mut params = "|name|description|default value|required|\n|---|---|---|---|\n".to_owned();
    for param in &task.spec.params {
        let default = param.default.as_ref().map_or("", |default| default.as_str().unwrap());
        let required = param.default.is_none();
        writeln!(params, "|{}|{}|{default}|{required}|", param.name, param.description).unwrap();
    }
    let mut results = "|name|description|\n|---|---|\n".to_owned();
    for result in &task.spec.results {
        writeln!(results, "|{}|{}|", result.name, result.description).unwrap();
    }
    let readme = read(&format!("task/{NAME}/README.md"));
    assert_eq!(section(&readme, "## Parameters").trim_start(), params);
    assert_eq!(section(&readme, "## Results").trim_start(), results);
}

#[test]
fn the_step_uses_only_what_the_binary_knows() {
    let help = help();
    let task = task();
    let step = step(&task);
    let used: String = step.args.join(" ");
    assert!(options(&used).is_subset(&options(&help)), "{used} in {help}");
    let used: Vec<_> = step.env.iter().map(|variable| variable.name.as_str()).collect();
    let used = used.join(" ");
    assert!(variables(&used).is_subset(&variables(&help)), "{used} in {help}");
}

#[test]
fn the_readme_names_every_option_and_no_other() {
    let help = help();
    let readme = read("README.md");
    let table = section(&readme, "### Options");
    let of_clap = BTreeSet::from(["--help", "--version"]);
    assert_eq!(options(table), options(&help).difference(&of_clap).copied().collect());
    assert_eq!(variables(table), variables(&help));
}
