//! All layers of all variants, each converted once to each format however often it is needed.

use std::{
    collections::HashMap,
    io::{self, BufWriter, Read, Write as _},
    sync::Arc,
};

use futures_util::{
    TryFutureExt as _,
    stream::{self, StreamExt as _, TryStreamExt as _},
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{
    ConvertError, Run,
    format::Format,
    plan::{LayerKey, Plan, PlannedLayer},
    reuse::{self, Reusable, TakenLayer},
};
use crate::{
    layer::{self, Converted, LayerError, LayerProgress, Pool, Recipe},
    report::{Event, LayerKind, LayerReport},
    store::SpoolWriter,
};

/// Converted layers that may wait for their upload, or be under way, while others are being converted.
/// Each takes its length on disk.
const UPLOADS: usize = 3;

/// Threads that one layer uses: to decompress, walk, hash and assemble. More cores are used by
/// converting several layers at once.
const THREADS_PER_LAYER: usize = 4;

/// Bytes that are written to a spool at once.
const SPOOL_BUFFER: usize = 256 << 10;

/// What the layers have become.
pub(super) struct ConvertedLayers {
    /// For each variant of the plan, its layers in order.
    pub(super) of_variant: Vec<Vec<LayerReport>>,
    /// Each piece of work once.
    pub(super) distinct: Vec<LayerReport>,
}

/// One piece of work.
struct LayerTask<'a> {
    id: usize,
    /// For messages: which layer of which image.
    label: String,
    number: usize,
    layer: &'a PlannedLayer,
    key: LayerKey<'a>,
}

/// What all tasks work with.
struct Workshop<'a> {
    run: &'a Run<'a>,
    reusable: Reusable,
    pool: Arc<Pool>,
    /// Permits to read a layer.
    slots: Arc<Semaphore>,
}

/// A blob with the permit to read it. Both are dropped once the blob has been read, so the next layer
/// begins while the last batches and the TOC of this one are still in progress.
struct Permitted<R> {
    blob: R,
    _slot: OwnedSemaphorePermit,
}

impl<R: Read> Read for Permitted<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.blob.read(buf)
    }
}

/// Converts the layers and writes the new blobs to the destination.
pub(super) async fn convert(run: &Run<'_>) -> Result<ConvertedLayers, ConvertError> {
    let slots = run.job.jobs.div_ceil(THREADS_PER_LAYER);
    let workshop = Workshop {
        run,
        pool: Arc::new(Pool::new(run.job.jobs).map_err(ConvertError::Threads)?),
        reusable: reuse::find(run).await,
        slots: Arc::new(Semaphore::new(slots)),
    };
    let (tasks, of_variant) = tasks(&run.plan);
    let mut done: Vec<(usize, LayerReport)> = stream::iter(&tasks)
        .map(|task| workshop.layer(task).map_ok(|report| (task.id, report)))
        .buffer_unordered(slots + UPLOADS)
        .try_collect()
        .await?;
    done.sort_by_key(|(id, _)| *id);
    let distinct: Vec<LayerReport> = done.into_iter().map(|(_, report)| report).collect();
    let numbered = |ids: Vec<usize>| {
        let report =
            |(place, id): (usize, usize)| LayerReport { number: place + 1, ..distinct[id].clone() };
        ids.into_iter().enumerate().map(report).collect()
    };
    let of_variant = of_variant.into_iter().map(numbered).collect();
    Ok(ConvertedLayers { of_variant, distinct })
}

/// The lengths of the blobs that are to be read, in bytes.
pub(super) fn sizes(plan: &Plan) -> Vec<u64> {
    tasks(plan).0.iter().map(|task| task.layer.blob.size).collect()
}

/// The work, and for each variant which piece makes each of its layers.
fn tasks(plan: &Plan) -> (Vec<LayerTask<'_>>, Vec<Vec<usize>>) {
    let mut tasks = Vec::new();
    let mut known = HashMap::new();
    let mut of_variant = Vec::new();
    for variant in &plan.variants {
        let image = plan.image_of(*variant);
        let platform = image.source.platform.as_ref().filter(|_| plan.index.is_some());
        let ids = image.layers.iter().enumerate().map(|(place, layer)| {
            let key = layer.key(variant.format, place == 0);
            *known.entry(key).or_insert_with(|| {
                let number = place + 1;
                let label = match platform {
                    Some(platform) => format!("{platform} layer {number}"),
                    None => format!("layer {number}"),
                };
                let id = tasks.len();
                tasks.push(LayerTask { id, label, number, layer, key });
                id
            })
        });
        of_variant.push(ids.collect());
    }
    (tasks, of_variant)
}

