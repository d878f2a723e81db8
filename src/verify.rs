//! Is an image what it claims to be? Each layer is downloaded and checked by [`crate::check`];
//! manifest and config are held against the layers; on request, two images against each other.

mod error;
mod report;
mod select;

use std::{
    collections::HashMap,
    fs::File,
    sync::{Mutex, PoisonError},
    thread,
};

use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};

pub use self::error::VerifyError;
pub(crate) use self::report::{
    AgainstReport, SkippedEntry, VerifiedImage, VerifiedLayer, VerifyReport,
};
use self::select::{SelectedImage, select};
use crate::{
    check::{self, Findings, LayerVerdict, Rule},
    image::{Descriptor, Digest, ImageReference, Platform, media_type::Family},
    limits::Limits,
    progress::{self, Counter},
    source::{Source, SourceError, SourceImage},
    store::{AccessOptions, BlobMismatch, CopyError, RawManifest},
};

/// Layers of an image that are checked side by side; each is on disk as long as that takes. Where two
/// images are compared, both are checked at the same time.
const LAYERS_MAX: usize = 4;

#[derive(Debug, Clone)]
pub(crate) struct VerifyJob {
    /// The image or index.
    pub(crate) image: ImageReference,
    /// What it is to be the same as.
    pub(crate) against: Option<ImageReference>,
    /// Which images of an index; without it all of them.
    pub(crate) platform: Option<Platform>,
    /// What a layer may come to.
    pub(crate) limits: Limits,
    pub(crate) access: AccessOptions,
}

/// Checks layers, each once however many images have it.
#[derive(Debug)]
pub(crate) struct Checks {
    limits: Limits,
    done: Mutex<HashMap<String, VerifiedLayer>>,
}

impl Checks {
    pub(crate) fn new(limits: Limits) -> Self {
        Self { limits, done: Mutex::default() }
    }
}

/// How much of a layer is checked.
#[derive(Debug, Clone, Copy)]
enum Depth {
    /// All that there is to know.
    Everything,
    /// That its content has its diffID.
    Content,
}

/// Verifies. What is wrong with the image is in the report; an error says that it could not be
/// looked at.
pub(crate) async fn run(job: &VerifyJob) -> Result<VerifyReport, VerifyError> {
    let source = Source::open(&job.image, &job.access).await?;
    let raw = source.root().await?;
    let (images, skipped) = select(&source, &raw, job.platform.as_ref()).await?;
    let other = match &job.against {
        Some(reference) => {
            let other = Source::open(reference, &job.access.toward(&job.image, reference)).await?;
            let raw = other.root().await?;
            let config =
                |selected: &SelectedImage| selected.image.manifest.config.blob.digest.clone();
            let first = images.first().map(config);
            if !raw.is_index() && images.iter().any(|image| Some(config(image)) != first) {
                return Err(VerifyError::WhichPlatform { reference: reference.clone() });
            }
            Some((other, raw))
        }
        None => None,
    };
    for selected in &images {
        expect(&selected.image);
    }
    let mut reports = Vec::new();
    let [checks, of_other] = [Checks::new(job.limits), Checks::new(job.limits)];
    for SelectedImage { image, findings } in &images {
        let mut report = match &other {
            None => image_report(&source, image, &checks).await?,
            Some((other, raw)) => {
                let counterpart = counterpart(image, other, raw).await?;
                expect(&counterpart);
                let (mut report, against) = tokio::try_join!(
                    image_report(&source, image, &checks),
                    content(other, &counterpart, &of_other)
                )?;
                compare(image, &counterpart, &mut report.findings);
                report.against = Some(against);
                report
            }
        };
        report.findings.append(findings);
        reports.push(report);
    }
    Ok(VerifyReport::new(job.image.to_string(), raw.digest, skipped, reports))
}

/// Announces the layers of an image that will be checked, for whoever shows progress.
pub(crate) fn expect(image: &SourceImage) {
    progress::expect(image.manifest.layers.iter().map(|layer| layer.blob.size).sum());
}

/// Checks one image with all of its layers.
pub(crate) async fn image_report(
    source: &Source,
    image: &SourceImage,
    checks: &Checks,
) -> Result<VerifiedImage, VerifyError> {
    let mut findings = Findings::default();
    counts(image, &mut findings);
    let layers = layers(source, image, Depth::Everything, checks).await?;
    let is_docker = Family::of(&image.raw.media_type) == Some(Family::Docker);
    if is_docker && layers.iter().any(|layer| layer.kind.is_some_and(check::BlobKind::is_zstd)) {
        findings.add(Rule::DockerManifest, "zstd layers in a Docker manifest");
    }
    Ok(VerifiedImage {
        digest: image.raw.digest.clone(),
        platform: image.platform.as_ref().map(Platform::to_string),
        config_digest: image.manifest.config.blob.digest.clone(),
        findings,
        layers,
        against: None,
    })
}

fn counts(image: &SourceImage, findings: &mut Findings) {
    let (layers, diff_ids) = (image.manifest.layers.len(), image.config.diff_ids.len());
    if layers != diff_ids {
        findings.add(Rule::DiffIds, format!("{layers} layers, but {diff_ids} diffIDs"));
    }
}

