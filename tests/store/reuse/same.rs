//! The same content several times in one run.

use std::io::Write as _;

use bytes::Bytes;
use recompress_image::{
    image::{
        Digest,
        media_type::{OCI_CONFIG, OCI_INDEX, OCI_LAYER_GZIP, OCI_MANIFEST},
    },
    store::{Intent, RawManifest, Store},
};
use serde_json::{Value, json};

use super::{Family, report};
use crate::{
    open,
    peer::Peer,
    quick,
    sample::{convert, descriptor, ends, gzip, is_right, put, run},
};

/// A layer: its blob, and the digest of what is said to be in it.
pub(super) type Layer<'a> = (&'a [u8], &'a [u8]);

/// Pushes an image for an architecture; returns its entry in an index.
pub(super) async fn image(store: &Store, architecture: &str, layers: &[Layer<'_>]) -> Value {
    annotated_image(store, architecture, layers, &json!({})).await
}

/// The same with annotations of its manifest.
pub(super) async fn annotated_image(
    store: &Store,
    architecture: &str,
    layers: &[Layer<'_>],
    annotations: &Value,
) -> Value {
    let diff_ids: Vec<_> = layers.iter().map(|(_, tar)| Digest::sha256_of(tar)).collect();
    let config = json!({ "architecture": architecture, "os": "linux",
        "rootfs": { "type": "layers", "diff_ids": diff_ids } });
    let config = config.to_string().into_bytes();
    let described: Vec<_> =
        layers.iter().map(|(blob, _)| descriptor(OCI_LAYER_GZIP, blob)).collect();
    let manifest = json!({ "schemaVersion": 2, "mediaType": OCI_MANIFEST,
        "config": descriptor(OCI_CONFIG, &config), "layers": described,
        "annotations": annotations });
    for blob in layers.iter().map(|(blob, _)| *blob).chain([&config[..]]) {
        put(store, Bytes::copy_from_slice(blob)).await;
    }
    let manifest = RawManifest::new(manifest.to_string(), OCI_MANIFEST);
    store.put_manifest(&manifest, None).await.unwrap();
    let mut entry = descriptor(OCI_MANIFEST, &manifest.bytes);
    entry["platform"] = json!({ "os": "linux", "architecture": architecture });
    entry
}

/// Pushes an index; returns it by digest.
pub(super) async fn index(store: &Store, place: &str, entries: &[Value]) -> String {
    let index =
        json!({ "schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries }).to_string();
    let index = RawManifest::new(index, OCI_INDEX);
    store.put_manifest(&index, Some("1")).await.unwrap();
    format!("{place}:1@{}", index.digest)
}

fn gzip_better(content: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}

pub(super) fn downloads(requests: &[String], repository: &str, blob: &[u8]) -> usize {
    let line = format!("GET /v2/{repository}/blobs/{} 200", Digest::sha256_of(blob));
    requests.iter().filter(|request| **request == line).count()
}

/// Two platforms have the same layer, compressed in two ways: the blob of the first one is
/// downloaded, always, and the other one's is not, unless it stays in the index.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_platforms_share_a_layer() {
    let (peer, family) = (Peer::start(), Family::new(81));
    let place = format!("{}/org/app", peer.host());
    let store = open(&place, Intent::Push, &quick()).await.unwrap();
    let [base, top] = [&family.base[0], &family.top];
    let (one, two) = (gzip(base), gzip_better(base));
    assert_ne!(one, two);
    let other = gzip(&family.base[1]);
    let amd = image(&store, "amd64", &[(&one, base), (&gzip(top), top)]).await;
    let arm = image(&store, "arm64", &[(&two, base), (&other, &family.base[1])]).await;
    let source = index(&store, &place, &[amd, arm]).await;
    let mut made = Vec::new();
    for (number, (format, expected)) in
        [("zstd:chunked", [1, 0]), ("zstd", [1, 0]), ("zstd:chunked", [1, 0]), ("dual", [1, 1])]
            .into_iter()
            .enumerate()
    {
        let to = format!("{}/new{number}:z", peer.host());
        let before = peer.requests().len();
        let mut command = convert(&source, &to);
        command.args(["--all-platforms", "--compression-format", format, "--jobs=8"]);
        let report = report(command).await;
        let asked = peer.requests().split_off(before);
        let read = [&one, &two].map(|blob| downloads(&asked, "org/app", blob));
        assert_eq!(read, expected, "{format}: {asked:?}");
        made.push(report["image"]["digest"].clone());
        is_right(&to, &source, &[]).await;
        if format != "dual" {
            let [first, second] = [0, 1].map(|image| &report["manifests"][image]["layers"][0]);
            assert_eq!(first["digest"], second["digest"]);
            assert_eq!(first["reuse"], Value::Null);
            let taken_over =
                json!({ "from": "linux/amd64 layer 1", "proof": "converted", "mounted": false });
            assert_eq!(second["reuse"], taken_over);
            assert_eq!(second["source_digest"], json!(Digest::sha256_of(&two)));
        }
    }
    assert_eq!(made[0], made[2]);
}

/// The same layer several times in one image, in one blob and in two.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_layer_twice() {
    let (peer, family) = (Peer::start(), Family::new(82));
    let place = format!("{}/org/app", peer.host());
    let store = open(&place, Intent::Push, &quick()).await.unwrap();
    let [base, top] = [&family.base[0], &family.top];
    let (one, two, above) = (gzip(base), gzip_better(base), gzip(top));
    let layers: [Layer; 5] =
        [(&one, base), (&two, base), (&above, top), (&one, base), (&gzip_better(top), top)];
    let entry = image(&store, "amd64", &layers).await;
    let source = format!("{place}@{}", entry["digest"].as_str().unwrap());
    let to = format!("{}/new:z", peer.host());
    let before = peer.requests().len();
    let report = report(convert(&source, &to)).await;
    let asked = peer.requests().split_off(before);
    let read = [&one, &two, &above].map(|blob| downloads(&asked, "org/app", blob));
    assert_eq!(read, [1, 0, 1], "{asked:?}");
    let layers = report["layers"].as_array().unwrap();
    let (digests, from): (Vec<_>, Vec<_>) = layers
        .iter()
        .map(|layer| (&layer["digest"], layer["reuse"]["from"].as_str().unwrap_or_default()))
        .unzip();
    assert!([1, 3].iter().all(|same| digests[*same] == digests[0]), "{digests:?}");
    assert_eq!(digests[4], digests[2]);
    assert_eq!(from, ["", "layer 1", "", "", "layer 3"]);
    is_right(&to, &source, &[]).await;
}

/// A blob that is said to have two contents has at most one of them: it is read for each.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_blob_with_two_contents() {
    let (peer, family) = (Peer::start(), Family::new(83));
    let place = format!("{}/org/app", peer.host());
    let store = open(&place, Intent::Push, &quick()).await.unwrap();
    let [base, top] = [&family.base[0], &family.top];
    let (one, two) = (gzip(base), gzip_better(top));
    // Only the second claim about `two` is right.
    let amd = image(&store, "amd64", &[(&one, base), (&two, base)]).await;
    let arm = image(&store, "arm64", &[(&two, top)]).await;
    let source = index(&store, &place, &[amd, arm]).await;
    let mut command = convert(&source, &format!("{}/new:z", peer.host()));
    command.arg("--all-platforms");
    let digest = Digest::sha256_of(&two).to_string();
    ends(&run(command).await, 4, &[&digest, Digest::sha256_of(base).as_str()]);
}

/// A layer with a FIFO can have a TOC where it is the lowest, and nowhere else.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fifo_in_the_lowest_layer_and_in_another() {
    let (peer, family) = (Peer::start(), Family::new(84));
    let place = format!("{}/org/app", peer.host());
    let store = open(&place, Intent::Push, &quick()).await.unwrap();
    let mut fifo = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(tar::EntryType::Fifo);
    header.set_mode(0o644);
    header.set_size(0);
    fifo.append_data(&mut header, "fifo", &b""[..]).unwrap();
    let (fifo, top) = (&fifo.into_inner().unwrap(), &family.top);
    let (one, two, above) = (gzip(fifo), gzip_better(fifo), gzip(top));
    let amd = image(&store, "amd64", &[(&one, fifo), (&above, top)]).await;
    let arm = image(&store, "arm64", &[(&above, top), (&two, fifo)]).await;
    let source = index(&store, &place, &[amd, arm]).await;
    let to = format!("{}/new:z", peer.host());
    let mut command = convert(&source, &to);
    command.arg("--all-platforms");
    let report = report(command).await;
    let kinds = |image: usize| {
        let layers = report["manifests"][image]["layers"].as_array().unwrap().iter();
        layers.map(|layer| layer["format"].as_str().unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(kinds(0), ["zstd:chunked", "zstd:chunked"]);
    assert_eq!(kinds(1), ["zstd:chunked", "zstd"]);
    is_right(&to, &source, &[]).await;
}
