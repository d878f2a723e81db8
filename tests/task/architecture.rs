//! The order of the modules in docs/architecture.md: none uses one to its left, or one in its own
//! braces, so there is no circle either.

use std::{collections::BTreeMap, ffi::OsStr, fs, path::Path};

use test_support::read;

/// The modules and their places in the order, from the left.
fn order(text: &str) -> BTreeMap<String, usize> {
    let line = text.lines().find(|line| line.contains("cli →")).unwrap();
    let places = line.split('→').enumerate();
    places
        .flat_map(|(place, modules)| {
            let names =
                modules.split(|c: char| !c.is_alphanumeric()).filter(|name| !name.is_empty());
            names.map(move |name| (name.to_owned(), place))
        })
        .collect()
}

/// The code of a module and of those in it, without comments.
fn code(path: &Path) -> String {
    if path.is_dir() {
        let entries = fs::read_dir(path).unwrap();
        return entries.map(|entry| code(&entry.unwrap().path())).collect();
    }
    let text = fs::read_to_string(path).unwrap_or_default();
    let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
    code.collect::<Vec<_>>().join("\n")
}

/// The first names in the paths that begin with `crate::`.
fn used(code: &str) -> Vec<&str> {
    let mut used = Vec::new();
    for rest in code.split("crate::").skip(1) {
        let Some(list) = rest.strip_prefix('{') else {
            used.extend(rest.split(|c: char| !c.is_alphanumeric() && c != '_').next());
            continue;
        };
        let (mut depth, mut start) = (0_usize, 0);
        for (at, character) in list.char_indices() {
            match character {
                ',' | '}' if depth == 0 => {
                    let name = list[start..at].trim().split("::").next().unwrap_or_default();
                    used.push(name);
                    start = at + 1;
                    if character == '}' {
                        break;
                    }
                }
                '{' => depth += 1,
                '}' => depth -= 1,
                _ => {}
            }
        }
    }
    used
}

#[test]
fn modules_use_only_those_to_their_right() {
    let order = order(&read("docs/architecture.md"));
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut uses = 0;
    for (module, place) in &order {
        let code = code(&src.join(format!("{module}.rs"))) + &code(&src.join(module));
        for other in used(&code) {
            if other == module {
                continue;
            }
            if let Some(other_place) = order.get(other) {
                assert!(other_place > place, "{module} uses {other}, which is not to its right");
                uses += 1;
            }
        }
    }
    assert!(uses > 100, "{uses} uses found");
    for entry in fs::read_dir(&src).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().and_then(OsStr::to_str).unwrap();
        assert!(order.contains_key(name) || ["lib", "main"].contains(&name), "{name} has no place");
    }
}
