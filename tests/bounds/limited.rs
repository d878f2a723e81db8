//! Runs within a memory limit of the kernel, which ends a process that exceeds it.

use std::{
    fs, io,
    path::{Path, PathBuf},
    process::{self, Command, Output},
};

use test_support::{program, work_dir};

use crate::sources::{image, layer_of_noise};

/// What the Task allows its step.
const LIMIT: u64 = 512 << 20;

/// A control group with a memory limit.
struct Group(PathBuf);

impl Group {
    fn new(limit: u64) -> io::Result<Self> {
        let root = Path::new("/sys/fs/cgroup");
        let (mount, file) = if root.join("memory").is_dir() {
            (root.join("memory"), "memory.limit_in_bytes")
        } else {
            (root.to_owned(), "memory.max")
        };
        let group = Self(mount.join(format!("recompress-image-test-{}", process::id())));
        fs::create_dir(&group.0)?;
        fs::write(group.0.join(file), limit.to_string())?;
        Ok(group)
    }

    fn run(&self, program: &Command) -> Output {
        let mut command = Command::new("sh");
        command.args(["-c", "echo $$ >\"$0\" && exec \"$@\""]).arg(self.0.join("cgroup.procs"));
        command.arg(program.get_program()).args(program.get_args());
        for (name, value) in program.get_envs() {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        command.output().unwrap()
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.0);
    }
}

#[test]
fn the_tasks_limit_holds_for_all_formats_and_levels() {
    let group = match Group::new(LIMIT) {
        Ok(group) => group,
        Err(why) => return eprintln!("SKIPPED: no control group can be made: {why}"),
    };
    let dir = work_dir();
    let layers: Vec<_> = (0..4).map(|n| layer_of_noise(12 << 20, n)).collect();
    let from = image(&dir.path().join("in"), &layers);
    for (format, level) in [("zstd:chunked", "6"), ("zstd", "9"), ("zstd", "22"), ("gzip", "9")] {
        let to = format!("oci:{}:{}", dir.path().join("out").display(), format.replace(':', "-"));
        let mut command = program();
        command.args(["convert", &from, &to, "--jobs=64", "--compression-format", format]);
        command.args(["--compression-level", level, "--reuse-from=none"]);
        let output = group.run(&command);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{format}, level {level}: {} {stderr}", output.status);
    }
}
