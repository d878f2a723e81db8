//! Why a layer could not be converted.

use std::io;

use super::decompress::{Compression, UnsupportedCompression};
use crate::{chunked::frame::FrameError, image::Digest, limits::Exceeded, tar::TarError};

/// A layer that could not be converted.
#[derive(Debug, thiserror::Error)]
pub enum LayerError {
    /// The blob could not be read, or does not match its digest.
    #[error("cannot read the blob")]
    Blob(#[source] io::Error),
    /// The blob is not what its first bytes say.
    #[error("{}", not_decompressed(.kind.as_ref()))]
    Decompress {
        /// What its first bytes say.
        kind: Option<Compression>,
        source: io::Error,
    },
    #[error(transparent)]
    Unsupported(UnsupportedCompression),
    #[error(transparent)]
    Exceeded(#[from] Exceeded),
    /// The content is not a tar that clients can read.
    #[error("cannot read the content as a tar archive")]
    Tar(#[source] TarError),
    /// The content does not match the config.
    #[error(
        "the content has the diffID {actual}, but the image's config says {expected}; \
         the image is inconsistent and clients refuse it too, so rebuild it"
    )]
    DiffId { expected: Digest, actual: Digest },
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// TOC, tar-split or a piece of gzip could not be encoded.
    #[error("cannot encode the new blob")]
    Encode(#[source] io::Error),
    /// What was written reads back differently.
    #[error(
        "internal error: the new table of contents does not match the layer ({0}); \
         nothing was published; please report this bug"
    )]
    SelfCheck(String),
    /// TOC or tar-split could not be written to a temporary file.
    #[error(
        "cannot write a temporary file in {}; set TMPDIR to a directory with enough space",
        tempfile::env::temp_dir().display()
    )]
    Scratch(#[source] io::Error),
    #[error("cannot write the new blob to temporary storage")]
    Spool(#[source] io::Error),
    #[error("internal error: worker thread panicked; please report this bug")]
    WorkerLost,
    /// Another thread failed first; its error is the one to report.
    #[error("stopped because another part of the work failed")]
    Interrupted,
}

fn not_decompressed(kind: Option<&Compression>) -> String {
    match kind {
        Some(Compression::None) | None => "cannot read the blob".into(),
        Some(kind) => format!("the blob is corrupt {kind} data"),
    }
}

impl LayerError {
    pub(super) fn tar(error: TarError) -> Self {
        match error {
            TarError::Io { source, .. } => Self::input(source),
            error => Self::Tar(error),
        }
    }

    /// The stream between the threads does not fail by itself.
    pub(super) fn input(_: io::Error) -> Self {
        Self::Interrupted
    }
}
