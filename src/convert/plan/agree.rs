//! Whether podman gets from the new index what it gets from the old one. Old clients take the first
//! entry for their platform, and podman may take another one: neither may get another image than
//! before.

use std::collections::HashMap;

use crate::{
    convert::ConvertError,
    image::{Descriptor, Digest, Platform, choice::taken_by_podman, media_type::OCI_INDEX},
    source::Source,
    store::RawManifest,
};

/// An entry of the new index.
pub(super) struct NewEntry {
    pub(super) entry: Descriptor,
    /// The manifest that it is or is made from.
    pub(super) from: Digest,
    /// `None` if it is not an image, or was not read.
    pub(super) config: Option<Digest>,
    /// Not known to be an image: it may turn out that it cannot be copied.
    pub(super) uncertain: bool,
}

/// Compares the entries that podman takes of `raw` with those that it will take of `new`, for each of
/// `platforms`. `is_requested` says whether an entry of `raw` was to be converted. If podman takes one
/// that was not, that counts only if exactly this platform is asked for.
pub(super) async fn check(
    source: &Source,
    raw: &RawManifest,
    platforms: impl Iterator<Item = &Platform>,
    is_requested: impl Fn(usize) -> bool,
    new: &[NewEntry],
) -> Result<(), ConvertError> {
    for (platform, is_exact) in spellings(platforms) {
        let Some(before) = source.taken_by_podman(raw, &platform).await? else { continue };
        if !is_exact && !is_requested(before.entry) {
            continue;
        }
        for with_uncertain in [true, false] {
            let there = || new.iter().filter(|one| with_uncertain || !one.uncertain);
            let entries = there().map(|one| &one.entry);
            let after = taken_by_podman(entries, OCI_INDEX, &platform);
            let Some(after) = after.and_then(|number| there().nth(number)) else { continue };
            let is_same =
                after.from == before.manifest || after.config.as_ref() == Some(&before.config);
            if !is_same {
                let (podman, others) = (before.manifest, after.from.clone());
                return Err(source.disagreement(&platform, podman, others).into());
            }
        }
    }
    Ok(())
}

/// The platforms as podman may be asked for them, and whether that is exactly what they are: it
/// ignores versions, and on arm adds a variant itself.
fn spellings<'a>(platforms: impl Iterator<Item = &'a Platform>) -> HashMap<Platform, bool> {
    let mut all = HashMap::new();
    for platform in platforms {
        let plain = Platform { os_version: None, os_features: Vec::new(), ..platform.clone() };
        all.entry(Platform { variant: None, ..plain.clone() }).or_insert(false);
        if plain.architecture == "arm64" && plain.variant.is_none() {
            let spelled = Platform { variant: Some("v8".to_owned()), ..plain.clone() };
            all.entry(spelled).or_insert(false);
        }
        *all.entry(plain).or_insert(false) |= platform.os_version.is_none();
    }
    all
}
