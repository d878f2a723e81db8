//! Images whose layers may be taken over, and what they say of their layers.

use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
    time::Duration,
};

use super::{FoundLayer, Reusable};
use crate::{
    convert::{Run, markers},
    image::{
        Descriptor, Digest, EntryKind, ImageConfig, ImageReference, Manifest,
        annotations::ZSTD_MARK,
        digest::Algorithm,
        media_type::{LayerType, Suffix},
    },
    source::CONFIG_MAX,
    store::{AccessOptions, Intent, Patience, RawManifest, Selector, Store, StoreError},
};

/// Images of one index that are read.
const IMAGES_MAX: usize = 32;

/// Reading what a candidate says may take this long: the run can do without it.
const READ_TIME: Duration = Duration::from_secs(120);
/// Tries of each request.
const TRIES: u32 = 3;
/// How long nothing may move.
const IDLE: Duration = Duration::from_secs(30);

/// Who named a candidate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NamedBy {
    User,
    /// As its base.
    Source,
    /// It is what the destination's tag names now.
    Destination,
}

#[derive(Debug)]
pub(super) struct Candidate {
    /// As it was named.
    pub(super) reference: ImageReference,
    /// None if it is in the destination's repository.
    store: Option<Store>,
    named_by: NamedBy,
}

impl Candidate {
    async fn open(
        run: &Run<'_>,
        reference: &ImageReference,
        named_by: NamedBy,
    ) -> Result<Self, StoreError> {
        let store = if reference.is_same_place(&run.job.destination) {
            None
        } else {
            Some(Store::open(reference, Intent::Pull, &access(run, reference)).await?)
        };
        Ok(Self { reference: reference.clone(), store, named_by })
    }

    pub(super) fn is_destination(&self) -> bool {
        self.named_by == NamedBy::Destination
    }

    /// Whether the user named it by digest. What the source says is not the user's word.
    pub(super) fn is_pinned_by_user(&self) -> bool {
        self.named_by == NamedBy::User && self.reference.digest().is_some()
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

/// Each registry gets the credentials that are given for it, and less patience than one that is
/// needed.
fn access(run: &Run<'_>, reference: &ImageReference) -> AccessOptions {
    let job = run.job;
    let access = if reference.registry() == job.source.registry() {
        job.source_access.clone()
    } else {
        job.access.toward(&job.destination, reference)
    };
    let patience = access.patience.with_few_tries(TRIES);
    AccessOptions { patience: Patience { idle: patience.idle.min(IDLE), ..patience }, ..access }
}

/// Adds the layers of a candidate that are wanted.
pub(super) async fn read(
    run: &Run<'_>,
    image: &ImageReference,
    named_by: NamedBy,
    wanted: &HashSet<&Digest>,
    found: &mut Reusable,
) {
    let read = async {
        let candidate = Arc::new(Candidate::open(run, image, named_by).await?);
        let reader = Reader { run, candidate: &candidate, store: candidate.store(run), wanted };
        reader.read(found).await
    };
    let error = match tokio::time::timeout(READ_TIME, read).await {
        Ok(Ok(())) => return,
        Ok(Err(error)) => error.with_causes(),
        Err(_) => format!("reading it takes more than {} s", READ_TIME.as_secs()),
    };
    if named_by == NamedBy::Destination {
        tracing::debug!(%image, error, "there is nothing to reuse");
    } else {
        tracing::warn!(%image, error, "cannot reuse layers of this image");
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
            let read = async { self.image(&self.store.manifest(&which).await?, found).await };
            if let Err(error) = read.await {
                tracing::debug!(digest = %entry.blob.digest, %error, "skipped");
            }
        }
        Ok(())
    }

    async fn image(&self, raw: &RawManifest, found: &mut Reusable) -> Result<(), StoreError> {
        let Ok(manifest) = raw.manifest() else { return Ok(()) };
        // New layers have SHA-256 digests, and not every registry and client knows others.
        let is_zstd = |layer: &&Descriptor| {
            let kind = LayerType::parse(&layer.media_type);
            !layer.is_foreign()
                && kind.is_some_and(|kind| kind.suffix == Suffix::Zstd)
                && layer.blob.digest.algorithm() == Algorithm::Sha256
        };
        if !manifest.layers.iter().any(|layer| is_zstd(&layer)) {
            return Ok(());
        }
        let diff_ids = self.diff_ids(&manifest).await?;
        if diff_ids.len() != manifest.layers.len() {
            return Ok(());
        }
        let mut unfit = BTreeMap::new();
        for (layer, diff_id) in manifest.layers.iter().zip(&diff_ids) {
            if is_zstd(&layer) && self.wanted.contains(diff_id) {
                let layer = FoundLayer {
                    blob: layer.blob.clone(),
                    annotations: layer.annotations.clone(),
                    chunked: layer.is_chunked(),
                    wanted_toc: markers::is_made_as_chunked(&manifest.annotations),
                    candidate: Arc::clone(self.candidate),
                    recipe: markers::recipe_of(&manifest.annotations).map(str::to_owned),
                    is_mixed: markers::is_mixed(&manifest.annotations),
                };
                if let Err(reason) = found.add(self.run, diff_id, layer) {
                    *unfit.entry(reason).or_insert(0) += 1;
                }
            }
        }
        for (reason, layers) in unfit {
            tracing::info!(image = %raw.digest, layers, reason, "layers are of no use");
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
