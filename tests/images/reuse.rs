//! Layers that skopeo has made, taken over into an image of ours.

use serde_json::Value;
use test_support::{
    image::{Image, Layer, Style},
    need,
    peers::Peers,
    program,
    registry::Registry,
    tree::Compare,
    trees,
};

use super::{
    acceptance::{convert_with_skopeo, pull, pull_partially},
    index_readers::layers,
};

/// The base was converted by skopeo, and the application adds a layer: the base's layers are taken
/// over, checked or by digest, and podman gets the same tree partially and as a whole.
#[test]
fn podman_pulls_layers_of_skopeo_and_of_ours() {
    let test = "podman_pulls_layers_of_skopeo_and_of_ours";
    let Some(peers) = need(test, Peers::find()) else { return };
    let Some(registry) = need(test, Registry::start()) else { return };
    let top = Layer::gzip(peers.work(), |out| trees::large_with_holes(out, 3_000_000));
    let base = Image::new(Style::Oci, layers(&peers)).push(&registry, "base", "in");
    let remote = |name: &str| format!("docker://{}/{name}", registry.host());
    convert_with_skopeo(&peers, &remote(&base), &remote("base:out"));
    let (_, manifest) = registry.manifest("base", "out");
    let digest = recompress_image::image::Digest::sha256_of(&manifest);
    let app = Image::new(Style::Oci, layers(&peers).into_iter().chain([top]).collect());
    let app = app.push(&registry, "app", "in");
    let (_, original) = pull(&peers, &registry, &app);
    for (trust, proof) in [("verify", "verified"), ("digest", "digest")] {
        let output = program()
            .args(["convert", &remote(&app), &format!("{}/app:{trust}", registry.host())])
            .args(["--reuse-from", &format!("{}/base@{digest}", registry.host())])
            .args(["--reuse-trust", trust, "--output=json"])
            .output()
            .unwrap();
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{told}");
        let report: Value = serde_json::from_slice(&output.stdout).unwrap();
        let layers = report["layers"].as_array().unwrap();
        let proofs: Vec<_> = layers.iter().map(|layer| layer["reuse"]["proof"].as_str()).collect();
        assert_eq!(proofs, [Some(proof), Some(proof), None], "{told}");
        let layers = layers.iter().map(|l| l["digest"].as_str().unwrap().to_owned()).collect();
        let converted = format!("app@{}", report["image"]["digest"].as_str().unwrap());
        let (_, whole) = pull(&peers, &registry, &converted);
        original.assert_same(&whole, Compare::Everything, trust);
        let (_, partial) = pull_partially(&peers, &registry, &converted, &layers);
        original.assert_same(&partial, Compare::PartialPull, trust);
    }
}
