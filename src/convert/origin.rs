//! Which image of a layout is meant if none is named and it has several.

use super::markers;
use crate::{
    image::{Digest, ImageReference},
    source::{ENTRIES_MAX, Source, SourceError},
    store::{AccessOptions, RawManifest, Store},
};

/// The image that all others are conversions of, if there are others. A run without a destination
/// leaves its result beside its source, and the next one finds both.
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
        others.all(|other| other.is_of(image))
    });
    let origin = origins.next().map(|image| image.digest.clone());
    Ok(origin.filter(|_| origins.next().is_none()))
}

/// An image of a layout.
struct Listed {
    digest: Digest,
    /// None of an index.
    config: Option<Digest>,
    /// What it says that it was made from.
    from: Option<String>,
}

impl Listed {
    fn of(raw: &RawManifest) -> Self {
        let manifest = raw.manifest().ok();
        let from = manifest.as_ref().and_then(|manifest| markers::made_from(&manifest.annotations));
        let from = from.map(str::to_owned);
        let config = manifest.map(|manifest| manifest.config.blob.digest);
        Self { digest: raw.digest.clone(), config, from }
    }

    /// Whether it is a conversion of `image`. Builders copy annotations from an image to those built on
    /// it, but these have another config.
    fn is_of(&self, image: &Self) -> bool {
        self.from.as_deref() == Some(image.digest.as_str())
            && self.config.is_some()
            && self.config == image.config
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

    fn image(name: &str, config: &str, from: Option<&Digest>) -> RawManifest {
        let config = Digest::sha256_of(config.as_bytes());
        let annotations = match from {
            Some(from) => json!({ "name": name, SOURCE_DIGEST: from }),
            None => json!({ "name": name }),
        };
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
        let source = image("source", "app", None);
        let made = |name, config| image(name, config, Some(&source.digest));
        let (result, second) = (made("zstd", "app"), made("zstd:chunked", "app"));
        // Builders copy the annotations of what they build on.
        let built_on_source = made("build", "other app");
        let of_result = image("again", "app", Some(&result.digest));
        let (other, list) = (image("other", "app", None), index(&source));
        let expected = Some(source.digest.clone());
        assert_eq!(found(&[&source]).await, None, "there is no question");
        assert_eq!(found(&[&source, &result]).await, expected);
        assert_eq!(found(&[&second, &source, &result]).await, expected);
        // Any of these may be meant.
        for images in [
            [&source, &other, &result],
            [&source, &result, &of_result],
            [&source, &result, &built_on_source],
            [&second, &result, &other],
            [&source, &list, &result],
        ] {
            assert_eq!(found(&images).await, None);
        }
        assert_eq!(found(&[&source, &built_on_source]).await, None);
        assert_eq!(found(&[&second, &result]).await, None, "their source is not there");
    }
}
