//! One error at a time, each of which the check must report by its rule.

mod contents;
mod documents;
mod positions;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use recompress_image::{check::Rule, image::Digest};
use serde_json::Value;

use self::{
    contents::{OF_FILES, OF_FRAMES},
    documents::{OF_DOCUMENTS, OF_TAR_SPLIT},
    positions::OF_POSITIONS,
};
use super::specimen::{Parts, Specimen, tar};

/// What is changed: the parts, before digests and positions are made to fit, or the result.
enum Change {
    Parts(fn(&mut Parts)),
    /// As before, and the TOC keeps whatever it says of the tar-split stream.
    Uncommitted(fn(&mut Parts)),
    Result(fn(&mut Specimen)),
}

use Change::{Parts as P, Result as R, Uncommitted as U};

type Case = (&'static str, Rule, Change);

fn set(parts: &mut Parts, name: &str, key: &str, value: impl Into<Value>) {
    parts.entry(name)[key] = value.into();
}

fn remove(value: &mut Value, key: &str) {
    value.as_object_mut().unwrap().remove(key).unwrap();
}

fn add(value: &mut Value, delta: i64) {
    *value = (value.as_i64().unwrap() + delta).into();
}

fn other_digest() -> String {
    Digest::sha256_of(b"other").to_string()
}

/// The chunk entries of `d/big`.
fn chunk(parts: &mut Parts, number: usize) -> &mut Value {
    let mut chunks = parts.entries().iter_mut().filter(|entry| entry["type"] == "chunk");
    chunks.nth(number).unwrap()
}

fn zeros(parts: &mut Parts) -> &mut Value {
    parts.entries().iter_mut().find(|entry| entry["chunkType"] == "zeros").unwrap()
}

fn frame(content: &[u8]) -> Vec<u8> {
    zstd::bulk::compress(content, 3).unwrap()
}

fn content(frame: &[u8]) -> Vec<u8> {
    zstd::decode_all(frame).unwrap()
}

/// Changes the bytes of the segment in front of a file object.
fn segment(parts: &mut Parts, name: &str, edit: impl FnOnce(&mut Vec<u8>)) {
    let objects = &mut parts.tar_split;
    let file = objects.iter().position(|o| o["type"] == 1 && o["name"] == name).unwrap();
    let segment = &mut objects[file - 1]["payload"];
    let mut bytes = STANDARD.decode(segment.as_str().unwrap()).unwrap();
    edit(&mut bytes);
    *segment = STANDARD.encode(bytes).into();
}

#[test]
fn each_mutation_is_found() {
    let good = Specimen::converted(&tar(), true);
    let (mut found, mut all, mut missed) = (0, 0, Vec::new());
    let tables = [OF_POSITIONS, OF_DOCUMENTS, OF_TAR_SPLIT, OF_FILES, OF_FRAMES];
    for (name, rule, change) in tables.into_iter().flatten() {
        let mut parts = Parts::of(&good);
        let mutant = match change {
            P(edit) => {
                edit(&mut parts);
                parts.build(true)
            }
            U(edit) => {
                // The tar-split stream as it is packed here is what the TOC has to speak of.
                parts = Parts::of(&parts.build(true));
                edit(&mut parts);
                parts.build(false)
            }
            R(edit) => {
                let mut mutant = parts.build(true);
                edit(&mut mutant);
                mutant
            }
        };
        let findings = mutant.verdict().findings;
        all += 1;
        if findings.counts().contains_key(rule) {
            found += 1;
        } else {
            missed.push(format!("{name}: no {rule} in {:?}", findings.kept()));
        }
    }
    println!("mutations found: {found} of {all}");
    assert!(missed.is_empty(), "{missed:#?}");
    assert!(all >= 40);
}

#[test]
fn a_blob_that_is_taken_apart_and_put_together_is_still_good() {
    let good = Specimen::converted(&tar(), true);
    let again = Parts::of(&good).build(true);
    let mut split = Parts::of(&good);
    let number = split.frame_of("d/a");
    let empty = frame(b"");
    split.replace_frame(number, &[frame(b"123"), empty.clone(), frame(b"45"), empty]);
    for specimen in [good, again, split.build(true)] {
        let findings = specimen.verdict().findings;
        let told = findings.counts().keys().collect::<Vec<_>>();
        assert_eq!(told, [&Rule::SpecialLeftOut], "{:#?}", findings.kept());
    }
}

#[test]
fn no_more_content_is_read_than_is_allowed() {
    let tar = tar();
    let len = tar.len() as u64;
    for chunked in [true, false] {
        let specimen = Specimen::converted(&tar, chunked);
        assert_eq!(specimen.verdict_within(len).findings.errors(), 0);
        let verdict = specimen.verdict_within(len - 1);
        assert!(verdict.findings.counts().contains_key(&Rule::Limit), "{:?}", verdict.findings);
        assert!(verdict.tar_len <= len);
    }
}
