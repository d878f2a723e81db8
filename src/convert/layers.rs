//! All layers of all variants, each converted once to each format however often it is needed.

use std::{
    collections::HashMap,
    io::{self, BufWriter, Read, Write as _},
    sync::Arc,
};

use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{
    ConvertError, ConvertJob,
    format::Format,
    plan::{Plan, PlannedLayer},
    reuse::{Proved, Reusable},
};
use crate::{
    image::Digest,
    layer::{self, Converted, LayerError, LayerProgress, Pool, Recipe},
    report::{Event, LayerKind, LayerReport, Reporter},
    source::Source,
    store::{SpoolWriter, Store},
};

/// Converted layers that may wait for or be under upload while others are being converted. Each
/// takes its length on disk.
const UPLOADS: usize = 3;

/// One layer takes in at most so many threads: to decompress, to walk, to hash, to put together.
/// Beyond that, layers side by side use more cores than one alone.
const THREADS_PER_LAYER: usize = 4;

/// Bytes that are written to a spool at once.
const SPOOL_BUFFER: usize = 256 << 10;

struct Context<'a> {
    job: &'a ConvertJob,
    source: &'a Source,
    destination: &'a Store,
    pool: &'a Arc<Pool>,
    reporter: &'a Reporter,
    reusable: Reusable,
    /// Permits to read a layer.
    slots: Arc<Semaphore>,
}

/// A blob with the permit to read it. Both go once the blob has been read, and then the next layer
/// begins while the last batches and the TOC of this one are still being worked on.
struct Permitted<R> {
    blob: R,
    _slot: OwnedSemaphorePermit,
}

impl<R: Read> Read for Permitted<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.blob.read(buf)
    }
}

/// One piece of work. The same blob under another diffID is a contradiction, and has to be found
/// out as one; and what is the lowest layer of one image may have a TOC that it cannot have
/// elsewhere.
type Key<'a> = (&'a Digest, &'a Digest, Format, bool);

struct Task<'a> {
    /// For messages: which layer of which image.
    label: String,
    number: usize,
    layer: &'a PlannedLayer,
    format: Format,
    /// It is the lowest one of its image.
    lowest: bool,
}

/// What the layers have become.
pub(super) struct Layers {
    /// For each variant of the plan, its layers in order.
    pub(super) of_variant: Vec<Vec<LayerReport>>,
    /// Each piece of work once.
    pub(super) distinct: Vec<LayerReport>,
}

/// Converts the layers and stores the new blobs.
pub(super) async fn convert(
    job: &ConvertJob,
    plan: &Plan,
    source: &Source,
    destination: &Store,
    pool: &Arc<Pool>,
    reporter: &Reporter,
) -> Result<Layers, ConvertError> {
    let slots = job.jobs.div_ceil(THREADS_PER_LAYER);
    let context = Context {
        job,
        source,
        destination,
        pool,
        reporter,
        reusable: Reusable::find(job, plan, destination).await,
        slots: Arc::new(Semaphore::new(slots)),
    };
    let (tasks, of_variant) = tasks(plan);
    let mut done: Vec<(usize, LayerReport)> = stream::iter(tasks.iter().enumerate())
        .map(|(id, task)| {
            let context = &context;
            async move { context.layer(id, task).await.map(|report| (id, report)) }
        })
        .buffer_unordered(slots + UPLOADS)
        .try_collect()
        .await?;
    done.sort_by_key(|(id, _)| *id);
    let distinct: Vec<LayerReport> = done.into_iter().map(|(_, report)| report).collect();
    let numbered = |ids: &Vec<usize>| {
        let report = |(place, id): (usize, &usize)| LayerReport {
            number: place + 1,
            ..distinct[*id].clone()
        };
        ids.iter().enumerate().map(report).collect()
    };
    let of_variant = of_variant.iter().map(numbered).collect();
    Ok(Layers { of_variant, distinct })
}

/// The lengths of the blobs that are to be read, in bytes.
pub(super) fn sizes(plan: &Plan) -> Vec<u64> {
    tasks(plan).0.iter().map(|task| task.layer.blob.size).collect()
}

/// The work, and for each variant which piece makes each of its layers.
fn tasks(plan: &Plan) -> (Vec<Task<'_>>, Vec<Vec<usize>>) {
    let mut tasks = Vec::new();
    let mut known: HashMap<Key<'_>, usize> = HashMap::new();
    let of_variant = plan
        .variants
        .iter()
        .map(|variant| {
            let image = plan.image_of(*variant);
            let platform = image.source.platform.as_ref().filter(|_| plan.index.is_some());
            let id_of = |(place, layer)| {
                let layer: &PlannedLayer = layer;
                let lowest = place == 0;
                let key = (&layer.blob.digest, &layer.diff_id, variant.format, lowest);
                *known.entry(key).or_insert_with(|| {
                    let number = place + 1;
                    let label = match platform {
                        Some(platform) => format!("{platform} layer {number}"),
                        None => format!("layer {number}"),
                    };
                    tasks.push(Task { label, number, layer, format: variant.format, lowest });
                    tasks.len() - 1
                })
            };
            image.layers.iter().enumerate().map(id_of).collect()
        })
        .collect();
    (tasks, of_variant)
}

