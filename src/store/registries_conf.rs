//! Which registries a name stands for: containers-registries.conf(5), version 2, by the rules of
//! containers/image (pkg/sysregistriesv2).

mod document;
mod files;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use self::{
    document::{PullFromMirror, Registry},
    files::Environment,
};
use super::error::RegistriesConfError;
use crate::image::RegistryReference;

/// Files of which it has been logged that they are read.
static SAID: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());

/// All files together.
#[derive(Debug, Default)]
pub struct RegistriesConf {
    /// By prefix.
    registries: BTreeMap<String, Registry>,
}

/// Where an image is read from: mirrors first, in their order.
#[derive(Debug)]
pub struct PullSources {
    pub mirrors: Vec<Endpoint>,
    /// The registry itself.
    pub origin: Endpoint,
}

/// A repository that may be contacted, with the tag and the digest that were asked for.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub struct Endpoint {
    pub reference: RegistryReference,
    pub insecure: bool,
    /// Whether it is in another registry than that of the image's name.
    pub is_elsewhere: bool,
    /// Whether it is a mirror only for what is asked for by digest.
    pub is_for_digests: bool,
    /// The entry that forbids it: prefix and file.
    blocked: Option<(String, PathBuf)>,
    /// Whether there are mirrors that were passed over because the image is named by tag.
    needs_digest: bool,
}

impl Endpoint {
    pub fn check_allowed(&self) -> Result<(), RegistriesConfError> {
        let needs_digest = self.needs_digest;
        self.blocked.clone().map_or(Ok(()), |(prefix, path)| {
            Err(RegistriesConfError::Blocked { prefix, path, needs_digest })
        })
    }
}

impl RegistriesConf {
    /// Reads the files, so it is not for an async thread. Without `file`, those that podman reads.
    pub(super) fn load(file: Option<&Path>) -> Result<Self, RegistriesConfError> {
        Self::load_with(file, &Environment::of_process())
    }

    fn load_with(
        file: Option<&Path>,
        environment: &Environment,
    ) -> Result<Self, RegistriesConfError> {
        let mut all = Self::default();
        for (path, text) in environment.read(file)? {
            // They are read for each registry.
            if SAID.lock().unwrap_or_else(PoisonError::into_inner).insert(path.clone()) {
                tracing::debug!("reading {}", path.display());
            }
            all.add(&path, &text)?;
        }
        Ok(all)
    }

    /// Adds a file. Its entries replace those that were added earlier for the same prefix.
    pub fn add(&mut self, path: &Path, text: &str) -> Result<(), RegistriesConfError> {
        let registries = document::parse(path, text)?;
        // Of several for one prefix in the same file, the first counts.
        let in_order = registries.into_iter().rev();
        self.registries.extend(in_order.map(|registry| (registry.prefix.clone(), registry)));
        Ok(())
    }

