//! One file: its tables, and what they must not say.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use toml::Spanned;

use crate::store::error::RegistriesConfError;

/// Keys that have no meaning here are ignored, such as those for short names.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Document {
    registry: Vec<Spanned<Registry>>,
    /// What version 1 had.
    registries: Option<Spanned<Version1>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Version1 {
    insecure: Version1List,
    block: Version1List,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Version1List {
    registries: Vec<String>,
}

/// A `[[registry]]` table.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub(super) struct Registry {
    pub(super) prefix: String,
    /// Empty only if the prefix is a wildcard.
    pub(super) location: String,
    pub(super) insecure: bool,
    pub(super) blocked: bool,
    pub(super) mirror_by_digest_only: bool,
    pull_from_mirror: PullFromMirror,
    #[serde(rename = "mirror")]
    pub(super) mirrors: Vec<Mirror>,
    #[serde(skip)]
    pub(super) file: PathBuf,
}

/// A `[[registry.mirror]]` table.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub(super) struct Mirror {
    pub(super) location: String,
    pub(super) insecure: bool,
    #[serde(rename = "pull-from-mirror")]
    pub(super) used: PullFromMirror,
}

/// For which images a mirror is used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum PullFromMirror {
    #[default]
    #[serde(rename = "")]
    Unset,
    All,
    DigestOnly,
    TagOnly,
}

pub(super) fn parse(path: &Path, text: &str) -> Result<Vec<Registry>, RegistriesConfError> {
    let malformed = |at: usize, reason: String| {
        let line = 1 + text.as_bytes().iter().take(at).filter(|&&byte| byte == b'\n').count();
        RegistriesConfError::Malformed { path: path.to_owned(), line, reason }
    };
    let document: Document = toml::from_str(text).map_err(|error| {
        let at = error.span().map_or(0, |span| span.start);
        malformed(at, error.message().replace('\n', " "))
    })?;
    if let Some(key) = misspelled(text) {
        let at = text.find(&key).unwrap_or_default();
        return Err(malformed(at, format!("write {key:?} in lower case")));
    }
    if let Some(old) = document.registries {
        let (at, old) = (old.span().start, old.into_inner());
        // What is left are registries for short names, which mean docker.io here.
        if !old.insecure.registries.is_empty() || !old.block.registries.is_empty() {
            let reason = "version 1 of the format is not supported; write [[registry]] tables";
            return Err(malformed(at, reason.to_owned()));
        }
    }
    let mut registries: Vec<Registry> = Vec::new();
    for table in document.registry {
        let (at, mut registry) = (table.span().start, table.into_inner());
        registry.normalize().map_err(|reason| malformed(at, reason))?;
        if let Some(key) = registries.iter().find_map(|other| registry.contradicts(other)) {
            let place = registry.place();
            return Err(malformed(at, format!("{place} has two entries that differ in {key:?}")));
        }
        path.clone_into(&mut registry.file);
        registries.push(registry);
    }
    Ok(registries)
}

/// An array of tables.
fn tables<'a>(table: &'a toml::Table, key: &str) -> impl Iterator<Item = &'a toml::Table> {
    let tables = table.get(key).and_then(toml::Value::as_array);
    tables.into_iter().flatten().filter_map(toml::Value::as_table)
}

/// A key that is one of ours but for its case. podman reads it, so it must not be ignored.
fn misspelled(text: &str) -> Option<String> {
    const KEYS: [&str; 8] = [
        "registry",
        "prefix",
        "location",
        "insecure",
        "blocked",
        "mirror-by-digest-only",
        "pull-from-mirror",
        "mirror",
    ];
    let is_misspelled =
        |key: &&String| KEYS.iter().any(|known| key.eq_ignore_ascii_case(known) && key != known);
    let root: toml::Table = text.parse().ok()?;
    let registries = tables(&root, "registry");
    let nested =
        registries.flat_map(|registry| [registry].into_iter().chain(tables(registry, "mirror")));
    [&root].into_iter().chain(nested).flat_map(toml::Table::keys).find(is_misspelled).cloned()
}

impl Registry {
    /// Fills in the prefix, and says what is wrong.
    fn normalize(&mut self) -> Result<(), String> {
        for name in [&mut self.prefix, &mut self.location]
            .into_iter()
            .chain(self.mirrors.iter_mut().map(|mirror| &mut mirror.location))
        {
            if name.starts_with("http://") || name.starts_with("https://") {
                return Err(format!("{name:?} must not begin with a URL scheme"));
            }
            name.truncate(name.trim_end_matches('/').len());
        }
        let is_wildcard = self.prefix.starts_with("*.");
        if self.location.is_empty() && !is_wildcard {
            return Err("the registry has no location".to_owned());
        }
        if self.prefix.is_empty() {
            self.prefix.clone_from(&self.location);
        }
        if self.prefix.starts_with("*.") && self.prefix.contains(['/', '@', ':']) {
            return Err(format!("invalid prefix {:?}; expected *.example.com", self.prefix));
        }
        if self.pull_from_mirror != PullFromMirror::Unset {
            return Err("pull-from-mirror must be set for a mirror, not for a registry".to_owned());
        }
        for mirror in &self.mirrors {
            if mirror.location.is_empty() {
                return Err(format!("a mirror of {} has no location", self.prefix));
            }
            if self.mirror_by_digest_only && mirror.used != PullFromMirror::Unset {
                let mirror = &mirror.location;
                return Err(format!(
                    "the mirror {mirror} sets pull-from-mirror, and its registry mirror-by-digest-only"
                ));
            }
        }
        Ok(())
    }

    fn place(&self) -> &str {
        if self.location.is_empty() { &self.prefix } else { &self.location }
    }

    /// The setting that must be the same for one location, and is not.
    fn contradicts(&self, other: &Self) -> Option<&'static str> {
        let differ = [
            ("insecure", self.insecure != other.insecure),
            ("blocked", self.blocked != other.blocked),
        ];
        let key = differ.into_iter().find_map(|(key, differs)| differs.then_some(key))?;
        (self.place() == other.place()).then_some(key)
    }
}
