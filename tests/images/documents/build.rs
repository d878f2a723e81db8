//! Documents under construction: blobs, manifests and an index in memory, each to the byte, until
//! they go into a registry or a layout.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use recompress_image::image::{Digest, media_type};
use serde_json::{Value, json};
use test_support::{
    layout::{Layout, gzip, text},
    program,
    registry::Registry,
    work_dir,
};

pub(crate) const MARK: &str = "io.github.containers.compression.zstd";

/// All documents of a row. The manifest that was put last is the one that is converted.
pub(crate) struct Documents {
    row: String,
    blobs: Vec<Vec<u8>>,
    manifests: Vec<(String, Vec<u8>)>,
    /// The config digests of the images, in hexadecimal digits, by their labels.
    pub(crate) ids: BTreeMap<String, String>,
}

/// An image that is not written yet.
pub(crate) struct Parts {
    pub(crate) label: String,
    pub(crate) config: Value,
    pub(crate) manifest: Value,
    pub(crate) tar: Vec<u8>,
}

impl Documents {
    pub(crate) fn new(row: &str) -> Self {
        Self { row: row.to_owned(), blobs: Vec::new(), manifests: Vec::new(), ids: BTreeMap::new() }
    }

    /// Stores a blob and returns its descriptor.
    pub(crate) fn blob(&mut self, media_type: &str, blob: Vec<u8>) -> Value {
        let descriptor = json!({
            "mediaType": media_type, "digest": Digest::sha256_of(&blob), "size": blob.len(),
        });
        self.blobs.push(blob);
        descriptor
    }

    /// An image of one gzip layer whose content no other image has.
    pub(crate) fn image(&mut self, label: &str) -> Parts {
        let tar = tar(&format!("{}: {label}\n", self.row));
        let layer = self.blob(media_type::OCI_LAYER_GZIP, gzip(&tar));
        Parts {
            label: label.to_owned(),
            config: json!({
                "os": "linux", "architecture": "amd64",
                "rootfs": {"type": "layers", "diff_ids": [Digest::sha256_of(&tar)]},
            }),
            manifest: json!({
                "schemaVersion": 2, "mediaType": media_type::OCI_MANIFEST,
                "config": {"mediaType": media_type::OCI_CONFIG}, "layers": [layer],
            }),
            tar,
        }
    }

    /// The same for another processor.
    pub(crate) fn image_for(&mut self, label: &str, architecture: &str) -> Parts {
        let mut parts = self.image(label);
        parts.config["architecture"] = architecture.into();
        parts
    }

    /// The same image with its layer as plain zstd.
    pub(crate) fn zstd(&mut self, of: &Parts) -> Parts {
        let layer = zstd::encode_all(&of.tar[..], 3).unwrap();
        let mut manifest = of.manifest.clone();
        manifest["layers"] = json!([self.blob(media_type::OCI_LAYER_ZSTD, layer)]);
        Parts { label: of.label.clone(), config: of.config.clone(), tar: of.tar.clone(), manifest }
    }

    /// The same image as this program makes it.
    pub(crate) fn converted(&mut self, of: &Parts) -> Parts {
        let dir = work_dir();
        let blobs = [(media_type::OCI_LAYER_GZIP, gzip(&of.tar))];
        let mut layout = Layout::new(dir.path(), &blobs, std::slice::from_ref(&of.tar));
        layout.config = of.config.clone();
        layout.finish();
        let output = program().args(["convert", &layout.reference()]).output().unwrap();
        assert!(output.status.success(), "{}", text(&output));
        let (mut manifest, _) =
            test_support::layout::manifest(dir.path(), "in-zstd-chunked").unwrap();
        let digest: Digest = manifest["layers"][0]["digest"].as_str().unwrap().parse().unwrap();
        self.blobs.push(fs::read(dir.path().join("blobs/sha256").join(digest.hex())).unwrap());
        manifest["annotations"] = json!({});
        manifest["layers"][0]["annotations"].as_object_mut().unwrap().remove("ostree.components");
        Parts { label: of.label.clone(), config: of.config.clone(), tar: of.tar.clone(), manifest }
    }

    /// The manifest's text, with a config that is stored.
    pub(crate) fn text(&mut self, parts: &Parts) -> String {
        let config = parts.config.to_string();
        self.text_with(parts, &config)
    }

