//! The acceptance test: real readers judge what we published.

use std::{collections::BTreeSet, fs, path::Path, thread, time::Instant};

use recompress_image::image::{Digest, media_type};
use serde_json::Value;
use test_support::{
    image::{Image, Layer, Style},
    need,
    peers::Peers,
    podman::Podman,
    program,
    registry::Registry,
    tree::{Compare, Tree},
    trees, work_dir,
};

const CHUNKED_ANNOTATIONS: [&str; 3] = [
    "io.github.containers.zstd-chunked.manifest-checksum",
    "io.github.containers.zstd-chunked.manifest-position",
    "io.github.containers.zstd-chunked.tarsplit-position",
];

/// Converts `source` (`name@sha256:…`) to `destination` (`name:tag`) in `registry` with the program
/// under test. `RECOMPRESS_TEST_CONVERTER=skopeo` uses skopeo instead, to show that the test itself
/// judges correctly.
fn convert(
    registry: &Registry,
    peers: Option<&Peers>,
    source: &str,
    destination: &str,
    results: &Path,
) {
    let source = format!("docker://{}/{source}", registry.host());
    let destination = format!("{}/{destination}", registry.host());
    if std::env::var_os("RECOMPRESS_TEST_CONVERTER").is_some_and(|v| v == "skopeo") {
        let peers = peers.expect("RECOMPRESS_TEST_CONVERTER=skopeo needs hack/peers");
        convert_with_skopeo(peers, &source, &format!("docker://{destination}"));
        return;
    }
    let output = program()
        .args(["convert", &source, &destination, "--results-dir"])
        .arg(results)
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "convert {source} {destination}: {}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

pub(crate) fn convert_with_skopeo(peers: &Peers, source: &str, destination: &str) {
    // Straight to the same repository skopeo would take the gzip layers that it finds there; the
    // flag against that is missing in Debian 13.
    let layout = peers.work().join("skopeo");
    let between = format!("oci:{}:between", layout.display());
    let format = ["--dest-compress-format=zstd:chunked", "--dest-compress-level=3"];
    let compress = ["skopeo", "copy", "--src-tls-verify=false", format[0], format[1]];
    peers.run(&[&compress[..], &[source, &between]].concat());
    peers.run(&["skopeo", "copy", "--dest-tls-verify=false", &between, destination]);
    std::fs::remove_dir_all(layout).unwrap();
}

/// At least 500 MB and 20,000 files: a Debian root folder, small files, large ones, odd ones.
fn big_image(peers: &Peers) -> Image {
    let (dir, root) = (peers.work(), peers.root());
    let small_parts = ["etc", "usr/lib", "usr/share", "var/lib"];
    let large_parts = ["usr/bin", "usr/libexec", "usr/sbin"];
    let layers = thread::scope(|scope| {
        let real = scope.spawn(|| Layer::gzip(dir, |out| trees::real(out, root, &large_parts)));
        // Devices have to be in the lowest layer, or it would become plain zstd.
        let mut layers = vec![
            Layer::gzip(dir, |out| trees::every_kind(out)),
            Layer::gzip(dir, |out| trees::real(out, root, &small_parts)),
            Layer::gzip(dir, |out| trees::many_small(out, 14_000)),
            Layer::gzip(dir, |out| trees::large_with_holes(out, 24_000_000)),
            Layer::gzip(dir, |out| trees::whiteouts(out, "small/0003/file-300", "small/0005")),
        ];
        layers.insert(1, real.join().unwrap());
        layers
    });
    let tar_size: u64 = layers.iter().map(|layer| layer.tar_size).sum();
    assert!(tar_size >= 500_000_000, "only {tar_size} bytes");
    Image::new(Style::Oci, layers)
}

/// Pulls, looks, and leaves nothing behind. Returns the image ID and the tree.
pub(crate) fn pull(peers: &Peers, registry: &Registry, reference: &str) -> (String, Tree) {
    let podman = Podman::new(peers, false);
    let reference = format!("{}/{reference}", registry.host());
    let pull = podman.pull(&reference);
    assert_eq!(pull.partial, <[&str; 0]>::default(), "partial pulls are off");
    let tree = podman.tree(&reference);
    podman.remove_all();
    (pull.image_id, tree)
}

/// As [`pull`], with proof that every layer was pulled partially.
pub(crate) fn pull_partially(
    peers: &Peers,
    registry: &Registry,
    reference: &str,
    layers: &BTreeSet<String>,
) -> (String, Tree) {
    let podman = Podman::new(peers, true);
    let reference = format!("{}/{reference}", registry.host());
    let before = registry.requests().len();
    let pull = podman.pull(&reference);

    assert_eq!(pull.refused, <[&str; 0]>::default());
    assert_eq!(&pull.partial.iter().cloned().collect::<BTreeSet<_>>(), layers);
    let log = registry.requests();
    for layer in layers {
        let fetched = log[before..].iter().filter(|request| request.fetches(layer));
        let statuses: BTreeSet<_> = fetched.map(|request| request.status).collect();
        assert_eq!(statuses, BTreeSet::from([206]), "of the GETs of {layer}");
    }
    let (missing, total) =
        pull.missing.iter().fold((0, 0), |sum, next| (sum.0 + next.0, sum.1 + next.1));
    eprintln!("    podman missed {missing} of {total} bytes in {} layers", pull.missing.len());

    let tree = podman.tree(&reference);
    podman.remove_all();
    (pull.image_id, tree)
}

/// The manifest has OCI types only, and each layer the three annotations of zstd:chunked.
fn assert_chunked_manifest(manifest: &Value, source: &Image) {
    assert_eq!(manifest["mediaType"], media_type::OCI_MANIFEST);
    assert_eq!(manifest["config"]["mediaType"], media_type::OCI_CONFIG);
    assert_eq!(manifest["config"]["digest"], Digest::sha256_of(&source.config).as_str());
    let layers = manifest["layers"].as_array().unwrap();
    assert_eq!(layers.len(), source.layers.len());
    for layer in layers {
        assert_eq!(layer["mediaType"], media_type::OCI_LAYER_ZSTD);
        for key in CHUNKED_ANNOTATIONS {
            assert!(layer["annotations"][key].is_string(), "no {key} on {layer}");
        }
    }
}

/// skopeo recomputes every digest while it copies, zstd decodes each blob and checks its frames,
/// and crane reads the same manifest as skopeo.
fn assert_readable(
    peers: &Peers,
    registry: &Registry,
    name: &str,
    digest: &Digest,
    source: &Image,
) {
    let reference = format!("{}/{name}@{digest}", registry.host());
    let remote = format!("docker://{reference}");
    let layout = peers.work().join("layout");
    let copy = format!("oci:{}:out", layout.display());
    peers.run(&["skopeo", "copy", "--src-tls-verify=false", &remote, &copy]);

    let inspect = ["skopeo", "inspect", "--tls-verify=false", "--raw", &remote];
    let raw = peers.run(&inspect).stdout;
    assert_eq!(&Digest::sha256_of(&raw), digest);
    let manifest: Value = serde_json::from_slice(&raw).unwrap();
    assert_chunked_manifest(&manifest, source);
    if peers.has("crane") {
        assert_eq!(peers.run(&["crane", "manifest", &reference]).stdout, raw);
    }

    let layers = manifest["layers"].as_array().unwrap();
    let blobs: Vec<_> = layers
        .iter()
        .map(|layer| {
            let digest: Digest = layer["digest"].as_str().unwrap().parse().unwrap();
            layout.join("blobs/sha256").join(digest.hex()).display().to_string()
        })
        .collect();
    let mut test = vec!["zstd", "-t", "-q"];
    test.extend(blobs.iter().map(String::as_str));
    peers.run(&test);
    fs::remove_dir_all(layout).unwrap();
}

#[test]
fn readers_take_the_converted_image() {
    let test = "readers_take_the_converted_image";
    let Some(peers) = need(test, Peers::find()) else { return };
    let Some(registry) = need(test, Registry::start()) else { return };
    let started = Instant::now();
    let step = |what: &str| eprintln!("{:>6.1} s  {what}", started.elapsed().as_secs_f32());

    step("build and push the gzip image");
    let image = big_image(&peers);
    let source = image.push(&registry, "app", "in");

    step("convert");
    let results = work_dir();
    convert(&registry, Some(&peers), &source, "app:out", results.path());
    let (published_type, manifest) = registry.manifest("app", "out");
    assert_eq!(published_type, media_type::OCI_MANIFEST);
    let digest = Digest::sha256_of(&manifest);
    let manifest: Value = serde_json::from_slice(&manifest).unwrap();
    let layers = manifest["layers"].as_array().unwrap();
    let layers = layers.iter().map(|l| l["digest"].as_str().unwrap().to_owned()).collect();
    let converted = format!("app@{digest}");

    step("skopeo, crane and zstd read it");
    assert_readable(&peers, &registry, "app", &digest, &image);

    step("podman pulls the original");
    let (id, original) = pull(&peers, &registry, &source);
    assert_eq!(id, Digest::sha256_of(&image.config).hex());
    let kinds = original.kinds();
    assert!(kinds.len() == 6 && kinds["file"] >= 20_000, "{kinds:?}");

    step("podman pulls the copy as a whole");
    let (classic_id, classic) = pull(&peers, &registry, &converted);
    assert_eq!(classic_id, id);
    original.assert_same(&classic, Compare::Everything, "classic pulls");

    step("podman pulls the copy partially");
    let (partial_id, partial) = pull_partially(&peers, &registry, &converted, &layers);
    assert_eq!(partial_id, id);
    original.assert_same(&partial, Compare::PartialPull, "classic and partial pull");
    step("done");
}
