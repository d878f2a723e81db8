//! Which images are compared: for each platform what podman takes, on both sides.

use super::error::DiffError;
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

/// The platforms that are compared.
#[derive(Debug)]
pub(super) enum Wanted {
    /// The only image on each side, or that for the platform.
    One(Option<Platform>),
    Every {
        /// Those of NEW.
        platforms: Vec<Platform>,
        only_old: Vec<Platform>,
    },
}

impl Wanted {
    pub(super) async fn of(
        old: &Side,
        new: &Side,
        platform: Option<&Platform>,
    ) -> Result<Self, DiffError> {
        Ok(match (platform, old.root.is_index(), new.root.is_index()) {
            (Some(platform), ..) => Self::One(Some(platform.clone())),
            (None, true, true) => {
                let mut only_old = old.source.index(&old.root)?.platforms();
                let platforms = new.source.index(&new.root)?.platforms();
                only_old.retain(|one| !platforms.iter().any(|other| one.is_same(other)));
                Self::Every { platforms, only_old }
            }
            (None, true, false) => Self::One(new.image(None).await?.platform),
            (None, false, true) => Self::One(old.image(None).await?.platform),
            (None, false, false) => Self::One(None),
        })
    }
}

impl Pair {
    pub(super) async fn read(
        old: &Side,
        new: &Side,
        platform: Option<&Platform>,
    ) -> Result<Self, SourceError> {
        let (old, new) = tokio::try_join!(old.image(platform), new.image(platform))?;
        let platform = platform.or(new.platform.as_ref()).cloned();
        Ok(Self { platform, old, new })
    }
}

/// Whether the other platforms are compared all the same. A mirror may have some of an index only.
pub(super) fn is_passed_over(error: &SourceError) -> bool {
    matches!(error, SourceError::NoSuchPlatform { .. }) || error.is_unfit() || error.is_missing()
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
