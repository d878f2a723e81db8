//! `diff` as a user runs it, on layouts and on a registry that serves no parts of blobs.

use std::{
    fs,
    path::{Path, PathBuf},
};

use recompress_image::image::media_type;
use serde_json::{Value, json};
use test_support::{
    archive::{Dialect, TarBuilder},
    layout::text,
    program,
    scripted::{Scripted, answer},
    work_dir,
};

use super::{
    command::{gzip, image, json_of, layout, outcome, put},
    specimen::{Specimen, TAR_SPLIT_POSITION, TOC_DIGEST, noise, tar},
};

/// A tar of files with these names and seeds for their content.
fn files(files: &[(&str, u32)]) -> Vec<u8> {
    let tar = files.iter().fold(TarBuilder::new(), |tar, (name, seed)| {
        tar.file(Dialect::Gnu, name.as_bytes(), &noise(10_000, *seed))
    });
    tar.end().finish()
}

fn index(dir: &Path, tag: &str, entries: &[(&Value, &str)]) -> String {
    let entries: Vec<_> = entries
        .iter()
        .map(|(descriptor, architecture)| {
            let mut entry = (*descriptor).clone();
            entry["platform"] = json!({"os": "linux", "architecture": architecture});
            entry
        })
        .collect();
    let index =
        json!({"schemaVersion": 2, "mediaType": media_type::OCI_INDEX, "manifests": entries})
            .to_string();
    let digest = put(dir, index.as_bytes());
    let descriptor =
        json!({"mediaType": media_type::OCI_INDEX, "size": index.len(), "digest": digest});
    layout(dir, tag, descriptor)
}

#[test]
fn files_are_the_same_changed_or_new() {
    let dirs = [work_dir(), work_dir()];
    let [old, new] = [0, 1].map(|n| dirs[n].path());
    let before = Specimen::converted(&files(&[("a", 1), ("b", 2), ("c", 3)]), true);
    let after = files(&[("a", 1), ("b", 22), ("moved", 3), ("new\u{1b}[2J", 4)]);
    let after = Specimen::converted(&after, true);
    let old = layout(old, "t", image(old, &[&before], "amd64"));
    let new = layout(new, "t", image(new, &[&after], "amd64"));

    let report = json_of(&["diff", &old, &new]);
    let image = &report["images"][0];
    let count = |state: &str| image["files"][state]["files"].as_u64().unwrap();
    assert_eq!([count("same"), count("changed"), count("new")], [2, 1, 1]);
    let fetched = &image["clients"]["files"];
    let range = |name: &str| fetched[name].as_u64().unwrap();
    assert!((20_000..21_500).contains(&range("ranges")), "{fetched}");
    assert_eq!(
        range("total"),
        range("ranges") + range("whole_layers") + range("metadata") + range("documents")
    );
    assert_eq!(image["clients"]["gzip"], Value::Null);
    let root = &image["directories"][0];
    assert_eq!((&root["path"], &root["files"]), (&json!(""), &image["files"]));

    let (code, text) = outcome(&["diff", &old, &new]);
    assert_eq!(code, 0);
    assert!(text.contains(r"new\u{1b}[2J") && !text.contains('\u{1b}'), "{text}");
    assert!(text.contains("the sizes of NEW as gzip are unknown"), "{text}");

    // The client has it all.
    let report = json_of(&["diff", &new, &new]);
    let clients = &report["images"][0]["clients"];
    assert_eq!(clients["files"]["total"], clients["files"]["documents"]);
    assert_eq!(report["images"][0]["layers"][0]["state"], "same");
}

