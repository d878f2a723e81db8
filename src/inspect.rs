//! What the layers of an image consist of, for people. Nothing is proved here; that is what
//! [`crate::verify`] is for. Each layer is downloaded whole.

mod layer;
mod report;

pub use self::report::{Entry, InspectReport, Largest, LayerReport, Member};
use crate::{
    image::{ImageReference, index::Platform},
    store::AccessOptions,
    verify::{
        ImageError,
        image::{Descriptor, Source},
    },
};

/// What is to be looked at.
#[derive(Debug, Clone)]
pub struct Job {
    /// The image or index.
    pub image: ImageReference,
    /// Which image of an index; without it they are listed.
    pub platform: Option<Platform>,
    /// With every entry of each TOC.
    pub toc: bool,
    /// How registries are talked to.
    pub access: AccessOptions,
}

/// Looks at an image, or lists an index.
pub async fn run(job: &Job) -> Result<InspectReport, ImageError> {
    let source = Source::open(&job.image, &job.access).await?;
    let raw = source.manifest().await?;
    let mut report = InspectReport::new(job.image.to_string(), &raw);
    let image = match (raw.is_index(), &job.platform) {
        (false, Some(_)) => return Err(ImageError::NoIndex { reference: job.image.clone() }),
        (false, None) => source.image(&raw, None).await?,
        (true, Some(platform)) => source.pick(&raw, platform).await?,
        (true, None) => {
            report.images = source.members(&raw)?.iter().map(Member::new).collect();
            return Ok(report);
        }
    };
    report.digest = image.digest.clone();
    report.config_digest = Some(image.config.digest.clone());
    for (index, layer) in image.layers.iter().enumerate() {
        report.layers.push(look(&source, index + 1, layer, job.toc).await?);
    }
    Ok(report)
}

async fn look(
    source: &Source,
    number: usize,
    descriptor: &Descriptor,
    toc: bool,
) -> Result<LayerReport, ImageError> {
    let mut report = LayerReport::new(number, descriptor);
    if descriptor.foreign() {
        return Ok(report);
    }
    let blob = match source.fetch(descriptor).await? {
        Ok(blob) => blob,
        Err(mismatch) => {
            report.problem = Some(mismatch.to_string());
            return Ok(report);
        }
    };
    let descriptor = descriptor.clone();
    let work = move || layer::look(&blob, &descriptor, toc, &mut report).map(|()| report);
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|_| ImageError::Internal)?
        .map_err(ImageError::Download)
}
