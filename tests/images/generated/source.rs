//! Indexes with entries of every kind, made up by a seed.

use std::collections::HashSet;

use fastrand::Rng;
use recompress_image::image::{Digest, media_type};
use serde_json::{Value, json};

use crate::documents::build::{Documents, Parts, marked, with};

const PLATFORMS: [(&str, &str); 4] = [("amd64", ""), ("arm64", ""), ("arm", "v7"), ("arm", "v6")];
const TOC: &str = "io.github.containers.zstd-chunked.manifest-checksum";

/// What was put into it, in words, for a failure.
pub(super) struct Source {
    pub(super) docs: Documents,
    pub(super) outline: Vec<String>,
    /// The platforms of images that can be converted, as in `linux/arm/v7`. podman takes an entry without a
    /// platform, and what is in an index within, for want of another one.
    pub(super) named: HashSet<String>,
}

struct Making {
    docs: Documents,
    rng: Rng,
    entries: Vec<Value>,
    /// Images that others may be variants of, with their platforms.
    images: Vec<(Parts, Value)>,
    outline: Vec<String>,
}

/// An index of 1 to 12 entries. `complete`: everything is there that it names, and a registry takes
/// it.
pub(super) fn index(seed: u64, complete: bool) -> Source {
    let mut making = Making {
        docs: Documents::new(&format!("seed {seed}")),
        rng: Rng::with_seed(seed),
        entries: Vec::new(),
        images: Vec::new(),
        outline: Vec::new(),
    };
    let count = making.rng.usize(1..=12);
    while making.entries.len() < count {
        making.add(complete);
    }
    // The order says nothing about what depends on what.
    let mut order: Vec<usize> = (0..count).collect();
    if making.rng.bool() {
        making.rng.shuffle(&mut order);
    }
    let entries: Vec<_> = order.iter().map(|at| making.entries[*at].clone()).collect();
    let outline = order.iter().map(|at| making.outline[*at].clone()).collect();
    let images = order.iter().filter(|at| !making.outline[**at].starts_with("encrypted"));
    let named = images.filter_map(|at| name(&making.entries[*at]["platform"])).collect();
    making.docs.index(&entries);
    Source { docs: making.docs, outline, named }
}

fn name(platform: &Value) -> Option<String> {
    let parts = ["os", "architecture", "variant"].map(|field| platform[field].as_str());
    let parts: Vec<_> = parts.into_iter().flatten().collect();
    (!parts.is_empty()).then(|| parts.join("/"))
}

impl Making {
    fn push(&mut self, what: &str, entry: Value) {
        let platform = &entry["platform"];
        self.outline.push(format!("{what} {platform}"));
        self.entries.push(entry);
    }

    fn platform(&mut self) -> Value {
        let (architecture, variant) = PLATFORMS[self.rng.usize(..PLATFORMS.len())];
        let mut platform = json!({"os": "linux", "architecture": architecture});
        if !variant.is_empty() {
            platform["variant"] = variant.into();
        }
        platform
    }

    fn new_image(&mut self) -> (Parts, Value) {
        let platform = self.platform();
        let mut parts = self.docs.image(&format!("image {}", self.entries.len()));
        for (field, value) in platform.as_object().unwrap() {
            parts.config[field] = value.clone();
        }
        (parts, platform)
    }

    /// An image that is there already, or a new one.
    fn some_image(&mut self) -> (Parts, Value) {
        if self.images.is_empty() || self.rng.u8(..4) == 0 {
            return self.new_image();
        }
        let at = self.rng.usize(..self.images.len());
        let (of, platform) = &self.images[at];
        let same = Parts {
            label: of.label.clone(),
            config: of.config.clone(),
            manifest: of.manifest.clone(),
            tar: of.tar.clone(),
        };
        (same, platform.clone())
    }

    fn entry(&mut self, parts: &Parts, platform: &Value) -> Value {
        with(self.docs.put_image(parts), "platform", platform.clone())
    }

    fn mark(&mut self, entry: Value, chance: u8) -> Value {
        if self.rng.u8(..10) < chance { marked(entry) } else { entry }
    }

