//! What the layers of an image consist of, for people. Nothing is proved here; that is what
//! [`crate::verify`] is for. Each layer is downloaded whole.

mod layer;
mod report;

pub use self::report::{InspectReport, InspectedLayer, Largest, ListedImage, TocLine};
use crate::{
    image::{Descriptor, ImageReference, Platform},
    source::Source,
    store::AccessOptions,
    verify::{self, VerifyError},
};

/// What is to be looked at.
#[derive(Debug, Clone)]
pub struct InspectJob {
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
pub async fn run(job: &InspectJob) -> Result<InspectReport, VerifyError> {
    let source = Source::open(&job.image, &job.access).await?;
    let raw = source.root().await?;
    let mut report = InspectReport::new(job.image.to_string(), &raw);
    if raw.is_index() && job.platform.is_none() {
        report.images = source.index(&raw)?.entries().map(ListedImage::new).collect();
        return Ok(report);
    }
    let image = source.choose(raw, job.platform.as_ref()).await?;
    report.digest = image.raw.digest.clone();
    report.config_digest = Some(image.manifest.config.blob.digest.clone());
    for (index, layer) in image.manifest.layers.iter().enumerate() {
        report.layers.push(look(&source, index + 1, layer, job.toc).await?);
    }
    Ok(report)
}

async fn look(
    source: &Source,
    number: usize,
    descriptor: &Descriptor,
    toc: bool,
) -> Result<InspectedLayer, VerifyError> {
    let mut report = InspectedLayer::new(number, descriptor);
    if descriptor.is_foreign() {
        return Ok(report);
    }
    let blob = match verify::fetch(source, descriptor).await? {
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
        .map_err(|_| VerifyError::Internal)?
        .map_err(VerifyError::Download)
}
