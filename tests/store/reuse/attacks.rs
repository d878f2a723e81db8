//! Layers that lie in ways that only reading all of them finds.

use bytes::Bytes;
use recompress_image::{
    image::{
        Digest,
        media_type::{OCI_CONFIG, OCI_LAYER_ZSTD, OCI_MANIFEST},
    },
    store::{Intent, RawManifest, Selector, Store},
};
use serde_json::{Value, json};
use test_support::scripted::{Request, Scripted, answer, cut};

use super::{Family, of, proofs, report};
use crate::{
    open,
    peer::Peer,
    quick,
    sample::{Sample, convert, descriptor, ends, is_right, put, run},
};

const TOC: &str = "io.github.containers.zstd-chunked.manifest-position";
const TAR_SPLIT: &str = "io.github.containers.zstd-chunked.tarsplit-position";

/// A converted layer.
struct Made {
    blob: Vec<u8>,
    annotations: Value,
}

impl Made {
    async fn read(store: &Store, number: usize) -> Self {
        let manifest = store.manifest(&Selector::Tag("z".to_owned())).await.unwrap();
        let manifest: Value = serde_json::from_slice(&manifest.bytes).unwrap();
        let layer = &manifest["layers"][number];
        let digest: Digest = layer["digest"].as_str().unwrap().parse().unwrap();
        let size = layer["size"].as_u64().unwrap();
        let blob = store.bytes(&digest, size, size).await.unwrap().to_vec();
        Self { blob, annotations: layer["annotations"].clone() }
    }

    /// Where TOC and tar-split are.
    fn position(&self, key: &str) -> Vec<u64> {
        let text = self.annotations[key].as_str().unwrap();
        text.split(':').map(|number| number.parse().unwrap()).collect()
    }

    /// Where the data ends.
    fn data_len(&self) -> usize {
        usize::try_from(self.position(TOC)[0].min(self.position(TAR_SPLIT)[0])).unwrap() - 8
    }

    fn described(&self) -> Value {
        let mut layer = descriptor(OCI_LAYER_ZSTD, &self.blob);
        layer["annotations"] = self.annotations.clone();
        layer
    }

    /// The data of another layer, and all that describes this one.
    fn with_data_of(&self, other: &Self) -> Self {
        let (from, to) = (self.data_len(), other.data_len());
        let mut blob = [&other.blob[..to], &self.blob[from..]].concat();
        let mut annotations = self.annotations.clone();
        let footer = blob.len() - 64;
        for (key, at) in [(TOC, footer), (TAR_SPLIT, footer + 32)] {
            let mut numbers = self.position(key);
            numbers[0] = numbers[0] + to as u64 - from as u64;
            blob[at..at + 8].copy_from_slice(&numbers[0].to_le_bytes());
            let numbers: Vec<_> = numbers.iter().map(u64::to_string).collect();
            annotations[key] = numbers.join(":").into();
        }
        Self { blob, annotations }
    }
}

/// Consistent in itself: data of one layer, and the TOC of another one. Only the content tells.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_toc_of_another_layer() {
    let (peer, family) = (Peer::start(), Family::new(101));
    let base = format!("{}/org/base", peer.host());
    let source = family.base().push(&format!("{base}:1"), &quick()).await;
    report(convert(&source, &format!("{base}:z"))).await;
    let store = open(&base, Intent::Push, &quick()).await.unwrap();
    let (one, two) = (Made::read(&store, 0).await, Made::read(&store, 1).await);
    let source = of(&[&family.base[0], &family.top], &json!({}));
    let source = source.push(&format!("{}/org/app:1", peer.host()), &quick()).await;
    let diff_id = Digest::sha256_of(&family.base[0]);
    for (number, (layer, expected)) in
        [(two.with_data_of(&one), ""), (one.with_data_of(&one), "verified")].into_iter().enumerate()
    {
        let sample = Sample::of(
            vec![layer.blob.clone()],
            &[layer.described()],
            std::slice::from_ref(&diff_id),
        );
        let from = sample.push(&format!("{base}:evil{number}"), &quick()).await;
        let to = format!("{}/new{number}:z", peer.host());
        let mut command = convert(&source, &to);
        command.args(["--reuse-from", &from]);
        assert_eq!(proofs(&report(command).await), [expected, ""]);
        is_right(&to, &source, &[]).await;
    }
}

