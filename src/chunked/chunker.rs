//! Where a file is cut into chunks: at the places where containers/storage cuts
//! (`pkg/chunked/compressor/{rollsum,compressor}.go`), or at some of them.
//!
//! A client finds a chunk again only if both images were cut at the same places. So only the
//! content before a place decides, and, to avoid short chunks, how far back the last cut is.

/// A run of at least this many zero bytes is a hole (`holesThreshold` in `compressor.go`).
pub(crate) const HOLE_MIN: usize = 1024;

const WINDOW: usize = 64;
/// The same, for the sums.
const WINDOW_LEN: u32 = 64;
/// A cut follows a byte after which these bits of the rolling sum are all ones.
const CUT_MASK: u32 = 0xffff;
/// The sums of a window of zeros. The reference adds 31 to each byte (`charOffset` in
/// `rollsum.go`), which only matters at the start.
const FRESH: (u32, u32) = (0, WINDOW_LEN * (WINDOW_LEN - 1) * 31);

/// One chunk of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chunk {
    /// Length in bytes, never 0.
    pub len: u64,
    /// All bytes are zero and there are at least `HOLE_MIN` of them.
    pub hole: bool,
}

/// Cuts one file, fed piece by piece; how it is divided into pieces does not matter.
///
/// There is no maximum chunk length: a file of one repeated byte is one chunk.
#[derive(Debug, Clone)]
pub struct Chunker {
    /// A shorter chunk ends only with the file or before a hole.
    chunk_min: u64,
    /// Sums of the bytes in the window, plain and weighted by their number from the end.
    sums: (u32, u32),
    /// The last bytes, oldest first.
    window: [u8; WINDOW],
    /// Length of the open chunk, without the zeros held back.
    open: u64,
    /// Zeros at the end of what was fed, not yet known to be data or hole; fewer than [`HOLE_MIN`].
    held: usize,
    /// Length of the open hole; 0 outside a hole.
    hole: u64,
}

impl Chunker {
    /// A chunker at the start of a file.
    ///
    /// Chunks have at least `chunk_min` bytes, unless the file ends or a hole begins; 0 gives the
    /// reference's chunks, which have 64 KiB on average and are often much shorter.
    pub fn new(chunk_min: u64) -> Self {
        Self { chunk_min, sums: FRESH, window: [0; WINDOW], open: 0, held: 0, hole: 0 }
    }

    /// How many of the last bytes may still be on either side of a cut; fewer than [`HOLE_MIN`].
    pub(crate) fn undecided(&self) -> usize {
        self.held
    }

    /// Whether the open chunk is a hole, which never changes until it ends.
    pub(crate) fn is_in_hole(&self) -> bool {
        self.hole > 0
    }

    /// Takes the next bytes of the file and adds complete chunks to `chunks`.
    pub fn feed(&mut self, data: &[u8], chunks: &mut Vec<Chunk>) {
        let mut rest = data;
        // A run of zeros at the end of an earlier piece continues, or ends here.
        if self.held > 0 || self.hole > 0 {
            let zeros = leading_zeros(rest);
            self.extend_run(zeros, chunks);
            rest = &rest[zeros..];
            if rest.is_empty() {
                return;
            }
            self.end_run(chunks);
        }
        while !rest.is_empty() {
            let (plain, zeros) = next_run(rest);
            self.roll(&rest[..plain], chunks);
            self.extend_run(zeros, chunks);
            rest = &rest[plain + zeros..];
            if !rest.is_empty() {
                self.end_run(chunks);
            }
        }
    }

    /// Ends the file and adds its last chunk.
    pub fn finish(mut self, chunks: &mut Vec<Chunk>) {
        self.end_run(chunks);
        self.close(chunks);
    }

    fn close(&mut self, chunks: &mut Vec<Chunk>) {
        if self.open > 0 {
            chunks.push(Chunk { len: self.open, hole: false });
            self.open = 0;
        }
    }

    fn extend_run(&mut self, zeros: usize, chunks: &mut Vec<Chunk>) {
        if self.hole > 0 {
            self.hole += zeros as u64;
            return;
        }
        self.held += zeros;
        if self.held >= HOLE_MIN {
            self.close(chunks);
            self.hole = self.held as u64;
            self.held = 0;
        }
    }

    fn end_run(&mut self, chunks: &mut Vec<Chunk>) {
        if self.hole > 0 {
            chunks.push(Chunk { len: self.hole, hole: true });
            self.hole = 0;
            // A window of zeros leads back to the first state.
            self.sums = FRESH;
            self.window = [0; WINDOW];
        } else if self.held > 0 {
            const ZEROS: [u8; HOLE_MIN] = [0; HOLE_MIN];
            let held = std::mem::take(&mut self.held);
            self.roll(&ZEROS[..held], chunks);
        }
    }