    fn some_digest(&mut self) -> Value {
        let known = self.rng.choice(&self.entries).map(|entry| entry["digest"].clone());
        known.unwrap_or_else(|| json!(Digest::sha256_of(b"nothing")))
    }

    #[allow(clippy::too_many_lines, reason = "a kind after the other")]
    fn add(&mut self, complete: bool) {
        match self.rng.u8(..22) {
            0..=5 => {
                let (parts, platform) = self.new_image();
                let entry = self.entry(&parts, &platform);
                self.images.push((parts, platform));
                self.push("gzip", entry);
            }
            6 => {
                let (mut parts, platform) = self.new_image();
                parts.manifest["mediaType"] = media_type::DOCKER_MANIFEST.into();
                parts.manifest["config"]["mediaType"] = media_type::DOCKER_CONFIG.into();
                parts.manifest["layers"][0]["mediaType"] =
                    "application/vnd.docker.image.rootfs.diff.tar.gzip".into();
                let entry = self.entry(&parts, &platform);
                self.push("docker", entry);
            }
            7 | 8 => {
                let (parts, platform) = self.some_image();
                let zstd = self.docs.zstd(&parts);
                let entry = self.entry(&zstd, &platform);
                let entry = self.mark(entry, 6);
                self.push(&format!("zstd of {}", parts.label), entry);
            }
            9..=11 => {
                let (parts, platform) = self.some_image();
                let chunked = self.docs.converted(&parts);
                let entry = self.entry(&chunked, &platform);
                let entry = self.mark(entry, 8);
                self.push(&format!("chunked of {}", parts.label), entry);
            }
            12 => {
                let (parts, platform) = self.some_image();
                let mut chunked = self.docs.converted(&parts);
                let wrong = json!(Digest::sha256_of(b"another TOC"));
                chunked.manifest["layers"][0]["annotations"][TOC] = wrong;
                let entry = self.entry(&chunked, &platform);
                self.push(&format!("wrongly chunked of {}", parts.label), marked(entry));
            }
            13 => {
                let (parts, platform) = self.new_image();
                let entry = self.entry(&parts, &platform);
                self.push("marked gzip", marked(entry));
            }
            14 | 15 => {
                let of = self.some_digest();
                let (parts, _) = self.new_image();
                let unknown = json!({"os": "unknown", "architecture": "unknown"});
                let mut entry = self.entry(&parts, &unknown);
                entry["annotations"] = json!({
                    "vnd.docker.reference.type": "attestation-manifest",
                    "vnd.docker.reference.digest": of,
                });
                self.push(&format!("attestation of {of}"), entry);
            }
            16 => {
                let (mut parts, platform) = self.new_image();
                parts.manifest["config"]["mediaType"] = media_type::EMPTY.into();
                parts.manifest["artifactType"] = "application/vnd.x".into();
                let entry = self.entry(&parts, &platform);
                self.push("artifact", entry);
            }
            17 => {
                let (mut parts, platform) = self.new_image();
                let encrypted = format!("{}+encrypted", media_type::OCI_LAYER_GZIP);
                parts.manifest["layers"][0]["mediaType"] = encrypted.into();
                let entry = self.entry(&parts, &platform);
                self.push("encrypted", entry);
            }
            18 => {
                let (parts, platform) = self.new_image();
                let inner = self.entry(&parts, &platform);
                let entry = self.docs.index(&[inner]);
                self.push("index", entry);
            }
            19 => {
                let (parts, _) = self.new_image();
                let entry = self.docs.put_image(&parts);
                self.push("without a platform", entry);
            }
            20 => {
                let (parts, platform) = self.new_image();
                let mut entry = self.entry(&parts, &platform);
                entry["size"] = json!(entry["size"].as_u64().unwrap() + 1);
                self.push("of a wrong size", entry);
            }
            _ if complete => {}
            _ => {
                let platform = self.platform();
                let missing = format!("missing {}", self.entries.len());
                let entry = json!({
                    "mediaType": media_type::OCI_MANIFEST, "size": 7, "platform": platform,
                    "digest": Digest::sha256_of(missing.as_bytes()),
                });
                self.push("missing", entry);
            }
        }
    }
}
