//! Layers of other images are taken over instead of being converted.

mod attacks;
mod notes;
mod plain;
mod platforms;
mod same;

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use bytes::Bytes;
use recompress_image::{
    image::{
        Digest,
        digest::Algorithm,
        media_type::{OCI_CONFIG, OCI_INDEX, OCI_LAYER_GZIP, OCI_LAYER_ZSTD, OCI_MANIFEST},
    },
    store::{Intent, RawManifest, Selector, Store},
};
use serde_json::{Value, json};

use super::{
    open,
    peer::Peer,
    quick,
    sample::{Sample, convert, descriptor, ends, gzip, is_right, put, run, tar},
};

const BASE_NAME: &str = "org.opencontainers.image.base.name";

/// Tars of a base with two layers, and of what an application adds.
struct Family {
    base: Vec<Vec<u8>>,
    top: Vec<u8>,
}

impl Family {
    fn new(seed: u64) -> Self {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut next = || tar(60_000, &mut random);
        Self { base: vec![next(), next()], top: next() }
    }

    fn base(&self) -> Sample {
        of(&self.base.iter().collect::<Vec<_>>(), &json!({}))
    }

    fn app(&self, annotations: &Value) -> Sample {
        of(&self.base.iter().chain([&self.top]).collect::<Vec<_>>(), annotations)
    }

    fn gzip_layers(&self) -> Vec<String> {
        self.base.iter().map(|tar| Digest::sha256_of(&gzip(tar)).to_string()).collect()
    }
}

fn of(tars: &[&Vec<u8>], annotations: &Value) -> Sample {
    let blobs: Vec<_> = tars.iter().map(|tar| gzip(tar)).collect();
    let layers: Vec<_> = blobs.iter().map(|blob| descriptor(OCI_LAYER_GZIP, blob)).collect();
    let diff_ids: Vec<_> = tars.iter().map(|tar| Digest::sha256_of(tar)).collect();
    let mut sample = Sample::of(blobs, &layers, &diff_ids);
    let mut manifest: Value = serde_json::from_slice(&sample.manifest.bytes).unwrap();
    manifest["annotations"] = annotations.clone();
    sample.manifest = RawManifest::new(manifest.to_string(), OCI_MANIFEST);
    sample
}

/// Pushes an image of one layer for an architecture; returns its entry in an index.
pub(crate) async fn image_of(store: &Store, architecture: &str, seed: u64) -> Value {
    let content = tar(900, &mut fastrand::Rng::with_seed(seed));
    let mut entry = same::image(store, architecture, &[(&gzip(&content), &content)]).await;
    entry["platform"] = json!({ "os": "linux", "architecture": architecture });
    entry
}

async fn report(mut command: Command) -> Value {
    command.args(["--output=json", "--probe=false"]);
    let output = run(command).await;
    ends(&output, 0, &[]);
    serde_json::from_slice(&output.stdout).unwrap()
}

fn reference(report: &Value) -> String {
    report["image"]["ref"].as_str().unwrap().to_owned()
}

/// For each layer how it was proven, or nothing if it was converted.
fn proofs(report: &Value) -> Vec<&str> {
    let layers = report["layers"].as_array().unwrap().iter();
    layers.map(|layer| layer["reuse"]["proof"].as_str().unwrap_or_default()).collect()
}

