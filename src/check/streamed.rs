//! A layer that is read once, from its first byte to its last, and whose TOC is known before.

use std::io::{self, Read};

use super::{BlobKind, Findings, Layer, LayerVerdict, Section, begin, chunked, verdict};

/// Checks everything about a chunked layer; of another one, only that it is none. `end` is what was
/// served before of the blob, from the frame of its TOC or tar-split stream on; that this is in
/// `blob`, too, is checked. Fails if `blob` does, which has to check its own digest at its end.
pub(crate) fn streamed<R: Read>(
    layer: Layer<'_, ()>,
    blob: R,
    end: &[u8],
) -> io::Result<LayerVerdict> {
    let from = layer.len.saturating_sub(end.len() as u64);
    let mut blob = ComparedReader { blob, at: 0, from, end };
    let mut start = [0; 4];
    blob.read_exact(&mut start)?;
    let mut findings = Findings::default();
    let kind = begin(&layer, &start, &mut findings);
    if kind != BlobKind::ZstdChunked {
        return Ok(verdict(kind, 0, None, findings));
    }
    let (parts, data) = (Section::known_at_end(layer.len, end), start.chain(&mut blob));
    let (tar_len, walked) = chunked(&layer, parts, &start, data, &mut findings)?;
    if findings.first_obstacle().is_none() {
        // Only at its end is its digest known.
        io::copy(&mut blob, &mut io::sink())?;
    }
    Ok(verdict(kind, tar_len, walked, findings))
}

/// Compares the end of a blob with what is known of it.
struct ComparedReader<'a, R> {
    blob: R,
    at: u64,
    /// Where the known end begins.
    from: u64,
    end: &'a [u8],
}

impl<R: Read> Read for ComparedReader<'_, R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let len = self.blob.read(buf)?;
        let read = buf.get(..len).unwrap_or_default();
        let skipped = self.from.saturating_sub(self.at).min(len as u64);
        let found = read.get(usize::try_from(skipped).unwrap_or(len)..).unwrap_or_default();
        let known = usize::try_from((self.at + skipped).saturating_sub(self.from));
        let known = known.ok().and_then(|at| self.end.get(at..)).unwrap_or_default();
        if !known.starts_with(found) {
            return Err(io::Error::other("its end is not what the registry has served before"));
        }
        self.at += len as u64;
        Ok(len)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_end_is_compared_in_pieces_of_any_length() {
        let blob: Vec<u8> = (0..100).collect();
        let read = |end: &[u8], piece: usize| {
            let mut reader = ComparedReader { blob: &blob[..], at: 0, from: 90, end };
            let mut buf = vec![0; piece];
            loop {
                match reader.read(&mut buf) {
                    Ok(0) => return true,
                    Ok(_) => {}
                    Err(_) => return false,
                }
            }
        };
        for piece in [1, 3, 10, 89, 90, 91, 99, 100, 200] {
            assert!(read(&blob[90..], piece), "{piece}");
            for wrong in 0..10 {
                let mut end = blob[90..].to_vec();
                end[wrong] ^= 1;
                assert!(!read(&end, piece), "{wrong} in {piece}");
            }
            assert!(!read(&blob[90..99], piece), "too short");
        }
    }
}
