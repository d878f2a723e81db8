//! Where a file is cut into chunks: at the places where containers/storage cuts
//! (`pkg/chunked/compressor/{rollsum,compressor}.go`), or at some of them.
//!
//! A client finds a chunk again only if both images were cut at the same places. So the content in
//! front of a place decides, and, to spare short chunks, how far back the last cut is.

/// A run of at least this many zero bytes is a hole (`holesThreshold` in `compressor.go`).
pub(crate) const HOLE_MIN: usize = 1024;

const WINDOW: usize = 64;
/// The same, for the sums.
const WINDOW_LEN: u32 = 64;
/// A cut follows a byte after which these bits of the rolling sum are all ones.
const CUT_MASK: u32 = 0xffff;
/// Every other of these places is a preferred one.
const PREFERRED_MASK: u32 = 0x1_ffff;
/// The sums of a window of zeros. The reference adds 31 to each byte (`charOffset` in
/// `rollsum.go`), which comes to the same here but for the start.
const FRESH: (u32, u32) = (0, WINDOW_LEN * (WINDOW_LEN - 1) * 31);

/// One chunk of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chunk {
    /// Length in bytes, never 0.
    pub len: u64,
    /// All bytes are zero and there are at least `HOLE_MIN` of them.
    pub hole: bool,
}

/// Cuts one file, fed piece by piece; how it is divided into pieces has no influence.
///
/// There is no greatest chunk length: a file of one repeated byte is one chunk.
#[derive(Debug, Clone)]
pub struct Chunker {
    /// A shorter chunk ends only with the file or before a hole.
    chunk_min: u64,
    /// Of the bytes in the window, and of these weighted by their number from the end.
    sums: (u32, u32),
    /// The last bytes rolled in, oldest first.
    window: [u8; WINDOW],
    /// Length of the chunk begun, without the zeros held back.
    open: u64,
    /// Zeros at the end of what was fed, not yet known to be data or hole; below [`HOLE_MIN`].
    held: usize,
    /// Length of the hole begun; 0 outside a hole.
    hole: u64,
}

impl Chunker {
    /// A chunker at the start of a file.
    ///
    /// Chunks get a length of `chunk_min` bytes at least, unless the file ends or a hole begins; 0
    /// stands for the reference's chunks, which have 64 KiB on average and are often much shorter.
    /// From `chunk_min` on only every other place that it would choose is taken, from twice as much
    /// on each of them. With two bounds rather than one, two versions of a file are sooner cut at the
    /// same places again behind a difference (compare the normalized chunking of Xia et al., USENIX
    /// ATC 2016, section 3.4).
    pub fn new(chunk_min: u64) -> Self {
        Self { chunk_min, sums: FRESH, window: [0; WINDOW], open: 0, held: 0, hole: 0 }
    }

    /// How many of the bytes fed last may still fall to one side or the other of a cut; less than
    /// [`HOLE_MIN`].
    pub(crate) fn undecided(&self) -> usize {
        self.held
    }

    /// Whether the open chunk is a hole. What has begun as a hole ends as one, and the other way round.
    pub(crate) fn is_in_hole(&self) -> bool {
        self.hole > 0
    }

