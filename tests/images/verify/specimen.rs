//! A layer with everything in it, taken apart so that a test can change one thing and put the rest
//! together again.

use std::{fs::File, io::Write};

use recompress_image::{
    check::{self, Annotations, Layer, LayerVerdict},
    image::{Digest, media_type::OCI_LAYER_ZSTD},
    layer::{self, Cuts, LayerProgress, Pool, Recipe},
    limits::Limits,
};
use serde_json::Value;
use test_support::archive::{Dialect, HeaderBlock, TarBuilder};

pub(crate) const TOC_DIGEST: &str = "io.github.containers.zstd-chunked.manifest-checksum";
pub(crate) const TOC_POSITION: &str = "io.github.containers.zstd-chunked.manifest-position";
pub(crate) const TAR_SPLIT_POSITION: &str = "io.github.containers.zstd-chunked.tarsplit-position";

/// A blob with its descriptor's fields and its line in the config.
#[derive(Debug, Clone)]
pub(crate) struct Specimen {
    pub(crate) blob: Vec<u8>,
    pub(crate) annotations: Annotations,
    pub(crate) media_type: String,
    pub(crate) diff_id: Digest,
    /// It is the lowest layer of its image.
    pub(crate) lowest: bool,
}

impl Specimen {
    /// What the program makes of a tar.
    pub(crate) fn converted(tar: &[u8], chunked: bool) -> Self {
        Self::made(tar, chunked, true)
    }

    /// What it makes of a tar that is not the lowest layer.
    pub(crate) fn converted_above(tar: &[u8]) -> Self {
        Self::made(tar, true, false)
    }

    fn made(tar: &[u8], chunked: bool, lowest: bool) -> Self {
        let cuts = Cuts::REFERENCE;
        let recipe = Recipe { chunked, level: 3, cuts, lowest };
        let mut blob = Vec::new();
        let pool = Pool::new(1).unwrap();
        let done =
            layer::convert(tar, &mut blob, None, recipe, &pool, &LayerProgress::default()).unwrap();
        let pairs = done.outline.map(|outline| outline.annotations.to_pairs().to_vec());
        let pairs = pairs.unwrap_or_default().into_iter();
        Self {
            blob,
            annotations: pairs.map(|(key, value)| (key.to_owned(), value)).collect(),
            media_type: OCI_LAYER_ZSTD.to_owned(),
            diff_id: done.diff_id,
            lowest,
        }
    }

    /// What the check says.
    pub(crate) fn verdict(&self) -> LayerVerdict {
        self.verdict_within(u64::MAX)
    }

    /// What it says where no more than `limit` bytes of content are read.
    pub(crate) fn verdict_within(&self, limit: u64) -> LayerVerdict {
        let file = self.file();
        check::layer(Layer {
            blob: &file,
            len: self.blob.len() as u64,
            media_type: &self.media_type,
            annotations: &self.annotations,
            diff_id: &self.diff_id,
            limits: Limits { size: limit, ratio: u64::MAX },
            lowest: self.lowest,
        })
        .unwrap()
    }

    fn file(&self) -> File {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&self.blob).unwrap();
        file
    }

    /// Rewrites an annotation.
    pub(crate) fn annotate(&mut self, key: &str, edit: impl FnOnce(&mut Vec<u64>)) {
        let value = &self.annotations[key];
        let mut numbers = value.split(':').map(|number| number.parse().unwrap()).collect();
        edit(&mut numbers);
        let text: Vec<_> = numbers.iter().map(u64::to_string).collect();
        self.annotations.insert(key.to_owned(), text.join(":"));
    }
}

/// Bytes that no compressor makes smaller, the same each time.
pub(crate) fn noise(len: usize, seed: u32) -> Vec<u8> {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_mul(1_103_515_245).wrapping_add(12_345) & 0x7fff_ffff;
        (state >> 16).to_le_bytes()[0]
    };
    (0..len).map(|_| next()).collect()
}

