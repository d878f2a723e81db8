//! Hashes what can only be hashed in order: the tar as a whole (its digest is the diffID), and
//! files and chunks that go across frames.

use std::sync::Arc;

use crossbeam_channel::{Receiver, Sender};
use sha2::{Digest as _, Sha256};

use super::batch::{Batch, SumOf, Totals};
use crate::image::Hasher;

/// Answers each batch with the sums that came to their end in it, in order.
pub(super) fn digest(
    mut diff_id: Hasher,
    batches: &Receiver<Arc<Batch>>,
    sums: &Sender<Vec<[u8; 32]>>,
) -> Totals {
    let mut raw_len = 0;
    let (mut file, mut chunk) = (Sha256::new(), Sha256::new());
    for batch in batches {
        diff_id.update(&batch.data);
        raw_len += batch.data.len() as u64;
        let mut ended = Vec::new();
        for sum in &batch.sums {
            let hasher = match sum.of {
                SumOf::File => &mut file,
                SumOf::Chunk => &mut chunk,
            };
            hasher.update(&batch.data[sum.range.clone()]);
            if sum.last {
                ended.push(hasher.finalize_reset().into());
            }
        }
        drop(batch);
        if sums.send(ended).is_err() {
            break;
        }
    }
    Totals { diff_id: diff_id.finish(), raw_len }
}
