//! A streaming tar reader that sees exactly what podman's sees, and keeps every raw byte.
//!
//! A client compares the TOC of a zstd:chunked layer with the headers as its own tar reader
//! understands them, so one different name, size or time makes the layer unpullable. That reader is
//! the fork of Go's `archive/tar` in `vbatts/tar-split` (`archive/tar/reader.go`, `strconv.go`,
//! `format.go`, `common.go`); the rules here are its rules, even if they look odd. Its caller
//! (`tar/asm/disassemble.go`) decides what a clean end is.
//!
//! The layout of header blocks is that of the `tar` crate's header structs. Its `Archive` is not
//! used: it reads names, numbers and PAX records by other rules than Go, and does not hand out the
//! raw bytes of extension headers, padding and the end of an archive.
//!
//! Dialects: v7, ustar, star (Schily), PAX (`x` and `g` headers) and GNU (`L`, `K`, `S`, base-256
//! numbers). The deliberate differences:
//!
//! * Sparse files are not expanded: the payload is the stored bytes, and [`TarEntry::sparse`] says
//!   so. The map of a PAX 1.0 sparse file is in its payload and is not checked.
//! * [`MAX_METADATA`] bounds what may precede one entry.
//! * A PAX record that is shorter than its own length field is an invalid header; the fork panics.
//! * If the stream ends in the middle of a padding, its bytes are kept; the fork loses them.

mod error;
mod header;
mod number;
mod pax;
mod reader;
mod sparse;
#[cfg(test)]
mod tests;
mod timestamp;

pub use error::TarError;
pub use header::TarEntry;
pub use reader::{MAX_EXTENSION_BODY, MAX_METADATA, Reader, TarStep};
pub use timestamp::Timestamp;
