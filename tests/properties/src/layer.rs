//! What has to hold for every converted layer, found out with other means than those that made it:
//! libzstd decodes, and the TOC is read as JSON and not with the types that wrote it.

use std::collections::HashSet;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use recompress_image::{
    chunked::{chunker::Chunker, footer::Position},
    image::Digest,
    layer::{self, Converted, LayerError, LayerProgress, Outline, Pool, Recipe},
    tar::{Reader, TarStep},
};
use serde_json::Value;

/// A converted layer.
pub struct Made {
    pub blob: Vec<u8>,
    pub converted: Converted,
}

/// Whether the tar reader alone takes it.
pub fn is_tar(tar: &[u8]) -> bool {
    let mut reader = Reader::new(tar);
    let mut buf = vec![0; 1 << 16];
    loop {
        match reader.next_step() {
            Ok(TarStep::Entry(_)) => {}
            Ok(TarStep::End) => return true,
            Err(_) => return false,
        }
        while reader.payload_left() > 0 {
            if reader.read_payload(&mut buf).is_err() {
                return false;
            }
        }
    }
}

/// Converts a blob in memory.
pub fn convert(
    source: impl std::io::Read + Send,
    recipe: Recipe,
    pool: &Pool,
) -> Result<Made, LayerError> {
    let mut blob = Vec::new();
    let converted =
        layer::convert(source, &mut blob, None, recipe, pool, &LayerProgress::default())?;
    Ok(Made { blob, converted })
}

/// Panics unless the blob is a right conversion of `tar`.
pub fn check(tar: &[u8], recipe: Recipe, made: &Made) {
    let Made { blob, converted } = made;
    assert_eq!(converted.digest, Digest::sha256_of(blob));
    assert_eq!(converted.len, blob.len() as u64);
    assert_eq!(converted.diff_id, Digest::sha256_of(tar));
    assert_eq!(converted.raw_len, tar.len() as u64);
    assert_eq!(blob[..4], [0x28, 0xb5, 0x2f, 0xfd], "begins with an ordinary frame");
    assert!(decode(blob) == tar, "the blob decodes to something else");
    match &converted.outline {
        Ok(outline) => {
            assert!(recipe.chunked);
            Layer::read(blob, outline).check(tar, recipe);
        }
        Err(reason) => assert_eq!(reason.is_some(), recipe.chunked),
    }
}

fn decode(frames: &[u8]) -> Vec<u8> {
    zstd::decode_all(frames).expect("frames that libzstd decodes")
}

/// A blob with its TOC.
struct Layer<'a> {
    blob: &'a [u8],
    outline: &'a Outline,
    entries: Vec<Value>,
    tar_split: Vec<Value>,
}

impl<'a> Layer<'a> {
    fn read(blob: &'a [u8], outline: &'a Outline) -> Self {
        let annotations = &outline.annotations;
        let toc = payload(blob, annotations.toc);
        assert_eq!(annotations.toc_digest, Digest::sha256_of(toc));
        let toc = decode(toc);
        assert_eq!(toc.len() as u64, annotations.toc.raw_len);
        let toc: Value = serde_json::from_slice(&toc).expect("a TOC that is JSON");
        let tar_split = payload(blob, annotations.tar_split);
        assert!(!tar_split.is_empty());
        assert_eq!(toc["tarSplitDigest"], Digest::sha256_of(tar_split).as_str());
        let tar_split = decode(tar_split);
        assert_eq!(tar_split.len() as u64, annotations.tar_split.raw_len);
        let lines = serde_json::Deserializer::from_slice(&tar_split).into_iter();
        Self {
            blob,
            outline,
            entries: toc["entries"].as_array().expect("entries").clone(),
            tar_split: lines.collect::<Result<_, _>>().expect("a tar-split that is JSON"),
        }
    }

