//! Small images in OCI layouts, made by hand so that each part can be wrong.

use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::Output,
};

use serde_json::{Value, json};

use crate::{hex, media_type, sha256};

/// A layout with one image, under construction.
pub struct Layout {
    pub dir: PathBuf,
    pub config: Value,
    pub manifest: Value,
}

/// A tar with `files` files of some text, the last one larger than a chunk.
pub fn tar(files: usize) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(tar::EntryType::Directory);
    header.set_mode(0o755);
    header.set_size(0);
    tar.append_data(&mut header, "dir/", &[][..]).unwrap();
    for number in 1..=files {
        let text =
            format!("line {number} of a file\n").repeat(if number == files { 20_000 } else { 50 });
        let mut header = tar::Header::new_gnu();
        header.set_mode(0o644);
        header.set_mtime(1_700_000_000);
        header.set_size(text.len() as u64);
        tar.append_data(&mut header, format!("dir/{number}"), text.as_bytes()).unwrap();
    }
    tar.into_inner().unwrap()
}

pub fn gzip(content: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}

impl Layout {
    /// An image with one layer for each blob; `tars` are what the layers hold.
    pub fn new(dir: &Path, blobs: &[(&str, Vec<u8>)], tars: &[Vec<u8>]) -> Self {
        let dir = dir.to_owned();
        fs::create_dir_all(dir.join("blobs/sha256")).unwrap();
        fs::write(dir.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
        let diff_ids: Vec<_> = tars.iter().map(|tar| sha256(tar)).collect();
        let config = json!({
            "os": "linux", "architecture": "amd64", "x-unknown": {"kept": true},
            "rootfs": {"type": "layers", "diff_ids": diff_ids},
        });
        let mut layout = Self { dir, config, manifest: Value::Null };
        let layers: Vec<_> = blobs
            .iter()
            .map(|(media_type, blob)| {
                let mut descriptor = layout.add(blob);
                descriptor["mediaType"] = (*media_type).into();
                descriptor["annotations"] = json!({"ostree.components": "kernel"});
                descriptor
            })
            .collect();
        layout.manifest = json!({
            "schemaVersion": 2,
            "mediaType": media_type::OCI_MANIFEST,
            "config": {"mediaType": media_type::OCI_CONFIG},
            "layers": layers,
            "annotations": {"org.opencontainers.image.base.name": "quay.io/base"},
        });
        layout
    }

    /// Stores a blob and returns its descriptor.
    pub fn add(&self, blob: &[u8]) -> Value {
        let digest = sha256(blob);
        fs::write(self.dir.join("blobs/sha256").join(hex(&digest)), blob).unwrap();
        json!({"digest": digest, "size": blob.len()})
    }

    /// Stores config, manifest and index; the image gets the tag `in`. Returns its digest.
    pub fn finish(&mut self) -> String {
        let config = self.add(self.config.to_string().as_bytes());
        if let Some(slot) = self.manifest.get_mut("config").and_then(Value::as_object_mut) {
            slot.insert("digest".into(), config["digest"].clone());
            slot.insert("size".into(), config["size"].clone());
        }
        let bytes = self.manifest.to_string();
        let mut descriptor = self.add(bytes.as_bytes());
        descriptor["mediaType"] = self.manifest["mediaType"].clone();
        descriptor["annotations"] = json!({"org.opencontainers.image.ref.name": "in"});
        let index = json!({"schemaVersion": 2, "manifests": [descriptor]});
        fs::write(self.dir.join("index.json"), index.to_string()).unwrap();
        sha256(bytes.as_bytes())
    }

    pub fn reference(&self) -> String {
        format!("oci:{}:in", self.dir.display())
    }
}

pub fn text(output: &Output) -> String {
    format!(
        "{}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

/// The manifest that a tag of a layout names, and its digest.
pub fn manifest(dir: &Path, tag: &str) -> Option<(Value, String)> {
    let index: Value = serde_json::from_slice(&fs::read(dir.join("index.json")).ok()?).unwrap();
    let entries = index["manifests"].as_array().unwrap();
    let entry = entries
        .iter()
        .find(|entry| entry["annotations"]["org.opencontainers.image.ref.name"] == *tag)?;
    let digest = entry["digest"].as_str().unwrap().to_owned();
    let bytes = fs::read(dir.join("blobs/sha256").join(hex(&digest))).unwrap();
    Some((serde_json::from_slice(&bytes).unwrap(), digest))
}
