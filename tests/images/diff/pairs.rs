//! Images before and after an update, always the same ones.

use std::{collections::BTreeMap, fs, path::Path};

use tar::{Builder, EntryType, Header};
use test_support::{
    image::{Image, Layer, Style},
    trees::noise,
};

/// The files of a layer by their paths.
pub(super) type Tree = BTreeMap<String, Vec<u8>>;

/// An update of an image.
pub(super) struct Update {
    pub(super) name: &'static str,
    pub(super) old: Vec<Tree>,
    pub(super) new: Vec<Tree>,
}

/// Text that compresses to about a third.
fn text(length: usize, seed: u64) -> Vec<u8> {
    let words = noise(length / 4 + 8, seed);
    let mut text: Vec<u8> = words
        .chunks_exact(2)
        .flat_map(|word| {
            format!("{:x} ", u16::from_le_bytes([word[0], word[1]]) % 4096).into_bytes()
        })
        .collect();
    text.resize(length, b'.');
    text
}

fn tree(name: &str, files: u64, size: usize) -> Tree {
    let file = |number: u64| {
        let length = size / 2 + usize::try_from(number * 37 % 100).unwrap() * size / 100;
        let seed = number + 1 + 1_000_003 * name.len() as u64;
        (format!("{name}/{:02}/f{number}", number / 50), text(length, seed))
    };
    (0..files).map(file).collect()
}

/// Every `step`th file is another one.
fn changed(tree: &Tree, step: usize) -> Tree {
    let mut tree = tree.clone();
    for (number, content) in tree.values_mut().step_by(step).enumerate() {
        *content = text(content.len() + 10, 77_777 + number as u64);
    }
    tree
}

fn one(path: &str, content: Vec<u8>) -> Tree {
    Tree::from([(path.to_owned(), content)])
}

/// The same with something inserted, cut out and overwritten.
fn edited(content: &[u8]) -> Vec<u8> {
    let third = content.len() / 3;
    let mut edited = content[..third].to_vec();
    edited.extend(noise(3_000, 5));
    edited.extend(&content[third + 500..2 * third]);
    edited.extend(noise(100, 6));
    edited.extend(&content[2 * third + 100..]);
    edited
}

pub(super) fn updates() -> Vec<Update> {
    let base = tree("usr/lib/base", 300, 12_000);
    let package = tree("usr/share/package", 200, 8_000);
    let bundle = noise(3_000_000, 9);
    let large = tree("usr", 900, 9_000);
    let many: Tree =
        (0..3000).map(|n| (format!("many/{n:04}"), noise(1_400 + n % 300, n as u64 + 1))).collect();
    let scattered = |step: usize| {
        let mut tree = many.clone();
        for (n, content) in tree.values_mut().step_by(step).enumerate() {
            *content = noise(content.len(), 900_000 + n as u64);
        }
        tree
    };
    let mut sparse = noise(200_000, 3);
    sparse.extend(vec![0; 700_000]);
    sparse.extend(noise(200_000, 4));
    let mut filled = sparse.clone();
    filled[300_000..300_100].fill(7);
    let moved: Tree = package
        .iter()
        .map(|(path, content)| (path.replace("share", "local"), content.clone()))
        .collect();
    let pair = |name, old: &[&Tree], new: &[&Tree]| Update {
        name,
        old: old.iter().copied().cloned().collect(),
        new: new.iter().copied().cloned().collect(),
    };
    vec![
        pair("patch", &[&base, &package], &[&base, &changed(&package, 17)]),
        pair(
            "bundle",
            &[&base, &one("app/bundle.js", bundle.clone())],
            &[&base, &one("app/bundle.js", edited(&bundle))],
        ),
        pair("os-update", &[&large, &package], &[&changed(&large, 3), &package]),
        pair("touched", &[&large], &[&changed(&large, 1_000)]),
        pair("nothing", &[&base, &package], &[&base, &package]),
        pair("moved", &[&base, &package], &[&base, &moved]),
        pair("scattered", &[&many], &[&scattered(2)]),
        pair("sparse", &[&base, &one("disk", sparse)], &[&base, &one("disk", filled)]),
        pair("other", &[&base], &[&many]),
    ]
}

fn write_tar(tree: &Tree, out: &mut dyn std::io::Write) {
    let mut tar = Builder::new(out);
    let mut header = Header::new_gnu();
    header.set_mtime(1_704_164_645);
    let mut made = std::collections::BTreeSet::new();
    for (path, content) in tree {
        for parent in Path::new(path).ancestors().skip(1).collect::<Vec<_>>().into_iter().rev() {
            if !parent.as_os_str().is_empty() && made.insert(parent.to_owned()) {
                header.set_entry_type(EntryType::Directory);
                header.set_mode(0o755);
                header.set_size(0);
                tar.append_data(&mut header, parent, &b""[..]).unwrap();
            }
        }
        header.set_entry_type(EntryType::Regular);
        header.set_mode(0o644);
        header.set_size(content.len() as u64);
        tar.append_data(&mut header, path, &content[..]).unwrap();
    }
    tar.finish().unwrap();
}

/// The image with these layers, as gzip.
pub(super) fn image(dir: &Path, layers: &[Tree]) -> Image {
    fs::create_dir_all(dir).unwrap();
    let layer = |tree: &Tree| Layer::gzip(dir, |out| write_tar(tree, out));
    Image::new(Style::Oci, layers.iter().map(layer).collect())
}
