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
};
use crate::{
    image::{BlobId, Descriptor, Digest, DocumentError, Index},
    source::{Source, SourceImage},
    store::RawManifest,
};

/// One layer of the source.
#[derive(Debug, Clone)]
pub(super) struct PlannedLayer {
    /// The blob.
    pub(super) blob: BlobId,
    /// What its content has to be.
    pub(super) diff_id: Digest,
    /// It stays what it is, and is not read.
    pub(super) foreign: bool,
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
    /// A manifest that stays what it is.
    Kept {
        /// As it is written: mended where the source's says something else than the manifest.
        entry: Box<Descriptor>,
        /// `None` if the source does not have it, or it is not a manifest of a known type.
        manifest: Option<RawManifest>,
        /// How it is compressed, if it is an image that has been looked at.
        format: Option<Format>,
    },
}

/// An entry of the source index that the new one does not have.
#[derive(Debug, Clone)]
pub(super) struct LeftEntry {
    pub(super) digest: Digest,
    pub(super) reason: String,
}

/// An index to be made.
#[derive(Debug)]
pub(super) struct IndexPlan {
    pub(super) document: Index,
    pub(super) slots: Vec<Slot>,
    pub(super) left: Vec<LeftEntry>,
    /// It is an earlier result of this program, nothing about it changes, and every image in it has
    /// been proven in this run: its own bytes.
    pub(super) unchanged: Option<RawManifest>,
}

/// A source that has been read, and what becomes of it.
#[derive(Debug)]
pub(super) struct Plan {
    /// The manifest that is converted: of an index, the image picked, or the index as a whole.
    pub(super) digest: Digest,
    pub(super) images: Vec<PlannedImage>,
    pub(super) variants: Vec<Variant>,
    /// Without one, the only variant is the result.
    pub(super) index: Option<IndexPlan>,
    /// What a reader of the report should know.
    pub(super) notes: Vec<String>,
}

impl Plan {
    /// The image that a variant is made from.
    pub(super) fn image_of(&self, variant: Variant) -> &PlannedImage {
        &self.images[variant.image]
    }
}

pub(super) async fn plan(job: &ConvertJob, source: &Source) -> Result<Plan, ConvertError> {
    let raw = source.root().await?;
    match &job.wanted {
        Wanted::Image { format, platform } => {
            let image = source.choose(raw, platform.as_ref()).await?;
            let digest = image.raw.digest.clone();
            let images = vec![planned(source, image)?];
            let variants = vec![Variant { image: 0, format: *format }];
            Ok(Plan { digest, images, variants, index: None, notes: Vec::new() })
        }
        Wanted::Index { mode, formats, platforms } => {
            index::plan(job, source, raw, *mode, formats, platforms).await
        }
    }
}

/// An image whose layers and diffIDs fit together.
fn planned(source: &Source, image: SourceImage) -> Result<PlannedImage, ConvertError> {
    let (layers, diff_ids) = (&image.manifest.layers, &image.config.diff_ids);
    if layers.len() != diff_ids.len() {
        let (layers, diff_ids) = (layers.len(), diff_ids.len());
        let reason = format!("it has {layers} layers, its config has the diffIDs of {diff_ids}");
        return Err(source.unfit(&image.raw, DocumentError::malformed(reason)).into());
    }
    let layer = |(layer, diff_id): (&Descriptor, &Digest)| PlannedLayer {
        blob: layer.blob.clone(),
        diff_id: diff_id.clone(),
        foreign: layer.is_foreign(),
    };
    let layers = layers.iter().zip(diff_ids).map(layer).collect();
    Ok(PlannedImage { source: image, layers })
}