/// The base was converted before, in another repository of the registry: its layers are checked and
/// mounted, and its gzip blobs are not downloaded. By digest, only their documents are requested.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn layers_of_a_base_are_mounted() {
    let (peer, family) = (Peer::start(), Family::new(51));
    let base = format!("{}/org/base:1", peer.host());
    let base = family.base().push(&base, &quick()).await;
    let converted = report(convert(&base, &format!("{}/org/base:z", peer.host()))).await;
    let (by_tag, by_digest) = (format!("{}/org/base:z", peer.host()), reference(&converted));
    let source = format!("{}/org/app:1", peer.host());
    let source = family.app(&json!({})).push(&source, &quick()).await;
    for (number, (from, trust, proof, downloads)) in [
        (&by_tag, "verify", "verified", 2),
        (&by_digest, "verify", "verified", 2),
        (&by_tag, "digest", "verified", 2),
        (&by_digest, "digest", "digest", 0),
    ]
    .into_iter()
    .enumerate()
    {
        let to = format!("{}/new{number}/app:z", peer.host());
        let before = peer.requests().len();
        let mut command = convert(&source, &to);
        command.args(["--reuse-from", from, "--reuse-trust", trust]);
        let report = report(command).await;
        assert_eq!(proofs(&report), [proof, proof, ""], "{number}");
        assert_eq!(report["layers"][0]["reuse"]["mounted"], true, "{report:#}");
        assert_eq!(report["layers"][0]["reuse"]["from"], **from, "{number}");
        let asked = peer.requests().split_off(before);
        let gets = |repository: &str, layer: &str, status: &str| {
            let line = format!("GET /v2/{repository}/blobs/{layer} {status}");
            asked.iter().filter(|request| **request == line).count()
        };
        for layer in family.gzip_layers() {
            assert_eq!(gets("org/app", &layer, "200"), 0, "{number}: {asked:?}");
        }
        let new = [0, 1].map(|layer| report["layers"][layer]["digest"].as_str().unwrap());
        let whole: usize = new.iter().map(|layer| gets("org/base", layer, "200")).sum();
        let parts: usize = new.iter().map(|layer| gets("org/base", layer, "206")).sum();
        assert_eq!((whole, parts), (downloads, 2), "{number}: {asked:?}");
        is_right(&to, &source, &[]).await;
    }
}

/// A base in another registry, or in a layout: its layers are copied.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn layers_of_another_registry_are_copied() {
    let (peer, other, family) = (Peer::start(), Peer::start(), Family::new(52));
    let dir = tempfile::tempdir().unwrap();
    let base = family.base().push(&format!("{}/org/base:1", other.host()), &quick()).await;
    let there = report(convert(&base, &format!("{}/org/base:z", other.host()))).await;
    let layout = format!("oci:{}:z", dir.path().join("base").display());
    report(convert(&base, &layout)).await;
    let source = family.app(&json!({})).push(&format!("{}/a:1", peer.host()), &quick()).await;
    let there = reference(&there);
    for (number, (from, trust, proof)) in [
        (there.as_str(), "verify", "verified"),
        (&there, "digest", "digest"),
        (&layout, "digest", "verified"),
    ]
    .into_iter()
    .enumerate()
    {
        let to = format!("{}/new{number}/app:z", peer.host());
        let mut command = convert(&source, &to);
        command.args(["--reuse-from", from, "--reuse-trust", trust]);
        let report = report(command).await;
        assert_eq!(proofs(&report), [proof, proof, ""], "{from}");
        assert_eq!(report["layers"][0]["reuse"]["mounted"], false, "{report:#}");
        is_right(&to, &source, &[]).await;
    }
}

/// `base` stands for what the annotations of the source name: by digest if that has zstd layers, or
/// by tag.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_base_that_the_source_names() {
    let (peer, family) = (Peer::start(), Family::new(53));
    let name = format!("{}/org/base:1", peer.host());
    let base = family.base().push(&name, &quick()).await;
    let mut dual = convert(&base, &name);
    dual.arg("--compression-format=dual");
    report(dual).await;
    let (_, digest) = base.split_once('@').unwrap();
    let annotations = json!({ BASE_NAME: name, "org.opencontainers.image.base.digest": digest });
    let source =
        family.app(&annotations).push(&format!("{}/org/app:1", peer.host()), &quick()).await;
    let to = format!("{}/org/app:z", peer.host());
    let mut command = convert(&source, &to);
    command.args(["--reuse-from=base"]);
    let found = report(command).await;
    assert_eq!(proofs(&found), ["verified", "verified", ""]);
    is_right(&to, &source, &[]).await;

    // A digest that only the source names is not trusted.
    let made = report(convert(&base, &format!("{}/org/base:y", peer.host()))).await;
    let digest = made["image"]["digest"].as_str().unwrap();
    let annotations = json!({ BASE_NAME: format!("{}/org/base:y", peer.host()),
        "org.opencontainers.image.base.digest": digest });
    let source =
        family.app(&annotations).push(&format!("{}/org/app:3", peer.host()), &quick()).await;
    let mut command = convert(&source, &format!("{}/org/app:x", peer.host()));
    command.args(["--reuse-from=base", "--reuse-trust=digest"]);
    assert_eq!(proofs(&report(command).await), ["verified", "verified", ""]);

    // The image is not trusted to send us to a host like this.
    let elsewhere = Peer::start();
    let annotations = json!({ BASE_NAME: format!("{}/org/base:1", elsewhere.host()) });
    let source =
        family.app(&annotations).push(&format!("{}/org/app:2", peer.host()), &quick()).await;
    let mut command = convert(&source, &format!("{}/org/app:y", peer.host()));
    command.args(["--reuse-from=base", "--output=json", "--probe=false"]);
    let output = run(command).await;
    let text = ends(&output, 0, &["is not looked at, because the source names it"]);
    assert!(!text.contains("names no base image"), "{text}");
    assert_eq!(proofs(&serde_json::from_slice(&output.stdout).unwrap()), ["", "", ""]);
    assert_eq!(elsewhere.requests().len(), 0);
}

