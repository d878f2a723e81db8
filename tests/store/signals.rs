//! Runs that are interrupted by a signal.

use std::{
    io::Write as _,
    path::Path,
    process::{Command, Output, Stdio},
    time::{Duration, Instant},
};

use recompress_image::image::media_type::OCI_MANIFEST;
use test_support::scripted::{Reaction, Scripted, answer, cut, stall};

use super::{
    fake::Fake,
    peer::Peer,
    proxy::{self, Proxy},
    quick,
    sample::{Sample, convert, count, program, run, text},
};

/// What a run would wait for lasts a minute or more in all of these; four seconds are the aim. In
/// between, there is room for a busy machine.
const AT_ONCE: Duration = Duration::from_secs(40);

/// A run with its own directories for results and temporary files.
struct Run {
    process: std::process::Child,
    dir: tempfile::TempDir,
}

impl Run {
    fn start(source: &str, destination: &str) -> Self {
        let dir = with_folders();
        let folder = |name| dir.path().join(name);
        let mut command = convert(source, destination);
        command.arg("--results-dir").arg(folder("results")).env("TMPDIR", folder("tmp"));
        let process = command.stderr(Stdio::piped()).spawn().unwrap();
        Self { process, dir }
    }

    /// Sends the signal and waits for the end. Nothing may be left behind.
    async fn stop(self, signal: &str) -> Output {
        let begin = Instant::now();
        let (signal, process) = (format!("-{signal}"), self.process.id().to_string());
        assert!(Command::new("kill").args([signal, process]).status().unwrap().success());
        let ended = tokio::task::spawn_blocking(move || self.process.wait_with_output().unwrap());
        let ended = ended.await.unwrap();
        assert!(begin.elapsed() < AT_ONCE, "{:?}", begin.elapsed());
        for folder in ["results", "tmp"] {
            assert_eq!(count(&self.dir.path().join(folder)), 0, "{folder}");
        }
        ended
    }
}

fn with_folders() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for name in ["results", "tmp"] {
        std::fs::create_dir(dir.path().join(name)).unwrap();
    }
    dir
}

async fn layout(dir: &Path, length: usize) -> String {
    Sample::new(&[length], 9).push(&format!("oci:{}/image:x", dir.display()), &quick()).await
}

/// A signal ends a run that cannot write its report, because nobody reads the pipe; a second one ends
/// it sooner.
#[test]
fn a_blocked_write_is_no_excuse() {
    let mut alone = Duration::MAX;
    for (signal, code, again) in [("TERM", 143, false), ("INT", 130, false), ("INT", 130, true)] {
        let (reader, mut writer) = std::io::pipe().unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_recompress-image"));
        command.args(["completions", "bash"]).stdout(writer.try_clone().unwrap());
        // It fills the pipe, and ends with an error when the reader goes.
        let filler = std::thread::spawn(move || writer.write_all(&vec![0; 4 << 20]));
        std::thread::sleep(Duration::from_millis(500));
        let mut process = command.spawn().unwrap();
        drop(command);
        let status = format!("/proc/{}/status", process.id());
        let handles_signals = || {
            let status = std::fs::read_to_string(&status).unwrap();
            let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:")).unwrap();
            u64::from_str_radix(caught.trim(), 16).unwrap() & (1 << 14) != 0
        };
        while !handles_signals() {
            std::thread::sleep(Duration::from_millis(20));
        }
        std::thread::sleep(Duration::from_secs(1));
        let signal = format!("-{signal}");
        let id = process.id().to_string();
        let kill = || {
            assert!(Command::new("kill").args([&signal, &id]).status().unwrap().success());
        };
        kill();
        let begin = Instant::now();
        if again {
            std::thread::sleep(Duration::from_secs(1));
            kill();
        }
        let ended = loop {
            if let Some(ended) = process.try_wait().unwrap() {
                break ended;
            }
            assert!(begin.elapsed() < AT_ONCE);
            std::thread::sleep(Duration::from_millis(50));
        };
        assert_eq!(ended.code(), Some(code));
        if again {
            assert!(begin.elapsed() < alone);
        }
        alone = alone.min(begin.elapsed());
        drop(reader);
        assert!(filler.join().unwrap().is_err());
    }
}

