//! The reader itself: which bytes are headers, payload and padding.

use std::io::{self, BufRead, ErrorKind, Seek};

use super::{
    error::{EntryName, TarError, TarPlace},
    header::{BLOCK, Block, TarEntry, is_header_only, text},
    pax::{self, Reason, Records},
    sparse::{self, OldGnuMap},
};

/// The largest body of an extension header in bytes (`maxSpecialFileSize` in tar-split
/// `archive/tar/format.go`).
pub const MAX_EXTENSION_BODY: u64 = 1 << 20;

/// How many bytes may precede the payload of one entry: padding, extension headers, the blocks of a
/// sparse map and the header. Go has no such limit; real archives stay below a tenth of it.
pub const MAX_METADATA: u64 = 8 << 20;

/// What [`Reader::next_step`] has read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TarStep {
    /// A member of the archive, whose payload comes next.
    Entry(Box<TarEntry>),
    /// The end of the archive. More bytes may follow in the stream.
    End,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ReaderState {
    Reading,
    Ended,
    Failed,
}

/// Reads an archive entry by entry.
///
/// Every byte of the stream comes out exactly once: as [`raw`](Self::raw) bytes, as payload, or as
/// the rest after the end.
#[derive(Debug)]
pub struct Reader<R> {
    inner: R,
    raw: Vec<u8>,
    position: u64,
    payload_left: u64,
    padding: u64,
    name: Vec<u8>,
    state: ReaderState,
}

impl<R: BufRead> Reader<R> {
    pub fn new(inner: R) -> Self {
        Self {
            inner,
            raw: Vec::new(),
            position: 0,
            payload_left: 0,
            padding: 0,
            name: Vec::new(),
            state: ReaderState::Reading,
        }
    }

    /// Reads the next entry, or the end of the archive (`next` in tar-split
    /// `archive/tar/reader.go`).
    ///
    /// The archive ends with two blocks of zeros, or if the stream ends in a padding, before a
    /// header, or after one block of zeros. Every further call returns the end again.
    ///
    /// Fails with [`TarError::OutOfTurn`] if the payload of the previous entry was not read, and
    /// after an error.
    pub fn next_step(&mut self) -> Result<TarStep, TarError> {
        self.expect_not_failed()?;
        if self.payload_left > 0 {
            let reason = "the payload of an entry was not read to its end";
            return Err(TarError::OutOfTurn { position: self.position, reason });
        }
        self.raw.clear();
        if self.state == ReaderState::Ended {
            return Ok(TarStep::End);
        }
        let step = self.read_step();
        self.state = match step {
            Ok(TarStep::Entry(_)) => ReaderState::Reading,
            Ok(TarStep::End) => ReaderState::Ended,
            Err(_) => ReaderState::Failed,
        };
        step
    }

    /// The bytes that the last [`next_step`](Self::next_step) consumed: the padding of the previous
    /// payload, extension headers with their bodies and padding, the blocks of a sparse map, the
    /// header; at the end, the padding and what was read of the blocks that mark the end, and any
    /// extension headers before them.
    pub fn raw(&self) -> &[u8] {
        &self.raw
    }

    /// How many bytes of the current entry's payload are unread.
    pub fn payload_left(&self) -> u64 {
        self.payload_left
    }

    /// Payload of the current entry, as much as the stream has buffered; to be taken with
    /// [`consume`](Self::consume). Empty only at the end of the payload.
    pub(crate) fn payload(&mut self) -> Result<&[u8], TarError> {
        self.expect_not_failed()?;
        let left = usize::try_from(self.payload_left).unwrap_or(usize::MAX);
        if left == 0 {
            return Ok(&[]);
        }
        match at_hand(&mut self.inner) {
            Ok([]) => {
                self.state = ReaderState::Failed;
                let place = TarPlace::Payload(EntryName::new(&self.name));
                Err(TarError::Truncated { position: self.position, place })
            }
            Ok(bytes) => Ok(&bytes[..bytes.len().min(left)]),
            Err(source) => {
                self.state = ReaderState::Failed;
                Err(TarError::Io { position: self.position, source })
            }
        }
    }

    /// Takes the first `len` bytes of the [`payload`](Self::payload), which has to have as many.
    pub(crate) fn consume(&mut self, len: usize) {
        self.inner.consume(len);
        self.position += len as u64;
        self.payload_left -= len as u64;
    }

