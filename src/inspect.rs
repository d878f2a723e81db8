//! What the layers of an image consist of, for people. Nothing is proved here; that is what
//! [`crate::verify`] is for. Of layers with a TOC only that and the tar-split stream are fetched, and
//! others are downloaded only on request.

mod contents;
mod documents;
mod layer;
mod page;
mod report;

use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};

use self::report::Room;
pub(crate) use self::report::{InspectReport, InspectedLayer};
use crate::{
    image::{Descriptor, ImageReference, Platform},
    progress,
    resolve::ListedImage,
    source::{LayerDocuments, NoDocuments, Source},
    store::AccessOptions,
    verify::{self, VerifyError},
};

/// Layers whose TOCs are fetched at a time.
const FETCHES_MAX: usize = 4;

#[derive(Debug, Clone)]
pub(crate) struct InspectJob {
    /// The image or index.
    pub(crate) image: ImageReference,
    /// Which image of an index; without it they are listed.
    pub(crate) platform: Option<Platform>,
    /// With every entry of each TOC.
    pub(crate) toc: bool,
    /// Download each layer as a whole.
    pub(crate) download: bool,
    pub(crate) access: AccessOptions,
}

/// Inspects an image, or lists an index.
pub(crate) async fn run(job: &InspectJob) -> Result<InspectReport, VerifyError> {
    let source = Source::open(&job.image, &job.access).await?;
    let raw = source.root().await?;
    let mut report = InspectReport::new(job.image.to_string(), &raw);
    if raw.is_index() && job.platform.is_none() {
        report.images = source.index(&raw)?.entries().map(ListedImage::new).collect();
        report.lists_entries = job.toc;
        return Ok(report);
    }
    let image = source.choose(raw, job.platform.as_ref()).await?;
    report.digest = image.raw.digest.clone();
    report.platform = image.platform.as_ref().map(Platform::to_string);
    report.config_digest = Some(image.manifest.config.blob.digest.clone());
    if job.download {
        verify::expect(&image);
    }
    let layers = (1..).zip(&image.manifest.layers);
    let room = job.toc.then(Room::default);
    // A downloaded layer needs room on disk.
    let at_once = if job.download { 1 } else { FETCHES_MAX };
    let count = image.manifest.layers.len();
    report.layers = stream::iter(layers)
        .map(|(number, layer)| look(&source, number, layer, job.download, room.as_ref()))
        .buffered(at_once)
        .and_then(async |layer| match &room {
            Some(room) if room.is_exceeded() => Err(VerifyError::TooManyEntries {
                reference: job.image.clone(),
                mebibytes: Room::MAX >> 20,
            }),
            _ => Ok(layer),
        })
        .map_ok(|mut layer| {
            layer.contents.share(count);
            layer
        })
        .try_collect()
        .await?;
    Ok(report)
}

async fn look(
    source: &Source,
    number: usize,
    layer: &Descriptor,
    to_download: bool,
    room: Option<&Room>,
) -> Result<InspectedLayer, VerifyError> {
    let mut report = InspectedLayer::new(number, layer);
    if layer.is_foreign() {
        progress::skip(layer.blob.size);
        Ok(report)
    } else if to_download {
        download(source, layer, room, report).await
    } else if layer.is_chunked() {
        read_toc(source, layer, room, report).await
    } else {
        report.needs_download = true;
        Ok(report)
    }
}

async fn read_toc(
    source: &Source,
    layer: &Descriptor,
    room: Option<&Room>,
    mut report: InspectedLayer,
) -> Result<InspectedLayer, VerifyError> {
    let Descriptor { blob, annotations, .. } = layer;
    let fetched = LayerDocuments::fetch_or_download(source.store(), blob, annotations).await;
    let documents = match fetched {
        Ok(documents) => documents,
        Err(NoDocuments::Store(error)) => return Err(source.failed(*error).into()),
        Err(NoDocuments::Download { source, .. }) => return Err(VerifyError::Download(source)),
        Err(error) => {
            report.problem = Some(error.to_string());
            return Ok(report);
        }
    };
    let (annotations, room) = (annotations.clone(), room.cloned());
    let work = move || {
        documents::read(&documents, &annotations, room.as_ref(), &mut report);
        report
    };
    tokio::task::spawn_blocking(work).await.map_err(|_| VerifyError::Internal)
}

async fn download(
    source: &Source,
    descriptor: &Descriptor,
    room: Option<&Room>,
    mut report: InspectedLayer,
) -> Result<InspectedLayer, VerifyError> {
    let label = format!("layer {}", report.number);
    let (shown, counter) = progress::begin_counted(&label, "downloading", descriptor.blob.size);
    let blob = match verify::fetch(source, descriptor, counter).await? {
        Ok(blob) => blob,
        Err(mismatch) => {
            report.problem = Some(mismatch.to_string());
            return Ok(report);
        }
    };
    shown.say("reading");
    let (descriptor, room) = (descriptor.clone(), room.cloned());
    let work = move || layer::look(&blob, &descriptor, room.as_ref(), &mut report).map(|()| report);
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|_| VerifyError::Internal)?
        .map_err(VerifyError::Download)
}
