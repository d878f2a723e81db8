//! Odd layers: what podman can pull as gzip, it can pull from us, as a whole and partially, and to
//! the same tree. What it refuses becomes an error here, or is passed on.

mod blobs;
mod case;
mod contents;
mod endings;
mod headers;
mod names;
mod pax;

use std::{
    process::{Command, Output},
    thread,
    time::Instant,
};

use serde_json::Value;
use test_support::{
    need,
    peers::Peers,
    pulls::{Pulled, Way, pull_all},
    registry::Registry,
    tree::Compare,
};

use self::case::{Case, Judge, Ours};

/// What the program under test made of a case.
struct Conversion {
    output: Output,
    /// What it printed.
    report: Value,
}

fn convert(registry: &Registry, case: &Case, digest: &str) -> Conversion {
    let repository = format!("{}/odd/{}", registry.host(), case.name);
    let output = Command::new(env!("CARGO_BIN_EXE_recompress-image"))
        .args(["convert", &format!("{repository}@{digest}"), &format!("{repository}:out")])
        .args(["--output=json"])
        .output()
        .unwrap();
    let report = serde_json::from_slice(&output.stdout).unwrap_or_default();
    Conversion { output, report }
}

impl Conversion {
    fn odd_layer(&self) -> &Value {
        self.report["layers"].as_array().and_then(|layers| layers.last()).unwrap_or(&Value::Null)
    }

    /// What is wrong with it, by what the case expects.
    fn faults(&self, case: &Case) -> Vec<String> {
        let mut faults = Vec::new();
        let mut expect = |right: bool, what: &str| {
            if !right {
                faults.push(what.to_owned());
            }
        };
        let log = String::from_utf8_lossy(&self.output.stderr);
        let layer = self.odd_layer();
        match case.ours {
            Ours::Chunked => {
                expect(self.output.status.success(), &log);
                expect(
                    layer["format"] == "zstd:chunked",
                    &format!("it is no zstd:chunked: {layer}"),
                );
                expect(layer["reason"].is_null(), "a reason although it is zstd:chunked");
                expect(self.report["plain_layers"] == 0, "the summary counts a plain layer");
            }
            Ours::Plain(reason) => {
                expect(self.output.status.success(), &log);
                expect(layer["format"] == "zstd", &format!("it is not plain zstd: {layer}"));
                let told = layer["reason"].as_str().unwrap_or_default();
                expect(told.contains(reason), &format!("another reason: {told:?}"));
                expect(log.contains(reason), "the log does not have the reason");
                expect(self.report["plain_layers"] == 1, "the summary does not count it");
            }
            Ours::Fails(message) => {
                // The exit codes for a source that is of another kind, and for one that is broken.
                let code = if matches!(message, "xz" | "bzip2") { 5 } else { 4 };
                expect(self.output.status.code() == Some(code), &format!("{}", self.output.status));
                expect(log.contains(message), &format!("another message: {log}"));
                expect(self.report["error"]["code"] == code, "the document does not have the code");
                expect(self.report["image"].is_null(), "a failed run printed a result");
            }
        }
        faults
    }
}

/// What podman has to say of a case in all ways of pulling it.
struct Judgement<'a> {
    original: &'a Pulled,
    /// Of ours, with whether the layer was really pulled partially.
    ours: Vec<(Way, &'a Pulled, bool)>,
}

