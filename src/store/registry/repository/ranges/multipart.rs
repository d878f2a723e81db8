//! Bodies of the type `multipart/byteranges` (RFC 9110, section 14.6; RFC 2046, section 5.1).

use std::ops::Range;

use bytes::Bytes;

/// The longest boundary there may be (RFC 2046, section 5.1.1).
const BOUNDARY_MAX: usize = 70;

/// A part of a blob.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RangePart {
    /// Where it lies in the blob by `Content-Range`, if there is one that can be read.
    pub(crate) range: Option<Range<u64>>,
    /// Its bytes.
    pub(crate) bytes: Bytes,
}

/// What a `Content-Type` says of parts.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum MultipartType {
    /// There are none.
    None,
    /// There are some, and what is between them is not told.
    Unbounded,
    /// There are some, with this between them.
    Boundary(String),
}

impl MultipartType {
    /// As with containers/image, each type that begins with `multipart/` counts
    /// (`image/docker/docker_image_src.go`).
    pub(super) fn of(content_type: &str) -> Self {
        let mut fields = content_type.split(';').map(str::trim);
        let is_multipart = fields
            .next()
            .and_then(|kind| kind.get(.."multipart/".len()))
            .is_some_and(|kind| kind.eq_ignore_ascii_case("multipart/"));
        if !is_multipart {
            return Self::None;
        }
        let boundary = fields.find_map(|field| {
            let (name, value) = field.split_once('=')?;
            name.trim_end().eq_ignore_ascii_case("boundary").then(|| value.trim().trim_matches('"'))
        });
        match boundary {
            Some(boundary) if (1..=BOUNDARY_MAX).contains(&boundary.len()) => {
                Self::Boundary(boundary.to_owned())
            }
            _ => Self::Unbounded,
        }
    }
}

/// Takes a whole body apart. `None` if it is malformed, or does not end as it should.
pub(super) fn parse(body: &Bytes, boundary: &str) -> Option<Vec<RangePart>> {
    let delimiter = format!("\r\n--{boundary}");
    let (opening, delimiter) = (delimiter.as_bytes().get(2..)?, delimiter.as_bytes());
    let mut rest = if body.starts_with(opening) {
        body.slice(opening.len()..)
    } else {
        let at = find(body, delimiter)?;
        body.slice(at + delimiter.len()..)
    };
    let mut parts = Vec::new();
    while !rest.starts_with(b"--") {
        let line = find(&rest, b"\r\n")?;
        if !rest.get(..line)?.iter().all(|byte| matches!(byte, b' ' | b'\t')) {
            return None;
        }
        // From the line's end on, so that a part without headers has its empty line.
        let head = find(rest.get(line..)?, b"\r\n\r\n")?;
        let range = range(rest.get(line..line + head)?);
        let content = rest.slice(line + head + 4..);
        let end = find(&content, delimiter)?;
        parts.push(RangePart { range, bytes: content.slice(..end) });
        rest = content.slice(end + delimiter.len()..);
    }
    Some(parts)
}

fn range(head: &[u8]) -> Option<Range<u64>> {
    let head = std::str::from_utf8(head).ok()?;
    let mut fields = head.lines().filter_map(|line| line.split_once(':'));
    let (_, value) = fields.find(|(name, _)| name.trim().eq_ignore_ascii_case("content-range"))?;
    content_range(value)
}

fn find(text: &[u8], what: &[u8]) -> Option<usize> {
    text.windows(what.len()).position(|window| window == what)
}

/// The range in a `Content-Range` header (RFC 9110, section 14.4).
pub(super) fn content_range(value: &str) -> Option<Range<u64>> {
    let (range, total) = value.trim().strip_prefix("bytes ")?.split_once('/')?;
    let (first, last) = range.split_once('-')?;
    let (first, last) = (first.trim().parse::<u64>().ok()?, last.trim().parse::<u64>().ok()?);
    let end = last.checked_add(1)?;
    let fits = total == "*" || total.trim().parse::<u64>().is_ok_and(|total| end <= total);
    (fits && first < end).then_some(first..end)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn content_ranges() {
        for (value, expected) in [
            ("bytes 0-9/10", Some(0..10)),
            ("bytes 5-5/*", Some(5..6)),
            ("bytes 5-10/10", None),
            ("bytes 5-4/10", None),
            ("bytes */10", None),
            ("bytes 0-18446744073709551615/*", None),
            ("0-9/10", None),
            ("", None),
        ] {
            assert_eq!(content_range(value), expected, "{value}");
        }
    }

    #[test]
    fn kinds() {
        let named = |boundary: &str| MultipartType::Boundary(boundary.to_owned());
        for (value, expected) in [
            ("multipart/byteranges; boundary=x", named("x")),
            ("Multipart/ByteRanges; a=b; BOUNDARY=\"x y\"", named("x y")),
            ("multipart/byteranges", MultipartType::Unbounded),
            ("multipart/byteranges; boundary=", MultipartType::Unbounded),
            ("application/octet-stream", MultipartType::None),
            ("multi", MultipartType::None),
            ("", MultipartType::None),
        ] {
            assert_eq!(MultipartType::of(value), expected, "{value}");
        }
        let long = format!("multipart/byteranges; boundary={}", "x".repeat(71));
        assert_eq!(MultipartType::of(&long), MultipartType::Unbounded);
    }

    #[test]
    fn bodies() {
        let part = |range, bytes: &'static str| RangePart {
            range,
            bytes: Bytes::from_static(bytes.as_bytes()),
        };
        let told = "--x\r\nContent-Type: a/b\r\ncontent-RANGE: bytes 2-4/9\r\n\r\nabc";
        for (body, expected) in [
            (format!("{told}\r\n--x--\r\n"), Some(vec![part(Some(2..5), "abc")])),
            (format!("preamble\r\n{told}\r\n--x--"), Some(vec![part(Some(2..5), "abc")])),
            (
                format!("{told}\r\n--x \t\r\n\r\n\r\n\r\n--x--\r\n"),
                Some(vec![part(Some(2..5), "abc"), part(None, "\r\n")]),
            ),
            ("--x--".to_owned(), Some(vec![])),
            (told.to_owned(), None),
            (format!("{told}\r\n--x"), None),
            (format!("{told}\r\n--xy--"), None),
            ("--x\r\n--x--".to_owned(), None),
            (String::new(), None),
        ] {
            assert_eq!(parse(&body.clone().into(), "x"), expected, "{body:?}");
        }
    }

    proptest! {
        #[test]
        fn no_body_is_too_strange(body in "(\r|\n|-|x| |:|a|--x|\r\n){0,60}") {
            let length = body.len();
            let parts = parse(&body.into(), "x").unwrap_or_default();
            prop_assert!(parts.iter().map(|part| part.bytes.len()).sum::<usize>() <= length);
        }
    }
}
