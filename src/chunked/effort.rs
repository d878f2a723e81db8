//! How hard zstd searches, by the level asked for and the length of a frame's content.
//!
//! libzstd's levels are made for streams. Most frames here are short, and what helps with a stream
//! costs more than it gains. The parameters below take the least time for a size, measured on
//! frames of real images (`docs/performance.md`).

use zstd::zstd_safe::{CCtx, CParameter, ParamSwitch, ResetDirective, SafeResult, Strategy};

/// zstd's highest level.
pub(crate) const LEVEL_MAX: i32 = 22;

/// From this level on, size matters and not time, and levels are those of libzstd.
const THOROUGH: i32 = 10;

/// Contents up to these lengths, in bytes, have parameters of their own.
const TINY: usize = 1 << 10;
const SMALL: usize = 4 << 10;
const MEDIUM: usize = 16 << 10;
/// One zstd block.
const BLOCK: usize = 128 << 10;
/// Most chunks are shorter.
const LONG: usize = 192 << 10;
/// Longer ones are streams, for which libzstd's levels are good.
const STREAM: usize = 1 << 20;

/// The most memory in MiB that an encoder takes for a frame of up to 4 MiB of content at `level`, and
/// the decoder that proves it.
pub(crate) const fn encoder_mebibytes(level: i32) -> u64 {
    match level {
        ..=6 => 12,
        7..=9 => 28,
        10..=12 => 44,
        13..=18 => 66,
        _ => 76,
    }
}

/// Parameters of a frame. What is 0 or absent is left to libzstd's level.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Effort {
    level: i32,
    strategy: Option<Strategy>,
    search_log: u32,
    min_match: u32,
    hash_log: u32,
    chain_log: u32,
    rows: ParamSwitch,
}

impl Effort {
    /// For a content of `len` bytes at `level`, 1 to [`LEVEL_MAX`].
    pub(super) fn new(level: i32, len: usize) -> Self {
        let lower = |by: i32| Self::of((level - by).max(1));
        // libzstd searches less at the same level once the content is longer than a block
        // (`ZSTD_getCParams` in `clevels.h`); one level up evens it out.
        if len > STREAM || (len > BLOCK && level >= THOROUGH) {
            Self::of(level + 1)
        } else if level >= THOROUGH {
            Self::of(level)
        } else if len <= SMALL {
            lower(3)
        } else if len <= MEDIUM {
            match level {
                4 | 5 => Self::of(3),
                6 => Self::chains(level, Strategy::ZSTD_greedy, 3),
                _ => lower(2),
            }
        } else if len <= BLOCK {
            match level {
                4 => Self::two_tables(level, 4, 17),
                5 => Self::chains(level, Strategy::ZSTD_greedy, 3),
                6 => Self::chains(level, Strategy::ZSTD_lazy, 3),
                7 => Self::chains(level, Strategy::ZSTD_lazy, 4),
                _ => Self { rows: ParamSwitch::Disable, ..Self::of(level) },
            }
        } else {
            match level {
                4 => Self::rows(level, Strategy::ZSTD_greedy, 3, 16),
                5 => Self::rows(level, Strategy::ZSTD_greedy, 3, 17),
                6 if len <= LONG => Self::rows(level, Strategy::ZSTD_lazy, 3, 17),
                6 => Self::rows(level, Strategy::ZSTD_lazy, 4, 17),
                7 => Self::rows(level, Strategy::ZSTD_lazy, 4, 18),
                _ => Self::of(level + 1),
            }
        }
    }

    /// For `len` bytes of tar headers. A single one is smallest if zstd looks only for long
    /// matches.
    pub(super) fn for_headers(level: i32, len: usize) -> Self {
        if level < THOROUGH && len <= TINY {
            Self::of((level - 5).max(1))
        } else {
            Self::new(level, len)
        }
    }

    const fn of(level: i32) -> Self {
        Self {
            level: if level > LEVEL_MAX { LEVEL_MAX } else { level },
            strategy: None,
            search_log: 0,
            min_match: 0,
            hash_log: 0,
            chain_log: 0,
            rows: ParamSwitch::Auto,
        }
    }

    /// A table for long matches and one for those of `min_match` bytes.
    const fn two_tables(level: i32, min_match: u32, table_log: u32) -> Self {
        let strategy = Some(Strategy::ZSTD_dfast);
        Self { strategy, min_match, hash_log: table_log, chain_log: table_log, ..Self::of(level) }
    }