impl Workshop<'_> {
    async fn layer(&self, task: &LayerTask<'_>) -> Result<LayerReport, ConvertError> {
        let (id, label) = (task.id, task.label.as_str());
        let Run { reporter, destination, .. } = self.run;
        if let Some(report) = self.unconverted(task).await? {
            reporter.event(&Event::Converted { id, label, report: &report });
            return Ok(report);
        }
        destination.check_push().await?;
        let (writer, spool) = destination.spool()?;
        let (mut report, already_there) =
            tokio::try_join!(self.convert(task, writer), destination.put_spool(spool))?;
        report.already_there = already_there;
        reporter.event(&Event::Stored { id, label, report: &report });
        Ok(report)
    }

    /// A layer that needs no work: a foreign one, or one that an earlier run has made, if that is
    /// right.
    async fn unconverted(&self, task: &LayerTask<'_>) -> Result<Option<LayerReport>, ConvertError> {
        let Self { run, reusable, .. } = self;
        if task.layer.foreign {
            if run.job.require_chunked {
                let reason = "it is foreign: clients fetch it from elsewhere, as it is";
                return Err(task.not_chunkable(reason));
            }
            return Ok(Some(task.unchanged()));
        }
        if !reusable.has(run, task.key) {
            return Ok(None);
        }
        let _slot = self.slot().await?;
        let Some(taken) = reusable.take(run, task.key, task.layer.blob.size).await? else {
            return Ok(None);
        };
        let TakenLayer { blob, raw_len, outline, reason, report, already_there } = taken;
        if let Some(reason) = reason.as_ref().filter(|_| run.job.require_chunked) {
            return Err(task.not_chunkable(reason));
        }
        Ok(Some(LayerReport {
            uncompressed_size: Some(raw_len),
            kind: if outline.is_some() { LayerKind::ZstdChunked } else { LayerKind::Zstd },
            digest: blob.digest,
            size: blob.size,
            outline,
            reason,
            already_there,
            reused: true,
            reuse: Some(report),
            ..task.unchanged()
        }))
    }

    async fn slot(&self) -> Result<OwnedSemaphorePermit, ConvertError> {
        let slot = Arc::clone(&self.slots).acquire_owned().await;
        slot.map_err(|_| ConvertError::Internal("slots closed".into()))
    }

    async fn convert(
        &self,
        task: &LayerTask<'_>,
        mut writer: SpoolWriter,
    ) -> Result<LayerReport, ConvertError> {
        let Self { run, pool, .. } = self;
        let &LayerTask { id, ref label, layer, key, .. } = task;
        let slot = self.slot().await?;
        let blob = Permitted { blob: run.source.blob(&layer.blob).await?, _slot: slot };
        let progress = Arc::new(LayerProgress::within(run.job.limits));
        run.reporter.event(&Event::Started {
            id,
            label,
            size: layer.blob.size,
            progress: Arc::clone(&progress),
        });
        let (pool, format, gzip_level) = (Arc::clone(pool), key.format, run.job.gzip_level);
        let chunked = format == Format::ZstdChunked;
        let recipe = Recipe { chunked, lowest: key.lowest, ..run.job.zstd };
        let expected = layer.diff_id.clone();
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
            (writer, converted)
        };
        let failed = |error| match error {
            LayerError::Spool(error) => run.destination.cannot_spool(error),
            error => ConvertError::Layer {
                label: label.clone(),
                digest: layer.blob.digest.clone(),
                error,
            },
        };
        let worked = tokio::task::spawn_blocking(work).await;
        // The writer outlives a failure: its end would fail the upload first.
        let (writer, converted) = worked.map_err(|_| failed(LayerError::WorkerLost))?;
        let report = self.report(task, converted.map_err(failed)?)?;
        run.reporter.event(&Event::Converted { id, label, report: &report });
        writer.finish(report.digest.clone());
        Ok(report)
    }

    fn report(
        &self,
        task: &LayerTask<'_>,
        converted: Converted,
    ) -> Result<LayerReport, ConvertError> {
        let reason = match &converted.outline {
            Err(Some(reason)) => Some(reason.to_string()),
            _ => None,
        };
        if let Some(reason) = reason.as_ref().filter(|_| self.run.job.require_chunked) {
            return Err(task.not_chunkable(reason));
        }
        Ok(LayerReport {
            source_compression: Some(converted.source),
            diff_id: converted.diff_id,
            uncompressed_size: Some(converted.raw_len),
            kind: match (task.key.format, &converted.outline) {
                (Format::Gzip, _) => LayerKind::Gzip,
                (_, Ok(_)) => LayerKind::ZstdChunked,
                (_, Err(_)) => LayerKind::Zstd,
            },
            digest: converted.digest,
            size: converted.len,
            reason,
            outline: converted.outline.ok(),
            already_there: false,
            ..task.unchanged()
        })
    }
}

impl LayerTask<'_> {
    /// The report of a layer that stays as it is.
    fn unchanged(&self) -> LayerReport {
        LayerReport::foreign(self.number, &self.layer.blob, &self.layer.diff_id)
    }

    fn not_chunkable(&self, reason: &str) -> ConvertError {
        ConvertError::NotChunkable {
            label: self.label.clone(),
            digest: self.layer.blob.digest.clone(),
            reason: reason.to_owned(),
        }
    }
}
