//! Images whose layers may be taken over, and what they say of their layers.

use std::{
    collections::{BTreeMap, HashSet},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
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
    report::{ReuseNote, human::counted},
    source::CONFIG_MAX,
    store::{AccessOptions, Intent, NamedBy, Patience, RawManifest, Selector, Store, StoreError},
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
pub(super) enum Origin {
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
    named_by: Origin,
    /// The destination's registry has not mounted a layer of it.
    is_copied: AtomicBool,
}

impl Candidate {
    async fn open(
        run: &Run<'_>,
        reference: &ImageReference,
        named_by: Origin,
    ) -> Result<Self, StoreError> {
        let store = if reference.is_same_place(&run.job.destination) {
            None
        } else {
            Some(Store::open(reference, Intent::Pull, &access(run, reference, named_by)).await?)
        };
        let is_copied = AtomicBool::new(false);
        Ok(Self { reference: reference.clone(), store, named_by, is_copied })
    }

    pub(super) fn is_destination(&self) -> bool {
        self.named_by == Origin::Destination
    }

    /// Whether the user named it by digest. What the source says is not the user's word.
    pub(super) fn is_pinned_by_user(&self) -> bool {
        self.named_by == Origin::User && self.reference.digest().is_some()
    }

    /// Whether it is in the destination's repository.
    pub(super) fn is_there(&self) -> bool {
        self.store.is_none()
    }

    /// Whether its layers may get to the destination without being sent: they are in the same
    /// registry, which has not refused to mount one.
    pub(super) fn may_be_mounted(&self, run: &Run<'_>) -> bool {
        let Store::Registry(destination) = &run.destination.store else { return false };
        destination.neighbor(&self.location()).is_some() && !self.is_copied.load(Ordering::Relaxed)
    }

    pub(super) fn is_not_mounted(&self) {
        self.is_copied.store(true, Ordering::Relaxed);
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
fn access(run: &Run<'_>, reference: &ImageReference, by: Origin) -> AccessOptions {
    let (job, registry) = (run.job, reference.registry());
    let [source, destination] = [&job.source, &job.destination].map(ImageReference::registry);
    let named_by = match by {
        Origin::Source if registry != source && registry != destination => {
            NamedBy::Image(source.map(str::to_owned))
        }
        _ => NamedBy::User,
    };
    let access = if registry == source {
        job.source_access.clone()
    } else {
        job.access.toward(&job.destination, reference)
    };
    let patience = access.patience.with_few_tries(TRIES);
    let patience = Patience { idle: patience.idle.min(IDLE), ..patience };
    AccessOptions { named_by, patience, ..access }
}

/// Adds the layers of a candidate that are wanted, as far as they can be read until `end`. Returns
/// what a user who named it should know: mostly that it is of no use.
pub(super) async fn read(
    run: &Run<'_>,
    image: &ImageReference,
    named_by: Origin,
    wanted: &HashSet<&Digest>,
    end: Instant,
    found: &mut Reusable,
) -> Option<ReuseNote> {
    let mut seen = Seen::default();
    let read = async {
        let candidate = Arc::new(Candidate::open(run, image, named_by).await?);
        let store = candidate.store(run);
        let mut reader = Reader { run, candidate: &candidate, store, wanted, seen: &mut seen };
        reader.read(found).await
    };
    let time = READ_TIME.min(end.saturating_duration_since(Instant::now()));
    let error = match tokio::time::timeout(time, read).await {
        Ok(Ok(())) => {
            let note = seen
                .note()
                .or_else(|| (named_by == Origin::User).then(|| untrusted(run, image))?)?;
            return Some(ReuseNote { image: image.to_string(), note, logged: false });
        }
        Ok(Err(error)) => error.with_causes(),
        Err(_) => format!("reading it takes more than {} s", time.as_secs()),
    };
    if named_by == Origin::Destination {
        tracing::debug!("nothing to reuse in {image}: {error}");
    } else {
        tracing::warn!("cannot reuse layers of {image}: {error}");
    }
    let note = format!("cannot be read: {error}");
    Some(ReuseNote { image: image.to_string(), note, logged: true })
}

/// Why layers are verified although the user trusts digests.
fn untrusted(run: &Run<'_>, image: &ImageReference) -> Option<String> {
    let why = if image.is_archive() {
        "it is in an archive"
    } else if image.registry().is_none() {
        "it is in a layout"
    } else if image.digest().is_none() {
        "it is named by tag"
    } else {
        return None;
    };
    let trusted = run.job.reuse.trust_digests;
    trusted.then(|| format!("verified although --reuse-trust=digest, because {why}"))
}

/// What was found in a candidate.
#[derive(Debug, Default)]
struct Seen {
    added: u64,
    zstd: u64,
    gzip: u64,
    /// Why a layer with the right content is of no use.
    unfit: Option<&'static str>,
}

impl Seen {
    /// Why nothing is reused.
    fn note(&self) -> Option<String> {
        let why = match self {
            Self { added: 1.., .. } => return None,
            Self { unfit: Some(reason), .. } => reason,
            Self { zstd: 1.., .. } => "none of its layers has the content of a layer of the source",
            Self { gzip: 1.., .. } => "its layers are gzip; convert it first, and name the result",
            Self { .. } => "it has no zstd layers",
        };
        Some(format!("nothing is reused: {why}"))
    }
}

struct Reader<'a> {
    run: &'a Run<'a>,
    candidate: &'a Arc<Candidate>,
    store: &'a Store,
    wanted: &'a HashSet<&'a Digest>,
    seen: &'a mut Seen,
}

impl Reader<'_> {
    async fn read(&mut self, found: &mut Reusable) -> Result<(), StoreError> {
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
                tracing::debug!(
                    "skipping manifest {} in the search for layers: {error}",
                    entry.blob.digest
                );
            }
        }
        Ok(())
    }

    async fn image(&mut self, raw: &RawManifest, found: &mut Reusable) -> Result<(), StoreError> {
        let Ok(manifest) = raw.manifest() else { return Ok(()) };
        let suffix = |layer: &Descriptor| LayerType::parse(&layer.media_type).map(|it| it.suffix);
        // New layers have SHA-256 digests, and not every registry and client knows others.
        let is_zstd = |layer: &&Descriptor| {
            !layer.is_foreign()
                && suffix(layer) == Some(Suffix::Zstd)
                && layer.blob.digest.algorithm() == Algorithm::Sha256
        };
        let zstd = manifest.layers.iter().filter(is_zstd).count() as u64;
        let is_gzip = |layer: &&Descriptor| suffix(layer) == Some(Suffix::Gzip);
        self.seen.zstd += zstd;
        self.seen.gzip += manifest.layers.iter().filter(is_gzip).count() as u64;
        self.log(
            raw,
            manifest.layers.len() as u64 - zstd,
            "they are not zstd with SHA-256 digests",
        );
        if zstd == 0 {
            return Ok(());
        }
        let diff_ids = self.diff_ids(&manifest).await?;
        if diff_ids.len() != manifest.layers.len() {
            self.log(raw, zstd, "the config of their image does not match its manifest");
            return Ok(());
        }
        let (mut unfit, mut others) = (BTreeMap::new(), 0);
        for (layer, diff_id) in manifest.layers.iter().zip(&diff_ids) {
            if !is_zstd(&layer) {
                continue;
            }
            if !self.wanted.contains(diff_id) {
                others += 1;
                continue;
            }
            let layer = FoundLayer {
                blob: layer.blob.clone(),
                annotations: layer.annotations.clone(),
                chunked: layer.is_chunked(),
                wanted_toc: markers::is_made_as_chunked(&manifest.annotations),
                candidate: Arc::clone(self.candidate),
                recipe: markers::recipe_of(&manifest.annotations).map(str::to_owned),
                is_mixed: markers::is_mixed(&manifest.annotations),
            };
            match found.add(self.run, diff_id, layer) {
                Ok(()) => self.seen.added += 1,
                Err(reason) => *unfit.entry(reason).or_insert(0) += 1,
            }
        }
        self.log(raw, others, "the source has no layer with their content");
        for (reason, layers) in unfit {
            self.log(raw, layers, reason);
            self.seen.unfit = Some(reason);
        }
        Ok(())
    }

    /// Layers that are not considered.
    fn log(&self, image: &RawManifest, layers: u64, reason: &str) {
        if layers > 0 {
            let (from, image) = (&self.candidate.reference, &image.digest);
            let layers = counted(layers, "layer");
            tracing::debug!("{from}, {image}: {layers} not considered for reuse: {reason}");
        }
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
