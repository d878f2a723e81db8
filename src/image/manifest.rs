//! An image manifest as it came from its store, and the same manifest about other blobs. It is
//! edited as JSON, so that fields this program does not know stay what they were.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::{
    Digest, DigestError,
    media_type::{self, Family, ImpossibleLayer, LayerType, Suffix},
};

/// What a manifest says of a blob.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Descriptor {
    /// Digest of the blob.
    pub digest: Digest,
    /// Length of the blob in bytes, as claimed.
    pub size: u64,
}

/// One layer of a manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layer {
    /// The blob.
    pub blob: Descriptor,
    /// What the media type says; the content may be compressed in another way.
    pub layer_type: LayerType,
    /// It is fetched from elsewhere and its registry may not have it: it is passed on by reference.
    pub foreign: bool,
}

/// A document that is not the manifest of an image that can be converted.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// Not JSON, or not the JSON of a manifest.
    #[error("the manifest is malformed: {0}")]
    Malformed(String),
    /// A digest in it is none.
    #[error("the manifest is malformed")]
    Digest(#[from] DigestError),
    /// Several images in one.
    #[error("it is an index of several images")]
    Index,
    /// Several images in one of several.
    #[error("it is an index that has another index in it; convert that one by its own digest")]
    NestedIndex,
    /// Neither an OCI nor a Docker schema 2 manifest.
    #[error("its manifest has the media type {0:?}, which is not that of an image")]
    MediaType(String),
    /// Something else that is kept in a registry.
    #[error("it is no container image but an artifact ({0}); there is nothing to convert")]
    Artifact(String),
    /// Layers that the manifest cannot hold.
    #[error(transparent)]
    Impossible(#[from] ImpossibleLayer),
    /// A layer that cannot be read.
    #[error(
        "layer {number} has the media type {media_type:?}, which cannot be converted{}",
        if .media_type.ends_with("+encrypted") { ": encrypted layers cannot be read" } else { "" }
    )]
    Layer {
        /// Counted from 1.
        number: usize,
        /// As the manifest has it.
        media_type: String,
    },
}

fn malformed(what: impl Into<String>) -> ManifestError {
    ManifestError::Malformed(what.into())
}

/// The manifest of one image.
#[derive(Debug, Clone)]
pub struct ImageManifest {
    document: Map<String, Value>,
    config: Descriptor,
    layers: Vec<Layer>,
}

/// A blob that takes the place of a layer's; it may be the same one.
#[derive(Debug, Clone)]
pub struct NewLayer {
    /// The blob.
    pub blob: Descriptor,
    /// How it is compressed.
    pub suffix: Suffix,
    /// Annotations to add.
    pub annotations: Vec<(&'static str, String)>,
}

impl ImageManifest {
    /// Reads an OCI image manifest or a Docker manifest of version 2, schema 2.
    pub fn parse(media_type: &str, bytes: &[u8]) -> Result<Self, ManifestError> {
        match media_type {
            media_type::OCI_MANIFEST | media_type::DOCKER_MANIFEST => {}
            media_type::OCI_INDEX | media_type::DOCKER_MANIFEST_LIST => {
                return Err(ManifestError::Index);
            }
            other => return Err(ManifestError::MediaType(other.to_owned())),
        }
        let document: Map<String, Value> =
            serde_json::from_slice(bytes).map_err(|error| malformed(error.to_string()))?;
        if let Some(kind) = document.get("artifactType").and_then(Value::as_str) {
            return Err(ManifestError::Artifact(kind.to_owned()));
        }
        let config = document.get("config").ok_or_else(|| malformed("it has no config"))?;
        match text(config, "mediaType") {
            media_type::OCI_CONFIG | media_type::DOCKER_CONFIG => {}
            other => return Err(ManifestError::Artifact(other.to_owned())),
        }
        let config = descriptor(config)?;
        let layers = document
            .get("layers")
            .and_then(Value::as_array)
            .ok_or_else(|| malformed("it has no layers"))?
            .iter()
            .enumerate()
            .map(|(index, layer)| read_layer(index + 1, layer))
            .collect::<Result<_, _>>()?;
        Ok(Self { document, config, layers })
    }

    /// The config.
    pub fn config(&self) -> &Descriptor {
        &self.config
    }

    /// The layers, the lowest first.
    pub fn layers(&self) -> &[Layer] {
        &self.layers
    }

    /// Whether clients that know no zstd can read the image, going by the media types.
    pub fn is_readable_by_all(&self) -> bool {
        self.layers.iter().all(|layer| layer.layer_type.suffix != Suffix::Zstd)
    }

    /// An annotation of the manifest.
    pub fn annotation(&self, key: &str) -> Option<&str> {
        self.document.get("annotations")?.get(key)?.as_str()
    }

    /// The annotations of a layer, counted from 0.
    pub fn layer_annotations(&self, layer: usize) -> BTreeMap<String, String> {
        let layers = self.document.get("layers").and_then(Value::as_array);
        let annotations = layers
            .and_then(|layers| layers.get(layer)?.get("annotations")?.as_object())
            .into_iter()
            .flatten();
        let text =
            |(key, value): (&String, &Value)| Some((key.clone(), value.as_str()?.to_owned()));
        annotations.filter_map(text).collect()
    }

    /// Whether a layer claims to have a TOC of zstd:chunked.
    pub fn is_chunked(&self) -> bool {
        let key = crate::chunked::annotations::MANIFEST_CHECKSUM;
        (0..self.layers.len()).any(|layer| self.layer_annotations(layer).contains_key(key))
    }

