//! A dual index in a real registry, judged by those that read it.

use std::collections::BTreeSet;

use recompress_image::image::{Digest, media_type};
use serde_json::{Value, json};
use test_support::{
    image::{Image, Layer, Style},
    layout::text,
    need,
    peers::Peers,
    podman::Podman,
    program,
    registry::Registry,
    tree::Compare,
    trees,
};

/// An image for another processor, with the same layers.
fn for_arm64(image: &Image, layers: Vec<Layer>) -> Image {
    let config = String::from_utf8(image.config.clone()).unwrap().replace("amd64", "arm64");
    let (old, new) = (Digest::sha256_of(&image.config), Digest::sha256_of(config.as_bytes()));
    let manifest = String::from_utf8(image.manifest.clone()).unwrap();
    let mut other = Image::new(Style::Oci, layers);
    other.manifest = manifest.replace(old.as_str(), new.as_str()).into_bytes();
    other.config = config.into_bytes();
    other
}

fn entry(image: &Image, architecture: &str) -> Value {
    json!({
        "mediaType": image.media_type(), "digest": image.digest(), "size": image.manifest.len(),
        "platform": {"architecture": architecture, "os": "linux"},
    })
}

/// A layer with entries of every kind, and one with small files.
pub(crate) fn layers(peers: &Peers) -> Vec<Layer> {
    vec![
        Layer::gzip(peers.work(), |out| trees::every_kind(out)),
        Layer::gzip(peers.work(), |out| trees::many_small(out, 300)),
    ]
}

fn digests(index: &Value) -> Vec<String> {
    let entries = index["manifests"].as_array().unwrap();
    entries.iter().map(|entry| entry["digest"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn readers_take_their_part_of_a_dual_index() {
    let test = "readers_take_their_part_of_a_dual_index";
    let Some(peers) = need(test, Peers::find()) else { return };
    let Some(registry) = need(test, Registry::start()) else { return };
    let image = Image::new(Style::Oci, layers(&peers));
    let other = for_arm64(&image, layers(&peers));
    image.push(&registry, "app", "amd64");
    other.push(&registry, "app", "arm64");
    let index = json!({
        "schemaVersion": 2, "mediaType": media_type::OCI_INDEX,
        "manifests": [entry(&image, "amd64"), entry(&other, "arm64")],
    });
    let index = index.to_string().into_bytes();
    registry.put_manifest("app", "in", media_type::OCI_INDEX, &index);
    let host = registry.host();
    let source = format!("{host}/app:in@{}", Digest::sha256_of(&index));
    let convert = || {
        let arguments = ["convert", &source, "--compression-format=dual"];
        let output = program().args(arguments).output().unwrap();
        assert!(output.status.success(), "{}", text(&output));
        let (media_type, bytes) = registry.manifest("app", "in-dual");
        assert_eq!(media_type, media_type::OCI_INDEX);
        bytes
    };
    let bytes = convert();
    let dual: Value = serde_json::from_slice(&bytes).unwrap();
    let found = digests(&dual);
    assert_eq!(found.len(), 4);

    // An old Docker takes the first entry for its platform, and that is the gzip image.
    assert_eq!(found[..2], [image.digest(), other.digest()]);

    // podman takes the marked one, wherever it stands, and pulls it partially.
    let (_, chunked) = registry.manifest("app", &found[2]);
    let chunked: Value = serde_json::from_slice(&chunked).unwrap();
    let layers: BTreeSet<String> = chunked["layers"]
        .as_array()
        .unwrap()
        .iter()
        .map(|layer| layer["digest"].as_str().unwrap().to_owned())
        .collect();
    let podman = Podman::new(&peers, true);
    let by_tag = format!("{host}/app:in-dual");
    let pull = podman.pull(&by_tag);
    assert_eq!(pull.refused, <[&str; 0]>::default());
    assert_eq!(pull.partial.into_iter().collect::<BTreeSet<_>>(), layers);
    assert_eq!(pull.image_id, Digest::sha256_of(&image.config).hex());
    let partial = podman.tree(&by_tag);
    podman.remove_all();
    let original = format!("{host}/app@{}", image.digest());
    podman.pull(&original);
    podman.tree(&original).assert_same(&partial, Compare::PartialPull, "gzip and dual");
    podman.remove_all();

    // Copies are whole and the same to the byte.
    let remote = format!("docker://{by_tag}");
    let layout = peers.work().join("dual");
    let copy = format!("oci:{}:dual", layout.display());
    peers.run(&["skopeo", "copy", "--all", "--src-tls-verify=false", &remote, &copy]);
    let raw = peers.run(&["skopeo", "inspect", "--raw", &copy]).stdout;
    assert_eq!(raw, bytes);
    std::fs::remove_dir_all(layout).unwrap();
    if peers.has("crane") {
        peers.run(&["crane", "copy", &by_tag, &format!("{host}/copy:dual")]);
        assert_eq!(registry.manifest("copy", "dual").1, bytes);
    }

    // A list that buildah makes out of it keeps its order and its marks.
    let at = |name: &str| peers.work().join(name).display().to_string();
    let (root, run) = (at("buildah-root"), at("buildah-run"));
    let buildah = |arguments: &[&str]| {
        let store = ["buildah", "--root", &root, "--runroot", &run, "--storage-driver", "vfs"];
        peers.run(&[&store[..], arguments].concat());
    };
    buildah(&["manifest", "create", "list"]);
    buildah(&["manifest", "add", "--all", "--tls-verify=false", "list", &remote]);
    let pushed = format!("docker://{host}/app:list");
    buildah(&["manifest", "push", "--all", "--format=oci", "--tls-verify=false", "list", &pushed]);
    let list: Value = serde_json::from_slice(&registry.manifest("app", "list").1).unwrap();
    assert_eq!(digests(&list), found);
    let marks = |index: &Value| {
        let entries = index["manifests"].as_array().unwrap().clone();
        entries
            .iter()
            .map(|entry| entry["annotations"]["io.github.containers.compression.zstd"].clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(marks(&list), marks(&dual));

    // A second run puts no blob and no other index there.
    let before = registry.requests().len();
    assert_eq!(convert(), bytes);
    let log = registry.requests();
    let uploads = log[before..].iter().filter(|request| request.method == "POST").count();
    assert_eq!(uploads, 0, "uploads of a second run");
}
