//! Which blob is asked for, and which parts of it.

use std::ops::Range;

use crate::image::{BlobId, Digest};

/// The most that is asked for, in bytes. A longer TOC is left alone.
const ASKED_MAX: u64 = 8 << 20;
/// Length of each of two ranges in a blob without a TOC, in bytes, if the blob has as many.
const RANGE_LEN: u64 = 512;
/// Between TOC and tar-split lies the header of a skippable frame (RFC 8878, section 3.1.2). The
/// ranges of other blobs lie as far apart: near ranges may be answered as one.
const GAP: u64 = 8;
/// Some registries keep very small blobs elsewhere, so one of at least so many bytes is preferred.
const SIZE_MIN: u64 = 4096;

/// A blob that could be asked for.
#[derive(Debug, Clone)]
pub struct ProbeBlob {
    pub blob: BlobId,
    /// Of a zstd:chunked layer, the digest of its TOC, and where TOC and tar-split are.
    pub metadata: Option<(Digest, [Range<u64>; 2])>,
}

/// Two ranges of a blob.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sample {
    /// Of the blob.
    pub digest: Digest,
    /// Of the blob, in bytes.
    pub size: u64,
    /// Neither is empty, the second lies behind the first, and both within the blob.
    pub ranges: [Range<u64>; 2],
    /// Where the first range is a TOC: its digest.
    pub toc_digest: Option<Digest>,
}

impl Sample {
    /// The cheapest of the most conclusive blobs. TOC and tar-split of a layer are what clients
    /// ask for first.
    pub fn choose(blobs: Vec<ProbeBlob>) -> Option<Self> {
        let rank = |sample: &Self| {
            let asked = sample.span().end - sample.span().start;
            (sample.toc_digest.is_none(), sample.size < SIZE_MIN, asked, sample.size)
        };
        blobs.into_iter().filter_map(Self::of).min_by_key(rank)
    }

    fn of(blob: ProbeBlob) -> Option<Self> {
        let ProbeBlob { blob: BlobId { digest, size }, metadata } = blob;
        if let Some((toc_digest, ranges)) = metadata {
            let [first, second] = &ranges;
            let apart = first.start < first.end
                && first.end <= second.start
                && second.start < second.end
                && second.end <= size;
            if apart && second.end - first.start <= ASKED_MAX {
                return Some(Self { digest, size, ranges, toc_digest: Some(toc_digest) });
            }
        }
        let len = (size.checked_sub(GAP)? / 2).min(RANGE_LEN);
        let second = len + GAP..len + GAP + len;
        (len > 0).then_some(Self { digest, size, ranges: [0..len, second], toc_digest: None })
    }

    /// From the first range's start to the second one's end.
    pub fn span(&self) -> Range<u64> {
        let [first, second] = &self.ranges;
        first.start..second.end
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::*;

    fn blob(name: &str, size: u64, metadata: Option<[Range<u64>; 2]>) -> ProbeBlob {
        let digest = Digest::sha256_of(name.as_bytes());
        let metadata = metadata.map(|ranges| (Digest::sha256_of(b"toc"), ranges));
        ProbeBlob { blob: BlobId { digest, size }, metadata }
    }

    #[test]
    fn the_cheapest_that_tells_most() {
        let chunked = |name, size, toc: u64| {
            blob(name, size, Some([1000..1000 + toc, 1008 + toc..1500 + toc]))
        };
        let huge = || chunked("huge", 1 << 40, 150 << 20);
        let plain = || blob("plain", 1 << 30, None);
        let tiny = || blob("tiny", 100, None);
        let chosen = |blobs: Vec<ProbeBlob>| Sample::choose(blobs).unwrap();
        let named = |name: &str| Digest::sha256_of(name.as_bytes());

        let sample = chosen(vec![
            plain(),
            chunked("large", 1 << 30, 1 << 20),
            chunked("good", 5000, 500),
            chunked("small", 2500, 400),
            huge(),
        ]);
        assert_eq!((sample.digest, sample.ranges), (named("good"), [1000..1500, 1508..2000]));
        assert_eq!(sample.toc_digest, Some(named("toc")));
        assert_eq!(chosen(vec![tiny(), plain()]).digest, named("plain"));
        assert_eq!(chosen(vec![huge()]).ranges, [0..512, 520..1032]);
        assert_eq!(chosen(vec![tiny()]).ranges, [0..46, 54..100]);
        assert_eq!(Sample::choose(vec![blob("x", 9, None), blob("y", 0, None)]), None);
    }

    proptest! {
        #[test]
        fn ranges_lie_within_the_blob(
            size in prop_oneof![0..3000_u64, any::<u64>()],
            metadata in proptest::option::of(any::<[u64; 4]>().prop_map(|n| {
                [n[0] % 4000..n[1] % 4000, n[2] % 4000..n[3]]
            })),
        ) {
            if let Some(sample) = Sample::choose(vec![blob("x", size, metadata)]) {
                let [first, second] = &sample.ranges;
                prop_assert!(first.start < first.end && first.end <= second.start);
                prop_assert!(second.start < second.end && second.end <= size);
            } else {
                prop_assert!(size < 10);
            }
        }
    }
}