/// The tag of the destination names an image of an earlier build: what has not changed is reused
/// without being asked for, if it was made in the same way. `none` turns that off.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_earlier_build_is_reused() {
    let (peer, family) = (Peer::start(), Family::new(54));
    let old = family.base().push(&format!("{}/org/app:1", peer.host()), &quick()).await;
    let new = family.app(&json!({})).push(&format!("{}/org/app:2", peer.host()), &quick()).await;
    let to = format!("{}/org/app:z", peer.host());
    for (options, expected) in [
        (&[][..], ["verified", "verified", ""]),
        (&["--reuse-from=none"], ["", "", ""]),
        (&["--compression-level=3"], ["", "", ""]),
        (&["--compression-format=zstd"], ["", "", ""]),
    ] {
        report(convert(&old, &to)).await;
        let mut command = convert(&new, &to);
        command.args(options);
        assert_eq!(proofs(&report(command).await), expected, "{options:?}");
        is_right(&to, &new, &[]).await;
    }
}

/// Layers that were made at another level are taken over unless that is refused; a second run with
/// the same arguments has the same result.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn recipes_and_second_runs() {
    let (peer, family) = (Peer::start(), Family::new(55));
    let base = family.base().push(&format!("{}/org/base:1", peer.host()), &quick()).await;
    let from = format!("{}/org/base:z", peer.host());
    let mut command = convert(&base, &from);
    command.arg("--compression-level=1");
    report(command).await;
    let source = family.app(&json!({})).push(&format!("{}/org/app:1", peer.host()), &quick()).await;
    let convert = |to: &str, recipe: &str| {
        let mut command = convert(&source, &format!("{}/org/{to}:z", peer.host()));
        command.args(["--reuse-from", &from, "--reuse-recipe", recipe]);
        command
    };
    let same = report(convert("same", "same")).await;
    assert_eq!(proofs(&same), ["", "", ""]);
    let first = report(convert("any", "any")).await;
    assert_eq!(proofs(&first), ["verified", "verified", ""]);
    let second = report(convert("any", "any")).await;
    assert_eq!(proofs(&second), ["verified"; 3]);
    assert_eq!(reference(&first), reference(&second));
    assert_ne!(first["image"]["digest"], same["image"]["digest"]);
    // Made of that alone, everything is of one recipe again.
    let (mixed, to) = (reference(&first), format!("{}/org/again:z", peer.host()));
    let mut command = super::sample::convert(&mixed, &to);
    command.arg("--reuse-from=none");
    report(command).await;
    let store = open(&to, Intent::Pull, &quick()).await.unwrap();
    let again = store.manifest(&Selector::Tag("z".to_owned())).await.unwrap();
    let again: Value = serde_json::from_slice(&again.bytes).unwrap();
    assert_eq!(again["annotations"]["io.github.recompress-image.mixed"], "false");
    // What is mixed is not of one recipe.
    let mut command = convert("other", "same");
    command.args(["--reuse-from", &reference(&first)]);
    assert_eq!(proofs(&report(command).await), ["", "", ""]);
}

