//! One layer, counted by its TOC and tar-split stream alone.

use super::report::{Counts, InspectedLayer, Room, TocShape};
use crate::{
    check::{self, BlobKind, DocumentsCheck, TocEntry},
    image::annotations::Annotations,
    source::LayerDocuments,
};

pub(super) fn read(
    documents: &LayerDocuments,
    annotations: &Annotations,
    room: Option<&Room>,
    report: &mut InspectedLayer,
) {
    let LayerDocuments { claims, toc, tar_split } = documents;
    report.format = BlobKind::ZstdChunked.to_string();
    report.toc_size = Some(claims.toc.len);
    report.tar_split_size = claims.tar_split.map(|span| span.len);
    let (mut counts, mut shape) = (Counts::default(), TocShape::new(room));
    let read = check::read_toc(toc, u64::MAX, |entry: TocEntry| {
        if entry.kind != "chunk" {
            let size = u64::try_from(entry.size).unwrap_or_default();
            counts.add(entry.name.as_bytes(), if entry.kind == "reg" { size } else { 0 });
        }
        shape.add(entry);
    });
    report.shape(shape);
    report.count(counts);
    let compared = DocumentsCheck::read(&toc[..], &tar_split[..], report.number == 1)
        .map(|check| check.compare(annotations));
    match (read, compared) {
        (Ok(_), Ok((totals, _, findings))) if findings.errors() == 0 => {
            report.uncompressed_size = Some(totals.tar_len);
        }
        _ => {
            report.problem = Some(
                "its TOC or tar-split is wrong; run `recompress-image verify` for details"
                    .to_owned(),
            );
        }
    }
}
