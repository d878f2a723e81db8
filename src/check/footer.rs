//! The last frame of the blob (`ZstdChunkedFooterData` in
//! `pkg/chunked/internal/minimal/compression.go` of containers/storage).

use std::io;

use super::{
    claims::{Claims, Span},
    finding::{Findings, Rule},
    section::Section,
};

/// Header and payload of the footer's frame, in bytes.
const FRAME: u64 = 72;

/// Magic number of a skippable frame, and its length of 64.
const HEADER: [u8; 8] = [0x50, 0x2a, 0x4d, 0x18, 64, 0, 0, 0];

const MAGIC: &[u8] = b"GNUlInUx";

/// Compares the footer with the annotations.
pub(super) fn check(blob: Section<'_>, claims: &Claims, findings: &mut Findings) -> io::Result<()> {
    let frame = match blob.len().checked_sub(FRAME) {
        Some(start) => blob.read_at(start, 72)?,
        None => Vec::new(),
    };
    let Some(fields) = frame.strip_prefix(&HEADER).and_then(|payload| payload.strip_suffix(MAGIC))
    else {
        findings.add(Rule::Footer, "the blob does not end with a footer");
        return Ok(());
    };
    let fields: Vec<u64> = fields
        .chunks_exact(8)
        .map(|field| field.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte)))
        .collect();
    let span = |span: Span| [span.offset, span.len, span.raw_len];
    let toc = span(claims.toc);
    let right = match &fields[..] {
        [offset, len, raw_len, 1, tar_split @ ..] => {
            [*offset, *len, *raw_len] == toc
                && claims.tar_split.is_none_or(|claimed| tar_split == span(claimed))
        }
        _ => false,
    };
    if !right {
        findings.add(Rule::Footer, format!("the footer has {fields:?}, unlike the annotations"));
    }
    Ok(())
}
