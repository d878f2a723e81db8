//! The writer's rules and those of the check were written apart; here they have to agree on which
//! layers can have a TOC.

#![allow(clippy::unwrap_used, clippy::print_stdout)]

use proptest::{prelude::*, sample::select, test_runner::TestRunner};
use test_support::archive::{Dialect, HeaderBlock, TarBuilder};

use crate::{
    check::{self, Annotations, DocumentsCheck, Findings},
    chunked::{
        annotations::ChunkedAnnotations,
        document::CompressedDocument,
        eligibility::{AdmittedPaths, LeftOut},
        footer::Position,
        tar_split::TarSplitWriter,
        toc::{Metadata, TocContent, TocWriter},
    },
    tar::{Reader, TarStep},
};

/// One entry, of few names, so that they meet.
#[derive(Debug, Clone)]
struct EntryPlan {
    typeflag: u8,
    name: String,
    target: String,
    mode: i64,
    owner: i64,
    device: (i64, i64),
    xattr: Option<&'static str>,
    content: &'static [u8],
}

fn path() -> impl Strategy<Value = String> {
    let usual = || select(vec!["a", "b", "c", "e", "d", "lib"]);
    let odd = select(vec![".wh.a", ".wh.d", ".wh..wh..opq", ".wh.", ".wh..wh.plnk", "..", "."]);
    let part = prop_oneof![9 => usual(), 1 => odd.clone()];
    let last = prop_oneof![4 => usual(), 1 => odd];
    let known = (select(vec!["", "d/", "d/d/", "./d/"]), last)
        .prop_map(|(directory, last)| format!("{directory}{last}"));
    let any = prop::collection::vec(part, 0..4).prop_map(|parts| parts.join("/"));
    let start = prop_oneof![9 => Just(""), 1 => Just("/")];
    let end = prop_oneof![20 => Just(""), 1 => Just("/")];
    let path = prop_oneof![8 => known, 1 => any];
    (start, path, end).prop_map(|(start, path, end)| format!("{start}{path}{end}"))
}

fn part() -> impl Strategy<Value = EntryPlan> {
    let typeflag = prop_oneof![
        6 => Just(b'0'),
        6 => Just(b'5'),
        3 => select(vec![b'1', b'2']),
        1 => select(vec![b'3', b'4', b'6']),
    ];
    let xattr = prop_oneof![
        20 => Just(None),
        1 => select(vec![Some("user.x"), Some("trusted.overlay.opaque"), Some("security.selinux")]),
    ];
    let mode = prop_oneof![
        20 => Just(0o755),
        1 => select(vec![0o700, 0o100_755, 0o40_755, 0o7_777_777, -1]),
    ];
    let owner = prop_oneof![20 => Just(0), 1 => Just(5)];
    let device = prop_oneof![4 => Just((1, 3)), 1 => Just((0, 0))];
    let content = prop_oneof![4 => Just(&b""[..]), 1 => Just(&b"content"[..])];
    (typeflag, path(), path(), mode, owner, device, xattr, content).prop_map(
        |(typeflag, name, target, mode, owner, device, xattr, content)| EntryPlan {
            typeflag,
            name,
            target,
            mode,
            owner,
            device,
            xattr,
            content,
        },
    )
}

fn tar(parts: &[EntryPlan]) -> Vec<u8> {
    let tar = parts.iter().fold(TarBuilder::new(), |tar, part| {
        let EntryPlan { typeflag, mode, owner, device: (major, minor), .. } = *part;
        let block = HeaderBlock::new(Dialect::Ustar, typeflag, part.name.as_bytes())
            .mode(mode)
            .owner(owner, owner);
        let tar = match part.xattr {
            Some(key) => tar.pax(&[(format!("SCHILY.xattr.{key}").as_bytes(), b"y")]),
            None => tar,
        };
        match typeflag {
            b'0' => tar.sized(block, part.content),
            b'1' | b'2' | b'6' => tar.header(block.link_name(part.target.as_bytes())),
            b'3' | b'4' => tar.header(block.device(major, minor)),
            _ => tar.header(block),
        }
    });
    tar.end().finish()
}

