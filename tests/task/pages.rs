//! The pages of the documentation against the program: what they say to type, and the messages that they
//! explain.

use std::{collections::BTreeSet, fs, path::Path, process::Command};

use serde_json::Value as Json;
use test_support::{need, program_path, read, registry::Registry, work_dir};

use crate::{
    NAME,
    images::{document, push},
    readme::{help_of, options, variables},
};

const CI: &str = "docs/ci.md";
const TROUBLESHOOTING: &str = "docs/troubleshooting.md";

/// The blocks of code of a page in this language.
fn blocks(path: &str, language: &str) -> Vec<String> {
    let (text, fence) = (read(path), format!("\n```{language}\n"));
    let blocks = text.split(&fence).skip(1);
    blocks.map(|block| block.split("\n```").next().unwrap().to_owned()).collect()
}

/// The code spans of a page, outside of blocks.
fn spans(text: &str) -> Vec<String> {
    let prose = text.split("```").step_by(2).collect::<String>();
    prose.split('`').skip(1).step_by(2).map(|span| span.replace('\n', " ")).collect()
}

/// Commands of ours in a page, with their options, each in one line; those of other programs in
/// the same line come first.
fn commands(text: &str) -> Vec<String> {
    let joined = text.replace("\\\n", " ");
    let after = |line: &str| {
        let (_, rest) = line.rsplit_once("recompress-image ")?;
        // In a command of tkn, it is the Task's name.
        let is_subcommand = rest.starts_with(|c: char| c.is_ascii_lowercase());
        (is_subcommand && !line.starts_with('#')).then(|| rest.to_owned())
    };
    joined.lines().filter_map(after).collect()
}

/// What the program accepts anywhere, and the page names.
fn check_options(path: &str, text: &str) -> usize {
    let subcommands = ["convert", "verify", "inspect", "diff", "probe", "digest", "man"];
    let help = subcommands.map(help_of).concat();
    let known = options(&help);
    let mut named: Vec<String> =
        spans(text).into_iter().filter(|it| it.starts_with("--")).collect();
    named.extend(commands(text));
    let mut count = 0;
    for text in &named {
        let unknown: BTreeSet<_> = options(text).difference(&known).copied().collect();
        assert!(unknown.is_empty(), "{path}: {unknown:?} in {text}");
        count += options(text).len();
    }
    let unknown: Vec<_> = variables(text).difference(&variables(&help)).copied().collect();
    // Of the tests and of the Task.
    let others = ["HINTS", "PEERS", "REQUIRE", "IMAGE_DIR", "SBOM_TOOLS", "BLESS"];
    let is_other = |name: &&&str| !others.iter().any(|other| name.contains(other));
    assert_eq!(unknown.iter().find(is_other), None, "{path}");
    count
}

#[test]
fn options_on_the_pages_exist() {
    assert!(check_options(CI, &read(CI)) >= 3);
    assert!(check_options(TROUBLESHOOTING, &read(TROUBLESHOOTING)) >= 15);
    for path in ["README.md", "docs/indexes.md", "docs/reuse.md", "docs/sbom.md"] {
        assert!(check_options(path, &read(path)) >= 2, "{path}");
    }
}

/// A job's script as one text.
fn script(job: &Json) -> String {
    let lines = ["before_script", "script"].into_iter().filter_map(|name| job[name].as_array());
    let steps = job["steps"].as_array().into_iter().flatten().map(|step| &step["run"]);
    let lines = lines.flatten().chain(steps).filter_map(Json::as_str);
    lines.collect::<Vec<_>>().join("\n")
}

/// bash reads it, without running it.
fn parses(script: &str) {
    let output = Command::new("bash").args(["-n", "-c", script]).output().unwrap();
    assert!(output.status.success(), "{}: {script}", String::from_utf8_lossy(&output.stderr));
}

