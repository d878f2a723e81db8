//! Archives that are small to make and claim much.

use std::{fs, path::Path};

use serde_json::json;
use test_support::{
    archive::{Dialect, HeaderBlock, TarBuilder},
    work_dir,
};

use crate::measured::run;

/// What the program says of an archive.
fn refused(file: &Path, name: &str, words: &str) {
    let from = format!("docker-archive:{}", file.display());
    let run = run(&["inspect", &from]);
    run.ends(name, 7);
    assert!(run.stdout.contains(words), "{name}: {}", run.stdout);
}

#[test]
fn many_entries_and_long_names() {
    let dir = work_dir();
    let file = dir.path().join("a.tar");
    let entry = |number: usize| {
        HeaderBlock::new(Dialect::Ustar, b'0', format!("{number:0>100}").as_bytes()).finish()
    };
    let mut content: Vec<u8> = (0..65_536).flat_map(entry).collect();
    fs::write(&file, &content).unwrap();
    refused(&file, "as many entries as there may be", "has no manifest.json");
    content.extend((0..200_000).flat_map(entry));
    fs::write(&file, content).unwrap();
    refused(&file, "too many entries", "has more than 65536 entries");

    let name = vec![b'/'; (1 << 20) - 1];
    let long = |tar: TarBuilder| tar.long_name(&name).file(Dialect::Gnu, b"a", b"");
    let tar = (0..20).fold(TarBuilder::new(), |tar, _| long(tar)).end().finish();
    fs::write(&file, tar).unwrap();
    refused(&file, "long names", "bytes of names");
}

#[test]
fn documents_of_a_gigabyte() {
    let dir = work_dir();
    let file = dir.path().join("a.tar");
    let sized = |tar: TarBuilder, name: &str| {
        tar.header(HeaderBlock::new(Dialect::Gnu, b'0', name.as_bytes()).size(1 << 30))
    };
    let grow = |tar: TarBuilder| {
        let tar = tar.finish();
        fs::write(&file, &tar).unwrap();
        let grown = fs::File::options().write(true).open(&file).unwrap();
        grown.set_len(tar.len() as u64 + (1 << 30)).unwrap();
    };
    grow(sized(TarBuilder::new(), "manifest.json"));
    let from = format!("docker-archive:{}", file.display());
    let listed = run(&["inspect", &from]);
    listed.ends("a list of a gigabyte", 5);
    assert!(listed.stdout.contains("larger than the limit"), "{}", listed.stdout);

    let list = json!([{ "Config": "c", "Layers": [] }]).to_string();
    let tar = TarBuilder::new().file(Dialect::Gnu, b"manifest.json", list.as_bytes());
    grow(sized(tar, "c"));
    let config = run(&["inspect", &from]);
    config.ends("a config of a gigabyte", 5);
    assert!(config.stdout.contains("larger than the limit"), "{}", config.stdout);
}