    /// Skips the bytes from `at` on after which the open chunk would be too short. The sums after
    /// them depend only on the bytes in the window. Returns where to continue.
    fn skip(&mut self, data: &[u8], at: usize) -> usize {
        let short = self.chunk_min.saturating_sub(self.open + 1);
        let short = usize::try_from(short).unwrap_or(usize::MAX).min(data.len() - at);
        if short < WINDOW {
            return at;
        }
        let end = at + short;
        self.sums = FRESH;
        for (byte, weight) in data[end - WINDOW..end].iter().zip((1..=WINDOW_LEN).rev()) {
            self.sums.0 += u32::from(*byte);
            self.sums.1 += u32::from(*byte) * weight;
        }
        self.open += short as u64;
        end
    }

    /// Rolls bytes outside holes through the window, and cuts wherever the sum says so and the
    /// chunk is long enough.
    fn roll(&mut self, data: &[u8], chunks: &mut Vec<Chunk>) {
        let mut at = 0;
        while at < data.len() {
            at = self.skip(data, at);
            let (end, dropped) = match at.checked_sub(WINDOW) {
                Some(start) => (data.len(), &data[start..data.len() - WINDOW]),
                None => (data.len().min(WINDOW), &self.window[at..data.len().min(WINDOW)]),
            };
            let place = next_place(&mut self.sums, &data[at..end], dropped);
            let rolled = place.map_or(end - at, |place| place + 1);
            at += rolled;
            self.open += rolled as u64;
            if place.is_some() && self.open >= self.chunk_min {
                self.close(chunks);
            }
        }
        if let Some(start) = data.len().checked_sub(WINDOW) {
            self.window.copy_from_slice(&data[start..]);
        } else {
            self.window.rotate_left(data.len());
            self.window[WINDOW - data.len()..].copy_from_slice(data);
        }
    }
}

/// Rolls `bytes` in, for each of which one of `dropped` leaves the window, up to the first place
/// for a cut. Several at a time, which is faster because few bytes are such a place.
fn next_place(sums: &mut (u32, u32), bytes: &[u8], dropped: &[u8]) -> Option<usize> {
    const STEP: usize = 8;
    let (mut s1, mut s2) = *sums;
    let mut is_place = |byte: u8, dropped: u8| {
        let (byte, dropped) = (u32::from(byte), u32::from(dropped));
        s1 = s1.wrapping_add(byte.wrapping_sub(dropped));
        s2 = s2.wrapping_add(s1.wrapping_sub(WINDOW_LEN * dropped));
        s2 & CUT_MASK == CUT_MASK
    };
    let (steps, rest) = bytes.as_chunks::<STEP>();
    let (dropped_steps, dropped_rest) = dropped.as_chunks::<STEP>();
    let mut place = None;
    for (number, (bytes, dropped)) in steps.iter().zip(dropped_steps).enumerate() {
        let found = (0..STEP).find(|at| is_place(bytes[*at], dropped[*at]));
        if let Some(at) = found {
            place = Some(number * STEP + at);
            break;
        }
    }
    let place = place.or_else(|| {
        let found = rest.iter().zip(dropped_rest).position(|(byte, old)| is_place(*byte, *old))?;
        Some(steps.len() * STEP + found)
    });
    *sums = (s1, s2);
    place
}

/// Finds the next run of zeros that matters: one of [`HOLE_MIN`] or more, or the one at the very
/// end of `data`, which may continue. Returns the length of what precedes it and of its part in
/// `data`.
fn next_run(data: &[u8]) -> (usize, usize) {
    // Such a run contains one of these probes, so most bytes are never looked at.
    const STRIDE: usize = HOLE_MIN / 2;
    let mut at = STRIDE - 1;
    while at < data.len() {
        if data[at] == 0 {
            let start = at - trailing_zeros(&data[..at]);
            let end = at + leading_zeros(&data[at..]);
            if end - start >= HOLE_MIN || end == data.len() {
                return (start, end - start);
            }
            at = end;
        }
        at += STRIDE;
    }
    let zeros = trailing_zeros(data);
    (data.len() - zeros, zeros)
}

fn leading_zeros(data: &[u8]) -> usize {
    let words = data.chunks_exact(16).take_while(|word| **word == [0; 16]).count() * 16;
    words + data[words..].iter().take_while(|byte| **byte == 0).count()
}

fn trailing_zeros(data: &[u8]) -> usize {
    let words = data.rchunks_exact(16).take_while(|word| **word == [0; 16]).count() * 16;
    words + data[..data.len() - words].iter().rev().take_while(|byte| **byte == 0).count()
}

#[cfg(test)]
mod tests;
