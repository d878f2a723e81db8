//! Whether a layer is right: by all of its content, or by its documents.

use std::{
    io::{self, BufReader, Read, Seek as _},
    time::{Duration, Instant},
};

use bytes::Bytes;
use tempfile::NamedTempFile;

use super::{FoundLayer, unfit::Unfit};
use crate::{
    check::{
        self, Annotations, BlobKind, CheckedContent, CheckedLeftOut, Claims, DocumentsCheck,
        Findings, LayerVerdict, TocTotals,
    },
    chunked::{
        annotations::ChunkedAnnotations,
        eligibility::{ENTRIES_MAX, LeftOut, METADATA_FLOOR, Unchunkable, is_metadata_too_long},
        footer::Position,
        frame::SKIPPABLE_HEADER,
    },
    convert::{Run, format::Format, plan::LayerKey},
    image::{Digest, media_type::OCI_LAYER_ZSTD},
    layer::{self, Outline, ZSTD_MAGIC},
    limits::Limits,
    progress::{self, Counter, Work},
    report::ReuseProof,
    source::LayerDocuments,
    store::{BlobReader, Store},
};

/// TOC and tar-split of a layer that is verified while it comes are held up to this many bytes; longer
/// ones are written to a file.
const END_MAX: u64 = 8 << 20;

/// How many times longer than the source's blob a layer may be, in which case it takes that much room
/// on disk; [`LEN_FROM`] bytes are always allowed.
const LEN_RATIO: u64 = 16;
/// In bytes.
const LEN_FROM: u64 = 64 << 20;

/// Bytes a second that have to come of a layer; otherwise it is converted.
const PACE: u64 = 256 << 10;
/// The time for a short layer.
const TIME_FROM: Duration = Duration::from_secs(60);

/// Bytes of content that are walked at once.
const BUFFER: usize = 64 << 10;

/// What was found out about a layer that is right.
pub(super) struct Proof {
    pub(super) raw_len: u64,
    pub(super) outline: Option<Outline>,
    /// Why it has no TOC although one is wanted.
    pub(super) reason: Option<Unchunkable>,
    pub(super) by: ReuseProof,
    /// All of it, if it was downloaded.
    pub(super) blob: Option<NamedTempFile>,
}

impl FoundLayer {
    /// Whether its documents are enough. In a layout, reading all of it costs little.
    pub(super) fn is_trusted(&self, run: &Run<'_>) -> bool {
        run.job.reuse.trust_digests
            && self.candidate.is_pinned_by_user()
            && self.chunked
            && matches!(self.candidate.store(run), Store::Registry(_))
    }

    /// Fails if it is too long to replace a blob of `source_len` bytes.
    pub(super) fn check_len(&self, source_len: u64) -> Result<(), Unfit> {
        let len = self.blob.size;
        if len > source_len.saturating_mul(LEN_RATIO).max(LEN_FROM) {
            return Err(Unfit::Longer { len, source_len });
        }
        Ok(())
    }

    /// Fails if the layer cannot be had, or is not what this program would make. `source_len` is
    /// the length of the source's blob.
    pub(super) async fn prove(
        &self,
        run: &Run<'_>,
        key: LayerKey<'_>,
        source_len: u64,
    ) -> Result<Proof, Unfit> {
        self.check_len(source_len)?;
        let (limits, len) = (run.job.limits.for_replacement_of(source_len), self.blob.size);
        let documents = if self.is_trusted(run) { self.documents(run).await } else { None };
        let proof = match documents {
            Some(LayerDocuments { toc, tar_split, .. }) => {
                let (found, lowest) = (self.clone(), key.lowest);
                blocking(move || found.by_documents(&toc, &tar_split, lowest, limits)).await
            }
            None => self.by_content(run, key, limits).await,
        }?;
        // Frames that save nothing, TOC and tar-split make a blob longer than its content.
        if len > proof.raw_len.saturating_mul(2).saturating_add(METADATA_FLOOR) {
            return Err(Unfit::LongerThanContent { len, raw_len: proof.raw_len });
        }
        Ok(proof)
    }

    /// Opens the layer. It fails if it takes too long.
    async fn open(&self, run: &Run<'_>) -> Result<TimedReader, Unfit> {
        let time = TIME_FROM.saturating_add(Duration::from_secs(self.blob.size / PACE));
        let end = Instant::now() + time;
        let store = self.candidate.store(run);
        let opened = tokio::time::timeout(time, store.blob(&self.blob.digest, self.blob.size));
        let opened = opened.await.map_err(|_| Unfit::Slow)?;
        let reader = opened.map_err(|error| Unfit::unreadable(&error))?;
        let label = format!("reusable layer {}", &self.blob.digest.hex()[..12]);
        let (work, counter) = progress::aside(&label, "checking", self.blob.size);
        Ok(TimedReader { reader, end, shown: Some((work, counter)) })
    }

