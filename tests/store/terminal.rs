//! What a person at a terminal sees while a run works, and what is left of it.

use std::{
    fs::{File, OpenOptions},
    io::Read as _,
    num::NonZeroU16,
    os::fd::OwnedFd,
    path::Path,
    process::{Child, Command, Stdio},
    sync::mpsc::{self, Receiver},
    time::Duration,
};

use rustix::{
    process::{Pid, Signal, kill_process},
    pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt},
    termios::{Winsize, tcsetwinsize},
};
use test_support::scripted::{Reaction, Scripted, answer, cut, stall};

use super::{
    quick,
    sample::{Sample, program},
};

const ROWS: NonZeroU16 = NonZeroU16::new(24).unwrap();
/// Longer than anything here takes.
const LONG: Duration = Duration::from_secs(120);

/// A run at a terminal.
struct Terminal {
    process: Child,
    output: Receiver<Vec<u8>>,
    screen: vt100::Parser,
    /// What has been seen of the screen, each state once.
    seen: Vec<String>,
}

impl Terminal {
    fn start(mut command: Command, columns: u16) -> Self {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let size = Winsize { ws_row: ROWS.get(), ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        tcsetwinsize(&master, size).unwrap();
        let name = ptsname(&master, Vec::new()).unwrap();
        let slave = OpenOptions::new().read(true).write(true).open(name.to_str().unwrap()).unwrap();
        command.env("TERM", "xterm").stdin(Stdio::null());
        command.stdout(slave.try_clone().unwrap()).stderr(slave);
        let process = command.spawn().unwrap();
        drop(command);
        Self {
            process,
            output: read(master),
            screen: vt100::Parser::new(ROWS, NonZeroU16::new(columns).unwrap(), 0),
            seen: Vec::new(),
        }
    }

    /// Reads on until the screen shows these words, or the run ends.
    fn until(&mut self, words: &[&str]) {
        while let Ok(bytes) = self.output.recv_timeout(LONG) {
            self.screen.process(&bytes);
            let screen = self.screen.screen();
            let text = screen.contents();
            for (number, row) in (0..).zip(screen.rows(0, screen.size().1.get())) {
                let wraps =
                    screen.row_wrapped(number) && (row.contains(" %  ") || row.contains('['));
                assert!(!wraps, "progress wraps: {row:?} in\n{text}");
            }
            if self.seen.last() != Some(&text) {
                self.seen.push(text.clone());
            }
            if !words.is_empty() && words.iter().all(|word| text.contains(word)) {
                return;
            }
        }
        assert!(words.is_empty(), "{words:?} not in {:#?}", self.seen);
    }

    /// The exit code and what is left on the screen.
    fn end(mut self) -> (Option<i32>, String, Vec<String>) {
        self.until(&[]);
        let code = self.process.wait().unwrap().code();
        let text = self.screen.screen().contents();
        assert!(!text.contains("total  ") && !text.contains(" %  "), "progress is left:\n{text}");
        (code, text, self.seen)
    }

    fn interrupt(&self) {
        let pid = Pid::from_child(&self.process);
        kill_process(pid, Signal::INT).unwrap();
    }
}

fn read(master: OwnedFd) -> Receiver<Vec<u8>> {
    let (send, receive) = mpsc::channel();
    std::thread::spawn(move || {
        let mut master = File::from(master);
        let mut buffer = [0; 4096];
        // A terminal that nobody has open any more ends with EIO.
        while let Ok(read @ 1..) = master.read(&mut buffer) {
            if send.send(buffer[..read].to_vec()).is_err() {
                break;
            }
        }
    });
    receive
}

fn program_with(arguments: &[&str]) -> Command {
    let mut command = program();
    command.args(arguments);
    command
}

async fn layout(dir: &Path, lengths: &[usize]) -> String {
    Sample::new(lengths, 3).push(&format!("oci:{}/image:x", dir.display()), &quick()).await
}

/// A registry that goes silent within the first layer.
async fn silent(sample: Sample) -> (Scripted, String) {
    let reference = sample.named("org/app");
    let server = Scripted::start(move |request, _| -> Reaction {
        let path = request.line.split(' ').nth(1).unwrap();
        let (_, name) = path.rsplit_once('/').unwrap();
        let is_layer = sample.layers().iter().any(|layer| layer.as_str() == name);
        let kind = format!("Content-Type: {}", sample.manifest.media_type);
        match sample.blob(name) {
            _ if path.contains("/manifests/") => {
                answer(200, &[&kind], &sample.manifest.bytes).into()
            }
            Some(blob) if is_layer => stall(cut(200, &[], blob.len(), &blob[..blob.len() / 2])),
            Some(blob) => answer(200, &[], &blob).into(),
            None => answer(200, &[], b"").into(),
        }
    })
    .await;
    let image = format!("{}/{reference}", server.host);
    (server, image)
}

/// No line of progress wraps, however narrow the terminal is; there is one total with a rate and the
/// time that is left; and nothing of it stays.
#[tokio::test]
async fn progress_fits_and_is_cleared() {
    let dir = tempfile::tempdir().unwrap();
    let image = layout(dir.path(), &[8 << 20, 24 << 20, 1 << 20, 24 << 20]).await;
    let destination = format!("oci:{}/new:y", dir.path().display());
    tokio::task::spawn_blocking(move || {
        for columns in [40, 80, 160] {
            let options = ["--compression-level=15", "--reuse-from=none", "--jobs=2"];
            let command =
                program_with(&[&["convert", &image, &destination], &options[..]].concat());
            let (code, text, seen) = Terminal::start(command, columns).end();
            assert_eq!(code, Some(0), "{text}");
            let shown: Vec<_> = seen.iter().filter(|text| text.contains(" left")).collect();
            assert!(!shown.is_empty(), "{columns}: {seen:#?}");
            assert!(shown.iter().all(|text| text.matches(" left").count() == 1), "{shown:#?}");
            if columns > 40 {
                let is_short = |line: &str| !line.starts_with("layer ") || line.len() <= 80;
                assert!(text.lines().all(is_short), "{text}");
                assert!(shown.iter().any(|text| text.contains("MiB/s")), "{shown:#?}");
            }
        }
    })
    .await
    .unwrap();
}

/// Every command that downloads layers shows how far it is, and clears that when it is interrupted.
#[tokio::test]
async fn an_interrupted_run_leaves_no_progress() {
    for arguments in [
        &["convert", "IMAGE", "oci:/nonexistent/out:x"][..],
        &["verify", "IMAGE"],
        &["inspect", "--download", "IMAGE"],
    ] {
        let (_server, image) = silent(Sample::new(&[2 << 20, 1 << 20], 4)).await;
        let dir = tempfile::tempdir().unwrap();
        let out = format!("oci:{}/out:x", dir.path().display());
        let arguments: Vec<_> = arguments
            .iter()
            .map(|argument| match *argument {
                "IMAGE" => image.clone(),
                "oci:/nonexistent/out:x" => out.clone(),
                other => other.to_owned(),
            })
            .collect();
        tokio::task::spawn_blocking(move || {
            let command = program_with(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
            let mut terminal = Terminal::start(command, 80);
            terminal.until(&["layer 1  ", "total  [", "MiB of "]);
            terminal.interrupt();
            let (code, text, _) = terminal.end();
            assert_eq!(code, Some(130), "{text}");
            assert!(text.contains("interrupted by SIGINT"), "{text}");
        })
        .await
        .unwrap();
    }
}

/// A registry that is waited for is named, with how long that will take.
#[tokio::test]
async fn waits_for_a_registry_are_shown() {
    let server =
        Scripted::start(|_, _| -> Reaction { answer(503, &["Retry-After: 30"], b"").into() }).await;
    let silent = Scripted::start(|_, _| -> Reaction { stall(Vec::new()) }).await;
    for (host, words) in [
        (server.host.clone(), ["retrying connection in ", "warning: connection failed: "]),
        (silent.host.clone(), ["waiting for ", "(connection) for "]),
    ] {
        tokio::task::spawn_blocking(move || {
            let image = format!("{host}/org/app:x");
            let mut terminal = Terminal::start(program_with(&["inspect", &image]), 160);
            terminal.until(&words);
            terminal.interrupt();
            let (code, text, _) = terminal.end();
            assert_eq!(code, Some(130), "{text}");
            assert!(!text.contains("retrying connection") && !text.contains("waiting"), "{text}");
        })
        .await
        .unwrap();
    }
}

/// Whoever wants no progress gets none; the report stays.
#[tokio::test]
async fn quiet_runs_show_only_the_report() {
    let dir = tempfile::tempdir().unwrap();
    let image = layout(dir.path(), &[4 << 20]).await;
    let destination = format!("oci:{}/new:y", dir.path().display());
    tokio::task::spawn_blocking(move || {
        for option in ["--quiet", "-q", "--log=error", "--log=off"] {
            let command = program_with(&["convert", &image, &destination, option]);
            let (code, text, seen) = Terminal::start(command, 200).end();
            assert_eq!(code, Some(0), "{text}");
            assert!(text.starts_with(&destination) && text.lines().count() == 1, "{text}");
            assert!(seen.iter().all(|text| text.starts_with(&destination)), "{seen:#?}");
        }
    })
    .await
    .unwrap();
}
