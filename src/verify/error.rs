//! Why an image could not be verified.

use std::io;

use crate::{image::ImageReference, source::SourceError};

/// An image that could not be verified.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// It could not be read.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// There is nothing in it that could be looked at.
    #[error("{reference} has no image that can be verified{}", skipped(.reasons))]
    NoImage {
        reference: ImageReference,
        /// What it has instead.
        reasons: Vec<String>,
    },
    /// Several images and a single one cannot be compared.
    #[error("{reference} is a single image; select the image to compare it with using --platform")]
    WhichPlatform { reference: ImageReference },
    /// No temporary file.
    #[error(
        "cannot write a temporary file in {dir}; set TMPDIR to a directory with room for a layer"
    )]
    Spool { dir: String, source: io::Error },
    /// A download broke off.
    #[error("cannot download a layer")]
    Download(#[source] io::Error),
    /// More than is kept in memory.
    #[error(
        "the TOCs of {reference} have too many entries to list: they take more than {mebibytes} MiB of \
         memory; inspect it without --toc"
    )]
    TooManyEntries { reference: ImageReference, mebibytes: u64 },
    /// A fault of this program.
    #[error("internal error: a worker thread panicked; please report this bug")]
    Internal,
}

impl VerifyError {
    pub(super) fn spool(source: io::Error) -> Self {
        Self::Spool { dir: tempfile::env::temp_dir().display().to_string(), source }
    }
}

fn skipped(reasons: &[String]) -> String {
    const MOST: usize = 5;
    let mut text = String::new();
    for reason in reasons.iter().take(MOST) {
        text += "; ";
        text += reason;
    }
    if reasons.len() > MOST {
        text += &format!("; and {} more", reasons.len() - MOST);
    }
    text
}
