//! What gets signed: never the source of a run, unless this program has made it and has proven all
//! of it in that very run. Each case is a source that somebody may have had a reason to forge.

use std::{collections::BTreeMap, fs, process::Command};

use recompress_image::{
    chunked::footer::{FOOTER_LEN, Footer, Position},
    image::{Digest, media_type},
};
use serde_json::{Value as Json, json};
use test_support::{need, registry::Registry, work_dir};

use crate::{
    chains,
    images::{document, push, push_index},
    tekton::{Results, Value},
};

const NAME: &str = "org/app";
const TOC: &str = "io.github.containers.zstd-chunked.manifest-checksum";
const TOC_POSITION: &str = "io.github.containers.zstd-chunked.manifest-position";
const TAR_SPLIT: &str = "io.github.containers.zstd-chunked.tarsplit-position";
const SOURCE: &str = "io.github.recompress-image.source-digest";
const DUAL: &[&str] = &["--compression-format=dual"];
const ADD: &[&str] = &["--add"];

/// How a run of the binary ended.
struct Run {
    code: i32,
    log: String,
    results: Results,
}

fn run(registry: &Registry, source: &Digest, arguments: &[&str]) -> Run {
    let dir = work_dir();
    let image = format!("{}/{NAME}", registry.host());
    let output = Command::new(env!("CARGO_BIN_EXE_recompress-image"))
        .args(["convert", &format!("{image}@{source}"), &format!("{image}:out"), "--results-dir"])
        .arg(dir.path())
        .arg("--in-place")
        .args(arguments)
        .env("NO_PROXY", "*")
        .output()
        .unwrap();
    let mut results = BTreeMap::new();
    for file in fs::read_dir(dir.path()).unwrap() {
        let file = file.unwrap();
        let text = fs::read_to_string(file.path()).unwrap();
        let value = match serde_json::from_str(&text) {
            Ok(object) => Value::Object(object),
            Err(_) => Value::String(text),
        };
        results.insert(file.file_name().into_string().unwrap(), value);
    }
    let log = String::from_utf8(output.stderr).unwrap();
    Run { code: output.status.code().unwrap(), log, results }
}

/// The digests that get a signature as images.
fn signed(run: &Run) -> Vec<Digest> {
    let signed = chains::provenance(&run.results).signed;
    signed.into_iter().map(|(_, digest)| digest.parse().unwrap()).collect()
}

fn put(registry: &Registry, document: &Json) -> Digest {
    let bytes = document.to_string().into_bytes();
    let digest = Digest::sha256_of(&bytes);
    let media_type = document["mediaType"].as_str().unwrap();
    registry.put_manifest(NAME, digest.as_str(), media_type, &bytes);
    digest
}

fn children(document: &Json) -> Vec<Digest> {
    let entries = document["manifests"].as_array().cloned().unwrap_or_default();
    entries.iter().map(|entry| entry["digest"].as_str().unwrap().parse().unwrap()).collect()
}

/// Neither the source nor an image in it is signed, and what is signed is there and right.
fn not_signed(registry: &Registry, source: &Digest, arguments: &[&str], case: &str) -> Run {
    let run = run(registry, source, arguments);
    let signed = signed(&run);
    let mut foreign = children(&document(registry, NAME, source.as_str()));
    foreign.push(source.clone());
    for digest in &foreign {
        assert!(!signed.contains(digest), "{case}: {digest} is signed: {:?}", run.results);
    }
    if run.code == 0 {
        assert!(!signed.is_empty(), "{case}: nothing is signed: {}", run.log);
        let image = format!("{}/{NAME}:out", registry.host());
        let verify = Command::new(env!("CARGO_BIN_EXE_recompress-image"))
            .args(["verify", &image])
            .env("NO_PROXY", "*")
            .output()
            .unwrap();
        assert!(verify.status.success(), "{case}: {}", String::from_utf8_lossy(&verify.stdout));
    } else {
        assert!(run.results.is_empty(), "{case}: {:?}", run.results);
    }
    run
}

/// Our own dual index of an index for two platforms.
fn ours(registry: &Registry) -> (Digest, Json) {
    let source = push_index(registry, NAME, "in", &["amd64", "arm64"]);
    let made = run(registry, &source, DUAL);
    assert_eq!(made.code, 0, "{}", made.log);
    let Value::String(digest) = &made.results["IMAGE_DIGEST"] else { panic!("no text") };
    let digest: Digest = digest.parse().unwrap();
    let index = document(registry, NAME, digest.as_str());
    (digest, index)
}