/// What the writer says, and what the check says of the TOC that it would write.
fn judge(tar: &[u8], lowest: bool) -> (Result<LeftOut, String>, (check::CheckedLeftOut, Findings)) {
    let (mut toc, mut tar_split) = (TocWriter::new().unwrap(), TarSplitWriter::new().unwrap());
    let (mut paths, mut left_out) = (AdmittedPaths::new(lowest), LeftOut::default());
    let (mut reader, mut refused, mut offset) = (Reader::new(tar), None, 100);
    while let TarStep::Entry(entry) = reader.next_step().unwrap() {
        let metadata = Metadata::of(&entry).unwrap();
        if refused.is_none() {
            refused = paths.admit(&entry).err().map(|reason| reason.to_string());
        }
        left_out.note(&entry);
        tar_split.segment(reader.raw()).unwrap();
        let len = reader.payload_left();
        let content = TocContent { digest: [0; 32], offset, end: offset + 50, chunks: Vec::new() };
        offset += 100;
        tar_split.file(metadata.name(), (len > 0).then_some((len, 0))).unwrap();
        toc.push(&metadata, (len > 0).then_some(&content)).unwrap();
        let mut payload = vec![0; usize::try_from(len).unwrap()];
        reader.read_payload(&mut payload).unwrap();
    }
    tar_split.tail(reader.raw()).unwrap();
    let tar_split = tar_split.finish().unwrap();
    let toc = toc.finish(&tar_split.digest).unwrap();
    let documents =
        DocumentsCheck::read(&toc.compressed[..], &tar_split.compressed[..], lowest).unwrap();
    let (_, theirs, findings) = documents.compare(&annotations(&toc, &tar_split));
    (refused.map_or(Ok(left_out), Err), (theirs, findings))
}

fn annotations(toc: &CompressedDocument, tar_split: &CompressedDocument) -> Annotations {
    let place = |document: &CompressedDocument, offset| Position {
        offset,
        len: document.compressed.len() as u64,
        raw_len: document.raw_len,
    };
    let annotations = ChunkedAnnotations {
        toc_digest: toc.digest.clone(),
        toc: place(toc, 1 << 30),
        tar_split: place(tar_split, 1 << 31),
    };
    annotations.to_pairs().map(|(key, value)| (key.to_owned(), value)).into()
}

#[test]
fn writer_and_check_agree() {
    // A layer begins with directories more often than not, or none would be taken.
    let dirs = prop_oneof![
        8 => Just(vec!["./", "d", "d/d"]),
        1 => prop::collection::vec(select(vec!["d", "d/d", "lib", "d/lib"]), 0..3),
    ];
    let layers = (dirs, prop::collection::vec(part(), 1..5), any::<bool>());
    let mut runner = TestRunner::new(ProptestConfig {
        cases: 6000,
        failure_persistence: None,
        ..ProptestConfig::default()
    });
    let taken = std::cell::Cell::new([0, 0]);
    let result = runner.run(&layers, |(dirs, parts, lowest)| {
        let dir = |name: &&str| EntryPlan {
            typeflag: b'5',
            name: (*name).to_owned(),
            target: String::new(),
            mode: 0o755,
            owner: 0,
            device: (0, 0),
            xattr: None,
            content: b"",
        };
        let parts: Vec<_> = dirs.iter().map(dir).chain(parts).collect();
        let (ours, (left_out, findings)) = judge(&tar(&parts), lowest);
        let mut counts = taken.get();
        counts[usize::from(ours.is_ok())] += 1;
        taken.set(counts);
        match ours {
            Ok(ours) => {
                prop_assert!(findings.first_obstacle().is_none(), "{:?}", findings.kept());
                prop_assert_eq!((ours.count, ours.names), (left_out.count, left_out.names));
            }
            Err(reason) => prop_assert!(findings.first_obstacle().is_some(), "{}", reason),
        }
        Ok(())
    });
    println!("layers refused and taken by both: {:?}", taken.get());
    result.unwrap();
    assert!(taken.get().iter().all(|count| *count > 300), "{:?}", taken.get());
}
