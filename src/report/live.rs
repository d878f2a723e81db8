//! Progress on a terminal: a line for each layer at work, and one for all of them. Lines are cut to
//! the width of the terminal, because one that wraps could not be cleared.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use super::human::size;
use crate::progress::{Shown, Snapshot};

/// Layers that are shown at once, and waits.
const LAYERS_MAX: usize = 4;
/// The rate is that of the last seconds.
const WINDOW: Duration = Duration::from_secs(8);
/// Before that it means nothing.
const WINDOW_MIN: Duration = Duration::from_secs(1);
/// Columns of a bar.
const BAR_MIN: usize = 8;
const BAR_MAX: usize = 30;

/// What is needed of the past.
#[derive(Debug, Default)]
pub(super) struct History(VecDeque<(Instant, u64)>);

impl History {
    /// Bytes a second, if that can be said yet.
    fn rate(&mut self, now: Instant, moved: u64) -> Option<u64> {
        while self.0.front().is_some_and(|(at, _)| now.saturating_duration_since(*at) > WINDOW) {
            self.0.pop_front();
        }
        self.0.push_back((now, moved));
        let (since, before) = self.0.front()?;
        let time = now.saturating_duration_since(*since);
        if time < WINDOW_MIN {
            return None;
        }
        let rate = u128::from(moved.saturating_sub(*before)) * 1000 / time.as_millis();
        u64::try_from(rate).ok().filter(|rate| *rate > 0)
    }
}

/// The lines for a terminal of this size, each of fewer columns than it has.
pub(super) fn lines(
    snapshot: &Snapshot,
    history: &mut History,
    now: Instant,
    (columns, rows): (usize, usize),
) -> Vec<String> {
    let width = columns.saturating_sub(1);
    let rate = history.rate(now, snapshot.moved);
    let mut lines = Vec::new();
    // What is shown must leave room for what was printed.
    let room = LAYERS_MAX.min(rows.saturating_sub(4));
    let shown = snapshot.works.iter().take(room);
    let longest = shown.clone().map(|work| plain(&work.label).chars().count()).max();
    lines.extend(shown.map(|work| layer(work, longest.unwrap_or_default(), width)));
    let hidden = snapshot.works.len().saturating_sub(room);
    if hidden > 0 && room > 0 {
        lines.push(cut(&format!("and {hidden} more"), width));
    }
    lines.extend(snapshot.waits.iter().take(room.min(2)).map(|wait| cut(&plain(wait), width)));
    // In a single row, each line would scroll away, and the next one be another.
    if snapshot.total > 0 && rows > 1 {
        lines.push(total(snapshot, rate, width));
    }
    lines
}

fn layer(work: &Shown, longest: usize, width: usize) -> String {
    let label = plain(&work.label);
    let amount = format!("{} of {}", size(work.read), size(work.size));
    let percent = percent(work.read, work.size);
    let doing = work.doing;
    let left = |text: String| format!("{label:longest$}  {text}");
    with_bar(
        (work.read, work.size),
        width,
        &[
            (left(String::new()), format!("  {percent}  {amount:>22}  {doing}")),
            (left(String::new()), format!("  {percent}  {doing}")),
        ],
        &[left(format!("{percent}  {doing}")), format!("{label}  {percent}"), label.clone()],
    )
}

fn total(snapshot: &Snapshot, rate: Option<u64>, width: usize) -> String {
    let Snapshot { total, done, .. } = *snapshot;
    let amount = format!("{} of {}", size(done), size(total));
    let percent = percent(done, total);
    let speed = rate.map(|rate| format!("  {}/s", size(rate))).unwrap_or_default();
    let left = rate.filter(|_| done < total).map(|rate| (total - done) / rate);
    let left = left.map(|seconds| format!("  {} left", time(seconds))).unwrap_or_default();
    with_bar(
        (done, total),
        width,
        &[("total  ".to_owned(), format!("  {percent}  {amount}{speed}{left}"))],
        &[
            format!("total  {percent}  {amount}{speed}{left}"),
            format!("{percent}  {amount}{left}"),
            format!("{percent}{speed}{left}"),
            format!("{percent}{left}"),
            percent,
        ],
    )
}

