//! Results for a pipeline, as Tekton, Tekton Chains and Conforma understand them.
//!
//! Chains signs whatever it finds under the names that it knows (tektoncd/chains,
//! `docs/slsa-provenance.md`, "type hinting"), so these name only what this run has made. The source
//! goes under a name that makes it a material.

mod artifacts;

use std::{collections::HashSet, io, path::Path};

use serde_json::json;

use super::{ConvertError, ConvertJob, Run, plan::Plan};
use crate::{
    attached::CarriedSbom,
    image::{Digest, ImageReference},
    report::{ResultPlan, ResultsPlan, Summary},
    tekton::{self, ResultFile},
};

/// What results are about.
struct Outcome<'a> {
    source: &'a ImageReference,
    destination: &'a ImageReference,
    digest: &'a Digest,
    /// The digests of an index's entries that this run made, in their order.
    made: Vec<&'a Digest>,
    /// The URL of the image's SBOM.
    sbom: Option<String>,
}

/// A result: its name, and its value to the byte.
type NamedResult = (&'static str, String);

/// The name of the file with artifacts.
const ARTIFACTS: &str = "artifacts";

/// What Tekton adds to a container's termination message besides the results, in bytes, rounded
/// up: the time it started at, as an entry of its own.
const OVERHEAD: usize = 80;

/// What Tekton adds to each result: `{"key":"","value":"","type":1},`.
const OVERHEAD_EACH: usize = 30;

impl Outcome<'_> {
    fn results(&self) -> Vec<NamedResult> {
        let Self { source, destination, digest, made, sbom } = self;
        let url = destination.to_string();
        let repository = destination.place();
        let mut results = vec![
            ("IMAGE_REF", format!("{url}@{digest}")),
            ("IMAGE_URL", url),
            ("IMAGE_DIGEST", digest.to_string()),
        ];
        if !made.is_empty() {
            let list = made.iter().map(|made| format!("{repository}@{made}"));
            results.push(("IMAGES", list.collect::<Vec<_>>().join(",")));
        }
        if let Some(sbom) = sbom {
            results.push(("SBOM_BLOB_URL", sbom.clone()));
        }
        if let ImageReference::Registry(source) = source
            && let Some(digest) = source.digest()
        {
            let material = json!({"uri": format!("oci://{}", source.name()), "digest": digest});
            results.push(("SOURCE_ARTIFACT_INPUTS", material.to_string()));
        }
        results
    }

    /// The files for these places.
    fn files(&self, dir: Option<&Path>, artifacts: Option<&Path>) -> Vec<ResultFile> {
        let result = |dir: &Path, (name, value)| ResultFile { name, path: dir.join(name), value };
        let results = dir
            .into_iter()
            .flat_map(|dir| self.results().into_iter().map(move |named| result(dir, named)));
        let artifacts = artifacts.map(|path| ResultFile {
            name: ARTIFACTS,
            path: path.to_owned(),
            value: self.artifacts(),
        });
        results.chain(artifacts).collect()
    }
}

/// Files as large as those of the run will be at most: all digests have the same length.
fn largest(job: &ConvertJob, plan: &Plan, dir: Option<&Path>) -> Vec<ResultFile> {
    let digest = &Digest::sha256_of(b"");
    let made = match &plan.index {
        Some(_) => vec![digest; plan.variants.len()],
        None => Vec::new(),
    };
    let sbom = job.may_carry_sbom().then(|| format!("{}@{digest}", job.destination));
    let (source, destination) = (&job.source, &job.destination);
    Outcome { source, destination, digest, made, sbom }.files(dir, job.artifacts_path.as_deref())
}

/// What the run will write, or would write with a directory for results.
pub(super) fn expected(job: &ConvertJob, plan: &Plan) -> ResultsPlan {
    let anywhere = (!job.writes_results()).then_some(Path::new(""));
    let files = largest(job, plan, job.results_dir.as_deref().or(anywhere));
    let plan = |file: &ResultFile| ResultPlan { name: file.name, size: file.value.len() };
    ResultsPlan {
        size: size(&files),
        limit: job.results_limit,
        results: files.iter().map(plan).collect(),
    }
}

