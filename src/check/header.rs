//! Compares an entry of the TOC with its header, field by field, as clients do
//! (`ensureTOCMatchesTarSplit` in `pkg/chunked/compression_linux.go` of containers/storage).

use std::collections::BTreeMap;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use time::{Date, Month};

use super::{
    finding::{Findings, Rule, shown},
    toc::TocEntry,
};
use crate::tar::{TarEntry, Timestamp};

/// Go's zero time, the year 1, in seconds.
const GO_ZERO: i64 = -62_135_596_800;

/// The name of the type in a TOC; `None` if there is none.
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

/// Reports times that readers cannot parse. They parse those of chunks too.
pub(super) fn times(toc: &TocEntry, findings: &mut Findings) {
    for text in [&toc.modified, &toc.accessed, &toc.changed].into_iter().flatten() {
        if rfc3339(text).is_none() {
            let detail = format!("{}: {} is not a time", shown(&toc.name), shown(text));
            findings.add(Rule::EntryTime, detail);
        }
    }
}

/// Reports each difference except in the name, and what a TOC cannot represent.
pub(super) fn compare(toc: &TocEntry, tar: &TarEntry, findings: &mut Findings) {
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
        // Times that cannot be parsed were reported.
        if instant(toc.as_deref()).is_ok_and(|toc| toc != tar.filter(|time| !is_none(*time))) {
            differ(Rule::EntryTime, what, &toc, &tar);
        }
    }
    for time in [Some(tar.modified), tar.accessed, tar.changed].into_iter().flatten() {
        if !YEARS.contains(&time.seconds) {
            differ(Rule::TimeRange, "time", &toc.modified, &time);
        }
    }
    let xattr_names = tar.xattrs.keys().map(Vec::as_slice);
    for text in [tar.name.as_slice(), &tar.link_name].into_iter().chain(xattr_names) {
        if std::str::from_utf8(text).is_err() {
            differ(Rule::NotUtf8, "name", &toc.name, &String::from_utf8_lossy(text));
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
    let time = rfc3339(text).ok_or(())?;
    Ok(Some(time).filter(|time| !is_none(*time)))
}

/// The years 0 to 9999 in seconds, the range of RFC 3339.
const YEARS: std::ops::RangeInclusive<i64> = -62_167_219_200..=253_402_300_799;

/// What both parsers of Go accept (the strict one of `encoding/json` and that of `time.Parse`): two
/// digits a field, capital `T` and `Z`, a point before the fraction, of which nine digits count, no
/// second 60, offsets of less than a day.
fn rfc3339(text: &str) -> Option<Timestamp> {
    let (date_time, rest) = text.as_bytes().split_at_checked(19)?;
    let [y1, y2, y3, y4, b'-', mo @ .., b'T', h1, h2, b':', m1, m2, b':', s1, s2] = date_time
    else {
        return None;
    };
    let [mo1, mo2, b'-', d1, d2] = mo else { return None };
    let year = two(*y1, *y2)? * 100 + two(*y3, *y4)?;
    let month = Month::try_from(u8::try_from(two(*mo1, *mo2)?).ok()?).ok()?;
    let day = u8::try_from(two(*d1, *d2)?).ok()?;
    let date = Date::from_calendar_date(year, month, day).ok()?;
    let [hour, minute, second] = [two(*h1, *h2)?, two(*m1, *m2)?, two(*s1, *s2)?];
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let (nanos, rest) = fraction(rest)?;
    let offset = match *rest {
        [b'Z'] => 0,
        [sign @ (b'+' | b'-'), h1, h2, b':', m1, m2] => {
            let (hours, minutes) = (two(h1, h2)?, two(m1, m2)?);
            if hours > 23 || minutes > 59 {
                return None;
            }
            let seconds = hours * 3600 + minutes * 60;
            if sign == b'-' { -seconds } else { seconds }
        }
        _ => return None,
    };
    let of_day = i64::from(hour * 3600 + minute * 60 + second - offset);
    Some(Timestamp { seconds: date.midnight().assume_utc().unix_timestamp() + of_day, nanos })
}

fn two(tens: u8, ones: u8) -> Option<i32> {
    let digit = |digit: u8| digit.is_ascii_digit().then(|| i32::from(digit - b'0'));
    Some(digit(tens)? * 10 + digit(ones)?)
}

/// Nanoseconds, and what follows them.
fn fraction(text: &[u8]) -> Option<(u32, &[u8])> {
    let Some(digits) = text.strip_prefix(b".") else { return Some((0, text)) };
    let len = digits.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (digits, rest) = digits.split_at_checked(len).filter(|(digits, _)| !digits.is_empty())?;
    let nine = digits.iter().chain(std::iter::repeat(&b'0')).take(9);
    Some((nine.fold(0, |nanos, digit| nanos * 10 + u32::from(digit - b'0')), rest))
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
            ("2024-02-29T23:59:59.1234567899-23:59", at(1_709_337_539, 123_456_789)),
            ("9999-12-31T23:59:59Z", at(253_402_300_799, 0)),
            ("yesterday", Err(())),
            ("", Err(())),
            ("2024-01-02t03:04:05Z", Err(())),
            ("2024-01-02 03:04:05Z", Err(())),
            ("2024-01-02T03:04:05z", Err(())),
            ("2024-01-02T03:04:05", Err(())),
            ("2024-01-02T03:04:05,5Z", Err(())),
            ("2024-01-02T03:04:05.Z", Err(())),
            ("2024-01-02T3:04:05Z", Err(())),
            ("2024-1-02T03:04:05Z", Err(())),
            ("2016-12-31T23:59:60Z", Err(())),
            ("2024-01-02T24:00:00Z", Err(())),
            ("2023-02-29T00:00:00Z", Err(())),
            ("2024-01-02T03:04:05+24:00", Err(())),
            ("2024-01-02T03:04:05+01:60", Err(())),
            ("2024-01-02T03:04:05+0100", Err(())),
            ("2024-01-02T03:04:05Z ", Err(())),
            ("+024-01-02T03:04:05Z", Err(())),
        ] {
            assert_eq!(instant(Some(text)), expected, "{text}");
        }
        assert_eq!(instant(None), Ok(None));
    }
}