impl Judgement<'_> {
    fn faults(&self, case: &Case) -> Vec<String> {
        let original = match (case.judge, self.original) {
            (Judge::Takes, Pulled::As(tree)) => case.comparable(tree),
            (Judge::Refuses(words), Pulled::Not(message)) if message.contains(words) => {
                return Vec::new();
            }
            (Judge::Refuses(_), Pulled::As(_)) => {
                return vec!["podman takes the original against what was expected".into()];
            }
            (expected, Pulled::Not(message)) => {
                return vec![format!("podman on the original: {message}, expected: {expected:?}")];
            }
        };
        let mut faults = Vec::new();
        let chunked = matches!(case.ours, Ours::Chunked);
        for (way, pulled, is_partial) in &self.ours {
            let name = format!("{way:?}");
            let tree = match pulled {
                Pulled::Not(message) => {
                    faults.push(format!("{name}: {message}"));
                    continue;
                }
                Pulled::As(tree) => case.comparable(tree),
            };
            // The layer below is always pulled partially where that can be.
            let partial = *is_partial || case.has_base();
            let compare = match way {
                Way::Partial if partial => Compare::PartialPull,
                Way::Composefs if partial => Compare::Composefs,
                _ => Compare::Everything,
            };
            let found = original.differences(&tree, compare, &name);
            if *way == Way::Composefs && case.has_whiteouts() {
                // docs/format.md says so; should it change, that has to change.
                let lost = found.is_some_and(|found| found.contains(".wh."));
                if !lost {
                    faults.push("composefs has come to know whiteouts".into());
                }
            } else {
                faults.extend(found);
            }
            if *is_partial != (chunked && *way != Way::Whole) {
                faults.push(format!("{name}: pulled partially: {is_partial}"));
            }
        }
        faults
    }
}

#[test]
fn odd_layers() {
    let test = "odd_layers";
    let Some(peers) = need(test, Peers::find()) else { return };
    let Some(registry) = need(test, Registry::start()) else { return };
    let cases = [
        headers::cases(),
        pax::cases(),
        names::cases(),
        contents::cases(),
        endings::cases(),
        blobs::cases(),
    ]
    .concat();
    let started = Instant::now();
    let step = |what: &str| eprintln!("{:>6.1} s  {what}", started.elapsed().as_secs_f32());
    step("push and convert");
    let work = |cases: &[Case]| -> Vec<_> {
        let digests = cases.iter().map(|case| (case, case.push(&registry)));
        digests.map(|(case, digest)| convert(&registry, case, digest.as_str())).collect()
    };
    let conversions = thread::scope(|scope| {
        let parts = cases.chunks(cases.len().div_ceil(4));
        let parts: Vec<_> = parts.map(|part| scope.spawn(|| work(part))).collect();
        parts.into_iter().flat_map(|part| part.join().unwrap()).collect::<Vec<_>>()
    });

    let reference = |case: &Case, tag| format!("{}/odd/{}:{tag}", registry.host(), case.name);
    let originals: Vec<_> = cases.iter().map(|case| reference(case, "in")).collect();
    let converted = cases.iter().zip(&conversions).filter(|(_, made)| made.output.status.success());
    let ours: Vec<_> = converted.map(|(case, _)| reference(case, "out")).collect();
    step("pull");
    let (original, pulls) = thread::scope(|scope| {
        let original = scope.spawn(|| pull_all(&peers, Way::Whole, &originals));
        let ways = [Way::Whole, Way::Partial, Way::Composefs];
        let (peers, ours) = (&peers, &ours);
        let pulls = ways.map(|way| (way, scope.spawn(move || pull_all(peers, way, ours))));
        (original.join().unwrap(), pulls.map(|(way, pull)| (way, pull.join().unwrap())))
    });

    step("compare");
    let mut right = 0;
    for (case, made) in cases.iter().zip(&conversions) {
        let digest = made.odd_layer()["digest"].as_str().unwrap_or("none");
        let ours = pulls.iter().filter_map(|(way, pulls)| {
            let pulled = pulls.images.get(&case.name)?;
            Some((*way, pulled, pulls.retrieved_partially(digest)))
        });
        let judgement = Judgement { original: &original.images[&case.name], ours: ours.collect() };
        let faults = [made.faults(case), judgement.faults(case)].concat();
        if faults.is_empty() {
            right += 1;
        } else {
            eprintln!("{}:\n  {}", case.name, faults.join("\n  "));
        }
    }
    println!("odd layers: {right} of {}", cases.len());
    assert_eq!(right, cases.len());
}
