//! Where an image is read from, for every command: opened, chosen out of an index, and its manifest
//! and config read.

mod agree;
mod error;
mod toc;

use std::{collections::HashMap, sync::Mutex};

use bytes::Bytes;

pub use self::error::SourceError;
pub(crate) use self::toc::LayerDocuments;
pub use self::toc::NoDocuments;
use crate::{
    image::{
        BlobId, Descriptor, Digest, DocumentError, EntryKind, ImageConfig, ImageReference, Index,
        Manifest, Platform, media_type::LayerType,
    },
    store::{AccessOptions, BlobReader, Intent, RawManifest, Selector, Store, StoreError},
};

/// The most that is read of a config, in bytes; containers/image has the same limit.
pub(crate) const CONFIG_MAX: u64 = 4 << 20;

/// All manifests and configs that are read of one source, in bytes, each counted once. Those of an
/// index for twenty platforms come to less than one megabyte.
const DOCUMENTS_MAX: u64 = 16 << 20;

/// More entries than any index has that people made; each is a request or two.
pub(crate) const ENTRIES_MAX: usize = 1000;

/// A repository or layout that images are read from. Each document is fetched once.
#[derive(Debug)]
pub(crate) struct Source {
    reference: ImageReference,
    location: ImageReference,
    store: Store,
    documents: Mutex<Fetched>,
}

#[derive(Debug, Default)]
struct Fetched {
    manifests: HashMap<Digest, RawManifest>,
    configs: HashMap<Digest, Bytes>,
    size: u64,
}

/// An image that has been read.
#[derive(Debug, Clone)]
pub(crate) struct SourceImage {
    /// Its manifest as it is stored.
    pub(crate) raw: RawManifest,
    /// The same, read.
    pub(crate) manifest: Manifest,
    /// What each layer is.
    pub(crate) layer_types: Vec<LayerType>,
    /// Its config as it is stored.
    pub(crate) config_bytes: Bytes,
    /// The same, read.
    pub(crate) config: ImageConfig,
    /// What it runs on: by the index that it was found in, else by its config.
    pub(crate) platform: Option<Platform>,
}

impl Source {
    /// Opens the store that `reference` points into.
    pub(crate) async fn open(
        reference: &ImageReference,
        access: &AccessOptions,
    ) -> Result<Self, SourceError> {
        let reference = reference.clone();
        match Store::open(&reference, Intent::Pull, access).await {
            Ok(store) => {
                let location = store.location(&reference);
                Ok(Self { reference, location, store, documents: Mutex::default() })
            }
            Err(error) => Err(SourceError::Store { reference, error: Box::new(error) }),
        }
    }

    /// What was opened.
    pub(crate) fn reference(&self) -> &ImageReference {
        &self.reference
    }

    /// Where that is read from: a mirror, perhaps.
    pub(crate) fn location(&self) -> &ImageReference {
        &self.location
    }

    /// Where it is.
    pub(crate) fn store(&self) -> &Store {
        &self.store
    }

    /// Where to look for what a tag or a list names, if [`Source::store`] is a mirror only for what is
    /// asked for by digest: whoever runs it has no say in what is attached to an image.
    pub(crate) async fn store_of_names(
        &self,
        access: &AccessOptions,
    ) -> Result<Option<Store>, StoreError> {
        if !self.store.is_for_digests() {
            return Ok(None);
        }
        let repository = self.reference.repository()?;
        Store::open(&repository, Intent::Pull, access).await.map(Some)
    }

    /// A store's error as one of the source.
    pub(crate) fn failed(&self, error: StoreError) -> SourceError {
        SourceError::Store { reference: self.reference.clone(), error: Box::new(error) }
    }

    /// What is wrong with a document of the source.
    pub(crate) fn unfit(&self, raw: &RawManifest, error: impl Into<DocumentError>) -> SourceError {
        let (reference, error) = (self.reference.clone(), error.into());
        let named = self.reference.digest() == Some(&raw.digest);
        SourceError::Unfit { reference, part: (!named).then(|| raw.digest.clone()), error }
    }

    /// What the reference leads to: a manifest or an index.
    pub(crate) async fn root(&self) -> Result<RawManifest, SourceError> {
        let raw = self.store.manifest(&Selector::of(&self.reference)).await;
        let raw = raw.map_err(|error| self.failed(error))?;
        let what = if raw.is_index() { "an index" } else { "a manifest" };
        tracing::debug!("{} is {what}, {}", self.reference, raw.digest);
        self.note(raw)
    }

    /// A manifest or an index by its digest.
    pub(crate) async fn manifest(&self, digest: &Digest) -> Result<RawManifest, SourceError> {
        let known = self.lock().manifests.get(digest).cloned();
        if let Some(known) = known {
            return Ok(known);
        }
        let raw = self.store.manifest(&Selector::Digest(digest.clone())).await;
        self.note(raw.map_err(|error| self.failed(error))?)
    }

    /// The entries of an index.
    pub(crate) fn index(&self, raw: &RawManifest) -> Result<Index, SourceError> {
        let index = raw.index().map_err(|error| self.unfit(raw, error))?;
        if index.entries().count() > ENTRIES_MAX {
            let reason = format!("it has more than {ENTRIES_MAX} entries");
            return Err(self.unfit(raw, DocumentError::malformed(reason)));
        }
        Ok(index)
    }