impl Context<'_> {
    async fn layer(&self, id: usize, task: &Task<'_>) -> Result<LayerReport, ConvertError> {
        let (layer, label) = (task.layer, task.label.as_str());
        if layer.foreign && self.job.require_chunked {
            let (label, digest) = (label.to_owned(), layer.blob.digest.clone());
            let reason = "it is foreign: clients fetch it from elsewhere, as it is".to_owned();
            return Err(ConvertError::NotChunkable { label, digest, reason });
        }
        if layer.foreign {
            let report = LayerReport::foreign(task.number, &layer.blob, &layer.diff_id);
            self.reporter.event(&Event::Converted { id, label, report: &report });
            return Ok(report);
        }
        if let Some(report) = self.reuse(task).await? {
            self.reporter.event(&Event::Converted { id, label, report: &report });
            return Ok(report);
        }
        let no_room = |source| ConvertError::no_room(self.destination, source);
        let (writer, spool) = self.destination.spool().map_err(no_room)?;
        let upload = async {
            self.destination.put_spool(spool).await.map_err(|error| ConvertError::Destination {
                reference: self.job.destination.clone(),
                error,
            })
        };
        let (mut report, already_there) = tokio::try_join!(self.convert(id, task, writer), upload)?;
        report.already_there = already_there;
        self.reporter.event(&Event::Stored { id, label, report: &report });
        Ok(report)
    }

    /// What an earlier run has made, if that is right.
    async fn reuse(&self, task: &Task<'_>) -> Result<Option<LayerReport>, ConvertError> {
        let Task { number, layer, format, lowest, .. } = task;
        let Some(known) = self.reusable.get(layer, *format, *lowest) else { return Ok(None) };
        let slot = self.slots.acquire().await;
        let _slot = slot.map_err(|_| ConvertError::Internal("slots closed".into()))?;
        let (limits, len) = (self.job.limits, layer.blob.size);
        let wanted = (&layer.diff_id, *format, *lowest);
        let proved = known.prove(self.destination, wanted, limits, len).await;
        Ok(proved.map(|Proved { blob, raw_len, outline }| LayerReport {
            number: *number,
            source_digest: layer.blob.digest.clone(),
            source_size: layer.blob.size,
            source_compression: None,
            diff_id: layer.diff_id.clone(),
            uncompressed_size: Some(raw_len),
            kind: if outline.is_some() { LayerKind::ZstdChunked } else { LayerKind::Zstd },
            digest: blob.digest,
            size: blob.size,
            reason: None,
            outline,
            already_there: true,
            reused: true,
        }))
    }

    async fn convert(
        &self,
        id: usize,
        task: &Task<'_>,
        mut writer: SpoolWriter,
    ) -> Result<LayerReport, ConvertError> {
        let (layer, label) = (task.layer, task.label.as_str());
        let failed = |error| match error {
            LayerError::Spool(source) => ConvertError::no_room(self.destination, source),
            error => {
                let (label, digest) = (label.to_owned(), layer.blob.digest.clone());
                ConvertError::Layer { label, digest, error }
            }
        };
        let slot = Arc::clone(&self.slots).acquire_owned().await;
        let slot = slot.map_err(|_| ConvertError::Internal("slots closed".into()))?;
        let blob = self.source.blob(&layer.blob).await?;
        let progress = Arc::new(LayerProgress::within(self.job.limits));
        self.reporter.event(&Event::Started {
            id,
            label,
            size: layer.blob.size,
            progress: Arc::clone(&progress),
        });
        let (pool, format) = (Arc::clone(self.pool), task.format);
        let chunked = format == Format::ZstdChunked;
        let recipe = Recipe { chunked, lowest: task.lowest, ..self.job.zstd };
        let gzip_level = self.job.gzip_level;
        let expected = layer.diff_id.clone();
        let blob = Permitted { blob, _slot: slot };
        let work = move || {
            let mut sink = BufWriter::with_capacity(SPOOL_BUFFER, &mut writer);
            let expected = Some(&expected);
            let converted = if format == Format::Gzip {
                layer::gzip::to_gzip(blob, &mut sink, expected, gzip_level, &pool, &progress)
            } else {
                layer::convert(blob, &mut sink, expected, recipe, &pool, &progress)
            };
            let converted = converted
                .and_then(|converted| sink.flush().map(|()| converted).map_err(LayerError::Spool));
            drop(sink);
            // The writer outlives a failure: the upload must not end before that has been told.
            (writer, converted)
        };
        let worked = tokio::task::spawn_blocking(work).await;
        let (writer, converted) = worked.map_err(|_| failed(LayerError::WorkerLost))?;
        let report = self.report(task, converted.map_err(failed)?)?;
        self.reporter.event(&Event::Converted { id, label, report: &report });
        writer.finish(report.digest.clone());
        Ok(report)
    }

    fn report(&self, task: &Task<'_>, converted: Converted) -> Result<LayerReport, ConvertError> {
        let Task { number, layer, label, format, .. } = task;
        let reason = match &converted.outline {
            Err(Some(reason)) => Some(reason.to_string()),
            _ => None,
        };
        if let Some(reason) = reason.clone().filter(|_| self.job.require_chunked) {
            let (label, digest) = (label.clone(), layer.blob.digest.clone());
            return Err(ConvertError::NotChunkable { label, digest, reason });
        }
        let kind = match (format, &converted.outline) {
            (Format::Gzip, _) => LayerKind::Gzip,
            (_, Ok(_)) => LayerKind::ZstdChunked,
            (_, Err(_)) => LayerKind::Zstd,
        };
        Ok(LayerReport {
            number: *number,
            source_digest: layer.blob.digest.clone(),
            source_size: layer.blob.size,
            source_compression: Some(converted.source),
            diff_id: converted.diff_id,
            uncompressed_size: Some(converted.raw_len),
            kind,
            digest: converted.digest,
            size: converted.len,
            reason,
            outline: converted.outline.ok(),
            already_there: false,
            reused: false,
        })
    }
}
