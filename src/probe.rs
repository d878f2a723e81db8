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

pub use self::{
    report::{ProbeReport, ProbeVerdict, Probed, RangeOutcome, RangeReport, ReferrersReport},
    sample::{ProbeBlob, Sample},
};
use crate::{
    check::{Claims, Findings, Span},
    image::{Descriptor, EntryKind, ImageReference, Manifest},
    source::{Source, SourceError},
    store::{AccessOptions, Repository, Store, StoreError},
};

/// After a push, a probe that takes longer is given up: it is not what the run is for.
const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Debug, Clone)]
pub struct ProbeJob {
    /// An image or an index in a registry.
    pub image: ImageReference,
    pub access: AccessOptions,
}

/// A probe that could not be made.
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    /// The image could not be read, or the registry failed.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// There is no blob to ask for.
    #[error("cannot use {reference} to probe the registry: {reason}; try another image")]
    Unfit { reference: ImageReference, reason: String },
    /// It is not in a registry.
    #[error("{reference} is not in a registry; only a registry can be probed")]
    NoRegistry { reference: ImageReference },
}

/// Asks the registry that has an image, with one of the image's blobs.
pub async fn run(job: &ProbeJob) -> Result<ProbeReport, ProbeError> {
    let reference = || job.image.clone();
    let unfit = |reason: &str| ProbeError::Unfit { reference: reference(), reason: reason.into() };
    let no_registry = || ProbeError::NoRegistry { reference: reference() };
    if job.image.registry().is_none() {
        return Err(no_registry());
    }
    let source = Source::open(&job.image, &job.access).await?;
    let Store::Registry(registry) = source.store() else { return Err(no_registry()) };
    let mut raw = source.root().await?;
    if raw.is_index() {
        let index = source.index(&raw)?;
        let mut entries = index.entries();
        let image = entries.find(|entry| entry.entry_kind() == EntryKind::Manifest);
        let image = image.ok_or_else(|| unfit("the index has no images"))?;
        raw = source.manifest(&image.blob.digest).await?;
    }
    let manifest = raw.manifest().map_err(|error| source.unfit(&raw, error))?;
    let sample = Sample::choose(blobs(&manifest))
        .ok_or_else(|| unfit("it has no blob large enough to request parts of"))?;
    let failed = |error| ProbeError::Source(source.failed(error));
    let mut report = ask(registry, &sample).await.map_err(failed)?;
    let status = registry.referrers_status(&raw.digest).await.map_err(failed)?;
    report.referrers = Some(ReferrersReport { status, supported: status == 200 });
    Ok(report)
}

/// Asks the registry that an image was pushed to, with the best of `blobs`; layers of zstd:chunked
/// have to be among them. Never fails: what goes wrong is in the answer.
pub async fn after_push(registry: &Arc<Repository>, blobs: Vec<ProbeBlob>) -> Probed {
    let Some(sample) = Sample::choose(blobs) else {
        return Probed::failed("the image has no blob large enough");
    };
    match tokio::time::timeout(PATIENCE, ask(registry, &sample)).await {
        Ok(Ok(report)) => Probed::Done(Box::new(report)),
        Ok(Err(error)) => Probed::failed(&error.with_causes()),
        Err(_) => Probed::failed(&format!("no answer within {} s", PATIENCE.as_secs())),
    }
}

/// Two requests: one for everything from the first range to the last, one for both.
async fn ask(registry: &Repository, sample: &Sample) -> Result<ProbeReport, StoreError> {
    let single = registry.ranges(&sample.digest, &[sample.span()]).await?;
    let two = registry.ranges(&sample.digest, &sample.ranges).await?;
    Ok(ProbeReport::new(sample, &single, &two))
}

/// The blobs of a manifest that the registry must have.
fn blobs(manifest: &Manifest) -> Vec<ProbeBlob> {
    let layers = manifest.layers.iter().filter(|layer| !layer.is_foreign());
    let blob = |part: &Descriptor| {
        let claims = Some(&part.annotations).filter(|_| part.is_chunked());
        let claims = claims.and_then(|all| Claims::read(all, &mut Findings::default()));
        let span = |span: Span| Some(span.offset..span.end()?);
        let metadata = claims.and_then(|claims| {
            Some((claims.toc_digest, [span(claims.toc)?, span(claims.tar_split?)?]))
        });
        ProbeBlob { blob: part.blob.clone(), metadata }
    };
    layers.chain([&manifest.config]).map(blob).collect()
}