/// The entry at `place` of an index, with another manifest.
fn exchange(registry: &Registry, index: &Json, place: usize, manifest: &Json) -> Digest {
    let bytes = manifest.to_string();
    let mut index = index.clone();
    index["manifests"][place]["digest"] = json!(put(registry, manifest));
    index["manifests"][place]["size"] = bytes.len().into();
    put(registry, &index)
}

#[test]
fn somebody_elses_finished_index_is_not_signed() {
    let test = "somebody_elses_finished_index_is_not_signed";
    let Some(registry) = need(test, Registry::start()) else { return };
    let (_, index) = ours(&registry);
    // The same images, and nothing that says who has made them.
    let mut foreign = index.clone();
    foreign.as_object_mut().unwrap().remove("annotations");
    for (place, child) in children(&index).iter().enumerate().skip(2) {
        let mut manifest = document(&registry, NAME, child.as_str());
        manifest.as_object_mut().unwrap().remove("annotations");
        foreign["manifests"][place]["size"] = manifest.to_string().len().into();
        foreign["manifests"][place]["digest"] = json!(put(&registry, &manifest));
    }
    let plain = put(&registry, &foreign);
    // The same, with a claim that it is ours.
    foreign["annotations"] = json!({SOURCE: Digest::sha256_of(b"something")});
    let forged = put(&registry, &foreign);
    for (case, source) in [("plain", &plain), ("forged", &forged)] {
        for arguments in [
            DUAL,
            ADD,
            &["--add", "--compression-format=dual"],
            &["--add", "--platform=linux/arm64"],
            &["--platform=linux/amd64"],
            &["--all-platforms"],
            &["--all-platforms", "--compression-format=gzip"],
        ] {
            let run = not_signed(&registry, source, arguments, &format!("{case} {arguments:?}"));
            assert_eq!(run.code, 0, "{case} {arguments:?}: {}", run.log);
        }
    }
}

#[test]
fn our_own_result_is_signed_again_after_all_of_it_was_proven() {
    let test = "our_own_result_is_signed_again_after_all_of_it_was_proven";
    let Some(registry) = need(test, Registry::start()) else { return };
    let (digest, index) = ours(&registry);
    for arguments in [DUAL, ADD, &["--compression-format=dual", "--add"]] {
        let before = registry.requests().len();
        let again = run(&registry, &digest, arguments);
        assert_eq!(again.code, 0, "{}", again.log);
        assert_eq!(signed(&again), std::slice::from_ref(&digest), "{arguments:?}");
        let log = registry.requests().split_off(before);
        for child in children(&index) {
            let manifest = document(&registry, NAME, child.as_str());
            let layer = manifest["layers"][0]["digest"].as_str().unwrap();
            let path = format!("/v2/{NAME}/blobs/{layer}");
            let read = log.iter().any(|r| r.method == "GET" && r.path.starts_with(&path));
            assert!(read, "{arguments:?}: {layer} was not read: {log:#?}");
        }
    }
    // A single image of it is made again, and comes out the same.
    for (platform, made) in [("amd64", 2), ("arm64", 3)] {
        let again = run(&registry, &digest, &[&format!("--platform=linux/{platform}")]);
        assert_eq!(again.code, 0, "{}", again.log);
        assert_eq!(signed(&again), [children(&index)[made].clone()]);
    }
}

