//! Blobs that are small and claim much.

use std::io::Write as _;

use recompress_image::image::Digest;
use serde_json::{Value, json};

/// A chunked blob, with what its descriptor says of it.
pub(crate) struct Blob {
    pub(crate) name: &'static str,
    pub(crate) bytes: Vec<u8>,
    pub(crate) annotations: Value,
}

/// A document in its compressed form, and its length.
#[derive(Clone)]
struct Packed(Vec<u8>, u64);

fn packed(parts: impl IntoIterator<Item = Vec<u8>>) -> Packed {
    let (mut encoder, mut len) = (zstd::Encoder::new(Vec::new(), 1).unwrap(), 0);
    for part in parts {
        encoder.write_all(&part).unwrap();
        len += part.len() as u64;
    }
    Packed(encoder.finish().unwrap(), len)
}

#[expect(clippy::needless_pass_by_value, reason = "it is made where it is handed in")]
fn blob(name: &'static str, data: &[u8], toc: Packed, tar_split: Packed) -> Blob {
    const PREFIX: &str = "io.github.containers.zstd-chunked";
    let mut bytes = data.to_vec();
    let mut append = |payload: &[u8]| {
        bytes.extend([0x50, 0x2a, 0x4d, 0x18]);
        bytes.extend(u32::try_from(payload.len()).unwrap().to_le_bytes());
        bytes.extend(payload);
        bytes.len() - payload.len()
    };
    let (toc_at, split_at) = (append(&toc.0), append(&tar_split.0));
    let annotations = json!({
        format!("{PREFIX}.manifest-checksum"): Digest::sha256_of(&toc.0),
        format!("{PREFIX}.manifest-position"): format!("{toc_at}:{}:{}:1", toc.0.len(), toc.1),
        format!("{PREFIX}.tarsplit-position"):
            format!("{split_at}:{}:{}", tar_split.0.len(), tar_split.1),
    });
    Blob { name, bytes, annotations }
}

fn text(text: &str) -> Vec<u8> {
    text.as_bytes().to_vec()
}

/// A TOC whose entries are these.
fn toc(entries: impl IntoIterator<Item = Vec<u8>>) -> Packed {
    let start = std::iter::once(text("{\"version\":1,\"entries\":[{\"name\":\"first\"}"));
    packed(start.chain(entries).chain([text("]}")]))
}

/// The same bytes again and again.
fn again(part: &str, times: usize) -> impl Iterator<Item = Vec<u8>> {
    let many = part.repeat(1000).into_bytes();
    std::iter::repeat_n(many, times / 1000)
}

/// The headers of a tar-split stream for a file of `size` bytes.
fn header(size: i64) -> Vec<u8> {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    use test_support::archive::{Dialect, HeaderBlock};
    let block = HeaderBlock::new(Dialect::Ustar, b'0', b"a").size(size).finish();
    let payload = STANDARD.encode(block);
    format!(
        "{{\"type\":2,\"payload\":\"{payload}\",\"position\":0}}\n\
         {{\"type\":1,\"name\":\"a\",\"size\":{size},\"payload\":\"AAAAAAAAAAA=\",\"position\":1}}\n"
    )
    .into_bytes()
}

/// `len` zeros, in frames of 4 MiB.
fn zeros(len: usize) -> Vec<u8> {
    const FRAME: usize = 4 << 20;
    zstd::bulk::compress(&vec![0; FRAME], 1).unwrap().repeat(len / FRAME)
}

/// A TOC with large files that have names of 100 KB, and many with names of a kilobyte.
pub(crate) fn long_names() -> Blob {
    let file = |number: usize| {
        let len = if number < 10 { 100_000 } else { 1000 };
        let name = format!("{number}/{}", "é".repeat(len));
        let size = 1_000_000_000 - number;
        let entry = json!({"type": "reg", "name": name, "size": size, "offset": 8});
        text(&format!(",{entry}"))
    };
    blob("many layers with long names", b"", toc((0..200).map(file)), packed([text("none")]))
}

pub(crate) fn blobs() -> Vec<Blob> {
    let data = &zeros(4 << 20)[..];
    let none = || packed([]);
    let names = toc((0..3_000_000).map(|n| format!(",{{\"name\":\"{n}\"}}").into_bytes()));
    let chunk = r#",{"type":"chunk","name":"a","offset":9,"chunkSize":1,"chunkOffset":1}"#;
    let file = format!(r#","size":{},"offset":8}}"#, 1_u64 << 40);
    let file = text(&format!(r#",{{"type":"reg","name":"a"{file}"#));
    vec![
        blob("many names in a TOC without headers", data, names.clone(), packed([text("none")])),
        blob("many names in a TOC that differ from the headers", data, names, packed([header(0)])),
        blob(
            "many chunks of one file",
            data,
            packed(
                [text("{\"entries\":[{\"name\":\"b\"}"), file]
                    .into_iter()
                    .chain(again(chunk, 2_000_000))
                    .chain([text("]}")]),
            ),
            packed([header(1 << 40)]),
        ),
        blob(
            "a long name",
            data,
            packed(
                [text("{\"entries\":[{\"name\":\"")]
                    .into_iter()
                    .chain(again("a", 140_000_000))
                    .chain([text("\"}]}")]),
            ),
            none(),
        ),
        blob(
            "blanks in front of the tar-split stream",
            data,
            toc([]),
            packed(again("\n", 60_000_000).chain([header(0)])),
        ),
        blob(
            "a long object in the tar-split stream",
            data,
            toc([]),
            packed(
                [text("{\"type\":2,\"payload\":\"")].into_iter().chain(again("AAAA", 30_000_000)),
            ),
        ),
        blob("8 GiB of zeros", &zeros(8 << 30), toc([]), none()),
        blob("a window of 128 MiB", &wide(200 << 20), toc([]), none()),
    ]
}

/// Zeros in a frame whose window is 128 MiB.
pub(crate) fn wide(len: usize) -> Vec<u8> {
    packed_wide([vec![0; len]])
}

/// These parts in a frame whose window is 128 MiB.
pub(crate) fn packed_wide(parts: impl IntoIterator<Item = Vec<u8>>) -> Vec<u8> {
    let mut encoder = zstd::Encoder::new(Vec::new(), 1).unwrap();
    encoder.window_log(27).unwrap();
    parts.into_iter().for_each(|part| encoder.write_all(&part).unwrap());
    encoder.finish().unwrap()
}