/// A layer under the destination's tag that is of no use, because it was made in another way, does
/// not hide the same layer of an image that the user names.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_layer_of_no_use_hides_no_other() {
    let (peer, family) = (Peer::start(), Family::new(59));
    let base = family.base().push(&format!("{}/org/base:1", peer.host()), &quick()).await;
    let (from, to) = (format!("{}/org/base:z", peer.host()), format!("{}/org/app:z", peer.host()));
    report(convert(&base, &from)).await;
    report(convert(&base, &to)).await;
    let source = family.app(&json!({})).push(&format!("{}/org/app:1", peer.host()), &quick()).await;
    let mut command = convert(&source, &to);
    command.args(["--reuse-from", &from, "--compression-level=1"]);
    let report = report(command).await;
    assert_eq!(proofs(&report), ["verified", "verified", ""]);
    assert_eq!(report["layers"][0]["reuse"]["from"], from);
    is_right(&to, &source, &[]).await;
}

/// Layers that are right, and that this program would not write: with a SHA-512 digest, which
/// registries may refuse, and much longer than their content.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn layers_unlike_ours() {
    let (peer, family) = (Peer::start(), Family::new(60));
    let layout = Layout::new(&peer.file("candidate"));
    let plain: Vec<_> =
        family.base.iter().map(|tar| zstd::encode_all(&tar[..], 1).unwrap()).collect();
    let mut padded = plain[0].clone();
    padded.extend([0x50, 0x2a, 0x4d, 0x18]);
    padded.extend((6_u32 << 20).to_le_bytes());
    padded.resize(padded.len() + (6 << 20), 0);
    let sha512 = |blob: &[u8]| {
        let mut hasher = Algorithm::Sha512.hasher();
        hasher.update(blob);
        hasher.finish()
    };
    let diff_ids: Vec<_> = family.base.iter().map(|tar| Digest::sha256_of(tar)).collect();
    for (name, first, digest, expected) in [
        ("right", &plain[0], Digest::sha256_of(&plain[0]), "verified"),
        ("sha512", &plain[0], sha512(&plain[0]), ""),
        ("padded", &padded, Digest::sha256_of(&padded), ""),
    ] {
        let mut layer = descriptor(OCI_LAYER_ZSTD, first);
        layer["digest"] = json!(digest);
        let layers = [layer, descriptor(OCI_LAYER_ZSTD, &plain[1])];
        let sample = Sample::of(vec![plain[1].clone()], &layers, &diff_ids);
        let from = sample.push(&format!("{}:{name}", layout.reference), &quick()).await;
        layout.put(&digest, first);
        let source = format!("{}/{name}:1", peer.host());
        let source = family.app(&json!({})).push(&source, &quick()).await;
        let to = format!("{}/{name}:z", peer.host());
        let mut command = convert(&source, &to);
        command.args(["--reuse-from", &from, "--compression-format=zstd"]);
        assert_eq!(proofs(&report(command).await), [expected, "verified", ""], "{name}");
        is_right(&to, &source, &[]).await;
    }
}

struct Layout {
    dir: PathBuf,
    reference: String,
}

impl Layout {
    fn new(dir: &Path) -> Self {
        Self { dir: dir.to_owned(), reference: format!("oci:{}", dir.display()) }
    }

    fn put(&self, digest: &Digest, blob: &[u8]) {
        let (algorithm, hex) = digest.as_str().split_once(':').unwrap();
        let dir = self.dir.join("blobs").join(algorithm);
        std::fs::create_dir_all(&dir).unwrap();
        std::fs::write(dir.join(hex), blob).unwrap();
    }
}

