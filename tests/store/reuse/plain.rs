//! Layers without a TOC: reused if this program would give them none.

use recompress_image::{
    image::{
        Digest,
        media_type::{OCI_LAYER_ZSTD, OCI_MANIFEST},
    },
    store::{Intent, RawManifest, Selector},
};
use serde_json::{Value, json};

use super::{Family, of, proofs, report};
use crate::{
    open,
    peer::Peer,
    quick,
    sample::{Sample, convert, descriptor, ends, gzip, is_right, run},
};

const NO_PARENT: &str = "no entry for the parent directory";

/// A tar that cannot have a TOC: nothing is said of the folder of its file.
fn orphan(seed: u64) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    let (mut noise, mut header) = (vec![0; 50_000], tar::Header::new_gnu());
    fastrand::Rng::with_seed(seed).fill(&mut noise);
    header.set_mode(0o755);
    header.set_size(noise.len() as u64);
    tar.append_data(&mut header, "lib/noise", &noise[..]).unwrap();
    tar.into_inner().unwrap()
}

/// What an earlier run left as plain zstd is taken over with the reason, and its gzip blob is not
/// downloaded; also unasked, if the destination's tag names it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn plain_layers_of_an_earlier_run() {
    let (peer, family, orphan) = (Peer::start(), Family::new(71), orphan(71));
    let base = of(&[&family.base[0], &orphan], &json!({}));
    let base = base.push(&format!("{}/org/base:1", peer.host()), &quick()).await;
    let from = format!("{}/org/base:z", peer.host());
    let made = report(convert(&base, &from)).await;
    let source = of(&[&family.base[0], &orphan, &family.top], &json!({}));
    let source = source.push(&format!("{}/org/app:1", peer.host()), &quick()).await;
    let to = format!("{}/org/app:z", peer.host());
    let before = peer.requests().len();
    for (options, expected) in
        [(&["--reuse-from", &from][..], ["verified", "verified", ""]), (&[], ["verified"; 3])]
    {
        let mut command = convert(&source, &to);
        command.args(options);
        let report = report(command).await;
        assert_eq!(proofs(&report), expected, "{options:?}");
        let plain = &report["layers"][1];
        assert_eq!(plain["format"], "zstd", "{plain:#}");
        assert_eq!(plain["digest"], made["layers"][1]["digest"]);
        assert!(plain["reason"].as_str().unwrap().contains(NO_PARENT), "{plain:#}");
        assert_eq!(report["plain_layers"], 1);
        is_right(&to, &source, &[]).await;
    }
    let gzip = Digest::sha256_of(&gzip(&orphan));
    let unread = format!("GET /v2/org/app/blobs/{gzip} 200");
    let asked = peer.requests().split_off(before);
    // Both times by `verify --against`.
    assert_eq!(asked.iter().filter(|line| **line == unread).count(), 2, "{asked:?}");

    let mut command = convert(&source, &format!("{}/org/app:y", peer.host()));
    command.args(["--reuse-from", &from, "--require-chunked"]);
    ends(&run(command).await, 5, &[NO_PARENT]);
}

/// Layers of an image that was made as plain zstd are not even looked at. One that is said to have
/// been left as plain zstd, and could have a TOC, is converted.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn plain_layers_that_could_have_a_toc() {
    let (peer, family) = (Peer::start(), Family::new(72));
    let base = family.base().push(&format!("{}/org/base:1", peer.host()), &quick()).await;
    let from = format!("{}/org/base:z", peer.host());
    let mut command = convert(&base, &from);
    command.arg("--compression-format=zstd");
    let made = report(command).await;
    let source = family.app(&json!({})).push(&format!("{}/org/app:1", peer.host()), &quick()).await;
    let digest = made["layers"][0]["digest"].as_str().unwrap();
    let download = format!("GET /v2/org/base/blobs/{digest} 200");
    let downloads = || peer.requests().iter().filter(|line| **line == download).count();
    let before = downloads();
    let convert = |to: &str| {
        let mut command = convert(&source, to);
        command.args(["--reuse-from", &from, "--output=json", "--probe=false"]);
        command.args(["--log=recompress_image=info"]);
        command
    };
    let to = format!("{}/org/app:z", peer.host());
    let output = run(convert(&to)).await;
    ends(&output, 0, &["does not say that a TOC was wanted"]);
    assert_eq!(proofs(&serde_json::from_slice(&output.stdout).unwrap()), ["", "", ""]);
    assert_eq!(downloads(), before);

    let store = open(&from, Intent::Push, &quick()).await.unwrap();
    let honest = store.manifest(&Selector::Tag("z".to_owned())).await.unwrap();
    let mut lie: Value = serde_json::from_slice(&honest.bytes).unwrap();
    let ours = &mut lie["annotations"]["io.github.recompress-image.format"];
    *ours = ours.as_str().unwrap().replace("zstd ", "zstd:chunked ").into();
    let lie = RawManifest::new(lie.to_string(), &honest.media_type);
    store.put_manifest(&lie, Some("z")).await.unwrap();
    let to = format!("{}/org/app:y", peer.host());
    let output = run(convert(&to)).await;
    ends(&output, 0, &["its content does not rule one out"]);
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(proofs(&report), ["", "", ""]);
    assert_eq!(report["plain_layers"], 0);
    is_right(&to, &source, &[]).await;
}

/// A plain layer with other content, that is cut off, that begins with a skippable frame, or that is
/// too long for its source's is not taken over.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn plain_layers_that_are_wrong() {
    let (peer, right, wrong) = (Peer::start(), orphan(73), orphan(74));
    let source = of(&[&right], &json!({}));
    let source = source.push(&format!("{}/org/app:1", peer.host()), &quick()).await;
    let blob = |tar: &[u8]| zstd::encode_all(tar, 1).unwrap();
    let skippable = [&[0x50, 0x2a, 0x4d, 0x18, 1, 0, 0, 0, 9][..], &blob(&right)].concat();
    let cut_off = blob(&right)[..40_000].to_vec();
    let bomb = blob(&[&right[..], &vec![0; 100 << 20]].concat());
    for (name, blob, words) in [
        ("right", blob(&right), None),
        ("wrong", blob(&wrong), Some("diff-id")),
        ("cut-off", cut_off, Some("frame")),
        ("skippable", skippable, Some("ordinary zstd frame")),
        ("bomb", bomb, Some("decompressed size exceeds")),
    ] {
        let layers = [descriptor(OCI_LAYER_ZSTD, &blob)];
        let mut sample = Sample::of(vec![blob], &layers, &[Digest::sha256_of(&right)]);
        let mut manifest: Value = serde_json::from_slice(&sample.manifest.bytes).unwrap();
        let ours = "zstd:chunked level 1";
        manifest["annotations"] = json!({ "io.github.recompress-image.format": ours });
        sample.manifest = RawManifest::new(manifest.to_string(), OCI_MANIFEST);
        let from = sample.push(&format!("{}/{name}:z", peer.host()), &quick()).await;
        let to = format!("{}/{name}:app", peer.host());
        let mut command = convert(&source, &to);
        command.args(["--reuse-from", &from, "--output=json", "--probe=false"]);
        let output = run(command).await;
        ends(&output, 0, words.as_slice());
        let report = serde_json::from_slice(&output.stdout).unwrap();
        let expected = if words.is_none() { "verified" } else { "" };
        assert_eq!(proofs(&report), [expected], "{name}");
        is_right(&to, &source, &[]).await;
    }
}
