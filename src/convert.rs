//! The job: read what there is to do, convert each layer, publish the image.
//!
//! Nothing is published before everything has been checked: layers first, then the config, then
//! the manifest, then its tag; then all of it is read back. Only then are there results. The probe
//! of the destination comes after them, and changes nothing about them.

mod attachments;
mod compare;
mod copy;
mod error;
pub mod format;
mod kept;
mod layers;
mod plan;
mod publish;
mod results;
mod reuse;

use std::{collections::HashSet, path::PathBuf, sync::Arc};

pub(crate) use self::plan::derived_tag;
use self::{
    attachments::Attachments,
    format::{Format, Wanted},
    layers::Layers,
    plan::Plan,
    publish::Published,
};
pub use self::{error::ConvertError, publish::has_begun as publishing_has_begun};
use crate::{
    attached::SbomChoice,
    chunked::{annotations::ChunkedAnnotations, footer::Position},
    image::{BlobId, ImageReference, media_type::Family},
    layer::{Pool, Recipe},
    limits::Limits,
    probe::{self, ProbeBlob},
    report::{Event, LayerReport, Reporter, Summary},
    source::Source,
    store::{AccessOptions, Intent, Store},
    tekton,
};

/// What becomes of an SBOM that hangs on the source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SbomPolicy {
    /// It stays behind.
    None,
    /// It is carried over, with the new image as its subject.
    Copy(SbomChoice),
}

/// What is to be done.
#[derive(Debug, Clone)]
pub struct ConvertJob {
    /// The image to convert; one in a registry has a digest.
    pub source: ImageReference,
    /// Where to put the result; it has a tag and no digest.
    pub destination: ImageReference,
    /// What is to be published.
    pub wanted: Wanted,
    /// The media types of the manifests that are made.
    pub family: Family,
    /// How zstd layers are made; whether they are chunked is up to the format.
    pub zstd: Recipe,
    /// gzip level of layers that become gzip, 0 to 9.
    pub gzip_level: u32,
    /// What a layer may come to.
    pub limits: Limits,
    /// Fail rather than leave a layer without a TOC.
    pub require_chunked: bool,
    /// Worker threads.
    pub jobs: usize,
    /// After which time Quay may remove the tag, as in `5d`.
    pub expires_after: Option<String>,
    /// What becomes of the source's SBOM.
    pub sbom: SbomPolicy,
    /// Ask the destination afterwards what it does for partial pulls.
    pub probe: bool,
    /// How registries are talked to.
    pub access: AccessOptions,
    /// Where Tekton wants its results.
    pub results_dir: Option<PathBuf>,
    /// How many bytes Tekton takes of them.
    pub results_limit: usize,
}

impl ConvertJob {
    /// Whether there may be a result that tells of an SBOM.
    fn may_carry_sbom(&self) -> bool {
        self.sbom != SbomPolicy::None && matches!(self.wanted, Wanted::Image { .. })
    }
}

