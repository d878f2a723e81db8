//! What a run would do, found out without writing anything.

use super::{
    Attachments, ConvertError, ConvertJob, Run, SbomPolicy, begin, layers,
    plan::{Plan, Slot},
    results, reuse,
};
use crate::{
    attached::{AttachedKind, SbomChoice},
    report::{AttachedReport, LayerAction, ManifestPlan, PlanReport, Reporter},
    store::Intent,
};

/// Fails as a run of the same job would, as far as that can be known before the layers are read.
pub(crate) async fn dry_run(
    job: &ConvertJob,
    reporter: &Reporter,
) -> Result<PlanReport, ConvertError> {
    results::check_dir(job)?;
    let run = begin(job, reporter, Intent::PlanPush).await?;
    let list = async { Ok(Attachments::list(&run).await) };
    let reusable = async { Ok(reuse::find(&run).await) };
    let (named, attachments, reusable) = tokio::try_join!(run.destination.named(), list, reusable)?;
    let (destination_digest, destination_problem) = match named {
        Ok(named) => (named.map(|raw| raw.digest), None),
        Err(error) => (None, Some(error.with_causes())),
    };
    let layers = layers::expected(&run, &reusable).await?;
    let (attached, unlisted) = attachments.report();
    check_sbom(&run, &attached)?;
    let download = layers.iter().map(|layer| match &layer.action {
        LayerAction::Convert { .. } => layer.source_size,
        LayerAction::Reuse(reuse) => reuse.download(),
        LayerAction::Keep => 0,
    });
    // A manifest may claim any sizes.
    let download_size = download.fold(0, u64::saturating_add);
    Ok(PlanReport {
        dry_run: true,
        source: job.source.to_string(),
        source_digest: run.plan.digest.clone(),
        destination: job.destination.to_string(),
        destination_digest,
        destination_problem,
        format: job.wanted.name(),
        manifests: manifests(&run.plan),
        download_size,
        layers,
        left: run.plan.index.iter().flat_map(|index| index.left.clone()).collect(),
        notes: run.plan.notes.clone(),
        attached,
        unlisted,
        reuse_notes: reusable.notes().to_vec(),
        results: results::expected(job, &run.plan),
        writes_results: job.writes_results(),
    })
}

fn manifests(plan: &Plan) -> Vec<ManifestPlan> {
    let made = |variant: usize| {
        let variant = plan.variants[variant];
        let source = &plan.image_of(variant).source;
        ManifestPlan {
            platform: source.platform.as_ref().map(ToString::to_string),
            format: Some(variant.format.as_str()),
            made: true,
            source_digest: source.raw.digest.clone(),
        }
    };
    let Some(index) = &plan.index else { return (0..plan.variants.len()).map(made).collect() };
    let of_slot = |slot: &Slot| match slot {
        Slot::Made { variant, .. } => made(*variant),
        Slot::Kept { entry, format, .. } => ManifestPlan {
            platform: entry.platform().map(ToString::to_string),
            format: format.map(super::format::Format::as_str),
            made: false,
            source_digest: entry.blob.digest.clone(),
        },
    };
    index.slots.iter().map(of_slot).collect()
}

/// Fails if an SBOM is named and there is none at all; otherwise only copying it shows which it is.
fn check_sbom(run: &Run<'_>, attached: &[AttachedReport]) -> Result<(), ConvertError> {
    let SbomPolicy::Copy(SbomChoice::Named(digest)) = &run.job.sbom else { return Ok(()) };
    if attached.iter().any(|attached| attached.item.kind == AttachedKind::Sbom) {
        return Ok(());
    }
    let (reference, digest) = (run.job.source.clone(), digest.clone());
    Err(ConvertError::NoSbom { reference, digest, reason: None })
}
