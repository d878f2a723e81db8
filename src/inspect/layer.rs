//! One layer that was downloaded, counted by its tar.

use std::{
    fs::File,
    io::{self, BufReader, Read},
};

use super::report::{Counts, InspectedLayer, Room, TocShape};
use crate::{
    check::{self, BlobKind, Claims, Findings, Section},
    image::{Descriptor, Digest},
    limits::Limits,
    tar::{Reader, TarError, TarStep},
};

pub(super) fn look(
    blob: &File,
    descriptor: &Descriptor,
    room: Option<&Room>,
    report: &mut InspectedLayer,
) -> io::Result<()> {
    let section = Section::new(blob, 0, descriptor.blob.size);
    let kind = BlobKind::of(&section.read_at(0, 4)?, &descriptor.annotations);
    report.format = kind.to_string();
    if kind == BlobKind::ZstdChunked {
        let claims = Claims::read(&descriptor.annotations, &mut Findings::default());
        report.toc_size = claims.as_ref().map(|claims| claims.toc.len);
        report.tar_split_size = claims.and_then(|claims| claims.tar_split).map(|span| span.len);
        toc(blob, descriptor, room, report)?;
    }
    if let Err(error) = tar(kind, section, report) {
        report.problem = Some(format!("cannot read it as a tar: {error}"));
    }
    Ok(())
}

fn toc(
    blob: &File,
    descriptor: &Descriptor,
    room: Option<&Room>,
    report: &mut InspectedLayer,
) -> io::Result<()> {
    let layer = check::Layer {
        blob,
        len: descriptor.blob.size,
        media_type: &descriptor.media_type,
        annotations: &descriptor.annotations,
        // Not looked at for a TOC.
        diff_id: &Digest::sha256_of(b""),
        limits: Limits::default(),
        lowest: false,
    };
    let mut shape = TocShape::new(room);
    let sound = check::toc_entries(layer, |entry| shape.add(entry))?;
    report.shape(shape);
    if !sound {
        report.problem =
            Some("cannot read its TOC; run `recompress-image verify` for details".to_owned());
    }
    Ok(())
}

/// A layer's tar, up to the decompressed size that its blob may have.
struct Limited<R> {
    inner: R,
    /// Of the blob, in bytes.
    len: u64,
    total: u64,
}

impl<R: Read> Read for Limited<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buf)?;
        self.total += read as u64;
        match Limits::default().allow(self.total, self.len) {
            Ok(()) => Ok(read),
            Err(_) => Err(io::Error::other("decompressed size exceeds the limit")),
        }
    }
}

fn tar(kind: BlobKind, blob: Section<'_>, report: &mut InspectedLayer) -> Result<(), TarError> {
    let failed = |source| TarError::Io { position: 0, source };
    let tar = Limited { len: blob.len(), inner: check::tar_stream(kind, blob), total: 0 };
    let tar = BufReader::with_capacity(64 << 10, tar);
    let mut reader = Reader::new(tar);
    let mut counts = Counts::default();
    while let TarStep::Entry(entry) = reader.next_step()? {
        counts.add(&entry.name, reader.payload_left());
        while reader.payload_left() > 0 {
            let len = reader.payload()?.len();
            reader.consume(len);
        }
    }
    report.count(counts);
    let position = reader.position();
    let rest = io::copy(&mut reader.into_inner(), &mut io::sink()).map_err(failed)?;
    report.uncompressed_size = Some(position + rest);
    Ok(())
}
