//! What `--output json` prints, held against the published schema; and what scripts get of failures.

use std::{
    io::Read as _,
    process::{Command, Output, Stdio},
};

use recompress_image::image::{Digest, media_type::OCI_LAYER_GZIP};
use serde_json::Value;
use test_support::{
    read,
    scripted::{Reaction, Scripted, answer},
};

use super::{
    peer::Peer,
    quick,
    sample::{Sample, descriptor, ends, gzip, program, run, tar, text},
};

/// Holds a document against the schema, and returns it.
pub(crate) fn valid(output: &Output, kind: &str) -> Value {
    let schema: Value = serde_json::from_str(&read("docs/schema/report.json")).unwrap();
    let document: Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", text(output)));
    let validator = jsonschema::validator_for(&schema).unwrap();
    if !validator.is_valid(&document) {
        // Errors of `oneOf` say little: those of the one that is meant say more.
        let mut one = schema;
        one["oneOf"] = serde_json::json!([{ "$ref": format!("#/$defs/{kind}") }]);
        let validator = jsonschema::validator_for(&one).unwrap();
        let errors: Vec<_> =
            validator.iter_errors(&document).map(|error| error.to_string()).collect();
        panic!("{kind}: {errors:#?} in {document:#}");
    }
    assert_eq!(document["schema_version"], 1);
    document
}

fn json(arguments: &[&str]) -> Command {
    let mut command = program();
    command.args(arguments).args(["--output", "json"]);
    command
}

/// Every report has the published form, whatever it is about.
#[tokio::test]
async fn reports_have_the_published_form() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| format!("oci:{}/image:{name}", dir.path().display());
    Sample::new(&[100_000, 1 << 20], 5).push(&at("old"), &quick()).await;
    Sample::new(&[100_000, 2 << 20], 5).push(&at("new"), &quick()).await;
    let (old, new) = (at("old"), at("new"));
    let chunked = [at("old-zstd-chunked"), at("new-zstd-chunked")];
    for (kind, arguments) in [
        ("dry_run", &["convert", "--dry-run", &old][..]),
        ("convert", &["convert", &old]),
        ("convert", &["convert", &old]),
        ("dry_run", &["convert", "--dry-run", &new, "--reuse-from", &chunked[0]]),
        ("convert", &["convert", &new, "--reuse-from", &chunked[0]]),
        ("convert", &["convert", &new, &at("gzip"), "--compression-format=gzip"]),
        ("convert", &["convert", &new, &at("dual"), "--compression-format=dual"]),
        ("verify", &["verify", &chunked[0], "--against", &old]),
        ("verify", &["verify", &at("dual")]),
        ("inspect", &["inspect", &chunked[0], "--toc"]),
        ("inspect", &["inspect", &old]),
        ("inspect", &["inspect", &old, "--download"]),
        ("inspect", &["inspect", &at("dual")]),
        ("diff", &["diff", &chunked[0], &chunked[1]]),
    ] {
        let output = run(json(arguments)).await;
        ends(&output, 0, &[]);
        let report = valid(&output, kind);
        assert_eq!(report["command"], arguments[0]);
        assert!(report["duration_seconds"].as_f64().is_some(), "{report}");
    }
}

/// A registry's report too; and one of an image with findings says that the run failed.
#[tokio::test]
async fn reports_of_registries_have_the_published_form() {
    let peer = Peer::start();
    let image = format!("{}/org/app:x", peer.host());
    let source = Sample::new(&[1 << 20], 6).push(&image, &quick()).await;
    let output = run(json(&["convert", &source])).await;
    ends(&output, 0, &[]);
    assert_eq!(valid(&output, "convert")["probe"]["verdict"], "partial");
    let output = run(json(&["probe", &image])).await;
    ends(&output, 0, &[]);
    assert_eq!(valid(&output, "probe")["reference"], image.as_str());
    let missing = run(json(&["inspect", &format!("{}/org/none:x", peer.host())])).await;
    assert_eq!(valid(&missing, "failure")["error"]["kind"], "registry");
}

/// So has a report of an image with findings, or of two that differ; it says that the run failed.
#[tokio::test]
async fn reports_of_findings_have_the_published_form() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| format!("oci:{}/image:{name}", dir.path().display());
    let content = tar(1000, &mut fastrand::Rng::with_seed(9));
    let blob = gzip(&content);
    let layers = [descriptor(OCI_LAYER_GZIP, &blob)];
    let other = Digest::sha256_of(b"another content");
    Sample::of(vec![blob], &layers, &[other]).push(&at("wrong"), &quick()).await;
    Sample::new(&[1000], 10).push(&at("right"), &quick()).await;
    Sample::new(&[2000], 11).push(&at("other"), &quick()).await;
    for arguments in [
        &["verify", &at("wrong")][..],
        &["verify", &at("right"), "--against", &at("other")],
        &["verify", &at("wrong"), "--against", &at("right")],
    ] {
        let output = run(json(arguments)).await;
        ends(&output, 8, &["error: verification of"]);
        let report = valid(&output, "verify");
        assert!(report["errors"].as_u64().unwrap() > 0, "{report:#}");
        let error = &report["error"];
        assert_eq!((&error["code"], &error["kind"]), (&Value::from(8), &Value::from("findings")));
    }
}