    pub(super) async fn download(&self, run: &Run<'_>) -> Result<NamedTempFile, Unfit> {
        let mut reader = self.open(run).await?;
        blocking(move || {
            let mut file = NamedTempFile::new()?;
            io::copy(&mut reader, file.as_file_mut())?;
            Ok(file)
        })
        .await
    }

    /// Whether the destination will not need the bytes: it has them, or can get them by itself.
    async fn is_only_checked(&self, run: &Run<'_>) -> bool {
        self.candidate.is_there()
            || self.candidate.may_be_mounted(run)
            || run.destination.has_blob(&self.blob).await.unwrap_or(false)
    }

    /// What to check: a file if it has to be kept, or to be read in two places.
    async fn content(&self, run: &Run<'_>) -> Result<Content, Unfit> {
        if self.is_only_checked(run).await {
            let end = if self.chunked { self.end(run).await } else { Some(Bytes::new()) };
            if let Some(end) = end {
                let blob = Box::new(self.open(run).await?);
                return Ok(Content::Stream { blob, end });
            }
        }
        self.download(run).await.map(Content::File)
    }

    /// Downloads the layer and checks all of it.
    async fn by_content(
        &self,
        run: &Run<'_>,
        key: LayerKey<'_>,
        limits: Limits,
    ) -> Result<Proof, Unfit> {
        let content = self.content(run).await?;
        let (found, diff_id) = (self.clone(), key.diff_id.clone());
        let (format, lowest) = (key.format, key.lowest);
        let work = move || {
            let expected = Expected { diff_id: &diff_id, limits, lowest };
            let (raw_len, outline, reason, blob) = if found.chunked {
                let (verdict, blob) = found.check_chunked(content, &expected)?;
                let outline = found.outline_of(&verdict)?;
                (verdict.tar_len, Some(outline), None, blob)
            } else {
                let walks = format == Format::ZstdChunked;
                let ((raw_len, reason), blob) = match content {
                    Content::Stream { blob, .. } => (check_plain(blob, &expected, walks)?, None),
                    Content::File(mut file) => {
                        let blob = file.as_file_mut();
                        blob.rewind()?;
                        (check_plain(blob, &expected, walks)?, Some(file))
                    }
                };
                (raw_len, None, reason, blob)
            };
            Ok(Proof { raw_len, outline, reason, by: ReuseProof::Verified, blob })
        };
        blocking(work).await
    }

    /// Checks a layer with a TOC.
    fn check_chunked(
        &self,
        content: Content,
        &Expected { diff_id, limits, lowest }: &Expected<'_>,
    ) -> Result<(LayerVerdict, Option<NamedTempFile>), Unfit> {
        let layer = check::Layer {
            blob: (),
            len: self.blob.size,
            media_type: OCI_LAYER_ZSTD,
            annotations: &self.annotations,
            diff_id,
            limits,
            lowest,
        };
        Ok(match content {
            Content::Stream { blob, end } => (check::streamed(layer, blob, &end)?, None),
            Content::File(file) => (check::layer(layer.of(file.as_file()))?, Some(file)),
        })
    }

    fn outline_of(&self, verdict: &LayerVerdict) -> Result<Outline, Unfit> {
        Unfit::of(&verdict.findings)?;
        match (verdict.kind, verdict.totals) {
            (BlobKind::ZstdChunked, Some(totals)) => {
                outline(&self.annotations, totals, &verdict.left_out)
            }
            (kind, _) => Err(Unfit::Kind(kind)),
        }
    }

    /// The blob from TOC or tar-split to its end; `None` if the registry does not serve parts of
    /// blobs, or that is too long.
    async fn end(&self, run: &Run<'_>) -> Option<Bytes> {
        let Store::Registry(registry) = self.candidate.store(run) else { return None };
        let claims = Claims::read(&self.annotations, &mut Findings::default())?;
        let start = claims.toc.offset.min(claims.tar_split?.offset);
        let wanted = start.checked_sub(SKIPPABLE_HEADER as u64)?..self.blob.size;
        let len = wanted.end.checked_sub(wanted.start).filter(|len| (1..=END_MAX).contains(len))?;
        let asked = registry.part(&self.blob.digest, wanted);
        let part = tokio::time::timeout(TIME_FROM, asked).await.ok()?.ok()??;
        (part.len() as u64 == len).then_some(part)
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
    ) -> Result<Proof, Unfit> {
        let read = DocumentsCheck::read(toc, tar_split, lowest)?;
        let (totals, left_out, findings) = read.compare(&self.annotations);
        Unfit::of(&findings)?;
        limits.allow(totals.tar_len, self.blob.size)?;
        let outline = Some(outline(&self.annotations, totals, &left_out)?);
        let (raw_len, by) = (totals.tar_len, ReuseProof::Digest);
        Ok(Proof { raw_len, outline, reason: None, by, blob: None })
    }
}

