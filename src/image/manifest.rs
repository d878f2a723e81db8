//! A manifest as it came from its store, and the same manifest about other blobs. It is edited as
//! JSON, so that fields this program does not know stay what they were.

use super::{
    DocumentError, UnfitImage,
    annotations::{self, Annotations},
    descriptor::{self, BlobId, Descriptor},
    document,
    json::Object,
    media_type::{self, Family, LayerType, Suffix},
};

/// The manifest of an image, or of an artifact that has the same form.
#[derive(Debug, Clone)]
pub struct Manifest {
    object: Object,
    /// The config, or what an artifact has in its place.
    pub config: Descriptor,
    /// The layers, the lowest first.
    pub layers: Vec<Descriptor>,
    /// The manifest that it refers to.
    pub subject: Option<Descriptor>,
    /// What it says of itself.
    pub annotations: Annotations,
    artifact_type: Option<String>,
}

/// A blob that takes the place of a layer's; it may be the same one.
#[derive(Debug, Clone)]
pub struct NewLayer {
    pub blob: BlobId,
    /// How it is compressed.
    pub suffix: Suffix,
    /// Annotations to add.
    pub annotations: Vec<(&'static str, String)>,
}

impl Manifest {
    /// Reads an OCI image manifest or a Docker manifest of version 2, schema 2. A list of layers
    /// that is missing or `null` is an empty one.
    pub fn parse(bytes: &[u8]) -> Result<Self, DocumentError> {
        let object = Object::document(bytes, &document::FIELDS)?;
        object.integer("schemaVersion")?;
        object.text("mediaType")?;
        let part = |name: &str| -> Result<Option<Descriptor>, DocumentError> {
            let part = object.object(name, &descriptor::FIELDS)?;
            part.map(Descriptor::parse)
                .transpose()
                .map_err(|error| error.within(format!("its {name}")))
        };
        let layers = object.objects("layers", &descriptor::FIELDS)?.unwrap_or_default();
        let layer = |(index, layer)| {
            Descriptor::parse(layer)
                .map_err(|error| error.within(format!("its layer {}", index + 1)))
        };
        Ok(Self {
            config: part("config")?.ok_or_else(|| DocumentError::malformed("it has no config"))?,
            layers: layers.into_iter().enumerate().map(layer).collect::<Result<_, _>>()?,
            subject: part("subject")?,
            annotations: object.map("annotations")?.unwrap_or_default(),
            artifact_type: object.filled_text("artifactType")?,
            object,
        })
    }

    /// What the layers of an image are. `Err` if it is not an image, or one with layers that are not
    /// tars: encrypted, of a file system, of another tool.
    pub fn image_layers(&self) -> Result<Vec<LayerType>, UnfitImage> {
        let shown = |kind: &str| super::digest::shorten(kind).escape_debug().to_string();
        let artifact = |kind: &str| Err(UnfitImage::Artifact(shown(kind)));
        if !self.has_image_config() {
            return artifact(self.kind());
        }
        // Tekton's bundles look like images, and their contract forbids zstd.
        let is_bundle = |key: &String| key.starts_with(annotations::TEKTON_BUNDLE);
        if self.layers.iter().any(|layer| layer.annotations.keys().any(is_bundle)) {
            return artifact("a Tekton bundle");
        }
        let layer_type = |(index, layer): (usize, &Descriptor)| {
            LayerType::parse(&layer.media_type).ok_or_else(|| UnfitImage::Layer {
                number: index + 1,
                media_type: super::digest::shorten(&layer.media_type),
            })
        };
        self.layers.iter().enumerate().map(layer_type).collect()
    }

    /// Whether its config is that of an image; if not, no client runs it.
    pub fn has_image_config(&self) -> bool {
        matches!(
            self.config.media_type.as_str(),
            media_type::OCI_CONFIG | media_type::DOCKER_CONFIG
        )
    }

    /// What an artifact is: its `artifactType`, or the media type of its config, which stands for it.
    pub fn kind(&self) -> &str {
        self.artifact_type.as_deref().unwrap_or(&self.config.media_type)
    }

    /// The blobs that a store has to have in order to have all of it.
    pub fn needed_blobs(&self) -> impl Iterator<Item = &BlobId> {
        let layers = self.layers.iter().filter(|layer| !layer.is_foreign());
        [&self.config].into_iter().chain(layers).map(|part| &part.blob)
    }

    /// Whether clients that know no zstd can read it, going by the media types.
    pub fn is_readable_by_all(&self) -> bool {
        self.layers.iter().all(|layer| {
            LayerType::parse(&layer.media_type).is_none_or(|layer| layer.suffix != Suffix::Zstd)
        })
    }

    /// Whether a layer claims to have a TOC of zstd:chunked.
    pub fn is_chunked(&self) -> bool {
        self.layers.iter().any(Descriptor::is_chunked)
    }

    /// The manifest of the same image with other blobs, and what of the old one had to go:
    /// annotations that speak of its bytes, unless the same layer has them again, and the `subject`,
    /// because what an image refers to is for whoever attached it to say. `blobs` has one for each
    /// layer, `None` where the layer stays. Media types become those of `family`.
    pub fn with_layers(
        mut self,
        family: Family,
        blobs: &[Option<NewLayer>],
        annotations: &[(&str, String)],
    ) -> Result<(Vec<u8>, Vec<String>), DocumentError> {
        let types = self.image_layers()?;
        let mut gone = Vec::new();
        self.config.point_at(family.config(), self.config.blob.clone());
        for ((layer, layer_type), blob) in self.layers.iter_mut().zip(types).zip(blobs) {
            let suffix = blob.as_ref().map_or(layer_type.suffix, |blob| blob.suffix);
            let media_type = family.layer(layer_type.with(suffix))?;
            let Some(blob) = blob else {
                layer.point_at(media_type, layer.blob.clone());
                continue;
            };
            layer.point_at(media_type, blob.blob.clone());
            let forgotten = layer.forget_bytes()?;
            for (key, value) in &blob.annotations {
                layer.set_annotation(key, Some(value))?;
            }
            gone.extend(forgotten.into_iter().filter(|key| !layer.annotations.contains_key(key)));
        }
        if self.object.has("subject") {
            self.object.remove("subject");
            gone.push("subject".to_owned());
        }
        let stale = self.annotations.keys().filter(|key| annotations::is_of_the_bytes(key));
        let stale: Vec<String> = stale.cloned().collect();
        self.object.edit("annotations", |object| {
            object.retain(|key| !annotations::is_of_the_bytes(key));
            for (key, value) in annotations {
                object.set(key, value);
            }
        })?;
        gone.extend(stale);
        gone.sort_unstable();
        gone.dedup();
        self.object.set("mediaType", &family.manifest());
        self.object.set("config", self.config.object());
        let layers: Vec<_> = self.layers.iter().map(Descriptor::object).collect();
        self.object.set("layers", &layers);
        Ok((self.object.to_json().into_bytes(), gone))
    }
}

#[cfg(test)]
mod tests;