    /// The same with a config that is this text.
    pub(crate) fn text_with(&mut self, parts: &Parts, config: &str) -> String {
        let id = Digest::sha256_of(config.as_bytes());
        self.ids.insert(parts.label.clone(), id.hex().to_owned());
        let media_type = parts.manifest["config"]["mediaType"].as_str().unwrap_or_default();
        let descriptor = self.blob(media_type, config.as_bytes().to_vec());
        let mut manifest = parts.manifest.clone();
        for field in ["digest", "size"] {
            if manifest["config"][field].is_null() {
                manifest["config"][field] = descriptor[field].clone();
            }
        }
        manifest.to_string()
    }

    /// Stores a manifest or an index, which becomes the root, and returns its descriptor.
    pub(crate) fn put(&mut self, media_type: &str, document: impl Into<Vec<u8>>) -> Value {
        let bytes = document.into();
        let descriptor = json!({
            "mediaType": media_type, "digest": Digest::sha256_of(&bytes), "size": bytes.len(),
        });
        self.manifests.push((media_type.to_owned(), bytes));
        descriptor
    }

    /// Stores an image.
    pub(crate) fn put_image(&mut self, parts: &Parts) -> Value {
        let text = self.text(parts);
        let media_type = parts.manifest["mediaType"].as_str().unwrap_or(media_type::OCI_MANIFEST);
        self.put(media_type, text)
    }

    /// Stores an image and returns the entry of an index for it.
    pub(crate) fn entry(&mut self, parts: &Parts) -> Value {
        let mut entry = self.put_image(parts);
        entry["platform"] = json!({"os": "linux", "architecture": parts.config["architecture"]});
        entry
    }

    /// Stores an OCI index.
    pub(crate) fn index(&mut self, entries: &[Value]) -> Value {
        let index = index(entries);
        self.put(media_type::OCI_INDEX, index.to_string())
    }

    fn root(&self) -> &(String, Vec<u8>) {
        self.manifests.last().unwrap()
    }

    pub(crate) fn digest(&self) -> Digest {
        Digest::sha256_of(&self.root().1)
    }

    /// Pushes everything, if the registry takes it.
    pub(crate) fn push(&self, registry: &Registry, repository: &str) -> bool {
        for blob in &self.blobs {
            registry.put_blob(repository, Digest::sha256_of(blob).as_str(), blob.clone());
        }
        self.manifests.iter().all(|(media_type, bytes)| {
            let digest = Digest::sha256_of(bytes);
            registry.takes_manifest(repository, digest.as_str(), media_type, bytes)
        })
    }

    /// Writes everything as a layout; the tag is `in`.
    pub(crate) fn write(&self, dir: &Path) -> PathBuf {
        let blobs = dir.join("blobs/sha256");
        fs::create_dir_all(&blobs).unwrap();
        let documents = self.manifests.iter().map(|(_, bytes)| bytes);
        for blob in self.blobs.iter().chain(documents) {
            fs::write(blobs.join(Digest::sha256_of(blob).hex()), blob).unwrap();
        }
        let (media_type, root) = self.root();
        let index = json!({"schemaVersion": 2, "manifests": [{
            "mediaType": media_type, "digest": Digest::sha256_of(root), "size": root.len(),
            "annotations": {"org.opencontainers.image.ref.name": "in"},
        }]});
        fs::write(dir.join("index.json"), index.to_string()).unwrap();
        fs::write(dir.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
        dir.to_owned()
    }
}

pub(crate) fn index(entries: &[Value]) -> Value {
    json!({"schemaVersion": 2, "mediaType": media_type::OCI_INDEX, "manifests": entries})
}

/// An entry with the mark of zstd.
pub(crate) fn marked(mut entry: Value) -> Value {
    entry["annotations"][MARK] = "true".into();
    entry
}

pub(crate) fn with(mut value: Value, field: &str, to: impl Into<Value>) -> Value {
    value[field] = to.into();
    value
}

fn tar(content: &str) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for (path, content) in [("who", content.to_owned()), ("more", content.repeat(2_000))] {
        let mut header = tar::Header::new_gnu();
        header.set_mode(0o644);
        header.set_mtime(1_700_000_000);
        header.set_size(content.len() as u64);
        tar.append_data(&mut header, path, content.as_bytes()).unwrap();
    }
    tar.into_inner().unwrap()
}
