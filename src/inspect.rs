//! What the layers of an image consist of, for people. Nothing is proved here; that is what
//! [`crate::verify`] is for. Each layer is downloaded whole.

mod contents;
mod layer;
mod page;
mod report;

pub(crate) use self::report::{InspectReport, InspectedLayer, ListedImage};
use crate::{
    image::{Descriptor, ImageReference, Platform},
    source::Source,
    store::AccessOptions,
    verify::{self, VerifyError},
};

#[derive(Debug, Clone)]
pub(crate) struct InspectJob {
    /// The image or index.
    pub(crate) image: ImageReference,
    /// Which image of an index; without it they are listed.
    pub(crate) platform: Option<Platform>,
    /// With every entry of each TOC.
    pub(crate) toc: bool,
    pub(crate) access: AccessOptions,
}

/// Inspects an image, or lists an index.
pub(crate) async fn run(job: &InspectJob) -> Result<InspectReport, VerifyError> {
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
