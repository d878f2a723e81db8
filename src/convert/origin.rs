//! Which image of a layout is meant if none is named and it has several.

use std::collections::HashSet;

use super::markers;
use crate::{
    image::{Digest, ImageReference, Index},
    source::{ENTRIES_MAX, Source, SourceError},
    store::{AccessOptions, RawManifest, Store},
};

/// The image that all others were made from, if there are others: they say so themselves. A run
/// without a destination leaves its result beside its source, and the next one finds both.
pub(crate) async fn origin(
    reference: &ImageReference,
    access: &AccessOptions,
) -> Result<Option<Digest>, SourceError> {
    let is_named = reference.tag().is_some() || reference.digest().is_some();
    if is_named || !matches!(reference, ImageReference::Layout(_)) {
        return Ok(None);
    }
    let source = Source::open(reference, access).await?;
    let Store::Layout(layout) = source.store() else { return Ok(None) };
    let digests = layout.images().await.map_err(|error| source.failed(error))?;
    if !(2..=ENTRIES_MAX).contains(&digests.len()) {
        return Ok(None);
    }
    let mut images = Vec::with_capacity(digests.len());
    for digest in &digests {
        // One that cannot be read says nothing, so one has to be named.
        let Ok(raw) = source.manifest(digest).await else { return Ok(None) };
        images.push(Listed::of(&raw));
    }
    let mut origins = images.iter().filter(|image| {
        let mut others = images.iter().filter(|other| other.digest != image.digest);
        others.all(|other| other.from.as_ref().is_some_and(|from| image.is_or_lists(from)))
    });
    let origin = origins.next().map(|image| image.digest.clone());
    Ok(origin.filter(|_| origins.next().is_none()))
}

/// An image or an index of a layout.
struct Listed {
    digest: Digest,
    /// What it says that it was made from.
    from: Option<String>,
    /// The entries of an index.
    entries: HashSet<String>,
}

impl Listed {
    fn of(raw: &RawManifest) -> Self {
        let index = raw.is_index().then(|| raw.index().ok()).flatten();
        let annotations = match &index {
            Some(index) => Some(index.annotations.clone()),
            None => raw.manifest().ok().map(|manifest| manifest.annotations),
        };
        let from = annotations.as_ref().and_then(markers::made_from).map(str::to_owned);
        let entries = index.iter().flat_map(Index::entries);
        let entries = entries.map(|entry| entry.blob.digest.to_string()).collect();
        Self { digest: raw.digest.clone(), from, entries }
    }

    fn is_or_lists(&self, digest: &str) -> bool {
        self.digest.as_str() == digest || self.entries.contains(digest)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::json;

    use super::*;
    use crate::{
        image::{
            annotations::SOURCE_DIGEST,
            media_type::{OCI_CONFIG, OCI_INDEX, OCI_MANIFEST},
        },
        store::Intent,
    };

    fn image(name: &str, from: Option<&Digest>) -> RawManifest {
        let config = Digest::sha256_of(name.as_bytes());
        let annotations = from.map_or(json!({}), |from| json!({ SOURCE_DIGEST: from }));
        let document = json!({
            "schemaVersion": 2, "mediaType": OCI_MANIFEST, "layers": [], "annotations": annotations,
            "config": { "mediaType": OCI_CONFIG, "digest": config, "size": 1 },
        });
        RawManifest::new(document.to_string(), OCI_MANIFEST)
    }

    fn index(entry: &RawManifest) -> RawManifest {
        let entry =
            json!({ "mediaType": OCI_MANIFEST, "digest": entry.digest, "size": entry.size() });
        let document = json!({ "schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [entry] });
        RawManifest::new(document.to_string(), OCI_INDEX)
    }

    async fn found(images: &[&RawManifest]) -> Option<Digest> {
        let dir = tempfile::tempdir().unwrap();
        let reference = format!("oci:{}/layout", dir.path().display()).parse().unwrap();
        let access = AccessOptions::default();
        let store = Store::open(&reference, Intent::Push, &access).await.unwrap();
        for (number, image) in images.iter().enumerate() {
            store.put_manifest(image, Some(&format!("tag{number}"))).await.unwrap();
        }
        let named = reference.with_tag("tag0").unwrap();
        assert_eq!(origin(&named, &access).await.unwrap(), None);
        origin(&reference, &access).await.unwrap()
    }

    #[tokio::test]
    async fn results_are_told_from_their_source() {
        let source = image("a", None);
        let (result, other) = (image("b", Some(&source.digest)), image("c", None));
        let of_result = image("d", Some(&result.digest));
        let second = image("e", Some(&source.digest));
        let list = index(&source);
        let of_list = image("f", Some(&list.digest));
        let expected = Some(source.digest.clone());
        assert_eq!(found(&[&source]).await, None, "there is no question");
        assert_eq!(found(&[&source, &result]).await, expected);
        assert_eq!(found(&[&second, &source, &result]).await, expected);
        // One is made of an image of the index, the other of the index.
        assert_eq!(found(&[&result, &list, &of_list]).await, Some(list.digest.clone()));
        // Any of these may be meant.
        for images in [
            [&source, &other, &result],
            [&source, &result, &of_result],
            [&second, &result, &other],
            [&source, &list, &result],
        ] {
            assert_eq!(found(&images).await, None);
        }
        assert_eq!(found(&[&second, &result]).await, None, "their source is not there");
    }
}