/// Each job file is YAML, its jobs hand on what later ones use, and its scripts convert, verify and
/// name the result.
#[test]
fn jobs_for_ci_hold_together() {
    let files: Vec<Json> = blocks(CI, "yaml")
        .iter()
        .map(|text| serde_saphyr::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}")))
        .collect();
    let [gitlab, github] = &files[..] else { panic!("{} files", files.len()) };
    let stages: Vec<_> = gitlab["stages"].as_array().unwrap().iter().collect();
    let jobs = gitlab.as_object().unwrap().iter().filter(|(name, _)| *name != "stages");
    let mut scripts = Vec::new();
    for (name, job) in jobs {
        assert!(stages.contains(&&job["stage"]), "{name}: {}", job["stage"]);
        scripts.push(script(job));
        if let Some(file) = job["artifacts"]["reports"]["dotenv"].as_str() {
            assert!(script(job).contains(&format!(">{file}")), "{name} writes {file}");
        }
    }
    for (name, job) in github["jobs"].as_object().unwrap() {
        scripts.push(script(job));
        for output in job["outputs"].as_object().into_iter().flatten() {
            let (key, value) = (output.0, output.1.as_str().unwrap());
            let id = value.split('.').nth(1).unwrap();
            let steps = job["steps"].as_array().unwrap();
            let step = steps.iter().find(|step| step["id"] == id).unwrap();
            let run = step["run"].as_str().unwrap();
            assert!(run.contains(&format!("{key}=")), "{name} sets {key}: {run}");
        }
        if let Some(before) = job["needs"].as_str() {
            assert!(github["jobs"][before]["outputs"].is_object(), "{name} needs {before}");
        }
    }
    assert_eq!(scripts.len(), 6);
    for script in &scripts {
        parses(script);
    }
    let all = scripts.join("\n");
    assert_eq!(
        all.matches("recompress-image verify \"$converted\" --against \"$SOURCE\"").count(),
        2
    );
    assert_eq!(blocks(CI, "sh").len(), 1);
    parses(&blocks(CI, "sh")[0]);
}

/// The steps that convert do so, and hand on a reference by digest to an image that is there.
#[test]
fn jobs_for_ci_convert() {
    let Some(registry) = need("jobs_for_ci_convert", Registry::start()) else { return };
    let source = push(&registry, NAME, "1.2", "amd64");
    let source = format!("{}/{NAME}:1.2@{source}", registry.host());
    let files = blocks(CI, "yaml");
    let [gitlab, github] =
        [&files[0], &files[1]].map(|text| serde_saphyr::from_str::<Json>(text).unwrap());
    let gitlab = gitlab["recompress"]["script"].as_array().unwrap();
    let gitlab: Vec<_> = gitlab.iter().map(|line| line.as_str().unwrap()).collect();
    let steps = github["jobs"]["recompress"]["steps"].as_array().unwrap();
    let github =
        steps.iter().find(|step| step["id"] == "convert").unwrap()["run"].as_str().unwrap();
    let has_jq = Command::new("jq").arg("--version").output().is_ok();
    for (script, file, variable) in
        [(gitlab.join("\n"), "converted.env", "CONVERTED"), (github.to_owned(), "output", "image")]
    {
        if script.contains("jq ") && !has_jq {
            continue;
        }
        let dir = work_dir();
        let bin = program_path().parent().unwrap().display().to_string();
        let path = format!("{bin}:{}", std::env::var("PATH").unwrap());
        let mut command = Command::new("bash");
        command.args(["-eo", "pipefail", "-c", &script]).current_dir(dir.path());
        command.env("SOURCE", &source).env("GITHUB_OUTPUT", "output").env("PATH", path);
        let output = command.env("NO_PROXY", "*").output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let handed_on = fs::read_to_string(dir.path().join(file)).unwrap();
        let reference = handed_on.trim_end().strip_prefix(&format!("{variable}=")).unwrap();
        let (image, digest) = reference.split_once('@').unwrap();
        assert_eq!(image, format!("{}/{NAME}:1.2-zstd-chunked", registry.host()));
        document(&registry, NAME, digest);
    }
}

/// The text of all sources of the program, with strings as they are printed.
fn sources(dir: &Path) -> String {
    let mut all = String::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            all += &sources(&path);
        } else {
            // A line of a string that goes on in the next one.
            let text = fs::read_to_string(&path).unwrap();
            let mut parts = text.split("\\\n");
            all += parts.next().unwrap();
            all.extend(parts.map(str::trim_start));
        }
    }
    all
}

/// Messages that the page explains are those that the program prints: every part between names and
/// numbers is in the sources.
#[test]
fn messages_of_the_troubleshooting_page_exist() {
    let page = read(TROUBLESHOOTING);
    let all = sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"));
    let headings = page.lines().filter_map(|line| {
        line.strip_prefix("### `")?.strip_suffix('`').filter(|text| !text.contains('`'))
    });
    let of_lists = page.lines().filter_map(|line| line.strip_prefix("- `")?.split_once("`: "));
    let of_lists = of_lists.flat_map(|(texts, _)| texts.split("`, `"));
    let mut count = 0;
    for message in headings.chain(of_lists) {
        let parts = message.split(['…', '`']).flat_map(|part| part.split(": "));
        let parts: Vec<_> = parts.map(|part| part.trim_matches([' ', ':', ',', ';'])).collect();
        for part in &parts {
            assert!(all.contains(part), "no {part:?} in the sources, of {message:?}");
        }
        assert!(parts.iter().map(|part| part.len()).sum::<usize>() >= 12, "{message}");
        count += 1;
    }
    assert!(count >= 30, "{count}");
}
