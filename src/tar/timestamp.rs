//! Points in time, to the nanosecond.

use super::number::{InvalidNumber, decimal};

/// An instant: `seconds` since 1970-01-01T00:00:00Z plus `nanos` nanoseconds.
///
/// `nanos` is in 0..1,000,000,000 and always counts forwards, so half a second before the epoch is
/// `seconds: -1, nanos: 500_000_000`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp {
    /// Whole seconds since the epoch, rounded down.
    pub seconds: i64,
    /// The rest, in nanoseconds.
    pub nanos: u32,
}

impl Timestamp {
    pub(super) fn from_seconds(seconds: i64) -> Self {
        Self { seconds, nanos: 0 }
    }

    /// A time in a PAX record: decimal seconds with an optional fraction, of which nine digits
    /// count. After a minus sign the fraction counts away from zero (`parsePAXTime` in tar-split
    /// `archive/tar/strconv.go`).
    pub(super) fn from_pax(text: &[u8]) -> Result<Self, InvalidNumber> {
        let mut parts = text.splitn(2, |byte| *byte == b'.');
        let whole = parts.next().unwrap_or_default();
        let fraction = parts.next().unwrap_or_default();
        let seconds = decimal(whole)?;
        if !fraction.iter().all(u8::is_ascii_digit) {
            return Err(InvalidNumber);
        }
        let digits = fraction.iter().chain(std::iter::repeat(&b'0')).take(9);
        let nanos = digits.fold(0, |nanos, digit| nanos * 10 + u32::from(digit - b'0'));
        if nanos > 0 && whole.starts_with(b"-") {
            // Seconds out of range are no date anyway, so saturating is fine.
            return Ok(Self { seconds: seconds.saturating_sub(1), nanos: 1_000_000_000 - nanos });
        }
        Ok(Self { seconds, nanos })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pax_times() {
        for (text, seconds, nanos) in [
            ("0", 0, 0),
            ("1350244992", 1_350_244_992, 0),
            ("1350244992.", 1_350_244_992, 0),
            ("1350244992.023960108", 1_350_244_992, 23_960_108),
            ("1350244992.02396010899", 1_350_244_992, 23_960_108),
            ("1350244992.3", 1_350_244_992, 300_000_000),
            ("+5.5", 5, 500_000_000),
            ("-1.5", -2, 500_000_000),
            ("-1.000000001", -2, 999_999_999),
            ("-1.0000000009", -1, 0),
            ("-0.5", -1, 500_000_000),
            ("-0", 0, 0),
            ("-9223372036854775808.1", i64::MIN, 900_000_000),
        ] {
            let expected = Timestamp { seconds, nanos };
            assert_eq!(Timestamp::from_pax(text.as_bytes()), Ok(expected), "{text:?}");
        }
        for text in ["", ".5", "-.5", "1.2.3", "1.-2", "1.1x1", "1e9", "9223372036854775808"] {
            assert_eq!(Timestamp::from_pax(text.as_bytes()), Err(InvalidNumber), "{text:?}");
        }
    }
}
