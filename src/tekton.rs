//! Results as Tekton passes them on: a file each, the value and nothing else, not even a newline
//! at the end, because later steps take it verbatim.

use std::{
    io::{self, Write},
    path::{Path, PathBuf},
};

use tempfile::NamedTempFile;

/// Results that could not be written.
#[derive(Debug, thiserror::Error)]
#[error(
    "cannot write result {name} to {}; the image is published, but no results were written",
    dir.display()
)]
pub struct ResultsError {
    pub name: &'static str,
    /// Where it was to be written.
    pub dir: PathBuf,
    pub source: io::Error,
}

/// Writes all of `results`, pairs of name and value, into `dir`, or none of them.
pub fn write_results(dir: &Path, results: &[(&'static str, String)]) -> Result<(), ResultsError> {
    let failure = |name| move |source| ResultsError { name, dir: dir.to_owned(), source };
    let mut written = Vec::new();
    for (name, value) in results {
        let file = stage(dir, value).map_err(failure(name))?;
        written.push((*name, file));
    }
    let mut done = Vec::new();
    for (name, file) in written {
        let path = dir.join(name);
        if let Err(error) = file.persist(&path) {
            for path in done {
                // The first error is the one to report.
                let _ = std::fs::remove_file(path);
            }
            return Err(failure(name)(error.error));
        }
        done.push(path);
    }
    Ok(())
}

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

/// Checks that there is such a directory.
pub fn check_dir(dir: &Path) -> io::Result<()> {
    if dir.is_dir() {
        return Ok(());
    }
    let message = if dir.exists() { "not a directory" } else { "no such directory; create it" };
    Err(io::Error::new(io::ErrorKind::NotFound, message))
}

/// Removes all results that an earlier run has left.
pub fn clear(dir: &Path) -> io::Result<()> {
    for name in NAMES {
        match std::fs::remove_file(dir.join(name)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

fn stage(dir: &Path, value: &str) -> io::Result<NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    // Whoever collects the results may run as another user.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o644));
    let mut file = builder.tempfile_in(dir)?;
    file.write_all(value.as_bytes())?;
    file.as_file().sync_all()?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn results() -> [(&'static str, String); 2] {
        [("IMAGE_URL", "quay.io/org/app:1".into()), ("IMAGE_DIGEST", "sha256:00".into())]
    }

    #[test]
    fn values_are_verbatim() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("IMAGE_URL"), "an older and longer value\n").unwrap();
        write_results(dir.path(), &results()).unwrap();
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
        assert_eq!(write_results(dir.path(), &results()).unwrap_err().name, "IMAGE_DIGEST");
        assert!(!dir.path().join("IMAGE_URL").exists());
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
        assert!(prepare(&dir.path().join("missing")).is_err());
    }

    #[test]
    fn no_result_of_an_earlier_run_stays() {
        let dir = tempfile::tempdir().unwrap();
        write_results(dir.path(), &results()).unwrap();
        std::fs::write(dir.path().join("of-another-tool"), "").unwrap();
        prepare(dir.path()).unwrap();
        let left: Vec<_> = std::fs::read_dir(dir.path()).unwrap().collect();
        assert_eq!(left.len(), 1, "{left:?}");
        // A folder in the place of a result.
        std::fs::create_dir(dir.path().join("IMAGES")).unwrap();
        assert!(prepare(dir.path()).is_err());
    }
}
