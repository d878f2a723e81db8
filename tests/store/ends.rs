//! How runs end that cannot go on: with a code, a message, and nothing left behind.

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
};

use recompress_image::store::{Intent, Selector, StoreError};

use super::{
    open,
    peer::Peer,
    quick,
    sample::{Sample, convert, count, ends, program, run},
    told,
};

/// Whether the registry has the tag.
async fn has(image: &str) -> bool {
    let (_, tag) = image.rsplit_once(':').unwrap();
    let store = open(image, Intent::Pull, &quick()).await.unwrap();
    match store.manifest(&Selector::Tag(tag.to_owned())).await {
        Ok(_) => true,
        Err(StoreError::NotFound { .. }) => false,
        Err(error) => panic!("{}", told(&error)),
    }
}

/// A layout with an image of one layer of so many bytes.
async fn layout(dir: &Path, length: usize) -> String {
    let image = format!("oci:{}:in", dir.join("layout").display());
    Sample::new(&[length], 1).push(&image, &quick()).await
}

/// `TMPDIR` is missing or a file: exit code 7, and no upload session is opened in docker-registry.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_place_for_temporary_files() {
    let (dir, peer) = (tempfile::tempdir().unwrap(), Peer::start());
    let source = layout(dir.path(), 1000).await;
    let file = dir.path().join("a-file");
    fs::write(&file, "").unwrap();
    let to = format!("{}/org/app:new", peer.host());
    for place in [dir.path().join("missing"), file] {
        let mut command = convert(&source, &to);
        command.env("TMPDIR", &place);
        let place = place.display().to_string();
        ends(&run(command).await, 7, &["a temporary file in", "set TMPDIR", &place]);
        assert!(!has(&to).await);
        assert_eq!(peer.uploads().len(), 0);
    }
}

/// `sh` with a small file system of its own mounted on `dir`; none if that is not allowed here.
fn on_a_small_disk(dir: &Path, options: &str) -> Option<Command> {
    let mut command = Command::new("unshare");
    let script = r#"mount -t tmpfs -o "$1" small "$2" && shift 2 && exec "$@""#;
    command.args(["--mount", "sh", "-c", script, "sh", options]).arg(dir);
    let mut tried = Command::new("unshare");
    tried.args(["--mount", "sh", "-c", "mount -t tmpfs small \"$1\"", "sh"]).arg(dir);
    let allowed = tried.stderr(Stdio::null()).status().is_ok_and(|status| status.success());
    if !allowed {
        eprintln!("SKIPPED: no file system can be mounted here");
    }
    allowed.then_some(command)
}

/// The disk fills up when docker-registry has the beginning of a layer: exit code 7, the session is
/// cancelled, nothing is published, no result is written.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_that_fills_up_in_the_middle_of_an_upload() {
    let (dir, peer) = (tempfile::tempdir().unwrap(), Peer::start());
    let source = layout(dir.path(), 60 << 20).await;
    let (full, results) = (dir.path().join("full"), dir.path().join("results"));
    fs::create_dir(&full).unwrap();
    fs::create_dir(&results).unwrap();
    let Some(mut command) = on_a_small_disk(&full, "size=50m") else { return };
    let to = format!("{}/org/app:new", peer.host());
    command.arg(program().get_program()).args(["convert", &source, &to, "--results-dir"]);
    command.arg(&results).env("TMPDIR", &full);
    ends(&run(command).await, 7, &["a temporary file in", "set TMPDIR", "No space left"]);
    assert!(!has(&to).await);
    assert_eq!(count(&results), 0);
    assert!(peer.count("POST", 202) > 0, "it had begun: {:?}", peer.requests());
    // This registry may answer 404, see docs/registries.md.
    let requests = peer.requests();
    assert_eq!(requests.iter().filter(|line| line.starts_with("DELETE")).count(), 1);
}

