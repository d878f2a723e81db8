//! Results as Tekton passes them on: a file each, the value and nothing else, not even a newline
//! at the end, because later steps take it verbatim. Artifacts are one more file, a JSON document.

use std::{
    io::{self, Read as _, Write},
    path::{Path, PathBuf},
};

use tempfile::NamedTempFile;

/// Results that could not be written.
#[derive(Debug, thiserror::Error)]
#[error(
    "cannot write {name} to {}; the image is published, but no results were written",
    path.display()
)]
pub struct ResultsError {
    pub name: &'static str,
    /// Where it was to be written.
    pub path: PathBuf,
    pub source: io::Error,
}

/// A file to be written.
#[derive(Debug, Clone)]
pub struct ResultFile {
    /// For messages.
    pub name: &'static str,
    pub path: PathBuf,
    /// All of it, to the byte.
    pub value: String,
}

/// Writes all of `files`, or none of them.
pub fn write_results(files: &[ResultFile]) -> Result<(), ResultsError> {
    let failed = |file: &ResultFile, source| ResultsError {
        name: file.name,
        path: file.path.clone(),
        source,
    };
    let mut written = Vec::new();
    for file in files {
        let staged = stage(&file.path, &file.value).map_err(|error| failed(file, error))?;
        written.push((file, staged));
    }
    let mut done = Vec::new();
    for (file, staged) in written {
        if let Err(error) = staged.persist(&file.path) {
            for path in done {
                // The first error is the one to report.
                let _ = std::fs::remove_file(path);
            }
            return Err(failed(file, error.error));
        }
        done.push(&file.path);
    }
    Ok(())
}

/// What artifacts begin with.
pub const ARTIFACTS_BEGIN: &[u8] = b"{\"inputs\":";

/// All results that there may be.
pub const NAMES: [&str; 6] =
    ["IMAGE_URL", "IMAGE_DIGEST", "IMAGE_REF", "IMAGES", "SBOM_BLOB_URL", "SOURCE_ARTIFACT_INPUTS"];

/// Checks that results can be written before the work begins, and removes those of an earlier run,
/// which would pass for results of this run even if that fails.
pub fn prepare(dir: &Path) -> io::Result<()> {
    check_dir(dir)?;
    NamedTempFile::new_in(dir)?;
    clear(dir)
}

/// The same for artifacts.
pub fn prepare_artifacts(path: &Path) -> io::Result<()> {
    check_dir(dir_of(path))?;
    NamedTempFile::new_in(dir_of(path))?;
    clear_artifacts(path)
}

/// Checks that there is room for `files`, by writing all of them next to where they go and removing
/// them again. Returns the first that cannot be written.
pub fn reserve(files: &[ResultFile]) -> Result<(), (&ResultFile, io::Error)> {
    let staged =
        files.iter().map(|file| stage(&file.path, &file.value).map_err(|error| (file, error)));
    staged.collect::<Result<Vec<_>, _>>().map(drop)
}

/// Checks that there is such a directory.
pub fn check_dir(dir: &Path) -> io::Result<()> {
    if dir.is_dir() {
        return Ok(());
    }
    Err(if dir.exists() {
        io::Error::new(io::ErrorKind::NotADirectory, "not a directory")
    } else {
        io::Error::new(io::ErrorKind::NotFound, "no such directory")
    })
}

/// Removes all results that an earlier run has left.
pub fn clear(dir: &Path) -> io::Result<()> {
    NAMES.iter().try_for_each(|name| clear_file(&dir.join(name)))
}

/// Removes the artifacts of an earlier run. The path may be any, so what else is there stays, and is an
/// error.
pub fn clear_artifacts(path: &Path) -> io::Result<()> {
    let other = |reason| Err(io::Error::new(io::ErrorKind::AlreadyExists, reason));
    match std::fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
        Ok(metadata) if !metadata.is_file() => return other("not a regular file"),
        Ok(_) => {}
    }
    let mut start = Vec::new();
    std::fs::File::open(path)?.take(ARTIFACTS_BEGIN.len() as u64).read_to_end(&mut start)?;
    if !start.is_empty() && start != ARTIFACTS_BEGIN {
        return other("there is a file with other content; remove it, or choose another path");
    }
    clear_file(path)
}