/// Converts an image and publishes it. May be dropped at any time: nothing half-done is published.
pub async fn run(job: &ConvertJob, reporter: &Reporter) -> Result<Summary, ConvertError> {
    if let Some(dir) = &job.results_dir {
        tekton::prepare(dir).map_err(|source| ConvertError::ResultsDir {
            dir: dir.display().to_string().trim_end_matches("/.").to_owned(),
            source,
        })?;
    }
    let source = Source::open(&job.source, &job.access).await?;
    let plan = plan::plan(job, &source).await?;
    publish::check_sizes(job, &plan)?;
    if job.results_dir.is_some() {
        results::check_size(job, &plan)?;
    }
    // Opened early, so that a missing permission is found out before the work, not after.
    let destination = Store::open(&job.destination, Intent::Push, &job.access)
        .await
        .map_err(|error| ConvertError::Destination { reference: job.destination.clone(), error })?;
    reporter.event(&Event::Planned {
        source: &job.source,
        destination: &job.destination,
        variants: plan.variants.len(),
        sizes: layers::sizes(&plan),
    });

    let pool = Arc::new(Pool::new(job.jobs).map_err(ConvertError::Threads)?);
    let convert = layers::convert(job, &plan, &source, &destination, &pool, reporter);
    // What hangs on the source is listed meanwhile; that never fails.
    let find = async { Ok(Attachments::find(&plan, source.store()).await) };
    let (layers, mut attachments) = tokio::try_join!(convert, find)?;
    kept::check(job, &plan, &source, &layers).await?;
    let variants = publish::variants(job, &plan, &destination, &layers).await?;
    let carried = {
        let manifests = &variants.manifests;
        attachments.carry(job, &plan, source.store(), &destination, manifests).await?
    };
    let published = publish::publish(job, &plan, &source, &destination, variants, &layers).await?;
    let mut summary = summary(job, &plan, published, layers);
    (summary.attached, summary.unlisted) = attachments.report();
    if let Some(dir) = &job.results_dir {
        let made = summary.manifests.iter().filter(|manifest| manifest.made);
        let mut made: Vec<_> = made.map(|manifest| &manifest.digest).collect();
        let mut known = HashSet::new();
        made.retain(|digest| known.insert(*digest));
        let sbom = carried.first().and_then(Option::as_ref).filter(|_| job.may_carry_sbom());
        let sbom = sbom.map(|sbom| sbom.blob_url(&job.destination));
        let (source, destination) = (&job.source, &job.destination);
        let results = results::results(source, destination, &summary.image.digest, &made, sbom);
        tekton::write_results(dir, &results)?;
    }
    reporter.event(&Event::Published { summary: &summary });
    if let Store::Registry(registry) = &destination
        && job.probe
    {
        let chunked = chunked(summary.all_layers());
        if !chunked.is_empty() {
            let probed = probe::after_push(registry, chunked).await;
            reporter.event(&Event::Probed { probed: &probed });
            summary.probe = Some(probed);
        }
    }
    Ok(summary)
}

/// The new layers that can be pulled partially.
fn chunked<'a>(layers: impl Iterator<Item = &'a LayerReport>) -> Vec<ProbeBlob> {
    let blob = |layer: &LayerReport| {
        let ChunkedAnnotations { toc_digest, toc, tar_split } =
            &layer.outline.as_ref()?.annotations;
        let range = |at: &Position| at.offset..at.offset + at.len;
        let blob = BlobId { digest: layer.digest.clone(), size: layer.size };
        Some(ProbeBlob {
            blob,
            metadata: Some((toc_digest.clone(), [range(toc), range(tar_split)])),
        })
    };
    layers.filter_map(blob).collect()
}

fn summary(job: &ConvertJob, plan: &Plan, published: Published, layers: Layers) -> Summary {
    let Published { image, manifests, left, removed } = published;
    let Layers { mut of_variant, distinct } = layers;
    // Layers of an index are told with the manifests that have them.
    let (config_digest, layers, counted) = if plan.index.is_some() {
        (None, Vec::new(), distinct)
    } else {
        let layers = of_variant.pop().unwrap_or_default();
        let config = plan.images.first();
        let config = config.map(|image| image.source.manifest.config.blob.digest.clone());
        (config, layers.clone(), layers)
    };
    let level = match &job.wanted {
        Wanted::Image { format: Format::Gzip, .. } => {
            i32::try_from(job.gzip_level).unwrap_or_default()
        }
        _ => job.zstd.level,
    };
    Summary {
        source: job.source.to_string(),
        source_digest: plan.digest.clone(),
        format: match (&job.wanted, &layers[..]) {
            (Wanted::Image { format, .. }, layers) => publish::made_format(*format, layers),
            (wanted, _) => wanted.name(),
        },
        compression_level: level,
        config_digest,
        size_before: counted.iter().map(|layer| layer.source_size).sum(),
        size_after: counted.iter().map(|layer| layer.size).sum(),
        plain_layers: counted.iter().filter(|layer| layer.reason.is_some()).count(),
        converted_layers: counted.len(),
        image,
        layers,
        manifests,
        left,
        removed,
        notes: plan.notes.clone(),
        attached: Vec::new(),
        unlisted: Vec::new(),
        probe: None,
    }
}
