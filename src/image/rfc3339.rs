//! Times as Go's JSON reads them.

/// Whether Go takes `text` for a time (`time.Time.UnmarshalJSON` since Go 1.20, which is strict):
/// `2006-01-02T15:04:05Z`, with a fraction and an offset if need be, letters in upper case.
pub fn is_go_time(text: &str) -> bool {
    let bytes = text.as_bytes();
    let number = |at: usize, len: usize| -> Option<u32> {
        let digits = bytes.get(at..at + len)?;
        digits.iter().try_fold(0, |sum, digit| {
            digit.is_ascii_digit().then(|| sum * 10 + u32::from(digit - b'0'))
        })
    };
    let separators = [(4, b'-'), (7, b'-'), (10, b'T'), (13, b':'), (16, b':')];
    if !separators.iter().all(|(at, separator)| bytes.get(*at) == Some(separator)) {
        return false;
    }
    let fields =
        [(0, 4), (5, 2), (8, 2), (11, 2), (14, 2), (17, 2)].map(|(at, len)| number(at, len));
    let [Some(year), Some(month), Some(day), Some(hour), Some(minute), Some(second)] = fields
    else {
        return false;
    };
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days = match month {
        2 if is_leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return false,
    };
    if !(1..=days).contains(&day) || hour > 23 || minute > 59 || second > 59 {
        return false;
    }
    let mut at = 19;
    if bytes.get(at) == Some(&b'.') {
        let digits = bytes.iter().skip(at + 1).take_while(|byte| byte.is_ascii_digit()).count();
        if digits == 0 {
            return false;
        }
        at += 1 + digits;
    }
    match bytes.get(at) {
        Some(b'Z') => bytes.len() == at + 1,
        Some(b'+' | b'-') => {
            let in_range = |at, most| number(at, 2).is_some_and(|number| number <= most);
            bytes.len() == at + 6
                && in_range(at + 1, 23)
                && bytes.get(at + 3) == Some(&b':')
                && in_range(at + 4, 59)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times() {
        for good in [
            "2024-01-02T03:04:05Z",
            "0001-01-01T00:00:00Z",
            "0000-02-29T23:59:59.123456789123Z",
            "2024-02-29T00:00:00.5+01:30",
            "1900-12-31T00:00:00-23:59",
        ] {
            assert!(is_go_time(good), "{good}");
        }
        for bad in [
            "",
            "2024-01-02",
            "2024-01-02t03:04:05Z",
            "2024-01-02T03:04:05z",
            "2024-01-02 03:04:05Z",
            "2024-01-02T03:04:05",
            "2024-01-02T03:04:05,5Z",
            "2024-01-02T03:04:05.Z",
            "2024-01-02T3:04:05Z",
            "2024-01-02T03:04:60Z",
            "2024-01-02T24:00:00Z",
            "2024-13-01T00:00:00Z",
            "1900-02-29T00:00:00Z",
            "2024-01-00T00:00:00Z",
            "2024-01-02T03:04:05+24:00",
            "2024-01-02T03:04:05+0100",
            "2024-01-02T03:04:05Zx",
            "+024-01-02T03:04:05Z",
            "10000-01-01T00:00:00Z",
        ] {
            assert!(!is_go_time(bad), "{bad}");
        }
    }
}