    /// Reads an image by its manifest.
    pub(crate) async fn image(
        &self,
        raw: RawManifest,
        platform: Option<&Platform>,
    ) -> Result<SourceImage, SourceError> {
        let manifest = raw.manifest().map_err(|error| self.unfit(&raw, error))?;
        let layer_types = manifest.image_layers().map_err(|error| self.unfit(&raw, error))?;
        let config_bytes = self.config(&manifest.config.blob).await?;
        let config = ImageConfig::parse(&config_bytes).map_err(|error| self.unfit(&raw, error))?;
        let platform = platform.or(config.platform.as_ref()).cloned();
        Ok(SourceImage { raw, manifest, layer_types, config_bytes, config, platform })
    }

    /// The image that is meant: the only one there is, or the first one of an index for a platform.
    /// The first, because where an index has several for one platform, those in front are the ones
    /// that every client can read. What is not an image is never chosen.
    pub(crate) async fn choose(
        &self,
        raw: RawManifest,
        platform: Option<&Platform>,
    ) -> Result<SourceImage, SourceError> {
        if !raw.is_index() {
            let image = self.image(raw, None).await?;
            let fits = |wanted: &Platform| {
                image.config.platform.as_ref().is_some_and(|found| wanted.fit(found).is_some())
            };
            return match platform.filter(|wanted| !fits(wanted)) {
                None => Ok(image),
                Some(wanted) => Err(SourceError::OtherPlatform {
                    reference: self.reference.clone(),
                    wanted: Box::new(wanted.clone()),
                    found: image.config.platform.map(Box::new),
                }),
            };
        }
        let (index, index_raw) = (self.index(&raw)?, raw);
        let Some(wanted) = platform else {
            let (reference, available) = (self.reference.clone(), index.platforms());
            return Err(SourceError::Index { reference, available });
        };
        let mut unfit = None;
        for entry in candidates(&index, wanted) {
            let raw = self.manifest(&entry.blob.digest).await?;
            match self.image(raw, entry.platform()).await {
                Err(error) if error.is_unfit() => {
                    unfit.get_or_insert(error);
                }
                Ok(image) if image.platform.as_ref().is_none_or(|p| wanted.fit(p).is_none()) => {}
                Ok(image) => {
                    self.check_agreed(&index_raw, wanted, &image).await?;
                    tracing::debug!(
                        "{}: {} is the image for {wanted}",
                        self.reference,
                        image.raw.digest
                    );
                    return Ok(image);
                }
                Err(error) => return Err(error),
            }
        }
        Err(unfit.unwrap_or_else(|| SourceError::NoSuchPlatform {
            reference: self.reference.clone(),
            platform: Box::new(wanted.clone()),
            available: index.platforms(),
        }))
    }

    /// Opens the blob of a layer to be streamed.
    pub(crate) async fn blob(&self, blob: &BlobId) -> Result<BlobReader, SourceError> {
        self.store.blob(&blob.digest, blob.size).await.map_err(|error| self.failed(error))
    }

    async fn config(&self, blob: &BlobId) -> Result<Bytes, SourceError> {
        let known = self.lock().configs.get(&blob.digest).cloned();
        if let Some(known) = known.filter(|known| known.len() as u64 == blob.size) {
            return Ok(known);
        }
        let config = self.store.bytes(&blob.digest, blob.size, CONFIG_MAX).await;
        let config = config.map_err(|error| self.failed(error))?;
        let mut documents = self.lock();
        documents.configs.insert(blob.digest.clone(), config.clone());
        documents.size += config.len() as u64;
        self.check_size(documents.size).map(|()| config)
    }

    fn note(&self, raw: RawManifest) -> Result<RawManifest, SourceError> {
        let mut documents = self.lock();
        if documents.manifests.insert(raw.digest.clone(), raw.clone()).is_none() {
            documents.size += raw.size();
        }
        self.check_size(documents.size).map(|()| raw)
    }

    fn check_size(&self, size: u64) -> Result<(), SourceError> {
        if size <= DOCUMENTS_MAX {
            return Ok(());
        }
        Err(SourceError::TooLarge { reference: self.reference.clone(), limit: DOCUMENTS_MAX })
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Fetched> {
        self.documents.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// The entries that may be the image for a platform, the best first: those that say so, and then
/// those that do not say what they are for.
fn candidates<'a>(
    index: &'a Index,
    wanted: &Platform,
) -> impl Iterator<Item = &'a Descriptor> + use<'a> {
    let manifests = index.entries().filter(|entry| entry.entry_kind() == EntryKind::Manifest);
    let (named, unnamed): (Vec<_>, Vec<_>) =
        manifests.partition(|entry| entry.platform().is_some());
    let fit = |entry: &&Descriptor| entry.platform().and_then(|found| wanted.fit(found));
    let mut fitting: Vec<_> =
        named.into_iter().filter_map(|entry| Some((fit(&entry)?, entry))).collect();
    // Stable: of those that fit equally well the first one.
    fitting.sort_by_key(|(fit, _)| *fit);
    fitting.into_iter().map(|(_, entry)| entry).chain(unnamed)
}
