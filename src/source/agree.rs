//! Indexes in which clients see different images for one platform. Whichever of them was converted,
//! some clients would get another image than they got from the source.

use super::{Source, SourceError, SourceImage};
use crate::{
    image::{Digest, Platform, choice::taken_by_podman},
    store::RawManifest,
};

/// What podman gets from an index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Taken {
    /// Which entry of the index.
    pub(crate) entry: usize,
    pub(crate) manifest: Digest,
    /// The config, which is the identity of the image.
    pub(crate) config: Digest,
}

impl Source {
    /// What podman gets from an index for a platform. `None` if it gets nothing.
    pub(crate) async fn taken_by_podman(
        &self,
        raw: &RawManifest,
        wanted: &Platform,
    ) -> Result<Option<Taken>, SourceError> {
        let index = self.index(raw)?;
        let taken = taken_by_podman(index.entries(), &raw.media_type, wanted);
        let Some((entry, listed)) = taken.and_then(|n| Some((n, index.entries().nth(n)?))) else {
            return Ok(None);
        };
        let raw = match self.manifest(&listed.blob.digest).await {
            // It refuses an index within an index.
            Ok(raw) if raw.is_index() => return Ok(None),
            Ok(raw) => raw,
            Err(error) if error.is_missing() => return Ok(None),
            Err(error) => return Err(error),
        };
        let manifest = raw.manifest().map_err(|error| self.unfit(&raw, error))?;
        let config = manifest.config.blob.digest.clone();
        // It may well run what is not converted here: layers go by their content there.
        let is_image = manifest.has_image_config();
        Ok(is_image.then_some(Taken { entry, manifest: raw.digest, config }))
    }

    /// Finds out whether podman takes the same image as `chosen`. It knows no versions of a system,
    /// so whoever names one has chosen.
    pub(super) async fn check_agreed(
        &self,
        raw: &RawManifest,
        wanted: &Platform,
        chosen: &SourceImage,
    ) -> Result<(), SourceError> {
        if wanted.os_version.is_some() {
            return Ok(());
        }
        match self.taken_by_podman(raw, wanted).await? {
            Some(taken) if taken.config != chosen.manifest.config.blob.digest => {
                Err(self.disagreement(wanted, taken.manifest, chosen.raw.digest.clone()))
            }
            _ => Ok(()),
        }
    }

    /// The error for an index of which podman and others take different images.
    pub(crate) fn disagreement(
        &self,
        platform: &Platform,
        podman: Digest,
        others: Digest,
    ) -> SourceError {
        SourceError::Disagreement {
            reference: self.reference.clone(),
            platform: Box::new(platform.clone()),
            podman,
            others,
        }
    }
}
