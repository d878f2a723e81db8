//! Tests of the reader as a whole; the smallest parts have theirs beside them.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod endings;
mod extensions;
mod headers;
mod properties;

use std::io::BufRead;

use test_support::archive::TarBuilder;

use super::{Reader, TarEntry, TarError, TarStep};

/// All that a reader yields of a stream.
#[derive(Debug, Default, PartialEq, Eq)]
struct ArchiveWalk {
    members: Vec<ArchiveMember>,
    /// The raw bytes of the end.
    end: Vec<u8>,
    /// What follows the end.
    rest: Vec<u8>,
}

#[derive(Debug, PartialEq, Eq)]
struct ArchiveMember {
    raw: Vec<u8>,
    entry: TarEntry,
    payload: Vec<u8>,
}

impl ArchiveWalk {
    fn bytes(&self) -> Vec<u8> {
        let members = self.members.iter().flat_map(|member| [&member.raw[..], &member.payload]);
        members.chain([&self.end[..], &self.rest]).collect::<Vec<_>>().concat()
    }

    fn entries(&self) -> impl Iterator<Item = &TarEntry> {
        self.members.iter().map(|member| &member.entry)
    }

    fn names(&self) -> Vec<&[u8]> {
        self.entries().map(|entry| entry.name.as_slice()).collect()
    }
}

fn walk(stream: impl BufRead) -> Result<ArchiveWalk, TarError> {
    let mut reader = Reader::new(stream);
    let mut walk = ArchiveWalk::default();
    let mut consumed = 0;
    while let TarStep::Entry(entry) = reader.next_step()? {
        let raw = reader.raw().to_vec();
        assert_eq!(reader.payload_left(), entry.payload_len);
        let mut payload = Vec::new();
        let mut buf = [0; 700];
        loop {
            let count = reader.read_payload(&mut buf)?;
            payload.extend_from_slice(&buf[..count]);
            if count == 0 {
                break;
            }
        }
        assert_eq!(payload.len() as u64, entry.payload_len);
        consumed += (raw.len() + payload.len()) as u64;
        assert_eq!(reader.position(), consumed);
        walk.members.push(ArchiveMember { raw, entry: *entry, payload });
    }
    walk.end = reader.raw().to_vec();
    assert_eq!(reader.position(), consumed + walk.end.len() as u64);
    reader.into_inner().read_to_end(&mut walk.rest).unwrap();
    Ok(walk)
}

/// The entries of an archive that has no end yet.
fn entries(builder: TarBuilder) -> Result<Vec<TarEntry>, TarError> {
    let bytes = builder.end().finish();
    let walk = walk(&bytes[..])?;
    assert_eq!(walk.bytes(), bytes);
    Ok(walk.members.into_iter().map(|member| member.entry).collect())
}

/// The only entry of an archive that has no end yet.
fn entry(builder: TarBuilder) -> TarEntry {
    let [entry] = entries(builder).unwrap().try_into().unwrap();
    entry
}

/// Why a header is refused.
fn refusal(builder: TarBuilder) -> &'static str {
    match entries(builder) {
        Err(TarError::Header { reason, .. }) => reason,
        other => panic!("expected an invalid header, got {other:?}"),
    }
}
