//! Times as the TOC has them.

use time::OffsetDateTime;

use crate::tar::Timestamp;

/// RFC 3339 in UTC with the whole precision, zeros at the end of the fraction left out. `None`
/// outside the years 0 to 9999, which the format (Go's `time.MarshalJSON`) cannot hold.
pub(super) fn rfc3339(time: Timestamp) -> Option<String> {
    let date = OffsetDateTime::from_unix_timestamp(time.seconds).ok()?;
    if !(0..=9999).contains(&date.year()) {
        return None;
    }
    let mut text = format!(
        "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}",
        date.year(),
        u8::from(date.month()),
        date.day(),
        date.hour(),
        date.minute(),
        date.second()
    );
    if time.nanos > 0 {
        let fraction = format!("{:09}", time.nanos);
        text.push('.');
        text.push_str(fraction.trim_end_matches('0'));
    }
    text.push('Z');
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn table() {
        let cases = [
            (0, 0, Some("1970-01-01T00:00:00Z")),
            (1_759_999_999, 120_000_000, Some("2025-10-09T08:53:19.12Z")),
            (-1, 500_000_000, Some("1969-12-31T23:59:59.5Z")),
            (-62_167_219_200, 0, Some("0000-01-01T00:00:00Z")),
            (-62_167_219_201, 999_999_999, None),
            (253_402_300_799, 1, Some("9999-12-31T23:59:59.000000001Z")),
            (253_402_300_800, 0, None),
            (i64::MAX, 0, None),
            (i64::MIN, 0, None),
        ];
        for (seconds, nanos, expected) in cases {
            assert_eq!(rfc3339(Timestamp { seconds, nanos }).as_deref(), expected, "{seconds}");
        }
    }
}
