//! The records of a PAX extended header.

use std::collections::BTreeMap;

use super::number::decimal;

/// What is wrong with a header, for a message.
pub(super) type Reason = &'static str;

/// The records of one extended header by key. The last value of a key counts.
pub(super) type Records = BTreeMap<Vec<u8>, Vec<u8>>;

/// The key for the joined pieces of a GNU sparse map 0.0.
pub(super) const SPARSE_MAP: &[u8] = b"GNU.sparse.map";
const SPARSE_OFFSET: &[u8] = b"GNU.sparse.offset";
const SPARSE_NUMBYTES: &[u8] = b"GNU.sparse.numbytes";

/// Reads the body of an `x` or `g` header (`parsePAX` in tar-split `archive/tar/reader.go`).
///
/// A GNU sparse map 0.0, which is spread over repeated keys, becomes the single record that 0.1 has
/// instead.
pub(super) fn parse(mut body: &[u8]) -> Result<Records, Reason> {
    let mut records = Records::new();
    let mut sparse_map = Vec::new();
    let mut sparse_fields = 0_usize;
    while !body.is_empty() {
        let (content, rest) = split_record(body)?;
        let (key, value) = split_content(content)?;
        body = rest;
        if key != SPARSE_OFFSET && key != SPARSE_NUMBYTES {
            records.insert(key.to_vec(), value.to_vec());
            continue;
        }
        let expected =
            if sparse_fields.is_multiple_of(2) { SPARSE_OFFSET } else { SPARSE_NUMBYTES };
        if key != expected || value.contains(&b',') {
            return Err("GNU sparse map out of order");
        }
        if sparse_fields > 0 {
            sparse_map.push(b',');
        }
        sparse_map.extend_from_slice(value);
        sparse_fields += 1;
    }
    if sparse_fields > 0 {
        records.insert(SPARSE_MAP.to_vec(), sparse_map);
    }
    Ok(records)
}

/// What is in the first record, `"<length> <content>\n"`, and what follows it. The length is that
/// of the whole record; the content may hold any byte, also a newline.
fn split_record(body: &[u8]) -> Result<(&[u8], &[u8]), Reason> {
    const LENGTH: Reason = "invalid length of a PAX record";
    let space = body.iter().position(|byte| *byte == b' ').ok_or(LENGTH)?;
    let (length, _) = body.split_at(space);
    let length = decimal(length).ok().and_then(|n| usize::try_from(n).ok()).ok_or(LENGTH)?;
    let (record, rest) = body.split_at_checked(length).ok_or(LENGTH)?;
    let content = record.get(space + 1..).and_then(|content| content.strip_suffix(b"\n"));
    Ok((content.ok_or(LENGTH)?, rest))
}

/// The key and the value in `"<key>=<value>"`.
fn split_content(content: &[u8]) -> Result<(&[u8], &[u8]), Reason> {
    let equals =
        content.iter().position(|byte| *byte == b'=').ok_or("PAX record without a value")?;
    let (key, value) = (&content[..equals], &content[equals + 1..]);
    let text = match key {
        b"" => return Err("PAX record without a key"),
        b"path" | b"linkpath" | b"uname" | b"gname" => value,
        _ => key,
    };
    if text.contains(&0) {
        return Err("NUL byte in a PAX record");
    }
    Ok((key, value))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;
    use test_support::archive::pax_record;

    use super::*;

    #[test]
    fn records_are_driven_by_their_length() {
        for (body, expected) in [
            (&b""[..], None),
            (b"6 k=v\n", Some("v")),
            (b"+6 k=\n", Some("")),
            (b"6 k=\n\n", Some("\n")),
            (b"11 k=a\nb=c\n", Some("a\nb=c")),
            (b"6 k=1\n6 k=2\n", Some("2")),
            (b"6 k=1\n5 k=\n", Some("")),
            (b"6 k=1\n6 l=2\n", Some("1")),
        ] {
            let records = parse(body).unwrap();
            let value = records.get(&b"k"[..]).map(Vec::as_slice);
            assert_eq!(value, expected.map(str::as_bytes), "{:?}", String::from_utf8_lossy(body));
        }
    }

    #[test]
    fn broken_records_are_refused() {
        let cases: &[&[u8]] = &[
            b"6k=v\n",
            b"x k=v\n",
            b"7 k=v\n",
            b"5 k=v\n",
            b"-6 k=v\n",
            b"006 k=\n",
            b"9 k=a\nb=c\n",
            b"10 k=a\nb=c\n",
            b"4 k=\n",
            b"5 kv\n",
            b"5 =v\n",
            b"6 k=v\n\0\0\0\0",
            b"7 k\0=v\n",
            b"10 path=\0\n",
            b"14 linkpath=\0\n",
            b"99999999999999999999 k=v\n",
            // The length does not even cover its own digits.
            b"000000000005 k=v\n",
            b"5    \n",
        ];
        for body in cases {
            assert!(parse(body).is_err(), "{:?}", String::from_utf8_lossy(body));
        }
        assert!(parse(b"7 k=v\0\n").is_ok(), "other values may hold a NUL byte");
    }

    #[test]
    fn a_sparse_map_in_pieces_is_put_together() {
        let body = [
            pax_record(b"GNU.sparse.offset", b"0"),
            pax_record(b"GNU.sparse.numbytes", b"5"),
            pax_record(b"GNU.sparse.offset", b"10"),
        ];
        let records = parse(&body.concat()).unwrap();
        assert_eq!(records.get(SPARSE_MAP).unwrap(), b"0,5,10");

        assert!(parse(&body[1]).is_err(), "it begins with an offset");
        assert!(parse(&[&body[0][..], &body[0]].concat()).is_err(), "they take turns");
        assert!(parse(&pax_record(b"GNU.sparse.offset", b"1,2")).is_err());
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(
            records in prop::collection::vec(
                ("[a-zA-Z.]{1,30}", prop::collection::vec(1_u8.., 0..200)),
                0..8,
            ),
        ) {
            let body: Vec<u8> =
                records.iter().flat_map(|(key, value)| pax_record(key.as_bytes(), value)).collect();
            let expected: Records =
                records.into_iter().map(|(key, value)| (key.into_bytes(), value)).collect();
            prop_assert_eq!(parse(&body).unwrap(), expected);
        }

        #[test]
        fn any_bytes_are_read_or_refused(body: Vec<u8>) {
            let _ = parse(&body);
        }
    }
}