/// Fails if no results could be written, and leaves those of an earlier run.
pub(super) fn check_dir(job: &ConvertJob) -> Result<(), ConvertError> {
    if let Some(dir) = &job.results_dir {
        tekton::check_dir(dir).map_err(|error| unusable(dir, error))?;
    }
    if let Some(path) = &job.artifacts_path {
        tekton::check_dir(tekton::dir_of(path)).map_err(|error| no_artifacts(path, error))?;
    }
    Ok(())
}

fn unusable(dir: &Path, error: io::Error) -> ConvertError {
    let dir = dir.display().to_string().trim_end_matches("/.").to_owned();
    ConvertError::ResultsDir { dir, error }
}

fn no_artifacts(path: &Path, error: io::Error) -> ConvertError {
    ConvertError::Artifacts { path: path.display().to_string(), error }
}

/// Fails if no results can be written; removes those of an earlier run.
pub(super) fn prepare(job: &ConvertJob) -> Result<(), ConvertError> {
    if let Some(path) = &job.artifacts_path {
        tekton::prepare_artifacts(path).map_err(|error| no_artifacts(path, error))?;
    }
    let Some(dir) = &job.results_dir else { return Ok(()) };
    tekton::prepare(dir).map_err(|error| unusable(dir, error))
}

/// Fails before any work if there is no room for the results.
pub(super) fn reserve(job: &ConvertJob, plan: &Plan) -> Result<(), ConvertError> {
    let files = largest(job, plan, job.results_dir.as_deref());
    tekton::reserve(&files).map_err(|(file, error)| match &job.results_dir {
        Some(dir) if file.name != ARTIFACTS => unusable(dir, error),
        _ => no_artifacts(&file.path, error),
    })
}

/// Fails before any work if the results will be more than Tekton accepts.
pub(super) fn check_size(job: &ConvertJob, plan: &Plan) -> Result<(), ConvertError> {
    if !job.writes_results() {
        return Ok(());
    }
    let bytes = size(&largest(job, plan, job.results_dir.as_deref()));
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
    let ConvertJob { source, destination, results_dir, artifacts_path, .. } = run.job;
    let made = summary.manifests.iter().filter(|manifest| manifest.made);
    let mut known = HashSet::new();
    let made = made.map(|manifest| &manifest.digest).filter(|digest| known.insert(*digest));
    let made: Vec<_> = made.collect();
    let sbom = sbom.filter(|_| run.job.may_carry_sbom()).map(|sbom| sbom.blob_url(destination));
    let outcome = Outcome { source, destination, digest: &summary.image.digest, made, sbom };
    let files = outcome.files(results_dir.as_deref(), artifacts_path.as_deref());
    Ok(tekton::write_results(&files)?)
}

/// The size of the results in a termination message, in bytes (tektoncd/pipeline,
/// `pkg/termination/write.go`).
fn size(files: &[ResultFile]) -> usize {
    let one = |file: &ResultFile| {
        // Artifacts go by the path of their file.
        let key =
            if file.name == ARTIFACTS { file.path.as_os_str().len() } else { file.name.len() };
        // As JSON, because quotes are escaped there.
        key + json!(file.value).to_string().len() + OVERHEAD_EACH
    };
    OVERHEAD + files.iter().map(one).sum::<usize>()
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
        let bytes_of = |len: usize, made, artifacts: Option<&str>| {
            let name = format!("quay.io/org/{}", "n".repeat(len - 12));
            let source = &format!("{name}:1.2@{digest}").parse().unwrap();
            let destination = &format!("{name}:1.2-dual").parse().unwrap();
            let (digest, made) = (&digest, vec![&digest; made]);
            let outcome = Outcome { source, destination, digest, made, sbom: None };
            size(&outcome.files(Some(Path::new("")), artifacts.map(Path::new)))
        };
        let bytes = |len, made| bytes_of(len, made, None);
        assert_eq!([4, 8, 16, 32].map(|made| bytes(75, made)), [1382, 1974, 3158, 5526]);
        for (len, most) in [(40, 30), (60, 25), (75, 22), (100, 18)] {
            assert!(bytes(len, most) <= 4096 && bytes(len, most + 1) > 4096, "{len}");
        }
        // They share the message.
        let path = "/tekton/steps/step-recompress/artifacts/provenance.json";
        let with = |made| bytes_of(75, made, Some(path));
        assert!(with(4) <= 4096 && with(5) > 4096, "{} {}", with(4), with(5));
    }
}
