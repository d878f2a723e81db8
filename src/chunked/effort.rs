//! How hard zstd searches, by the level asked for and the length of a frame's content.
//!
//! libzstd's levels are made for streams. Most frames here are short, and what serves a stream
//! costs more there than it gains. The parameters below are those that give the least time for a
//! size, measured on frames of real images (`docs/performance.md`).

use std::ops::Bound::{self, Excluded, Included, Unbounded};

use zstd::zstd_safe::{CCtx, CParameter, ParamSwitch, ResetDirective, SafeResult, Strategy};

use super::frame::LEVEL_MAX;

/// From this level on the size counts and not the time, and levels are those of libzstd.
const THOROUGH: i32 = 10;

/// Contents up to these lengths, in bytes, have parameters of their own.
const TINY: usize = 1 << 10;
const SMALL: usize = 4 << 10;
const MEDIUM: usize = 16 << 10;
const LARGE: usize = 64 << 10;
/// One zstd block.
const BLOCK: usize = 128 << 10;
/// Chunks are seldom longer.
const LONG: usize = 512 << 10;
/// Longer ones are streams, for which libzstd's levels are right.
const STREAM: usize = 1 << 20;

/// Parameters of a frame. What is 0 or absent is left to libzstd and its level.
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
        let without_rows = Self { rows: ParamSwitch::Disable, ..Self::of(level) };
        // libzstd searches less at the same level once the content is longer than a block
        // (`ZSTD_getCParams` in `clevels.h`); one level up evens it out.
        if len > STREAM || (len > BLOCK && level >= THOROUGH) {
            Self::of(level + 1)
        } else if level >= THOROUGH {
            Self::of(level)
        } else if len <= TINY {
            lower(3)
        } else if len <= SMALL {
            lower(2)
        } else if len <= MEDIUM {
            lower(1)
        } else if len <= LARGE {
            match level {
                5 | 6 => Self::chains(level, Strategy::ZSTD_greedy, 4),
                7 => Self::chains(level, Strategy::ZSTD_lazy, 3),
                _ => without_rows,
            }
        } else if len <= BLOCK {
            match level {
                5 => Self::chains(level, Strategy::ZSTD_greedy, 4),
                7 => Self::chains(level, Strategy::ZSTD_lazy, 4),
                _ => without_rows,
            }
        } else {
            match level {
                4 | 5 => Self::small_tables(level, Strategy::ZSTD_greedy),
                6 => Self::small_tables(level, Strategy::ZSTD_lazy),
                _ => Self::of(level + 1),
            }
        }
    }

    /// For `len` bytes of tar headers. One alone comes out smallest where zstd
    /// looks for long matches only.
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

    /// Hash chains in place of rows of hashes, which pay on long contents only.
    const fn chains(level: i32, strategy: Strategy, search_log: u32) -> Self {
        let strategy = Some(strategy);
        Self { strategy, search_log, rows: ParamSwitch::Disable, ..Self::of(level) }
    }

    /// Tables that stay in a core's own cache. Matches of four bytes are many in machine code.
    const fn small_tables(level: i32, strategy: Strategy) -> Self {
        Self {
            strategy: Some(strategy),
            search_log: 4,
            min_match: 4,
            hash_log: 17,
            chain_log: 17,
            ..Self::of(level)
        }
    }

    /// Makes an encoder search like this from its next frame on.
    pub(super) fn apply(self, encoder: &mut CCtx<'_>) -> SafeResult {
        // There is no other word for "the level's own strategy".
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

/// A cheap effort that is worth a try first, and what has to come of it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Attempt {
    pub(super) effort: Effort,
    /// Lengths of a frame with which there is nothing to be gained by more.
    pub(super) enough: (Bound<usize>, Bound<usize>),
}

impl Attempt {
    /// For a content that is likely compressed already or very repetitive, unless `level` asks for
    /// something cheap or something thorough anyway.
    pub(super) fn at(level: i32, content: &[u8]) -> Option<Self> {
        if !(4..THOROUGH).contains(&level) {
            None
        } else if content.len() > LONG {
            // Where the reference's chunker has found no place to cut for so long, the content is
            // monotonous; a log, perhaps. If it is, long matches are better than many.
            let effort = Effort {
                strategy: Some(Strategy::ZSTD_dfast),
                min_match: 6,
                hash_log: 18,
                chain_log: 18,
                ..Effort::of(level)
            };
            Some(Self { effort, enough: (Unbounded, Excluded(content.len() / 20)) })
        } else if looks_dense(content) {
            let least = content.len() - content.len() / 50;
            Some(Self { effort: Effort::of(1), enough: (Included(least), Unbounded) })
        } else {
            None
        }
    }
}

/// Whether the bytes of some samples are about equally frequent. So they are in archives, pictures
/// and packed programs, and hardly ever in what can be compressed.
fn looks_dense(content: &[u8]) -> bool {
    const SAMPLES: usize = 4;
    const LEN: usize = 1 << 10;
    if content.len() <= 2 * SAMPLES * LEN {
        return false;
    }
    let stride = (content.len() - LEN) / (SAMPLES - 1);
    let mut counts = [0_u32; 256];
    for sample in content.chunks(stride).take(SAMPLES).flat_map(|piece| piece.iter().take(LEN)) {
        counts[usize::from(*sample)] += 1;
    }
    // The least that these squares can come to is `seen² / 256`, where all bytes are as frequent.
    let seen: u32 = counts.iter().sum();
    counts.iter().map(|count| count * count).sum::<u32>() <= seen * seen / 128
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn what_looks_dense() {
        let mut random = fastrand::Rng::with_seed(1);
        let noise: Vec<u8> = std::iter::repeat_with(|| random.u8(..)).take(100_000).collect();
        let letters: Vec<u8> = noise.iter().map(|byte| byte & 63).collect();
        let code = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        assert!(looks_dense(&noise));
        assert!(looks_dense(&noise[..9000]));
        assert!(!looks_dense(&noise[..8000]), "too short to tell");
        assert!(!looks_dense(&letters));
        assert!(!looks_dense(&vec![0; 100_000]));
        let dense = code.chunks(100_000).filter(|chunk| looks_dense(chunk)).count();
        assert!(dense * 100_000 < code.len() / 10, "{dense} of a program's chunks");
    }

    #[test]
    fn libzstd_takes_all_of_them() {
        let mut encoder = CCtx::create();
        for level in 1..=LEVEL_MAX {
            for len in [0, TINY, SMALL, MEDIUM, LARGE, BLOCK, STREAM, usize::MAX] {
                for len in [len, len.saturating_add(1)] {
                    Effort::new(level, len).apply(&mut encoder).unwrap();
                    Effort::for_headers(level, len).apply(&mut encoder).unwrap();
                }
            }
        }
    }
}
