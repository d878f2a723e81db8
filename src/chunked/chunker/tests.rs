use proptest::prelude::*;

use super::*;

/// The algorithm written plainly: a ring of 64 bytes, one byte at a time.
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
                if s2 % (1 << 16) == (1 << 16) - 1 && len >= chunk_min {
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
    assert!(some.len() > 15 && some.len() < all.len() * 2 / 3, "{} of {}", some.len(), all.len());
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
        let chunks = cut_sparingly(data, data.len(), 12 << 10);
        let take = |chunk: Chunk| {
            rest.split_off(..usize::try_from(chunk.len).unwrap_or(0)).map(<[u8]>::to_vec)
        };
        chunks.into_iter().filter_map(take).collect()
    };
    let old = pieces(&old);
    let other: usize = pieces(&new).difference(&old).map(Vec::len).sum();
    assert!(other < 5 * 200_000, "{other} bytes to fetch for 5 changes");
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
