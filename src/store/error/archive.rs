use std::{io, path::PathBuf};

/// What is wrong with an archive of images, to be read after its path.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    #[error(
        "ends at byte {0}, in the middle of an entry: it is truncated, so copy or save it again"
    )]
    Truncated(u64),
    #[error("is damaged or not a tar archive: {reason} at byte {position}")]
    Header { position: u64, reason: &'static str },
    /// More than any archive of images has.
    #[error("has more than {limit} {what}")]
    TooLarge { what: &'static str, limit: u64 },
    /// Readers see different files, or cannot read this one. The name is escaped.
    #[error("has an entry \"{name}\" that {reason}")]
    Entry { name: String, reason: &'static str },
    #[error("cannot be read: {0}")]
    Io(io::Error),
}

/// A file is not an archive that can be read or written.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveFileError {
    #[error("{} does not exist; the path of an archive ends at the first colon", .0.display())]
    Missing(PathBuf),
    #[error(
        "{path} is a directory, not an archive; name an OCI image layout as oci:{path}",
        path = .0.display()
    )]
    Directory(PathBuf),
    #[error(
        "{} is not a regular file; archives are read by offset, so write it to a file first",
        .0.display()
    )]
    NotRegular(PathBuf),
    #[error(
        "{path} is compressed with {format}; decompress it first, as in `{command} < {path} > \
         image.tar`",
        path = .path.display()
    )]
    Compressed { path: PathBuf, format: &'static str, command: &'static str },
    /// `hint` says what it may be instead.
    #[error("{} has no {file}; {hint}", path.display())]
    Lacks { path: PathBuf, file: String, hint: &'static str },
    #[error("{} {error}", path.display())]
    Unreadable { path: PathBuf, error: ArchiveError },
    #[error("the directory {} does not exist; create it, or name another file", .0.display())]
    NoDirectory(PathBuf),
    #[error("{} exists, and an archive is not changed; remove it, or name another file", .0.display())]
    Exists(PathBuf),
}
