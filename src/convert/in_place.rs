//! Whether the destination's tag leads to the source: clients that cannot use the result would have
//! no other tag, so it is moved only if that is allowed.
//!
//! Judged by digests, because one place can have many names, and a copy of the source elsewhere may
//! be all that its clients have.

use super::{
    ConvertError, ConvertJob,
    destination::Destination,
    format::{Format, IndexMode, Wanted},
    plan::{IndexPlan, Plan, Slot},
};
use crate::{
    image::{Descriptor, Digest, EntryKind},
    store::{RawManifest, StoreError},
};

/// Fails if the tag would be taken from the source. A tag that cannot be read could not be read back
/// after the push either.
pub(super) async fn check(
    job: &ConvertJob,
    plan: &Plan,
    destination: &Destination<'_>,
) -> Result<(), ConvertError> {
    if job.in_place {
        return Ok(());
    }
    let sources = sources(plan);
    let takes = |digest: &Digest, names| {
        let (reference, digest) = (job.destination.clone(), digest.clone());
        Err(ConvertError::TakesTag { reference, digest, names })
    };
    let named = match destination.named().await? {
        Ok(Some(named)) => named,
        Err(StoreError::DigestMismatch { expected, actual, .. }) => {
            let found = sources.iter().find(|source| [&expected, &actual].contains(source));
            return found.map_or(Ok(()), |found| takes(found, "the source"));
        }
        Ok(None) | Err(_) => return Ok(()),
    };
    let relation = if sources.contains(&named.digest) || named.bytes == plan.root.bytes {
        "the source"
    } else if lists(&named, &sources) {
        "an index that lists the source"
    } else {
        return Ok(());
    };
    if is_kept(&job.wanted, plan, &named) { Ok(()) } else { takes(&named.digest, relation) }
}

/// What was given and what is converted of it, also as others may name the same bytes.
fn sources(plan: &Plan) -> Vec<Digest> {
    let images = plan.images.iter().map(|image| &image.source.raw);
    let all = images.chain([&plan.root]);
    all.flat_map(|raw| [raw.digest.clone(), Digest::sha256_of(&raw.bytes)]).collect()
}

fn lists(named: &RawManifest, sources: &[Digest]) -> bool {
    let entries = named.index();
    entries.is_ok_and(|index| index.entries().any(|entry| sources.contains(&entry.blob.digest)))
}

/// Whether all clients that get an image by the tag now still get one from the result.
fn is_kept(wanted: &Wanted, plan: &Plan, named: &RawManifest) -> bool {
    let (Wanted::Index { mode, .. }, Some(result)) = (wanted, &plan.index) else { return false };
    let is_root = named.bytes == plan.root.bytes;
    match (mode, named.index()) {
        (IndexMode::AllPlatforms, _) => false,
        (IndexMode::Add, _) if is_root => true,
        (_, Ok(index)) => index.entries().all(|entry| keeps(plan, result, entry)),
        // An image that a variant is made from stays.
        (_, Err(_)) => !named.is_index(),
    }
}

/// Whether the result has an entry, or one for the same clients. Attestations are nothing that they
/// run.
fn keeps(plan: &Plan, result: &IndexPlan, entry: &Descriptor) -> bool {
    let is_for_some = entry.is_marked();
    let is_it = |slot: &Slot| {
        let (from, other, format) = match slot {
            Slot::Kept { entry, format, .. } => (&entry.blob.digest, entry, *format),
            Slot::Made { variant, entry } => {
                let variant = plan.variants[*variant];
                (&plan.image_of(variant).source.raw.digest, entry, Some(variant.format))
            }
        };
        let is_for_all = format.is_some_and(|format| format == Format::Gzip);
        let is_same_platform = entry
            .platform()
            .zip(other.platform())
            .is_some_and(|(platform, other)| platform.is_same(other));
        *from == entry.blob.digest || is_same_platform && (is_for_all || is_for_some)
    };
    matches!(entry.entry_kind(), EntryKind::Attestation { .. }) || result.slots.iter().any(is_it)
}
