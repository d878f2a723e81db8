//! What each kind of client fetches, in all layers.

use std::{
    collections::{BTreeMap, HashSet},
    ops::Range,
};

use super::{
    client::{overhead, sum},
    compare::Layer,
    judge::Way,
    layer::Lacking,
    report::{Clients, Fetched, FileCount, FileCounts, GzipUpdate, LayerDiff, LayerState},
    select::Side,
};
use crate::{
    check::{Claims, Findings},
    image::Descriptor,
    source::SourceImage,
};

#[derive(Debug, Default)]
pub(super) struct Totals {
    by_files: Fetched,
    by_chunks: Fetched,
    by_layers: Fetched,
    pub(super) files: FileCounts,
    pub(super) layers: Vec<LayerDiff>,
}

impl Totals {
    /// `lacking` is what clients lack of each layer that is pulled partially.
    pub(super) fn new(
        (_, old): (&Side, &SourceImage),
        (side, new): (&Side, &SourceImage),
        layers: &[Layer<'_>],
        mut lacking: BTreeMap<u64, Lacking>,
    ) -> Self {
        let mut totals = Self::default();
        let in_old: HashSet<_> = old.manifest.layers.iter().map(|it| &it.blob.digest).collect();
        for layer in layers {
            let blob = &layer.descriptor.blob;
            if !in_old.contains(&blob.digest) {
                totals.by_layers.add_whole(blob.size);
            }
            let report = totals.layer(layer, lacking.remove(&layer.number));
            totals.files.append(&report.files);
            totals.layers.push(report);
        }
        let documents = side.documents(new);
        for fetched in [&mut totals.by_files, &mut totals.by_chunks, &mut totals.by_layers] {
            fetched.documents = documents;
            fetched.total = [fetched.ranges, fetched.whole_layers, fetched.metadata]
                .into_iter()
                .fold(documents, u64::saturating_add);
        }
        totals
    }

    /// Whether any layer is pulled partially.
    pub(super) fn is_partial(&self) -> bool {
        self.layers.iter().any(|layer| layer.state == LayerState::Partial)
    }

    pub(super) fn clients(&self, gzip: Option<GzipUpdate>) -> Clients {
        let Self { by_files, by_chunks, by_layers, .. } = *self;
        Clients { files: by_files, chunks: by_chunks, layers: by_layers, gzip }
    }

    fn layer(&mut self, layer: &Layer<'_>, lacking: Option<Lacking>) -> LayerDiff {
        let Descriptor { blob, annotations, .. } = layer.descriptor;
        let mut report = LayerDiff {
            number: layer.number,
            digest: blob.digest.clone(),
            size: blob.size,
            state: LayerState::Same,
            reason: None,
            fetched: 0,
            fetched_with_chunks: 0,
            metadata: 0,
            holes: 0,
            files: FileCounts::default(),
        };
        if layer.is_in_old {
            return report;
        }
        let claims = Claims::read(annotations, &mut Findings::default());
        let spans = claims.and_then(|claims| Some([claims.toc, claims.tar_split?]));
        let (Some(lacking), Some(spans)) = (lacking, spans) else {
            self.by_files.add_whole(blob.size);
            self.by_chunks.add_whole(blob.size);
            report.state = LayerState::Whole;
            report.fetched = blob.size;
            report.fetched_with_chunks = blob.size;
            if let Way::Whole(reason) = &layer.way {
                report.reason = Some(reason.clone());
            }
            return report;
        };
        let metadata = spans.map(|span| span.offset..span.offset.saturating_add(span.len));
        let Lacking { files, holes, by_files, by_chunks } = lacking;
        report.state = LayerState::Partial;
        (report.files, report.holes, report.metadata) = (files, holes, sum(&metadata));
        report.fetched = self.by_files.add(&metadata, &by_files.requested(), blob.size);
        report.fetched_with_chunks =
            self.by_chunks.add(&metadata, &by_chunks.requested(), blob.size);
        report
    }
}

impl Fetched {
    fn add_whole(&mut self, size: u64) {
        self.whole_layers = self.whole_layers.saturating_add(size);
    }

    /// Two requests: for TOC and tar-split, and for what is missing. Returns how much they fetch.
    fn add(&mut self, metadata: &[Range<u64>], missing: &[Range<u64>], size: u64) -> u64 {
        let (of_metadata, of_missing) = (sum(metadata), sum(missing));
        self.metadata = self.metadata.saturating_add(of_metadata);
        self.ranges = self.ranges.saturating_add(of_missing);
        self.overhead += overhead(metadata, size) + overhead(missing, size);
        self.range_count += (metadata.len() + missing.len()) as u64;
        of_metadata.saturating_add(of_missing)
    }
}

impl FileCounts {
    fn append(&mut self, other: &Self) {
        self.same.append(other.same);
        self.changed.append(other.changed);
        self.new.append(other.new);
    }
}

impl FileCount {
    pub(super) fn append(&mut self, other: Self) {
        self.files += other.files;
        for (sum, more) in [
            (&mut self.size, other.size),
            (&mut self.compressed, other.compressed),
            (&mut self.fetched, other.fetched),
            (&mut self.fetched_with_chunks, other.fetched_with_chunks),
        ] {
            *sum = sum.saturating_add(more);
        }
    }
}
