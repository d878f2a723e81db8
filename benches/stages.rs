//! The stages that touch every byte, each on its own and on one thread: `cargo bench`.

#![allow(clippy::unwrap_used)]

use std::io::{BufReader, Read as _, Write as _};

use crc_fast::{CrcAlgorithm, Digest as Crc};
use divan::{Bencher, black_box, counter::BytesCount};
use flate2::{bufread::MultiGzDecoder, write::GzEncoder};
use recompress_image::{
    chunked::{chunker::Chunker, frame::FrameEncoder},
    tar::{
        Reader, Step,
        testing::{Dialect, TarBuilder},
    },
};
use sha2::{Digest as _, Sha256};

const LEN: usize = 16 << 20;

fn main() {
    divan::main();
}

/// Numbers that look random.
fn random() -> impl FnMut() -> u32 {
    let mut state = 1_u32;
    move || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state
    }
}

/// Text that gzip and zstd halve at least, as program code does.
fn text(len: usize) -> Vec<u8> {
    let mut next = random();
    let words: Vec<String> = (0..4000).map(|_| format!("{:x}", next() >> (next() % 24))).collect();
    let mut text = Vec::with_capacity(len + 16);
    while text.len() < len {
        // The smaller of two: words come up unequally often.
        let word = (next() % 4000).min(next() % 4000);
        text.extend_from_slice(words[word as usize].as_bytes());
        text.push(if next().is_multiple_of(8) { b'\n' } else { b' ' });
    }
    text.truncate(len);
    text
}

fn tar(file: &[u8], files: usize) -> Vec<u8> {
    (0..files)
        .fold(TarBuilder::new(), |tar, number| {
            let name = format!("usr/lib/package/folder-{}/file-{number}", number / 100);
            tar.file(Dialect::Ustar, name.as_bytes(), file)
        })
        .end()
        .finish()
}

#[divan::bench]
fn gunzip(bencher: Bencher) {
    let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::new(6));
    encoder.write_all(&text(LEN)).unwrap();
    let blob = encoder.finish().unwrap();
    let mut piece = vec![0; 256 << 10];
    bencher.counter(BytesCount::new(LEN)).bench_local(|| {
        let mut decoder = MultiGzDecoder::new(BufReader::with_capacity(256 << 10, &blob[..]));
        while decoder.read(black_box(&mut piece)).unwrap() > 0 {}
    });
}

/// By the size of the files, which are as many as 16 MiB hold.
#[divan::bench(args = [100, 4 << 10, 1 << 20])]
fn walk(bencher: Bencher, file: usize) {
    let tar = tar(&text(file), LEN / file.next_multiple_of(512));
    let mut piece = vec![0; 64 << 10];
    bencher.counter(BytesCount::new(tar.len())).bench_local(|| {
        let mut reader = Reader::new(&tar[..]);
        while let Step::Entry(entry) = reader.next_step().unwrap() {
            black_box(entry);
            while reader.read_payload(&mut piece).unwrap() > 0 {}
        }
    });
}

#[divan::bench]
fn rolling_hash(bencher: Bencher) {
    let text = text(LEN);
    chunks(bencher, &text);
}

#[divan::bench]
fn rolling_hash_of_zeros(bencher: Bencher) {
    chunks(bencher, &vec![0; LEN]);
}

fn chunks(bencher: Bencher, data: &[u8]) {
    bencher.counter(BytesCount::new(data.len())).bench(|| {
        let mut cuts = Vec::new();
        let mut chunker = Chunker::new();
        for piece in data.chunks(1 << 20) {
            chunker.feed(piece, &mut cuts);
        }
        chunker.finish(&mut cuts);
        cuts
    });
}

#[divan::bench]
fn sha256(bencher: Bencher) {
    let text = text(LEN);
    bencher.counter(BytesCount::new(LEN)).bench(|| Sha256::digest(&text));
}

#[divan::bench]
fn crc64(bencher: Bencher) {
    let text = text(LEN);
    bencher.counter(BytesCount::new(LEN)).bench(|| {
        let mut crc = Crc::new(CrcAlgorithm::Crc64GoIso);
        crc.update(&text);
        crc.finalize()
    });
}

/// Encoding a frame and decoding it again, by the zstd level; the other parameter is the frame's
/// length in bytes.
#[divan::bench(args = [1, 3, 5, 6, 7, 9], consts = [1 << 10, 8 << 10, 64 << 10, 128 << 10, 1 << 20])]
fn frames<const SIZE: usize>(bencher: Bencher, level: i32) {
    let text = text(4 << 20);
    let mut encoder = FrameEncoder::new();
    let mut frames = Vec::new();
    bencher.counter(BytesCount::new(text.len())).bench_local(|| {
        frames.clear();
        for content in text.chunks(SIZE) {
            encoder.encode(content, level, &mut frames).unwrap();
        }
        frames.len()
    });
}
