//! What there is to do: the source read and understood, and what is to be made of it.

mod agree;
mod arrange;
mod index;
mod prove;
mod tag;

pub(super) use self::prove::prove;
pub(crate) use self::tag::derived_tag;
use super::{
    ConvertError, ConvertJob,
    format::{Format, Wanted},
    markers,
};
use crate::{
    image::{
        BlobId, Descriptor, Digest, DocumentError, Index,
        annotations::ZSTD_MARK,
        media_type::{LayerType, OCI_MANIFEST},
    },
    report::LeftReport,
    source::{Source, SourceImage},
    store::RawManifest,
};

/// One layer of the source.
#[derive(Debug)]
pub(super) struct PlannedLayer {
    pub(super) blob: BlobId,
    /// What its content has to have.
    pub(super) diff_id: Digest,
    /// It stays as it is, and is not read.
    pub(super) foreign: bool,
    /// How it is compressed, as its image says.
    pub(super) format: &'static str,
    /// How its image says that it was made.
    pub(super) recipe: Option<String>,
}

/// What a new layer depends on: its content, and how it is made. The lowest layer of an image may have
/// a TOC that it cannot have elsewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct LayerKey<'a> {
    pub(super) diff_id: &'a Digest,
    /// The blob, if no other one with this content will do.
    pub(super) blob: Option<&'a Digest>,
    pub(super) format: Format,
    pub(super) lowest: bool,
}

/// An image of the source that is converted.
#[derive(Debug)]
pub(super) struct PlannedImage {
    pub(super) source: SourceImage,
    pub(super) layers: Vec<PlannedLayer>,
}

/// A manifest to be made.
#[derive(Debug, Clone, Copy)]
pub(super) struct Variant {
    /// Which of the plan's images.
    pub(super) image: usize,
    pub(super) format: Format,
}

/// One entry of the index to be made.
#[derive(Debug)]
pub(super) enum Slot {
    /// A manifest that is made.
    Made {
        /// Which of the plan's variants.
        variant: usize,
        /// The entry of the image it is made from.
        entry: Box<Descriptor>,
    },
    /// A manifest that stays as it is.
    Kept {
        /// As it is written: corrected if the source's entry does not match the manifest.
        entry: Box<Descriptor>,
        /// `None` if the source does not have it, or it is not a manifest of a known type.
        manifest: Option<RawManifest>,
        /// How it is compressed, if it is an image that was read.
        format: Option<Format>,
    },
}

/// An index to be made.
#[derive(Debug)]
pub(super) struct IndexPlan {
    pub(super) document: Index,
    pub(super) slots: Vec<Slot>,
    pub(super) left: Vec<LeftReport>,
    /// It is an earlier result of this program, nothing about it changes, and every image in it has
    /// been proven in this run: its own bytes.
    pub(super) unchanged: Option<RawManifest>,
}

/// A source that has been read, and what becomes of it.
#[derive(Debug)]
pub(super) struct Plan {
    /// What the source's reference names.
    pub(super) root: RawManifest,
    /// The manifest that is converted: of an index, the image picked, or the index as a whole.
    pub(super) digest: Digest,
    pub(super) images: Vec<PlannedImage>,
    pub(super) variants: Vec<Variant>,
    /// Without one, the only variant is the result.
    pub(super) index: Option<IndexPlan>,
    /// What a reader of the report should know.
    pub(super) notes: Vec<String>,
}

impl PlannedLayer {
    /// With `is_itself`, its own blob has to be read. So is one that becomes gzip, because it may stay
    /// as it is.
    pub(super) fn key(&self, format: Format, lowest: bool, is_itself: bool) -> LayerKey<'_> {
        let is_itself = is_itself || format == Format::Gzip;
        LayerKey {
            diff_id: &self.diff_id,
            blob: is_itself.then_some(&self.blob.digest),
            format,
            lowest: lowest && format == Format::ZstdChunked,
        }
    }
}

impl Plan {
    /// The image that a variant is made from.
    pub(super) fn image_of(&self, variant: Variant) -> &PlannedImage {
        &self.images[variant.image]
    }

    /// The manifests that stay in the index as they are.
    pub(super) fn kept(&self) -> impl Iterator<Item = &Digest> {
        let slots = self.index.iter().flat_map(|index| &index.slots);
        slots.filter_map(|slot| match slot {
            Slot::Kept { manifest, .. } => Some(&manifest.as_ref()?.digest),
            Slot::Made { .. } => None,
        })
    }

    /// The entry of a slot before its manifest is made, with `manifest` in place of that.
    pub(super) fn draft(
        &self,
        slot: &Slot,
        manifest: &BlobId,
    ) -> Result<Descriptor, DocumentError> {
        match slot {
            Slot::Kept { entry, .. } => Ok((**entry).clone()),
            Slot::Made { entry, variant } => {
                let variant = self.variants[*variant];
                let layers = &self.image_of(variant).layers;
                let is_marked = variant.format.is_zstd()
                    && (layers.is_empty() || layers.iter().any(|layer| !layer.foreign));
                new_entry(entry, manifest, is_marked)
            }
        }
    }
}

/// The entry for a new manifest of the image that `entry` is for, with all else that it says.
pub(super) fn new_entry(
    entry: &Descriptor,
    manifest: &BlobId,
    marked: bool,
) -> Result<Descriptor, DocumentError> {
    let mut new = entry.clone();
    new.point_at(OCI_MANIFEST, manifest.clone());
    new.forget_bytes()?;
    new.set_annotation(ZSTD_MARK, marked.then_some("true"))?;
    Ok(new)
}

/// Reads the source, and decides what is made of it.
pub(super) async fn plan(job: &ConvertJob, source: &Source) -> Result<Plan, ConvertError> {
    let raw = source.root().await?;
    match &job.wanted {
        Wanted::Image { format, platform } => {
            let image = source.choose(raw.clone(), platform.as_ref()).await?;
            let digest = image.raw.digest.clone();
            let images = vec![planned(source, image)?];
            let variants = vec![Variant { image: 0, format: *format }];
            Ok(Plan { root: raw, digest, images, variants, index: None, notes: Vec::new() })
        }
        Wanted::Index { mode, formats, platforms } => {
            index::plan(job, source, raw, *mode, formats, platforms).await
        }
    }
}

/// An image whose layers and diffIDs match in number.
fn planned(source: &Source, image: SourceImage) -> Result<PlannedImage, ConvertError> {
    let (layers, diff_ids) = (&image.manifest.layers, &image.config.diff_ids);
    if layers.len() != diff_ids.len() {
        let (layers, diff_ids) = (layers.len(), diff_ids.len());
        let reason =
            format!("its manifest has {layers} layers, but its config has {diff_ids} diffIDs");
        return Err(source.unfit(&image.raw, DocumentError::malformed(reason)).into());
    }
    let annotations = &image.manifest.annotations;
    let recipe = markers::recipe_of(annotations).filter(|_| !markers::is_mixed(annotations));
    let layer = |(layer, diff_id): (&Descriptor, &Digest)| PlannedLayer {
        blob: layer.blob.clone(),
        diff_id: diff_id.clone(),
        foreign: layer.is_foreign(),
        format: if layer.is_chunked() {
            Format::ZstdChunked.as_str()
        } else {
            LayerType::parse(&layer.media_type).map_or("unknown", |kind| kind.suffix.as_str())
        },
        recipe: recipe.map(str::to_owned),
    };
    let layers = layers.iter().zip(diff_ids).map(layer).collect();
    Ok(PlannedImage { source: image, layers })
}
