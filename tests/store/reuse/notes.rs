//! What a run tells of the images that were named to be reused.

use serde_json::{Value, json};

use super::{Family, proofs, reference, report};
use crate::{
    peer::Peer,
    quick,
    sample::{convert, ends, run, text},
};

/// An image that contributes nothing is named, with the reason; so is one that is not trusted. A dry
/// run says the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_no_use() {
    let (peer, family, other) = (Peer::start(), Family::new(120), Family::new(121));
    let name = |name: &str| format!("{}/org/{name}", peer.host());
    let gzip = family.base().push(&name("base:1"), &quick()).await;
    let mut low = convert(&gzip, &name("base:low"));
    low.arg("--compression-level=1");
    report(low).await;
    let unlike = other.base().push(&name("other:1"), &quick()).await;
    report(convert(&unlike, &name("other:z"))).await;
    let dir = peer.file("layout");
    let layout = format!("oci:{}:z", dir.display());
    report(convert(&gzip, &layout)).await;
    let source = family.app(&json!({})).push(&name("app:1"), &quick()).await;
    let trust = "--reuse-trust=digest";
    for (number, (from, more, note)) in [
        (gzip, &[][..], Some("nothing is reused: its layers are gzip")),
        (
            name("base:low"),
            &["--reuse-recipe=same"],
            Some("nothing is reused: --reuse-recipe=same"),
        ),
        (name("other:z"), &[], Some("nothing is reused: none of its layers has the content")),
        (name("base:low"), &[trust], Some("because it is named by tag")),
        (layout, &[trust], Some("because it is in a layout")),
        (name("base:low"), &[], None),
    ]
    .into_iter()
    .enumerate()
    {
        for dry in [true, false] {
            let command = || {
                let mut command = convert(&source, &name(&format!("new{number}:z")));
                command.args(["--reuse-from", &from, "--probe=false"]).args(more);
                command.args(dry.then_some("--dry-run"));
                command
            };
            let printed = text(&run(command()).await);
            let Some(note) = note else {
                assert!(!printed.contains("--reuse-from"), "{printed}");
                continue;
            };
            let line = printed.lines().find(|line| line.contains(note));
            let line = line.unwrap_or_else(|| panic!("no {note:?} in {printed}"));
            assert!(line.starts_with(&format!("--reuse-from {from}: ")), "{line}");
            let mut command = convert(&source, &name(&format!("json{number}:z")));
            command.args(["--reuse-from", &from]).args(more).args(dry.then_some("--dry-run"));
            let report = report(command).await;
            assert_eq!(report["reuse_notes"][0]["image"], from, "{report:#}");
            assert!(report["reuse_notes"][0]["note"].as_str().unwrap().contains(note));
        }
    }
    // What was not considered is logged.
    let mut command = convert(&source, &name("verbose:z"));
    command.args(["-v", "--probe=false", "--reuse-from", &name("other:z")]);
    ends(&run(command).await, 0, &["2 layers not considered for reuse: the source has no layer"]);
}

/// What the user named by digest comes before the destination's tag, which would be verified: a
/// second run is as cheap as the first.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_run_with_trusted_digests() {
    let (peer, family) = (Peer::start(), Family::new(122));
    let name = |name: &str| format!("{}/org/{name}", peer.host());
    let base = family.base().push(&name("base:1"), &quick()).await;
    let base = reference(&report(convert(&base, &name("base:z"))).await);
    let source = family.app(&json!({})).push(&name("app:1"), &quick()).await;
    let again = || {
        let mut command = convert(&source, &name("app:z"));
        command.args(["--reuse-from", &base, "--reuse-trust=digest"]);
        command
    };
    assert_eq!(proofs(&report(again()).await), ["digest", "digest", ""]);
    let before = peer.requests().len();
    let second = report(again()).await;
    assert_eq!(proofs(&second), ["digest", "digest", "verified"]);
    let asked = peer.requests().split_off(before);
    for layer in &second["layers"].as_array().unwrap()[..2] {
        let whole = format!("blobs/{} 200", layer["digest"].as_str().unwrap());
        let gets = asked.iter().filter(|it| it.starts_with("GET") && it.ends_with(&whole));
        assert_eq!(gets.count(), 0, "{asked:?}");
    }
}

/// The last lines say how many layers were reused, converted or left as they are, and so do the
/// numbers in the report.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_run_came_to() {
    let (peer, family) = (Peer::start(), Family::new(123));
    let name = |name: &str| format!("{}/org/{name}", peer.host());
    let base = family.base().push(&name("base:1"), &quick()).await;
    let mut low = convert(&base, &name("base:low"));
    low.arg("--compression-level=1");
    report(low).await;
    let source = family.app(&json!({})).push(&name("app:1"), &quick()).await;
    let reused = |to: &str| {
        let mut command = convert(&source, &name(to));
        command.args(["--reuse-from", &name("base:low")]);
        command
    };
    let counts = |report: &Value| {
        ["converted_layers", "reused_layers", "unchanged_layers"]
            .map(|count| report[count].as_u64().unwrap())
    };
    assert_eq!(counts(&report(reused("json:z")).await), [1, 2, 0]);
    let words = ["\n2 of 3 layers reused (", "), 1 converted (", "; the manifest says so\n"];
    let printed = ends(&run(reused("text:z")).await, 0, &words);
    assert!(!printed.contains(": stored"), "{printed}");

    // A source that is what this program makes stays as it is.
    let mut command = convert(&base, &name("base:z"));
    command.arg("--probe=false");
    ends(&run(command).await, 0, &["layer 1: gzip "]);
    let made = reference(&report(convert(&base, &name("base:z"))).await);
    let again = || {
        let mut command = convert(&made, &name("again:z"));
        command.arg("--reuse-from=none");
        command
    };
    let words = ["layer 1: zstd:chunked ", ", unchanged", "source is zstd:chunked already; only"];
    ends(&run(again()).await, 0, &words);
    assert_eq!(counts(&report(again()).await), [0, 0, 2]);
}
