//! TOC and tar-split stream side by side: a pair that agrees has no errors, and one that was made
//! to disagree has some.
#![no_main]

use base64::{Engine as _, engine::general_purpose::STANDARD};
use libfuzzer_sys::{arbitrary, arbitrary::Arbitrary, fuzz_target};
use recompress_image::{check::Rule, image::Digest};
use serde_json::{Value, json};
use test_support::archive::{Dialect, HeaderBlock};

#[derive(Debug, Arbitrary)]
struct File<'a> {
    typeflag: u8,
    name: &'a str,
    link: &'a str,
    mode: u16,
    owner: (u32, u32),
    device: (u16, u16),
    size: u32,
    second: u16,
    chunks: [u32; 2],
}

#[derive(Debug, Arbitrary)]
enum Change<'a> {
    None,
    Number { entry: u8, key: u8, value: i64 },
    Text { entry: u8, key: u8, value: &'a str },
    Swap(u8, u8),
    Drop(u8),
    DropObject(u8),
    Header { entry: u8, at: u16, bits: u8 },
    TocByte { at: u16, bits: u8 },
    TarSplitByte { at: u16, bits: u8 },
}

/// As much of a text as a header holds.
fn field(text: &str) -> &str {
    let text = text.split('\0').next().unwrap_or_default();
    &text[..text.floor_char_boundary(80)]
}

#[derive(Default)]
struct Pair {
    /// What hard links can lead to: name, and mode, owner and time.
    files: Vec<(String, (u16, (u32, u32), u16))>,
    /// One list for each file: its entry, and its further chunks.
    entries: Vec<Vec<Value>>,
    objects: Vec<Value>,
    segments: Vec<Vec<u8>>,
    padding: usize,
    at: u64,
}

impl Pair {
    fn push(&mut self, file: &File<'_>) {
        let kind = match usize::from(file.typeflag % 7) {
            1 if self.files.is_empty() => 0,
            kind => kind,
        };
        let kinds = ["reg", "hardlink", "symlink", "char", "block", "dir", "fifo"];
        let name = field(file.name).replace('.', "-");
        let name = format!("{}-{}", self.entries.len(), name.trim_end_matches('/'));
        let size = if kind == 0 { file.size } else { 0 };
        // What the check minds in any layer: further bits of a mode, targets of what is not a link,
        // hard links to nothing or with attributes of their own, and the device 0:0, a whiteout.
        let mut attributes = (file.mode & 0o7777, file.owner, file.second);
        let mut link = String::new();
        match kind {
            0 => self.files.push((name.clone(), attributes)),
            1 => {
                let at = file.link.len() % self.files.len();
                (link, attributes) = self.files[at].clone();
            }
            2 => link = format!("to-{}", field(file.link)),
            _ => {}
        }
        let (mode, owner, second) = attributes;
        let (uid, gid) = (owner.0.into(), owner.1.into());
        let [major, minor] = [file.device.0 | 1, file.device.1].map(i64::from);
        let header = HeaderBlock::new(Dialect::Ustar, b'0' + kind as u8, name.as_bytes())
            .mode(mode.into())
            .owner(uid, gid)
            .size(size.into())
            .modified(second.into())
            .device(major, minor)
            .link_name(link.as_bytes())
            .finish();
        self.segments.push([&vec![0; self.padding], &header[..]].concat());
        self.padding = size.wrapping_neg() as usize % 512;
        let crc = (size > 0).then(|| STANDARD.encode([7; 8]));
        self.objects.push(json!({ "type": 1, "name": name, "size": size, "payload": crc }));

        let (minutes, second) = (second / 60, second % 60);
        let time = format!("1970-01-01T{:02}:{:02}:{second:02}Z", minutes / 60, minutes % 60);
        let mut entries = vec![json!({
            "type": kinds[kind], "name": name, "linkName": link, "mode": mode,
            "size": size, "uid": uid, "gid": gid, "modtime": time, "devMajor": major,
            "devMinor": minor,
        })];
        if size > 0 {
            self.place(&mut entries, &name, size, file.chunks);
        }
        self.entries.push(entries);
    }

