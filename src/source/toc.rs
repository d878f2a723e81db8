//! TOC and tar-split stream of a layer, without the rest of its blob.

use std::{
    io::{self, Read},
    ops::Range,
};

use bytes::Bytes;

use crate::{
    check::{self, Claims, Findings, Span},
    image::{BlobId, Digest, annotations::Annotations},
    store::{Store, StoreError},
};

/// TOC and tar-split together are read into memory up to this many bytes. An entry takes about 130
/// of them, so this is enough for 250 000 files and chunks in one layer.
const DOCUMENTS_MAX: u64 = 32 << 20;

/// Both documents in their compressed form. The TOC has the digest that the annotations name.
#[derive(Debug, Clone)]
pub(crate) struct LayerDocuments {
    pub(crate) claims: Claims,
    pub(crate) toc: Bytes,
    pub(crate) tar_split: Bytes,
}

/// Why the documents of a layer could not be had.
#[derive(Debug, thiserror::Error)]
pub enum NoDocuments {
    #[error(
        "the annotations of blob {0} do not lead to a TOC and a tar-split stream; run \
         `recompress-image verify` for details"
    )]
    Annotations(Digest),
    #[error("TOC and tar-split stream of blob {blob} take more than {} MiB", DOCUMENTS_MAX >> 20)]
    TooLarge { blob: Digest },
    #[error(
        "the TOC of blob {0} does not have the digest in its annotation; run `recompress-image \
         verify` for details"
    )]
    Digest(Digest),
    /// The registry does not serve parts of blobs.
    #[error("the registry did not serve a part of blob {0}")]
    NoRanges(Digest),
    #[error(transparent)]
    Store(Box<StoreError>),
    #[error("cannot download blob {blob}")]
    Download { blob: Digest, source: io::Error },
}

impl From<StoreError> for NoDocuments {
    fn from(error: StoreError) -> Self {
        Self::Store(Box::new(error))
    }
}

impl LayerDocuments {
    /// By one request for a part of the blob. Nothing looks at the blob's size.
    pub(crate) async fn fetch(
        store: &Store,
        blob: &BlobId,
        annotations: &Annotations,
    ) -> Result<Self, NoDocuments> {
        let place = Place::of(blob, annotations)?;
        let part = match store {
            Store::Registry(registry) => {
                let part = registry.part(&blob.digest, place.range.clone()).await?;
                part.ok_or_else(|| NoDocuments::NoRanges(blob.digest.clone()))?
            }
            Store::Layout(layout) => layout.part(&blob.digest, place.range.clone()).await?,
        };
        place.documents(&part, blob)
    }

    /// The same; if the registry serves no parts of blobs, or something else instead of the TOC, from
    /// the whole blob, which is verified.
    pub(crate) async fn fetch_or_download(
        store: &Store,
        blob: &BlobId,
        annotations: &Annotations,
    ) -> Result<Self, NoDocuments> {
        let fetched = match Self::fetch(store, blob, annotations).await {
            Ok(found) if matches!(store, Store::Registry(_)) => found.agreeing(blob).await,
            result => result,
        };
        match (fetched, store) {
            (Err(NoDocuments::NoRanges(digest)), _) => {
                tracing::info!("registry served no part of blob {digest}; downloading all of it");
            }
            // It may be the blob that is wrong, or only what was served as its part.
            (Err(NoDocuments::Digest(digest)), Store::Registry(_)) => {
                tracing::info!(
                    "the part of blob {digest} that the registry served is not its TOC and tar-split; \
                     downloading all of it"
                );
            }
            (result, _) => return result,
        }
        let place = Place::of(blob, annotations)?;
        let reader = store.blob(&blob.digest, blob.size).await?;
        let range = place.range.clone();
        let cut = tokio::task::spawn_blocking(move || cut(reader, range)).await;
        let failed = |source| NoDocuments::Download { blob: blob.digest.clone(), source };
        let part = cut.unwrap_or_else(|error| Err(io::Error::other(error))).map_err(failed)?;
        place.documents(&part, blob)
    }

    /// Fails if the TOC has the digest of another tar-split stream.
    async fn agreeing(self, blob: &BlobId) -> Result<Self, NoDocuments> {
        let check = move || {
            let expected = check::read_toc(&self.toc, u64::MAX, |_| {}).ok().flatten();
            let actual = Digest::sha256_of(&self.tar_split).to_string();
            expected.is_none_or(|expected| expected == actual).then_some(self)
        };
        let checked = tokio::task::spawn_blocking(check).await;
        checked.ok().flatten().ok_or_else(|| NoDocuments::Digest(blob.digest.clone()))
    }
}

/// Where both documents are.
struct Place {
    claims: Claims,
    tar_split: Span,
    /// Both, with what is between them.
    range: Range<u64>,
}

