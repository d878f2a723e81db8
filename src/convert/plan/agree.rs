//! Whether podman gets from the new index what it gets from the old one. Old clients take the first
//! entry for their platform, and podman may take another one: what either of them gets must not
//! become another image.

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

/// Holds the entries that podman takes of `raw` against those that it will take of `new`, for each
/// of `platforms`. `asked_for` tells whether an entry of `raw` was to be converted. If podman takes one
/// that was not, that counts only if it was asked for exactly this platform.
pub(super) async fn check(
    source: &Source,
    raw: &RawManifest,
    platforms: impl Iterator<Item = &Platform>,
    asked_for: impl Fn(usize) -> bool,
    new: &[NewEntry],
) -> Result<(), ConvertError> {
    for (platform, is_exact) in spellings(platforms) {
        let Some(before) = source.taken_by_podman(raw, &platform).await? else { continue };
        if !is_exact && !asked_for(before.entry) {
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

/// The platforms as podman may be asked for them, and whether that is what they are: it knows no
/// versions, and adds a variant by itself on arm.
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
