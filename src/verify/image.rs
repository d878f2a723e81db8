//! Images as they are found, with every descriptor's annotations.

use std::{collections::BTreeMap, fs::File, io, str::FromStr};

use bytes::Bytes;
use serde::{Deserialize, Deserializer, de::Error as _};

use crate::{
    check::Annotations,
    image::{
        Digest, ImageReference,
        index::{self, Platform},
        manifest,
        media_type::{DOCKER_CONFIG, DOCKER_MANIFEST, LayerType, OCI_CONFIG},
    },
    store::{
        AccessOptions, BlobMismatch, CopyError, Intent, RawManifest, Selector, Store, StoreError,
    },
};

/// The most that is read of a config, in bytes; containers/image has the same limit.
const CONFIG_MAX: u64 = 4 << 20;

/// An image that could not be looked at.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// Its store failed.
    #[error("cannot read {reference}")]
    Store {
        /// The image.
        reference: ImageReference,
        /// The store's error.
        #[source]
        error: Box<StoreError>,
    },
    /// It is no image, or malformed.
    #[error("{reference} is no image that can be read: {reason}")]
    Unfit {
        /// The image.
        reference: ImageReference,
        /// What is wrong with it.
        reason: String,
    },
    /// The index has no image for the platform.
    #[error("{reference} has no image for {platform}")]
    NoSuchPlatform {
        /// The index.
        reference: ImageReference,
        /// What was asked for.
        platform: Platform,
    },
    /// A platform was given and there is a single image.
    #[error("{reference} is a single image and no index; leave out --platform")]
    NoIndex {
        /// The image.
        reference: ImageReference,
    },
    /// Several images and a single one cannot be compared.
    #[error("{reference} is a single image; choose the one to compare with it by --platform")]
    WhichPlatform {
        /// The single image.
        reference: ImageReference,
    },
    /// No temporary file.
    #[error("cannot write a temporary file in {dir}; set TMPDIR to a folder with room for a layer")]
    Spool {
        /// The folder.
        dir: String,
        /// The operating system's word for it.
        source: io::Error,
    },
    /// A download broke off.
    #[error("cannot read a layer to its end")]
    Download(#[source] io::Error),
    /// A fault of this program.
    #[error("a thread broke down; this is a fault of this program, please report it")]
    Internal,
}

/// What a manifest says of a blob.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Descriptor {
    #[serde(default)]
    pub(crate) media_type: String,
    #[serde(deserialize_with = "digest")]
    pub(crate) digest: Digest,
    pub(crate) size: u64,
    #[serde(default)]
    annotations: Option<Annotations>,
    #[serde(default)]
    urls: Option<Vec<String>>,
    #[serde(default)]
    platform: Option<PlatformFields>,
}

#[derive(Debug, Clone, Deserialize)]
struct PlatformFields {
    #[serde(default)]
    os: String,
    #[serde(default)]
    architecture: String,
    variant: Option<String>,
}

fn digest<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Digest, D::Error> {
    let text = String::deserialize(deserializer)?;
    Digest::from_str(&text).map_err(D::Error::custom)
}

impl Descriptor {
    pub(crate) fn annotations(&self) -> &Annotations {
        static NONE: Annotations = BTreeMap::new();
        self.annotations.as_ref().unwrap_or(&NONE)
    }

    /// It is fetched from elsewhere, and its store may not have it.
    pub(crate) fn foreign(&self) -> bool {
        LayerType::parse(&self.media_type).is_some_and(|found| !found.distributable)
            && self.urls.as_ref().is_some_and(|urls| !urls.is_empty())
    }

    /// What an index says it is for. The attestations that builders add are for `unknown/unknown`.
    pub(crate) fn platform(&self) -> Option<Platform> {
        let PlatformFields { os, architecture, variant } = self.platform.clone()?;
        let variant = variant.filter(|variant| !variant.is_empty());
        (os != "unknown").then_some(Platform { os, architecture, variant })
    }
}

#[derive(Deserialize)]
struct Manifest {
    config: Descriptor,
    layers: Vec<Descriptor>,
}

#[derive(Deserialize)]
struct Index {
    manifests: Vec<Descriptor>,
}

/// An image with its config.
#[derive(Debug, Clone)]
pub(crate) struct Image {
    /// Of the manifest.
    pub(crate) digest: Digest,
    /// By the index it was found in.
    pub(crate) platform: Option<Platform>,
    /// A Docker manifest, not one of OCI.
    pub(crate) docker: bool,
    pub(crate) config: Descriptor,
    pub(crate) config_bytes: Bytes,
    pub(crate) diff_ids: Vec<Digest>,
    pub(crate) layers: Vec<Descriptor>,
}

