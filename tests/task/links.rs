//! Links between our Markdown files: each leads to a file that exists, and to a heading in it.

use std::{collections::BTreeSet, fs, path::Path};

use test_support::read;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// Markdown files below `folder`, by their paths in the repository.
fn markdown(folder: &str) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(Path::new(ROOT).join(folder)).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        let path = if folder.is_empty() { name } else { format!("{folder}/{name}") };
        if entry.file_type().unwrap().is_dir() {
            if !folder.is_empty() {
                found.extend(markdown(&path));
            }
        } else if Path::new(&path).extension().is_some_and(|of| of == "md") {
            found.push(path);
        }
    }
    found
}

/// The lines outside code blocks, with code spans emptied.
fn prose(text: &str) -> Vec<String> {
    let mut in_code = false;
    let mut lines = Vec::new();
    for line in text.lines() {
        if line.starts_with("```") {
            in_code = !in_code;
        } else if !in_code {
            lines.push(line.split('`').step_by(2).collect::<Vec<_>>().join("`"));
        }
    }
    lines
}

/// The anchors that GitHub gives the headings of a file.
fn anchors(path: &str) -> BTreeSet<String> {
    let text = read(path);
    let mut in_code = false;
    let mut anchors = BTreeSet::new();
    for line in text.lines() {
        in_code ^= line.starts_with("```");
        let title = line.trim_start_matches('#');
        if !in_code && title.len() < line.len() && title.starts_with(' ') {
            let kept = title.trim().chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
            let anchor: String = kept.map(|c| if c == ' ' { '-' } else { c }).collect();
            let anchor = anchor.to_lowercase();
            assert!(
                anchors.insert(anchor.clone()),
                "{path}: two headings have the anchor {anchor}"
            );
        }
    }
    anchors
}

/// `a/b/../c` as `a/c`.
fn normal(path: &str) -> String {
    let mut parts = Vec::new();
    for part in path.split('/').filter(|part| !part.is_empty() && *part != ".") {
        if part == ".." {
            assert!(parts.pop().is_some(), "{path} leads out of the repository");
        } else {
            parts.push(part);
        }
    }
    parts.join("/")
}

/// The file and the anchor that each link of a file names, with its own name where it names none.
fn links(path: &str) -> Vec<(String, Option<String>)> {
    let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
    let mut links = Vec::new();
    for line in prose(&read(path)) {
        for target in line.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            if target.starts_with("https://") || target.starts_with("http://") {
                continue;
            }
            let (file, anchor) = match target.split_once('#') {
                Some((file, anchor)) => (file, Some(anchor.to_owned())),
                None => (target, None),
            };
            let file =
                if file.is_empty() { path.to_owned() } else { normal(&format!("{folder}/{file}")) };
            links.push((file, anchor));
        }
    }
    links
}

#[test]
fn every_link_leads_somewhere() {
    let folders = ["", "docs", "task", "stepaction", "tests"];
    let files: Vec<_> = folders.into_iter().flat_map(markdown).collect();
    let mut count = 0;
    for path in &files {
        for (file, anchor) in links(path) {
            assert!(Path::new(ROOT).join(&file).exists(), "{path} links to {file}");
            if let Some(anchor) = anchor {
                assert!(anchors(&file).contains(&anchor), "{path} links to {file}#{anchor}");
            }
            count += 1;
        }
    }
    assert!(count >= 40, "only {count} links found");
}

/// What looks like a path of ours in code spans, as in `src/lib.rs`.
fn paths(path: &str) -> Vec<String> {
    let text = read(path);
    let prose = text.split("```").step_by(2).collect::<String>();
    let spans = prose.split('`').skip(1).step_by(2);
    let ours = ["src/", "tests/", "hack/", "docs/", "benches/", "fuzz/", "task/", "stepaction/"];
    let is_ours = |span: &&str| {
        ours.iter().any(|folder| span.starts_with(folder)) && !span.contains(['*', ' ', '|', '\n'])
    };
    spans.filter(is_ours).map(str::to_owned).collect()
}

#[test]
fn files_that_documents_name_exist() {
    let mut count = 0;
    for path in ["", "docs"].into_iter().flat_map(markdown) {
        for named in paths(&path) {
            assert!(Path::new(ROOT).join(&named).exists(), "{path} names {named}");
            count += 1;
        }
    }
    assert!(count >= 40, "only {count} paths found");
}

#[test]
fn the_readme_links_to_every_page() {
    let linked: BTreeSet<_> = links("README.md").into_iter().map(|(file, _)| file).collect();
    for page in markdown("docs") {
        assert!(linked.contains(&page), "README.md does not link to {page}");
    }
}
