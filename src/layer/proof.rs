//! TOC and tar-split stream are read back while they are written, with another reader than the one
//! that writers have in mind, as clients will do: when the last entry is written, all but a few have
//! been checked.

use std::io;

use crossbeam_channel::{Receiver, Sender, unbounded};

use super::{LayerError, input::Pieces};
use crate::check::Documents;

/// So much of a document is waited for, in bytes: who waits for it has to be woken up.
const PIECE: usize = 64 << 10;

/// A document on its way to who reads it back.
struct Feed {
    /// Not bounded: what waits here is a part of what is held anyway.
    pieces: Sender<Vec<u8>>,
    sent: usize,
}

impl Feed {
    /// `document` is all of it so far, in its compressed form.
    fn send(&mut self, document: &[u8], least: usize) {
        let rest = document.get(self.sent..).unwrap_or_default();
        if rest.len() >= least {
            // Who finds a fault reads no further.
            let _ = self.pieces.send(rest.to_vec());
            self.sent = document.len();
        }
    }
}

/// Where the assembler sends both documents, and learns what they have come to.
pub(super) struct Proof {
    toc: Feed,
    tar_split: Feed,
    documents: Receiver<io::Result<Documents>>,
}

/// To be read on a thread of its own.
pub(super) struct Proofreader {
    toc: Pieces,
    tar_split: Pieces,
    documents: Sender<io::Result<Documents>>,
}

pub(super) fn begin() -> (Proof, Proofreader) {
    let feed = || {
        let (pieces, incoming) = unbounded();
        // Nobody wants spent pieces back.
        (Feed { pieces, sent: 0 }, Pieces::new(incoming, unbounded().0))
    };
    let ((toc, toc_in), (tar_split, tar_split_in)) = (feed(), feed());
    let (done, documents) = unbounded();
    let reader = Proofreader { toc: toc_in, tar_split: tar_split_in, documents: done };
    (Proof { toc, tar_split, documents }, reader)
}

impl Proof {
    /// Shows what there is of both documents in their compressed form.
    pub(super) fn show(&mut self, toc: &[u8], tar_split: &[u8]) {
        self.toc.send(toc, PIECE);
        self.tar_split.send(tar_split, PIECE);
    }

    /// Shows all of both documents, and waits for what they have come to.
    pub(super) fn finish(mut self, toc: &[u8], tar_split: &[u8]) -> Result<Documents, LayerError> {
        self.toc.send(toc, 0);
        self.tar_split.send(tar_split, 0);
        drop((self.toc, self.tar_split));
        let documents = self.documents.recv().map_err(|_| LayerError::WorkerLost)?;
        documents.map_err(LayerError::Metadata)
    }
}

impl Proofreader {
    /// Reads until both documents have come to their ends.
    pub(super) fn read(self) {
        // Nobody wants to know if the layer turned out to have no TOC.
        let _ = self.documents.send(Documents::read(self.toc, self.tar_split));
    }
}