    /// Hash chains instead of rows of hashes, which pay only with long contents.
    const fn chains(level: i32, strategy: Strategy, search_log: u32) -> Self {
        let strategy = Some(strategy);
        Self { strategy, search_log, rows: ParamSwitch::Disable, ..Self::of(level) }
    }

    /// Rows of hashes in tables that fit a core's own cache. Machine code has many matches of four
    /// bytes.
    const fn rows(level: i32, strategy: Strategy, search_log: u32, table_log: u32) -> Self {
        Self {
            strategy: Some(strategy),
            search_log,
            min_match: 4,
            hash_log: table_log,
            chain_log: table_log,
            ..Self::of(level)
        }
    }

    /// Sets the parameters for the encoder's next frames.
    pub(super) fn apply(self, encoder: &mut CCtx<'_>) -> SafeResult {
        // The only way to get back to the level's own strategy.
        encoder.reset(ResetDirective::Parameters)?;
        encoder.set_parameter(CParameter::CompressionLevel(self.level))?;
        if let Some(strategy) = self.strategy {
            encoder.set_parameter(CParameter::Strategy(strategy))?;
        }
        encoder.set_parameter(CParameter::SearchLog(self.search_log))?;
        encoder.set_parameter(CParameter::MinMatch(self.min_match))?;
        encoder.set_parameter(CParameter::HashLog(self.hash_log))?;
        encoder.set_parameter(CParameter::ChainLog(self.chain_log))?;
        encoder.set_parameter(CParameter::UseRowMatchFinder(self.rows))
    }
}

/// A cheap effort that is worth trying first.
#[derive(Debug, Clone, Copy)]
pub(super) struct Attempt {
    pub(super) effort: Effort,
    guess: Guess,
}

/// What a content looks like.
#[derive(Debug, Clone, Copy)]
enum Guess {
    /// Without repetitions.
    Chaotic,
    /// With hardly anything but repetitions.
    Monotonous,
}

impl Attempt {
    /// For a content that likely has no repetitions, or hardly anything else, unless `level` is
    /// cheap or thorough anyway.
    pub(super) fn at(level: i32, content: &[u8]) -> Option<Self> {
        if !(4..THOROUGH).contains(&level) || content.len() <= 2 * SAMPLES * SAMPLE {
            return None;
        }
        let long = content.len() > BLOCK;
        let repeated = repeated(content, if long { usize::MAX } else { FEW });
        if repeated < FEW {
            Some(Self { effort: Effort::of(1), guess: Guess::Chaotic })
        } else if long && repeated > MANY {
            // Long matches are better than many.
            Some(Self { effort: Effort::two_tables(level, 6, 18), guess: Guess::Monotonous })
        } else {
            None
        }
    }

    /// Whether more effort gains nothing, if `content` has become a frame of `len` bytes.
    pub(super) fn is_enough(self, content: &[u8], len: usize) -> bool {
        match self.guess {
            // If the attempt found no repetitions either, only the frequencies of the bytes are
            // left, which need not be counted if the frame is no shorter than its content.
            Guess::Chaotic => len >= content.len() || len >= entropy(content) / 100 * 98,
            Guess::Monotonous => len < content.len() / 20,
        }
    }
}

/// The number of samples, and the length of each in bytes.
const SAMPLES: usize = 4;
const SAMPLE: usize = 1 << 10;

/// Fewer repetitions in the samples are accidental. So it is with compressed content, with numbers
/// such as the weights of a model, with keys, and with any of these in base64.
const FEW: usize = SAMPLES * SAMPLE / 256;

/// With more, it is a log or a table, or one repeated byte.
const MANY: usize = SAMPLES * SAMPLE / 4 * 3;

/// At how many places in samples of `content` five bytes repeat earlier ones. Stops counting at
/// `most`: usually there are many, so the question costs little.
fn repeated(content: &[u8], most: usize) -> usize {
    let stride = (content.len() - SAMPLE) / (SAMPLES - 1);
    let (mut seen, mut count) = ([0_u64; 1 << 11], 0);
    for sample in content.chunks(stride).take(SAMPLES).filter_map(|piece| piece.get(..SAMPLE)) {
        for bytes in sample.windows(5) {
            let word = bytes.iter().fold(1, |word, byte| word << 8 | u64::from(*byte));
            // Fibonacci hashing (Knuth, The Art of Computer Programming, section 6.4).
            let slot = &mut seen[(word.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 53) as usize];
            if *slot == word {
                count += 1;
                if count >= most {
                    return count;
                }
            }
            *slot = word;
        }
    }
    count
}

