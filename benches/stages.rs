//! The stages that touch every byte, each on its own and on one thread: `cargo bench`.

#![allow(clippy::unwrap_used)]

use std::io::{self, BufReader, Read as _, Write as _};

use crc_fast::{CrcAlgorithm, Digest as Crc};
use divan::{
    Bencher, black_box,
    counter::{BytesCount, ItemsCount},
};
use flate2::{bufread::MultiGzDecoder, write::GzEncoder};
use recompress_image::{
    check::DocumentsCheck,
    chunked::{
        chunker::Chunker,
        eligibility::AdmittedPaths,
        footer::Position,
        frame::FrameEncoder,
        tar_split::TarSplitWriter,
        toc::{Metadata, TocContent, TocWriter},
    },
    layer::{self, Cuts, LayerProgress, Pool, Recipe},
    tar::{Reader, TarStep},
};
use sha2::{Digest as _, Sha256};
use test_support::archive::{Dialect, HeaderBlock, TarBuilder};

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

/// Text that gzip and zstd compress to half its size or less, like program code.
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

/// A hundred files in a folder. Each folder has an entry, or there would be no TOC.
fn tar(file: &[u8], files: usize) -> Vec<u8> {
    let mut tar = TarBuilder::new();
    for number in 0..files {
        let folder = format!("folder-{}/", number / 100);
        if number % 100 == 0 {
            tar = tar.header(HeaderBlock::new(Dialect::Ustar, b'5', folder.as_bytes()).mode(0o755));
        }
        let name = format!("{folder}file-{number}");
        tar = tar.file(Dialect::Ustar, name.as_bytes(), file);
    }
    tar.end().finish()
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
        while let TarStep::Entry(entry) = reader.next_step().unwrap() {
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
        let mut chunker = Chunker::new(Cuts::default().chunk_min);
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

/// Encoding a frame, decoding it again and comparing, by the zstd level; the other parameter is the
/// frame's length in bytes.
#[divan::bench(args = [1, 3, 5, 6, 7, 9], consts = [512, 2 << 10, 8 << 10, 32 << 10, 100 << 10, 200 << 10, 1 << 20])]
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

/// The part of that for decoding.
#[divan::bench(args = [512, 2 << 10, 8 << 10, 32 << 10, 100 << 10, 200 << 10, 1 << 20])]
fn decode(bencher: Bencher, size: usize) {
    let text = text(4 << 20);
    let mut encoder = FrameEncoder::new();
    let frames: Vec<Vec<u8>> = text
        .chunks(size)
        .map(|content| {
            let mut frame = Vec::new();
            encoder.encode(content, 6, &mut frame).unwrap();
            frame
        })
        .collect();
    let mut decoder = zstd::bulk::Decompressor::new().unwrap();
    let mut content = vec![0; size];
    bencher.counter(BytesCount::new(text.len())).bench_local(|| {
        for frame in &frames {
            decoder.decompress_to_buffer(frame, &mut content[..]).unwrap();
        }
    });
}

const ENTRIES: usize = 20_000;

fn entries() -> Vec<u8> {
    tar(b"What a small file has in it.", ENTRIES)
}

fn sums() -> impl FnMut() -> [u8; 32] {
    let mut next = random();
    move || [(); 8].map(|()| next().to_le_bytes()).concat().try_into().unwrap()
}

/// Writing TOC and tar-split, and checking each entry.
#[divan::bench]
fn toc_and_tar_split(bencher: Bencher) {
    let tar = entries();
    bencher.counter(ItemsCount::new(ENTRIES)).bench_local(|| {
        let (mut toc, mut tar_split) = (TocWriter::new().unwrap(), TarSplitWriter::new().unwrap());
        let (mut paths, mut reader) = (AdmittedPaths::default(), Reader::new(&tar[..]));
        let (mut sum, mut piece, mut offset) = (sums(), [0; 512], 0);
        while let TarStep::Entry(entry) = reader.next_step().unwrap() {
            tar_split.segment(reader.raw()).unwrap();
            let metadata = Metadata::of(&entry).unwrap();
            paths.admit(&entry).unwrap();
            if entry.payload_len == 0 {
                tar_split.file(metadata.name(), None).unwrap();
                toc.push(&metadata, None).unwrap();
                continue;
            }
            while reader.read_payload(&mut piece).unwrap() > 0 {}
            tar_split.file(metadata.name(), Some((entry.payload_len, offset))).unwrap();
            let (start, end, chunks) = (offset + 120, offset + 150, Vec::new());
            let content = TocContent { digest: sum(), offset: start, end, chunks };
            toc.push(&metadata, Some(&content)).unwrap();
            offset = content.end;
        }
        let tar_split = tar_split.finish().unwrap();
        toc.finish(&tar_split.digest).unwrap()
    });
}

/// Reading both back and comparing them with each other, as at the end of each layer.
#[divan::bench]
fn self_check(bencher: Bencher) {
    let (recipe, mut blob) = (recipe(), Vec::new());
    let made = layer::convert(
        &entries()[..],
        &mut blob,
        None,
        recipe,
        &Pool::new(1).unwrap(),
        &LayerProgress::default(),
    );
    let annotations = made.unwrap().outline.unwrap().annotations;
    let part = |at: Position| {
        let start = usize::try_from(at.offset).unwrap();
        &blob[start..][..usize::try_from(at.len).unwrap()]
    };
    let (toc, tar_split) = (part(annotations.toc), part(annotations.tar_split));
    let pairs = annotations.to_pairs().map(|(key, value)| (key.to_owned(), value)).into();
    bencher.counter(ItemsCount::new(ENTRIES)).bench_local(|| {
        let (totals, _, findings) =
            DocumentsCheck::read(toc, tar_split, true).unwrap().compare(&pairs);
        assert!(findings.first_error().is_none());
        totals.files
    });
}

fn recipe() -> Recipe {
    Recipe { chunked: true, level: 6, cuts: Cuts::default(), lowest: true }
}

/// All of it, by the number of encoding threads; the tar is not compressed.
#[divan::bench(args = [1, 2, 4, 8])]
fn layer_by_threads(bencher: Bencher, threads: usize) {
    let tar = tar(&text(40 << 10), LEN / (40 << 10));
    let pool = Pool::new(threads).unwrap();
    bencher.counter(BytesCount::new(tar.len())).bench_local(|| {
        let progress = LayerProgress::default();
        let made = layer::convert(&tar[..], io::sink(), None, recipe(), &pool, &progress).unwrap();
        assert!(made.outline.is_ok());
    });
}