/// Removes what an earlier run has left.
fn clear_file(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// The directory that a file is in.
pub fn dir_of(path: &Path) -> &Path {
    match path.parent() {
        Some(dir) if !dir.as_os_str().is_empty() => dir,
        _ => Path::new("."),
    }
}

fn stage(path: &Path, value: &str) -> io::Result<NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    // Whoever collects the results may run as another user.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o644));
    let mut file = builder.tempfile_in(dir_of(path))?;
    file.write_all(value.as_bytes())?;
    file.as_file().sync_all()?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn results(dir: &Path) -> [ResultFile; 2] {
        [("IMAGE_URL", "quay.io/org/app:1"), ("IMAGE_DIGEST", "sha256:00")]
            .map(|(name, value)| ResultFile { name, path: dir.join(name), value: value.into() })
    }

    #[test]
    fn values_are_verbatim() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("IMAGE_URL"), "an older and longer value\n").unwrap();
        write_results(&results(dir.path())).unwrap();
        let read = |name| std::fs::read_to_string(dir.path().join(name)).unwrap();
        assert_eq!(read("IMAGE_URL"), "quay.io/org/app:1");
        assert_eq!(read("IMAGE_DIGEST"), "sha256:00");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 2);
    }

    #[test]
    fn all_or_none() {
        let dir = tempfile::tempdir().unwrap();
        // A folder in the place of the second result.
        std::fs::create_dir_all(dir.path().join("IMAGE_DIGEST/x")).unwrap();
        assert_eq!(write_results(&results(dir.path())).unwrap_err().name, "IMAGE_DIGEST");
        assert!(!dir.path().join("IMAGE_URL").exists());
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
        assert!(prepare(&dir.path().join("missing")).is_err());
    }

    #[test]
    fn no_result_of_an_earlier_run_stays() {
        let dir = tempfile::tempdir().unwrap();
        write_results(&results(dir.path())).unwrap();
        std::fs::write(dir.path().join("of-another-tool"), "").unwrap();
        prepare(dir.path()).unwrap();
        let left: Vec<_> = std::fs::read_dir(dir.path()).unwrap().collect();
        assert_eq!(left.len(), 1, "{left:?}");
        // A folder in the place of a result.
        std::fs::create_dir(dir.path().join("IMAGES")).unwrap();
        assert!(prepare(dir.path()).is_err());
    }

    #[test]
    fn only_artifacts_are_removed() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        std::fs::write(path("target"), ARTIFACTS_BEGIN).unwrap();
        std::fs::create_dir(path("directory")).unwrap();
        std::os::unix::fs::symlink("target", path("link")).unwrap();
        for (name, content) in
            [("other", "{}"), ("short", "{"), ("index", r#"{"schemaVersion":2}"#)]
        {
            std::fs::write(path(name), content).unwrap();
        }
        for name in ["directory", "link", "other", "short", "index"] {
            assert!(prepare_artifacts(&path(name)).is_err(), "{name}");
            assert!(path(name).symlink_metadata().is_ok(), "{name}");
        }
        std::fs::write(path("empty"), "").unwrap();
        for name in ["target", "empty", "missing"] {
            prepare_artifacts(&path(name)).unwrap();
            assert!(!path(name).exists(), "{name}");
        }
    }

    #[test]
    fn a_file_without_a_directory_is_in_this_one() {
        assert_eq!(dir_of(Path::new("artifacts.json")), Path::new("."));
        assert_eq!(dir_of(Path::new("/a/b.json")), Path::new("/a"));
    }
}