impl Place {
    fn of(blob: &BlobId, annotations: &Annotations) -> Result<Self, NoDocuments> {
        let wrong = || NoDocuments::Annotations(blob.digest.clone());
        let claims = Claims::read(annotations, &mut Findings::default()).ok_or_else(wrong)?;
        let (toc, tar_split) = (claims.toc, claims.tar_split.ok_or_else(wrong)?);
        let ends = toc.end().zip(tar_split.end()).ok_or_else(wrong)?;
        let range = toc.offset.min(tar_split.offset)..ends.0.max(ends.1);
        let overlap = ends.0 > tar_split.offset && ends.1 > toc.offset;
        if overlap || toc.len == 0 || range.end > blob.size {
            return Err(wrong());
        }
        if range.end - range.start > DOCUMENTS_MAX {
            return Err(NoDocuments::TooLarge { blob: blob.digest.clone() });
        }
        Ok(Self { claims, tar_split, range })
    }

    fn documents(self, part: &Bytes, blob: &BlobId) -> Result<LayerDocuments, NoDocuments> {
        let piece = |span: Span| {
            let from = usize::try_from(span.offset - self.range.start).ok()?;
            let to = from.checked_add(usize::try_from(span.len).ok()?)?;
            (to <= part.len()).then(|| part.slice(from..to))
        };
        let pieces = piece(self.claims.toc).zip(piece(self.tar_split));
        match pieces {
            Some((toc, tar_split)) if Digest::sha256_of(&toc) == self.claims.toc_digest => {
                Ok(LayerDocuments { claims: self.claims, toc, tar_split })
            }
            _ => Err(NoDocuments::Digest(blob.digest.clone())),
        }
    }
}

/// Reads a stream to its end, for its digest to be verified, and keeps a part of it.
fn cut(mut reader: impl Read, range: Range<u64>) -> io::Result<Bytes> {
    io::copy(&mut reader.by_ref().take(range.start), &mut io::sink())?;
    let mut kept = Vec::new();
    reader.by_ref().take(range.end - range.start).read_to_end(&mut kept)?;
    io::copy(&mut reader, &mut io::sink())?;
    Ok(kept.into())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::image::annotations::{TAR_SPLIT_POSITION, TOC_DIGEST, TOC_POSITION};

    fn place(toc: &str, tar_split: &str) -> Result<Place, NoDocuments> {
        let annotations = [
            (TOC_DIGEST, Digest::sha256_of(b"toc").to_string()),
            (TOC_POSITION, toc.to_owned()),
            (TAR_SPLIT_POSITION, tar_split.to_owned()),
        ];
        let annotations = annotations.map(|(key, value)| (key.to_owned(), value)).into();
        let blob = BlobId { digest: Digest::sha256_of(b"blob"), size: 1 << 40 };
        Place::of(&blob, &annotations)
    }

    #[test]
    fn where_the_documents_are() {
        assert_eq!(place("10:3:9:1", "21:4:9").unwrap().range, 10..25);
        assert_eq!(place("21:4:9:1", "10:3:9").unwrap().range, 10..25);
        let (far, max) = (u64::from(u32::MAX), u64::MAX);
        for (toc, tar_split) in [
            ("10:3:9:1".to_owned(), "12:4:9".to_owned()),
            ("10:0:9:1".to_owned(), "12:4:9".to_owned()),
            ("10:3:9:1".to_owned(), String::new()),
            (String::new(), "10:3:9".to_owned()),
            (format!("{max}:3:9:1"), "10:3:9".to_owned()),
            ("10:3:9:1".to_owned(), format!("{}:3:9", 1_u64 << 40)),
        ] {
            let result = place(&toc, &tar_split);
            assert!(matches!(result, Err(NoDocuments::Annotations(_))), "{toc} {tar_split}");
        }
        let result = place("10:3:9:1", &format!("{far}:3:9"));
        assert!(matches!(result, Err(NoDocuments::TooLarge { .. })));
    }

    #[test]
    fn only_a_toc_with_its_digest_is_returned() {
        let blob = BlobId { digest: Digest::sha256_of(b"blob"), size: 1 << 40 };
        let documents = |part: &'static [u8]| {
            place("10:3:9:1", "15:4:9").unwrap().documents(&Bytes::from_static(part), &blob)
        };
        let found = documents(b"toc..tars").unwrap();
        assert_eq!((&found.toc[..], &found.tar_split[..]), (&b"toc"[..], &b"tars"[..]));
        for bad in [&b"tok..tars"[..], b"toc..tar", b""] {
            assert!(matches!(documents(bad), Err(NoDocuments::Digest(_))));
        }
    }

    #[test]
    fn a_part_is_cut_from_a_stream() {
        assert_eq!(&cut(&b"abcdef"[..], 2..4).unwrap()[..], b"cd");
        assert_eq!(&cut(&b"abc"[..], 2..4).unwrap()[..], b"c");
        let mut left = &b"abcdef"[..];
        cut(&mut left, 0..1).unwrap();
        assert!(left.is_empty(), "it is read to its end");
    }
}
