//! A chunked blob with something changed in it, from its first frame to its footer: either that is
//! found, or the blob still has the content and the footer that it had.
#![no_main]

use std::{fs::File, os::unix::fs::FileExt as _, sync::LazyLock};

use libfuzzer_sys::{arbitrary, arbitrary::Arbitrary, fuzz_target};
use properties::layer;
use recompress_image::{
    check::Layer,
    image::Digest,
    layer::{Cuts, Pool, Recipe},
    limits::Limits,
};
use test_support::archive::{Dialect, HeaderBlock, TarBuilder};

#[derive(Debug, Arbitrary)]
enum Edit<'a> {
    Flip(u8),
    Remove(u8),
    Insert(&'a [u8]),
    Number(u64),
}

#[derive(Debug, Arbitrary)]
struct Input<'a> {
    /// Near which of the parts, how far from its start, and what.
    edits: Vec<(u8, i16, Edit<'a>)>,
    annotation: Option<(u8, &'a str)>,
    /// Whether the annotations follow the TOC's new content.
    seal: bool,
}

struct Base {
    tar: Vec<u8>,
    made: layer::Made,
    /// Where data, tar-split, TOC and footer begin, and the end.
    places: [u64; 5],
    file: File,
}

static BASE: LazyLock<Base> = LazyLock::new(|| {
    let content = [&[b'x'; 700][..], &[0; 70_000], &[b'y'; 900]].concat();
    let tar = TarBuilder::new()
        .header(HeaderBlock::new(Dialect::Ustar, b'5', b"dir/"))
        .file(Dialect::Ustar, b"dir/holes", &content)
        .file(Dialect::Ustar, b"dir/small", b"a few bytes")
        .end()
        .finish();
    let recipe =
        Recipe { chunked: true, level: 1, cuts: Cuts::REFERENCE, lowest: true };
    let made = layer::convert(&tar[..], recipe, &Pool::new(1).unwrap()).unwrap();
    layer::check(&tar, recipe, &made);
    let outline = made.converted.outline.as_ref().unwrap();
    assert_eq!((outline.files, outline.chunks > 2), (2, true));
    let len = made.blob.len() as u64;
    let [toc, tar_split] = [outline.annotations.toc, outline.annotations.tar_split];
    let places = [0, tar_split.offset - 8, toc.offset - 8, len - 72, len];
    Base { tar, made, places, file: tempfile::tempfile().unwrap() }
});

fn edit(blob: &mut Vec<u8>, input: &Input<'_>) {
    for (place, offset, edit) in &input.edits {
        let at = BASE.places[usize::from(*place) % 5].saturating_add_signed((*offset).into());
        let at = usize::try_from(at).unwrap().min(blob.len());
        match edit {
            Edit::Flip(bits) => blob.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= bits),
            Edit::Remove(len) => drop(blob.drain(at..(at + usize::from(*len)).min(blob.len()))),
            Edit::Insert(bytes) => drop(blob.splice(at..at, bytes.iter().copied())),
            Edit::Number(number) => {
                let places = blob.iter_mut().skip(at);
                places.zip(number.to_le_bytes()).for_each(|(place, byte)| *place = byte);
            }
        }
    }
}

fuzz_target!(|input: Input| {
    let base = &*BASE;
    let annotations = &base.made.converted.outline.as_ref().unwrap().annotations;
    let mut blob = base.made.blob.clone();
    edit(&mut blob, &input);
    let [mut digest, mut toc, mut tar_split] = annotations.to_pairs().map(|(_, value)| value);
    if input.seal {
        let from = usize::try_from(annotations.toc.offset).unwrap().min(blob.len());
        let to = (from + usize::try_from(annotations.toc.len).unwrap()).min(blob.len());
        digest = Digest::sha256_of(&blob[from..to]).to_string();
    }
    if let Some((which, value)) = input.annotation {
        *[&mut digest, &mut toc, &mut tar_split][usize::from(which % 3)] = value.to_owned();
    }
    base.file.set_len(blob.len() as u64).unwrap();
    base.file.write_all_at(&blob, 0).unwrap();
    let verdict = recompress_image::check::layer(Layer {
        blob: &base.file,
        len: blob.len() as u64,
        media_type: "application/vnd.oci.image.layer.v1.tar+zstd",
        annotations: &support::annotations(&digest, &toc, &tar_split),
        diff_id: &base.made.converted.diff_id,
        limits: Limits { size: u64::MAX, ratio: u64::MAX },
        lowest: true,
    })
    .expect("a file that can be read");
    if verdict.findings.errors() == 0 {
        assert!(zstd::decode_all(&blob[..]).unwrap() == base.tar);
        assert_eq!(verdict.tar_len, base.tar.len() as u64);
        assert!(blob.ends_with(&base.made.blob[base.made.blob.len() - 72..]));
    } else {
        assert!(blob != base.made.blob || input.seal || input.annotation.is_some());
    }
});
