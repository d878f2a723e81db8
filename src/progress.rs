//! What is under way, for whoever shows it. A process makes one run, so there is one list of it.

use std::{
    collections::BTreeMap,
    fmt,
    io::{self, Read, Write},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

static STATE: Mutex<State> = Mutex::new(State {
    next: 0,
    total: 0,
    done: 0,
    moved: 0,
    works: BTreeMap::new(),
    waits: BTreeMap::new(),
});

/// Shorter waits are not worth a word.
const WAIT_MIN: Duration = Duration::from_secs(1);

struct State {
    next: u64,
    /// Bytes to go through.
    total: u64,
    /// Of them, those of finished work.
    done: u64,
    /// Bytes that finished work has really read.
    moved: u64,
    works: BTreeMap<u64, Entry>,
    waits: BTreeMap<u64, (String, Instant, Option<Instant>)>,
}

struct Entry {
    label: String,
    doing: &'static str,
    size: u64,
    /// Whether it counts toward the total.
    counts: bool,
    read: Box<dyn Fn() -> u64 + Send>,
}

impl Entry {
    fn read(&self) -> u64 {
        (self.read)().min(self.size)
    }
}

/// What there is to show.
#[derive(Debug, Default)]
pub(crate) struct Snapshot {
    pub(crate) total: u64,
    pub(crate) done: u64,
    /// Bytes that were read, without those that turned out not to be needed.
    pub(crate) moved: u64,
    pub(crate) works: Vec<Shown>,
    /// What a registry is waited for, the longest wait first.
    pub(crate) waits: Vec<String>,
}

#[derive(Debug)]
pub(crate) struct Shown {
    pub(crate) label: String,
    pub(crate) doing: &'static str,
    pub(crate) read: u64,
    pub(crate) size: u64,
}

/// A piece of work under way, until it is dropped.
#[must_use]
#[derive(Debug)]
pub(crate) struct Work {
    id: u64,
}

/// Counts the bytes of a piece of work.
#[derive(Debug, Clone, Default)]
pub(crate) struct Counter(Arc<AtomicU64>);

/// A wait, until it is dropped.
#[must_use]
#[derive(Debug)]
pub(crate) struct Wait {
    id: u64,
}

/// More bytes to go through.
pub(crate) fn expect(bytes: u64) {
    state().total += bytes;
}

/// Bytes that were expected and need not be read.
pub(crate) fn skip(bytes: u64) {
    state().done += bytes;
}

/// Work whose bytes were expected.
pub(crate) fn begin(
    label: &str,
    doing: &'static str,
    size: u64,
    read: impl Fn() -> u64 + Send + 'static,
) -> Work {
    add(label, doing, size, true, Box::new(read))
}

/// The same, counted by whoever reads.
pub(crate) fn begin_counted(label: &str, doing: &'static str, size: u64) -> (Work, Counter) {
    let counter = Counter::default();
    let read = counter.clone();
    (add(label, doing, size, true, Box::new(move || read.get())), counter)
}

/// Work on the way to something else: it is shown, and counts toward no total.
pub(crate) fn aside(label: &str, doing: &'static str, size: u64) -> (Work, Counter) {
    let counter = Counter::default();
    let read = counter.clone();
    (add(label, doing, size, false, Box::new(move || read.get())), counter)
}

/// A wait for a registry; `until` is when it ends, if that is known.
pub(crate) fn wait(text: impl Into<String>, until: Option<Instant>) -> Wait {
    let mut state = state();
    let id = state.id();
    state.waits.insert(id, (text.into(), Instant::now(), until));
    Wait { id }
}

pub(crate) fn snapshot() -> Snapshot {
    let state = state();
    let now = Instant::now();
    let active = |counted: fn(&Entry) -> bool| {
        state.works.values().filter(move |work| counted(work)).map(Entry::read).sum::<u64>()
    };
    let works = state.works.values().map(|work| Shown {
        label: work.label.clone(),
        doing: work.doing,
        read: work.read(),
        size: work.size,
    });
    let waits = state.waits.values().filter(|(_, since, until)| {
        until.is_some_and(|until| until > *since + WAIT_MIN) || *since + WAIT_MIN < now
    });
    let wait = |(text, since, until): &(String, Instant, Option<Instant>)| match until {
        Some(until) => format!("{text} in {} s", until.saturating_duration_since(now).as_secs()),
        None => format!("{text} for {} s", now.saturating_duration_since(*since).as_secs()),
    };
    Snapshot {
        total: state.total,
        done: (state.done + active(|work| work.counts)).min(state.total),
        moved: state.moved + active(|_| true),
        works: works.collect(),
        waits: waits.map(wait).collect(),
    }
}

fn add(
    label: &str,
    doing: &'static str,
    size: u64,
    counts: bool,
    read: Box<dyn Fn() -> u64 + Send>,
) -> Work {
    let mut state = state();
    let id = state.id();
    state.works.insert(id, Entry { label: label.to_owned(), doing, size, counts, read });
    Work { id }
}

fn state() -> MutexGuard<'static, State> {
    STATE.lock().unwrap_or_else(PoisonError::into_inner)
}

impl State {
    fn id(&mut self) -> u64 {
        self.next += 1;
        self.next
    }
}

impl Work {
    /// What is being done with it now.
    pub(crate) fn say(&self, doing: &'static str) {
        if let Some(entry) = state().works.get_mut(&self.id) {
            entry.doing = doing;
        }
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        let mut state = state();
        if let Some(entry) = state.works.remove(&self.id) {
            state.moved += entry.read();
            state.done += if entry.counts { entry.size } else { 0 };
        }
    }
}

impl Drop for Wait {
    fn drop(&mut self) {
        state().waits.remove(&self.id);
    }
}

impl Counter {
    fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    pub(crate) fn add(&self, bytes: usize) {
        self.0.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// The same reader or writer, counted.
    pub(crate) fn counting<T>(self, inner: T) -> Counted<T> {
        Counted { inner, counter: self }
    }
}

#[derive(Debug)]
pub(crate) struct Counted<T> {
    inner: T,
    counter: Counter,
}

impl<T> Counted<T> {
    pub(crate) fn into_inner(self) -> T {
        self.inner
    }
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buf)?;
        self.counter.add(read);
        Ok(read)
    }
}

impl<W: Write> Write for Counted<W> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(buf)?;
        self.counter.add(written);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entry").field("label", &self.label).finish_non_exhaustive()
    }
}