/// Every type, times of every kind, attributes, chunks, a hole.
pub(crate) fn tar() -> Vec<u8> {
    let gnu = |typeflag, name: &[u8]| HeaderBlock::new(Dialect::Gnu, typeflag, name);
    let big = [noise(300_000, 1), vec![0; 5000], noise(100_000, 2)].concat();
    let times: [(&[u8], &[u8]); 4] = [
        (b"mtime", b"1704164645.123456789"),
        (b"atime", b"1704164646.5"),
        (b"ctime", b"1704164647"),
        (b"SCHILY.xattr.user.text", b"value"),
    ];
    TarBuilder::new()
        .header(gnu(b'5', b"d/").mode(0o755).modified(1_700_000_000))
        .sized(gnu(b'0', b"d/a").owner(1000, 1001).modified(1_700_000_000), b"12345")
        .pax(&times)
        .file(Dialect::Ustar, b"d/pax", b"content")
        .sized(gnu(b'0', b"d/big").modified(1), &big)
        .header(gnu(b'1', b"d/hard").link_name(b"d/a").owner(1000, 1001).modified(1_700_000_000))
        .header(gnu(b'2', b"d/soft").link_name(b"a"))
        .header(gnu(b'3', b"d/char").device(5, 300))
        .header(gnu(b'6', b"d/fifo"))
        .file(Dialect::Gnu, b"d/empty", b"")
        .file(Dialect::Gnu, b"d/z", &noise(3000, 3))
        .end()
        .finish()
}

/// A chunked blob in parts.
#[derive(Debug, Clone)]
pub(crate) struct Parts {
    /// The ordinary frames.
    pub(crate) frames: Vec<Vec<u8>>,
    pub(crate) toc: Value,
    /// Comes after the TOC's JSON.
    pub(crate) toc_suffix: &'static str,
    pub(crate) tar_split: Vec<Value>,
    pub(crate) diff_id: Digest,
}