#[test]
fn gzip_layers_are_fetched_whole_and_their_files_not_found() {
    let dirs = [work_dir(), work_dir()];
    let [a, b] = [0, 1].map(|n| dirs[n].path());
    let (tar, more) = (tar(), files(&[("x", 9)]));
    let (plain, chunked) = (gzip(&tar), Specimen::converted(&tar, true));
    let old = layout(a, "t", image(a, &[&plain], "amd64"));
    let both = layout(b, "t", image(b, &[&chunked, &gzip(&more)], "amd64"));

    let report = json_of(&["diff", &old, &both]);
    let diff = &report["images"][0];
    assert_eq!(
        (&diff["old"]["layers_with_toc"], &diff["new"]["layers_with_toc"]),
        (&json!(0), &json!(1))
    );
    assert_eq!(diff["files"]["same"]["files"], 0);
    assert_eq!(diff["layers"][1]["state"], "whole");
    assert_eq!(diff["layers"][1]["fetched"], gzip(&more).blob.len());
    // That is said before the figures.
    assert!(!diff["notes"].to_string().contains("no TOC"), "{diff:#}");

    let (dir, layers) = (work_dir(), [&plain, &gzip(&more)]);
    let new = layout(dir.path(), "t", image(dir.path(), &layers, "amd64"));
    let clients = &json_of(&["diff", &old, &new])["images"][0]["clients"];
    assert_eq!(clients["gzip"]["origin"], "given");
    assert_eq!(clients["gzip"]["whole_layers"], gzip(&more).blob.len());
    assert_eq!(clients["gzip"]["total"], clients["files"]["total"]);
}

#[test]
fn indexes_are_compared_platform_by_platform() {
    let dirs = [work_dir(), work_dir()];
    let [a, b] = [0, 1].map(|n| dirs[n].path());
    let [before, after] = [files(&[("a", 1), ("b", 2)]), files(&[("a", 1), ("b", 3)])];
    let made = |dir: &Path, tar: &[u8], architecture: &str| {
        let chunked = image(dir, &[&Specimen::converted(tar, true)], architecture);
        (image(dir, &[&gzip(tar)], architecture), chunked)
    };
    let ((gz_old, old), (gz_new, new)) = (made(a, &before, "amd64"), made(b, &after, "amd64"));
    let (other, _) = made(b, &after, "arm64");
    let marked = |mut descriptor: Value| {
        descriptor["annotations"] = json!({"io.github.containers.compression.zstd": "true"});
        descriptor
    };
    let (old, new) = (marked(old), marked(new));
    let old = index(a, "t", &[(&gz_old, "amd64"), (&old, "amd64"), (&gz_old, "s390x")]);
    let new = index(b, "t", &[(&gz_new, "amd64"), (&new, "amd64"), (&other, "arm64")]);
    let report = json_of(&["diff", &old, &new]);
    let images = report["images"].as_array().unwrap();
    assert_eq!(images.len(), 1, "{report}");
    let skipped = report["skipped"].as_array().unwrap();
    let platforms: Vec<_> = skipped.iter().map(|skipped| &skipped["platform"]).collect();
    assert_eq!(platforms, ["linux/arm64", "linux/s390x"]);
    // podman takes the marked ones, and their gzip twins are in the indexes.
    let clients = &images[0]["clients"];
    assert_eq!(images[0]["files"]["same"]["files"], 1);
    assert_eq!(clients["gzip"]["origin"], "index");
    assert_eq!(clients["gzip"]["whole_layers"], gzip(&after).blob.len());
    let (code, text) = outcome(&["diff", &old, &new, "--platform=linux/amd64"]);
    assert_eq!(code, 0);
    assert!(text.contains("platform: linux/amd64") && text.contains("same index"), "{text}");
    assert_eq!(outcome(&["diff", &old, &new, "--platform=linux/s390x"]).0, 5);
    assert_eq!(outcome(&["diff", &old, &new, "--platform=linux/riscv64"]).0, 5);
}

#[test]
fn several_platforms_get_a_line_each() {
    let dirs = [work_dir(), work_dir()];
    let [a, b] = [0, 1].map(|n| dirs[n].path());
    let made = |dir: &Path, seed: u32, architecture: &str| {
        image(dir, &[&Specimen::converted(&files(&[("a", seed), ("b", 2)]), true)], architecture)
    };
    let both = |dir: &Path, seed| {
        let [one, two] = ["amd64", "arm64"].map(|architecture| made(dir, seed, architecture));
        index(dir, "t", &[(&one, "amd64"), (&two, "arm64")])
    };
    let (old, new) = (both(a, 1), both(b, 3));
    let report = json_of(&["diff", &old, &new]);
    let images = report["images"].as_array().unwrap();
    assert_eq!(images.len(), 2);
    assert!(images.iter().all(|image| image["largest"] == json!([])));
    assert!(images.iter().all(|image| image["files"]["changed"]["files"] == 1));
    let (_, text) = outcome(&["diff", &old, &new]);
    let lines = text.lines().filter(|line| line.trim_start().starts_with("linux/"));
    assert_eq!(lines.count(), 2, "{text}");
}

