//! Tells the program which commit and target it is built from, as `--version` prints them. Without
//! git, as in a release tarball, the commit is unknown, unless the variable `REVISION` names it.

use std::{env, process::Command};

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-env-changed=REVISION");
    let target = env::var("TARGET").unwrap_or_default();
    let given = env::var("REVISION").ok().filter(|text| is_commit(text));
    // While the program is being worked on, a new commit is no reason to build everything again.
    let is_release = env::var("PROFILE").is_ok_and(|profile| profile == "release");
    let commit = given.or_else(|| if is_release { of_checkout() } else { None });
    let commit = commit.map(|commit| format!("commit {commit}, "));
    println!("cargo:rustc-env=BUILT_FROM={}{target}", commit.unwrap_or_default());
}

fn is_commit(text: &str) -> bool {
    text.len() >= 7 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// The commit that is checked out, if this directory is a repository itself and not merely in one.
fn of_checkout() -> Option<String> {
    let git = |arguments: &[&str]| {
        let output = Command::new("git").args(arguments).output().ok()?;
        let text = String::from_utf8(output.stdout).ok()?;
        output.status.success().then(|| text.trim_end().to_owned())
    };
    let top = git(&["rev-parse", "--show-toplevel"])?;
    if std::path::Path::new(&top).canonicalize().ok()?
        != env::current_dir().ok()?.canonicalize().ok()?
    {
        return None;
    }
    let commit = git(&["rev-parse", "HEAD"]).filter(|text| is_commit(text))?;
    // These change with the commit, and with what is not committed.
    for file in ["HEAD", "logs/HEAD", "index"] {
        println!("cargo:rerun-if-changed={}", git(&["rev-parse", "--git-path", file])?);
    }
    for file in ["src", "Cargo.toml", "Cargo.lock"] {
        println!("cargo:rerun-if-changed={file}");
    }
    let changed = git(&["status", "--porcelain", "--untracked-files=no"])?;
    Some(if changed.is_empty() { commit } else { format!("{commit} with changes") })
}
