//! Runs the program and watches how much memory it takes.

use std::{
    fs,
    process::Stdio,
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;
use test_support::program;

/// The most that any of these images may make the program take, in MiB.
pub(crate) const MOST: u64 = 192;

pub(crate) struct Run {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    /// In MiB.
    pub(crate) peak: u64,
    /// To be looked at, not to be compared with anything.
    seconds: f32,
}

impl Run {
    pub(crate) fn report(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|_| panic!("{}", self.stderr))
    }

    /// The run ended with this exit code and within the bound.
    pub(crate) fn ends(&self, name: &str, code: i32) -> &Self {
        println!("{name}: {} MiB, {:.1} s", self.peak, self.seconds);
        assert_eq!(self.code, code, "{name}: {}{}", self.stdout, self.stderr);
        assert!(self.peak > 0 && self.peak < MOST, "{name} took {} MiB", self.peak);
        self
    }
}

pub(crate) fn run(arguments: &[&str]) -> Run {
    let mut command = program();
    let command = command.args(arguments).arg("--output=json");
    let begin = Instant::now();
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let status = format!("/proc/{}/status", child.id());
    let (mut stdout, mut stderr) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
    let text = |from: &mut dyn std::io::Read| {
        let mut text = String::new();
        from.read_to_string(&mut text).unwrap();
        text
    };
    let (stdout, stderr, peak) = thread::scope(|scope| {
        let stdout = scope.spawn(move || text(&mut stdout));
        let stderr = scope.spawn(move || text(&mut stderr));
        // The kernel keeps the peak, which is gone with the process.
        let mut peak = 0;
        while child.try_wait().unwrap().is_none() {
            peak = hwm(&fs::read_to_string(&status).unwrap_or_default()).unwrap_or(peak);
            thread::sleep(Duration::from_millis(2));
        }
        (stdout.join().unwrap(), stderr.join().unwrap(), peak)
    });
    let code = child.wait().unwrap().code().unwrap_or(-1);
    Run { code, stdout, stderr, peak: peak >> 10, seconds: begin.elapsed().as_secs_f32() }
}

fn hwm(status: &str) -> Option<u64> {
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}
