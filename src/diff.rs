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
    report::DiffSide,
    select::{Pair, Side, pairs},
};
use crate::{
    image::{ImageReference, Platform},
    source::Source,
    store::AccessOptions,
};

/// The most entries that the TOCs of both images may have, chunks included.
const ENTRIES_MAX: u64 = 1 << 21;
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
    let (pairs, skipped) = pairs(&old, &new, job.platform.as_ref()).await?;
    let mut images = Vec::new();
    for Pair { platform, old: of_old, new: of_new } in &pairs {
        let mut image = compare::images((&old, of_old), (&new, of_new)).await?;
        image.platform = platform.as_ref().map(Platform::to_string);
        if pairs.len() > 1 {
            image.largest.clear();
            image.directories.clear();
        }
        images.push(image);
    }
    Ok(DiffReport { old: old.report(), new: new.report(), images, skipped })
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
