//! Numbers in headers (octal or base-256) and in PAX records (decimal).

/// A field without a number, or with one that does not fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct InvalidNumber;

/// A numeric header field: base-256 if the top bit of the first byte is set, else octal
/// (`parseNumeric` in tar-split `archive/tar/strconv.go`).
pub(super) fn numeric(field: &[u8]) -> Result<i64, InvalidNumber> {
    match field.first() {
        Some(first) if first & 0x80 != 0 => base256(field),
        _ => octal(field),
    }
}

/// Big-endian two's complement; the top bit only marks the encoding, the next one is the sign.
fn base256(field: &[u8]) -> Result<i64, InvalidNumber> {
    let negative = field.first().is_some_and(|first| first & 0x40 != 0);
    // A negative number is the inverse of a non-negative one: -a - 1 == !a.
    let invert = if negative { 0xff } else { 0x00 };
    let mut magnitude = 0_u64;
    for (index, byte) in field.iter().enumerate() {
        let digit = (byte ^ invert) & if index == 0 { 0x7f } else { 0xff };
        if magnitude >> 56 != 0 {
            return Err(InvalidNumber);
        }
        magnitude = magnitude << 8 | u64::from(digit);
    }
    let value = i64::try_from(magnitude).map_err(|_| InvalidNumber)?;
    Ok(if negative { !value } else { value })
}

/// An octal field: NULs and spaces around the digits do not count, a NUL between them ends them,
/// and nothing but padding is zero (`parseOctal` in tar-split `archive/tar/strconv.go`).
pub(super) fn octal(field: &[u8]) -> Result<i64, InvalidNumber> {
    let is_padding = |byte: &u8| matches!(byte, b' ' | 0);
    let Some(start) = field.iter().position(|byte| !is_padding(byte)) else { return Ok(0) };
    let end = field.iter().rposition(|byte| !is_padding(byte)).map_or(start, |last| last + 1);
    let mut value = 0_u64;
    for digit in field.get(start..end).unwrap_or_default().iter().take_while(|byte| **byte != 0) {
        if !(b'0'..=b'7').contains(digit) {
            return Err(InvalidNumber);
        }
        value = value.checked_mul(8).ok_or(InvalidNumber)? + u64::from(digit - b'0');
    }
    // The widest octal field has 12 digits, which is 36 bits.
    i64::try_from(value).map_err(|_| InvalidNumber)
}

/// A decimal number with an optional sign, as in Go's `strconv.ParseInt(s, 10, 64)`.
pub(super) fn decimal(text: &[u8]) -> Result<i64, InvalidNumber> {
    std::str::from_utf8(text).ok().and_then(|text| text.parse().ok()).ok_or(InvalidNumber)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn octal_fields() {
        let cases: &[(&[u8], Result<i64, InvalidNumber>)] = &[
            (b"0000644\0", Ok(0o644)),
            (b"    644 ", Ok(0o644)),
            (b"\0\0 644\0 ", Ok(0o644)),
            (b"77777777", Ok(0o77_777_777)),
            (b"777777777777", Ok(0o777_777_777_777)),
            (b"        ", Ok(0)),
            (b"\0\0\0\0\0\0\0\0", Ok(0)),
            (b"", Ok(0)),
            (b"7\0junk 1", Ok(7)),
            (b"7 7", Err(InvalidNumber)),
            (b"8", Err(InvalidNumber)),
            (b"-7", Err(InvalidNumber)),
            (b"+7", Err(InvalidNumber)),
            (b"0x7", Err(InvalidNumber)),
            (b"1777777777777777777777", Err(InvalidNumber)),
            (b"7777777777777777777777777", Err(InvalidNumber)),
        ];
        for (field, expected) in cases {
            assert_eq!(octal(field), *expected, "{:?}", String::from_utf8_lossy(field));
            assert_eq!(numeric(field), *expected, "{:?}", String::from_utf8_lossy(field));
        }
    }

    #[test]
    fn base256_fields() {
        let cases: &[(&[u8], Result<i64, InvalidNumber>)] = &[
            (b"\x80\0\0\0\0\0\0\x07", Ok(7)),
            (b"\x80\0\0\0\x01\0\0\0", Ok(1 << 24)),
            (b"\xff\xff\xff\xff\xff\xff\xff\xff", Ok(-1)),
            (b"\xff\xff\xff\xff\xff\xff\xff\xfe", Ok(-2)),
            // The bit after the marker is the sign, also if the rest is not extended by it.
            (b"\xc0\0\0\0\0\0\0\0", Ok(-(1 << 62))),
            (b"\xbf\xff\xff\xff\xff\xff\xff\xff", Ok((1 << 62) - 1)),
            (b"\x80\0\0\0\x7f\xff\xff\xff\xff\xff\xff\xff", Ok(i64::MAX)),
            (b"\xff\xff\xff\xff\x80\0\0\0\0\0\0\0", Ok(i64::MIN)),
            (b"\x80\0\0\0\x80\0\0\0\0\0\0\0", Err(InvalidNumber)),
            (b"\x80\0\0\x01\0\0\0\0\0\0\0\0", Err(InvalidNumber)),
            (b"\xff\xff\xff\xff\x7f\xff\xff\xff\xff\xff\xff\xff", Err(InvalidNumber)),
        ];
        for (field, expected) in cases {
            assert_eq!(numeric(field), *expected, "{field:x?}");
        }
    }

    #[test]
    fn decimal_records() {
        let cases: &[(&[u8], Result<i64, InvalidNumber>)] = &[
            (b"0", Ok(0)),
            (b"007", Ok(7)),
            (b"+7", Ok(7)),
            (b"-7", Ok(-7)),
            (b"9223372036854775807", Ok(i64::MAX)),
            (b"-9223372036854775808", Ok(i64::MIN)),
            (b"9223372036854775808", Err(InvalidNumber)),
            (b"", Err(InvalidNumber)),
            (b"+", Err(InvalidNumber)),
            (b"-", Err(InvalidNumber)),
            (b"1_000", Err(InvalidNumber)),
            (b" 7", Err(InvalidNumber)),
            (b"7\0", Err(InvalidNumber)),
            (b"\xff", Err(InvalidNumber)),
        ];
        for (text, expected) in cases {
            assert_eq!(decimal(text), *expected, "{:?}", String::from_utf8_lossy(text));
        }
    }

    proptest! {
        #[test]
        fn twelve_bytes_hold_every_number(value: i64) {
            let fill = if value < 0 { 0xff } else { 0x00 };
            let mut field = [fill; 12];
            field[4..].copy_from_slice(&value.to_be_bytes());
            field[0] |= 0x80;
            prop_assert_eq!(numeric(&field), Ok(value));
        }

        #[test]
        fn any_octal_number_is_read_back(value in 0_i64..1 << 33) {
            prop_assert_eq!(numeric(format!("{value:011o}\0").as_bytes()), Ok(value));
        }
    }
}