    /// Reads payload of the current entry into `buf`; returns how many bytes, 0 only at the end of
    /// the payload or if `buf` is empty.
    pub fn read_payload(&mut self, buf: &mut [u8]) -> Result<usize, TarError> {
        let payload = self.payload()?;
        let len = payload.len().min(buf.len());
        buf[..len].copy_from_slice(&payload[..len]);
        self.consume(len);
        Ok(len)
    }

    /// How many bytes of the stream have been consumed.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// The stream at [`position`](Self::position); nothing beyond it was read.
    pub fn into_inner(self) -> R {
        self.inner
    }

    fn expect_not_failed(&self) -> Result<(), TarError> {
        if self.state == ReaderState::Failed {
            let reason = "an earlier read failed";
            return Err(TarError::OutOfTurn { position: self.position, reason });
        }
        Ok(())
    }

    fn read_step(&mut self) -> Result<TarStep, TarError> {
        let mut extensions = Extensions::default();
        loop {
            let padding = std::mem::take(&mut self.padding);
            if (self.read_raw(padding)?.len() as u64) < padding {
                return Ok(TarStep::End);
            }
            let at = self.position;
            let Some(block) = self.read_header()? else { return Ok(TarStep::End) };
            let mut entry =
                TarEntry::from_block(&block).map_err(|reason| invalid(at, b"", reason))?;
            let payload_len =
                payload_len(&entry).map_err(|reason| invalid(at, &entry.name, reason))?;
            match entry.typeflag {
                b'x' => {
                    let body = self.read_body(at, payload_len)?;
                    extensions.records =
                        pax::parse(body).map_err(|reason| invalid(at, b"", reason))?;
                }
                b'L' => extensions.name = text(self.read_body(at, payload_len)?).to_vec(),
                b'K' => extensions.link_name = text(self.read_body(at, payload_len)?).to_vec(),
                b'g' => {
                    let body = self.read_body(at, payload_len)?;
                    pax::parse(body)
                        .and_then(|mut records| entry.apply(&mut records))
                        .map_err(|reason| invalid(at, b"", reason))?;
                    let TarEntry { typeflag, name, xattrs, .. } = entry;
                    let entry = TarEntry { typeflag, name, xattrs, ..TarEntry::default() };
                    return Ok(TarStep::Entry(Box::new(entry)));
                }
                _ => {
                    let map = extensions
                        .apply_to(&mut entry, &block)
                        .map_err(|reason| invalid(at, &entry.name, reason))?;
                    if let Some(map) = map {
                        self.read_old_gnu_map(at, map, &entry)?;
                    }
                    self.begin_payload(&entry);
                    return Ok(TarStep::Entry(Box::new(entry)));
                }
            }
        }
    }

    fn begin_payload(&mut self, entry: &TarEntry) {
        self.payload_left = entry.payload_len;
        self.padding = padding_after(entry.payload_len);
        self.name.clear();
        self.name.extend_from_slice(&entry.name);
    }

    /// A header block, or nothing at the end of the archive.
    fn read_header(&mut self) -> Result<Option<Block>, TarError> {
        const ZEROS: Block = [0; BLOCK];
        let at = self.position;
        let block = self.read_block()?;
        if block != Some(ZEROS) {
            return Ok(block);
        }
        match self.read_block()? {
            None | Some(ZEROS) => Ok(None),
            Some(_) => Err(invalid(at, b"", "a single block of zeros does not end an archive")),
        }
    }

    /// A block, or nothing at the end of the stream.
    fn read_block(&mut self) -> Result<Option<Block>, TarError> {
        let bytes = self.read_raw(BLOCK as u64)?;
        if bytes.is_empty() {
            return Ok(None);
        }
        let block = bytes.try_into().map_err(|_| self.truncated(TarPlace::Header))?;
        Ok(Some(block))
    }

    /// The body of the extension header at `at`.
    fn read_body(&mut self, at: u64, len: u64) -> Result<&[u8], TarError> {
        if len > MAX_EXTENSION_BODY {
            let what = "the body of an extension header";
            return Err(TarError::Limit { position: at, what, limit: MAX_EXTENSION_BODY });
        }
        self.padding = padding_after(len);
        self.read_whole(len)
    }

    fn read_old_gnu_map(
        &mut self,
        at: u64,
        mut map: OldGnuMap,
        entry: &TarEntry,
    ) -> Result<(), TarError> {
        while map.is_extended() {
            let block = self.read_whole(BLOCK as u64)?;
            map.extend(block).map_err(|reason| invalid(at, &entry.name, reason))?;
        }
        Ok(())
    }

