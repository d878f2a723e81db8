//! All layers of all variants, each converted once to each format however often it is needed.

mod expected;
mod tasks;

use std::{
    io::{self, BufWriter, Read, Write as _},
    sync::Arc,
};

use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

pub(super) use self::expected::expected;
use self::tasks::{LayerTask, LayerUse, Tasks};
use super::{
    ConvertError, Run,
    format::Format,
    plan::Plan,
    reuse::{self, Reusable, TakenLayer},
};
use crate::{
    check::BlobKind,
    layer::{self, Compression, Converted, LayerError, LayerProgress, Pool, Recipe},
    progress,
    report::{Event, LayerKind, LayerReport, ReuseNote},
    store::SpoolWriter,
};

/// Converted layers that may wait for their upload, or be under way, while others are being converted.
/// Each takes its length on disk.
pub(super) const UPLOADS: usize = 3;

/// Threads that one layer uses: to decompress, walk, hash and assemble. More cores are used by
/// converting several layers at once.
const THREADS_PER_LAYER: usize = 4;

/// Layers that are checked at the same time to be reused: each keeps one thread busy.
const CHECKS: usize = 2;

/// Bytes that are written to a spool at once.
const SPOOL_BUFFER: usize = 256 << 10;

/// What the layers have become.
pub(super) struct ConvertedLayers {
    /// For each variant of the plan, its layers in order.
    pub(super) of_variant: Vec<Vec<LayerReport>>,
    /// Each piece of work once.
    pub(super) distinct: Vec<LayerReport>,
    /// What there is to say of images that were named to be reused.
    pub(super) reuse_notes: Vec<ReuseNote>,
}

/// What all tasks work with.
struct Workshop<'a> {
    run: &'a Run<'a>,
    reusable: Reusable,
    pool: Arc<Pool>,
    /// Permits to read a layer.
    slots: Arc<Semaphore>,
    /// Permits to check one that may be reused.
    checks: Semaphore,
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

/// How many layers are read at the same time.
pub(super) fn slots(jobs: usize) -> usize {
    jobs.div_ceil(THREADS_PER_LAYER)
}

/// Converts the layers and writes the new blobs to the destination.
pub(super) async fn convert(run: &Run<'_>) -> Result<ConvertedLayers, ConvertError> {
    let slots = slots(run.job.jobs);
    let tasks = Tasks::of(&run.plan);
    let workshop = Workshop {
        run,
        pool: Arc::new(Pool::new(run.job.jobs).map_err(ConvertError::Threads)?),
        reusable: reuse::find(run).await,
        slots: Arc::new(Semaphore::new(slots)),
        checks: Semaphore::new(slots.max(CHECKS.min(run.job.jobs))),
    };
    let Tasks { all, uses } = &tasks;
    let done: Vec<Vec<Outcome>> = stream::iter(tasks.groups())
        .map(|group| workshop.group(group))
        .buffer_unordered(slots + UPLOADS)
        .try_collect()
        .await?;
    let mut done: Vec<_> = done.into_iter().flatten().collect();
    done.sort_by_key(|done| done.id);
    let mut of_variant = Vec::new();
    for uses in uses {
        let report = |layer: &LayerUse<'_>| {
            let Outcome { id, by, report: made } = &done[layer.task];
            let report = layer.report(made, &all[*by].label);
            if layer.is_taken_over(made) {
                let label = &layer.label;
                run.reporter.event(&Event::Converted { id: *id, label, report: &report });
            }
            report
        };
        of_variant.push(uses.iter().map(report).collect());
    }
    let distinct = done.into_iter().filter(|done| done.by == done.id);
    let distinct = distinct.map(|done| done.report).collect();
    let reuse_notes = workshop.reusable.notes().to_vec();
    Ok(ConvertedLayers { of_variant, distinct, reuse_notes })
}

/// The lengths of the blobs that are to be read, in bytes, as far as that is known before.
pub(super) fn sizes(plan: &Plan) -> Vec<u64> {
    Tasks::of(plan).first().into_iter().map(|task| task.layer.blob.size).collect()
}

/// What a task has come to.
struct Outcome {
    id: usize,
    /// The task that has done it: this one, or another of its group.
    by: usize,
    report: LayerReport,
}

impl Workshop<'_> {
    /// One after the other, because what the first makes may do for the others.
    async fn group(&self, tasks: Vec<&LayerTask<'_>>) -> Result<Vec<Outcome>, ConvertError> {
        let mut done: Vec<Outcome> = Vec::new();
        for task in tasks {
            let made = done.first().filter(|first| task.is_done_by(&first.report));
            let (by, report) = if let Some(first) = made {
                (first.by, first.report.clone())
            } else {
                if !done.is_empty() {
                    progress::expect(task.layer.blob.size);
                }
                (task.id, self.layer(task).await?)
            };
            done.push(Outcome { id: task.id, by, report });
        }
        Ok(done)
    }

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
            task.check_foreign(run)?;
            return Ok(Some(task.unchanged()));
        }
        if !reusable.has(run, task.key) {
            return Ok(None);
        }
        let closed = |_| ConvertError::Internal("checks closed".into());
        let _check = self.checks.acquire().await.map_err(closed)?;
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
        let unread = task.unchanged();
        Ok(LayerReport {
            source_format: Some(match converted.source {
                Compression::None => BlobKind::Uncompressed,
                Compression::Gzip => BlobKind::Gzip,
                Compression::Zstd if unread.source_is_chunked => BlobKind::ZstdChunked,
                Compression::Zstd => BlobKind::Zstd,
            }),
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
            ..unread
        })
    }
}
