//! Images whose layers may be taken over, and what they say of their layers.

use std::{collections::HashSet, sync::Arc};

use super::{FoundLayer, Reusable};
use crate::{
    convert::{Run, markers},
    image::{
        Descriptor, Digest, EntryKind, ImageConfig, ImageReference, Manifest,
        annotations::ZSTD_MARK,
        media_type::{LayerType, Suffix},
    },
    store::{AccessOptions, Intent, RawManifest, Selector, Store, StoreError},
};

/// Images of one index that are read.
const IMAGES_MAX: usize = 32;
/// The longest config that is read, in bytes; containers/image has the same limit.
const CONFIG_MAX: u64 = 4 << 20;

#[derive(Debug)]
pub(super) struct Candidate {
    /// As the user named it.
    pub(super) reference: ImageReference,
    /// None if it is in the destination's repository.
    store: Option<Store>,
    is_destination: bool,
}

impl Candidate {
    /// What the destination's tag names now.
    pub(super) fn destination(run: &Run<'_>) -> Self {
        Self { reference: run.job.destination.clone(), store: None, is_destination: true }
    }

    pub(super) async fn open(
        run: &Run<'_>,
        reference: &ImageReference,
    ) -> Result<Self, StoreError> {
        let job = run.job;
        let store = if reference.is_same_place(&job.destination) {
            None
        } else {
            Some(Store::open(reference, Intent::Pull, &access(run, reference)).await?)
        };
        Ok(Self { reference: reference.clone(), store, is_destination: false })
    }

    pub(super) fn is_destination(&self) -> bool {
        self.is_destination
    }

    /// Whether it is in the destination's repository.
    pub(super) fn is_there(&self) -> bool {
        self.store.is_none()
    }

    pub(super) fn store<'a>(&'a self, run: &'a Run<'_>) -> &'a Store {
        self.store.as_ref().unwrap_or(&run.destination.store)
    }

    /// Where it is read from: a mirror, perhaps.
    pub(super) fn location(&self) -> ImageReference {
        match &self.store {
            Some(store) => store.location(&self.reference),
            None => self.reference.clone(),
        }
    }
}

/// Each registry gets the credentials that are given for it.
fn access(run: &Run<'_>, reference: &ImageReference) -> AccessOptions {
    let job = run.job;
    if reference.registry() == job.source.registry() {
        job.source_access.clone()
    } else {
        job.access.toward(&job.destination, reference)
    }
}

/// Adds the layers of a candidate that are wanted.
pub(super) async fn read(
    run: &Run<'_>,
    candidate: Candidate,
    wanted: &HashSet<&Digest>,
    found: &mut Reusable,
) {
    let candidate = Arc::new(candidate);
    let reader = Reader { run, candidate: &candidate, store: candidate.store(run), wanted };
    if let Err(error) = reader.read(found).await {
        let (image, error) = (&candidate.reference, error.with_causes());
        if candidate.is_destination {
            tracing::debug!(%image, error, "there is nothing to reuse");
        } else {
            tracing::warn!(%image, error, "cannot reuse layers of this image");
        }
    }
}

struct Reader<'a> {
    run: &'a Run<'a>,
    candidate: &'a Arc<Candidate>,
    store: &'a Store,
    wanted: &'a HashSet<&'a Digest>,
}

impl Reader<'_> {
    async fn read(&self, found: &mut Reusable) -> Result<(), StoreError> {
        let root = self.store.manifest(&Selector::of(&self.candidate.reference)).await?;
        if !root.is_index() {
            return self.image(&root, found).await;
        }
        let unfit = |reason| StoreError::Manifest {
            what: format!("index {}", root.digest),
            place: self.store.place(),
            reason,
        };
        let index = root.index().map_err(unfit)?;
        let is_marked = |entry: &Descriptor| entry.annotations.contains_key(ZSTD_MARK);
        let images = index.entries().filter(|entry| entry.entry_kind() == EntryKind::Manifest);
        // Those with zstd layers, if the index tells.
        let (marked, others): (Vec<_>, Vec<_>) = images.partition(|entry| is_marked(entry));
        for entry in marked.into_iter().chain(others).take(IMAGES_MAX) {
            let which = Selector::Digest(entry.blob.digest.clone());
            match self.store.manifest(&which).await {
                Ok(raw) => self.image(&raw, found).await?,
                Err(error) => tracing::debug!(digest = %entry.blob.digest, %error, "skipped"),
            }
        }
        Ok(())
    }

    async fn image(&self, raw: &RawManifest, found: &mut Reusable) -> Result<(), StoreError> {
        let Ok(manifest) = raw.manifest() else { return Ok(()) };
        let is_zstd = |layer: &&Descriptor| {
            let kind = LayerType::parse(&layer.media_type);
            !layer.is_foreign() && kind.is_some_and(|kind| kind.suffix == Suffix::Zstd)
        };
        if !manifest.layers.iter().any(|layer| is_zstd(&layer)) {
            return Ok(());
        }
        let diff_ids = self.diff_ids(&manifest).await?;
        if diff_ids.len() != manifest.layers.len() {
            return Ok(());
        }
        for (layer, diff_id) in manifest.layers.iter().zip(&diff_ids) {
            if is_zstd(&layer) && self.wanted.contains(diff_id) {
                let layer = FoundLayer {
                    blob: layer.blob.clone(),
                    annotations: layer.annotations.clone(),
                    chunked: layer.is_chunked(),
                    candidate: Arc::clone(self.candidate),
                    recipe: markers::recipe_of(&manifest.annotations).map(str::to_owned),
                    is_mixed: markers::is_mixed(&manifest.annotations),
                };
                found.add(diff_id, layer);
            }
        }
        Ok(())
    }

    /// Of its layers, by its config. That of the same source is known.
    async fn diff_ids(&self, manifest: &Manifest) -> Result<Vec<Digest>, StoreError> {
        let config = &manifest.config.blob;
        let known =
            self.run.plan.images.iter().find(|image| image.source.manifest.config.blob == *config);
        if let Some(image) = known {
            return Ok(image.source.config.diff_ids.clone());
        }
        let bytes = self.store.bytes(&config.digest, config.size, CONFIG_MAX).await?;
        Ok(ImageConfig::parse(&bytes).map(|config| config.diff_ids).unwrap_or_default())
    }
}