    /// Reads `len` bytes of an extension.
    fn read_whole(&mut self, len: u64) -> Result<&[u8], TarError> {
        let start = self.raw.len();
        if (self.read_raw(len)?.len() as u64) < len {
            return Err(self.truncated(TarPlace::Extension));
        }
        Ok(self.raw.get(start..).unwrap_or_default())
    }

    /// Reads and keeps `len` bytes, or fewer at the end of the stream.
    fn read_raw(&mut self, len: u64) -> Result<&[u8], TarError> {
        let start = self.raw.len();
        if start as u64 + len > MAX_METADATA {
            let what = "everything in front of one entry";
            return Err(TarError::Limit { position: self.position, what, limit: MAX_METADATA });
        }
        let result = append(&mut self.inner, len, &mut self.raw);
        let bytes = self.raw.get(start..).unwrap_or_default();
        self.position += bytes.len() as u64;
        match result {
            Ok(()) => Ok(bytes),
            Err(source) => Err(TarError::Io { position: self.position, source }),
        }
    }

    fn truncated(&self, place: TarPlace) -> TarError {
        TarError::Truncated { position: self.position, place }
    }
}

impl<R: BufRead + Seek> Reader<R> {
    /// Skips the payload of the current entry. That it ends before is noticed only by whoever knows the
    /// length of the stream.
    pub(crate) fn skip_payload(&mut self) -> Result<(), TarError> {
        self.expect_not_failed()?;
        let offset = i64::try_from(self.payload_left);
        let skipped = offset.map_err(io::Error::other).and_then(|n| self.inner.seek_relative(n));
        if let Err(source) = skipped {
            self.state = ReaderState::Failed;
            return Err(TarError::Io { position: self.position, source });
        }
        self.position += std::mem::take(&mut self.payload_left);
        Ok(())
    }
}

/// What a stream has buffered; nothing at its end.
fn at_hand(stream: &mut impl BufRead) -> io::Result<&[u8]> {
    loop {
        match stream.fill_buf() {
            Ok([]) => return Ok(&[]),
            // Called again because the borrow checker does not accept returning this borrow.
            Ok(_) => return stream.fill_buf(),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// Appends `len` bytes of a stream to `to`, or fewer at its end or before an error.
fn append(stream: &mut impl BufRead, len: u64, to: &mut Vec<u8>) -> io::Result<()> {
    let mut left = usize::try_from(len).unwrap_or(usize::MAX);
    while left > 0 {
        let bytes = at_hand(stream)?;
        let count = bytes.len().min(left);
        if count == 0 {
            break;
        }
        to.extend_from_slice(&bytes[..count]);
        stream.consume(count);
        left -= count;
    }
    Ok(())
}

/// What the extension headers before an entry say about it.
#[derive(Default)]
struct Extensions {
    records: Records,
    name: Vec<u8>,
    link_name: Vec<u8>,
}

impl Extensions {
    /// Completes an entry: PAX records first, then GNU long names over them. Returns the map of an
    /// old GNU sparse file, which may continue in further blocks.
    fn apply_to(
        mut self,
        entry: &mut TarEntry,
        block: &Block,
    ) -> Result<Option<OldGnuMap>, Reason> {
        entry.apply(&mut self.records)?;
        if !self.name.is_empty() {
            entry.name = self.name;
        }
        if !self.link_name.is_empty() {
            entry.link_name = self.link_name;
        }
        if entry.typeflag == 0 {
            entry.typeflag = if entry.name.ends_with(b"/") { b'5' } else { b'0' };
        }
        entry.payload_len = payload_len(entry)?;
        if entry.typeflag == b'S' {
            return OldGnuMap::from_header(block, entry).map(Some);
        }
        sparse::apply_pax(&self.records, entry)?;
        Ok(None)
    }
}

/// How many bytes are stored for an entry with the size in its headers.
fn payload_len(entry: &TarEntry) -> Result<u64, Reason> {
    let size = if is_header_only(entry.typeflag) { 0 } else { entry.size };
    u64::try_from(size).map_err(|_| "negative size")
}

/// The bytes from the end of a payload of `len` bytes to the next block.
fn padding_after(len: u64) -> u64 {
    len.wrapping_neg() % BLOCK as u64
}

fn invalid(position: u64, name: &[u8], reason: Reason) -> TarError {
    TarError::Header { position, entry: EntryName::new(name), reason }
}