    fn place(&mut self, entries: &mut Vec<Value>, name: &str, size: u32, mut cuts: [u32; 2]) {
        cuts.sort_unstable();
        let cuts = cuts.into_iter().filter(|cut| (1..size).contains(cut));
        let mut bounds: Vec<u32> = std::iter::once(0).chain(cuts).chain([size]).collect();
        bounds.dedup();
        let digest = Digest::sha256_of(b"");
        for (number, bound) in bounds.windows(2).enumerate() {
            self.at += 10;
            if number > 0 {
                entries.push(json!({ "type": "chunk", "name": name }));
            }
            let entry = entries.last_mut().unwrap();
            entry["offset"] = self.at.into();
            if bounds.len() > 2 {
                entry["chunkOffset"] = bound[0].into();
                entry["chunkSize"] = (bound[1] - bound[0]).into();
                entry["chunkDigest"] = digest.as_str().into();
            }
        }
        self.at += 10;
        entries[0]["endOffset"] = self.at.into();
        entries[0]["digest"] = digest.as_str().into();
    }

    /// The documents, and whether they disagree for certain.
    fn finish(mut self, change: Change<'_>) -> (String, String, bool) {
        let count = self.entries.len();
        let mut wrong = false;
        let mut set = |entry: u8, key: &str, value: Value| {
            let entry = &mut self.entries[usize::from(entry) % count][0];
            wrong = entry[key] != value;
            entry[key] = value;
        };
        let mut object = None;
        match change {
            Change::Number { entry, key, value } => {
                let keys = ["mode", "size", "uid", "gid", "devMajor", "devMinor"];
                set(entry, keys[usize::from(key) % keys.len()], value.into());
            }
            Change::Text { entry, key, value } => {
                let keys = ["type", "name", "linkName", "xattrs"];
                let key = keys[usize::from(key) % keys.len()];
                let value = if key == "xattrs" { json!({ value: "" }) } else { value.into() };
                set(entry, key, value);
            }
            Change::Swap(a, b) => {
                let (a, b) = (usize::from(a) % count, usize::from(b) % count);
                self.entries.swap(a, b);
                wrong = a != b;
            }
            Change::Drop(entry) => {
                self.entries.remove(usize::from(entry) % count);
                wrong = true;
            }
            Change::DropObject(at) => object = Some(usize::from(at) % (2 * count)),
            Change::Header { entry, at, bits } => {
                let segment = &mut self.segments[usize::from(entry) % count];
                let header = segment.len() - 512;
                // Any byte but those of the checksum, which can be written in more than one way.
                let at = usize::from(at % 504);
                let at = if at < 148 { at } else { at + 8 };
                segment[header + at] ^= bits;
                wrong = bits != 0;
            }
            Change::None | Change::TocByte { .. } | Change::TarSplitByte { .. } => {}
        }
        let segments =
            self.segments.iter().map(|raw| json!({ "type": 2, "payload": STANDARD.encode(raw) }));
        let mut objects: Vec<_> =
            segments.zip(self.objects).flat_map(|(segment, file)| [segment, file]).collect();
        if let Some(at) = object {
            objects.remove(at);
            wrong = true;
        }
        let tar_split = objects.iter().map(|object| format!("{object}\n")).collect();
        let toc = json!({ "version": 1, "entries": self.entries.concat() }).to_string();
        (toc, tar_split, wrong)
    }
}

fn flip(bytes: &mut [u8], at: u16, bits: u8) {
    let at = usize::from(at) % bytes.len();
    bytes[at] ^= bits;
}

fuzz_target!(|input: (Vec<File>, Change)| {
    let (files, change) = input;
    if files.is_empty() || files.len() > 20 {
        return;
    }
    let mut pair = Pair::default();
    files.iter().for_each(|file| pair.push(file));
    let (toc_byte, tar_split_byte) = match change {
        Change::TocByte { at, bits } => (Some((at, bits)), None),
        Change::TarSplitByte { at, bits } => (None, Some((at, bits))),
        _ => (None, None),
    };
    let (toc, tar_split, wrong) = pair.finish(change);
    let (mut toc, mut tar_split) = (toc.into_bytes(), tar_split.into_bytes());
    toc_byte.iter().for_each(|(at, bits)| flip(&mut toc, *at, *bits));
    tar_split_byte.iter().for_each(|(at, bits)| flip(&mut tar_split, *at, *bits));
    let (totals, findings) = support::documents(&toc, &tar_split);
    // The TOC does not know the stream's compressed form here.
    let missing = u64::from(support::broken(&findings, &[Rule::TarSplitDigestMissing]));
    if wrong {
        assert!(findings.errors() > missing, "nothing found");
    } else if toc_byte.is_none() && tar_split_byte.is_none() {
        assert_eq!(findings.errors(), missing, "{:?}", findings.kept());
        assert_eq!(totals.entries, files.len() as u64);
    }
});