/// A signal that was ignored when the run began, as under nohup, stays so.
#[test]
fn what_is_ignored_is_no_end() {
    let (reader, mut writer) = std::io::pipe().unwrap();
    let mut command = Command::new("sh");
    let run = "trap '' HUP; exec \"$0\" completions bash";
    command.args(["-c", run, env!("CARGO_BIN_EXE_recompress-image")]);
    command.stdout(writer.try_clone().unwrap());
    let filler = std::thread::spawn(move || writer.write_all(&vec![0; 4 << 20]));
    std::thread::sleep(Duration::from_millis(500));
    let mut process = command.spawn().unwrap();
    drop(command);
    std::thread::sleep(Duration::from_secs(2));
    for signal in ["-HUP", "-TERM"] {
        let id = process.id().to_string();
        assert!(Command::new("kill").args([signal, &id]).status().unwrap().success());
        std::thread::sleep(Duration::from_secs(1));
    }
    assert_eq!(process.wait().unwrap().code(), Some(143));
    drop(reader);
    assert!(filler.join().unwrap().is_err());
}

/// The registry never answers the PUT of a blob: a signal cancels the session, nothing is
/// published, no file and no result is left, and the exit code is that of the signal.
#[tokio::test]
async fn an_open_upload_is_cancelled() {
    for (signal, code) in [("TERM", 143), ("INT", 130), ("QUIT", 131)] {
        let dir = tempfile::tempdir().unwrap();
        let source = layout(dir.path(), 1000).await;
        let (server, _) = Fake::silent_at(&["PUT"]).start().await;
        let run = Run::start(&source, &format!("{}:new", server.image()));
        server.wait_for("PUT").await;
        assert_eq!(run.stop(signal).await.status.code(), Some(code));
        assert_eq!(server.requests("DELETE /v2/org/app/blobs/uploads/s1").len(), 1);
        assert_eq!(server.requests("PUT").len(), 1, "nothing is published");
    }
}

/// The registry never answers a PATCH: a signal cancels the session, nothing is published, no file
/// and no result is left, and the exit code is that of the signal.
#[tokio::test]
async fn an_upload_of_what_is_still_being_made_is_cancelled() {
    for (signal, code) in [("TERM", 143), ("INT", 130)] {
        let dir = tempfile::tempdir().unwrap();
        let source = layout(dir.path(), 60 << 20).await;
        let (server, _) = Fake::silent_at(&["PATCH"]).start().await;
        let run = Run::start(&source, &format!("{}:new", server.image()));
        server.wait_for("PATCH").await;
        assert_eq!(run.stop(signal).await.status.code(), Some(code));
        assert_eq!(server.requests("DELETE /v2/org/app/blobs/uploads/s1").len(), 1);
        assert_eq!(server.requests("PUT").len(), 0, "nothing is published");
    }
}

/// The registry goes silent within a layer: after a signal no file and no result is left, and the
/// exit code is that of the signal.
#[tokio::test]
async fn a_download_that_does_not_end_is_given_up() {
    for (signal, code) in [("TERM", 143), ("INT", 130)] {
        let sample = Sample::new(&[1 << 20], 9);
        let named = sample.named("");
        let server = Scripted::start(move |request, _| -> Reaction {
            let path = request.line.split(' ').nth(1).unwrap();
            let (_, name) = path.rsplit_once('/').unwrap();
            let is_layer = sample.layers().iter().any(|layer| layer.as_str() == name);
            match sample.blob(name) {
                _ if path.contains("/manifests/") => {
                    answer(200, &[&format!("Content-Type: {OCI_MANIFEST}")], &sample.manifest.bytes)
                        .into()
                }
                Some(blob) if is_layer => stall(cut(200, &[], blob.len(), &blob[..5000])),
                Some(blob) => answer(200, &[], &blob).into(),
                None => answer(200, &[], b"").into(),
            }
        })
        .await;
        let (to, _) = Fake::default().start().await;
        let run =
            Run::start(&format!("{}:in{named}", server.image()), &format!("{}:x", to.image()));
        server.wait_for("GET /v2/org/app/blobs/").await;
        // The config comes first, then the layer.
        while server.requests("GET /v2/org/app/blobs/").len() < 2 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert_eq!(run.stop(signal).await.status.code(), Some(code));
        // The upload that showed whether it may push is cancelled.
        let of = |method| to.requests(method).len();
        assert_eq!((of("POST"), of("DELETE"), of("PUT"), of("PATCH")), (1, 1, 0, 0));
    }
}

