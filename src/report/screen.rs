//! Standard error: lines for people or for programs, and on a terminal the progress below them.

use std::{
    io::{IsTerminal as _, Write as _},
    sync::{
        Mutex, MutexGuard, PoisonError,
        mpsc::{self, RecvTimeoutError, Sender},
    },
    thread,
    time::{Duration, Instant, SystemTime},
};

use serde_json::json;

use super::live::{self, History};
use crate::{
    progress,
    store::{mask, one_line},
};

/// How often progress moves.
const TICK: Duration = Duration::from_millis(100);

static SCREEN: Mutex<Screen> =
    Mutex::new(Screen { mode: Mode::Lines, is_json: false, drawn: Vec::new(), alive: None });

/// What is printed while a run works.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Nothing of what a run does.
    Quiet,
    /// A line for each event, for logs.
    Lines,
    /// The same, with progress below them if standard error is a terminal.
    Live,
}

struct Screen {
    mode: Mode,
    /// Lines are JSON objects.
    is_json: bool,
    /// The progress that is on the terminal.
    drawn: Vec<String>,
    /// Dropped to end the thread that draws.
    alive: Option<Sender<()>>,
}

/// Decides what is printed from now on.
pub fn begin(mode: Mode, is_json: bool) {
    let mut screen = screen();
    (screen.mode, screen.is_json) = (mode, is_json);
    if mode != Mode::Live || !is_terminal() {
        return;
    }
    let (alive, ended) = mpsc::channel::<()>();
    screen.alive = Some(alive);
    thread::spawn(move || {
        let mut history = History::default();
        while ended.recv_timeout(TICK) == Err(RecvTimeoutError::Timeout) {
            let lines =
                live::lines(&progress::snapshot(), &mut history, Instant::now(), terminal_size());
            let mut screen = self::screen();
            if screen.alive.is_some() && screen.drawn != lines {
                screen.draw("", lines);
            }
        }
    });
}

/// Clears the progress for good: what follows is the end of a run, or its report.
pub fn end() {
    let mut screen = screen();
    if screen.alive.take().is_some() {
        screen.draw("", Vec::new());
    }
}

/// What a run has done.
pub(crate) fn say(text: &str) {
    let Screen { mode, is_json, .. } = *screen();
    match mode {
        Mode::Quiet => {}
        _ if is_json => {
            for message in messages(text) {
                print(&json_line("INFO", &message, serde_json::Map::new()));
            }
        }
        Mode::Lines | Mode::Live => print(text),
    }
}

/// Each message in a line of its own. In a text, what is indented belongs to the line above.
fn messages(text: &str) -> Vec<String> {
    text.replace("\n  ", ", ").lines().map(str::to_owned).collect()
}

/// Why the run fails, or what else it ends with.
pub fn complain(text: &str) {
    let line = one_line(text);
    let is_json = screen().is_json;
    if is_json {
        print(&json_line("ERROR", &line, serde_json::Map::new()));
    } else {
        print(&format!("error: {line}"));
    }
}

/// A message of one or more lines, above the progress. Texts of registries and images may have
/// characters that would change how it looks. It is for whoever reads standard error, which
/// may be closed; the work goes on.
pub fn print(text: &str) {
    let lines: Vec<_> = text.split('\n').map(one_line).collect();
    let text = format!("{}\n", mask(&lines.join("\n")));
    let mut screen = screen();
    let lines = std::mem::take(&mut screen.drawn);
    if lines.is_empty() {
        let _ = std::io::stderr().write_all(text.as_bytes());
        return;
    }
    screen.drawn.clone_from(&lines);
    screen.draw(&text, lines);
}

/// A line of the log, as JSON.
pub fn json_line(
    level: &str,
    message: &str,
    mut fields: serde_json::Map<String, serde_json::Value>,
) -> String {
    let mut line = serde_json::Map::new();
    let time = humantime::format_rfc3339_millis(SystemTime::now()).to_string();
    line.insert("timestamp".into(), json!(time));
    line.insert("level".into(), json!(level));
    line.insert("message".into(), json!(message));
    line.append(&mut fields);
    serde_json::Value::Object(line).to_string()
}

impl Screen {
    /// Replaces what is drawn by `text`, which stays, and `lines` below it.
    fn draw(&mut self, text: &str, lines: Vec<String>) {
        let (columns, _) = terminal_size();
        // If the terminal has become narrower, a line may take several rows now.
        let rows: usize =
            self.drawn.iter().map(|line| line.len().max(1).div_ceil(columns.max(1))).sum();
        let mut out = String::new();
        if rows > 0 {
            out += &format!("\x1b[{rows}A\r\x1b[J");
        }
        out += text;
        for line in &lines {
            out += line;
            out.push('\n');
        }
        self.drawn = lines;
        let mut stderr = std::io::stderr().lock();
        let _ = stderr.write_all(out.as_bytes()).and_then(|()| stderr.flush());
    }
}

fn screen() -> MutexGuard<'static, Screen> {
    SCREEN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether progress can be drawn and cleared.
fn is_terminal() -> bool {
    std::io::stderr().is_terminal() && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
}

/// Columns and rows.
fn terminal_size() -> (usize, usize) {
    match rustix::termios::tcgetwinsize(std::io::stderr()) {
        Ok(size) if size.ws_col > 0 => (size.ws_col.into(), size.ws_row.into()),
        _ => (80, 24),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_one_line() {
        for (text, expected) in [
            ("a\n  to b\n  1 layer", &["a, to b, 1 layer"][..]),
            (
                "note: c\n1 MiB before\n  sha256:d, new\npublished e",
                &["note: c", "1 MiB before, sha256:d, new", "published e"],
            ),
        ] {
            assert_eq!(messages(text), expected);
        }
    }
}
