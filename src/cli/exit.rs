//! How a failed run ends: its message and its exit code.

use std::io;

use super::usage::UsageError;
use crate::{
    convert::ConvertError,
    diff::DiffError,
    image::ImageReference,
    layer::LayerError,
    probe::ProbeError,
    source::{NoDocuments, SourceError},
    store::{BlobMismatch, RegistriesConfError, StoreError},
    verify::VerifyError,
};

/// A failed run.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    #[error(transparent)]
    Usage(#[from] UsageError),
    #[error(transparent)]
    Convert(#[from] ConvertError),
    #[error("{reference} is published, but that could not be printed")]
    Stdout { reference: String, source: io::Error },
    /// Also of `inspect`.
    #[error(transparent)]
    Verify(#[from] VerifyError),
    #[error(transparent)]
    Diff(#[from] DiffError),
    #[error(transparent)]
    Probe(#[from] ProbeError),
    /// The digest of a tag could not be found.
    #[error(transparent)]
    Resolve(SourceError),
    #[error("the credentials file {file} does not exist; check {option}")]
    NoAuthfile { option: &'static str, file: String },
    #[error("cannot write man pages to {dir}: {error}")]
    Man { dir: String, error: io::Error },
    #[error("cannot print the report")]
    Print(#[source] io::Error),
    /// `verify` ran, and the image has errors.
    #[error("verification of {reference} failed: {errors} {}", if *errors == 1 { "error" } else { "errors" })]
    Findings { reference: String, errors: u64 },
}

/// What the exit code tells a script.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum ExitCode {
    Internal = 1,
    Usage = 2,
    /// A registry refused access, or registries.conf blocks it.
    Access = 3,
    /// The source does not match its own digests, or cannot be read.
    BrokenSource = 4,
    /// The source is of a kind that is not converted.
    UnfitSource = 5,
    /// A registry cannot be reached, sent an invalid response, or has no such image.
    Registry = 6,
    /// Local files and configuration.
    Local = 7,
    /// `verify` has found errors.
    Findings = 8,
}

impl ExitCode {
    /// As `error.kind` of a JSON document has it.
    pub fn kind(self) -> &'static str {
        match self {
            Self::Internal => "internal",
            Self::Usage => "usage",
            Self::Access => "access",
            Self::BrokenSource => "broken_source",
            Self::UnfitSource => "unfit_source",
            Self::Registry => "registry",
            Self::Local => "local",
            Self::Findings => "findings",
        }
    }
}

/// For the end of the help.
pub(super) const EXIT_CODES: &str = "\
Exit codes:
  0    success
  1    internal error
  2    invalid usage, or the source's tag would be moved without --in-place
  3    a registry denied access (401, 403), or is blocked in registries.conf
  4    the source is broken: its content does not match its digests, or exceeds a limit
  5    the source cannot be converted as requested: an artifact, an encrypted image, an index
       instead of an image, a layer compressed with xz or bzip2, no image for the platform, a layer
       that cannot become zstd:chunked with --require-chunked, no SBOM with the given digest
  6    a registry cannot be reached, sent an invalid response, or does not have the image
  7    local I/O or configuration: a full disk, a directory that cannot be written, a layout or an
       archive without the image or a part of it, an archive that is damaged or would be
       overwritten, an invalid registries.conf, a closed pipe
  8    verify found errors
  129  interrupted by SIGHUP
  130  interrupted by SIGINT
  131  interrupted by SIGQUIT
  143  interrupted by SIGTERM";

impl CommandError {
    pub fn exit_code(&self) -> ExitCode {
        match self {
            Self::Usage(_) => ExitCode::Usage,
            Self::Stdout { .. } | Self::Print(_) | Self::Man { .. } | Self::NoAuthfile { .. } => {
                ExitCode::Local
            }
            Self::Findings { .. } => ExitCode::Findings,
            Self::Convert(error) => of_convert(error),
            Self::Verify(error) => of_verify(error),
            Self::Diff(error) => of_diff(error),
            Self::Probe(error) => of_probe(error),
            Self::Resolve(error) => of_source(error),
        }
    }
}

fn of_source(error: &SourceError) -> ExitCode {
    match error {
        SourceError::Store { error, .. } => of_store(error, ExitCode::BrokenSource),
        SourceError::Unfit { .. }
        | SourceError::Index { .. }
        | SourceError::NoSuchPlatform { .. }
        | SourceError::OtherPlatform { .. }
        | SourceError::Disagreement { .. }
        | SourceError::TooLarge { .. } => ExitCode::UnfitSource,
    }
}

fn of_verify(error: &VerifyError) -> ExitCode {
    match error {
        VerifyError::Source(error) => of_source(error),
        VerifyError::NoImage { .. } | VerifyError::TooManyEntries { .. } => ExitCode::UnfitSource,
        VerifyError::WhichPlatform { .. } => ExitCode::Usage,
        VerifyError::Spool { .. } => ExitCode::Local,
        VerifyError::Download(error) => of_blob(error),
        VerifyError::Internal => ExitCode::Internal,
    }
}

fn of_diff(error: &DiffError) -> ExitCode {
    match error {
        DiffError::Source(error) => of_source(error),
        DiffError::Documents { error, .. } => match error {
            NoDocuments::Store(error) => of_store(error, ExitCode::BrokenSource),
            NoDocuments::Download { source, .. } => of_blob(source),
            NoDocuments::NoRanges(_) => ExitCode::Registry,
            NoDocuments::Annotations(_) | NoDocuments::TooLarge { .. } | NoDocuments::Digest(_) => {
                ExitCode::BrokenSource
            }
        },
        DiffError::Refused { .. }
        | DiffError::TooManyEntries { .. }
        | DiffError::TooManyLayers { .. } => ExitCode::BrokenSource,
        DiffError::NothingInCommon { .. } => ExitCode::UnfitSource,
        DiffError::Internal => ExitCode::Internal,
    }
}

fn of_probe(error: &ProbeError) -> ExitCode {
    match error {
        ProbeError::Source(error) => of_source(error),
        ProbeError::Unfit { .. } => ExitCode::UnfitSource,
        ProbeError::NoRegistry { .. } => ExitCode::Usage,
    }
}

fn of_convert(error: &ConvertError) -> ExitCode {
    match error {
        ConvertError::Source(error) => of_source(error),
        ConvertError::Verify(error) => of_verify(error),
        ConvertError::Kept { .. } => ExitCode::BrokenSource,
        ConvertError::Destination { reference, error }
        | ConvertError::TagTaken { reference, error, .. } => of_store(error, at(reference)),
        ConvertError::Layer { error, .. } => of_layer(error),
        ConvertError::Copy { error, .. } => of_blob(error),
        ConvertError::NoIndex { .. }
        | ConvertError::TakesTag { .. }
        | ConvertError::ResultsTooLarge { .. } => ExitCode::Usage,
        ConvertError::Unfit { .. }
        | ConvertError::NoImage { .. }
        | ConvertError::ManifestTooLarge { .. }
        | ConvertError::NoSbom { .. }
        | ConvertError::NotChunkable { .. } => ExitCode::UnfitSource,
        ConvertError::ReadBack { reference, .. } | ConvertError::Lost { reference, .. } => {
            at(reference)
        }
        ConvertError::Spool { .. }
        | ConvertError::ResultsDir { .. }
        | ConvertError::Artifacts { .. }
        | ConvertError::Results(_)
        | ConvertError::Threads(_) => ExitCode::Local,
        ConvertError::Internal(_) | ConvertError::Differs { .. } => ExitCode::Internal,
    }
}

/// Whose fault something at the destination is.
fn at(destination: &ImageReference) -> ExitCode {
    if destination.registry().is_some() { ExitCode::Registry } else { ExitCode::Local }
}

/// `broken` is what damaged content means: at the source it is the user's image, at the destination
/// the fault of the registry or of the disk.
fn of_store(error: &StoreError, broken: ExitCode) -> ExitCode {
    match error {
        // If only mirrors were asked, it is they that have failed.
        StoreError::Mirrors { mirrors, source } => {
            let is_asked = |error: &&StoreError| !is_blocked(error);
            let mut asked = mirrors.iter().map(|(_, error)| error).rev().filter(is_asked);
            let failed = if is_blocked(source) { asked.next() } else { None };
            of_store(failed.unwrap_or(source), broken)
        }
        StoreError::Unauthorized(_)
        | StoreError::Denied(_)
        | StoreError::RegistriesConf(RegistriesConfError::Blocked { .. }) => ExitCode::Access,
        StoreError::DigestMismatch { .. } | StoreError::SizeMismatch { .. } => broken,
        StoreError::Read { source, .. } => of_blob(source),
        // What the destination has there is not the user's image.
        StoreError::Manifest { .. } | StoreError::TooLarge { .. }
            if broken != ExitCode::BrokenSource =>
        {
            broken
        }
        StoreError::Manifest { .. } | StoreError::TooLarge { .. } => ExitCode::UnfitSource,
        StoreError::NotFound { is_local: false, .. }
        | StoreError::Unreachable { .. }
        | StoreError::OutOfReach { .. }
        | StoreError::UnexpectedStatus { .. }
        | StoreError::ForeignLayers(_)
        | StoreError::Protocol { .. }
        | StoreError::Abandoned { .. } => ExitCode::Registry,
        StoreError::NothingSelected(_) | StoreError::Tag(_) | StoreError::Url(_) => ExitCode::Usage,
        StoreError::Internal(_) => ExitCode::Internal,
        StoreError::NotFound { is_local: true, .. }
        | StoreError::Layout(_)
        | StoreError::Archive(_)
        | StoreError::Credentials(_)
        | StoreError::RegistriesConf(_)
        | StoreError::CaFile { .. }
        | StoreError::Proxy { .. }
        | StoreError::Setup(_)
        | StoreError::Io { .. } => ExitCode::Local,
    }
}

fn is_blocked(error: &StoreError) -> bool {
    matches!(error, StoreError::RegistriesConf(RegistriesConfError::Blocked { .. }))
}

fn of_blob(error: &io::Error) -> ExitCode {
    if BlobMismatch::of(error).is_some() {
        return ExitCode::BrokenSource;
    }
    match error.get_ref().and_then(|error| error.downcast_ref()) {
        Some(error) => of_store(error, ExitCode::BrokenSource),
        // The system's words, about a file: those about a connection are in an error of the store.
        None if error.raw_os_error().is_some() => ExitCode::Local,
        None => ExitCode::Registry,
    }
}

fn of_layer(error: &LayerError) -> ExitCode {
    match error {
        LayerError::Blob(error) => of_blob(error),
        LayerError::Decompress { .. }
        | LayerError::Exceeded(_)
        | LayerError::Tar(_)
        | LayerError::DiffId { .. } => ExitCode::BrokenSource,
        LayerError::Unsupported(_) => ExitCode::UnfitSource,
        LayerError::Spool(_) | LayerError::Scratch(_) => ExitCode::Local,
        LayerError::Frame(_)
        | LayerError::Encode(_)
        | LayerError::SelfCheck(_)
        | LayerError::WorkerLost
        | LayerError::Interrupted => ExitCode::Internal,
    }
}
