//! Reuse in indexes, of indexes, and what it does to results.

use std::{collections::BTreeMap, fs, path::Path};

use recompress_image::store::Intent;
use serde_json::{Value, json};

use super::{
    BASE_NAME, Family, report,
    same::{Layer, annotated_image, downloads, image, index},
};
use crate::{
    open,
    peer::Peer,
    quick,
    sample::{convert, ends, gzip, is_right, run},
};

/// For each image of an index that was made, how its layers were proven.
fn proofs(report: &Value) -> Vec<Vec<&str>> {
    let made = report["manifests"].as_array().unwrap().iter().filter(|entry| entry["made"] == true);
    made.map(|entry| {
        let layers = entry["layers"].as_array().unwrap().iter();
        layers.map(|layer| layer["reuse"]["proof"].as_str().unwrap_or_default()).collect()
    })
    .collect()
}

fn results(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let files = fs::read_dir(dir).unwrap().map(Result::unwrap);
    files
        .map(|file| (file.file_name().into_string().unwrap(), fs::read(file.path()).unwrap()))
        .collect()
}

/// Each platform has a base of its own, all in one index: each takes over the layers of its own, by
/// the index's name or by the one that the source gives. Reuse changes no result, and so nothing of
/// what Tekton Chains signs.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_platform_takes_over_its_own() {
    let (peer, family) = (Peer::start(), Family::new(91));
    let [one, two] = &family.base[..] else { panic!() };
    let [gzip_one, gzip_two, gzip_top] = [one, two, &family.top].map(|tar| gzip(tar));
    let (one, two): (Layer, Layer) = ((&gzip_one, one), (&gzip_two, two));
    let top: Layer = (&gzip_top, &family.top);
    let bases = format!("{}/org/base", peer.host());
    let store = open(&bases, Intent::Push, &quick()).await.unwrap();
    let entries = [image(&store, "amd64", &[one]).await, image(&store, "arm64", &[two]).await];
    let base = index(&store, &bases, &entries).await;
    let from = format!("{bases}:z");
    let mut command = convert(&base, &from);
    command.arg("--all-platforms");
    report(command).await;

    let apps = format!("{}/org/app", peer.host());
    let store = open(&apps, Intent::Push, &quick()).await.unwrap();
    let named = json!({ BASE_NAME: from });
    let amd = annotated_image(&store, "amd64", &[one, top], &named).await;
    let arm = annotated_image(&store, "arm64", &[two, top], &named).await;
    let source = index(&store, &apps, &[amd, arm]).await;
    let dir = tempfile::tempdir().unwrap();
    for (format, read) in [("zstd:chunked", 0), ("dual", 1)] {
        let mut before = None;
        let to = format!("{}/{}:z", peer.host(), &format[..4]);
        for (number, from) in ["none", &from, "base"].into_iter().enumerate() {
            let results_dir = dir.path().join(format!("{}{number}", &format[..4]));
            fs::create_dir(&results_dir).unwrap();
            let asked = peer.requests().len();
            let mut command = convert(&source, &to);
            command.args(["--all-platforms", "--compression-format", format]);
            command.args(["--reuse-from", from, "--results-dir", results_dir.to_str().unwrap()]);
            let report = report(command).await;
            let results = results(&results_dir);
            assert!(results.contains_key("IMAGE_DIGEST"), "{:?}", results.keys());
            if number == 0 {
                assert_eq!(proofs(&report), [["", ""]; 2], "{format}");
                before = Some(results);
                continue;
            }
            // The top is in the image that the tag names now.
            assert_eq!(proofs(&report), [["verified"; 2]; 2], "{format}, {from}");
            let asked = peer.requests().split_off(asked);
            // What stays in the index is always read.
            let found = [&gzip_one, &gzip_two].map(|blob| downloads(&asked, "org/app", blob));
            assert_eq!(found, [read; 2], "{format}, {from}: {asked:?}");
            assert_eq!(Some(results), before, "{format}, {from}");
        }
        is_right(&to, &source, &[]).await;
    }
}

/// An index that names a base of its own for each of ten platforms sends us to eight of them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn very_many_bases() {
    let (peer, family) = (Peer::start(), Family::new(92));
    let place = format!("{}/org/app", peer.host());
    let store = open(&place, Intent::Push, &quick()).await.unwrap();
    let mut entries = Vec::new();
    let architectures = [
        "amd64", "arm64", "386", "arm", "ppc64le", "s390x", "riscv64", "mips", "mips64", "loong64",
    ];
    let blob = gzip(&family.top);
    for (number, architecture) in architectures.into_iter().enumerate() {
        let named = json!({ BASE_NAME: format!("{}/org/base:{number}", peer.host()) });
        let layers: [Layer; 1] = [(&blob, &family.top)];
        entries.push(annotated_image(&store, architecture, &layers, &named).await);
    }
    let source = index(&store, &place, &entries).await;
    let mut command = convert(&source, &format!("{}/new:z", peer.host()));
    command.args(["--all-platforms", "--reuse-from=base", "--probe=false"]);
    ends(
        &run(command).await,
        0,
        &["the source names more than 8 base images", "org/base:8", "2 of them are not looked at"],
    );
    let asked = peer.requests();
    let asked_for = |number: usize| {
        asked.iter().any(|line| line.contains(&format!("org/base/manifests/{number} ")))
    };
    let found: Vec<_> = (0..10).filter(|number| asked_for(*number)).collect();
    assert_eq!(found, (0..8).collect::<Vec<_>>(), "{asked:?}");
}
