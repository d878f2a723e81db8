//! Whether a layer is right: by all of its content, or by its documents.

use std::{
    io::{self, Read},
    time::{Duration, Instant},
};

use tempfile::NamedTempFile;

use super::FoundLayer;
use crate::{
    check::{self, BlobKind, CheckedLeftOut, Claims, DocumentsCheck, Findings, TocTotals},
    chunked::{
        annotations::ChunkedAnnotations,
        eligibility::{ENTRIES_MAX, LeftOut, METADATA_FLOOR, is_metadata_too_long},
        footer::Position,
    },
    convert::{Run, format::Format, plan::LayerKey},
    image::media_type::OCI_LAYER_ZSTD,
    layer::Outline,
    limits::Limits,
    report::ReuseProof,
    source::LayerDocuments,
    store::{BlobReader, Store},
};

/// How many times longer than the source's blob a layer may be, in which case it takes that much room
/// on disk; [`LEN_FROM`] bytes are always allowed.
const LEN_RATIO: u64 = 16;
/// In bytes.
const LEN_FROM: u64 = 64 << 20;

/// Bytes a second that have to come of a layer; otherwise it is converted.
const PACE: u64 = 256 << 10;
/// The time for a short layer.
const TIME_FROM: Duration = Duration::from_secs(60);

/// What was found out about a layer that is right.
pub(super) struct Proof {
    pub(super) raw_len: u64,
    pub(super) outline: Option<Outline>,
    pub(super) by: ReuseProof,
    /// All of it, if it was downloaded.
    pub(super) blob: Option<NamedTempFile>,
}

impl FoundLayer {
    /// `None` if the layer cannot be had, or is not what this program would make. `source_len` is
    /// the length of the source's blob.
    pub(super) async fn prove(
        &self,
        run: &Run<'_>,
        key: LayerKey<'_>,
        source_len: u64,
    ) -> Option<Proof> {
        let limits = run.job.limits.for_replacement_of(source_len);
        if self.blob.size > source_len.saturating_mul(LEN_RATIO).max(LEN_FROM) {
            return None;
        }
        let is_trusted =
            run.job.reuse.trust_digests && self.candidate.is_pinned_by_user() && self.chunked;
        let proof = match self.candidate.store(run) {
            Store::Registry(_) if is_trusted => match self.documents(run).await {
                Some(LayerDocuments { toc, tar_split, .. }) => {
                    let (found, lowest) = (self.clone(), key.lowest);
                    let work = move || found.by_documents(&toc, &tar_split, lowest, limits);
                    tokio::task::spawn_blocking(work).await.ok().flatten()
                }
                None => self.by_content(run, key, limits).await,
            },
            _ => self.by_content(run, key, limits).await,
        }?;
        // Frames that save nothing, TOC and tar-split make a blob longer than its content.
        (self.blob.size <= proof.raw_len.saturating_mul(2).saturating_add(METADATA_FLOOR))
            .then_some(proof)
    }

    /// Downloads the layer, unless that takes too long.
    pub(super) async fn download(&self, run: &Run<'_>) -> Option<NamedTempFile> {
        let time = TIME_FROM.saturating_add(Duration::from_secs(self.blob.size / PACE));
        let end = Instant::now() + time;
        let store = self.candidate.store(run);
        let opened = tokio::time::timeout(time, store.blob(&self.blob.digest, self.blob.size));
        let reader = opened.await.ok()?.ok()?;
        let work = move || {
            let mut file = NamedTempFile::new().ok()?;
            io::copy(&mut TimedReader { reader, end }, file.as_file_mut()).ok()?;
            Some(file)
        };
        tokio::task::spawn_blocking(work).await.ok().flatten()
    }

    /// Downloads the layer and checks all of it.
    async fn by_content(&self, run: &Run<'_>, key: LayerKey<'_>, limits: Limits) -> Option<Proof> {
        let file = self.download(run).await?;
        let (found, diff_id) = (self.clone(), key.diff_id.clone());
        let (format, lowest) = (key.format, key.lowest);
        let work = move || {
            let subject = check::Layer {
                blob: file.as_file(),
                len: found.blob.size,
                media_type: OCI_LAYER_ZSTD,
                annotations: &found.annotations,
                diff_id: &diff_id,
                limits,
                lowest,
            };
            let verdict = check::layer(subject).ok()?;
            if verdict.findings.first_obstacle().is_some() {
                return None;
            }
            let outline = match (format, verdict.kind) {
                (Format::ZstdChunked, BlobKind::ZstdChunked) => {
                    Some(found.outline(verdict.totals?, &verdict.left_out)?)
                }
                (Format::Zstd, BlobKind::Zstd) => None,
                _ => return None,
            };
            let (raw_len, by) = (verdict.tar_len, ReuseProof::Verified);
            Some(Proof { raw_len, outline, by, blob: Some(file) })
        };
        tokio::task::spawn_blocking(work).await.ok().flatten()
    }

    /// `None` if the registry does not serve parts of blobs, or they are too large.
    async fn documents(&self, run: &Run<'_>) -> Option<LayerDocuments> {
        let store = self.candidate.store(run);
        // Otherwise nothing would look at its size.
        if !store.has_blob(&self.blob.digest, self.blob.size).await.ok()? {
            return None;
        }
        LayerDocuments::fetch(store, &self.blob, &self.annotations).await.ok()
    }

    /// Checks the documents against each other, and against what led to them.
    fn by_documents(
        &self,
        toc: &[u8],
        tar_split: &[u8],
        lowest: bool,
        limits: Limits,
    ) -> Option<Proof> {
        let read: io::Result<_> = DocumentsCheck::read(toc, tar_split, lowest);
        let (totals, left_out, findings) = read.ok()?.compare(&self.annotations);
        if findings.first_obstacle().is_some()
            || limits.allow(totals.tar_len, self.blob.size).is_err()
        {
            return None;
        }
        let outline = Some(self.outline(totals, &left_out)?);
        let (raw_len, by) = (totals.tar_len, ReuseProof::Digest);
        Some(Proof { raw_len, outline, by, blob: None })
    }

    /// `None` if it has more entries or longer documents than a new layer.
    fn outline(&self, totals: TocTotals, left_out: &CheckedLeftOut) -> Option<Outline> {
        let claims = Claims::read(&self.annotations, &mut Findings::default())?;
        let metadata = claims.toc.len.saturating_add(claims.tar_split?.len);
        if totals.entries > ENTRIES_MAX || is_metadata_too_long(metadata, totals.tar_len) {
            return None;
        }
        let place = |span: check::Span| Position {
            offset: span.offset,
            len: span.len,
            raw_len: span.raw_len,
        };
        Some(Outline {
            annotations: ChunkedAnnotations {
                toc_digest: claims.toc_digest,
                toc: place(claims.toc),
                tar_split: place(claims.tar_split?),
            },
            entries: totals.entries,
            files: totals.files,
            chunks: totals.chunks,
            left_out: LeftOut { count: left_out.count, names: left_out.names.clone() },
        })
    }
}

/// Fails once a time has come.
struct TimedReader {
    reader: BlobReader,
    end: Instant,
}

impl Read for TimedReader {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if Instant::now() > self.end {
            return Err(io::ErrorKind::TimedOut.into());
        }
        self.reader.read(buf)
    }
}