    /// What to read `image` from.
    pub fn pull_sources(
        &self,
        image: &RegistryReference,
    ) -> Result<PullSources, RegistriesConfError> {
        let Some(registry) = self.find(image) else {
            return Ok(PullSources { mirrors: Vec::new(), origin: self.push_target(image) });
        };
        let is_used = |when| match when {
            PullFromMirror::Unset => image.digest().is_some() || !registry.mirror_by_digest_only,
            PullFromMirror::All => true,
            PullFromMirror::DigestOnly => image.digest().is_some(),
            PullFromMirror::TagOnly => image.digest().is_none(),
        };
        let is_elsewhere = |new: &RegistryReference| new.registry() != image.registry();
        let mirrors = registry.mirrors.iter().filter(|mirror| is_used(mirror.used));
        let mirrors = mirrors.map(|mirror| {
            let reference = rewritten(image, registry, &mirror.location)?;
            let (is_elsewhere, blocked) = (is_elsewhere(&reference), self.blocked(&reference));
            let is_for_digests = match mirror.used {
                PullFromMirror::Unset => registry.mirror_by_digest_only,
                when => when == PullFromMirror::DigestOnly,
            };
            let (insecure, needs_digest) = (mirror.insecure, false);
            Ok(Endpoint {
                reference,
                insecure,
                is_elsewhere,
                is_for_digests,
                blocked,
                needs_digest,
            })
        });
        let mirrors = mirrors.collect::<Result<Vec<_>, _>>()?;
        let reference = rewritten(image, registry, &registry.location)?;
        // containers/image looks only at the new name. The manual page has names that match the
        // prefix blocked.
        let blocked = self.blocked(image).or_else(|| self.blocked(&reference));
        let (is_elsewhere, insecure) = (is_elsewhere(&reference), registry.insecure);
        let needs_digest =
            image.digest().is_none() && mirrors.is_empty() && !registry.mirrors.is_empty();
        let is_for_digests = false;
        let origin =
            Endpoint { reference, insecure, is_elsewhere, is_for_digests, blocked, needs_digest };
        Ok(PullSources { mirrors, origin })
    }

    /// What to write `image` to: itself, because neither mirrors nor locations are for that.
    pub fn push_target(&self, image: &RegistryReference) -> Endpoint {
        let insecure = self.find(image).is_some_and(|registry| registry.insecure);
        let (reference, blocked) = (image.clone(), self.blocked(image));
        let [is_elsewhere, is_for_digests, needs_digest] = [false; 3];
        Endpoint { reference, insecure, is_elsewhere, is_for_digests, blocked, needs_digest }
    }

    fn blocked(&self, image: &RegistryReference) -> Option<(String, PathBuf)> {
        let registry = self.find(image).filter(|registry| registry.blocked)?;
        Some((registry.prefix.clone(), registry.file.clone()))
    }

    /// The entry with the longest prefix, of equally long ones the first by name.
    fn find(&self, image: &RegistryReference) -> Option<&Registry> {
        let name = image.name();
        let fitting =
            self.registries.values().filter(|entry| matched(&name, &entry.prefix).is_some());
        fitting.rev().max_by_key(|entry| entry.prefix.len())
    }
}

/// How much of a name a prefix covers: whole segments, of which `*.` at the beginning stands for one
/// or more of a host's.
fn matched(name: &str, prefix: &str) -> Option<usize> {
    let end = match prefix.strip_prefix('*').filter(|domain| domain.starts_with('.')) {
        Some(domain) => {
            let at = name.find(domain).filter(|&at| !name[..at].contains('/'))?;
            at + domain.len()
        }
        None => name.starts_with(prefix).then_some(prefix.len())?,
    };
    // That a port counts as a boundary is a quirk: example.com covers example.com:5000.
    let is_whole = matches!(name.as_bytes().get(end), None | Some(b':' | b'/' | b'@'));
    is_whole.then_some(end)
}

/// The same image with what the prefix covers replaced.
fn rewritten(
    image: &RegistryReference,
    registry: &Registry,
    location: &str,
) -> Result<RegistryReference, RegistriesConfError> {
    let text = image.to_string();
    let covered = matched(&text, &registry.prefix).unwrap_or(text.len());
    // Only an entry for subdomains may have none: they stay where they are.
    if location.is_empty() {
        return Ok(image.clone());
    }
    let location = format!("{location}{}", &text[covered..]);
    // docker.io and library/ are not filled in here, and a location has no tag.
    let parsed = location.parse().ok();
    parsed
        .filter(|new: &RegistryReference| new.to_string().eq_ignore_ascii_case(&location))
        .filter(|new| (new.tag(), new.digest()) == (image.tag(), image.digest()))
        .ok_or_else(|| RegistriesConfError::Rewritten {
            prefix: registry.prefix.clone(),
            path: registry.file.clone(),
            reference: Box::new(image.clone()),
            location,
        })
}

#[cfg(test)]
mod tests;