/// Candidates that lie about their layers, or lost them: the layers concerned are converted, the
/// result is right, and the candidate is named.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[expect(clippy::too_many_lines, reason = "the lies are a table")]
async fn candidates_that_lie() {
    let (peer, family) = (Peer::start(), Family::new(56));
    let options = quick();
    let base = family.base().push(&format!("{}/org/base:1", peer.host()), &options).await;
    report(convert(&base, &format!("{}/org/base:z", peer.host()))).await;
    let store = open(&format!("{}/org/base", peer.host()), Intent::Push, &options).await.unwrap();
    let honest = store.manifest(&Selector::Tag("z".to_owned())).await.unwrap();
    let honest: Value = serde_json::from_slice(&honest.bytes).unwrap();
    let layer = |number: usize| {
        let digest: Digest = honest["layers"][number]["digest"].as_str().unwrap().parse().unwrap();
        let size = honest["layers"][number]["size"].as_u64().unwrap();
        let store = &store;
        async move { store.bytes(&digest, size, size).await.unwrap() }
    };
    let (first, second) = (layer(0).await, layer(1).await);
    let annotations = |number: usize| honest["layers"][number]["annotations"].clone();
    let described = |blob: &[u8], annotations: Value| {
        let mut descriptor = descriptor(OCI_LAYER_ZSTD, blob);
        descriptor["annotations"] = annotations;
        descriptor
    };
    let diff_ids: Vec<_> = family.base.iter().map(|tar| Digest::sha256_of(tar)).collect();
    let config = |diff_ids: &[&Digest]| {
        json!({ "architecture": "amd64", "os": "linux",
            "rootfs": { "type": "layers", "diff_ids": diff_ids } })
    };
    let right = config(&[&diff_ids[0], &diff_ids[1]]);
    let (one, two) = (described(&first, annotations(0)), described(&second, annotations(1)));
    // In the data, in the TOC, and at the end of the blob.
    let flipped = |at: usize| {
        let mut blob = first.to_vec();
        blob[at] ^= 1;
        blob
    };
    let text = annotations(0)["io.github.containers.zstd-chunked.manifest-position"].clone();
    let toc: usize = text.as_str().unwrap().split(':').next().unwrap().parse().unwrap();
    let (data, in_toc) = (flipped(2000), flipped(toc + 20));
    let (short, lost) = (first[..first.len() - 100].to_vec(), flipped(2001));
    let mut claims_more = one.clone();
    claims_more["size"] = json!(first.len() + 1);
    let by_content = ["", "verified", ""];
    // Where only the documents are looked at, wrong data is not found: clients will.
    let (nothing, unseen) = (["", "", ""], ["digest", "digest", ""]);
    for (number, (name, config, layers, blobs, verified, trusted)) in [
        ("honest", &right, vec![&one, &two], vec![], ["verified", "verified", ""], unseen),
        (
            "wrong bytes",
            &right,
            vec![&described(&data, annotations(0)), &two],
            vec![&data],
            by_content,
            unseen,
        ),
        (
            "wrong TOC",
            &right,
            vec![&described(&in_toc, annotations(0)), &two],
            vec![&in_toc],
            by_content,
            ["", "digest", ""],
        ),
        (
            "annotations of another blob",
            &right,
            vec![&described(&first, annotations(1)), &two],
            vec![],
            by_content,
            ["", "digest", ""],
        ),
        ("layers in another order", &right, vec![&two, &one], vec![], nothing, unseen),
        (
            "diffIDs in another order",
            &config(&[&diff_ids[1], &diff_ids[0]]),
            vec![&one, &two],
            vec![],
            nothing,
            unseen,
        ),
        (
            "more diffIDs",
            &config(&[&diff_ids[0], &diff_ids[1], &diff_ids[0]]),
            vec![&one, &two],
            vec![],
            nothing,
            nothing,
        ),
        (
            "cut off",
            &right,
            vec![&described(&short, annotations(0)), &two],
            vec![&short],
            by_content,
            ["", "digest", ""],
        ),
        ("another size", &right, vec![&claims_more, &two], vec![], by_content, ["", "digest", ""]),
        (
            "gone",
            &right,
            vec![&described(&lost, annotations(0)), &two],
            vec![],
            by_content,
            ["", "digest", ""],
        ),
    ]
    .into_iter()
    .enumerate()
    {
        for blob in blobs {
            put(&store, Bytes::from(blob.clone())).await;
        }
        let config = config.to_string().into_bytes();
        put(&store, Bytes::from(config.clone())).await;
        let manifest = json!({ "schemaVersion": 2, "mediaType": OCI_MANIFEST,
            "config": descriptor(OCI_CONFIG, &config), "layers": layers });
        let manifest = RawManifest::new(manifest.to_string(), OCI_MANIFEST);
        if name == "gone" {
            put(&store, Bytes::from(lost.clone())).await;
        }
        store.put_manifest(&manifest, Some("evil")).await.unwrap();
        if name == "gone" {
            std::fs::remove_file(peer.blob_file(&Digest::sha256_of(&lost))).unwrap();
        }
        let from = format!("{}/org/base@{}", peer.host(), manifest.digest);
        for (trust, expected) in [("verify", verified), ("digest", trusted)] {
            let source = format!("{}/org/app{number}:1", peer.host());
            let source = family.app(&json!({})).push(&source, &options).await;
            let to = format!("{}/org/app{number}:{trust}", peer.host());
            let mut command = convert(&source, &to);
            command.args(["--reuse-from", &from, "--reuse-trust", trust]);
            let report = report(command).await;
            assert_eq!(proofs(&report), expected, "{name}, {trust}: {report:#}");
            if trust == "verify" {
                is_right(&to, &source, &[]).await;
            }
        }
    }
}

