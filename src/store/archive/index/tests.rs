#![allow(clippy::unwrap_used)]

use std::io::{Cursor, Read};

use proptest::{collection::vec, prelude::*};
use test_support::archive::{Dialect, HeaderBlock, TarBuilder};

use super::*;

fn index(tar: &[u8]) -> Result<ArchiveIndex, ArchiveError> {
    ArchiveIndex::read(Cursor::new(tar), tar.len() as u64)
}

fn file(builder: TarBuilder, name: &str, content: &str) -> TarBuilder {
    builder.file(Dialect::Ustar, name.as_bytes(), content.as_bytes())
}

fn link(builder: TarBuilder, typeflag: u8, name: &str, target: &str) -> TarBuilder {
    builder.header(
        HeaderBlock::new(Dialect::Gnu, typeflag, name.as_bytes()).link_name(target.as_bytes()),
    )
}

/// What a name leads to, or why it cannot be read.
fn found(tar: &[u8], name: &str) -> Result<Option<String>, String> {
    let range = index(tar).unwrap().find(name.as_bytes()).map_err(|error| error.to_string())?;
    Ok(range.map(|range| {
        let [start, end] = [range.start, range.end].map(|at| usize::try_from(at).unwrap());
        String::from_utf8(tar[start..end].to_vec()).unwrap()
    }))
}

#[test]
fn names_are_paths() {
    let tar = file(TarBuilder::new(), "./index.json", "index");
    let tar = file(tar, "/blobs//sha256/./a", "a");
    let tar = file(tar, "x/../y", "y");
    let tar = file(tar.long_name("n".repeat(300).as_bytes()), "short", "long");
    let tar = file(tar.pax(&[(b"path", b"by-pax")]), "short", "pax");
    let tar = tar.header(HeaderBlock::new(Dialect::Ustar, b'5', b"by-pax/")).end().finish();
    for (name, content) in [
        ("index.json", "index"),
        ("./index.json", "index"),
        ("blobs/sha256/a", "a"),
        ("y", "y"),
        (&"n".repeat(300), "long"),
        ("by-pax", "pax"),
    ] {
        assert_eq!(found(&tar, name), Ok(Some(content.to_owned())), "{name}");
    }
    for name in ["short", "x", "blobs", "", "/", "..", "../y"] {
        assert_eq!(found(&tar, name), Ok(None), "{name}");
    }
}

#[test]
fn what_leads_out_of_the_archive_is_not_in_it() {
    let tar = file(TarBuilder::new(), "../../etc/x", "out");
    let tar = file(tar, "a/../../etc/y", "out");
    let tar = file(tar, "..", "out");
    let tar = link(tar, b'2', "up", "../etc/x");
    let tar = link(tar, b'2', "root", "/etc/passwd");
    let tar = link(tar, b'1', "hard", "../etc/y").end().finish();
    for name in ["../../etc/x", "etc/x", "../etc/y", "etc/y", ".."] {
        assert_eq!(found(&tar, name), Ok(None), "{name}");
    }
    for name in ["up", "root", "hard"] {
        let error = found(&tar, name).unwrap_err();
        assert!(error.contains("not in the archive"), "{error}");
    }
}

#[test]
fn links_of_docker_save() {
    let tar = link(TarBuilder::new(), b'2', "b/layer.tar", "../a/layer.tar");
    let tar = link(tar, b'1', "c/layer.tar", "b/layer.tar");
    let tar = file(tar, "a/layer.tar", "layer");
    let tar = link(tar, b'2', "self", "self");
    let tar = link(tar, b'2', "one", "two");
    let tar = link(tar, b'2', "two", "one").end().finish();
    for name in ["a/layer.tar", "b/layer.tar", "c/layer.tar"] {
        assert_eq!(found(&tar, name), Ok(Some("layer".to_owned())));
    }
    for name in ["self", "one", "two"] {
        assert!(found(&tar, name).unwrap_err().contains("circle"), "{name}");
    }
}

#[test]
fn what_readers_see_differently() {
    let tar = file(TarBuilder::new(), "a", "first");
    let tar = file(tar, "./a", "second");
    let tar = file(tar, "b", "once");
    let tar = link(tar, b'2', "b", "a");
    let tar = tar.header(HeaderBlock::new(Dialect::Gnu, b'S', b"sparse"));
    let tar = file(
        tar.pax(&[
            (b"GNU.sparse.major", b"1"),
            (b"GNU.sparse.minor", b"0"),
            (b"GNU.sparse.name", b"pax-sparse"),
            (b"GNU.sparse.realsize", b"9"),
        ]),
        "x",
        "1\n0\n1\n",
    );
    let tar = link(tar, b'2', "to-fifo", "fifo");
    let tar = tar.header(HeaderBlock::new(Dialect::Ustar, b'6', b"fifo")).end().finish();
    for (name, reason) in [
        ("a", "more than once"),
        ("b", "more than once"),
        ("sparse", "sparse"),
        ("pax-sparse", "sparse"),
        ("fifo", "not a regular file"),
        ("to-fifo", "not a regular file"),
    ] {
        let error = found(&tar, name).unwrap_err();
        assert!(error.contains(reason) && error.contains(name), "{error}");
    }
}

