//! Documents of an image: any bytes, and valid documents with some of their text put elsewhere.
//! What is true of every document is checked, see `tests/properties/src/documents.rs`.
#![no_main]

use libfuzzer_sys::{
    arbitrary::{Arbitrary, Unstructured},
    fuzz_target,
};

const VALID: [&str; 3] = [
    include_str!("../seeds/documents/manifest"),
    include_str!("../seeds/documents/index"),
    include_str!("../seeds/documents/config"),
];
/// What is put between the pieces of a valid document, or in the place of some.
const PIECES: [&str; 40] = [
    "null",
    "true",
    "0",
    "-1",
    "1.0",
    "1e999",
    "9223372036854775807",
    "9223372036854775808",
    "\"\"",
    "{}",
    "[]",
    "[null]",
    "[[",
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    " \n",
    "\"layers\"",
    "\"Layers\"",
    "\"layer\\u0073\"",
    "\"layerſ\"",
    "\"manifests\"",
    "\"fsLayers\"",
    "\"config\"",
    "\"subject\"",
    "\"annotations\"",
    "\"com.amazon.soci.x\"",
    "\"data\"",
    "\"urls\"",
    "\"platform\"",
    "\"size\"",
    "\"Size\"",
    "\"digest\"",
    "\"mediaType\"",
    "\"\\ud800\"",
    "\"é\\u0000\"",
    "\u{feff}",
];

#[derive(Debug, Arbitrary)]
enum Edit {
    Insert { at: u16, piece: u8 },
    Replace { at: u16, piece: u8 },
    Copy { from: u16, len: u8, to: u16 },
    Remove { at: u16, len: u8 },
    Swap(u16, u16),
}

/// Cuts a document where values, names and signs begin.
fn pieces(text: &str) -> Vec<&str> {
    let mut pieces = Vec::new();
    let mut rest = text.trim_end();
    while let Some(first) = rest.chars().next() {
        let len = match first {
            '"' => rest[1..].find('"').map_or(rest.len(), |at| at + 2),
            '{' | '}' | '[' | ']' | ',' | ':' => 1,
            _ => rest.find(['"', '{', '}', '[', ']', ',', ':']).unwrap_or(rest.len()),
        };
        let (piece, after) = rest.split_at(len);
        pieces.push(piece);
        rest = after;
    }
    pieces
}

fn edited(text: &'static str, edits: Vec<Edit>) -> String {
    let mut pieces = pieces(text);
    let new = |piece: u8| PIECES[usize::from(piece) % PIECES.len()];
    for edit in edits {
        let count = pieces.len();
        let within = |at: u16| usize::from(at) % count;
        match edit {
            _ if count == 0 || count > 2000 => break,
            Edit::Insert { at, piece } => pieces.insert(within(at), new(piece)),
            Edit::Replace { at, piece } => pieces[within(at)] = new(piece),
            Edit::Copy { from, len, to } => {
                let from = within(from);
                let end = count.min(from + usize::from(len));
                let copy = pieces[from..end].to_vec();
                let to = within(to);
                pieces.splice(to..to, copy);
            }
            Edit::Remove { at, len } => {
                let at = within(at);
                pieces.drain(at..count.min(at + usize::from(len)));
            }
            Edit::Swap(a, b) => pieces.swap(within(a), within(b)),
        }
    }
    pieces.concat()
}

// A first byte that no JSON begins with chooses a valid document to edit.
fuzz_target!(|data: &[u8]| match data.split_first() {
    Some((choice @ 0..=2, edits)) => {
        let text = VALID[usize::from(*choice)];
        let edits = Vec::arbitrary_take_rest(Unstructured::new(edits)).unwrap_or_default();
        properties::documents::check(edited(text, edits).as_bytes());
    }
    _ => properties::documents::check(data),
});
