//! Hashes what can only be hashed in order: the whole tar (its digest is the diffID), chunks that
//! span several frames, and files, which cost less along with the tar than on their own.

use std::sync::Arc;

use crossbeam_channel::{Receiver, Sender};
use sha2::{Digest as _, Sha256};

use super::batch::{Batch, Sum, SumOf, TarTotals};
use crate::image::Hasher;

/// A block of SHA-256, in bytes.
const BLOCK: usize = 64;

/// Answers each batch with the sums that end in it, in order.
pub(super) fn digest(
    mut diff_id: Hasher,
    batches: &Receiver<Arc<Batch>>,
    sums: &Sender<Vec<[u8; 32]>>,
) -> TarTotals {
    let (mut raw_len, mut place) = (0, 0);
    let (mut file, mut chunk) = (Sha256::new(), Sha256::new());
    for batch in batches {
        let (mut ended, mut done) = (Vec::new(), 0);
        for Sum { of, range, last } in &batch.sums {
            let content = &batch.data[range.clone()];
            let hasher = match of {
                SumOf::File => {
                    diff_id.update(&batch.data[done..range.start]);
                    done = range.end;
                    // Where a file begins, a block of the tar does, and so one of SHA-256.
                    let place = (place + range.start) % BLOCK;
                    update_both(&mut diff_id, &mut file, content, place);
                    &mut file
                }
                SumOf::Chunk => {
                    chunk.update(content);
                    &mut chunk
                }
            };
            if *last {
                ended.push(hasher.finalize_reset().into());
            }
        }
        diff_id.update(&batch.data[done..]);
        raw_len += batch.data.len() as u64;
        place = (place + batch.data.len()) % BLOCK;
        drop(batch);
        if sums.send(ended).is_err() {
            break;
        }
    }
    TarTotals { diff_id: diff_id.finish(), raw_len }
}

/// Adds the same bytes to two digests that are both at `place` in a block, block by block in turns:
/// each block depends on the one before, but the processor overlaps those of the two digests.
fn update_both(a: &mut Hasher, b: &mut Sha256, content: &[u8], place: usize) {
    let (head, rest) = content.split_at(content.len().min(BLOCK - place));
    for piece in std::iter::once(head).chain(rest.chunks(BLOCK)) {
        a.update(piece);
        b.update(piece);
    }
}
