//! What refers to a manifest, wherever it lives.

use super::{LayoutError, RawManifest, Selector, Store, StoreError};
use crate::image::{Descriptor, Digest};

/// Entries that are kept of a list; nobody hangs that many on an image.
pub(super) const REFERRERS_MAX: usize = 1000;

/// A list of what refers to a manifest.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Referrers {
    /// The manifests that refer, at most 1000.
    pub list: Vec<Descriptor>,
    /// How many entries were no descriptors.
    pub others: usize,
    /// There were more, which have not been read.
    pub cut: bool,
}

impl Referrers {
    /// Takes in entries, as far as there is room.
    pub(super) fn take(&mut self, entries: impl IntoIterator<Item = Descriptor>) {
        for entry in entries {
            if self.list.len() == REFERRERS_MAX {
                self.cut = true;
                return;
            }
            self.list.push(entry);
        }
    }
}

impl Store {
    /// Lists what refers to a manifest by its `subject`. Nothing if the registry cannot tell: then
    /// the index under the tag [`fallback_tag`](crate::image::referrer::fallback_tag) does.
    pub async fn referrers(&self, subject: &Digest) -> Result<Option<Referrers>, StoreError> {
        match self {
            Self::Registry(registry) => registry.referrers(subject).await,
            Self::Layout(layout) => layout.referrers(subject).await.map(Some),
        }
    }

    /// Reads a manifest that need not be there, as with [`Store::manifest`].
    pub async fn find_manifest(&self, which: &Selector) -> Result<Option<RawManifest>, StoreError> {
        match self.manifest(which).await {
            Ok(manifest) => Ok(Some(manifest)),
            Err(StoreError::NotFound { .. } | StoreError::Layout(LayoutError::NoImage { .. })) => {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Writes a manifest that has a `subject`, under its digest. `referrer` describes it. Returns
    /// whether the store lists it among what refers to its subject from now on; if not, that is to
    /// be done by an index under the tag
    /// [`fallback_tag`](crate::image::referrer::fallback_tag).
    pub async fn put_referrer(
        &self,
        manifest: &RawManifest,
        referrer: &Descriptor,
    ) -> Result<bool, StoreError> {
        match self {
            Self::Registry(registry) => registry.put_manifest(manifest, None).await,
            Self::Layout(layout) => layout.put_referrer(manifest, referrer).await.map(|()| true),
        }
    }
}