    fn check(&self, tar: &[u8], recipe: Recipe) {
        let mut rebuilt = Vec::with_capacity(tar.len());
        let mut lines = self.tar_split.iter().peekable();
        let mut names = HashSet::new();
        let (mut entries, mut files, mut pieces, mut end) = (0, 0, 0, 0);
        let mut rest = &self.entries[..];
        while let Some((main, more)) = rest.split_first() {
            let chunks = more.iter().take_while(|entry| entry["type"] == "chunk").count();
            let (chunks, more) = more.split_at(chunks);
            rest = more;
            assert!(names.insert(text(&main["name"])), "{main} comes twice");
            let content = main.get("offset").map(|_| self.content(main, chunks, recipe, &mut end));
            entries += 1;
            files += u64::from(content.is_some());
            pieces += if content.is_some() { 1 + chunks.len() as u64 } else { 0 };

            let segment = lines.next().expect("a segment");
            assert_eq!(segment["type"], 2);
            rebuilt.extend(base64(&segment["payload"]));
            let file = lines.next().expect("a file");
            assert_eq!(file["type"], 1);
            assert_eq!(file["name"], main["name"]);
            if let Some(content) = content {
                assert_eq!(file["size"], content.len());
                let crc = crc_fast::checksum(crc_fast::CrcAlgorithm::Crc64GoIso, &content);
                assert_eq!(base64(&file["payload"]), crc.to_be_bytes());
                rebuilt.extend(content);
            } else {
                assert_eq!((file.get("size"), &file["payload"]), (None, &Value::Null));
            }
        }
        // A client stumbles over more than one piece here.
        rebuilt.extend(lines.next().map(|tail| base64(&tail["payload"])).unwrap_or_default());
        assert_eq!(lines.next(), None);
        assert!(rebuilt == tar, "the tar-split rebuilds something else");
        let &Outline { entries: e, files: f, chunks: c, .. } = self.outline;
        assert_eq!((e, f, c), (entries, files, pieces));
    }

    /// The content of a file, checked against its digests. `end` is where the one before ended.
    fn content(&self, main: &Value, chunks: &[Value], recipe: Recipe, end: &mut u64) -> Vec<u8> {
        assert_eq!(main["type"], "reg");
        let (offset, file_end) = (number(&main["offset"]), number(&main["endOffset"]));
        assert!(*end <= offset && offset < file_end, "files lie in the order of the tar");
        *end = file_end;
        let content = decode(self.range(offset, file_end));
        assert_eq!(main["size"], content.len());
        assert_eq!(main["digest"], Digest::sha256_of(&content).as_str());

        let mut expected = Vec::new();
        if content.len() as u64 > recipe.cuts.whole_max {
            let mut chunker = Chunker::new(recipe.cuts.chunk_min);
            chunker.feed(&content, &mut expected);
            chunker.finish(&mut expected);
        }
        if expected.len() <= 1 {
            assert!(chunks.is_empty());
            assert_eq!((main.get("chunkSize"), main.get("chunkType")), (None, None));
            return content;
        }
        assert_eq!(chunks.len() + 1, expected.len());
        let all: Vec<_> = std::iter::once(main).chain(chunks).collect();
        let mut at = 0;
        for (number_of, (entry, expected)) in all.iter().zip(expected).enumerate() {
            let start = number(&entry["offset"]);
            let end = all.get(number_of + 1).map_or(file_end, |next| number(&next["offset"]));
            let chunk = decode(self.range(start, end));
            assert_eq!(entry["name"], main["name"]);
            assert_eq!(chunk.len() as u64, expected.len);
            assert_eq!(number(&entry["chunkSize"]), expected.len);
            assert_eq!(entry.get("chunkOffset").map_or(0, number), at as u64);
            assert_eq!(entry["chunkDigest"], Digest::sha256_of(&chunk).as_str());
            assert_eq!(entry.get("chunkType").is_some_and(|kind| kind == "zeros"), expected.hole);
            assert!(chunk == content[at..at + chunk.len()]);
            at += chunk.len();
        }
        assert_eq!(at, content.len());
        content
    }

    fn range(&self, from: u64, to: u64) -> &[u8] {
        &self.blob[index(from)..index(to)]
    }
}

/// The payload of a skippable frame.
fn payload(blob: &[u8], Position { offset, len, .. }: Position) -> &[u8] {
    let (start, len) = (index(offset), index(len));
    assert_eq!(blob[start - 8..start - 4], [0x50, 0x2a, 0x4d, 0x18]);
    assert_eq!(blob[start - 4..start], u32::try_from(len).expect("a frame's length").to_le_bytes());
    &blob[start..start + len]
}

fn text(value: &Value) -> &str {
    value.as_str().expect("a string")
}

fn number(value: &Value) -> u64 {
    value.as_u64().expect("a number")
}

fn index(number: u64) -> usize {
    usize::try_from(number).expect("a place in memory")
}

fn base64(value: &Value) -> Vec<u8> {
    STANDARD.decode(text(value)).expect("base64")
}
