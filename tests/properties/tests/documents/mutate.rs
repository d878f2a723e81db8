//! What may be wrong with a document: in its fields, in its text, in its bytes.

use fastrand::Rng;

use super::json::{Json, escaped, folded, quoted};

/// What stands where something else belongs.
const VALUES: [&str; 44] = [
    "null",
    "true",
    "false",
    "0",
    "1",
    "2",
    "-1",
    "-0",
    "1.0",
    "1.5",
    "1e2",
    "1E-2",
    "1e999",
    "-1e999",
    "1e-999",
    "9223372036854775807",
    "9223372036854775808",
    "-9223372036854775809",
    "123456789012345678901234567890",
    "01",
    "+1",
    "1.",
    ".5",
    "NaN",
    "\"\"",
    "\"2\"",
    "\"true\"",
    "\"null\"",
    "\"\\ud800\"",
    "\"\\ud83e\\udd80\"",
    "\"\\udd80\\ud83e\"",
    "\"\\u0000\"",
    "\"\u{7f}\"",
    "\"\u{1}\"",
    "\"\\x41\"",
    "\"%\"",
    "\"eHg\\n=\"",
    "\"eHh=\"",
    "{}",
    "{\"a\":1}",
    "[]",
    "[null]",
    "[\"\"]",
    "[[],{}]",
];
/// What is looked for by one reader or another.
const NAMES: [&str; 22] = [
    "schemaVersion",
    "mediaType",
    "artifactType",
    "config",
    "layers",
    "manifests",
    "subject",
    "annotations",
    "fsLayers",
    "history",
    "digest",
    "size",
    "urls",
    "data",
    "platform",
    "os",
    "os.features",
    "features",
    "rootfs",
    "diff_ids",
    "Labels",
    "created",
];
const TIMES: [&str; 20] = [
    "2024-01-02T03:04:05Z",
    "2024-01-02t03:04:05z",
    "2024-01-02 03:04:05Z",
    "2024-01-02T03:04:05",
    "2024-01-02T03:04:05+00:00",
    "2024-01-02T03:04:05-23:59",
    "2024-01-02T03:04:05+24:00",
    "2024-01-02T03:04:05+0100",
    "2024-01-02T03:04:05.123456789123Z",
    "2024-01-02T03:04:05,5Z",
    "2024-01-02T03:04:60Z",
    "2024-02-30T03:04:05Z",
    "2023-02-29T03:04:05Z",
    "0000-01-01T00:00:00Z",
    "10000-01-01T00:00:00Z",
    "2024-01-02T3:04:05Z",
    "2024-01-02",
    "2024\\u002d01-02T03:04:05Z",
    "2024-01-02T03:04:05\\u005a",
    "\\u0032024-01-02T03:04:05Z",
];

fn value(rng: &mut Rng) -> Json {
    Json::Text(match rng.u8(..20) {
        0 => nested(rng.usize(1..200)),
        1 => format!("\"{}\"", rng.choice(TIMES).unwrap()),
        _ => (*rng.choice(VALUES).unwrap()).to_owned(),
    })
}

fn nested(depth: usize) -> String {
    "[".repeat(depth) + &"]".repeat(depth)
}

/// Changes one thing.
pub(crate) fn change(document: &mut Json, other: &Json, rng: &mut Rng) {
    let at = rng.usize(..document.count());
    let Some(node) = document.nth(at) else { return };
    match node {
        Json::Object(fields) => change_fields(fields, other, rng),
        Json::List(list) => match rng.u8(..4) {
            0 => list.push(value(rng)),
            1 => drop(list.pop()),
            2 => {
                let copy = rng.choice(list.iter()).cloned();
                list.extend(copy);
            }
            _ => *node = value(rng),
        },
        Json::Text(text) if text.starts_with('"') && rng.bool() => match rng.u8(..4) {
            0 => *text = escaped(text, rng),
            1 => *text = text.replacen('"', "\" ", 1),
            2 if text.ends_with(['Z', '0']) => {
                *text = format!("\"{}\"", rng.choice(TIMES).unwrap());
            }
            _ => *text = quoted("sha256:0"),
        },
        Json::Text(_) => *node = value(rng),
    }
}

fn change_fields(fields: &mut Vec<(String, Json)>, other: &Json, rng: &mut Rng) {
    let place = rng.usize(..=fields.len());
    let picked = (!fields.is_empty()).then(|| rng.usize(..fields.len()));
    match (rng.u8(..12), picked) {
        (0, Some(at)) => drop(fields.remove(at)),
        (1, Some(at)) => fields[at].1 = value(rng),
        (2, Some(at)) => fields[at].0 = folded(&fields[at].0, rng),
        (3, Some(at)) => fields[at].0 = escaped(&fields[at].0, rng),
        // The same name again, however it is spelled, with another value.
        (choice @ 4..=7, Some(at)) => {
            let name = match choice {
                4 => fields[at].0.clone(),
                5 => escaped(&fields[at].0, rng),
                _ => folded(&fields[at].0, rng),
            };
            let new = if rng.bool() { fields[at].1.clone() } else { value(rng) };
            fields.insert(place, (name, new));
        }
        (8, _) => {
            let mut other = other.clone();
            if let Some(theirs) = other.fields()
                && let Some(theirs) = rng.choice(theirs.iter())
            {
                fields.insert(place, theirs.clone());
            }
        }
        (9, _) => {
            let name = quoted(&rng.alphabetic().to_string());
            fields.insert(place, (name, value(rng)));
        }
        _ => {
            let mut name = quoted(rng.choice(NAMES).unwrap());
            if rng.u8(..4) == 0 {
                name = folded(&name, rng);
            }
            fields.insert(place, (name, value(rng)));
        }
    }
}

/// Changes the bytes of a document, whatever they mean.
pub(crate) fn damage(bytes: &mut Vec<u8>, rng: &mut Rng) {
    let at = rng.usize(..bytes.len());
    let foreign: [&[u8]; 10] = [
        b"\xff",
        b"\xc0\x80",
        b"\xed\xa0\x80",
        b"\xef\xbb\xbf",
        b"\0",
        b"\x0b",
        b"\xc2\xa0",
        b"//",
        b"{}",
        b",",
    ];
    match rng.u8(..8) {
        0 | 1 => bytes[at] ^= 1 << rng.u8(..8),
        2 => bytes[at] = rng.u8(..),
        3 => bytes.truncate(at),
        4 => {
            bytes.splice(..0, rng.choice(foreign).unwrap().to_vec());
        }
        5 => bytes.extend(rng.choice(foreign).unwrap()),
        6 => bytes.extend_from_slice(
            rng.choice(["\n", " ", "\r\n\t", "\0", "null", "]", "}"]).unwrap().as_bytes(),
        ),
        _ => {
            bytes.splice(at..at, rng.choice(foreign).unwrap().to_vec());
        }
    }
}