/// A failure is a document, too, with the exit code of the process: also of arguments that make no
/// sense.
#[tokio::test]
async fn failures_are_documents() {
    let dir = tempfile::tempdir().unwrap();
    let missing = format!("oci:{}/none:x", dir.path().display());
    for (arguments, code, kind, hint) in [
        (&["inspect", &missing][..], 7, "local", ""),
        (&["inspect", "--nonsense"], 2, "usage", ""),
        (&["inspect", "a", "--platform", "linux"], 2, "usage", ""),
        (&["inspect", "localhost:1/a:x"], 6, "registry", "check the port"),
        (&["convert", &missing, "--creds=x"], 2, "usage", "expected USER:PASSWORD"),
    ] {
        let output = run(json(arguments)).await;
        ends(&output, code, &["error: "]);
        let document = valid(&output, "failure");
        assert_eq!(document["command"], arguments[0]);
        let error = document["error"].clone();
        assert_eq!((&error["code"], &error["kind"]), (&Value::from(code), &Value::from(kind)));
        assert!(error["hint"].as_str().unwrap_or_default().starts_with(hint), "{error}");
        assert!(!error["message"].as_str().unwrap().starts_with("error: "), "{error}");
    }
}

/// Logs as JSON: each line on standard error is an object, the last one why the run failed.
#[tokio::test]
async fn logs_can_be_json() {
    let server =
        Scripted::start(|_, _| -> Reaction { answer(503, &["Retry-After: 0"], b"").into() }).await;
    let image = format!("{}/org/app:x", server.host);
    let mut command = program();
    command.args(["inspect", &image, "--log-format", "json"]);
    let output = run(command).await;
    assert_eq!(output.status.code(), Some(6), "{}", text(&output));
    let lines = String::from_utf8(output.stderr).unwrap();
    let lines: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let levels: Vec<_> = lines.iter().map(|line| line["level"].as_str().unwrap()).collect();
    assert!(levels[0] == "WARN" && levels.last() == Some(&"ERROR"), "{lines:?}");
    assert!(lines.iter().all(|line| line["timestamp"].is_string() && line["message"].is_string()));
}

/// Whoever stops reading a report hears no complaint.
#[tokio::test]
async fn a_closed_pipe_is_no_news() {
    let dir = tempfile::tempdir().unwrap();
    let image = format!("oci:{}/image:x", dir.path().display());
    Sample::new(&[1000], 7).push(&image, &quick()).await;
    for options in [&["inspect", &image, "--toc"][..], &["verify", &image, "--output=json"]] {
        let mut command = program();
        command.args(options).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut process = command.spawn().unwrap();
        drop(process.stdout.take());
        let mut complaint = String::new();
        process.stderr.take().unwrap().read_to_string(&mut complaint).unwrap();
        assert_eq!(process.wait().unwrap().code(), Some(7), "a script has to know");
        assert_eq!(complaint, "");
    }
}

/// An image that is published, and cannot be named on standard output, is named elsewhere.
#[tokio::test]
async fn a_reference_is_not_lost() {
    let dir = tempfile::tempdir().unwrap();
    let image = format!("oci:{}/image:x", dir.path().display());
    Sample::new(&[1000], 7).push(&image, &quick()).await;
    let published = format!("{image}-zstd-chunked@sha256:");
    let run = |command: &str, stdout: Stdio| {
        let mut process = program();
        process.args([command, "--quiet", &image]).stdout(stdout).stderr(Stdio::piped());
        let output = process.spawn().unwrap().wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(7), "{}", text(&output));
        String::from_utf8(output.stderr).unwrap()
    };
    let full = || std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let (reader, closed) = std::io::pipe().unwrap();
    drop(reader);
    for stdout in [full().into(), closed.into()] {
        let told = run("convert", stdout);
        assert!(told.contains(&published) && told.contains("that could not be printed"), "{told}");
    }
    assert!(run("digest", full().into()).contains("No space left on device"));
}

/// What a user may get wrong, with what to do about it.
#[tokio::test]
async fn mistakes_are_explained() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| format!("oci:{}/image:{name}", dir.path().display());
    let source = Sample::new(&[1000], 8).push(&at("x"), &quick()).await;
    let page = Scripted::start(|_, _| -> Reaction {
        answer(200, &["Content-Type: text/html; charset=utf-8"], b"<html></html>").into()
    })
    .await;
    let website = format!("{}/org/app:x", page.host);
    let digest = format!("{}/a@sha256:{}", page.host, "0".repeat(64));
    for (arguments, code, words) in [
        (&["convert", &source, &source][..], 2, &["names the source, sha256:", "--in-place"][..]),
        (&["convert", &source, &source, "--in-place"], 0, &["replaced sha256:"]),
        (&["inspect", &website], 6, &["a web page", "check the name"]),
        (
            &["convert", &digest, &at("y"), "--src-authfile=/nonexistent/a"],
            7,
            &["/nonexistent/a does not exist; check --src-authfile"],
        ),
        (&["convert", &source, &at("y"), "--results-dir=/nonexistent/r"], 7, &["/nonexistent/r"]),
        (
            &["inspect", &source, "--platform=linux/s390x"],
            5,
            &["for linux/amd64, not for linux/s390x"],
        ),
    ] {
        let mut command = program();
        command.args(arguments);
        ends(&run(command).await, code, words);
    }
    let mut command = program();
    command.args(["inspect", &source]).env("RECOMPRESS_PLATFROM", "linux/amd64");
    ends(
        &run(command).await,
        0,
        &["warning: the environment variable RECOMPRESS_PLATFROM is ignored"],
    );
}
