//! The zstd:chunked format. It has no formal specification; the sources are the writer and the
//! reader in containers/storage (`pkg/chunked`), called "the reference" here.
//!
//! A blob is a sequence of ordinary zstd frames that decode to the tar, followed by three skippable
//! frames: the table of contents (TOC), the tar-split stream and a footer.

pub mod annotations;
pub mod chunker;
pub mod document;
pub(crate) mod effort;
pub mod eligibility;
pub mod footer;
pub mod frame;
pub mod tar_split;
mod time;
pub mod toc;
