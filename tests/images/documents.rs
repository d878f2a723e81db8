//! Odd and hostile documents: what podman gets from the source, it gets from the result, or there is
//! no result. Each row of the table is a source, with what podman, `convert` and `verify` do.

pub(crate) mod build;
mod indexes;
mod manifests;
mod row;

use std::{
    fs,
    path::Path,
    process::{Command, ExitStatus, Output},
    thread,
};

use recompress_image::image::Digest;
use serde_json::Value;
use tempfile::TempDir;
use test_support::{
    each::{Pulled, Pulls, Wanted, pull_each},
    layout::text,
    need,
    peers::Peers,
    program,
    registry::Registry,
};

use self::{
    build::Documents,
    row::{Ours, Podman, Row},
};

/// A row at work.
struct Case {
    row: Row,
    number: usize,
    docs: Documents,
    /// Where the source is: in the registry, or in a layout if the registry refuses it.
    layout: Option<TempDir>,
    repository: String,
    convert: Output,
    verify: Output,
    /// What `verify` says of the result, which is not there if the run failed.
    result: Output,
}

/// Before a run.
fn nothing() -> Output {
    Output { status: ExitStatus::default(), stdout: Vec::new(), stderr: Vec::new() }
}

impl Case {
    fn run(number: usize, row: Row, registry: &Registry, dir: &Path) -> Self {
        let mut docs = Documents::new(row.name);
        (row.build)(&mut docs);
        let name = format!("documents/row-{number}");
        let repository = format!("{}/{name}", registry.host());
        let layout = (!docs.push(registry, &name)).then(|| {
            let layout = tempfile::tempdir_in(dir).unwrap();
            docs.write(layout.path());
            layout
        });
        let mut case = Self {
            row,
            number,
            docs,
            layout,
            repository,
            convert: nothing(),
            verify: nothing(),
            result: nothing(),
        };
        let run = |arguments: &[&str]| -> Output {
            let mut command: Command = program();
            command.args(arguments).output().unwrap()
        };
        let (source, result) = (case.source(), case.destination());
        case.verify = run(&["verify", &source]);
        let arguments = ["convert", &source, &result, "--output=json", "--probe=false"];
        case.convert = run(&[&arguments[..], row.arguments].concat());
        case.result = run(&["verify", &result]);
        case
    }

    fn place(&self, tag: &str) -> String {
        match &self.layout {
            Some(dir) => format!("oci:{}:{tag}", dir.path().display()),
            None => format!("{}:{tag}", self.repository),
        }
    }

    fn source(&self) -> String {
        match &self.layout {
            Some(_) => self.place("in"),
            None => format!("{}@{}", self.repository, self.docs.digest()),
        }
    }

    fn destination(&self) -> String {
        self.place("out")
    }

    fn wanted(&self, reference: String) -> Wanted {
        let platform = self.row.platform.map(str::to_owned);
        Wanted { name: self.number.to_string(), platform, reference }
    }