/// What the annotations and the TOC say; fails if that has more entries or is longer than a new one.
fn outline(
    annotations: &Annotations,
    totals: TocTotals,
    left_out: &CheckedLeftOut,
) -> Result<Outline, Unfit> {
    let claims = Claims::read(annotations, &mut Findings::default());
    let claims = claims.and_then(|claims| Some((claims.tar_split?, claims)));
    let (tar_split, claims) = claims.ok_or(Unfit::Internal)?;
    let metadata = claims.toc.len.saturating_add(tar_split.len);
    if totals.entries > ENTRIES_MAX || is_metadata_too_long(metadata, totals.tar_len) {
        return Err(Unfit::LongToc);
    }
    let place =
        |span: check::Span| Position { offset: span.offset, len: span.len, raw_len: span.raw_len };
    Ok(Outline {
        annotations: ChunkedAnnotations {
            toc_digest: claims.toc_digest,
            toc: place(claims.toc),
            tar_split: place(tar_split),
        },
        entries: totals.entries,
        files: totals.files,
        chunks: totals.chunks,
        left_out: LeftOut { count: left_out.count, names: left_out.names.clone() },
    })
}

/// A layer to be checked.
enum Content {
    /// All of it.
    File(NamedTempFile),
    /// What comes, and the end of it in advance, from TOC or tar-split on.
    Stream { blob: Box<TimedReader>, end: Bytes },
}

/// What a layer is checked for.
struct Expected<'a> {
    diff_id: &'a Digest,
    limits: Limits,
    lowest: bool,
}

/// Checks a layer without a TOC. If it `walks`, a TOC is wanted, and the content has to rule it out.
/// Returns the length of the content, and what rules out a TOC.
fn check_plain(
    mut blob: impl Read,
    &Expected { diff_id, limits, lowest }: &Expected<'_>,
    walks: bool,
) -> Result<(u64, Option<Unchunkable>), Unfit> {
    // Not every client recognizes zstd by another frame.
    let mut start = [0; 4];
    blob.read_exact(&mut start)?;
    if start != ZSTD_MAGIC {
        return Err(Unfit::FirstFrame);
    }
    let mut content = CheckedContent::new(start.chain(blob), diff_id, limits);
    let mut reason = None;
    if walks {
        let tar = BufReader::with_capacity(BUFFER, &mut content);
        let found = layer::obstacle(tar, lowest);
        // A failure to read it ends the walk early.
        Unfit::of(content.findings())?;
        reason = Some(found?.ok_or(Unfit::MayHaveToc)?);
    }
    let (raw_len, findings) = content.finish(diff_id);
    Unfit::of(&findings)?;
    Ok((raw_len, reason))
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Unfit> + Send + 'static,
) -> Result<T, Unfit> {
    tokio::task::spawn_blocking(work).await.unwrap_or(Err(Unfit::Internal))
}

/// Fails once a time has come.
struct TimedReader<R = BlobReader> {
    reader: R,
    end: Instant,
    /// As progress.
    shown: Option<(Work, Counter)>,
}

impl<R: Read> Read for TimedReader<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if Instant::now() > self.end {
            return Err(io::ErrorKind::TimedOut.into());
        }
        let read = self.reader.read(buf)?;
        if let Some((_, counter)) = &self.shown {
            counter.add(read);
        }
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn reading_ends_when_its_time_has_come() {
        let end = Instant::now() + Duration::from_millis(50);
        let error =
            io::copy(&mut TimedReader { reader: io::repeat(0), end, shown: None }, &mut io::sink());
        assert!(matches!(Unfit::from(error.unwrap_err()), Unfit::Slow));
    }

    #[test]
    fn no_more_entries_and_no_longer_documents_than_in_a_new_layer() {
        let position = |len| Position { offset: 9, len, raw_len: 9 };
        let fits = |entries, toc: u64, tar_split: u64, tar_len| {
            let annotations = ChunkedAnnotations {
                toc_digest: Digest::sha256_of(b""),
                toc: position(toc),
                tar_split: position(tar_split),
            };
            let pairs = annotations.to_pairs().map(|(key, value)| (key.to_owned(), value));
            let totals = TocTotals { entries, tar_len, ..TocTotals::default() };
            match outline(&pairs.into(), totals, &CheckedLeftOut::default()) {
                Ok(_) => true,
                Err(Unfit::LongToc) => false,
                Err(other) => panic!("{other}"),
            }
        };
        assert!(fits(ENTRIES_MAX, METADATA_FLOOR, 1000, 2000));
        assert!(!fits(ENTRIES_MAX + 1, METADATA_FLOOR, 1000, 2000));
        assert!(!fits(1, METADATA_FLOOR, 1001, 2000));
        assert!(!fits(1, 1001, METADATA_FLOOR, 2000));
        assert!(!fits(1, 1, u64::MAX, 2000));
    }
}
