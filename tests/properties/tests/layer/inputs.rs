//! Tars of every kind, and readers that give them away in any pieces.

use std::io::{self, Read};

use proptest::{collection::vec, prelude::*, sample::select};
use recompress_image::layer::{Cuts, Recipe};
use test_support::{
    archive::{Dialect, HeaderBlock, TarBuilder},
    trees::noise,
};

const MIB: usize = 1 << 20;

/// A stretch of a file's content.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Stretch {
    /// What no compressor shrinks and what is cut every 64 KiB or so.
    Noise { len: usize, seed: u64 },
    /// One byte again and again, which is never cut unless it is zero.
    Run { len: usize, byte: u8 },
}

/// What a tar is put together from.
#[derive(Debug, Clone)]
pub(crate) enum Part {
    File {
        dialect: Dialect,
        content: Vec<Stretch>,
    },
    HeaderOnly {
        dialect: Dialect,
        typeflag: u8,
        size: i64,
    },
    Pax {
        key: &'static str,
        value: Vec<u8>,
    },
    LongName(usize),
    /// What takes the layer its TOC.
    Global,
    Twice,
    NotUtf8,
}

/// The content of a file.
pub(crate) fn content(stretches: &[Stretch]) -> Vec<u8> {
    let mut content = Vec::new();
    for stretch in stretches {
        match *stretch {
            Stretch::Run { len, byte } => content.resize(content.len() + len, byte),
            Stretch::Noise { len, seed } => content.extend(noise(len, seed | 1)),
        }
    }
    content
}

fn stretch() -> impl Strategy<Value = Stretch> {
    let len = || {
        prop_oneof![
            4 => 0..3000_usize,
            2 => 1000..1050_usize,
            2 => 60_000..200_000_usize,
            1 => MIB - 1100..MIB + 1100,
            1 => 0..3 * MIB,
        ]
    };
    prop_oneof![
        3 => (len(), any::<u64>()).prop_map(|(len, seed)| Stretch::Noise { len, seed }),
        2 => len().prop_map(|len| Stretch::Run { len, byte: 0 }),
        1 => (len(), any::<u8>()).prop_map(|(len, byte)| Stretch::Run { len, byte }),
    ]
}

fn dialect() -> impl Strategy<Value = Dialect> {
    select(vec![Dialect::V7, Dialect::Ustar, Dialect::Star, Dialect::Gnu])
}

fn part() -> impl Strategy<Value = Part> {
    let keys = select(vec!["SCHILY.xattr.user.a", "comment", "uname", "SCHILY.xattr.user.\u{fc}"]);
    prop_oneof![
        12 => (dialect(), vec(stretch(), 0..5))
            .prop_map(|(dialect, content)| Part::File { dialect, content }),
        6 => (dialect(), select(b"123456".to_vec()), select(vec![0, 0, 0, 7, 100_000]))
            .prop_map(|(dialect, typeflag, size)| Part::HeaderOnly { dialect, typeflag, size }),
        3 => (keys, vec(1_u8.., 0..700)).prop_map(|(key, value)| Part::Pax { key, value }),
        2 => (1..3000_usize).prop_map(Part::LongName),
    ]
}

fn unfit() -> impl Strategy<Value = Option<Part>> {
    prop_oneof![
        6 => Just(None),
        1 => Just(Some(Part::Global)),
        1 => Just(Some(Part::Twice)),
        1 => Just(Some(Part::NotUtf8)),
    ]
}

/// A tar that podman's reader takes, and whether it can have a TOC.
pub(crate) fn tar() -> impl Strategy<Value = (Vec<u8>, bool)> {
    let tail = (select(vec![0, 512, 1024, 1324, 10_240, 3 * MIB]), vec(any::<u8>(), 0..700));
    (vec(part(), 0..12), unfit(), any::<prop::sample::Index>(), tail).prop_map(
        |(mut parts, unfit, at, (zeros, garbage))| {
            let fit = unfit.is_none();
            parts.extend(unfit);
            let last = parts.len().saturating_sub(1);
            if !parts.is_empty() {
                parts.swap(at.index(last + 1), last);
            }
            let target = TarBuilder::new().file(Dialect::Ustar, b"target", b"");
            let builder =
                parts.iter().enumerate().fold(target, |tar, (number, part)| add(tar, number, part));
            let garbage = if zeros < 1024 { &[] } else { &garbage[..] };
            (builder.zeros(zeros).raw(garbage).finish(), fit)
        },
    )
}

fn add(tar: TarBuilder, number: usize, part: &Part) -> TarBuilder {
    let name = format!("entry-{number}");
    let block = |typeflag| HeaderBlock::new(Dialect::Ustar, typeflag, name.as_bytes());
    match part {
        Part::File { dialect, content: stretches } => {
            tar.file(*dialect, name.as_bytes(), &content(stretches))
        }
        Part::HeaderOnly { dialect, typeflag, size } => {
            // The oldest headers have no device numbers, and 0:0 is a whiteout.
            let dialect = if *typeflag == b'3' { Dialect::Ustar } else { *dialect };
            let header = HeaderBlock::new(dialect, *typeflag, name.as_bytes());
            let header = if *typeflag == b'3' { header.device(1, 3) } else { header };
            let is_link = matches!(*typeflag, b'1' | b'2');
            let header = if is_link { header.link_name(b"target") } else { header };
            tar.header(header.size(*size))
        }
        Part::Pax { key, value } => tar.pax(&[(key.as_bytes(), value)]).header(block(b'0')),
        Part::LongName(len) => {
            let long = format!("{}-{number}", "n".repeat(*len));
            tar.long_name(long.as_bytes()).sized(block(b'0'), b"content")
        }
        Part::Global => tar.pax_global(&[(b"comment", b"0123abcd")]),
        Part::Twice => tar.header(block(b'0')).header(block(b'5')),
        Part::NotUtf8 => tar.header(HeaderBlock::new(Dialect::Gnu, b'0', b"gr\xf6\xdfe")),
    }
}

pub(crate) fn recipe() -> impl Strategy<Value = Recipe> {
    let cuts = (select(vec![0, 64 << 10, 1 << 20]), select(vec![0, 1 << 10, 64 << 10]))
        .prop_map(|(whole_max, chunk_min)| Cuts { whole_max, chunk_min });
    (prop::bool::weighted(0.9), 1..8, cuts).prop_map(|(chunked, level, cuts)| Recipe {
        chunked,
        level,
        cuts,
        // Or devices would rule out a TOC.
        lowest: true,
    })
}

/// Gives away at most so many bytes at a time, in turns; 0 stands for an interrupted call.
pub(crate) struct Pieces<'a> {
    bytes: &'a [u8],
    sizes: std::iter::Cycle<std::slice::Iter<'a, usize>>,
}

impl<'a> Pieces<'a> {
    pub(crate) fn new(bytes: &'a [u8], sizes: &'a [usize]) -> Self {
        Self { bytes, sizes: sizes.iter().cycle() }
    }
}

impl Read for Pieces<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        match self.sizes.next() {
            None => self.bytes.read(buf),
            Some(0) => Err(io::ErrorKind::Interrupted.into()),
            Some(size) => {
                let len = buf.len().min(*size);
                self.bytes.read(&mut buf[..len])
            }
        }
    }
}
