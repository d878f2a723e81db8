//! All layers of an image, each converted once however often the image has it.

use std::{
    collections::HashMap,
    io::{self, BufWriter, Read, Write as _},
    sync::Arc,
};

use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{
    ConvertError, Job,
    plan::{Plan, PlannedLayer},
};
use crate::{
    image::Digest,
    layer::{self, Converted, LayerError, Pool, Progress},
    report::{Event, LayerKind, LayerReport, Reporter},
    store::{Spool, SpoolWriter, Store},
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
    job: &'a Job,
    source: &'a Store,
    destination: &'a Store,
    pool: &'a Arc<Pool>,
    reporter: &'a Reporter,
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

/// Converts the layers and stores the new blobs. The reports are in the order of the image.
pub(super) async fn convert(
    job: &Job,
    plan: &Plan,
    source: &Store,
    destination: &Store,
    pool: &Arc<Pool>,
    reporter: &Reporter,
) -> Result<Vec<LayerReport>, ConvertError> {
    let slots = job.jobs.div_ceil(THREADS_PER_LAYER);
    let context = Context {
        job,
        source,
        destination,
        pool,
        reporter,
        slots: Arc::new(Semaphore::new(slots)),
    };
    let mut distinct: Vec<(usize, &PlannedLayer)> = Vec::new();
    // The same blob under another diffID is a contradiction, and has to be found out as one.
    let mut first: HashMap<(&Digest, &Digest), usize> = HashMap::new();
    for (index, layer) in plan.layers.iter().enumerate() {
        first.entry((&layer.blob.digest, &layer.diff_id)).or_insert_with(|| {
            distinct.push((index, layer));
            index
        });
    }
    let done: HashMap<usize, LayerReport> = stream::iter(distinct)
        .map(|(index, layer)| {
            let context = &context;
            async move { context.layer(index + 1, layer).await.map(|report| (index, report)) }
        })
        .buffer_unordered(slots + UPLOADS)
        .try_collect()
        .await?;
    plan.layers
        .iter()
        .enumerate()
        .map(|(index, layer)| {
            let first = first.get(&(&layer.blob.digest, &layer.diff_id)).unwrap_or(&index);
            let report = done.get(first).cloned();
            report
                .map(|report| LayerReport { number: index + 1, ..report })
                .ok_or_else(|| ConvertError::Internal(format!("layer {} was lost", index + 1)))
        })
        .collect()
}

impl Context<'_> {
    async fn layer(
        &self,
        number: usize,
        layer: &PlannedLayer,
    ) -> Result<LayerReport, ConvertError> {
        if layer.foreign {
            let report = LayerReport::foreign(number, &layer.blob, &layer.diff_id);
            self.reporter.event(&Event::Converted { report: &report });
            return Ok(report);
        }
        let (writer, spool) = Spool::new().map_err(|source| ConvertError::Spool {
            dir: std::env::temp_dir().display().to_string(),
            source,
        })?;
        let upload = async {
            self.destination.put_spool(spool, |_| {}).await.map_err(|error| {
                ConvertError::Destination { reference: self.job.destination.clone(), error }
            })
        };
        let (mut report, already_there) =
            tokio::try_join!(self.convert(number, layer, writer), upload)?;
        report.already_there = already_there;
        self.reporter.event(&Event::Stored { report: &report });
        Ok(report)
    }

    async fn convert(
        &self,
        number: usize,
        layer: &PlannedLayer,
        mut writer: SpoolWriter,
    ) -> Result<LayerReport, ConvertError> {
        let failed =
            |error| ConvertError::Layer { number, digest: layer.blob.digest.clone(), error };
        let slot = Arc::clone(&self.slots).acquire_owned().await;
        let slot = slot.map_err(|_| ConvertError::Internal("slots closed".into()))?;
        let blob =
            self.source.blob(&layer.blob.digest, layer.blob.size).await.map_err(|error| {
                ConvertError::Source { reference: self.job.source.clone(), error }
            })?;
        let progress = Arc::new(Progress::default());
        self.reporter.event(&Event::Started {
            number,
            size: layer.blob.size,
            progress: Arc::clone(&progress),
        });
        let (pool, recipe) = (Arc::clone(self.pool), self.job.recipe);
        let expected = layer.diff_id.clone();
        let blob = Permitted { blob, _slot: slot };
        let work = move || {
            let mut sink = BufWriter::with_capacity(SPOOL_BUFFER, &mut writer);
            let converted =
                layer::convert(blob, &mut sink, Some(&expected), recipe, &pool, &progress);
            let converted = converted
                .and_then(|converted| sink.flush().map(|()| converted).map_err(LayerError::Spool));
            drop(sink);
            // The writer outlives a failure: the upload must not end before that has been told.
            (writer, converted)
        };
        let worked = tokio::task::spawn_blocking(work).await;
        let (writer, converted) = worked.map_err(|_| failed(LayerError::WorkerLost))?;
        let report = self.report(number, layer, converted.map_err(failed)?)?;
        self.reporter.event(&Event::Converted { report: &report });
        writer.finish(report.digest.clone());
        Ok(report)
    }

    fn report(
        &self,
        number: usize,
        layer: &PlannedLayer,
        converted: Converted,
    ) -> Result<LayerReport, ConvertError> {
        let reason = match &converted.outline {
            Err(Some(reason)) => Some(reason.to_string()),
            _ => None,
        };
        if let Some(reason) = reason.clone().filter(|_| self.job.require_chunked) {
            let digest = layer.blob.digest.clone();
            return Err(ConvertError::NotChunkable { number, digest, reason });
        }
        let kind = if converted.outline.is_ok() { LayerKind::ZstdChunked } else { LayerKind::Zstd };
        Ok(LayerReport {
            number,
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
        })
    }
}