#[test]
fn sizes_that_cannot_be() {
    let sized = |size| {
        let header = HeaderBlock::new(Dialect::Gnu, b'0', b"a").size(size);
        TarBuilder::new().header(header).payload(b"short").end().finish()
    };
    for size in [10_000, 1 << 33, i64::MAX] {
        let error = index(&sized(size)).unwrap_err();
        assert!(matches!(error, ArchiveError::Truncated(_)), "{error}");
    }
    for size in [-1, i64::MIN] {
        let error = index(&sized(size)).unwrap_err();
        assert!(matches!(error, ArchiveError::Header { .. }), "{error}");
    }
    let pax = TarBuilder::new().pax(&[(b"size", b"99999999999999")]);
    let error = index(&file(pax, "a", "short").end().finish()).unwrap_err();
    assert!(matches!(error, ArchiveError::Truncated(_)), "{error}");
    let whole = file(file(TarBuilder::new(), "a", "content"), "b", &"b".repeat(2000)).finish();
    for len in [512 + 3, 1024 + 100, 1024 + 512 + 1999] {
        let error = index(&whole[..len]).unwrap_err();
        assert!(matches!(error, ArchiveError::Truncated(_)), "{len}: {error}");
    }
}

/// A tar of `count` entries that is made while it is read.
struct Many {
    block: [u8; 512],
    count: u64,
    at: u64,
}

impl Read for Many {
    fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
        let within = usize::try_from(self.at % 512).unwrap();
        if self.at / 512 == self.count {
            return Ok(0);
        }
        let read = (&self.block[within..]).read(buf)?;
        self.at += read as u64;
        Ok(read)
    }
}

impl Seek for Many {
    fn seek(&mut self, _: std::io::SeekFrom) -> std::io::Result<u64> {
        Ok(self.at)
    }
}

#[test]
fn ten_million_entries() {
    let block = HeaderBlock::new(Dialect::Ustar, b'0', b"a").finish();
    let mut tar = Many { block, count: 10_000_000, at: 0 };
    let error = ArchiveIndex::read(std::io::BufReader::new(&mut tar), u64::MAX).unwrap_err();
    assert!(matches!(error, ArchiveError::TooLarge { what: "entries", .. }), "{error}");
    assert!(tar.at < 100 << 20, "it gives up early");
}

#[test]
fn long_names_are_bounded_together() {
    let name = vec![b'n'; 1 << 20];
    let mut tar = TarBuilder::new();
    for _ in 0..9 {
        tar = file(tar.long_name(&name[1..]), "a", "");
    }
    let error = index(&tar.end().finish()).unwrap_err();
    assert!(matches!(error, ArchiveError::TooLarge { what: "bytes of names", .. }), "{error}");
}

#[test]
fn a_message_shows_foreign_names_safely() {
    let tar = file(TarBuilder::new(), "a\u{1b}[31m", "1");
    let tar = file(tar, "a\u{1b}[31m", "2").end().finish();
    let error = found(&tar, "a\u{1b}[31m").unwrap_err();
    assert!(!error.contains('\u{1b}'), "{error}");
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(tar: Vec<u8>, name: Vec<u8>) {
        if let Ok(index) = index(&tar) {
            let _ = index.find(&name);
        }
    }

    #[test]
    fn what_is_written_is_found(
        files in vec(
            ("[a-z]{1,4}(/[a-z]{1,90}){0,3}", vec(any::<u8>(), 0..1600), 0..4_u8),
            0..12,
        ),
    ) {
        let mut tar = TarBuilder::new();
        for (name, content, how) in &files {
            let name = name.as_bytes();
            tar = match how {
                0 if name.len() <= 100 => tar.file(Dialect::Ustar, name, content),
                1 => tar.long_name(name).file(Dialect::Gnu, b"short", content),
                _ => tar.pax(&[(b"path", name)]).file(Dialect::Ustar, b"short", content),
            };
        }
        let tar = tar.end().finish();
        let index = index(&tar).unwrap();
        for (name, content, _) in &files {
            let found = index.find(name.as_bytes());
            if files.iter().filter(|other| other.0 == *name).count() > 1 {
                prop_assert!(found.is_err());
                continue;
            }
            let range = found.unwrap().unwrap();
            let [start, end] = [range.start, range.end].map(|at| usize::try_from(at).unwrap());
            prop_assert_eq!(&tar[start..end], &content[..]);
        }
    }
}