#[test]
fn what_podman_refuses_is_no_diff() {
    let before = Specimen::converted(&files(&[("a", 1)]), true);
    let after = Specimen::converted(&files(&[("a", 2)]), true);
    let with = |edit: &dyn Fn(&mut Specimen)| {
        let mut bad = after.clone();
        edit(&mut bad);
        bad
    };
    let no_digest = with(&|bad| {
        bad.annotations.insert(TOC_DIGEST.into(), "\u{1b}[2J".into());
    });
    let far = with(&|bad| bad.annotate(TAR_SPLIT_POSITION, |numbers| numbers[0] += 1 << 40));
    let swapped = with(&|bad| bad.annotate(TAR_SPLIT_POSITION, |numbers| numbers[1] -= 1));
    let truncated = with(&|bad| {
        let keep = bad.blob.len() / 3;
        bad.blob.truncate(keep);
        bad.blob.resize(after.blob.len(), 0);
    });
    for (bad, words) in [
        (no_digest, "expected a SHA-256 digest"),
        (far, "do not lead to a TOC"),
        (swapped, "the tar-split stream has the digest"),
        (truncated, "does not have the digest in its annotation"),
    ] {
        for bad_is_old in [false, true] {
            let dirs = [work_dir(), work_dir()];
            let [a, b] = [0, 1].map(|n| dirs[n].path());
            let (old, new) = if bad_is_old { (&bad, &before) } else { (&before, &bad) };
            let old = layout(a, "t", image(a, &[old], "amd64"));
            let new = layout(b, "t", image(b, &[new], "amd64"));
            let output = program().args(["diff", &old, &new]).output().unwrap();
            let said = text(&output);
            assert_eq!(output.status.code(), Some(4), "{said}");
            assert!(said.contains(words) && said.contains("layer 1 of "), "{words}: {said}");
            assert!(!said.contains('\u{1b}'), "{said}");
        }
    }
}

/// A registry that has the blobs of these directories, serves no parts of them, and damages some.
async fn without_ranges(dirs: Vec<PathBuf>, damaged: bool) -> Scripted {
    Scripted::start(move |request, _| {
        let path = request.line.split(' ').nth(1).unwrap();
        let name = path.rsplit('/').next().unwrap();
        let hex = name.trim_start_matches("sha256:");
        let blob = dirs.iter().find_map(|dir| fs::read(dir.join("blobs/sha256").join(hex)).ok());
        let media_type = format!("Content-Type: {}", media_type::OCI_MANIFEST);
        match blob {
            _ if path == "/v2/" => answer(200, &[], b""),
            Some(blob) if path.contains("/manifests/") => answer(200, &[&media_type], &blob),
            Some(mut blob) => {
                // In the data, so that the TOC is right all the same.
                if damaged && blob.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) {
                    blob[20] ^= 1;
                }
                answer(200, &[], &blob)
            }
            None => answer(404, &[], b""),
        }
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_registry_without_ranges() {
    let dirs = [work_dir(), work_dir()];
    let [a, b] = [0, 1].map(|n| dirs[n].path());
    let made = |dir: &Path, seed| {
        let layer = Specimen::converted(&files(&[("a", 1), ("b", seed)]), true);
        image(dir, &[&layer], "amd64")
    };
    let (old, new) = (made(a, 2), made(b, 3));
    let [old_digest, new_digest] = [&old, &new].map(|it| it["digest"].as_str().unwrap().to_owned());
    let (old, new) = (layout(a, "t", old), layout(b, "t", new));
    let expected = json_of(&["diff", &old, &new]);
    let paths = vec![a.to_owned(), b.to_owned()];
    for damaged in [false, true] {
        let server = without_ranges(paths.clone(), damaged).await;
        let [old, new] =
            [&old_digest, &new_digest].map(|digest| format!("{}@{digest}", server.image()));
        if damaged {
            let output = program().args(["diff", &old, &new]).output().unwrap();
            assert_eq!(output.status.code(), Some(4), "{}", text(&output));
            continue;
        }
        let found = json_of(&["diff", &old, &new]);
        assert_eq!(found["images"], expected["images"]);
        let inspected = json_of(&["inspect", &new]);
        assert_eq!(inspected["layers"][0]["files"], 2);
    }
}
