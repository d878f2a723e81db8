//! What is true of every document, whatever its bytes are.

use recompress_image::image::{
    BlobId, Descriptor, Digest, ImageConfig, Index, Manifest, Platform,
    annotations::{TOC_DIGEST, is_of_the_bytes},
    document_type,
    json::Object,
    manifest::NewLayer,
    media_type::{self as types, Family, LayerType, Suffix},
    platform::PLATFORM_FIELDS,
};

/// Checks all there is to check; how much of it there was depends on the document.
pub fn check(bytes: &[u8]) {
    let media_type = document_type(bytes, None);
    for announced in [types::OCI_MANIFEST, types::OCI_INDEX, "text/plain; charset=utf-8"] {
        if let (Ok(own), Ok(other)) = (&media_type, document_type(bytes, Some(announced))) {
            assert!(*own == other || announced == other);
        }
    }
    if let Ok(object) = Object::document(bytes, &[]) {
        check_object(object);
    }
    let listed = Index::parse_list(bytes);
    if let Ok(index) = Index::parse(bytes) {
        let listed = listed.as_ref().expect("a list takes what an index takes");
        assert_eq!((entries(listed), listed.others()), (entries(&index), 0));
        let is_index =
            matches!(media_type.as_deref(), Ok(types::OCI_INDEX | types::DOCKER_MANIFEST_LIST));
        check_index(&index, bytes, is_index);
    }
    if let Ok(listed) = listed {
        let again = Index::parse_list(listed.to_json().as_bytes()).expect("written by ourselves");
        assert_eq!((entries(&again), again.others()), (entries(&listed), listed.others()));
    }
    if let Ok(manifest) = Manifest::parse(bytes)
        && matches!(media_type.as_deref(), Ok(types::OCI_MANIFEST | types::DOCKER_MANIFEST))
        && let Ok(layers) = manifest.image_layers()
    {
        check_manifest(&manifest, &layers, bytes);
    }
    if let Ok(config) = ImageConfig::parse(bytes) {
        let platform = config.platform_object().cloned().unwrap_or_default();
        assert!(platform.names().all(|name| PLATFORM_FIELDS.contains(&name)));
        assert_eq!(Platform::read(&platform), Ok(config.platform));
    }
}

/// The fields of a document as text.
fn fields(bytes: &[u8]) -> Vec<(String, String)> {
    fields_of(&Object::document(bytes, &[]).expect("read before"))
}

fn fields_of(object: &Object) -> Vec<(String, String)> {
    object.names().map(str::to_owned).zip(object.values().map(str::to_owned)).collect()
}

fn without(mut fields: Vec<(String, String)>, names: &[&str]) -> Vec<(String, String)> {
    fields.retain(|(name, _)| !names.contains(&&**name));
    fields
}

fn entries(index: &Index) -> Vec<Descriptor> {
    index.entries().cloned().collect()
}

fn check_object(mut object: Object) {
    let written = object.to_json();
    let before = fields(written.as_bytes());
    assert_eq!(before, fields_of(&object));
    let mut new = "new".to_owned();
    while object.has(&new) {
        new.push('+');
    }
    object.set(&new, &"value");
    let mut after = fields(object.to_json().as_bytes());
    assert_eq!(after.pop(), Some((new.clone(), "\"value\"".to_owned())));
    assert_eq!(after, before);
    object.remove(&new);
    assert_eq!(object.to_json(), written);
}

fn check_index(index: &Index, bytes: &[u8], is_index: bool) {
    let written = index.to_json();
    let again = Index::parse(written.as_bytes()).expect("written by ourselves");
    assert_eq!(entries(&again), entries(index));
    assert_eq!(again.annotations, index.annotations);
    assert_eq!(
        without(fields(bytes), &["manifests"]),
        without(fields(written.as_bytes()), &["manifests"])
    );
    // What is not an index at the same time cannot become one.
    if !is_index {
        return;
    }
    let from = [("from", "there".to_owned())];
    let (made, gone) = index.with_entries(entries(index), &from).expect("an index");
    assert_eq!(document_type(&made, Some(types::OCI_INDEX)).as_deref(), Ok(types::OCI_INDEX));
    let again = Index::parse(&made).expect("written by ourselves");
    assert_eq!(entries(&again), entries(index));
    let mut expected = index.annotations.clone();
    expected.retain(|key, _| !is_of_the_bytes(key));
    assert_eq!(expected.len() + gone.len(), index.annotations.len());
    expected.insert("from".into(), "there".into());
    assert_eq!(again.annotations, expected);
    let edited = ["mediaType", "manifests", "annotations"];
    assert_eq!(without(fields(bytes), &edited), without(fields(&made), &edited));
}

/// Each layer becomes another blob, or the first and every other one does.
fn check_manifest(manifest: &Manifest, layers: &[LayerType], bytes: &[u8]) {
    for step in [1, 2] {
        let new = |(number, _): (usize, &LayerType)| {
            let blob = BlobId { digest: Digest::sha256_of(&[7; 9]), size: number as u64 };
            let annotations = vec![(TOC_DIGEST, "ours".to_owned())];
            (number % step == 0).then_some(NewLayer { blob, suffix: Suffix::Zstd, annotations })
        };
        let blobs: Vec<_> = layers.iter().enumerate().map(new).collect();
        let from = [("from", "there".to_owned())];
        let made = manifest.clone().with_layers(Family::Oci, &blobs, &from);
        let (made, _) = made.expect("OCI has a media type for each layer");
        let media_type = document_type(&made, Some(types::OCI_MANIFEST));
        assert_eq!(media_type.as_deref(), Ok(types::OCI_MANIFEST));
        let again = Manifest::parse(&made).expect("written by ourselves");
        assert_eq!(again.config.blob, manifest.config.blob);
        assert!(again.subject.is_none());
        assert_eq!(again.annotations["from"], "there");
        assert!(!again.annotations.keys().any(|key| is_of_the_bytes(key)));
        let edited = ["mediaType", "config", "layers", "subject", "annotations"];
        assert_eq!(without(fields(bytes), &edited), without(fields(&made), &edited));
        assert_eq!(again.layers.len(), layers.len());
        let found = again.image_layers().expect("still an image");
        for (number, blob) in blobs.iter().enumerate() {
            let (old, layer) = (&manifest.layers[number], &again.layers[number]);
            let suffix = if blob.is_some() { Suffix::Zstd } else { layers[number].suffix };
            assert_eq!(found[number], layers[number].with(suffix));
            let [old_fields, new_fields] = [old, layer].map(|it| fields_of(it.object()));
            let Some(NewLayer { blob, .. }) = blob else {
                assert_eq!((&layer.blob, &layer.annotations), (&old.blob, &old.annotations));
                let edited = ["mediaType", "digest", "size"];
                assert_eq!(without(old_fields, &edited), without(new_fields, &edited));
                continue;
            };
            assert_eq!(layer.blob, *blob);
            let about: Vec<_> =
                layer.annotations.keys().filter(|key| is_of_the_bytes(key)).collect();
            assert_eq!(about, [TOC_DIGEST]);
            assert_eq!(layer.annotations[TOC_DIGEST], "ours");
            assert!(layer.urls.is_empty() && !layer.object().has("data"));
            let edited = ["mediaType", "digest", "size", "annotations", "urls", "data"];
            assert_eq!(without(old_fields, &edited), without(new_fields, &edited));
        }
    }
}
