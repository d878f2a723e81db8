//! The digests of a layer's content, of its files and of their chunks, computed on a thread of its own:
//! half of the work of a check, and the part that needs nothing from the others.

use std::{
    panic,
    sync::mpsc::{self, Receiver, SyncSender},
    thread::{self, JoinHandle},
};

use sha2::{Digest as _, Sha256};

use super::{
    finding::{Findings, Rule, Shown},
    frames::Spent,
};
use crate::image::{Digest, Hasher};

/// How many buffers wait for the thread. There are at most three others.
const QUEUE: usize = 2;

/// The most marks in a buffer. Files are at least 1024 bytes apart in a tar, but chunks need not be.
const MARKS_MAX: usize = 2048;

/// What begins or ends at a place in the content.
#[derive(Debug, Clone)]
pub(super) enum Mark {
    FileBegins,
    /// A chunk that does not begin with its file.
    ChunkBegins,
    ChunkEnds {
        name: Shown<Vec<u8>>,
        number: usize,
        expected: Digest,
    },
    FileEnds {
        name: Shown<Vec<u8>>,
        expected: Option<Digest>,
    },
}

/// Takes content in buffers, and has it hashed elsewhere if there are several.
pub(super) struct Hashes {
    /// As of the beginning, if there is a helper.
    state: State,
    helper: Option<Helper>,
    /// Of the current buffer.
    marks: Marks,
    /// How much of the current buffer is hashed already.
    done: usize,
}

/// By their places in the content.
type Marks = Vec<(usize, Mark)>;

struct Helper {
    full: SyncSender<Batch>,
    empty: Receiver<Vec<u8>>,
    thread: JoinHandle<State>,
}

struct Batch {
    content: Vec<u8>,
    from: usize,
    to: usize,
    marks: Marks,
}

#[derive(Clone)]
struct State {
    all: Hasher,
    file: Option<Sha256>,
    chunk: Option<Sha256>,
    findings: Findings,
}

impl Hashes {
    /// `all` is for the content as a whole.
    pub(super) fn new(all: Hasher) -> Self {
        let state = State { all, file: None, chunk: None, findings: Findings::default() };
        Self { state, helper: None, marks: Vec::new(), done: 0 }
    }

    /// Says what comes after `before`, which is what was taken of the current buffer.
    pub(super) fn mark(&mut self, before: &[u8], mark: Mark) {
        if self.marks.len() >= MARKS_MAX {
            let content = before.to_vec();
            self.hash(content, before.len());
            self.done = before.len();
        }
        self.marks.push((before.len(), mark));
    }

    /// Returns a buffer of the same length.
    fn hash(&mut self, content: Vec<u8>, to: usize) -> Vec<u8> {
        if self.helper.is_none() {
            self.helper = Helper::start(self.state.clone());
        }
        let (len, from) = (content.len(), std::mem::take(&mut self.done));
        let batch = Batch { content, from, to, marks: std::mem::take(&mut self.marks) };
        match &self.helper {
            Some(helper) => {
                // Fails only if the thread has panicked, which `finish` passes on.
                let _ = helper.full.send(batch);
                let mut next = helper.empty.try_recv().unwrap_or_default();
                next.resize(len, 0);
                next
            }
            None => self.state.hash(batch),
        }
    }

    /// Takes the last content. Returns the digest of everything, and what was found.
    pub(super) fn finish(self, content: Vec<u8>) -> (Digest, Findings) {
        let Self { mut state, helper, marks, done } = self;
        if let Some(Helper { full, empty, thread }) = helper {
            drop((full, empty));
            state = thread.join().unwrap_or_else(|panicked| panic::resume_unwind(panicked));
        }
        let to = content.len();
        state.hash(Batch { content, from: done, to, marks });
        (state.all.finish(), state.findings)
    }
}

impl Spent for Hashes {
    fn spent(&mut self, content: &mut Vec<u8>, len: usize) {
        *content = self.hash(std::mem::take(content), len);
    }
}

impl Helper {
    /// `None` if the system allows no further thread.
    fn start(mut state: State) -> Option<Self> {
        let (full, inbox) = mpsc::sync_channel::<Batch>(QUEUE);
        let (done, empty) = mpsc::channel();
        let work = move || {
            for batch in inbox {
                // Nobody takes the last ones back.
                let _ = done.send(state.hash(batch));
            }
            state
        };
        let thread = thread::Builder::new().name("hashes".to_owned()).spawn(work).ok()?;
        Some(Self { full, empty, thread })
    }
}

impl State {
    /// Returns the buffer.
    fn hash(&mut self, Batch { content, mut from, to, marks }: Batch) -> Vec<u8> {
        let part = |from, to| content.get(from..to).unwrap_or_default();
        self.all.update(part(from, to));
        for (place, mark) in marks {
            self.update(part(from, place));
            self.pass(mark);
            from = place;
        }
        self.update(part(from, to));
        content
    }

    fn update(&mut self, content: &[u8]) {
        for hasher in [&mut self.file, &mut self.chunk].into_iter().flatten() {
            hasher.update(content);
        }
    }

