//! An index as a document: entries that are read, edited as JSON, and put in another order.

use bytes::Bytes;
use serde_json::{Map, Value, json};

use super::Platform;
use crate::image::{
    manifest::{Descriptor, ManifestError, annotate, descriptor, set},
    media_type::{self, OCI_INDEX},
};

/// Annotation of an entry, `true` for an image with zstd layers: readers that know zstd prefer
/// such an entry over another of the same platform wherever it stands (containers/image,
/// `internal/manifest/oci_index.go`), and release tools tell variants of one image by it.
pub const ZSTD_MARK: &str = "io.github.containers.compression.zstd";

/// What `BuildKit` puts on an entry that is no image but speaks of another entry
/// (moby/buildkit, `docs/attestations/attestation-storage.md`).
const REFERENCE_TYPE: &str = "vnd.docker.reference.type";
const REFERENCE_DIGEST: &str = "vnd.docker.reference.digest";

/// The fields of a platform, in the order of the image-spec.
const PLATFORM_FIELDS: [&str; 5] = ["architecture", "os", "os.version", "os.features", "variant"];

/// One entry of an index.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    document: Map<String, Value>,
    descriptor: Descriptor,
}

impl Entry {
    /// An entry for an image that has been in no index; its platform is that of its config.
    pub fn of_image(media_type: &str, image: &Descriptor, config: &[u8]) -> Self {
        let mut document = Map::new();
        set(&mut document, "mediaType", media_type.into());
        let mut entry = Self { document, descriptor: image.clone() };
        entry.point_at(media_type, image);
        let config = serde_json::from_slice::<Map<String, Value>>(config).unwrap_or_default();
        let fields = PLATFORM_FIELDS.iter().filter_map(|field| Some((field, config.get(*field)?)));
        let said = fields.filter(|(_, value)| !matches!(value, Value::Null) && **value != "");
        let platform: Map<_, _> = said.map(|(f, v)| ((*f).to_owned(), v.clone())).collect();
        if !platform.is_empty() {
            set(&mut entry.document, "platform", platform.into());
        }
        entry
    }

    fn read(value: &Value) -> Result<Self, ManifestError> {
        let Value::Object(document) = value else {
            return Err(ManifestError::Malformed("an entry of the index is no object".into()));
        };
        Ok(Self { descriptor: descriptor(value)?, document: document.clone() })
    }

    /// The manifest that it points at; the size is a claim.
    pub fn descriptor(&self) -> &Descriptor {
        &self.descriptor
    }

    /// Its manifest's media type, as claimed.
    pub fn media_type(&self) -> &str {
        self.document.get("mediaType").and_then(Value::as_str).unwrap_or_default()
    }

    /// Whether it points at something of the form of an image's manifest.
    pub fn is_manifest(&self) -> bool {
        matches!(self.media_type(), media_type::OCI_MANIFEST | media_type::DOCKER_MANIFEST)
    }

    /// Its platform, where it has one.
    pub fn platform(&self) -> Option<Platform> {
        self.document.get("platform").and_then(Platform::read)
    }

    /// What entries for the same platform have in common: the same text.
    pub fn platform_key(&self) -> String {
        let platform = self.document.get("platform");
        let field = |name| platform.and_then(|platform| platform.get(name)).unwrap_or(&Value::Null);
        let values = PLATFORM_FIELDS.map(|name| match field(name) {
            Value::String(text) if text.is_empty() => &Value::Null,
            value => value,
        });
        json!(values).to_string()
    }

    /// The entry that this one speaks of, if it is an attestation.
    pub fn speaks_of(&self) -> Option<&str> {
        self.annotation(REFERENCE_TYPE)?;
        self.annotation(REFERENCE_DIGEST)
    }

    /// Whether it is for no platform that anything runs on, as attestations are.
    pub fn is_for_nobody(&self) -> bool {
        self.annotation(REFERENCE_TYPE).is_some()
            || self.platform().is_some_and(|platform| platform.os == "unknown")
    }

