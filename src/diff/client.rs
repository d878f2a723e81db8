//! Which ranges of a blob a client requests, as containers/storage does
//! (`storage/pkg/chunked/storage_linux.go`, `mergeMissingChunks`).

use std::ops::Range;

/// Ranges in one request for the content of files.
const RANGES_MAX: usize = 1024;
/// Ranges that are no farther apart than this many bytes become one; what is between them is
/// fetched, too.
const GAP_MAX: u64 = 1024;

/// The ranges that a client lacks of one blob, in their order.
#[derive(Debug, Default)]
pub(super) struct Missing {
    ranges: Vec<Range<u64>>,
    /// The file that the last range is of, if nothing else of the blob came after it.
    last: Option<u64>,
}

impl Missing {
    /// A piece that has to be fetched. Pieces of one file that touch each other are one range.
    pub(super) fn fetch(&mut self, file: u64, piece: Range<u64>) {
        if piece.is_empty() {
            return;
        }
        match self.ranges.last_mut() {
            Some(last) if self.last == Some(file) && last.end == piece.start => {
                last.end = piece.end;
            }
            _ => self.ranges.push(piece),
        }
        self.last = Some(file);
    }

    /// A piece of a file that the client lacks, and need not fetch: a hole, or a chunk that it has.
    pub(super) fn skip(&mut self) {
        self.last = None;
    }

    /// The ranges that are requested.
    pub(super) fn requested(self) -> Vec<Range<u64>> {
        merge(self.ranges, RANGES_MAX)
    }
}

/// Merges ranges that are close together, and the closest of more than `target`.
fn merge(ranges: Vec<Range<u64>>, target: usize) -> Vec<Range<u64>> {
    let gap = |pair: &[Range<u64>]| match pair {
        [one, two] => two.start.saturating_sub(one.end),
        _ => 0,
    };
    let mut gaps: Vec<_> =
        ranges.windows(2).enumerate().map(|(at, pair)| (gap(pair), at + 1)).collect();
    gaps.sort_unstable();
    // The client merges down to one below the target.
    let surplus = (ranges.len() + 1).saturating_sub(target);
    let mut joined = vec![false; ranges.len()];
    for (number, (gap, at)) in gaps.into_iter().enumerate() {
        if let Some(joined) = joined.get_mut(at).filter(|_| number < surplus || gap <= GAP_MAX) {
            *joined = true;
        }
    }
    let mut merged: Vec<Range<u64>> = Vec::new();
    for (range, joined) in ranges.into_iter().zip(joined) {
        match merged.last_mut() {
            // Nothing is fetched twice, even if ranges overlap.
            Some(last) if joined || range.start < last.end => last.end = last.end.max(range.end),
            _ => merged.push(range),
        }
    }
    merged
}

/// The length of all ranges together.
pub(super) fn sum(ranges: &[Range<u64>]) -> u64 {
    ranges.iter().fold(0, |sum, range| sum.saturating_add(range.end - range.start))
}

/// What docker-registry, and every server that is written in Go, sends around the parts of a blob
/// of `size` bytes (`net/http/fs.go`, `mime/multipart/writer.go`).
pub(super) fn overhead(ranges: &[Range<u64>], size: u64) -> u64 {
    if ranges.len() < 2 {
        return 0;
    }
    let boundary = "0".repeat(60);
    let head = |range: &Range<u64>| {
        let last = range.end.saturating_sub(1);
        format!(
            "\r\n--{boundary}\r\nContent-Range: bytes {}-{last}/{size}\r\n\
             Content-Type: application/octet-stream\r\n\r\n",
            range.start
        )
        .len() as u64
    };
    // The first part has no line before it, and the end has one.
    let end = format!("--{boundary}--\r\n").len() as u64;
    ranges.iter().map(head).sum::<u64>() + end
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn missing(pieces: &[(u64, Range<u64>)]) -> Vec<Range<u64>> {
        let mut missing = Missing::default();
        for (file, piece) in pieces {
            missing.fetch(*file, piece.clone());
        }
        missing.requested()
    }

    #[test]
    #[allow(clippy::single_range_in_vec_init)]
    fn close_ranges_are_merged() {
        assert_eq!(missing(&[(1, 10..20), (2, 1044..1050)]), [10..1050]);
        assert_eq!(missing(&[(1, 10..20), (2, 1045..1050)]), [10..20, 1045..1050]);
        assert_eq!(missing(&[(1, 10..20), (1, 20..30), (1, 30..30)]), [10..30]);
        assert_eq!(missing(&[]), []);
    }

    #[test]
    fn of_many_the_closest_are_merged() {
        // Gaps of 2000, 2001 and so on: the first are the smallest.
        let mut at = 0;
        let ranges: Vec<_> = (0..1030)
            .map(|n| {
                let range = at..at + 10;
                at += 10 + 2000 + n;
                range
            })
            .collect();
        for (count, requested) in [(1023, 1023), (1024, 1023), (1025, 1023), (1030, 1023)] {
            let merged = merge(ranges[..count].to_vec(), RANGES_MAX);
            assert_eq!(merged.len(), requested, "{count}");
            assert_eq!(merged.last(), ranges[..count].last(), "{count}");
        }
    }

    #[test]
    fn as_go_frames_parts() {
        let part = |range: &str| {
            format!(
                "--{}\r\nContent-Range: bytes {range}/100\r\nContent-Type: \
                 application/octet-stream\r\n\r\n",
                "b".repeat(60)
            )
        };
        let body = format!("{}\r\n{}\r\n--{}--\r\n", part("0-9"), part("20-29"), "b".repeat(60));
        assert_eq!(overhead(&[0..10, 20..30], 100), body.len() as u64);
        assert_eq!(overhead(&[0..10; 1], 100), 0);
    }

    fn pieces() -> impl Strategy<Value = Vec<(u64, Range<u64>)>> {
        prop::collection::vec((0_u64..4, 0_u64..3000, 0_u64..5000), 0..1200).prop_map(|steps| {
            let (mut at, mut file) = (0, 0);
            let piece = |(next, gap, len): (u64, u64, u64)| {
                file += next;
                at += gap + len;
                (file, at - len..at)
            };
            steps.into_iter().map(piece).collect()
        })
    }

    proptest! {
        #[test]
        fn requests_cover_what_is_missing_and_never_overlap(pieces in pieces()) {
            let merged = missing(&pieces);
            prop_assert!(merged.len() < RANGES_MAX);
            prop_assert!(merged.iter().all(|range| !range.is_empty()));
            for pair in merged.windows(2) {
                prop_assert!(pair[0].end + GAP_MAX < pair[1].start);
            }
            for (_, piece) in pieces.iter().filter(|(_, piece)| !piece.is_empty()) {
                let covers = |range: &Range<u64>| {
                    range.start <= piece.start && piece.end <= range.end
                };
                prop_assert!(merged.iter().any(covers));
            }
            let end = pieces.last().map_or(0, |(_, piece)| piece.end);
            prop_assert!(merged.last().is_none_or(|range| range.end <= end));
        }

        #[test]
        fn whoever_has_more_fetches_no_more(pieces in pieces(), has in any::<u64>()) {
            let mut some = Missing::default();
            for (n, (file, piece)) in pieces.iter().enumerate() {
                if has >> (n % 64) & 1 == 1 {
                    some.skip();
                } else {
                    some.fetch(*file, piece.clone());
                }
            }
            // Beyond the limit, more ranges may mean other gaps.
            prop_assume!(pieces.len() < RANGES_MAX);
            prop_assert!(sum(&some.requested()) <= sum(&missing(&pieces)));
        }
    }
}
