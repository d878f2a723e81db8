//! Which images are compared: for each platform what podman takes, on both sides.

use super::{error::DiffError, report::SkippedPlatform};
use crate::{
    image::Platform,
    source::{Source, SourceError, SourceImage},
    store::RawManifest,
};

/// One of both references.
#[derive(Debug)]
pub(super) struct Side {
    pub(super) source: Source,
    /// What it leads to.
    pub(super) root: RawManifest,
}

#[derive(Debug)]
pub(super) struct Pair {
    pub(super) platform: Option<Platform>,
    pub(super) old: SourceImage,
    pub(super) new: SourceImage,
}

/// The images to compare, and the platforms that only one side has.
pub(super) async fn pairs(
    old: &Side,
    new: &Side,
    platform: Option<&Platform>,
) -> Result<(Vec<Pair>, Vec<SkippedPlatform>), DiffError> {
    let wanted = match (platform, old.root.is_index(), new.root.is_index()) {
        (Some(platform), ..) => Some(platform.clone()),
        (None, true, true) => return every_pair(old, new).await,
        (None, true, false) => new.image(None).await?.platform,
        (None, false, true) => old.image(None).await?.platform,
        (None, false, false) => None,
    };
    let (old, new) = tokio::try_join!(old.image(wanted.as_ref()), new.image(wanted.as_ref()))?;
    let platform = wanted.or_else(|| new.platform.clone());
    Ok((vec![Pair { platform, old, new }], Vec::new()))
}

async fn every_pair(
    old: &Side,
    new: &Side,
) -> Result<(Vec<Pair>, Vec<SkippedPlatform>), DiffError> {
    let (mut pairs, mut skipped) = (Vec::new(), Vec::new());
    let of_old = old.source.index(&old.root)?.platforms();
    let of_new = new.source.index(&new.root)?.platforms();
    for platform in &of_new {
        let images = tokio::try_join!(old.image(Some(platform)), new.image(Some(platform)));
        match images {
            Ok((old, new)) => {
                pairs.push(Pair { platform: Some(platform.clone()), old, new });
            }
            Err(error) if is_passed_over(&error) => {
                let (platform, reason) = (platform.to_string(), error.to_string());
                skipped.push(SkippedPlatform { platform, reason });
            }
            Err(error) => return Err(error.into()),
        }
    }
    for platform in of_old.iter().filter(|one| !of_new.iter().any(|other| one.is_same(other))) {
        let reason = format!("{} has no image for it", new.source.reference());
        skipped.push(SkippedPlatform { platform: platform.to_string(), reason });
    }
    if pairs.is_empty() {
        return Err(DiffError::NothingInCommon {
            old: old.source.reference().clone(),
            new: new.source.reference().clone(),
            reasons: skipped.into_iter().map(|skipped| skipped.reason).collect(),
        });
    }
    Ok((pairs, skipped))
}

fn is_passed_over(error: &SourceError) -> bool {
    matches!(error, SourceError::NoSuchPlatform { .. }) || error.is_unfit()
}

impl Side {
    /// Length of the documents of an image, with the index that leads to it.
    pub(super) fn documents(&self, image: &SourceImage) -> u64 {
        let index = if self.root.is_index() { self.root.size() } else { 0 };
        image.raw.size().saturating_add(image.manifest.config.blob.size).saturating_add(index)
    }

    /// What podman takes for a platform.
    async fn image(&self, platform: Option<&Platform>) -> Result<SourceImage, SourceError> {
        let Side { source, root } = self;
        if let Some(platform) = platform.filter(|_| root.is_index())
            && let Some(taken) = source.taken_by_podman(root, platform).await?
        {
            let raw = source.manifest(&taken.manifest).await?;
            return source.image(raw, Some(platform)).await;
        }
        source.choose(root.clone(), platform).await
    }
}