/// The first of the texts around a bar for which there is room; or else the first without one.
fn with_bar(
    (part, whole): (u64, u64),
    width: usize,
    around: &[(String, String)],
    without: &[String],
) -> String {
    let columns = |text: &str| text.chars().count();
    for (before, after) in around {
        let room = width.saturating_sub(columns(before) + columns(after) + 2);
        if room >= BAR_MIN {
            return format!("{before}{}{after}", bar(part, whole, room.min(BAR_MAX)));
        }
    }
    let fits = without.iter().find(|text| columns(text) <= width);
    fits.cloned().unwrap_or_else(|| without.last().map(|text| cut(text, width)).unwrap_or_default())
}

fn bar(part: u64, whole: u64, columns: usize) -> String {
    let filled = u128::from(part.min(whole)) * columns as u128 / u128::from(whole.max(1));
    let filled = usize::try_from(filled).unwrap_or(columns);
    format!("[{}{}]", "#".repeat(filled), "-".repeat(columns - filled))
}

fn percent(part: u64, whole: u64) -> String {
    let percent = u128::from(part.min(whole)) * 100 / u128::from(whole.max(1));
    format!("{percent:>3} %")
}

/// As in `1 h 5 min`.
fn time(seconds: u64) -> String {
    match (seconds / 3600, seconds / 60 % 60, seconds % 60) {
        (0, 0, seconds) => format!("{seconds} s"),
        (0, minutes, seconds) if minutes < 10 => format!("{minutes} min {seconds} s"),
        (0, minutes, _) => format!("{minutes} min"),
        (hours, minutes, _) => format!("{hours} h {minutes} min"),
    }
}

/// Only characters of one column. Names and messages of registries may have others.
fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_ascii() && !c.is_control() { c } else { '?' }).collect()
}

fn cut(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    let mut cut: String = text.chars().take(width.saturating_sub(3)).collect();
    cut += &"..."[..width.min(3)];
    cut
}

#[cfg(test)]
mod tests {
    use super::*;

    fn snapshot() -> Snapshot {
        let work = |label: &str, doing, read| Shown {
            label: label.to_owned(),
            doing,
            read,
            size: 130 << 20,
        };
        Snapshot {
            total: 1000 << 20,
            done: 471 << 20,
            moved: 471 << 20,
            works: vec![
                work("linux/amd64 layer 1 zstd:chunked", "converting", 61 << 20),
                work("linux/arm64 layer 12", "storing", 130 << 20),
                work("\u{1b}[31mé漢\u{200b}", "checking", 0),
                work("layer 4", "reading", u64::MAX),
                work("layer 5", "reading", 1),
            ],
            waits: vec![
                "retrying upload of blob sha256:0123456789abcdef0123456789abcdef in 7 s".to_owned(),
            ],
        }
    }

    #[test]
    fn no_line_is_as_wide_as_the_terminal() {
        let begin = Instant::now();
        for columns in (0..200).chain([10_000]) {
            let mut history = History::default();
            lines(&Snapshot::default(), &mut history, begin, (columns, 24));
            let lines = lines(&snapshot(), &mut history, begin + 5 * WINDOW_MIN, (columns, 24));
            assert_eq!(lines.len(), 7, "{lines:#?}");
            for line in lines {
                assert!(line.chars().count() <= columns.saturating_sub(1), "{columns}: {line:?}");
                assert!(line.is_ascii() && !line.chars().any(char::is_control), "{line:?}");
            }
        }
    }

    #[test]
    fn the_total_says_most_in_few_columns() {
        let begin = Instant::now();
        let total = |columns| {
            let mut history = History::default();
            lines(&Snapshot::default(), &mut history, begin, (columns, 24));
            let lines = lines(&snapshot(), &mut history, begin + 5 * WINDOW_MIN, (columns, 24));
            lines.last().cloned().unwrap_or_default()
        };
        assert_eq!(total(40), " 47 %  94.2 MiB/s  5 s left");
        assert_eq!(
            total(80),
            "total  [#######---------]   47 %  471.0 MiB of 1000.0 MiB  94.2 MiB/s  5 s left"
        );
        assert_eq!(
            total(160),
            "total  [##############----------------]   47 %  471.0 MiB of 1000.0 MiB  94.2 MiB/s  \
             5 s left"
        );
        assert_eq!(total(20), " 47 %  5 s left");
        assert_eq!(total(5), " ...");
    }

    #[test]
    fn a_small_terminal_keeps_room_for_other_lines() {
        for rows in 0..8 {
            let lines = lines(&snapshot(), &mut History::default(), Instant::now(), (80, rows));
            assert!(lines.len() <= rows.saturating_sub(1), "{rows}: {lines:#?}");
        }
    }
}
