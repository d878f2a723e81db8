//! One odd layer, and what is expected of it.

use std::io::Write as _;

use flate2::{Compression, write::GzEncoder};
use recompress_image::image::{Digest, media_type};
use serde_json::{Value, json};
use test_support::{
    archive::{Dialect, HeaderBlock, TarBuilder},
    registry::Registry,
    tree::Tree,
};

/// What becomes of the layer with us.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Ours {
    /// zstd:chunked.
    Chunked,
    /// Plain zstd, with these words in the reason.
    Plain(&'static str),
    /// An error with these words in it.
    Fails(&'static str),
}

/// What podman makes of the image.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Judge {
    /// It pulls the original; so it has to pull ours, and to the same tree.
    Takes,
    /// It refuses the original, and with these words.
    Refuses(&'static str),
}

/// An image whose last layer is odd.
#[derive(Debug, Clone)]
pub(crate) struct Case {
    pub(crate) name: String,
    /// A tar below it.
    base: Option<Vec<u8>>,
    blob: Vec<u8>,
    diff_id: Digest,
    media_type: &'static str,
    pub(crate) ours: Ours,
    pub(crate) judge: Judge,
    /// The layer has a TOC and whiteouts, which composefs ignores.
    whiteouts: bool,
    /// Paths and what of them is not compared.
    left_out: Vec<(&'static str, &'static str)>,
}

/// A tar with one file, which makes it another than all others.
pub(crate) fn tar(name: &str) -> TarBuilder {
    TarBuilder::new().file(Dialect::Ustar, b"case", name.as_bytes())
}

/// A header of the type, in the dialect that most builders write.
pub(crate) fn header(typeflag: u8, name: &str) -> HeaderBlock {
    HeaderBlock::new(Dialect::Ustar, typeflag, name.as_bytes())
}

pub(crate) fn gzip(content: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}

impl Case {
    /// A gzip layer that podman pulls and that becomes zstd:chunked.
    pub(crate) fn of(name: impl Into<String>, tar: &[u8]) -> Self {
        Self {
            name: name.into(),
            base: None,
            blob: gzip(tar),
            diff_id: Digest::sha256_of(tar),
            media_type: media_type::OCI_LAYER_GZIP,
            ours: Ours::Chunked,
            judge: Judge::Takes,
            whiteouts: false,
            left_out: Vec::new(),
        }
    }

    /// The tar begins with the file that tells it apart, and ends with two blocks of zeros.
    pub(crate) fn with(name: &str, add: impl FnOnce(TarBuilder) -> TarBuilder) -> Self {
        Self::of(name, &add(tar(name)).end().finish())
    }

    pub(crate) fn plain(self, reason: &'static str) -> Self {
        Self { ours: Ours::Plain(reason), ..self }
    }

    pub(crate) fn fails(self, message: &'static str) -> Self {
        Self { ours: Ours::Fails(message), ..self }
    }

    pub(crate) fn refused(self, message: &'static str) -> Self {
        Self { judge: Judge::Refuses(message), ..self }
    }

    pub(crate) fn base(self, tar: TarBuilder) -> Self {
        Self { base: Some(tar.end().finish()), ..self }
    }

    /// Two pulls differ here, and not through us; the case says why.
    pub(crate) fn without(mut self, path: &'static str, field: &'static str) -> Self {
        self.left_out.push((path, field));
        self
    }

    /// The tree out of its listing, without what is not compared.
    pub(crate) fn comparable(&self, lines: &[u8]) -> Tree {
        let mut kept = String::new();
        for entry in serde_json::Deserializer::from_slice(lines).into_iter::<Value>() {
            let mut entry = entry.unwrap();
            for (path, field) in &self.left_out {
                if entry["path"] == *path {
                    entry[field].take();
                }
            }
            kept += &entry.to_string();
        }
        Tree::parse(kept.as_bytes())
    }

    pub(crate) fn whiteouts(self) -> Self {
        Self { whiteouts: true, ..self }
    }

    pub(crate) fn has_whiteouts(&self) -> bool {
        self.whiteouts
    }

    /// There is a layer below, an ordinary one.
    pub(crate) fn has_base(&self) -> bool {
        self.base.is_some()
    }

    /// Another blob for the same diffID.
    pub(crate) fn blob(self, blob: Vec<u8>, media_type: &'static str) -> Self {
        Self { blob, media_type, ..self }
    }

    pub(crate) fn diff_id(self, diff_id: Digest) -> Self {
        Self { diff_id, ..self }
    }

    /// Pushes the image as `odd/NAME:in` and returns its digest.
    pub(crate) fn push(&self, registry: &Registry) -> Digest {
        let repository = format!("odd/{}", self.name);
        let put = |bytes: &[u8]| {
            let digest = Digest::sha256_of(bytes);
            registry.put_blob(&repository, digest.as_str(), bytes.to_vec());
            digest
        };
        let mut diff_ids = Vec::new();
        let mut layers = Vec::new();
        let base = self.base.as_ref().map(|tar| {
            let blob = gzip(tar);
            (Digest::sha256_of(tar), blob, media_type::OCI_LAYER_GZIP)
        });
        let odd = (self.diff_id.clone(), self.blob.clone(), self.media_type);
        for (diff_id, blob, media_type) in base.into_iter().chain([odd]) {
            diff_ids.push(diff_id);
            let size = blob.len();
            layers.push(json!({"mediaType": media_type, "digest": put(&blob), "size": size}));
        }
        let config = json!({
            "architecture": "amd64",
            "os": "linux",
            "config": {"Labels": {"case": self.name}},
            "rootfs": {"type": "layers", "diff_ids": diff_ids},
        })
        .to_string();
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": media_type::OCI_MANIFEST,
            "config": {
                "mediaType": media_type::OCI_CONFIG,
                "digest": put(config.as_bytes()),
                "size": config.len(),
            },
            "layers": layers,
        })
        .to_string();
        registry.put_manifest(&repository, "in", media_type::OCI_MANIFEST, manifest.as_bytes());
        Digest::sha256_of(manifest.as_bytes())
    }
}