async fn layers(
    source: &Source,
    image: &SourceImage,
    depth: Depth,
    checks: &Checks,
) -> Result<Vec<VerifiedLayer>, VerifyError> {
    let side_by_side = thread::available_parallelism().map_or(1, usize::from).min(LAYERS_MAX);
    let layers = image.manifest.layers.iter().zip(&image.config.diff_ids);
    stream::iter(layers.enumerate())
        .map(|(index, (layer, diff_id))| async move {
            let key = format!("{layer:?} {diff_id} {} {depth:?}", index == 0);
            let done = || checks.done.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(known) = done().get(&key) {
                progress::skip(layer.blob.size);
                return Ok(VerifiedLayer { number: index + 1, ..known.clone() });
            }
            let limits = checks.limits;
            let report = one_layer(source, index + 1, layer, diff_id, (depth, limits)).await?;
            done().insert(key, report.clone());
            Ok(report)
        })
        .buffered(side_by_side)
        .try_collect()
        .await
}

async fn one_layer(
    source: &Source,
    number: usize,
    layer: &Descriptor,
    diff_id: &Digest,
    (depth, limits): (Depth, Limits),
) -> Result<VerifiedLayer, VerifyError> {
    let unread = |rule: Rule, detail: String| {
        let mut findings = Findings::default();
        findings.add(rule, detail);
        Ok(VerifiedLayer::unread(number, layer, findings))
    };
    if layer.is_foreign() {
        progress::skip(layer.blob.size);
        return unread(Rule::Unread, "it is foreign: clients fetch it from elsewhere".into());
    }
    let (work, counter) =
        progress::begin_counted(&format!("layer {number}"), "downloading", layer.blob.size);
    let blob = match fetch(source, layer, counter).await {
        Ok(Ok(blob)) => blob,
        Ok(Err(mismatch)) => return unread(Rule::Blob, mismatch.to_string()),
        Err(VerifyError::Source(error)) if error.is_missing() => {
            return unread(Rule::Unread, "it is not in the registry or layout".into());
        }
        Err(error) => return Err(error),
    };
    work.say("checking");
    let (descriptor, diff_id) = (layer.clone(), diff_id.clone());
    let check = move || {
        let subject = check::Layer {
            blob: &blob,
            len: descriptor.blob.size,
            media_type: &descriptor.media_type,
            annotations: &descriptor.annotations,
            diff_id: &diff_id,
            limits,
            lowest: number == 1,
        };
        match depth {
            Depth::Everything => check::layer(subject),
            Depth::Content => check::content_of(subject),
        }
    };
    let verdict: LayerVerdict = tokio::task::spawn_blocking(check)
        .await
        .map_err(|_| VerifyError::Internal)?
        .map_err(VerifyError::spool)?;
    Ok(VerifiedLayer::new(number, layer, verdict))
}

/// Downloads a layer into a temporary file. The inner error says that it is not what its descriptor
/// says.
pub(crate) async fn fetch(
    source: &Source,
    layer: &Descriptor,
    counter: Counter,
) -> Result<Result<File, BlobMismatch>, VerifyError> {
    let blob = source.blob(&layer.blob).await?;
    let work = move || {
        let file = tempfile::tempfile().map_err(VerifyError::spool)?;
        let mut file = counter.counting(file);
        match blob.copy_to(&mut file) {
            Ok(()) => Ok(Ok(file.into_inner())),
            Err(CopyError::Write(error)) => Err(VerifyError::spool(error)),
            Err(CopyError::Read(error)) => match BlobMismatch::of(&error) {
                Some(mismatch) => Ok(Err(mismatch.clone())),
                None => Err(VerifyError::Download(error)),
            },
        }
    };
    tokio::task::spawn_blocking(work).await.map_err(|_| VerifyError::Internal)?
}

/// The image that `image` is to be the same as.
async fn counterpart(
    image: &SourceImage,
    other: &Source,
    raw: &RawManifest,
) -> Result<SourceImage, SourceError> {
    let platform = image.platform.as_ref().filter(|_| raw.is_index());
    other.choose(raw.clone(), platform).await
}

/// Whether an image has the content that it claims to have.
async fn content(
    source: &Source,
    image: &SourceImage,
    checks: &Checks,
) -> Result<AgainstReport, VerifyError> {
    let mut findings = Findings::default();
    counts(image, &mut findings);
    Ok(AgainstReport {
        reference: source.reference().to_string(),
        digest: image.raw.digest.clone(),
        findings,
        layers: layers(source, image, Depth::Content, checks).await?,
    })
}

/// Holds an image against the one it is to be the same as. Equal diffIDs prove equal content only
/// where the content has been found to have them, on both sides.
fn compare(image: &SourceImage, other: &SourceImage, findings: &mut Findings) {
    if image.config_bytes != other.config_bytes {
        let (one, two) = (&image.manifest.config.blob.digest, &other.manifest.config.blob.digest);
        findings.add(Rule::OtherConfig, format!("the config is {one} here and {two} there"));
    }
    let (one, two) = (&image.config.diff_ids, &other.config.diff_ids);
    if one != two {
        let differ = one.iter().zip(two).position(|(a, b)| a != b);
        let number = 1 + differ.unwrap_or(one.len().min(two.len()));
        findings.add(Rule::OtherDiffIds, format!("the diffIDs differ, starting at layer {number}"));
    }
}