/// The disk under the layout fills up: exit code 7, the error says what needs room, no file is
/// left.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_layout_that_fills_up() {
    let dir = tempfile::tempdir().unwrap();
    let source = layout(dir.path(), 60 << 20).await;
    let place = dir.path().join("small");
    fs::create_dir(&place).unwrap();
    let Some(mut command) = on_a_small_disk(&place, "size=50m") else { return };
    // The file system ends with its process: what is below it shows what is left.
    let script = r#""$@"; code=$?; find "$0" -type f; exit $code"#;
    command.args(["sh", "-c", script]).arg(&place);
    let to = format!("oci:{}:new", place.join("layout").display());
    command.arg(program().get_program()).args(["convert", &source, &to]);
    let output = run(command).await;
    ends(&output, 7, &["a temporary file in", "room for all of the new image", "No space left"]);
    let left = String::from_utf8(output.stdout).unwrap();
    let mut left: Vec<_> = left.lines().filter_map(|line| line.rsplit('/').next()).collect();
    left.sort_unstable();
    assert_eq!(left, ["index.json", "oci-layout"]);
}

/// A read-only layout: exit code 7, and the error names the directory.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_layout_that_cannot_be_written() {
    let dir = tempfile::tempdir().unwrap();
    let source = layout(dir.path(), 1000).await;
    let place = dir.path().join("read-only");
    fs::create_dir(&place).unwrap();
    let Some(mut command) = on_a_small_disk(&place, "ro") else { return };
    let to = format!("oci:{}:new", place.join("layout").display());
    command.arg(program().get_program()).args(["convert", &source, &to]);
    ends(&run(command).await, 7, &["read-only/layout", "Read-only file system"]);
}

/// docker-registry is read-only and answers 405: exit code 6, and the error reports the answer.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_registry_that_cannot_be_written() {
    let dir = tempfile::tempdir().unwrap();
    let peer = Peer::read_only();
    let source = layout(dir.path(), 1000).await;
    let to = format!("{}/org/app:new", peer.host());
    ends(&run(convert(&source, &to)).await, 6, &["405", "check for permission to push"]);
    assert!(!has(&to).await);
    assert!(peer.count("POST", 405) > 0, "{:?}", peer.requests());
}

/// docker-registry takes the image, but standard output is closed: exit code 7, and the error says
/// that the image is published.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_reads_the_output() {
    let (dir, peer) = (tempfile::tempdir().unwrap(), Peer::start());
    let source = layout(dir.path(), 1000).await;
    for (name, output) in [("a line", "--output=text"), ("a report", "--output=json")] {
        let to = format!("{}/org/app:{}", peer.host(), output.trim_start_matches("--output="));
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut command = convert(&source, &to);
        command.arg(output).stdout(writer).stderr(Stdio::piped());
        let work = move || command.spawn().unwrap().wait_with_output().unwrap();
        let output = tokio::task::spawn_blocking(work).await.unwrap();
        ends(&output, 7, &["is published, but that could not be printed"]);
        assert!(has(&to).await, "{name}");
    }
}

/// The certificate is not valid at this time: no request is sent, the error names the clock, exit
/// code 6.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clocks_that_differ() {
    let dir = tempfile::tempdir().unwrap();
    let source = layout(dir.path(), 1000).await;
    for (name, dates) in [
        ("expired", ["20200101000000Z", "20210101000000Z"]),
        ("not yet valid", ["20980101000000Z", "20990101000000Z"]),
    ] {
        let (peer, certificate) = Peer::with_tls_and_password(Some(dates));
        let mut command = convert(&source, &format!("{}/org/app:new", peer.host()));
        command.arg("--cert-dir").arg(certificate.parent().unwrap());
        let words = ["the certificate ", "renew it, or check the clock of this machine"];
        ends(&run(command).await, 6, &words);
        assert_eq!(peer.requests().len(), 0, "{name}");
    }
}

/// docker-registry gets the same image twice at once, and again: the same result each time; the
/// third run sends no blob.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_runs_at_once_and_one_more() {
    let peer = Peer::start();
    let image = format!("{}/org/app", peer.host());
    let source = Sample::new(&[3 << 20, 500_000], 7).push(&format!("{image}:in"), &quick()).await;
    let to = format!("{image}:out");
    let (one, two) = tokio::join!(run(convert(&source, &to)), run(convert(&source, &to)));
    let said = |output: &std::process::Output| String::from_utf8_lossy(&output.stdout).into_owned();
    ends(&one, 0, &[]);
    ends(&two, 0, &[]);
    assert_eq!(said(&one), said(&two));
    assert_eq!(peer.uploads().len(), 0);
    let uploads = peer.count("POST", 202);
    let third = run(convert(&source, &to)).await;
    ends(&third, 0, &[]);
    assert_eq!(said(&third), said(&one));
    assert_eq!(peer.count("POST", 202), uploads, "nothing is sent again");
}
