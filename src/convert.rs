//! The job: read what there is to do, convert each layer, publish the image.
//!
//! Nothing is published before everything has been checked: layers first, then the config, then
//! the manifest, then its tag; then all of it is read back. Only then are there results. The probe
//! of the destination comes after them, and changes nothing about them.

mod error;
mod layers;
mod plan;
mod publish;

use std::{path::PathBuf, sync::Arc};

pub use self::error::ConvertError;
use self::plan::Plan;
pub(crate) use self::plan::derived_tag;
use crate::{
    chunked::{annotations::ChunkedAnnotations, footer::Position},
    image::{ImageReference, index::Platform, manifest::Descriptor},
    layer::{Limits, Pool, Recipe},
    probe::{self, Blob},
    report::{Event, ImageReport, LayerReport, Reporter, Summary},
    store::{AccessOptions, Intent, Store},
    tekton,
};

/// What is to be done.
#[derive(Debug, Clone)]
pub struct Job {
    /// The image to convert; one in a registry has a digest.
    pub source: ImageReference,
    /// Where to put the result; it has a tag and no digest.
    pub destination: ImageReference,
    /// Which image of an index.
    pub platform: Option<Platform>,
    /// The format's name, as in `zstd:chunked`.
    pub format: &'static str,
    /// How layers are made.
    pub recipe: Recipe,
    /// What a layer may come to.
    pub limits: Limits,
    /// Fail rather than leave a layer without a TOC.
    pub require_chunked: bool,
    /// Worker threads.
    pub jobs: usize,
    /// Ask the destination afterwards what it does for partial pulls.
    pub probe: bool,
    /// How registries are talked to.
    pub access: AccessOptions,
    /// Where Tekton wants its results.
    pub results_dir: Option<PathBuf>,
}

/// Converts an image and publishes it. May be dropped at any time: nothing half-done is published.
pub async fn run(job: &Job, reporter: &Reporter) -> Result<Summary, ConvertError> {
    if let Some(dir) = &job.results_dir {
        tekton::check_writable(dir).map_err(|source| ConvertError::ResultsDir {
            dir: dir.display().to_string(),
            source,
        })?;
    }
    let source = Store::open(&job.source, Intent::Pull, &job.access)
        .await
        .map_err(|error| ConvertError::Source { reference: job.source.clone(), error })?;
    let plan = plan::plan(job, &source).await?;
    // Opened early, so that a missing permission is found out before the work, not after.
    let destination = Store::open(&job.destination, Intent::Push, &job.access)
        .await
        .map_err(|error| ConvertError::Destination { reference: job.destination.clone(), error })?;
    reporter.event(&Event::Planned {
        source: &job.source,
        destination: &job.destination,
        sizes: plan.layers.iter().map(|layer| layer.blob.size).collect(),
    });

    let pool = Arc::new(Pool::new(job.jobs).map_err(ConvertError::Threads)?);
    let layers = layers::convert(job, &plan, &source, &destination, &pool, reporter).await?;
    let image = publish::publish(job, &plan, &destination, &layers).await?;
    let mut summary = summary(job, &plan, image, layers);
    if let Some(dir) = &job.results_dir {
        tekton::write_results(dir, &results(&summary.image))?;
    }
    reporter.event(&Event::Published { summary: &summary });
    if let Store::Registry(registry) = &destination
        && job.probe
    {
        let chunked = chunked(&summary.layers);
        if !chunked.is_empty() {
            let probed = probe::after_push(registry, chunked).await;
            reporter.event(&Event::Probed { probed: &probed });
            summary.probe = Some(probed);
        }
    }
    Ok(summary)
}

/// The new layers that can be pulled partially.
fn chunked(layers: &[LayerReport]) -> Vec<Blob> {
    let blob = |layer: &LayerReport| {
        let ChunkedAnnotations { toc_digest, toc, tar_split } =
            &layer.outline.as_ref()?.annotations;
        let range = |at: &Position| at.offset..at.offset + at.len;
        let blob = Descriptor { digest: layer.digest.clone(), size: layer.size };
        Some(Blob { blob, metadata: Some((toc_digest.clone(), [range(toc), range(tar_split)])) })
    };
    layers.iter().filter_map(blob).collect()
}

fn results(image: &ImageReport) -> [(&'static str, String); 3] {
    [
        ("IMAGE_URL", image.url.clone()),
        ("IMAGE_DIGEST", image.digest.to_string()),
        ("IMAGE_REF", image.reference.clone()),
    ]
}

fn summary(job: &Job, plan: &Plan, image: ImageReport, layers: Vec<LayerReport>) -> Summary {
    Summary {
        source: job.source.to_string(),
        source_digest: plan.digest.clone(),
        format: job.format,
        compression_level: job.recipe.level,
        config_digest: plan.manifest.config().digest.clone(),
        size_before: layers.iter().map(|layer| layer.source_size).sum(),
        size_after: layers.iter().map(|layer| layer.size).sum(),
        plain_layers: layers.iter().filter(|layer| layer.reason.is_some()).count(),
        image,
        layers,
        probe: None,
    }
}