    fn pass(&mut self, mark: Mark) {
        match mark {
            Mark::FileBegins => self.file = Some(Sha256::new()),
            Mark::ChunkBegins => self.chunk = Some(Sha256::new()),
            Mark::ChunkEnds { name, number, expected } => {
                let actual = digest(self.chunk.take().or_else(|| self.file.clone()));
                if actual != expected {
                    let detail = format!(
                        "{name}: piece {number} has the digest {actual}, but the TOC says {expected}"
                    );
                    self.findings.add(Rule::ChunkDigest, detail);
                }
            }
            Mark::FileEnds { name, expected } => {
                let actual = digest(self.file.take());
                if let Some(expected) = expected.filter(|expected| *expected != actual) {
                    let detail =
                        format!("{name} has the digest {actual}, but the TOC says {expected}");
                    self.findings.add(Rule::FileDigest, detail);
                }
            }
        }
    }
}

fn digest(hasher: Option<Sha256>) -> Digest {
    Digest::from_sha256(hasher.unwrap_or_default().finalize().into())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::{check::finding::shown, image::digest::Algorithm};

    const BUFFER: usize = 1 << 10;

    /// Marks of files of `len` bytes, each with a header of 512 bytes, in chunks of 300 bytes.
    /// `spoil` says which digests of which file are wrong.
    fn marks(content: &[u8], len: usize, spoil: impl Fn(usize) -> [bool; 2]) -> Marks {
        let mut marks = Vec::new();
        let sum =
            |part: &[u8], spoiled: bool| Digest::sha256_of(if spoiled { b"spoiled" } else { part });
        for (n, file) in content.chunks(512 + len).enumerate().filter(|(_, f)| f.len() > 512) {
            let (name, start) =
                (shown(format!("file {n}").as_bytes()).kept(), n * (512 + len) + 512);
            marks.push((start, Mark::FileBegins));
            for (number, chunk) in file[512..].chunks(300).enumerate() {
                let at = start + number * 300;
                if number > 0 {
                    marks.push((at, Mark::ChunkBegins));
                }
                let expected = sum(chunk, spoil(n)[0] && number < 2);
                let end = Mark::ChunkEnds { name: name.clone(), number, expected };
                marks.push((at + chunk.len(), end));
            }
            let expected = Some(sum(&file[512..], spoil(n)[1]));
            marks.push((start + file.len() - 512, Mark::FileEnds { name, expected }));
        }
        marks
    }

    fn hash(content: &[u8], marks: &Marks, buffer: usize) -> (Digest, Findings) {
        let mut hashes = Hashes::new(Algorithm::Sha512.hasher());
        let (mut held, mut len, mut marks) = (vec![0; buffer], 0, marks.iter().peekable());
        for at in 0..=content.len() {
            while let Some((_, mark)) = marks.next_if(|(place, _)| *place == at) {
                hashes.mark(&held[..len], mark.clone());
            }
            if let Some(byte) = content.get(at) {
                if len == buffer {
                    hashes.spent(&mut held, len);
                    assert_eq!(held.len(), buffer);
                    len = 0;
                }
                held[len] = *byte;
                len += 1;
            }
        }
        held.truncate(len);
        hashes.finish(held)
    }

    #[test]
    fn digests_do_not_depend_on_the_buffers() {
        let content: Vec<u8> = (0..=250).cycle().take(20 * BUFFER + 17).collect();
        let mut expected = Algorithm::Sha512.hasher();
        expected.update(&content);
        let expected = expected.finish();
        for len in [1, 299, 300, 301, 5000, content.len()] {
            let spoil = |n: usize| [n % 5 == 1, n % 7 == 1];
            let (right, wrong) =
                (marks(&content, len, |_| [false; 2]), marks(&content, len, spoil));
            let mut told = Vec::new();
            for buffer in [600, BUFFER, BUFFER + 1, 30 * BUFFER] {
                let (digest, findings) = hash(&content, &right, buffer);
                assert_eq!(
                    (digest, findings.kept()),
                    (expected.clone(), &[][..]),
                    "{len} {buffer}"
                );
                told.push(hash(&content, &wrong, buffer).1);
            }
            assert!(!told[0].kept().is_empty());
            assert!(told.iter().all(|found| found.kept() == told[0].kept()), "{len}: {told:?}");
            assert!(told.iter().all(|found| found.counts() == told[0].counts()), "{len}");
        }
    }

    #[test]
    fn very_many_marks_are_not_kept() {
        let mut hashes = Hashes::new(Algorithm::Sha256.hasher());
        let content = [7; 10];
        hashes.mark(&content[..3], Mark::FileBegins);
        let end = |number| Mark::ChunkEnds {
            name: shown("name".as_bytes()).kept(),
            number,
            expected: Digest::sha256_of(b""),
        };
        for number in 0..5 * MARKS_MAX {
            hashes.mark(&content[..5], Mark::ChunkBegins);
            hashes.mark(&content[..5], end(number));
            assert!(hashes.marks.len() <= MARKS_MAX);
        }
        hashes.mark(&content[..5], Mark::ChunkBegins);
        hashes.mark(&content[..6], end(0));
        let expected = Some(Digest::sha256_of(&[7; 6]));
        hashes.mark(
            &content[..9],
            Mark::FileEnds { name: shown("name".as_bytes()).kept(), expected },
        );
        let (digest, findings) = hashes.finish(content.to_vec());
        assert_eq!(digest, Digest::sha256_of(&content));
        assert_eq!(findings.counts().get(&Rule::ChunkDigest), Some(&1));
        assert_eq!(findings.counts().get(&Rule::FileDigest), None);
    }
}
