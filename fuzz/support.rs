//! What the targets for TOC and tar-split stream have in common.

use recompress_image::{
    check::{Annotations, DocumentsCheck, Findings, Rule, TocTotals},
    image::Digest,
};

const PREFIX: &str = "io.github.containers.zstd-chunked";

/// The annotations of a chunked layer with these values.
pub fn annotations(toc_digest: &str, toc: &str, tar_split: &str) -> Annotations {
    let pairs = [
        ("manifest-checksum", toc_digest),
        ("manifest-position", toc),
        ("tarsplit-position", tar_split),
    ];
    pairs.into_iter().map(|(key, value)| (format!("{PREFIX}.{key}"), value.to_owned())).collect()
}

/// Has both documents checked, with annotations that are right for them.
pub fn documents(toc: &[u8], tar_split: &[u8]) -> (TocTotals, Findings) {
    let (toc_len, tar_split_len) = (toc.len(), tar_split.len());
    let [toc, tar_split] = [toc, tar_split].map(|raw| zstd::bulk::compress(raw, -5).unwrap());
    let offset = 1_u64 << 40;
    let annotations = annotations(
        Digest::sha256_of(&toc).as_str(),
        &format!("{offset}:{}:{toc_len}:1", toc.len()),
        &format!("{offset}:{}:{tar_split_len}", tar_split.len()),
    );
    // As of a lowest layer: devices are errors in the others.
    let documents = DocumentsCheck::read(&toc[..], &tar_split[..], true);
    let documents = documents.expect("nothing to read from disk");
    let (totals, _, findings) = documents.compare(&annotations);
    (totals, findings)
}

/// Whether one of `rules` is broken.
pub fn broken(findings: &Findings, rules: &[Rule]) -> bool {
    rules.iter().any(|rule| findings.counts().contains_key(rule))
}
