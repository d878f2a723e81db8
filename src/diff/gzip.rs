//! What the same update takes if both images are gzip, as far as their sizes are known.

use std::collections::HashSet;

use super::{
    report::{GzipOrigin, GzipUpdate},
    select::Side,
};
use crate::{
    image::{Descriptor, Digest, annotations::SOURCE_DIGEST},
    source::{SourceError, SourceImage},
    store::{RawManifest, Selector},
};

/// Entries of an index that are looked at for one image.
const ENTRIES_MAX: usize = 16;

pub(super) async fn update(
    (old, of_old): (&Side, &SourceImage),
    (new, of_new): (&Side, &SourceImage),
) -> Result<Option<GzipUpdate>, SourceError> {
    let Some((image, origin)) = counterpart(new, of_new).await? else { return Ok(None) };
    let before = counterpart(old, of_old).await?.map(|(image, _)| image);
    let whole_layers = if let Some(before) = before {
        let has: HashSet<_> =
            before.manifest.layers.iter().map(|layer| &layer.blob.digest).collect();
        lacking(&image, |layer, _| has.contains(&layer.blob.digest))
    } else {
        // The same content has the same blob if it was compressed only once.
        let has: HashSet<_> = of_old.config.diff_ids.iter().collect();
        lacking(&image, |_, diff_id| has.contains(diff_id))
    };
    let documents = new.documents(&image);
    Ok(Some(GzipUpdate {
        total: whole_layers.saturating_add(documents),
        whole_layers,
        documents,
        size: lacking(&image, |_, _| false),
        digest: image.raw.digest.clone(),
        origin,
    }))
}

/// The length of the layers that a client does not have.
fn lacking(image: &SourceImage, has: impl Fn(&Descriptor, &Digest) -> bool) -> u64 {
    let layers = image.manifest.layers.iter().zip(&image.config.diff_ids);
    layers
        .filter(|(layer, diff_id)| !has(layer, diff_id))
        .fold(0, |sum, (layer, _)| sum.saturating_add(layer.blob.size))
}

/// The same image, with layers that every client can read: itself, another entry of its index, or
/// what it was made from. The config, which has the diffIDs, proves that it is the same.
async fn counterpart(
    side: &Side,
    image: &SourceImage,
) -> Result<Option<(SourceImage, GzipOrigin)>, SourceError> {
    if image.manifest.layers.len() != image.config.diff_ids.len() {
        return Ok(None);
    }
    if image.manifest.is_readable_by_all() {
        return Ok(Some((image.clone(), GzipOrigin::Given)));
    }
    if let Some(found) = member(side, &side.root, image).await? {
        return Ok(Some((found, GzipOrigin::Index)));
    }
    let Some(source) = image.manifest.annotations.get(SOURCE_DIGEST) else { return Ok(None) };
    let Ok(digest) = source.parse::<Digest>() else { return Ok(None) };
    // It need not be there, and is not what was asked for.
    let raw = side.source.store().find_manifest(&Selector::Digest(digest)).await;
    let Ok(Some(raw)) = raw else { return Ok(None) };
    let found =
        if raw.is_index() { member(side, &raw, image).await } else { same(side, raw, image).await };
    match found {
        Ok(found) => Ok(found.map(|found| (found, GzipOrigin::Source))),
        Err(error) if error.is_unfit() || error.is_missing() => Ok(None),
        Err(error) => Err(error),
    }
}

/// The entry of an index that is the same image.
async fn member(
    side: &Side,
    index: &RawManifest,
    image: &SourceImage,
) -> Result<Option<SourceImage>, SourceError> {
    if !index.is_index() {
        return Ok(None);
    }
    let is_same_platform = |other| image.platform.as_ref().is_none_or(|it| it.is_same(other));
    let index = side.source.index(index)?;
    let entries = index.entries().filter(|entry| {
        entry.blob.digest != image.raw.digest && entry.platform().is_some_and(is_same_platform)
    });
    for entry in entries.take(ENTRIES_MAX) {
        let raw = match side.source.manifest(&entry.blob.digest).await {
            Ok(raw) => raw,
            Err(error) if error.is_missing() => continue,
            Err(error) => return Err(error),
        };
        if let Some(found) = same(side, raw, image).await? {
            return Ok(Some(found));
        }
    }
    Ok(None)
}

async fn same(
    side: &Side,
    raw: RawManifest,
    image: &SourceImage,
) -> Result<Option<SourceImage>, SourceError> {
    let is_same = raw.manifest().is_ok_and(|manifest| {
        manifest.config.blob.digest == image.manifest.config.blob.digest
            && manifest.layers.len() == image.manifest.layers.len()
            && manifest.is_readable_by_all()
    });
    if !is_same {
        return Ok(None);
    }
    side.source.image(raw, image.platform.as_ref()).await.map(Some)
}
