//! The reader of the TOC: what it takes is JSON, and it sees every entry.
#![no_main]

use libfuzzer_sys::fuzz_target;
use recompress_image::check::Rule;
use serde::de::IgnoredAny;
use serde_json::Value;

fuzz_target!(|toc: &[u8]| {
    // No tar-split stream, so that the TOC is checked alone and to its end.
    let (totals, findings) = support::documents(toc, b"none");
    if support::broken(&findings, &[Rule::TocJson]) {
        return;
    }
    assert!(serde_json::from_slice::<IgnoredAny>(toc).is_ok());
    // Of a key that comes twice, this keeps the last value only; escapes may hide a second one.
    let once =
        toc.to_ascii_lowercase().windows(9).filter(|key| *key == b"\"entries\"").count() == 1;
    if !once || toc.contains(&b'\\') {
        return;
    }
    let Ok(Value::Object(toc)) = serde_json::from_slice::<Value>(toc) else { return };
    let entries = toc.iter().find(|(key, _)| key.eq_ignore_ascii_case("entries"));
    let Some(Value::Array(entries)) = entries.map(|(_, entries)| entries) else { return };
    let is_chunk = |entry: &&Value| {
        let mut fields = entry.as_object().unwrap().iter();
        fields.any(|(key, kind)| key.eq_ignore_ascii_case("type") && kind == "chunk")
    };
    let chunks = entries.iter().filter(is_chunk).count();
    assert_eq!(totals.entries, (entries.len() - chunks) as u64);
});