#[test]
fn our_own_result_that_was_tampered_with_is_not_signed() {
    let test = "our_own_result_that_was_tampered_with_is_not_signed";
    let Some(registry) = need(test, Registry::start()) else { return };
    let (_, index) = ours(&registry);
    let child = |place: usize| {
        document(&registry, NAME, index["manifests"][place]["digest"].as_str().unwrap())
    };
    // The variant of another image, with its own config; and only its layer.
    let evil = push(&registry, NAME, "evil", "amd64");
    let made = run(&registry, &evil, &[]);
    let Value::String(evil) = &made.results["IMAGE_DIGEST"] else { panic!("no text") };
    let evil = document(&registry, NAME, evil);
    let mut claiming = evil.clone();
    claiming["annotations"] = child(2)["annotations"].clone();
    let mut other_layer = child(2);
    other_layer["layers"] = evil["layers"].clone();
    // Another child than the one that the run is about.
    let mut of_arm64 = child(3);
    of_arm64["layers"] = evil["layers"].clone();
    // A gzip image of which the layer is another one.
    let mut gzip = child(0);
    gzip["layers"] = child(1)["layers"].clone();
    for (case, place, manifest) in [
        ("another image", 2, evil.clone()),
        ("another image that claims to be ours", 2, claiming),
        ("another layer", 2, other_layer),
        ("another layer of another platform", 3, of_arm64),
        ("another gzip layer", 0, gzip),
        ("a bad TOC with right annotations", 2, with_bad_toc(&registry, &child(2))),
    ] {
        let tampered = exchange(&registry, &index, place, &manifest);
        for arguments in [
            DUAL,
            ADD,
            &["--add", "--platform=linux/amd64"],
            &["--compression-format=dual", "--platform=linux/amd64"],
            &["--platform=linux/amd64"],
        ] {
            let run = run(&registry, &tampered, arguments);
            let signed = signed(&run);
            let case = format!("{case} {arguments:?}");
            assert!(!signed.contains(&tampered), "{case}: {:?}", run.results);
            let exchanged = Digest::sha256_of(manifest.to_string().as_bytes());
            assert!(!signed.contains(&exchanged), "{case}: {:?}", run.results);
            assert!(run.code == 0 || run.results.is_empty(), "{case}: {:?}", run.results);
        }
    }
}

/// A variant whose TOC names another file than its tar, with annotations and a footer that fit it.
fn with_bad_toc(registry: &Registry, manifest: &Json) -> Json {
    let mut manifest = manifest.clone();
    let layer = &mut manifest["layers"][0];
    let blob = registry.blob(NAME, layer["digest"].as_str().unwrap());
    let payload: [u8; FOOTER_LEN] = blob[blob.len() - FOOTER_LEN..].try_into().unwrap();
    let footer = Footer::from_bytes(&payload).unwrap();
    let part = |at: Position| {
        let start = usize::try_from(at.offset).unwrap();
        &blob[start..start + usize::try_from(at.len).unwrap()]
    };
    let toc = zstd::decode_all(part(footer.toc)).unwrap();
    let bad = String::from_utf8(toc.clone()).unwrap().replace("dir/small", "dir/smell");
    assert_ne!(bad.as_bytes(), toc);
    let bad_toc = zstd::encode_all(bad.as_bytes(), 3).unwrap();
    let skippable = |out: &mut Vec<u8>, payload: &[u8]| {
        out.extend(0x184d_2a50_u32.to_le_bytes());
        out.extend(u32::try_from(payload.len()).unwrap().to_le_bytes());
        out.extend(payload);
        (out.len() - payload.len()) as u64
    };
    let mut new = blob[..usize::try_from(footer.toc.offset).unwrap() - 8].to_vec();
    let offset = skippable(&mut new, &bad_toc);
    let toc = Position { offset, len: bad_toc.len() as u64, raw_len: bad.len() as u64 };
    let offset = skippable(&mut new, part(footer.tar_split));
    let tar_split = Position { offset, ..footer.tar_split };
    skippable(&mut new, &Footer { toc, tar_split }.to_bytes());
    let digest = Digest::sha256_of(&new);
    layer["digest"] = json!(digest);
    layer["size"] = new.len().into();
    let annotations = &mut layer["annotations"];
    annotations[TOC] = json!(Digest::sha256_of(&bad_toc));
    annotations[TOC_POSITION] = format!("{}:{}:{}:1", toc.offset, toc.len, toc.raw_len).into();
    annotations[TAR_SPLIT] =
        format!("{}:{}:{}", tar_split.offset, tar_split.len, tar_split.raw_len).into();
    registry.put_blob(NAME, digest.as_str(), new);
    manifest
}

/// Whatever format a single image has already, the result is not the source.
#[test]
fn a_single_image_is_never_its_own_result() {
    let test = "a_single_image_is_never_its_own_result";
    let Some(registry) = need(test, Registry::start()) else { return };
    let mut source = push(&registry, NAME, "in", "amd64");
    for format in ["gzip", "gzip", "zstd", "zstd", "zstd:chunked", "zstd:chunked", "dual", "dual"] {
        let option = format!("--compression-format={format}");
        let made = not_signed(&registry, &source, &[&option], format);
        assert_eq!(made.code, 0, "{}", made.log);
        let Value::String(digest) = &made.results["IMAGE_DIGEST"] else { panic!("no text") };
        source = digest.parse().unwrap();
    }
    assert_eq!(document(&registry, NAME, source.as_str())["mediaType"], media_type::OCI_INDEX);
}
