//! What there is to do: the source read and understood, and what is to be made of it.

mod arrange;
mod index;
mod tag;

use bytes::Bytes;

pub(crate) use self::tag::derived_tag;
use super::{
    ConvertError, Job,
    format::{Format, Wanted},
};
use crate::{
    image::{
        Digest,
        index::{Entry, IndexDocument, Platform, pick, platforms},
        manifest::{Descriptor, ImageManifest, ManifestError, diff_ids},
    },
    store::{RawManifest, Selector, Store},
};

/// The most that is read of a config, in bytes; containers/image has the same limit.
const CONFIG_MAX: u64 = 4 << 20;

/// One layer of the source.
#[derive(Debug, Clone)]
pub(super) struct PlannedLayer {
    /// The blob.
    pub(super) blob: Descriptor,
    /// What its content has to be.
    pub(super) diff_id: Digest,
    /// It stays what it is, and is not read.
    pub(super) foreign: bool,
}

/// An image of the source that has been read.
#[derive(Debug)]
pub(super) struct SourceImage {
    pub(super) manifest: ImageManifest,
    /// Of the manifest.
    pub(super) digest: Digest,
    pub(super) config: Bytes,
    pub(super) layers: Vec<PlannedLayer>,
    /// Which of several it is, for messages.
    pub(super) platform: Option<Platform>,
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
        entry: Entry,
    },
    /// A manifest that stays what it is.
    Kept {
        entry: Entry,
        manifest: RawManifest,
        /// How it is compressed, if it is an image.
        format: Option<Format>,
    },
}

/// An entry of the source index that the new one does not have.
#[derive(Debug)]
pub(super) struct LeftEntry {
    pub(super) digest: Digest,
    pub(super) reason: String,
}

/// An index to be made.
#[derive(Debug)]
pub(super) struct IndexPlan {
    pub(super) document: IndexDocument,
    pub(super) slots: Vec<Slot>,
    pub(super) left: Vec<LeftEntry>,
}

/// A source that has been read, and what becomes of it.
#[derive(Debug)]
pub(super) struct Plan {
    /// The manifest that is converted: of an index, the image picked, or the index as a whole.
    pub(super) digest: Digest,
    pub(super) images: Vec<SourceImage>,
    pub(super) variants: Vec<Variant>,
    /// Without one, the only variant is the result.
    pub(super) index: Option<IndexPlan>,
}

impl Plan {
    /// The image that a variant is made from.
    pub(super) fn image_of(&self, variant: Variant) -> &SourceImage {
        &self.images[variant.image]
    }
}

pub(super) async fn plan(job: &Job, source: &Store) -> Result<Plan, ConvertError> {
    let reading = Reading { job, source };
    let raw = reading.manifest(&Selector::of(&job.source)).await?;
    match &job.wanted {
        Wanted::Image { format, platform } => {
            let raw = reading.pick_platform(raw, platform.as_ref()).await?;
            let image = reading.image(&raw, None).await?;
            let variants = vec![Variant { image: 0, format: *format }];
            Ok(Plan { digest: raw.digest, images: vec![image], variants, index: None })
        }
        Wanted::Index { mode, formats, platforms } => {
            index::plan(&reading, raw, *mode, formats, platforms).await
        }
    }
}

/// Reads the source.
struct Reading<'a> {
    job: &'a Job,
    source: &'a Store,
}

impl Reading<'_> {
    async fn manifest(&self, which: &Selector) -> Result<RawManifest, ConvertError> {
        let reference = || self.job.source.clone();
        let found = self.source.manifest(which).await;
        found.map_err(|error| ConvertError::Source { reference: reference(), error })
    }

    fn unfit(&self, error: ManifestError) -> ConvertError {
        ConvertError::Unfit { reference: self.job.source.clone(), error }
    }

    /// Reads what a manifest says, and its config.
    async fn image(
        &self,
        raw: &RawManifest,
        platform: Option<Platform>,
    ) -> Result<SourceImage, ConvertError> {
        let unfit = |error| self.unfit(error);
        let manifest = ImageManifest::parse(&raw.media_type, &raw.bytes).map_err(unfit)?;
        let Descriptor { digest, size } = manifest.config();
        let config =
            self.source.bytes(digest, *size, CONFIG_MAX).await.map_err(|error| {
                ConvertError::Source { reference: self.job.source.clone(), error }
            })?;
        let diff_ids = diff_ids(&config).map_err(unfit)?;
        if diff_ids.len() != manifest.layers().len() {
            let (layers, promised) = (manifest.layers().len(), diff_ids.len());
            return Err(unfit(ManifestError::Malformed(format!(
                "it has {layers} layers, its config has the diffIDs of {promised}"
            ))));
        }
        let layers = manifest
            .layers()
            .iter()
            .zip(diff_ids)
            .map(|(layer, diff_id)| PlannedLayer {
                blob: layer.blob.clone(),
                diff_id,
                foreign: layer.foreign,
            })
            .collect();
        Ok(SourceImage { manifest, digest: raw.digest.clone(), config, layers, platform })
    }

    /// Goes from an index to the image in it that was asked for.
    async fn pick_platform(
        &self,
        raw: RawManifest,
        platform: Option<&Platform>,
    ) -> Result<RawManifest, ConvertError> {
        let reference = || self.job.source.clone();
        if !raw.is_index() {
            return match platform {
                None => Ok(raw),
                Some(_) => Err(ConvertError::NoIndex { reference: reference() }),
            };
        }
        let available = || platforms(&raw.bytes).map_err(|error| self.unfit(error));
        let Some(platform) = platform else {
            return Err(ConvertError::Index { reference: reference(), available: available()? });
        };
        match pick(&raw.bytes, platform).map_err(|error| self.unfit(error))? {
            Some(digest) => self.manifest(&Selector::Digest(digest)).await,
            None => Err(ConvertError::NoSuchPlatform {
                reference: reference(),
                platform: platform.clone(),
                available: available()?,
            }),
        }
    }
}
