//! Images with gzip layers, as builders make them.

use std::{
    fs::{self, File},
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
};

use flate2::{Compression, write::GzEncoder};
use serde_json::json;
use sha2::{Digest as _, Sha256};

use crate::{digest_text, hex, media_type, registry::Registry, sha256};

/// Which specification an image's documents follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// OCI image manifest.
    Oci,
    /// Docker image manifest, version 2 schema 2.
    DockerSchema2,
}

/// A gzip layer on disk.
#[derive(Debug)]
pub struct Layer {
    file: PathBuf,
    pub digest: String,
    pub diff_id: String,
    /// Bytes of the blob.
    pub size: u64,
    /// Bytes of the tar.
    pub tar_size: u64,
}

/// A single-platform image.
#[derive(Debug)]
pub struct Image {
    style: Style,
    pub layers: Vec<Layer>,
    pub config: Vec<u8>,
    pub manifest: Vec<u8>,
}

/// Passes bytes on and keeps their digest and number.
struct Counted<W> {
    inner: W,
    hasher: Sha256,
    size: u64,
}

impl<W> Counted<W> {
    fn new(inner: W) -> Self {
        Self { inner, hasher: Sha256::new(), size: 0 }
    }
}

impl<W: Write> Write for Counted<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.hasher.update(&bytes[..written]);
        self.size += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

impl Layer {
    /// Compresses what `write_tar` writes into a file in `dir`.
    pub fn gzip(dir: &Path, write_tar: impl FnOnce(&mut dyn Write)) -> Self {
        let (file, path) = tempfile::NamedTempFile::new_in(dir).unwrap().keep().unwrap();
        let blob = Counted::new(BufWriter::new(file));
        let mut tar = Counted::new(GzEncoder::new(blob, Compression::new(3)));
        write_tar(&mut tar);
        let mut blob = tar.inner.finish().unwrap();
        blob.flush().unwrap();
        Self {
            file: path,
            digest: digest_text(blob.hasher.finalize().into()),
            diff_id: digest_text(tar.hasher.finalize().into()),
            size: blob.size,
            tar_size: tar.size,
        }
    }
}

impl Image {
    /// Writes the config and manifest for `layers`, lowest first.
    pub fn new(style: Style, layers: Vec<Layer>) -> Self {
        let (manifest_type, config_type, layer_type) = match style {
            Style::Oci => {
                (media_type::OCI_MANIFEST, media_type::OCI_CONFIG, media_type::OCI_LAYER_GZIP)
            }
            Style::DockerSchema2 => (
                media_type::DOCKER_MANIFEST,
                media_type::DOCKER_CONFIG,
                media_type::DOCKER_LAYER_GZIP,
            ),
        };
        let created = "2024-01-02T03:04:05Z";
        let diff_ids: Vec<_> = layers.iter().map(|layer| &*layer.diff_id).collect();
        let history: Vec<_> =
            diff_ids.iter().map(|_| json!({"created": created, "created_by": "test"})).collect();
        let config = serde_json::to_vec(&json!({
            "created": created,
            "architecture": "amd64",
            "os": "linux",
            "config": {"Env": ["PATH=/usr/bin:/bin"], "Cmd": ["/bin/sh"]},
            "rootfs": {"type": "layers", "diff_ids": diff_ids},
            "history": history,
        }))
        .unwrap();
        let blobs: Vec<_> = layers
            .iter()
            .map(|l| json!({"mediaType": layer_type, "digest": l.digest, "size": l.size}))
            .collect();
        let manifest = serde_json::to_vec(&json!({
            "schemaVersion": 2,
            "mediaType": manifest_type,
            "config": {
                "mediaType": config_type,
                "digest": sha256(&config),
                "size": config.len(),
            },
            "layers": blobs,
        }))
        .unwrap();
        Self { style, layers, config, manifest }
    }

    /// The manifest's digest.
    pub fn digest(&self) -> String {
        sha256(&self.manifest)
    }

    /// The manifest's media type.
    pub fn media_type(&self) -> &'static str {
        match self.style {
            Style::Oci => media_type::OCI_MANIFEST,
            Style::DockerSchema2 => media_type::DOCKER_MANIFEST,
        }
    }

    /// Puts the image into a registry and returns its reference there, `name@sha256:…`.
    pub fn push(&self, registry: &Registry, name: &str, tag: &str) -> String {
        for layer in &self.layers {
            registry.put_blob(name, &layer.digest, fs::read(&layer.file).unwrap());
        }
        let config = sha256(&self.config);
        registry.put_blob(name, &config, self.config.clone());
        registry.put_manifest(name, tag, self.media_type(), &self.manifest);
        format!("{name}@{}", self.digest())
    }

    /// Writes an OCI image layout (image-layout.md of the image specification) into `dir`.
    pub fn write_layout(&self, dir: &Path, tag: &str) {
        let blobs = dir.join("blobs/sha256");
        fs::create_dir_all(&blobs).unwrap();
        for layer in &self.layers {
            fs::copy(&layer.file, blobs.join(hex(&layer.digest))).unwrap();
        }
        for document in [&self.config, &self.manifest] {
            fs::write(blobs.join(hex(&sha256(document))), document).unwrap();
        }
        let index = json!({
            "schemaVersion": 2,
            "mediaType": media_type::OCI_INDEX,
            "manifests": [{
                "mediaType": self.media_type(),
                "digest": self.digest(),
                "size": self.manifest.len(),
                "annotations": {"org.opencontainers.image.ref.name": tag},
            }],
        });
        serde_json::to_writer(File::create(dir.join("index.json")).unwrap(), &index).unwrap();
        fs::write(dir.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
    }
}

#[test]
fn a_registry_and_skopeo_take_both_styles() {
    use crate::{need, peers::Peers, trees};
    let test = "a_registry_and_skopeo_take_both_styles";
    let Some(peers) = need(test, Peers::find()) else { return };
    let Some(registry) = need(test, Registry::start()) else { return };
    for (style, name) in [(Style::Oci, "oci"), (Style::DockerSchema2, "docker")] {
        let layers = vec![
            Layer::gzip(peers.work(), |out| trees::many_small(out, 50)),
            Layer::gzip(peers.work(), |out| trees::every_kind(out)),
        ];
        let image = Image::new(style, layers);
        let reference = image.push(&registry, name, "in");
        let (media_type, bytes) = registry.manifest(name, "in");
        assert_eq!((media_type.as_str(), bytes), (image.media_type(), image.manifest.clone()));

        // skopeo recomputes every digest on its way, diffIDs included.
        let from_registry = format!("docker://{}/{reference}", registry.host());
        let copy = format!("dir:{}/copy-{name}", peers.work().display());
        peers.run(&["skopeo", "copy", "--src-tls-verify=false", &from_registry, &copy]);
        let layout = peers.work().join(format!("layout-{name}"));
        image.write_layout(&layout, "in");
        let from_layout = format!("oci:{}:in", layout.display());
        peers.run(&["skopeo", "copy", &from_layout, &format!("{copy}-2")]);
    }
}
