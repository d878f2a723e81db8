//! All layers of an image, each converted once however often the image has it.

use std::{collections::HashMap, io::BufWriter, sync::Arc};

use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use tempfile::NamedTempFile;
use tokio::sync::Semaphore;

use super::{
    ConvertError, Job,
    plan::{Plan, PlannedLayer},
};
use crate::{
    image::Digest,
    layer::{self, Converted, LayerError, Pool, Progress},
    report::{Event, LayerKind, LayerReport, Reporter},
    store::{BlobContent, Store},
};

/// Converted layers that may wait for or be under upload while others are being converted. Each
/// takes its length on disk.
const UPLOADS: usize = 3;

/// One layer takes in at most so many threads: to decompress, to walk, to hash, to put together.
/// Beyond that, layers side by side use more cores than one alone.
const THREADS_PER_LAYER: usize = 4;

struct Context<'a> {
    job: &'a Job,
    source: &'a Store,
    destination: &'a Store,
    pool: &'a Arc<Pool>,
    reporter: &'a Reporter,
    /// Permits to convert.
    slots: Semaphore,
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
    let context =
        Context { job, source, destination, pool, reporter, slots: Semaphore::new(slots) };
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
        let (spool, converted) = {
            let slot = self.slots.acquire().await;
            let _slot = slot.map_err(|_| ConvertError::Internal("slots closed".into()))?;
            self.convert(number, layer).await?
        };
        let mut report = self.report(number, layer, converted)?;
        self.reporter.event(&Event::Converted { report: &report });
        report.already_there = self.store(&spool, &report).await?;
        self.reporter.event(&Event::Stored { report: &report });
        Ok(report)
    }

    async fn convert(
        &self,
        number: usize,
        layer: &PlannedLayer,
    ) -> Result<(NamedTempFile, Converted), ConvertError> {
        let failed =
            |error| ConvertError::Layer { number, digest: layer.blob.digest.clone(), error };
        let spool = NamedTempFile::new().map_err(|source| ConvertError::Spool {
            dir: std::env::temp_dir().display().to_string(),
            source,
        })?;
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
        let work = move || {
            let sink = BufWriter::new(spool.as_file());
            let converted = layer::convert(blob, sink, Some(&expected), recipe, &pool, &progress)?;
            Ok((spool, converted))
        };
        match tokio::task::spawn_blocking(work).await {
            Ok(result) => result.map_err(failed),
            Err(_) => Err(failed(LayerError::WorkerLost)),
        }
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

    /// Returns whether the blob was there before.
    async fn store(
        &self,
        spool: &NamedTempFile,
        report: &LayerReport,
    ) -> Result<bool, ConvertError> {
        let failed =
            |error| ConvertError::Destination { reference: self.job.destination.clone(), error };
        let LayerReport { digest, size, .. } = report;
        if self.destination.has_blob(digest, *size).await.map_err(failed)? {
            return Ok(true);
        }
        let content = BlobContent::File(spool.path().to_owned());
        self.destination.put_blob(digest, *size, content, |_| {}).await.map_err(failed)?;
        Ok(false)
    }
}
