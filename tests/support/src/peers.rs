//! The tools that judge our images, in the root folder that `hack/peers` builds.

use std::{
    fs,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use tempfile::TempDir;

use crate::{repository, work_dir};

/// The root folder and a directory that is visible inside it under the same path.
pub struct Peers {
    root: PathBuf,
    work: TempDir,
}

impl Peers {
    /// Finds the folder at `RECOMPRESS_PEERS_DIR` or at `target/peers`, where `hack/peers` puts it.
    pub fn find() -> Result<Self, String> {
        let root = std::env::var_os("RECOMPRESS_PEERS_DIR")
            .map_or_else(|| repository().join("target/peers"), PathBuf::from);
        if !root.join("etc/recompress-peers").exists() {
            return Err(format!("no peers at {}; run hack/peers", root.display()));
        }
        if fs::metadata("/proc/self").map_or(true, |process| process.uid() != 0) {
            return Err("entering the root folder of the peers requires root".to_owned());
        }
        let peers = Self { root: root.canonicalize().unwrap(), work: work_dir() };
        let output = peers.command(peers.work(), &["true"]).output().map_err(|e| e.to_string())?;
        if !output.status.success() {
            let stderr = String::from_utf8_lossy(&output.stderr);
            return Err(format!("cannot enter the root folder of the peers: {}", stderr.trim()));
        }
        Ok(peers)
    }

    /// The root folder, as a tree of real files.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The directory that commands of [`Peers::run`] share with the outside.
    pub fn work(&self) -> &Path {
        self.work.path()
    }

    /// Whether the folder has this program.
    pub fn has(&self, program: &str) -> bool {
        self.root.join("usr/bin").join(program).exists()
    }

    /// A command inside the folder; it shares `work` with the outside. The spawned process becomes
    /// the program itself, so killing the handle kills the program.
    pub fn command(&self, work: &Path, args: &[&str]) -> Command {
        let mut command = Command::new("unshare");
        command
            .args(["--mount", "--propagation=private", "sh", "-c", include_str!("enter.sh"), "sh"])
            .args([self.root.as_path(), work])
            .args(args)
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .env("HOME", "/root")
            .stdin(Stdio::null());
        command
    }

    /// Runs a command that has to succeed and returns what it printed.
    pub fn run(&self, args: &[&str]) -> Output {
        check(&mut self.command(self.work(), args))
    }
}

/// Runs `command`, which has to succeed.
pub(crate) fn check(command: &mut Command) -> Output {
    let output = command.output().unwrap();
    if !output.status.success() {
        let args: Vec<_> = command.get_args().skip(8).map(|a| a.to_string_lossy()).collect();
        let stderr = String::from_utf8_lossy(&output.stderr);
        // The debug log of a pull is long, and the error is at its end.
        let tail: Vec<_> = stderr.lines().rev().take(20).collect();
        let tail: Vec<_> = tail.into_iter().rev().collect();
        panic!("{}: {}\n{}", args.join(" "), output.status, tail.join("\n"));
    }
    output
}
