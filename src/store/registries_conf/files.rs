//! Where the files are, and what is read of them (containers/storage, pkg/configfile).

use std::{
    collections::BTreeMap,
    ffi::OsStr,
    fs, io,
    path::{Path, PathBuf},
};

use crate::store::{error::RegistriesConfError, user_file};

const NAME: &str = "registries.conf";

/// What of the process's environment decides which files are read.
#[derive(Clone, Debug, Default)]
pub(super) struct Environment {
    /// Where the files usually are; the first counts most.
    pub(super) folders: Vec<PathBuf>,
    /// `CONTAINERS_REGISTRIES_CONF`: the only file.
    pub(super) only: Option<PathBuf>,
    /// `CONTAINERS_REGISTRIES_CONF_OVERRIDE`: comes after all others.
    pub(super) last: Option<PathBuf>,
}

impl Environment {
    /// The environment of this process.
    pub(super) fn of_process() -> Self {
        let path = user_file::variable;
        let config_home = path("XDG_CONFIG_HOME").or_else(|| Some(path("HOME")?.join(".config")));
        let user = config_home.map(|folder| folder.join("containers"));
        let system = ["/etc/containers", "/usr/share/containers"].map(PathBuf::from);
        Self {
            folders: user.into_iter().chain(system).collect(),
            only: path("CONTAINERS_REGISTRIES_CONF"),
            last: path("CONTAINERS_REGISTRIES_CONF_OVERRIDE"),
        }
    }

    /// The files and what is in them; later ones override earlier ones. Files that are named have
    /// to exist. `file` takes the place of the main file, and drop-ins still count.
    pub(super) fn read(
        &self,
        file: Option<&Path>,
    ) -> Result<Vec<(PathBuf, String)>, RegistriesConfError> {
        let mut files = Vec::new();
        let by_variable = self.only.as_deref().map(|path| (path, "CONTAINERS_REGISTRIES_CONF"));
        if let Some((named, by)) = file.map(|path| (path, "--registries-conf")).or(by_variable) {
            files.push((named.to_owned(), read_named(named, by)?));
        } else {
            for folder in &self.folders {
                let path = folder.join(NAME);
                if let Some(text) = if_there(&path, read(&path))? {
                    files.push((path, text));
                    break;
                }
            }
        }
        if file.is_some() || self.only.is_none() {
            for path in self.drop_ins()? {
                files.extend(if_there(&path, read(&path))?.map(|text| (path, text)));
            }
        }
        if let Some(last) = &self.last {
            files.push((last.clone(), read_named(last, "CONTAINERS_REGISTRIES_CONF_OVERRIDE")?));
        }
        Ok(files)
    }

    /// By name; of those with the same name, the one in the folder that counts most.
    fn drop_ins(&self) -> Result<Vec<PathBuf>, RegistriesConfError> {
        let mut found = BTreeMap::new();
        for folder in self.folders.iter().rev() {
            let folder = folder.join(format!("{NAME}.d"));
            let paths = list(&folder).map_err(|source| failed(&folder, source));
            for path in if_there(&folder, paths)?.into_iter().flatten() {
                found.insert(path.file_name().map(OsStr::to_owned), path);
            }
        }
        Ok(found.into_values().collect())
    }
}

/// The files of a folder that count, in no order.
fn list(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let is_conf = entry.file_name().as_encoded_bytes().ends_with(b".conf");
        if is_conf && !entry.file_type()?.is_dir() {
            paths.push(entry.path());
        }
    }
    Ok(paths)
}

fn read(path: &Path) -> Result<String, RegistriesConfError> {
    let text = user_file::read(path).and_then(|content| {
        let invalid =
            |_| io::Error::new(io::ErrorKind::InvalidData, "stream did not contain valid UTF-8");
        String::from_utf8(content).map_err(invalid)
    });
    text.map_err(|source| failed(path, source))
}

/// The same for a file that has to exist because `by` names it.
fn read_named(path: &Path, by: &'static str) -> Result<String, RegistriesConfError> {
    read(path).map_err(|error| match error {
        RegistriesConfError::File { path, source } if source.kind() == io::ErrorKind::NotFound => {
            RegistriesConfError::Missing { path, by }
        }
        error => error,
    })
}

fn failed(path: &Path, source: io::Error) -> RegistriesConfError {
    RegistriesConfError::File { path: path.to_owned(), source }
}

/// Nothing for what does not exist, or may not be read.
fn if_there<T>(
    path: &Path,
    read: Result<T, RegistriesConfError>,
) -> Result<Option<T>, RegistriesConfError> {
    match read {
        Err(RegistriesConfError::File { source, .. })
            if user_file::is_skipped(path, &source, NAME) =>
        {
            Ok(None)
        }
        read => read.map(Some),
    }
}
