//! Results for a pipeline, as Tekton, Tekton Chains and Conforma understand them.
//!
//! Chains signs whatever it finds under the names that it knows (tektoncd/chains,
//! `docs/slsa-provenance.md`, "type hinting"), so these name only what this run has made. The source
//! goes under a name that makes it a material.

use std::{collections::HashSet, io, path::Path};

use serde_json::json;

use super::{ConvertError, ConvertJob, Run, plan::Plan};
use crate::{
    attached::CarriedSbom,
    image::{Digest, ImageReference},
    report::{ResultPlan, ResultsPlan, Summary},
    tekton,
};

/// A result: its name, and its value to the byte.
type NamedResult = (&'static str, String);

/// What Tekton adds to a container's termination message besides the results, in bytes, rounded
/// up: the time it started at, as an entry of its own.
const OVERHEAD: usize = 80;

/// What Tekton adds to each result: `{"key":"","value":"","type":1},`.
const OVERHEAD_EACH: usize = 30;

/// All results of a run. `made` has the digests of an index's entries that this run made, in their
/// order, and `sbom` is the URL of the image's SBOM.
fn results(
    source: &ImageReference,
    destination: &ImageReference,
    digest: &Digest,
    made: &[&Digest],
    sbom: Option<String>,
) -> Vec<NamedResult> {
    let url = destination.to_string();
    let repository = destination.place();
    let mut results = vec![
        ("IMAGE_REF", format!("{url}@{digest}")),
        ("IMAGE_URL", url),
        ("IMAGE_DIGEST", digest.to_string()),
    ];
    if !made.is_empty() {
        let list: Vec<String> = made.iter().map(|made| format!("{repository}@{made}")).collect();
        results.push(("IMAGES", list.join(",")));
    }
    if let Some(sbom) = sbom {
        results.push(("SBOM_BLOB_URL", sbom));
    }
    if let ImageReference::Registry(source) = source
        && let Some(digest) = source.digest()
    {
        let material = json!({"uri": format!("oci://{}", source.name()), "digest": digest});
        results.push(("SOURCE_ARTIFACT_INPUTS", material.to_string()));
    }
    results
}

/// Results as long as those of the run will be at most: all digests have the same length.
fn largest(job: &ConvertJob, plan: &Plan) -> Vec<NamedResult> {
    let digest = Digest::sha256_of(b"");
    let made = match &plan.index {
        Some(_) => vec![&digest; plan.variants.len()],
        None => Vec::new(),
    };
    let sbom = job.may_carry_sbom().then(|| format!("{}@{digest}", job.destination));
    results(&job.source, &job.destination, &digest, &made, sbom)
}

/// What the run will write.
pub(super) fn expected(job: &ConvertJob, plan: &Plan) -> ResultsPlan {
    let results = largest(job, plan);
    ResultsPlan {
        size: size(&results),
        limit: job.results_limit,
        results: results
            .into_iter()
            .map(|(name, value)| ResultPlan { name, size: value.len() })
            .collect(),
    }
}

/// Fails if no results could be written, and leaves those of an earlier run.
pub(super) fn check_dir(job: &ConvertJob) -> Result<(), ConvertError> {
    let Some(dir) = &job.results_dir else { return Ok(()) };
    tekton::check_dir(dir).map_err(|error| unusable(dir, error))
}

fn unusable(dir: &Path, error: io::Error) -> ConvertError {
    let dir = dir.display().to_string().trim_end_matches("/.").to_owned();
    ConvertError::ResultsDir { dir, error }
}

/// Fails if no results can be written; removes those of an earlier run.
pub(super) fn prepare(job: &ConvertJob) -> Result<(), ConvertError> {
    let Some(dir) = &job.results_dir else { return Ok(()) };
    tekton::prepare(dir).map_err(|error| unusable(dir, error))
}

/// Fails before any work if the results will be more than Tekton accepts.
pub(super) fn check_size(job: &ConvertJob, plan: &Plan) -> Result<(), ConvertError> {
    if job.results_dir.is_none() {
        return Ok(());
    }
    let bytes = size(&largest(job, plan));
    if bytes > job.results_limit {
        return Err(ConvertError::ResultsTooLarge { bytes, limit: job.results_limit });
    }
    Ok(())
}

/// Writes the results of a run that has published its image.
pub(super) fn write(
    run: &Run<'_>,
    summary: &Summary,
    sbom: Option<&CarriedSbom>,
) -> Result<(), ConvertError> {
    let Some(dir) = &run.job.results_dir else { return Ok(()) };
    let (source, destination) = (&run.job.source, &run.job.destination);
    let made = summary.manifests.iter().filter(|manifest| manifest.made);
    let mut known = HashSet::new();
    let made = made.map(|manifest| &manifest.digest).filter(|digest| known.insert(*digest));
    let made: Vec<_> = made.collect();
    let sbom = sbom.filter(|_| run.job.may_carry_sbom()).map(|sbom| sbom.blob_url(destination));
    let results = results(source, destination, &summary.image.digest, &made, sbom);
    Ok(tekton::write_results(dir, &results)?)
}

/// The size of the results in a termination message, in bytes (tektoncd/pipeline,
/// `pkg/termination/write.go`).
fn size(results: &[NamedResult]) -> usize {
    let one = |(name, value): &NamedResult| {
        // As JSON, because quotes are escaped there.
        name.len() + json!(value).to_string().len() + OVERHEAD_EACH
    };
    OVERHEAD + results.iter().map(one).sum::<usize>()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// The figures of the Task's README: with names of 75 characters, of an index of 4, 8 and 16
    /// platforms of which one variant or two are made.
    #[test]
    fn how_many_images_fit_into_a_termination_message() {
        let digest = Digest::sha256_of(b"");
        let bytes = |len: usize, made| {
            let name = format!("quay.io/org/{}", "n".repeat(len - 12));
            let source = format!("{name}:1.2@{digest}").parse().unwrap();
            let destination = format!("{name}:1.2-dual").parse().unwrap();
            size(&results(&source, &destination, &digest, &vec![&digest; made], None))
        };
        assert_eq!([4, 8, 16, 32].map(|made| bytes(75, made)), [1382, 1974, 3158, 5526]);
        for (len, most) in [(40, 30), (60, 25), (75, 22), (100, 18)] {
            assert!(bytes(len, most) <= 4096 && bytes(len, most + 1) > 4096, "{len}");
        }
    }
}