/// An index as a candidate: entries that are not there, no images, or indexes are passed over.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_index_with_odd_entries() {
    let (peer, family) = (Peer::start(), Family::new(58));
    let base = family.base().push(&format!("{}/org/base:1", peer.host()), &quick()).await;
    let made = report(convert(&base, &format!("{}/org/base:z", peer.host()))).await;
    let dir = peer.file("layout");
    let layout = format!("oci:{}:z", dir.display());
    report(convert(&base, &layout)).await;
    let store = open(&layout, Intent::Push, &quick()).await.unwrap();
    let honest = store.manifest(&Selector::Tag("z".to_owned())).await.unwrap();
    assert_eq!(made["image"]["digest"], honest.digest.as_str());
    let entry = |digest: &str, size: u64, media_type: &str| {
        json!({ "mediaType": media_type, "digest": digest, "size": size,
            "annotations": { "io.github.containers.compression.zstd": "true" } })
    };
    let missing = Digest::sha256_of(b"missing");
    let mut no_config: Value = serde_json::from_slice(&honest.bytes).unwrap();
    no_config["config"] = json!({ "mediaType": OCI_CONFIG, "digest": missing, "size": 10 });
    let no_config = RawManifest::new(no_config.to_string(), OCI_MANIFEST);
    store.put_manifest(&no_config, None).await.unwrap();
    let index = json!({ "schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [
        entry(missing.as_str(), 10, OCI_MANIFEST),
        entry(missing.as_str(), 10, OCI_INDEX),
        entry(missing.as_str(), 10, "application/octet-stream"),
        entry(no_config.digest.as_str(), no_config.bytes.len() as u64, OCI_MANIFEST),
        entry(honest.digest.as_str(), honest.bytes.len() as u64, OCI_MANIFEST),
    ] });
    let index = RawManifest::new(index.to_string(), OCI_INDEX);
    store.put_manifest(&index, Some("odd")).await.unwrap();
    let source = family.app(&json!({})).push(&format!("{}/org/app:1", peer.host()), &quick()).await;
    let to = format!("{}/org/app:z", peer.host());
    let mut command = convert(&source, &to);
    command.args(["--reuse-from", &format!("oci:{}:odd", dir.display())]);
    assert_eq!(proofs(&report(command).await), ["verified", "verified", ""]);
    is_right(&to, &source, &[]).await;
}

/// Candidates that cannot be had: a warning names them, and everything is converted. Arguments that
/// make no sense are refused.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn candidates_that_are_not_there() {
    let (peer, family) = (Peer::start(), Family::new(57));
    let source = family.base().push(&format!("{}/org/app:1", peer.host()), &quick()).await;
    let to = format!("{}/org/app:z", peer.host());
    for from in [format!("{}/org/none:1", peer.host()), "oci:/nonexistent:1".to_owned()] {
        let mut command = convert(&source, &to);
        command.args(["--reuse-from", &from, "--probe=false"]);
        ends(&run(command).await, 0, &[&format!("cannot reuse layers of {from}: ")]);
    }
    for (from, words) in [
        ("none,base", "--reuse-from=none cannot be combined"),
        ("quay.io/org/app", "neither a tag nor a digest"),
    ] {
        let mut command = convert(&source, &to);
        command.args(["--reuse-from", from]);
        ends(&run(command).await, 2, &[words]);
    }
}
