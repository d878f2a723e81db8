//! Is an image what it claims to be? Each layer is downloaded and checked by [`crate::check`];
//! manifest and config are held against the layers; on request, two images against each other.

pub(crate) mod image;
mod report;

use std::thread;

use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};

use self::image::{Descriptor, Image, Source};
pub use self::{
    image::ImageError,
    report::{AgainstReport, ImageReport, LayerReport, VerifyReport},
};
use crate::{
    check::{self, Findings, Rule, Verdict},
    image::{Digest, ImageReference, index::Platform},
    limits::Limits,
    store::{AccessOptions, RawManifest},
};

/// Layers of an image that are checked side by side; each is on disk as long as that takes. Where two
/// images are compared, both are checked at the same time.
const LAYERS_MAX: usize = 4;

/// What is to be verified.
#[derive(Debug, Clone)]
pub struct Job {
    /// The image or index.
    pub image: ImageReference,
    /// What it is to be the same as.
    pub against: Option<ImageReference>,
    /// Which image of an index; without it all of them.
    pub platform: Option<Platform>,
    /// What a layer may come to.
    pub limits: Limits,
    /// How registries are talked to.
    pub access: AccessOptions,
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
pub async fn run(job: &Job) -> Result<VerifyReport, ImageError> {
    let source = Source::open(&job.image, &job.access).await?;
    let raw = source.manifest().await?;
    let (images, skipped) = select(&source, &raw, job.platform.as_ref()).await?;
    let mut reports = Vec::new();
    let other = match &job.against {
        Some(reference) => {
            let other = Source::open(reference, &job.access).await?;
            let raw = other.manifest().await?;
            if !raw.is_index() && images.len() > 1 {
                return Err(ImageError::WhichPlatform { reference: reference.clone() });
            }
            Some((other, raw))
        }
        None => None,
    };
    for image in &images {
        let Some((other, raw)) = &other else {
            reports.push(verify(&source, image, job.limits).await?);
            continue;
        };
        let counterpart = counterpart(image, other, raw).await?;
        let both = tokio::try_join!(
            verify(&source, image, job.limits),
            content(other, &counterpart, job.limits)
        );
        let (mut report, against) = both?;
        compare(image, &counterpart, &mut report.findings);
        report.against = Some(against);
        reports.push(report);
    }
    Ok(VerifyReport::new(job.image.to_string(), raw.digest, skipped, reports))
}

/// The images that are meant, and how many members of an index are none.
async fn select(
    source: &Source,
    raw: &RawManifest,
    platform: Option<&Platform>,
) -> Result<(Vec<Image>, usize), ImageError> {
    match (raw.is_index(), platform) {
        (false, Some(_)) => Err(ImageError::NoIndex { reference: source.reference.clone() }),
        (false, None) => Ok((vec![source.image(raw, None).await?], 0)),
        (true, Some(platform)) => Ok((vec![source.pick(raw, platform).await?], 0)),
        (true, None) => {
            let (mut images, mut skipped) = (Vec::new(), 0);
            for member in source.members(raw)? {
                match member.platform() {
                    Some(platform) => {
                        images.push(source.by_digest(&member.digest, Some(platform)).await?);
                    }
                    None => skipped += 1,
                }
            }
            Ok((images, skipped))
        }
    }
}

async fn verify(source: &Source, image: &Image, limits: Limits) -> Result<ImageReport, ImageError> {
    let mut findings = Findings::default();
    counts(image, &mut findings);
    let layers = layers(source, image, Depth::Everything, limits).await?;
    if image.docker && layers.iter().any(|layer| layer.kind.is_some_and(check::Kind::is_zstd)) {
        findings.add(Rule::DockerManifest, "zstd layers in a Docker manifest");
    }
    Ok(ImageReport {
        digest: image.digest.clone(),
        platform: image.platform.as_ref().map(Platform::to_string),
        config_digest: image.config.digest.clone(),
        findings,
        layers,
        against: None,
    })
}

fn counts(image: &Image, findings: &mut Findings) {
    let (layers, diff_ids) = (image.layers.len(), image.diff_ids.len());
    if layers != diff_ids {
        findings.add(Rule::DiffIds, format!("{layers} layers, and diffIDs of {diff_ids}"));
    }
}

async fn layers(
    source: &Source,
    image: &Image,
    depth: Depth,
    limits: Limits,
) -> Result<Vec<LayerReport>, ImageError> {
    let side_by_side = thread::available_parallelism().map_or(1, usize::from).min(LAYERS_MAX);
    stream::iter(image.layers.iter().zip(&image.diff_ids).enumerate())
        .map(|(index, (layer, diff_id))| {
            one_layer(source, index + 1, layer, diff_id, (depth, limits))
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
) -> Result<LayerReport, ImageError> {
    if layer.foreign() {
        return Ok(LayerReport::unread(number, layer, Findings::default()));
    }
    let blob = match source.fetch(layer).await? {
        Ok(blob) => blob,
        Err(mismatch) => {
            let mut findings = Findings::default();
            findings.add(Rule::Blob, mismatch.to_string());
            return Ok(LayerReport::unread(number, layer, findings));
        }
    };
    let (descriptor, diff_id) = (layer.clone(), diff_id.clone());
    let work = move || {
        let subject = check::Layer {
            blob: &blob,
            len: descriptor.size,
            media_type: &descriptor.media_type,
            annotations: descriptor.annotations(),
            diff_id: &diff_id,
            limits,
        };
        match depth {
            Depth::Everything => check::layer(subject),
            Depth::Content => check::content_of(subject),
        }
    };
    let verdict: Verdict =
        tokio::task::spawn_blocking(work).await.map_err(|_| ImageError::Internal)?.map_err(
            |source| ImageError::Spool { dir: std::env::temp_dir().display().to_string(), source },
        )?;
    Ok(LayerReport::new(number, layer, verdict))
}

/// The image that `image` is to be the same as.
async fn counterpart(
    image: &Image,
    other: &Source,
    raw: &RawManifest,
) -> Result<Image, ImageError> {
    if !raw.is_index() {
        return other.image(raw, None).await;
    }
    let platform = image.platform.clone().or_else(|| image.own_platform());
    other.pick(raw, &platform.ok_or(ImageError::Internal)?).await
}

/// Whether an image has the content that it claims to have.
async fn content(
    source: &Source,
    image: &Image,
    limits: Limits,
) -> Result<AgainstReport, ImageError> {
    let mut findings = Findings::default();
    counts(image, &mut findings);
    Ok(AgainstReport {
        reference: source.reference.to_string(),
        digest: image.digest.clone(),
        findings,
        layers: layers(source, image, Depth::Content, limits).await?,
    })
}

/// Holds an image against the one it is to be the same as. Equal diffIDs prove equal content only
/// where the content has been found to have them, on both sides.
fn compare(image: &Image, other: &Image, findings: &mut Findings) {
    if image.config_bytes != other.config_bytes {
        let (one, two) = (&image.config.digest, &other.config.digest);
        findings.add(Rule::OtherConfig, format!("the config is {one} here and {two} there"));
    }
    if image.diff_ids != other.diff_ids {
        let differ = image.diff_ids.iter().zip(&other.diff_ids).position(|(a, b)| a != b);
        let number = 1 + differ.unwrap_or(image.diff_ids.len().min(other.diff_ids.len()));
        findings.add(Rule::OtherDiffIds, format!("the diffIDs differ from layer {number} on"));
    }
}
