//! Extended headers in an archive that is right apart from them: what is taken is what a second,
//! simpler reader of the records sees.
#![no_main]

use std::collections::BTreeMap;

use libfuzzer_sys::{arbitrary, arbitrary::Arbitrary, fuzz_target};
use recompress_image::tar::{Reader, TarStep};
use test_support::archive::{Dialect, HeaderBlock, TarBuilder};

#[derive(Debug, Arbitrary)]
struct Input<'a> {
    global: bool,
    long_name: Option<&'a [u8]>,
    dialect: u8,
    typeflag: u8,
    size: u16,
    body: &'a [u8],
}

/// Each record by key; the last one counts.
fn records(mut body: &[u8]) -> Option<BTreeMap<&[u8], &[u8]>> {
    let mut records = BTreeMap::new();
    while !body.is_empty() {
        let space = body.iter().position(|byte| *byte == b' ')?;
        let len: usize = std::str::from_utf8(&body[..space]).ok()?.parse().ok()?;
        let record = body.get(space + 1..len)?.strip_suffix(b"\n")?;
        let equals = record.iter().position(|byte| *byte == b'=')?;
        records.insert(&record[..equals], &record[equals + 1..]);
        body = &body[len..];
    }
    Some(records)
}

fuzz_target!(|input: Input| {
    let dialects = [Dialect::V7, Dialect::Ustar, Dialect::Star, Dialect::Gnu];
    let extended = HeaderBlock::new(Dialect::Ustar, if input.global { b'g' } else { b'x' }, b"pax");
    let file = HeaderBlock::new(dialects[usize::from(input.dialect % 4)], input.typeflag, b"name");
    let content = vec![b'1'; usize::from(input.size)];
    let mut builder = TarBuilder::new().sized(extended, input.body);
    if let Some(name) = input.long_name {
        builder = builder.long_name(name);
    }
    let tar = builder.sized(file, &content).end().finish();

    let mut reader = Reader::new(&tar[..]);
    let mut seen = 0;
    loop {
        let Ok(step) = reader.next_step() else { return };
        seen += reader.raw().len();
        let TarStep::Entry(entry) = step else { break };
        assert!(entry.payload_len <= i64::MAX as u64);
        assert!(!entry.name.contains(&0) && !entry.link_name.contains(&0));
        if seen == reader.raw().len() {
            let records = records(input.body).expect("records that a second reader takes as well");
            let xattrs = records.keys().filter(|key| key.starts_with(b"SCHILY.xattr."));
            assert_eq!(entry.xattrs.len(), xattrs.count());
            let path = records.get(&b"path"[..]).filter(|path| !path.is_empty());
            if let Some(path) = path
                && !(input.global || input.long_name.is_some() || entry.sparse)
            {
                assert!(entry.name == *path || records.contains_key(&b"GNU.sparse.name"[..]));
            }
        }
        let mut buf = [0; 700];
        while reader.payload_left() > 0 {
            match reader.read_payload(&mut buf) {
                Ok(len) => seen += len,
                Err(_) => return,
            }
        }
        assert_eq!(reader.position(), seen as u64);
    }
    assert_eq!(seen + reader.into_inner().len(), tar.len());
});