impl Image {
    /// The platform by the config (image-spec, config.md).
    pub(crate) fn own_platform(&self) -> Option<Platform> {
        let fields: PlatformFields = serde_json::from_slice(&self.config_bytes).ok()?;
        let variant = fields.variant.filter(|variant| !variant.is_empty());
        Some(Platform { os: fields.os, architecture: fields.architecture, variant })
    }
}

/// Where an image is, opened to be read.
#[derive(Debug)]
pub(crate) struct Source {
    pub(crate) reference: ImageReference,
    store: Store,
}

impl Source {
    pub(crate) async fn open(
        reference: &ImageReference,
        access: &AccessOptions,
    ) -> Result<Self, ImageError> {
        let reference = reference.clone();
        match Store::open(&reference, Intent::Pull, access).await {
            Ok(store) => Ok(Self { reference, store }),
            Err(error) => Err(ImageError::Store { reference, error: Box::new(error) }),
        }
    }

    fn failed(&self, error: StoreError) -> ImageError {
        ImageError::Store { reference: self.reference.clone(), error: Box::new(error) }
    }

    fn unfit(&self, reason: &impl ToString) -> ImageError {
        ImageError::Unfit { reference: self.reference.clone(), reason: reason.to_string() }
    }

    /// What the reference leads to: an image or an index.
    pub(crate) async fn manifest(&self) -> Result<RawManifest, ImageError> {
        self.store.manifest(&Selector::of(&self.reference)).await.map_err(|e| self.failed(e))
    }

    /// The descriptors of an index.
    pub(crate) fn members(&self, index: &RawManifest) -> Result<Vec<Descriptor>, ImageError> {
        let index: Index = serde_json::from_slice(&index.bytes).map_err(|e| self.unfit(&e))?;
        Ok(index.manifests)
    }

    /// The image for `platform` of an index.
    pub(crate) async fn pick(
        &self,
        index: &RawManifest,
        platform: &Platform,
    ) -> Result<Image, ImageError> {
        let digest = index::pick(&index.bytes, platform).map_err(|e| self.unfit(&e))?;
        let digest = digest.ok_or_else(|| ImageError::NoSuchPlatform {
            reference: self.reference.clone(),
            platform: platform.clone(),
        })?;
        self.by_digest(&digest, Some(platform.clone())).await
    }

    pub(crate) async fn by_digest(
        &self,
        digest: &Digest,
        platform: Option<Platform>,
    ) -> Result<Image, ImageError> {
        let raw = self.store.manifest(&Selector::Digest(digest.clone())).await;
        self.image(&raw.map_err(|e| self.failed(e))?, platform).await
    }

    /// Reads an image by its manifest.
    pub(crate) async fn image(
        &self,
        raw: &RawManifest,
        platform: Option<Platform>,
    ) -> Result<Image, ImageError> {
        if raw.is_index() {
            return Err(self.unfit(&"an index within an index"));
        }
        let Manifest { config, layers } =
            serde_json::from_slice(&raw.bytes).map_err(|e| self.unfit(&e))?;
        if !matches!(config.media_type.as_str(), OCI_CONFIG | DOCKER_CONFIG) {
            let kind = &config.media_type;
            return Err(self.unfit(&format!("it is an artifact of the type {kind:?}")));
        }
        let config_bytes = self.store.bytes(&config.digest, config.size, CONFIG_MAX).await;
        let config_bytes = config_bytes.map_err(|e| self.failed(e))?;
        let diff_ids = manifest::diff_ids(&config_bytes).map_err(|e| self.unfit(&e))?;
        let docker = raw.media_type == DOCKER_MANIFEST;
        let digest = raw.digest.clone();
        Ok(Image { digest, platform, docker, config, config_bytes, diff_ids, layers })
    }

    /// Downloads a layer into a temporary file. The inner error says that it is not what its
    /// descriptor says.
    pub(crate) async fn fetch(
        &self,
        layer: &Descriptor,
    ) -> Result<Result<File, BlobMismatch>, ImageError> {
        let blob = self.store.blob(&layer.digest, layer.size).await;
        let blob = blob.map_err(|e| self.failed(e))?;
        let work = move || {
            let spool = |source| ImageError::Spool {
                dir: std::env::temp_dir().display().to_string(),
                source,
            };
            let mut file = tempfile::tempfile().map_err(spool)?;
            match blob.copy_to(&mut file) {
                Ok(()) => Ok(Ok(file)),
                Err(CopyError::Write(error)) => Err(spool(error)),
                Err(CopyError::Read(error)) => match BlobMismatch::of(&error) {
                    Some(mismatch) => Ok(Err(mismatch.clone())),
                    None => Err(ImageError::Download(error)),
                },
            }
        };
        tokio::task::spawn_blocking(work).await.map_err(|_| ImageError::Internal)?
    }
}