/// How a registry serves a layer.
#[derive(Debug, Clone, Copy)]
enum Mood {
    Honest,
    /// It ignores ranges.
    NoRanges,
    /// A range has other bytes than the whole.
    TwoVersions,
    /// It changes once the TOC has been read.
    Replaced,
    CutOff,
    Endless,
}

fn serve(mood: Mood, blob: &[u8], request: &Request) -> Vec<u8> {
    let mut other = blob.to_vec();
    let range = request.header("range").strip_prefix("bytes=");
    let Some((from, to)) = range.and_then(|range| range.split_once('-')) else {
        return match mood {
            Mood::Honest | Mood::NoRanges | Mood::TwoVersions => answer(200, &[], blob),
            Mood::Replaced => {
                other[3000] ^= 1;
                answer(200, &[], &other)
            }
            Mood::CutOff => cut(200, &[], blob.len(), &blob[..blob.len() / 2]),
            Mood::Endless => answer(200, &[], &blob.repeat(50)),
        };
    };
    let (from, to): (usize, usize) = (from.parse().unwrap(), to.parse().unwrap());
    if matches!(mood, Mood::TwoVersions) {
        // Where the TOC is, and not in its header.
        other[from + 30] ^= 1;
    }
    if matches!(mood, Mood::NoRanges) {
        return answer(200, &[], blob);
    }
    let headers = format!("Content-Range: bytes {from}-{to}/{}", blob.len());
    answer(206, &[&headers], &other[from..=to])
}

/// The destination has the layer, so it is checked while it comes, and nothing is sent. What a
/// registry serves in the meantime may differ from what it has served before.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn registries_that_serve_something_else_later() {
    let (peer, family) = (Peer::start(), Family::new(102));
    let base = format!("{}/org/base", peer.host());
    let source = of(&[&family.base[0]], &json!({})).push(&format!("{base}:1"), &quick()).await;
    report(convert(&source, &format!("{base}:z"))).await;
    let made = Made::read(&open(&base, Intent::Pull, &quick()).await.unwrap(), 0).await;
    let config = json!({ "architecture": "amd64", "os": "linux",
        "rootfs": { "type": "layers", "diff_ids": [Digest::sha256_of(&family.base[0])] } });
    let config = config.to_string().into_bytes();
    let manifest = json!({ "schemaVersion": 2, "mediaType": OCI_MANIFEST,
        "config": descriptor(OCI_CONFIG, &config), "layers": [made.described()] });
    let manifest = RawManifest::new(manifest.to_string(), OCI_MANIFEST);
    for (number, (mood, expected, words)) in [
        (Mood::Honest, "verified", None),
        (Mood::NoRanges, "verified", None),
        (Mood::TwoVersions, "", Some("cannot reuse layer ")),
        (Mood::Replaced, "", Some("cannot reuse layer ")),
        (Mood::CutOff, "", Some("cannot reuse layer ")),
        (Mood::Endless, "", Some("cannot reuse layer ")),
    ]
    .into_iter()
    .enumerate()
    {
        let (manifest, config, blob) = (manifest.bytes.clone(), config.clone(), made.blob.clone());
        let digest = Digest::sha256_of(&blob);
        let server = Scripted::start(move |request, _| {
            if request.line.contains("/manifests/") {
                return answer(200, &[&format!("Content-Type: {OCI_MANIFEST}")], &manifest);
            }
            if request.line.contains(digest.as_str()) {
                return serve(mood, &blob, request);
            }
            let body = if request.line.contains("/blobs/") { &config[..] } else { b"{}" };
            answer(200, &[], body)
        })
        .await;
        let to = format!("{}/new{number}:z", peer.host());
        let store = open(&to, Intent::Push, &quick()).await.unwrap();
        put(&store, Bytes::from(made.blob.clone())).await;
        let mut command = convert(&source, &to);
        command.args(["--reuse-from", &format!("{}:z", server.image())]);
        command.args(["--output=json", "--probe=false"]);
        let output = run(command).await;
        ends(&output, 0, words.as_slice());
        let report: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(proofs(&report), [expected], "{mood:?}");
        assert_eq!(report["layers"][0]["already_there"], true, "{mood:?}: {report:#}");
        is_right(&to, &source, &[]).await;
    }
}
