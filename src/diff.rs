//! What clients that have one image fetch to get another, found out from the TOCs of both alone.
//!
//! The model of a client is containers/image and containers/storage with partial pulls enabled and
//! without composefs, in a store that has OLD and nothing else (`client`, `layer`). Layers of NEW
//! that are pulled before others may save some more.
//!
//! Memory: about 100 bytes for each file and chunk, up to [`ENTRIES_MAX`] of them, the compressed
//! TOCs and tar-split streams of [`FETCHES_MAX`] layers, and what the check of one needs
//! ([`crate::check`]).

mod client;
mod compare;
mod error;
mod gzip;
mod judge;
mod known;
mod layer;
mod page;
mod report;
mod select;
mod tally;
mod totals;
mod work;

pub(crate) use self::error::DiffError;
pub(crate) use self::report::DiffReport;
use self::{
    report::{DiffSide, ImageDiff, ONLY_NEW, ONLY_OLD, SkippedPlatform},
    select::{Pair, Side, Wanted},
};
use crate::{
    image::{ImageReference, Platform},
    source::{Source, SourceError},
    store::AccessOptions,
};

/// The most entries that the TOCs of both images may have, chunks included.
const ENTRIES_MAX: u64 = 1 << 21;
/// The most layers that all images may have: each is a request or two. Those of one image may come to a
/// fourth of it.
const LAYERS_MAX: u64 = 1 << 16;
/// Layers whose documents are fetched at a time.
const FETCHES_MAX: usize = 4;

#[derive(Debug, Clone)]
pub(crate) struct DiffJob {
    /// The image or index that clients have.
    pub(crate) old: ImageReference,
    /// The image or index that they pull.
    pub(crate) new: ImageReference,
    /// Which images of indexes; without it all of them.
    pub(crate) platform: Option<Platform>,
    pub(crate) access: AccessOptions,
}

pub(crate) async fn run(job: &DiffJob) -> Result<DiffReport, DiffError> {
    let of_old = job.access.toward(&job.new, &job.old);
    let (old, new) = tokio::try_join!(async { Side::open(&job.old, &of_old).await }, async {
        Side::open(&job.new, &job.access).await
    })?;
    let mut work = DiffWork::default();
    match Wanted::of(&old, &new, job.platform.as_ref()).await? {
        Wanted::One(platform) => {
            let pair = Box::pin(Pair::read(&old, &new, platform.as_ref())).await?;
            work.compare(&old, &new, pair).await?;
        }
        Wanted::Every { platforms, only_old } => {
            // One after the other: an index may name a large image many times.
            for platform in platforms {
                match Box::pin(Pair::read(&old, &new, Some(&platform))).await {
                    Ok(pair) => work.compare(&old, &new, pair).await?,
                    Err(SourceError::NoSuchPlatform { reference, .. }) if reference == job.old => {
                        work.skip(&platform, ONLY_NEW.to_owned());
                    }
                    Err(error) if select::is_passed_over(&error) => {
                        work.skip(&platform, error.to_string());
                    }
                    Err(error) => return Err(error.into()),
                }
            }
            for platform in only_old {
                work.skip(&platform, ONLY_OLD.to_owned());
            }
        }
    }
    let DiffWork { images, skipped, .. } = work;
    if images.is_empty() {
        return Err(DiffError::NothingInCommon {
            old: job.old.clone(),
            new: job.new.clone(),
            reasons: skipped
                .into_iter()
                .map(|SkippedPlatform { platform, reason }| format!("{platform}: {reason}"))
                .collect(),
        });
    }
    Ok(DiffReport { old: old.report(), new: new.report(), images, skipped })
}

/// What was compared so far.
#[derive(Debug, Default)]
struct DiffWork {
    images: Vec<ImageDiff>,
    skipped: Vec<SkippedPlatform>,
    layers: u64,
}

impl DiffWork {
    async fn compare(&mut self, old: &Side, new: &Side, pair: Pair) -> Result<(), DiffError> {
        let Pair { platform, old: of_old, new: of_new } = pair;
        self.layers += (of_old.manifest.layers.len() + of_new.manifest.layers.len()) as u64;
        if self.layers > LAYERS_MAX {
            return Err(DiffError::TooManyLayers { limit: LAYERS_MAX });
        }
        let compared = Box::pin(compare::images((old, &of_old), (new, &of_new)));
        let mut image = compared.await?;
        image.platform = platform.as_ref().map(Platform::to_string);
        self.images.push(image);
        if self.images.len() > 1 {
            for image in &mut self.images {
                (image.largest, image.directories) = (Vec::new(), Vec::new());
            }
        }
        Ok(())
    }

    fn skip(&mut self, platform: &Platform, reason: String) {
        self.skipped.push(SkippedPlatform { platform: platform.to_string(), reason });
    }
}

impl Side {
    async fn open(reference: &ImageReference, access: &AccessOptions) -> Result<Self, DiffError> {
        let source = Source::open(reference, access).await?;
        let root = source.root().await?;
        Ok(Self { source, root })
    }

    fn report(&self) -> DiffSide {
        DiffSide {
            reference: self.source.reference().to_string(),
            digest: self.root.digest.clone(),
            media_type: self.root.media_type.clone(),
        }
    }
}