    /// What is wrong with it.
    fn faults(
        &self,
        before: &Result<Pulled, String>,
        after: Option<&Result<Pulled, String>>,
        root: &str,
    ) -> Vec<String> {
        let (row, mut faults) = (&self.row, Vec::new());
        let mut expect = |right: bool, what: String| {
            if !right {
                faults.push(what);
            }
        };
        let label = |pulled: &Pulled| {
            let mut labels = self.docs.ids.iter().filter(|(_, id)| **id == pulled.id);
            labels.next().map(|(label, _)| label.clone())
        };
        let got = before.as_ref().ok().and_then(label);
        match row.podman {
            Podman::Takes(wanted) => {
                expect(got.as_deref() == Some(wanted), format!("podman: {got:?} {before:?}"));
            }
            Podman::Refuses => expect(before.is_err(), format!("podman takes it: {got:?}")),
        }
        let code = self.verify.status.code();
        expect(code == Some(row.verify), format!("verify: {}", text(&self.verify)));
        let log = text(&self.convert);
        match row.ours {
            Ours::Fails(code, words) => {
                expect(self.convert.status.code() == Some(code), format!("convert: {log}"));
                expect(log.contains(words), format!("no {words:?}: {log}"));
                let missing = matches!(self.result.status.code(), Some(6 | 7));
                expect(missing, format!("a failed run left a tag: {}", text(&self.result)));
            }
            Ours::Converts(wanted) => {
                expect(self.convert.status.success(), format!("convert: {log}"));
                let got = after.and_then(|after| after.as_ref().ok()).and_then(label);
                expect(got.as_deref() == Some(wanted), format!("the result: {got:?} {after:?}"));
                let is_right = self.result.status.success();
                expect(is_right, format!("verify of the result: {}", text(&self.result)));
                for gone in row.gone {
                    expect(!root.contains(gone), format!("{gone:?} is in {root}"));
                }
                if row.name.contains("snapshotters") {
                    expect(root.contains("kept"), format!("a foreign annotation went: {root}"));
                }
            }
        }
        // Whatever the row says.
        if let (Ok(before), Some(Ok(after))) = (before, after) {
            expect(before == after, format!("other content: {before:?} became {after:?}"));
        }
        faults
    }

    /// The text of what was pushed under the tag.
    fn root(&self, registry: &Registry) -> String {
        let report: Value = serde_json::from_slice(&self.convert.stdout).unwrap();
        let digest: Digest = report["image"]["digest"].as_str().unwrap().parse().unwrap();
        let bytes = if let Some(dir) = &self.layout {
            fs::read(dir.path().join("blobs/sha256").join(digest.hex())).unwrap()
        } else {
            let (_, name) = self.repository.split_once('/').unwrap();
            registry.manifest(name, "out").1
        };
        assert_eq!(Digest::sha256_of(&bytes), digest);
        String::from_utf8(bytes).unwrap()
    }
}

#[test]
fn documents() {
    let test = "documents";
    let Some(peers) = need(test, Peers::find()) else { return };
    let Some(registry) = need(test, Registry::start()) else { return };
    let rows = [manifests::rows(), indexes::rows()].concat();
    let numbered: Vec<_> = rows.iter().copied().enumerate().collect();
    let cases: Vec<Case> = thread::scope(|scope| {
        let work = |part: &[(usize, Row)]| -> Vec<_> {
            part.iter().map(|(n, row)| Case::run(*n, *row, &registry, peers.work())).collect()
        };
        let parts = numbered.chunks(rows.len().div_ceil(4));
        let parts: Vec<_> = parts.map(|part| scope.spawn(move || work(part))).collect();
        parts.into_iter().flat_map(|part| part.join().unwrap()).collect()
    });
    let sources: Vec<_> = cases.iter().map(|case| case.wanted(case.source())).collect();
    let made = cases.iter().filter(|case| case.convert.status.success());
    let results: Vec<_> = made.map(|case| case.wanted(case.destination())).collect();
    let (before, after): (Pulls, Pulls) = thread::scope(|scope| {
        let before = scope.spawn(|| pull_each(&peers, false, &sources));
        let after = pull_each(&peers, true, &results);
        (before.join().unwrap(), after)
    });

    let (mut right, mut in_registry) = (0, 0);
    for case in &cases {
        in_registry += usize::from(case.layout.is_none());
        let number = case.number.to_string();
        let root = case.convert.status.success().then(|| case.root(&registry));
        let root = root.unwrap_or_default();
        let faults = case.faults(&before[&number], after.get(&number), &root);
        if faults.is_empty() {
            right += 1;
        } else {
            eprintln!("{} (row {number}):\n  {}", case.row.name, faults.join("\n  "));
        }
    }
    println!("documents: {right} of {}, {in_registry} of them in a registry", cases.len());
    assert_eq!(right, cases.len());
}