/// 503 with `Retry-After: 60`: a signal ends the wait, and the exit code is that of the signal.
#[tokio::test]
async fn the_wait_for_a_registry_is_given_up() {
    for (signal, code) in [("TERM", 143), ("INT", 130)] {
        let server = Scripted::start(|_, _| answer(503, &["Retry-After: 60"], b"")).await;
        let dir = tempfile::tempdir().unwrap();
        let source = layout(dir.path(), 1000).await;
        let run = Run::start(&source, &format!("{}:new", server.image()));
        server.wait_for("GET /v2/").await;
        assert_eq!(run.stop(signal).await.status.code(), Some(code));
        assert_eq!(server.requests("").len(), 1);
    }
}

/// `inspect` publishes nothing, and says nothing about that when a signal ends it.
#[tokio::test]
async fn a_command_that_never_publishes_says_nothing_of_it() {
    let server = Scripted::start(|_, _| answer(503, &["Retry-After: 60"], b"")).await;
    let mut command = program();
    command.args(["inspect", &format!("{}:x", server.image())]).stderr(Stdio::piped());
    let process = command.spawn().unwrap();
    server.wait_for("GET /v2/").await;
    let ended = Run { process, dir: with_folders() }.stop("INT").await;
    let said = String::from_utf8_lossy(&ended.stderr);
    assert!(said.contains("interrupted by SIGINT\n") && !said.contains("published"), "{said}");
}

/// Nobody reads the report, as in `inspect … | head`: the run ends without a message.
#[tokio::test]
async fn a_report_that_nobody_reads() {
    let dir = tempfile::tempdir().unwrap();
    let source = layout(dir.path(), 1000).await;
    for format in ["text", "json"] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut command = program();
        command.args(["inspect", &source, "--output", format]).stdout(writer);
        let ended = run(command).await;
        assert_eq!(text(&ended), "exit status: 7\n", "{format}");
    }
}

/// The registry answers neither the PUT of a blob nor the DELETE that cancels it: after a signal
/// the client tries to cancel, reports what may stay, and ends all the same.
#[tokio::test]
async fn a_cancellation_without_an_answer_is_not_waited_for() {
    for (signal, code) in [("TERM", 143), ("INT", 130)] {
        let dir = tempfile::tempdir().unwrap();
        let source = layout(dir.path(), 1000).await;
        let (server, _) = Fake::silent_at(&["PUT", "DELETE"]).start().await;
        let run = Run::start(&source, &format!("{}:new", server.image()));
        server.wait_for("PUT").await;
        let ended = run.stop(signal).await;
        assert_eq!(ended.status.code(), Some(code));
        assert_eq!(server.requests("DELETE").len(), 1);
        let said = String::from_utf8_lossy(&ended.stderr);
        assert!(said.contains("it may keep the unfinished upload"), "{said}");
    }
}

/// docker-registry is slow to take a chunk, and cannot cancel a session in which a request has
/// broken off: after a signal the client sends the chunk to its end, then cancels; no session
/// stays.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_chunk_on_its_way_is_sent_to_its_end() {
    for (signal, code) in [("TERM", 143), ("INT", 130)] {
        let dir = tempfile::tempdir().unwrap();
        let source = layout(dir.path(), 60 << 20).await;
        let peer = Peer::start();
        let proxy = Proxy::start(peer.host(), |_| proxy::Fault::Slow).await;
        let run = Run::start(&source, &format!("{}/org/app:new", proxy.host));
        while peer.uploaded() < 15 << 20 {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        assert_eq!(run.stop(signal).await.status.code(), Some(code));
        assert_eq!(peer.uploads(), [""; 0], "{signal}: {:?}", peer.requests());
    }
}
