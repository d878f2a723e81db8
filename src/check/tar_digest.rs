//! The digest of a layer's content, computed on a thread of its own: a third of the work of a check,
//! and the only part that needs nothing from the others.

use std::{
    panic,
    sync::mpsc::{self, Receiver, SyncSender},
    thread::{self, JoinHandle},
};

use crate::image::{Digest, Hasher};

/// Bytes that are handed over at once. There are at most [`QUEUE`] + 2 such buffers.
const BATCH: usize = 256 << 10;

const QUEUE: usize = 2;

/// Collects content, and has it hashed elsewhere if there is enough of it.
pub(super) struct TarDigest {
    hasher: Hasher,
    batch: Vec<u8>,
    helper: Option<Helper>,
}

struct Helper {
    full: SyncSender<Vec<u8>>,
    empty: Receiver<Vec<u8>>,
    thread: JoinHandle<Hasher>,
}

impl TarDigest {
    pub(super) fn new(hasher: Hasher) -> Self {
        Self { hasher, batch: Vec::new(), helper: None }
    }

    pub(super) fn update(&mut self, mut content: &[u8]) {
        while !content.is_empty() {
            let room = BATCH.saturating_sub(self.batch.len());
            let (taken, rest) = content.split_at_checked(room).unwrap_or((content, &[]));
            self.batch.extend_from_slice(taken);
            content = rest;
            if self.batch.len() >= BATCH {
                self.hand_over();
            }
        }
    }

    fn hand_over(&mut self) {
        if self.helper.is_none() {
            self.helper = Helper::start(self.hasher.clone());
        }
        match &self.helper {
            Some(helper) => {
                let next = helper.empty.try_recv().unwrap_or_else(|_| Vec::with_capacity(BATCH));
                // Fails only if the thread has panicked, which `finish` passes on.
                let _ = helper.full.send(std::mem::replace(&mut self.batch, next));
            }
            None => self.hasher.update(&self.batch),
        }
        self.batch.clear();
    }

    pub(super) fn finish(self) -> Digest {
        let Self { mut hasher, batch, helper } = self;
        if let Some(Helper { full, empty, thread }) = helper {
            drop((full, empty));
            hasher = thread.join().unwrap_or_else(|panicked| panic::resume_unwind(panicked));
        }
        hasher.update(&batch);
        hasher.finish()
    }
}

impl Helper {
    /// `None` if the system allows no further thread.
    fn start(mut hasher: Hasher) -> Option<Self> {
        let (full, inbox) = mpsc::sync_channel::<Vec<u8>>(QUEUE);
        let (done, empty) = mpsc::channel();
        let work = move || {
            for mut batch in inbox {
                hasher.update(&batch);
                batch.clear();
                // Nobody takes the last ones back.
                let _ = done.send(batch);
            }
            hasher
        };
        let thread = thread::Builder::new().name("tar-digest".to_owned()).spawn(work).ok()?;
        Some(Self { full, empty, thread })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::digest::Algorithm;

    #[test]
    fn the_digest_does_not_depend_on_the_pieces() {
        let content: Vec<u8> = (0..=250).cycle().take(3 * BATCH + 17).collect();
        for len in [0, 1, BATCH - 1, BATCH, BATCH + 1, content.len()] {
            let content = &content[..len];
            for piece in [333, BATCH, BATCH + 1, usize::MAX] {
                let mut digest = TarDigest::new(Algorithm::Sha512.hasher());
                content.chunks(piece).for_each(|piece| digest.update(piece));
                let mut expected = Algorithm::Sha512.hasher();
                expected.update(content);
                assert_eq!(digest.finish(), expected.finish(), "{len} in pieces of {piece}");
            }
        }
    }
}
