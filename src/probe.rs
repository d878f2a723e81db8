//! What a registry does for partial pulls. The format of a layer is half of what they need: the
//! registry has to serve several ranges of a blob at once, and some do not.
//!
//! The rules are those of containers/image (`image/docker/docker_image_src.go`, `GetBlobAt`, and
//! `image/copy/single.go`): it begins with one request for two ranges, TOC and tar-split. An answer
//! of 400 makes it pull the whole layer instead, one of 200 is read to its end and used, and since
//! podman 5.3 all else ends the pull.

mod report;
mod sample;

use std::{sync::Arc, time::Duration};

use serde::Deserialize;

pub use self::{
    report::{Outcome, ProbeReport, Probed, RangeReport, ReferrersReport, Verdict},
    sample::{Blob, Sample},
};
use crate::{
    check::{Annotations, Claims, Findings, Span},
    image::{Digest, ImageReference, manifest::Descriptor, media_type},
    store::{AccessOptions, Intent, RawManifest, Registry, Selector, Store, StoreError},
};

/// After a push, a probe that takes longer is given up: it is not what the run is for.
const PATIENCE: Duration = Duration::from_secs(60);

/// What is to be probed.
#[derive(Debug, Clone)]
pub struct Job {
    /// An image or an index in a registry.
    pub image: ImageReference,
    /// How registries are talked to.
    pub access: AccessOptions,
}

/// A probe that could not be made.
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    /// The registry failed.
    #[error("cannot probe the registry with {reference}")]
    Store {
        /// The image.
        reference: ImageReference,
        /// What failed.
        #[source]
        error: Box<StoreError>,
    },
    /// There is no blob to ask for.
    #[error("cannot probe the registry with {reference}: {reason}; name another image")]
    Unfit {
        /// The image.
        reference: ImageReference,
        /// What is wrong with it.
        reason: String,
    },
    /// It is not in a registry.
    #[error("{reference} is a layout on disk; only a registry can be probed")]
    NoRegistry {
        /// The layout.
        reference: ImageReference,
    },
}

#[derive(Deserialize)]
struct Index {
    manifests: Vec<Member>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Member {
    #[serde(default)]
    media_type: String,
    digest: String,
}

#[derive(Deserialize)]
struct Manifest {
    config: BlobFields,
    layers: Vec<BlobFields>,
}

#[derive(Deserialize)]
struct BlobFields {
    digest: String,
    size: u64,
    #[serde(default)]
    annotations: Option<Annotations>,
    /// Where there are some, the registry may not have the blob.
    #[serde(default)]
    urls: Option<Vec<String>>,
}

/// Asks the registry that has an image, with one of the image's blobs.
pub async fn run(job: &Job) -> Result<ProbeReport, ProbeError> {
    let reference = || job.image.clone();
    let failed = |error| ProbeError::Store { reference: reference(), error: Box::new(error) };
    let unfit = |reason: &str| ProbeError::Unfit { reference: reference(), reason: reason.into() };
    let no_registry = || ProbeError::NoRegistry { reference: reference() };
    if matches!(job.image, ImageReference::Layout(_)) {
        return Err(no_registry());
    }
    let store = Store::open(&job.image, Intent::Pull, &job.access).await.map_err(failed)?;
    let Store::Registry(registry) = &store else { return Err(no_registry()) };
    let mut manifest = store.manifest(&Selector::of(&job.image)).await.map_err(failed)?;
    if manifest.is_index() {
        let image = first_image(&manifest).ok_or_else(|| unfit("it is an index of no images"))?;
        manifest = store.manifest(&Selector::Digest(image)).await.map_err(failed)?;
    }
    let blobs = blobs(&manifest).ok_or_else(|| unfit("its manifest cannot be read"))?;
    let sample = Sample::choose(blobs)
        .ok_or_else(|| unfit("it has no blob that is large enough to ask for parts of it"))?;
    let mut report = ask(registry, &sample).await.map_err(failed)?;
    let status = registry.referrers_status(&manifest.digest).await.map_err(failed)?;
    report.referrers = Some(ReferrersReport { status, supported: status == 200 });
    Ok(report)
}

/// Asks the registry that an image was pushed to, with the best of `blobs`; layers of zstd:chunked
/// have to be among them. Never fails: what goes wrong is in the answer.
pub async fn after_push(registry: &Arc<Registry>, blobs: Vec<Blob>) -> Probed {
    let Some(sample) = Sample::choose(blobs) else {
        return Probed::failed("the image has no blob that is large enough");
    };
    match tokio::time::timeout(PATIENCE, ask(registry, &sample)).await {
        Ok(Ok(report)) => Probed::Done(Box::new(report)),
        Ok(Err(error)) => Probed::failed(&error.with_causes()),
        Err(_) => Probed::failed(&format!("no answer within {} s", PATIENCE.as_secs())),
    }
}

/// Two requests: one for everything from the first range to the last, one for both.
async fn ask(registry: &Registry, sample: &Sample) -> Result<ProbeReport, StoreError> {
    let single = registry.ranges(&sample.digest, &[sample.span()]).await?;
    let two = registry.ranges(&sample.digest, &sample.ranges).await?;
    Ok(ProbeReport::new(sample, &single, &two))
}

fn first_image(index: &RawManifest) -> Option<Digest> {
    let Index { manifests } = serde_json::from_slice(&index.bytes).ok()?;
    let is_image = |member: &&Member| {
        matches!(member.media_type.as_str(), media_type::OCI_MANIFEST | media_type::DOCKER_MANIFEST)
    };
    manifests.iter().find(is_image)?.digest.parse().ok()
}

/// The blobs of a manifest, as far as the registry has to have them.
fn blobs(manifest: &RawManifest) -> Option<Vec<Blob>> {
    let Manifest { config, layers } = serde_json::from_slice(&manifest.bytes).ok()?;
    let own = layers.into_iter().filter(|layer| layer.urls.as_ref().is_none_or(Vec::is_empty));
    own.chain([config])
        .map(|fields| {
            let BlobFields { digest, size, annotations, .. } = fields;
            let blob = Descriptor { digest: digest.parse().ok()?, size };
            let claims = annotations.filter(crate::check::is_chunked);
            let claims = claims.and_then(|all| Claims::read(&all, &mut Findings::default()));
            let span = |span: Span| Some(span.offset..span.end()?);
            let metadata = claims.and_then(|claims| {
                Some((claims.toc_digest, [span(claims.toc)?, span(claims.tar_split?)?]))
            });
            Some(Blob { blob, metadata })
        })
        .collect()
}
