//! An entry of the TOC against the header that it speaks of, field by field, as clients compare
//! them (`ensureTOCMatchesTarSplit` in `pkg/chunked/compression_linux.go` of containers/storage).

use std::collections::BTreeMap;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use super::{
    finding::{Findings, Rule, shown},
    toc::TocEntry,
};
use crate::tar::{Entry, Timestamp};

/// Go's zero time, the year 1, in seconds.
const GO_ZERO: i64 = -62_135_596_800;

/// What a TOC calls the type; `None` if it has no word for it.
pub(super) fn kind_of(typeflag: u8) -> Option<&'static str> {
    Some(match typeflag {
        b'0' => "reg",
        b'1' => "hardlink",
        b'2' => "symlink",
        b'3' => "char",
        b'4' => "block",
        b'5' => "dir",
        b'6' => "fifo",
        _ => return None,
    })
}

/// Notes each difference but that of the name.
pub(super) fn compare(toc: &TocEntry, tar: &Entry, findings: &mut Findings) {
    let name = shown(&tar.name);
    let mut differ = |rule, what: &str, toc: &dyn std::fmt::Debug, tar: &dyn std::fmt::Debug| {
        findings.add(rule, format!("{name}: {what} {toc:?} in the TOC, {tar:?} in the tar"));
    };
    match kind_of(tar.typeflag) {
        Some(kind) if kind == toc.kind => {}
        Some(kind) => differ(Rule::EntryType, "type", &toc.kind, &kind),
        None => differ(Rule::TarType, "type", &toc.kind, &char::from(tar.typeflag)),
    }
    if tar.sparse {
        differ(Rule::TarSparse, "size", &toc.size, &tar.payload_len);
    }
    if toc.link_name.as_bytes() != tar.link_name {
        let link = String::from_utf8_lossy(&tar.link_name);
        differ(Rule::EntryLink, "link target", &toc.link_name, &link);
    }
    for (rule, what, toc, tar) in [
        (Rule::EntryMode, "mode", toc.mode, tar.mode),
        (Rule::EntrySize, "size", toc.size, tar.size),
        (Rule::EntryOwner, "user", toc.uid, tar.uid),
        (Rule::EntryOwner, "group", toc.gid, tar.gid),
        (Rule::EntryDevice, "major device number", toc.dev_major, tar.dev_major),
        (Rule::EntryDevice, "minor device number", toc.dev_minor, tar.dev_minor),
    ] {
        if toc != tar {
            differ(rule, what, &toc, &tar);
        }
    }
    for (what, toc, tar) in [
        ("modification time", &toc.modified, Some(tar.modified)),
        ("access time", &toc.accessed, tar.accessed),
        ("change time", &toc.changed, tar.changed),
    ] {
        if instant(toc.as_deref()) != Ok(tar.filter(|time| !is_none(*time))) {
            differ(Rule::EntryTime, what, &toc, &tar);
        }
    }
    if xattrs(toc).as_ref() != Some(&tar.xattrs) {
        let tar: Vec<_> = tar.xattrs.keys().map(|key| String::from_utf8_lossy(key)).collect();
        differ(Rule::EntryXattrs, "attributes", &toc.xattrs, &tar);
    }
}

fn xattrs(toc: &TocEntry) -> Option<BTreeMap<Vec<u8>, Vec<u8>>> {
    let xattrs = toc.xattrs.iter().flatten();
    xattrs
        .map(|(key, value)| Some((key.clone().into_bytes(), STANDARD.decode(value).ok()?)))
        .collect()
}

/// No time, Go's zero time and the Unix epoch count as the same.
fn is_none(time: Timestamp) -> bool {
    time.nanos == 0 && (time.seconds == 0 || time.seconds == GO_ZERO)
}

fn instant(text: Option<&str>) -> Result<Option<Timestamp>, ()> {
    let Some(text) = text else { return Ok(None) };
    let time = OffsetDateTime::parse(text, &Rfc3339).map_err(drop)?;
    let time = Timestamp { seconds: time.unix_timestamp(), nanos: time.nanosecond() };
    Ok(Some(time).filter(|time| !is_none(*time)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times() {
        let at = |seconds, nanos| Ok(Some(Timestamp { seconds, nanos }));
        for (text, expected) in [
            ("1970-01-01T00:00:00Z", Ok(None)),
            ("0001-01-01T00:00:00Z", Ok(None)),
            ("1970-01-01T01:00:00+01:00", Ok(None)),
            ("2024-01-02T03:04:05.123456789Z", at(1_704_164_645, 123_456_789)),
            ("2024-01-02T04:04:05.5+01:00", at(1_704_164_645, 500_000_000)),
            ("1969-12-31T23:59:59.5Z", at(-1, 500_000_000)),
            ("0000-01-01T00:00:00Z", at(-62_167_219_200, 0)),
            ("yesterday", Err(())),
        ] {
            assert_eq!(instant(Some(text)), expected, "{text}");
        }
        assert_eq!(instant(None), Ok(None));
    }
}