/// The entropy of `content` in bytes, by the frequencies of its bytes. In integers, because
/// decisions that depend on it must be the same on all machines.
fn entropy(content: &[u8]) -> usize {
    let mut counts = [0_u64; 256];
    for byte in content {
        counts[usize::from(*byte)] += 1;
    }
    let all = log2(content.len() as u64);
    let bits = counts.iter().filter(|count| **count > 0).map(|count| count * (all - log2(*count)));
    usize::try_from(bits.sum::<u64>() >> (FRACTION + 3)).unwrap_or(usize::MAX)
}

/// Bits behind the point of a logarithm.
const FRACTION: u32 = 8;

/// Binary logarithm of a number from 1 to 2^32, in units of 2^-[`FRACTION`], rounded down.
fn log2(number: u64) -> u64 {
    let mut log = u64::from(number.ilog2());
    // From 1 to 2, with 31 bits behind the point. The square is beyond 2 where the next bit is 1.
    let mut rest = number << 31 >> log;
    for _ in 0..FRACTION {
        let square = (rest * rest) >> 31;
        let bit = square >> 32;
        log = log << 1 | bit;
        rest = square >> bit;
    }
    log
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn noise(len: usize) -> Vec<u8> {
        let mut random = fastrand::Rng::with_seed(1);
        std::iter::repeat_with(|| random.u8(..)).take(len).collect()
    }

    #[test]
    fn what_is_repeated() {
        let noise = noise(100_000);
        let few: fn(&[u8]) -> bool = |content| repeated(content, usize::MAX) < FEW;
        let many: fn(&[u8]) -> bool = |content| repeated(content, usize::MAX) > MANY;
        let letters: Vec<u8> = noise.iter().map(|byte| byte & 63).collect();
        assert!(few(&noise) && few(&noise[..9000]) && few(&letters));
        assert!(!few(&noise[..500].repeat(200)));
        assert!(many(&vec![0; 100_000]));
        let log = |line| format!("line {line} of a log that says much the same in each of them\n");
        assert!(many((0..2000).map(log).collect::<String>().as_bytes()));
        let program = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        for odd in [few, many] {
            let found = program.chunks(100_000).filter(|chunk| odd(chunk)).count();
            assert!(found * 100_000 < program.len() / 10, "{found} of a program's chunks");
        }
        assert!(Attempt::at(6, &noise[..8000]).is_none(), "too short to tell");
        assert!(Attempt::at(6, &noise[..9000]).is_some());
        assert_eq!(repeated(&vec![0; 100_000], FEW), FEW);
    }

    #[test]
    fn entropies() {
        let noise = noise(1 << 20);
        for bits in 0..=8 {
            let mask = u8::MAX.checked_shr(8 - bits).unwrap_or(0);
            let content: Vec<u8> = noise.iter().map(|byte| byte & mask).collect();
            let (found, exact) = (entropy(&content), (1 << 17) * bits as usize);
            assert!(found.abs_diff(exact) <= exact / 100, "{found} bytes for {exact}");
        }
        assert_eq!([1, 2, 3, 1 << 32].map(log2), [0, 256, 405, 32 << 8]);
    }

    #[test]
    fn encoders_take_no_more_memory_than_stated() {
        let content = vec![0; 4 << 20];
        let mut exceeded = Vec::new();
        for level in 1..=LEVEL_MAX {
            let mut encoder = CCtx::create();
            Effort::new(level, content.len()).apply(&mut encoder).unwrap();
            let mut frame = Vec::with_capacity(1 << 20);
            encoder.compress2(&mut frame, &content).unwrap();
            let (found, stated) = (encoder.sizeof() as u64, encoder_mebibytes(level) << 20);
            if found > stated {
                exceeded.push((level, found, stated));
            }
        }
        assert!(exceeded.is_empty(), "level, bytes, bytes stated: {exceeded:?}");
    }

    #[test]
    fn libzstd_takes_all_of_them() {
        let mut encoder = CCtx::create();
        for level in 1..=LEVEL_MAX {
            for len in [0, TINY, SMALL, MEDIUM, BLOCK, STREAM, usize::MAX] {
                for len in [len, len.saturating_add(1)] {
                    Effort::new(level, len).apply(&mut encoder).unwrap();
                    Effort::for_headers(level, len).apply(&mut encoder).unwrap();
                }
            }
        }
    }
}
