//! Odd layers: what podman can pull as gzip, it can pull from us, as a whole and partially, and to
//! the same tree. What it refuses becomes an error here, or is passed on.

mod blobs;
mod case;
mod contents;
mod endings;
mod headers;
mod names;
mod pax;
mod podman;

use std::{
    panic::catch_unwind,
    process::{Command, Output},
    thread,
    time::Instant,
};

use serde_json::Value;

use self::{
    case::{Case, Judge, Ours},
    podman::{Pulled, Pulls, pull_all},
};
use crate::support::{
    need,
    peers::Peers,
    registry::Registry,
    tree::{Compare, Tree},
};

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
                expect(layer["kind"] == "zstd:chunked", &format!("it is no zstd:chunked: {layer}"));
                expect(layer["reason"].is_null(), "a reason although it is zstd:chunked");
                expect(self.report["plain_layers"] == 0, "the summary counts a plain layer");
            }
            Ours::Plain(reason) => {
                expect(self.output.status.success(), &log);
                expect(layer["kind"] == "zstd", &format!("it is not plain zstd: {layer}"));
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
                expect(self.output.stdout.is_empty(), "a failed run printed a result");
            }
        }
        faults
    }
}

/// What podman has to say of a case in three ways of pulling it.
struct Judgement<'a> {
    original: &'a Pulled,
    whole: Option<&'a Pulled>,
    partial: Option<&'a Pulled>,
    /// The layer was really pulled partially.
    is_partial: bool,
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
        let partial = self.is_partial || case.has_base();
        let compare = if partial { Compare::PartialPull } else { Compare::Everything };
        let ways =
            [("as a whole", self.whole, Compare::Everything), ("partially", self.partial, compare)];
        for (way, pulled, compare) in ways {
            match pulled {
                None => {}
                Some(Pulled::Not(message)) => faults.push(format!("pulled {way}: {message}")),
                Some(Pulled::As(tree)) => {
                    faults.extend(differences(&original, &case.comparable(tree), compare, way));
                }
            }
        }
        let chunked = matches!(case.ours, Ours::Chunked);
        if self.partial.is_some() && self.is_partial != chunked {
            faults.push(format!("pulled partially: {}", self.is_partial));
        }
        faults
    }
}

fn differences(original: &Tree, ours: &Tree, compare: Compare, way: &str) -> Option<String> {
    let compared = catch_unwind(|| original.assert_same(ours, compare, way));
    let panic = compared.err()?;
    Some(panic.downcast_ref::<String>().cloned().unwrap_or_else(|| format!("{way}: different")))
}

fn retrieved_partially(pulls: &Pulls, digest: &str) -> bool {
    pulls.log.contains(&format!("Retrieved partial blob {digest}"))
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
    let (original, whole, partial) = thread::scope(|scope| {
        let original = scope.spawn(|| pull_all(&peers, false, &originals));
        let whole = scope.spawn(|| pull_all(&peers, false, &ours));
        let partial = pull_all(&peers, true, &ours);
        (original.join().unwrap(), whole.join().unwrap(), partial)
    });

    step("compare");
    let mut right = 0;
    for (case, made) in cases.iter().zip(&conversions) {
        let judgement = Judgement {
            original: &original.images[&case.name],
            whole: whole.images.get(&case.name),
            partial: partial.images.get(&case.name),
            is_partial: made.odd_layer()["digest"]
                .as_str()
                .is_some_and(|digest| retrieved_partially(&partial, digest)),
        };
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