impl Parts {
    /// Takes a blob apart.
    pub(crate) fn of(specimen: &Specimen) -> Self {
        let Specimen { blob, annotations, diff_id, .. } = specimen;
        let part = |key: &str| {
            let place: Vec<usize> =
                annotations[key].split(':').map(|n| n.parse().unwrap()).collect();
            zstd::decode_all(&blob[place[0]..place[0] + place[1]]).unwrap()
        };
        let mut frames = Vec::new();
        let mut rest = &blob[..];
        while rest.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) {
            let len = zstd::zstd_safe::find_frame_compressed_size(rest).unwrap();
            frames.push(rest[..len].to_vec());
            rest = &rest[len..];
        }
        let tar_split = part(TAR_SPLIT_POSITION);
        let tar_split = serde_json::Deserializer::from_slice(&tar_split).into_iter();
        Self {
            frames,
            toc: serde_json::from_slice(&part(TOC_POSITION)).unwrap(),
            toc_suffix: "",
            tar_split: tar_split.map(Result::unwrap).collect(),
            diff_id: diff_id.clone(),
        }
    }

    pub(crate) fn entries(&mut self) -> &mut Vec<Value> {
        self.toc["entries"].as_array_mut().unwrap()
    }

    /// The main entry with this name.
    pub(crate) fn entry(&mut self, name: &str) -> &mut Value {
        let mut entries = self.entries().iter_mut();
        entries.find(|entry| entry["name"] == name && entry["type"] != "chunk").unwrap()
    }

    /// The file object with this name.
    pub(crate) fn file(&mut self, name: &str) -> &mut Value {
        let mut objects = self.tar_split.iter_mut();
        objects.find(|object| object["type"] == 1 && object["name"] == name).unwrap()
    }

    /// Where the first frame of a file is among the frames.
    pub(crate) fn frame_of(&mut self, name: &str) -> usize {
        let offset = self.entry(name)["offset"].as_u64().unwrap();
        let mut at = 0;
        let before = |frame: &&Vec<u8>| {
            let here = at;
            at += frame.len() as u64;
            here < offset
        };
        self.frames.iter().take_while(before).count()
    }

    /// Puts other frames in the place of one, and moves what comes after them.
    pub(crate) fn replace_frame(&mut self, number: usize, frames: &[Vec<u8>]) {
        let start: usize = self.frames[..number].iter().map(Vec::len).sum();
        let (old, new) = (self.frames[number].len(), frames.iter().map(Vec::len).sum::<usize>());
        self.frames.splice(number..=number, frames.to_vec());
        for entry in self.entries() {
            for key in ["offset", "endOffset"] {
                if let Some(at) = entry[key].as_u64().filter(|at| *at > start as u64) {
                    entry[key] = (at + new as u64 - old as u64).into();
                }
            }
        }
    }

    /// Renumbers the objects.
    pub(crate) fn renumber(&mut self) {
        for (number, object) in self.tar_split.iter_mut().enumerate() {
            object["position"] = number.into();
        }
    }

    /// Puts a blob together, with digests and positions that fit.
    pub(crate) fn build(mut self, commit: bool) -> Specimen {
        let lines: Vec<_> = self.tar_split.iter().map(|object| format!("{object}\n")).collect();
        let tar_split = lines.concat();
        let packed_split = zstd::encode_all(tar_split.as_bytes(), 3).unwrap();
        if commit {
            self.toc["tarSplitDigest"] = Digest::sha256_of(&packed_split).to_string().into();
        }
        let toc = self.toc.to_string() + self.toc_suffix;
        let packed_toc = zstd::encode_all(toc.as_bytes(), 3).unwrap();
        let mut blob = self.frames.concat();
        let toc_at = skippable(&mut blob, &packed_toc);
        let split_at = skippable(&mut blob, &packed_split);
        let toc_place = [toc_at, packed_toc.len(), toc.len(), 1];
        let split_place = [split_at, packed_split.len(), tar_split.len()];
        let mut footer = Vec::new();
        for number in toc_place.iter().chain(&split_place) {
            footer.extend((*number as u64).to_le_bytes());
        }
        footer.extend(b"GNUlInUx");
        skippable(&mut blob, &footer);
        let text =
            |numbers: &[usize]| numbers.iter().map(usize::to_string).collect::<Vec<_>>().join(":");
        let annotations = [
            (TOC_DIGEST.to_owned(), Digest::sha256_of(&packed_toc).to_string()),
            (TOC_POSITION.to_owned(), text(&toc_place)),
            (TAR_SPLIT_POSITION.to_owned(), text(&split_place)),
        ];
        Specimen {
            blob,
            annotations: annotations.into(),
            media_type: OCI_LAYER_ZSTD.to_owned(),
            diff_id: self.diff_id,
            lowest: true,
        }
    }
}

/// Appends a skippable frame; returns where its payload begins.
pub(crate) fn skippable(blob: &mut Vec<u8>, payload: &[u8]) -> usize {
    blob.extend([0x50, 0x2a, 0x4d, 0x18]);
    blob.extend(u32::try_from(payload.len()).unwrap().to_le_bytes());
    let at = blob.len();
    blob.extend(payload);
    at
}

/// Clients refuse a segment that is shorter than the padding it begins with, so such a layer must
/// not get a TOC.
#[test]
fn a_tar_that_ends_within_its_last_padding_gets_no_toc() {
    let header = HeaderBlock::new(Dialect::Gnu, b'0', b"a").size(5);
    let start = TarBuilder::new().header(header).raw(b"12345");
    for (padding, chunked) in [(0, true), (1, false), (506, false), (507, true), (507 + 512, true)]
    {
        let specimen = Specimen::converted(&start.clone().zeros(padding).finish(), true);
        assert_eq!(!specimen.annotations.is_empty(), chunked, "{padding} bytes of padding");
        let findings = specimen.verdict().findings;
        assert!(findings.kept().is_empty(), "{:#?}", findings.kept());
    }
}
