//! Small images in a registry, as builders leave them.

use std::io::Write as _;

use recompress_image::image::{Digest, media_type};
use serde_json::{Value, json};
use test_support::registry::Registry;

/// Pushes an image of one gzip layer under `tag` and returns its digest.
pub(crate) fn push(registry: &Registry, name: &str, tag: &str, architecture: &str) -> Digest {
    let tar = tar(&format!("{name}:{tag} for {architecture}\n"));
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(&tar).unwrap();
    let layer = encoder.finish().unwrap();
    let config = json!({
        "os": "linux", "architecture": architecture,
        "rootfs": {"type": "layers", "diff_ids": [Digest::sha256_of(&tar)]},
    });
    let config = config.to_string().into_bytes();
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": media_type::OCI_MANIFEST,
        "config": descriptor(media_type::OCI_CONFIG, &config),
        "layers": [descriptor(media_type::OCI_LAYER_GZIP, &layer)],
        "annotations": {"org.opencontainers.image.base.name": "quay.io/base"},
    });
    for blob in [config, layer] {
        put(registry, name, blob);
    }
    put_document(registry, name, tag, &manifest)
}

/// Pushes an index of one image for each architecture and returns its digest.
pub(crate) fn push_index(
    registry: &Registry,
    name: &str,
    tag: &str,
    architectures: &[&str],
) -> Digest {
    let entry = |architecture: &&str| {
        let digest = push(registry, name, &format!("{tag}-{architecture}"), architecture);
        let (_, bytes) = registry.manifest(name, digest.as_str());
        let mut entry = descriptor(media_type::OCI_MANIFEST, &bytes);
        entry["platform"] = json!({"os": "linux", "architecture": architecture});
        entry
    };
    let entries: Vec<_> = architectures.iter().map(entry).collect();
    let index = json!({
        "schemaVersion": 2, "mediaType": media_type::OCI_INDEX, "manifests": entries,
    });
    put_document(registry, name, tag, &index)
}

/// Attaches an SBOM to an image of `name` as `cosign attach sbom` does: an image of its own, whose
/// tag is made of the digest.
pub(crate) fn attach_sbom(registry: &Registry, name: &str, image: &Digest, sbom: &Value) {
    let (config, layer) = (b"{}".to_vec(), sbom.to_string().into_bytes());
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": media_type::OCI_MANIFEST,
        "config": descriptor(media_type::OCI_CONFIG, &config),
        "layers": [descriptor("text/spdx+json", &layer)],
    });
    for blob in [config, layer] {
        put(registry, name, blob);
    }
    put_document(registry, name, &format!("sha256-{}.sbom", image.hex()), &manifest);
}

/// The parsed manifest or index.
pub(crate) fn document(registry: &Registry, name: &str, reference: &str) -> Value {
    serde_json::from_slice(&registry.manifest(name, reference).1).unwrap()
}

fn put(registry: &Registry, name: &str, blob: Vec<u8>) {
    registry.put_blob(name, Digest::sha256_of(&blob).as_str(), blob);
}

fn put_document(registry: &Registry, name: &str, tag: &str, document: &Value) -> Digest {
    let bytes = document.to_string().into_bytes();
    registry.put_manifest(name, tag, document["mediaType"].as_str().unwrap(), &bytes);
    Digest::sha256_of(&bytes)
}

fn descriptor(media_type: &str, blob: &[u8]) -> Value {
    json!({"mediaType": media_type, "digest": Digest::sha256_of(blob), "size": blob.len()})
}

fn tar(text: &str) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for (path, kind, content) in [
        ("dir/", tar::EntryType::Directory, String::new()),
        ("dir/small", tar::EntryType::Regular, text.to_owned()),
        ("dir/large", tar::EntryType::Regular, text.repeat(10_000)),
    ] {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(0o755);
        header.set_size(content.len() as u64);
        tar.append_data(&mut header, path, content.as_bytes()).unwrap();
    }
    tar.into_inner().unwrap()
}
