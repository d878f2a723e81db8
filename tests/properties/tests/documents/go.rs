//! The reader that is written in Go: built with Debian's packages, without the network.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    path::Path,
    process::{Command, Stdio},
    thread,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::json::Kind;

/// Where Debian's packages put the sources of Go libraries.
const GOPATH: &str = "/usr/share/gocode";

pub(crate) struct GoReader {
    dir: TempDir,
}

impl GoReader {
    /// Builds it; `Err` if this machine cannot.
    pub(crate) fn build() -> Result<Self, String> {
        let library = Path::new(GOPATH).join("src/github.com/opencontainers/image-spec");
        if !library.is_dir() {
            return Err("golang-github-opencontainers-image-spec-dev is not installed".into());
        }
        let dir = tempfile::tempdir().unwrap();
        let built = Command::new("go")
            .args(["build", "-o"])
            .arg(dir.path().join("reader"))
            .arg("main.go")
            .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/documents/reader"))
            .env("GO111MODULE", "off")
            .env("GOPATH", GOPATH)
            .env("GOPROXY", "off")
            .env("GOFLAGS", "")
            .env("GOCACHE", concat!(env!("CARGO_TARGET_TMPDIR"), "/go-cache"))
            .output()
            .map_err(|error| format!("cannot run go (package golang-go): {error}"))?;
        // A compiler that is there and fails is a fault of the program, not of the machine.
        assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
        Ok(Self { dir })
    }

    /// What it sees in each document: its fields, or only `error`.
    pub(crate) fn read<'a>(
        &self,
        documents: impl Iterator<Item = (Kind, &'a [u8])> + Send,
    ) -> Vec<Value> {
        let mut child = Command::new(self.dir.path().join("reader"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let answers = thread::scope(|scope| {
            scope.spawn(move || {
                for (kind, bytes) in documents {
                    let request = json!({"kind": kind.name(), "bytes": STANDARD.encode(bytes)});
                    writeln!(stdin, "{request}").unwrap();
                }
            });
            stdout.lines().map(|line| serde_json::from_str(&line.unwrap()).unwrap()).collect()
        });
        assert!(child.wait().unwrap().success());
        answers
    }
}
