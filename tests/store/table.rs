//! The table in README.md and the tests say the same.

use std::{collections::BTreeSet, fs, path::Path};

/// Test files that are no scenarios of registries.
const OTHERS: [&str; 3] = ["layout.rs", "main.rs", "table.rs"];

/// What is between double quotes at the beginning of `text`.
fn quoted(text: &str) -> Option<&str> {
    text.trim_start().strip_prefix('"')?.split('"').next()
}

/// The names of a file's tests, with a case each where there are any: `file::test: case`.
fn names(file: &str, code: &str) -> Vec<String> {
    let mut names = Vec::new();
    for test in code.split("\n#[test]").chain(code.split("\n#[tokio::test")).filter_map(|rest| {
        let (attributes, rest) = rest.split_once("fn ")?;
        // What is before the first test is none.
        attributes
            .lines()
            .skip(1)
            .all(|line| line.starts_with('#') || line.starts_with("async "))
            .then_some(rest)
    }) {
        let name = format!("{file}::{}", test.split('(').next().unwrap_or_default());
        let body = test.split("\n}\n").next().unwrap_or_default();
        let cases = body.split("case(").skip(1).filter_map(quoted);
        let statuses = body.split("statuses([").skip(1).flat_map(|list| {
            list.split(']').next().unwrap_or_default().split(',').filter_map(quoted)
        });
        let cases: Vec<_> = cases.chain(statuses).map(|case| format!("{name}: {case}")).collect();
        if cases.is_empty() { names.push(name) } else { names.extend(cases) }
    }
    names
}

#[test]
fn the_table_and_the_tests_agree() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/store");
    let mut tests = BTreeSet::new();
    for entry in fs::read_dir(&dir).unwrap() {
        let path = entry.unwrap().path();
        let file = path.file_name().unwrap().to_str().unwrap();
        let Some(module) = file.strip_suffix(".rs").filter(|_| !OTHERS.contains(&file)) else {
            continue;
        };
        for name in names(module, &fs::read_to_string(&path).unwrap()) {
            assert!(tests.insert(name.clone()), "{name} twice");
        }
    }
    let readme = fs::read_to_string(dir.join("README.md")).unwrap();
    let mut rows = BTreeSet::new();
    for line in readme.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<_> = line.split('|').map(str::trim).collect();
        let [_, name, server, client, _] = cells[..] else { panic!("no row of three: {line}") };
        assert!(!server.is_empty() && !client.is_empty(), "{line}");
        assert!(rows.insert(name.trim_matches('`').to_owned()), "{name} twice");
    }
    let missing: Vec<_> = tests.difference(&rows).collect();
    let stale: Vec<_> = rows.difference(&tests).collect();
    assert!(missing.is_empty(), "without a row: {missing:#?}");
    assert!(stale.is_empty(), "rows without a test: {stale:#?}");
    println!("registries: {} scenarios, each with a row in tests/store/README.md", rows.len());
    assert!(rows.len() >= 100);
}
