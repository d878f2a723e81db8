//! The job: read what there is to do, convert each layer, publish the image.
//!
//! Nothing is published before everything was checked. Layers come first, then configs, manifests,
//! the index and the tag; then all of it is read back, and only then are results written. Probing
//! the destination comes last, and changes none of that.

mod attachments;
mod compare;
mod copy;
mod destination;
mod documents;
mod dry_run;
mod error;
pub(crate) mod format;
mod in_place;
mod kept;
mod layers;
mod markers;
pub(crate) mod memory;
mod origin;
mod plan;
mod publish;
mod results;
mod reuse;
mod summary;

use std::path::PathBuf;

pub(crate) use self::dry_run::dry_run;
pub(crate) use self::origin::origin;
pub(crate) use self::plan::derived_tag;
use self::{
    attachments::Attachments, destination::Destination, format::Wanted, plan::Plan,
    summary::summary,
};
pub use self::{error::ConvertError, reuse::ReuseOptions};
use crate::{
    attached::SbomChoice,
    image::{DocumentError, ImageReference, media_type::Family},
    layer::Recipe,
    limits::Limits,
    probe,
    report::{Event, Reporter, Summary},
    source::Source,
    store::{AccessOptions, Intent, Store},
};

/// How to handle an SBOM that is attached to the source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum SbomPolicy {
    None,
    /// Copy it, with the new image as its subject.
    Copy(SbomChoice),
}

/// What is to be done.
#[derive(Debug, Clone)]
pub struct ConvertJob {
    /// In a registry it has a digest, once its tag has been resolved.
    pub(crate) source: ImageReference,
    /// Has a tag and no digest.
    pub(crate) destination: ImageReference,
    pub(crate) wanted: Wanted,
    /// The media types of the manifests that are made.
    pub(crate) family: Family,
    /// How zstd layers are made; whether they are chunked is up to the format.
    pub(crate) zstd: Recipe,
    /// 0 to 9.
    pub(crate) gzip_level: u32,
    /// For each layer.
    pub(crate) limits: Limits,
    /// Fail rather than leave a layer without a TOC.
    pub(crate) require_chunked: bool,
    /// Worker threads.
    pub(crate) jobs: usize,
    /// The period after which Quay removes the tag, as in `5d`.
    pub(crate) expires_after: Option<String>,
    pub(crate) sbom: SbomPolicy,
    /// Ask the destination afterwards whether it serves partial pulls.
    pub(crate) probe: bool,
    /// The destination's tag may be moved even if it leads to the source.
    pub(crate) in_place: bool,
    /// Whose layers may be taken over.
    pub reuse: ReuseOptions,
    /// How the registry of the source is accessed.
    pub source_access: AccessOptions,
    /// How the registry of the destination is accessed.
    pub access: AccessOptions,
    /// The directory for Tekton's results.
    pub(crate) results_dir: Option<PathBuf>,
    /// The file for Tekton's artifacts.
    pub(crate) artifacts_path: Option<PathBuf>,
    /// What Tekton accepts of both, in bytes.
    pub(crate) results_limit: usize,
}

impl ConvertJob {
    fn writes_results(&self) -> bool {
        self.results_dir.is_some() || self.artifacts_path.is_some()
    }

    /// Whether there may be a result that names an SBOM.
    fn may_carry_sbom(&self) -> bool {
        self.sbom != SbomPolicy::None && matches!(self.wanted, Wanted::Image { .. })
    }

    /// The error if no document can be made of the source's.
    fn unfit(&self, error: DocumentError) -> ConvertError {
        ConvertError::Unfit { reference: self.source.clone(), error }
    }
}

/// A job under way: what all steps after the plan work with.
struct Run<'a> {
    job: &'a ConvertJob,
    plan: Plan,
    source: Source,
    destination: Destination<'a>,
    reporter: &'a Reporter,
}

/// Converts an image and publishes it. May be dropped at any time: nothing half-done is published.
pub async fn run(job: &ConvertJob, reporter: &Reporter) -> Result<Summary, ConvertError> {
    results::prepare(job)?;
    let run = begin(job, reporter, Intent::Push).await?;
    let plan = &run.plan;
    reporter.event(&Event::Planned {
        source: &job.source,
        destination: &job.destination,
        variants: plan.variants.len(),
        sizes: layers::sizes(plan),
    });

    let list = async { Ok(Attachments::list(&run).await) };
    let (layers, mut attachments) = tokio::try_join!(layers::convert(&run), list)?;
    kept::check(&run, &layers).await?;
    let manifests = publish::manifests(&run, &layers).await?;
    let sbom = attachments.carry(&run, &manifests.all).await?;
    let published = publish::publish(&run, manifests, &layers).await?;
    let mut summary = summary(&run, published, layers, attachments);
    results::write(&run, &summary, sbom.as_ref())?;
    reporter.event(&Event::Published { summary: &summary });
    probe(&run, &mut summary).await;
    Ok(summary)
}

/// Reads the source, decides what is to be done, and finds out whether that can succeed.
async fn begin<'a>(
    job: &'a ConvertJob,
    reporter: &'a Reporter,
    intent: Intent,
) -> Result<Run<'a>, ConvertError> {
    let source = Source::open(&job.source, &job.source_access).await?;
    let plan = plan::plan(job, &source).await?;
    documents::check_sizes(job, &plan)?;
    results::check_size(job, &plan)?;
    if intent == Intent::Push {
        results::reserve(job, &plan)?;
    }
    // Before the work, so that a missing permission is reported at once.
    let destination = Destination::open(&job.destination, &job.access, intent).await?;
    in_place::check(job, &plan, &destination).await?;
    Ok(Run { job, plan, source, destination, reporter })
}

/// Asks the destination's registry whether it serves partial pulls, if that is wanted and there is
/// something to pull partially.
async fn probe(run: &Run<'_>, summary: &mut Summary) {
    let Store::Registry(registry) = &run.destination.store else { return };
    let chunked = summary::chunked(summary.all_layers());
    if !run.job.probe || chunked.is_empty() {
        return;
    }
    let probed = probe::after_push(registry, chunked).await;
    run.reporter.event(&Event::Probed { probed: &probed });
    summary.probe = Some(probed);
}
