//! A document that is read while it is being written. Its beginning is in memory, the rest in a
//! temporary file, so a short one needs no file, and a long one little memory.

use std::{
    fs::File,
    io::{self, Read, Write},
    os::unix::fs::FileExt as _,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
};

/// How much is kept in memory, in bytes.
const HEAD: usize = 1 << 20;

/// Readers are not woken for less than this, in bytes.
const PIECE: u64 = 64 << 10;

#[derive(Debug, Default)]
struct ScratchState {
    head: Vec<u8>,
    rest: Option<Arc<File>>,
    len: u64,
    /// Nothing more comes.
    ended: bool,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<ScratchState>,
    grown: Condvar,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, ScratchState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Writes the document. It ends when this is dropped.
#[derive(Debug)]
pub(super) struct Scratch {
    shared: Arc<Shared>,
    /// Length at which readers were last woken.
    announced: u64,
}

/// Reads the document from its beginning, and waits for what is still to come.
#[derive(Debug)]
pub(super) struct ScratchReader {
    shared: Arc<Shared>,
    at: u64,
}

impl Scratch {
    pub(super) fn new() -> Self {
        Self { shared: Arc::default(), announced: 0 }
    }

    pub(super) fn reader(&self) -> ScratchReader {
        ScratchReader { shared: Arc::clone(&self.shared), at: 0 }
    }
}

impl Write for Scratch {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut state = self.shared.state();
        let room = HEAD - state.head.len();
        let taken = if room > 0 {
            let taken = room.min(bytes.len());
            state.head.extend_from_slice(&bytes[..taken]);
            taken
        } else {
            let at = state.len - HEAD as u64;
            let file = match &state.rest {
                Some(file) => file,
                None => state.rest.insert(Arc::new(tempfile::tempfile()?)),
            };
            file.write_all_at(bytes, at)?;
            bytes.len()
        };
        state.len += taken as u64;
        if state.len - self.announced >= PIECE {
            self.announced = state.len;
            self.shared.grown.notify_all();
        }
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        self.shared.state().ended = true;
        self.shared.grown.notify_all();
    }
}

impl Read for ScratchReader {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let at = self.at;
        let waits = |state: &mut ScratchState| state.len < at + PIECE && !state.ended;
        let state = self.shared.state();
        let state = self.shared.grown.wait_while(state, waits);
        let state = state.unwrap_or_else(PoisonError::into_inner);
        let start = usize::try_from(at).unwrap_or(usize::MAX);
        let len = match state.head.get(start..) {
            Some(head) if !head.is_empty() => {
                let len = head.len().min(buf.len());
                buf[..len].copy_from_slice(&head[..len]);
                len
            }
            _ => {
                let left = usize::try_from(state.len - at).unwrap_or(usize::MAX);
                let most = left.min(buf.len());
                match state.rest.clone().filter(|_| most > 0) {
                    None => 0,
                    Some(file) => {
                        drop(state);
                        file.read_at(&mut buf[..most], at - HEAD as u64)?
                    }
                }
            }
        };
        self.at += len as u64;
        Ok(len)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::thread;

    use super::*;

    #[test]
    fn what_grows_is_read_as_a_whole_and_more_than_once() {
        let mut random = fastrand::Rng::with_seed(1);
        let document: Vec<u8> = (0..3 * HEAD).map(|_| random.u8(..)).collect();
        for len in [0, 1, HEAD - 1, HEAD, HEAD + 1, document.len()] {
            let document = &document[..len];
            let mut scratch = Scratch::new();
            let (mut first, mut second) = (scratch.reader(), scratch.reader());
            thread::scope(|scope| {
                let first = scope.spawn(move || {
                    let mut read = Vec::new();
                    first.read_to_end(&mut read).map(|_| read)
                });
                document.chunks(1000).for_each(|piece| scratch.write_all(piece).unwrap());
                drop(scratch);
                assert!(first.join().unwrap().unwrap() == document, "{len}");
            });
            let mut read = Vec::new();
            second.read_to_end(&mut read).unwrap();
            assert!(read == document, "{len}");
            assert!(second.shared.state().head.len() <= HEAD);
        }
    }
}