    /// Whether it is marked as one with zstd layers.
    pub fn is_marked(&self) -> bool {
        self.annotation(ZSTD_MARK) == Some("true")
    }

    fn annotation(&self, key: &str) -> Option<&str> {
        self.document.get("annotations")?.get(key)?.as_str()
    }

    /// The entry of another manifest for the same image, with all else that this one says. `zstd`
    /// decides on the mark.
    #[must_use]
    pub fn for_variant(&self, media_type: &str, manifest: &Descriptor, zstd: bool) -> Self {
        let mut variant = self.clone();
        variant.point_at(media_type, manifest);
        // Inlined content and other places to fetch it from are those of the old manifest.
        variant.document.shift_remove("data");
        variant.document.shift_remove("urls");
        if zstd {
            annotate(&mut variant.document, &[(ZSTD_MARK, "true".to_owned())]);
        } else if let Some(annotations) =
            variant.document.get_mut("annotations").and_then(Value::as_object_mut)
        {
            annotations.shift_remove(ZSTD_MARK);
        }
        variant
    }

    fn point_at(&mut self, media_type: &str, manifest: &Descriptor) {
        set(&mut self.document, "mediaType", media_type.into());
        set(&mut self.document, "digest", manifest.digest.as_str().into());
        set(&mut self.document, "size", manifest.size.into());
        self.descriptor = manifest.clone();
    }
}

/// A whole index.
#[derive(Debug, Clone)]
pub struct IndexDocument {
    document: Map<String, Value>,
    /// Its entries, in order.
    pub entries: Vec<Entry>,
    /// The bytes it was read from, and that it was an OCI index.
    source: Option<Bytes>,
}

impl IndexDocument {
    /// Reads an OCI index or a Docker manifest list.
    pub fn parse(media_type: &str, bytes: &Bytes) -> Result<Self, ManifestError> {
        let document: Map<String, Value> = serde_json::from_slice(bytes)
            .map_err(|error| ManifestError::Malformed(error.to_string()))?;
        let entries = match document.get("manifests") {
            Some(Value::Array(entries)) => entries.iter().map(Entry::read).collect(),
            _ => Err(ManifestError::Malformed("the index has no manifests".into())),
        };
        let source = (media_type == OCI_INDEX).then(|| bytes.clone());
        Ok(Self { document, entries: entries?, source })
    }

    /// An index of nothing yet.
    pub fn new() -> Self {
        let fields = [("schemaVersion", json!(2)), ("mediaType", json!(OCI_INDEX))];
        let document = fields.map(|(name, value)| (name.to_owned(), value)).into_iter().collect();
        Self { document, entries: Vec::new(), source: None }
    }

    /// The OCI index with `entries` instead, and with all else that this one says. With the very
    /// entries that an OCI index has already, these are its very bytes.
    pub fn with_entries(
        mut self,
        entries: &[Entry],
        annotations: &[(&str, String)],
    ) -> Result<Bytes, ManifestError> {
        if let Some(source) = self.source.filter(|_| self.entries == entries) {
            return Ok(source);
        }
        set(&mut self.document, "mediaType", OCI_INDEX.into());
        let list = entries.iter().map(|entry| Value::Object(entry.document.clone())).collect();
        set(&mut self.document, "manifests", Value::Array(list));
        annotate(&mut self.document, annotations);
        serde_json::to_vec(&self.document)
            .map(Bytes::from)
            .map_err(|error| ManifestError::Malformed(error.to_string()))
    }
}

impl Default for IndexDocument {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::image::Digest;

    fn digest(of: &str) -> Digest {
        Digest::sha256_of(of.as_bytes())
    }