    /// Takes in the next bytes of the file and adds the chunks that are complete to `chunks`.
    pub fn feed(&mut self, data: &[u8], chunks: &mut Vec<Chunk>) {
        let mut rest = data;
        // A run of zeros that an earlier piece ended with goes on, or ends here.
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
            // Rolling in a window's length of zeros or more leads back to the first state.
            self.sums = FRESH;
            self.window = [0; WINDOW];
        } else if self.held > 0 {
            const ZEROS: [u8; HOLE_MIN] = [0; HOLE_MIN];
            let held = std::mem::take(&mut self.held);
            self.roll(&ZEROS[..held], chunks);
        }
    }

    /// Passes over the bytes from `at` on after which the open chunk would be too short. What the
    /// sums are behind them depends on the bytes in the window alone. Returns where to go on.
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

    /// Rolls bytes that belong to no hole through the window, with a cut wherever the sum says so
    /// and the chunk is long enough.
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
            let least = if self.sums.1 & PREFERRED_MASK == PREFERRED_MASK { 1 } else { 2 };
            if place.is_some() && self.open >= self.chunk_min.saturating_mul(least) {
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

/// Rolls `bytes` in, for each of which one of `dropped` leaves the window, up to the first place for
/// a cut. Several at a time, as that is faster: most bytes are no such place.
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

/// Splits off what goes before the next run of zeros that matters: one of [`HOLE_MIN`] or more, or
/// the one at the very end of `data`, which may go on. Returns the length of what goes before and
/// of the run's part in `data`.
fn next_run(data: &[u8]) -> (usize, usize) {
    // A run that long contains one of these probes, so most bytes are never looked at.
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
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The algorithm told the plain way: a ring of 64 bytes, one byte at a time.
    fn plainly(data: &[u8], chunk_min: u64) -> Vec<Chunk> {
        let mut chunks = Vec::new();
        let mut ring = [0u32; WINDOW];
        let (mut s1, mut s2, mut p) = (64 * 31_u32, 64 * 63 * 31_u32, 0);
        let mut len = 0;
        let mut at = 0;
        while at < data.len() {
            let zeros = data[at..].iter().take_while(|b| **b == 0).count();
            let hole = zeros >= HOLE_MIN;
            if hole && len > 0 {
                chunks.push(Chunk { len, hole: false });
                len = 0;
            }
            let run = if zeros > 0 { zeros } else { 1 };
            for &byte in &data[at..at + run] {
                let drop = ring[p];
                s1 = s1.wrapping_add(u32::from(byte)).wrapping_sub(drop);
                s2 = s2.wrapping_add(s1).wrapping_sub(64 * (drop + 31));
                ring[p] = u32::from(byte);
                p = (p + 1) % 64;
                if !hole {
                    len += 1;
                    let often = s2 % (1 << 16) == (1 << 16) - 1 && len >= 2 * chunk_min;
                    let seldom = s2 % (1 << 17) == (1 << 17) - 1 && len >= chunk_min;
                    if often || seldom {
                        chunks.push(Chunk { len, hole: false });
                        len = 0;
                    }
                }
            }
            if hole {
                chunks.push(Chunk { len: zeros as u64, hole: true });
            }
            at += run;
        }
        if len > 0 {
            chunks.push(Chunk { len, hole: false });
        }
        chunks
    }

    fn cut(data: &[u8], piece: usize) -> Vec<Chunk> {
        cut_sparingly(data, piece, 0)
    }

    fn cut_sparingly(data: &[u8], piece: usize, chunk_min: u64) -> Vec<Chunk> {
        let mut chunks = Vec::new();
        let mut chunker = Chunker::new(chunk_min);
        for part in data.chunks(piece) {
            chunker.feed(part, &mut chunks);
        }
        chunker.finish(&mut chunks);
        chunks
    }

    /// The generator of the reference vectors.
    fn noise(len: usize, mut x: u32) -> Vec<u8> {
        std::iter::repeat_with(|| {
            x = x.wrapping_mul(1_103_515_245).wrapping_add(12_345) & 0x7fff_ffff;
            (x >> 16).to_le_bytes()[0]
        })
        .take(len)
        .collect()
    }

    /// What the compressor of containers/storage cuts these two files into.
    #[test]
    fn reference_vectors() {
        let data = |lens: &[u64]| -> Vec<Chunk> {
            lens.iter().map(|&len| Chunk { len, hole: false }).collect()
        };
        let v1 = noise(400_000, 1);
        let expected = data(&[49253, 65256, 41131, 11963, 77785, 18138, 75174, 35905, 25395]);
        assert_eq!(cut(&v1, v1.len()), expected);

        let mut v2 = noise(100_000, 7);
        v2.extend([0; 1023]);
        v2.extend(noise(5000, 9));
        v2.extend([0; 1024]);
        v2.extend(noise(200_000, 11));
        v2.extend([0; 5000]);
        let mut expected = data(&[21171, 19874, 64978]);
        expected.push(Chunk { len: 1024, hole: true });
        expected.extend(data(&[43171, 10599, 22092, 41164, 6893, 76081]));
        expected.push(Chunk { len: 5000, hole: true });
        for piece in [1, 63, 64, 65, 1000, 4096, v2.len()] {
            assert_eq!(cut(&v2, piece), expected, "in pieces of {piece}");
        }
    }

    #[test]
    fn short_chunks_are_joined() {
        let data = noise(3_000_000, 5);
        let ends = |chunk_min| -> Vec<u64> {
            let chunks = cut_sparingly(&data, data.len(), chunk_min);
            let add = |at: &mut u64, chunk: Chunk| {
                *at += chunk.len;
                Some(*at)
            };
            chunks.into_iter().scan(0, add).collect()
        };
        let (all, some) = (ends(0), ends(65_536));
        assert!(some.iter().all(|end| all.contains(end)), "only where the reference cuts");
        assert!(some.windows(2).rev().skip(1).all(|pair| pair[1] - pair[0] >= 65_536));
        assert!(
            some.len() > 15 && some.len() < all.len() * 2 / 3,
            "{} of {}",
            some.len(),
            all.len()
        );
    }

    #[test]
    fn versions_are_soon_cut_alike_again() {
        let old = noise(8_000_000, 3);
        let mut new = old.clone();
        for number in 0..5 {
            new.splice(number * 1_500_000..number * 1_500_000, noise(number * 100 + 1, 4));
        }
        let pieces = |data: &[u8]| -> std::collections::BTreeSet<Vec<u8>> {
            let mut rest = data;
            let chunks = cut_sparingly(data, data.len(), 65_536);
            let take = |chunk: Chunk| {
                rest.split_off(..usize::try_from(chunk.len).unwrap_or(0)).map(<[u8]>::to_vec)
            };
            chunks.into_iter().filter_map(take).collect()
        };
        let old = pieces(&old);
        let other: usize = pieces(&new).difference(&old).map(Vec::len).sum();
        assert!(other < 5 * 400_000, "{other} bytes to fetch for 5 changes");
    }

    #[test]
    fn a_repeated_byte_is_never_cut() {
        assert_eq!(cut(&vec![7; 300_000], 4096), [Chunk { len: 300_000, hole: false }]);
        assert_eq!(cut(&vec![0; 300_000], 4096), [Chunk { len: 300_000, hole: true }]);
        assert_eq!(cut(&[0; 1023], 10), [Chunk { len: 1023, hole: false }]);
        assert_eq!(cut(&[], 10), []);
    }

    /// Stretches of noise, of few symbols and of zeros around the threshold.
    fn file() -> impl Strategy<Value = Vec<u8>> {
        let zeros = prop_oneof![0..200usize, 1000..1050usize, 1024..5000usize];
        let part = prop_oneof![
            (any::<u32>(), 0..100_000usize).prop_map(|(seed, len)| noise(len, seed)),
            (any::<u8>(), 0..300usize).prop_map(|(byte, len)| vec![byte; len]),
            zeros.prop_map(|len| vec![0; len]),
        ];
        prop::collection::vec(part, 0..12).prop_map(|parts| parts.concat())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]
        #[test]
        fn agrees_with_the_plain_telling(
            data in file(),
            piece in 1..5000usize,
            chunk_min in prop_oneof![Just(0), 1..100_000u64],
        ) {
            let expected = plainly(&data, chunk_min);
            prop_assert_eq!(&cut_sparingly(&data, piece, chunk_min), &expected);
            prop_assert_eq!(expected.iter().map(|c| c.len).sum::<u64>(), data.len() as u64);
        }
    }
}