    /// The manifest of the same image with other blobs: `blobs` has one for each layer, `None`
    /// where the layer stays. Other annotations of a layer stay; those of its old bytes go with
    /// them. Media types become those of `family`.
    pub fn with_layers(
        mut self,
        family: Family,
        blobs: &[Option<NewLayer>],
        annotations: &[(&str, String)],
    ) -> Result<Vec<u8>, ManifestError> {
        set(&mut self.document, "mediaType", family.manifest().into());
        if let Some(config) = self.document.get_mut("config").and_then(Value::as_object_mut) {
            set(config, "mediaType", family.config().into());
        }
        let documents = self.document.get_mut("layers").and_then(Value::as_array_mut);
        let documents = documents.ok_or_else(|| malformed("it has no layers"))?;
        for ((document, layer), blob) in documents.iter_mut().zip(&self.layers).zip(blobs) {
            if let Some(document) = document.as_object_mut() {
                edit_layer(document, layer, family, blob.as_ref())?;
            }
        }
        annotate(&mut self.document, annotations);
        serde_json::to_vec(&self.document).map_err(|error| malformed(error.to_string()))
    }
}

fn read_layer(number: usize, layer: &Value) -> Result<Layer, ManifestError> {
    // Tekton's bundles look like images, and their contract forbids zstd.
    let is_bundle = |annotations: &Map<String, Value>| {
        annotations.keys().any(|key| key.starts_with("dev.tekton.image."))
    };
    if layer.get("annotations").and_then(Value::as_object).is_some_and(is_bundle) {
        return Err(ManifestError::Artifact("a Tekton bundle".into()));
    }
    let media_type = text(layer, "mediaType");
    let layer_type = LayerType::parse(media_type)
        .ok_or_else(|| ManifestError::Layer { number, media_type: media_type.to_owned() })?;
    let urls = layer.get("urls").and_then(Value::as_array);
    let foreign = !layer_type.distributable && urls.is_some_and(|urls| !urls.is_empty());
    Ok(Layer { blob: descriptor(layer)?, layer_type, foreign })
}

fn edit_layer(
    document: &mut Map<String, Value>,
    layer: &Layer,
    family: Family,
    blob: Option<&NewLayer>,
) -> Result<(), ManifestError> {
    let suffix = blob.map_or(layer.layer_type.suffix, |blob| blob.suffix);
    set(document, "mediaType", family.layer(layer.layer_type.with(suffix))?.into());
    let Some(blob) = blob.filter(|blob| blob.blob.digest != layer.blob.digest) else {
        return Ok(());
    };
    set(document, "digest", blob.blob.digest.as_str().into());
    set(document, "size", blob.blob.size.into());
    // Inlined content and other places to fetch it from are those of the old bytes.
    document.shift_remove("data");
    document.shift_remove("urls");
    if let Some(annotations) = document.get_mut("annotations").and_then(Value::as_object_mut) {
        for key in crate::chunked::annotations::BOUND_TO_THE_BLOB {
            annotations.shift_remove(key);
        }
    }
    annotate(document, &blob.annotations);
    if document.get("annotations").and_then(Value::as_object).is_some_and(Map::is_empty) {
        document.shift_remove("annotations");
    }
    Ok(())
}

pub(super) fn annotate<K: AsRef<str>>(
    document: &mut Map<String, Value>,
    annotations: &[(K, String)],
) {
    if annotations.is_empty() {
        return;
    }
    let slot = document.entry("annotations").or_insert_with(|| json!({}));
    if !slot.is_object() {
        *slot = json!({});
    }
    if let Some(slot) = slot.as_object_mut() {
        for (key, value) in annotations {
            set(slot, key.as_ref(), value.as_str().into());
        }
    }
}

/// Keeps the field's place where it has one.
pub(super) fn set(object: &mut Map<String, Value>, key: &str, value: Value) {
    object.insert(key.to_owned(), value);
}

fn text<'a>(object: &'a Value, key: &str) -> &'a str {
    object.get(key).and_then(Value::as_str).unwrap_or_default()
}

pub(super) fn descriptor(object: &Value) -> Result<Descriptor, ManifestError> {
    let digest = text(object, "digest").parse()?;
    let size = object
        .get("size")
        .and_then(Value::as_u64)
        .ok_or_else(|| malformed("a descriptor has no size"))?;
    Ok(Descriptor { digest, size })
}

/// All blobs that a manifest needs in its repository, of an image or of anything else. What is
/// fetched from elsewhere is not among them.
pub fn blobs(manifest: &[u8]) -> Result<Vec<Descriptor>, ManifestError> {
    let manifest: Value =
        serde_json::from_slice(manifest).map_err(|error| malformed(error.to_string()))?;
    let layers = manifest.get("layers").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let own =
        |layer: &&Value| layer.get("urls").and_then(Value::as_array).is_none_or(Vec::is_empty);
    manifest.get("config").into_iter().chain(layers.iter().filter(own)).map(descriptor).collect()
}

/// The diffIDs of an image's config, the lowest layer's first (image-spec, config.md,
/// `rootfs.diff_ids`).
pub fn diff_ids(config: &[u8]) -> Result<Vec<Digest>, ManifestError> {
    let config: Value = serde_json::from_slice(config)
        .map_err(|error| malformed(format!("its config is no JSON: {error}")))?;
    let list = config.pointer("/rootfs/diff_ids").and_then(Value::as_array);
    list.ok_or_else(|| malformed("its config has no rootfs.diff_ids"))?
        .iter()
        .map(|id| Ok(id.as_str().unwrap_or_default().parse()?))
        .collect()
}

#[cfg(test)]
mod tests;