    fn list() -> Bytes {
        json!({
            "schemaVersion": 2,
            "mediaType": media_type::DOCKER_MANIFEST_LIST,
            "x-unknown": 1.50,
            "manifests": [{
                "mediaType": media_type::DOCKER_MANIFEST, "size": 5, "digest": digest("arm"),
                "platform": {"os": "linux", "architecture": "arm", "variant": "v7", "x": [1]},
                "annotations": {"foreign": "kept"}, "x-unknown": {"b": 1, "a": 2},
            }],
            "annotations": {"z": "1", "a": "2"},
        })
        .to_string()
        .into()
    }

    #[test]
    fn a_docker_list_becomes_an_oci_index_and_the_rest_stays() {
        let index = IndexDocument::parse(media_type::DOCKER_MANIFEST_LIST, &list()).unwrap();
        let [entry] = &index.entries[..] else { panic!("{index:?}") };
        let to = |of, size| Descriptor { digest: digest(of), size };
        let gzip = entry.for_variant(media_type::OCI_MANIFEST, &to("gzip", 6), false);
        let zstd = gzip.for_variant(media_type::OCI_MANIFEST, &to("zstd", 7), true);
        assert_eq!(zstd.for_variant(media_type::OCI_MANIFEST, &to("gzip", 6), false), gzip);
        assert_eq!(gzip.platform_key(), zstd.platform_key());
        let bytes = index.clone().with_entries(&[gzip, zstd], &[("from", "there".into())]).unwrap();
        let expected = |of: &str, size: u64, annotations: Value| {
            json!({
                "mediaType": media_type::OCI_MANIFEST, "size": size, "digest": digest(of),
                "platform": {"os": "linux", "architecture": "arm", "variant": "v7", "x": [1]},
                "annotations": annotations, "x-unknown": {"b": 1, "a": 2},
            })
        };
        let expected = json!({
            "schemaVersion": 2,
            "mediaType": OCI_INDEX,
            "x-unknown": 1.50,
            "manifests": [
                expected("gzip", 6, json!({"foreign": "kept"})),
                expected("zstd", 7, json!({"foreign": "kept", ZSTD_MARK: "true"})),
            ],
            "annotations": {"z": "1", "a": "2", "from": "there"},
        });
        assert_eq!(bytes, expected.to_string());
    }

    #[test]
    fn nothing_new_is_the_same_to_the_byte() {
        let spaced = format!(
            "{{ \"manifests\": [ {{\"digest\": \"{}\", \"size\": 1}} ], \"mediaType\": {OCI_INDEX:?} }}",
            digest("x")
        );
        let bytes = Bytes::from(spaced);
        let index = IndexDocument::parse(OCI_INDEX, &bytes).unwrap();
        let same = index.clone().with_entries(&index.entries, &[("from", "there".into())]);
        assert_eq!(same.unwrap(), bytes);
        assert_ne!(index.with_entries(&[], &[]).unwrap(), bytes);
    }

    #[test]
    fn an_image_alone_has_the_platform_of_its_config() {
        let config = br#"{"os": "linux", "architecture": "arm", "variant": "v7",
            "os.version": "", "history": []}"#;
        let image = Descriptor { digest: digest("image"), size: 3 };
        let entry = Entry::of_image(media_type::OCI_MANIFEST, &image, config);
        let platform = json!({"architecture": "arm", "os": "linux", "variant": "v7"});
        assert_eq!(entry.document["platform"], platform);
        assert_eq!(entry.platform(), Some("linux/arm/v7".parse().unwrap()));
        assert_eq!(entry.descriptor(), &image);
        let nothing = Entry::of_image(media_type::OCI_MANIFEST, &image, b"no JSON");
        assert!(nothing.platform().is_none() && !nothing.is_for_nobody());
    }

    #[test]
    fn malformed_indexes_are_refused() {
        for bad in [r#"{"manifests":{}}"#, r#"{"manifests":[1]}"#, r#"{"manifests":[{}]}"#, "[]"] {
            assert!(IndexDocument::parse(OCI_INDEX, &bad.into()).is_err(), "{bad}");
        }
    }
}
