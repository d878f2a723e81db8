//! Why a layer is not reused.

use std::io;

use crate::{
    check::{BlobKind, Findings},
    limits::Exceeded,
    store::StoreError,
    tar::TarError,
};

#[derive(Debug, thiserror::Error)]
pub(super) enum Unfit {
    #[error("its {len} bytes are too many to replace a blob of {source_len}")]
    Longer { len: u64, source_len: u64 },
    #[error("its {len} bytes are too many for a content of {raw_len}")]
    LongerThanContent { len: u64, raw_len: u64 },
    #[error("cannot read it: {0}")]
    Unreadable(String),
    #[error("reading it takes too long")]
    Slow,
    /// What a check found.
    #[error("{0}")]
    Wrong(String),
    #[error("it is {0}, not what its image says")]
    Kind(BlobKind),
    #[error("it does not begin with an ordinary zstd frame")]
    FirstFrame,
    #[error(transparent)]
    Exceeded(#[from] Exceeded),
    #[error(transparent)]
    Tar(#[from] TarError),
    /// It is plain zstd, and a TOC is wanted.
    #[error("it has no TOC, but its content does not rule one out")]
    MayHaveToc,
    #[error("it has more entries or a longer TOC than a new layer may have")]
    LongToc,
    #[error("internal error: the check of a layer failed; please report this bug")]
    Internal,
}

impl Unfit {
    pub(super) fn unreadable(error: &StoreError) -> Self {
        Self::Unreadable(error.with_causes())
    }

    /// Fails if a check has found what rules out that this program would make such a layer.
    pub(super) fn of(findings: &Findings) -> Result<(), Self> {
        match findings.first_obstacle() {
            Some(found) => Err(Self::Wrong(format!("{}: {}", found.rule, found.detail))),
            None => Ok(()),
        }
    }
}

impl From<io::Error> for Unfit {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::TimedOut => Self::Slow,
            _ => Self::Unreadable(error.to_string()),
        }
    }
}
