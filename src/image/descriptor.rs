//! Descriptors (image-spec, descriptor.md): what manifests and indexes say of the content that they
//! name.

use base64::{Engine as _, engine::general_purpose::STANDARD};

use super::{
    Digest, DocumentError,
    annotations::{self, Annotations, REFERENCE_DIGEST, REFERENCE_TYPE, ZSTD_MARK},
    json::Object,
    media_type::{self, LayerType},
    platform::{PLATFORM_FIELDS, Platform},
};

/// The fields that readers know; their names must not appear in another case.
pub(super) const FIELDS: [&str; 8] =
    ["mediaType", "digest", "size", "urls", "annotations", "data", "platform", "artifactType"];

/// Digest and length of a blob or manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlobId {
    /// Digest of the content.
    pub digest: Digest,
    /// Length of the content in bytes, as claimed.
    pub size: u64,
}

/// What a document says of the content that it names.
#[derive(Debug, Clone, PartialEq)]
pub struct Descriptor {
    object: Object,
    /// Media type of the content; may be empty.
    pub media_type: String,
    /// The content.
    pub blob: BlobId,
    /// Annotations of the descriptor, not of the content.
    pub annotations: Annotations,
    /// Other places to fetch the content from.
    pub urls: Vec<String>,
    /// What kind of artifact the content is, if the descriptor says.
    pub artifact_type: Option<String>,
    platform: Option<Platform>,
}

impl Descriptor {
    /// A descriptor that says no more than it has to.
    pub fn new(media_type: &str, blob: BlobId) -> Self {
        let mut descriptor = Self {
            object: Object::default(),
            media_type: String::new(),
            blob: blob.clone(),
            annotations: Annotations::new(),
            urls: Vec::new(),
            artifact_type: None,
            platform: None,
        };
        descriptor.point_at(media_type, blob);
        descriptor
    }

    /// Reads a descriptor.
    pub(super) fn parse(object: Object) -> Result<Self, DocumentError> {
        let digest: Digest = object.text("digest")?.unwrap_or_default().parse()?;
        let size = object.integer("size")?.and_then(|size| u64::try_from(size).ok());
        let size =
            size.ok_or_else(|| DocumentError::malformed("a descriptor has no valid size"))?;
        if let Some(data) = object.text("data")? {
            check_data(&data, &digest, size)?;
        }
        let platform =
            match object.object("platform", &[&PLATFORM_FIELDS[..], &["features"]].concat())? {
                Some(platform) => {
                    platform.texts("features")?;
                    Platform::read(&platform)?
                }
                None => None,
            };
        Ok(Self {
            media_type: object.text("mediaType")?.unwrap_or_default(),
            blob: BlobId { digest, size },
            annotations: object.map("annotations")?.unwrap_or_default(),
            urls: object.texts("urls")?,
            artifact_type: object.filled_text("artifactType")?,
            platform,
            object,
        })
    }

    /// Its JSON.
    pub fn object(&self) -> &Object {
        &self.object
    }

    /// What the content runs on; `unknown` counts as not said.
    pub fn platform(&self) -> Option<&Platform> {
        self.platform.as_ref().filter(|platform| !platform.is_unknown())
    }

    /// An annotation.
    pub fn annotation(&self, key: &str) -> Option<&str> {
        self.annotations.get(key).map(String::as_str)
    }

    /// Whether it names a blob that its registry need not have: a layer that may not be distributed
    /// and has other places to come from.
    pub fn is_foreign(&self) -> bool {
        !self.urls.is_empty()
            && LayerType::parse(&self.media_type).is_some_and(|layer| !layer.distributable)
    }

    /// Whether a registry may refuse to take a manifest because of a layer: it has `urls`, or is of a
    /// type that is not distributed.
    pub fn is_not_distributed(&self) -> bool {
        let layer = LayerType::parse(&self.media_type);
        !self.urls.is_empty() || layer.is_some_and(|layer| !layer.distributable)
    }

    /// Whether a layer claims to have a TOC of zstd:chunked.
    pub fn is_chunked(&self) -> bool {
        annotations::is_chunked(&self.annotations)
    }

    /// What an entry of an index is, according to its descriptor.
    pub fn entry_kind(&self) -> EntryKind<'_> {
        let is_unknown = self.platform.as_ref().is_some_and(Platform::is_unknown);
        if self.annotations.contains_key(REFERENCE_TYPE) || is_unknown {
            return EntryKind::Attestation { of: self.annotation(REFERENCE_DIGEST) };
        }
        match self.media_type.as_str() {
            media_type::OCI_MANIFEST | media_type::DOCKER_MANIFEST => EntryKind::Manifest,
            media_type::OCI_INDEX | media_type::DOCKER_MANIFEST_LIST => EntryKind::Index,
            _ => EntryKind::Unknown,
        }
    }

    /// Whether an entry of an index is marked as one with zstd layers.
    pub fn is_marked(&self) -> bool {
        self.annotation(ZSTD_MARK) == Some("true")
    }

    /// Sets or removes an annotation.
    pub fn set_annotation(&mut self, key: &str, value: Option<&str>) -> Result<(), DocumentError> {
        self.object.edit("annotations", |object| match value {
            Some(value) => object.set(key, &value),
            None => object.remove(key),
        })?;
        match value {
            Some(value) => self.annotations.insert(key.to_owned(), value.to_owned()),
            None => self.annotations.remove(key),
        };
        Ok(())
    }

    /// Removes the annotations that speak of the bytes of the content, and returns their keys.
    pub fn forget_bytes(&mut self) -> Result<Vec<String>, DocumentError> {
        let keys = self.annotations.keys().filter(|key| annotations::is_of_the_bytes(key));
        let keys: Vec<String> = keys.cloned().collect();
        self.object.edit("annotations", |object| {
            object.retain(|key| !annotations::is_of_the_bytes(key));
        })?;
        self.annotations.retain(|key, _| !annotations::is_of_the_bytes(key));
        Ok(keys)
    }

    /// Makes it name other content. Content that is inlined, and other places to fetch it from, are
    /// those of the old one.
    pub fn point_at(&mut self, media_type: &str, blob: BlobId) {
        if blob != self.blob {
            self.object.remove("data");
            self.object.remove("urls");
            self.urls.clear();
        }
        self.object.set("mediaType", &media_type);
        self.object.set("digest", &blob.digest);
        self.object.set("size", &blob.size);
        media_type.clone_into(&mut self.media_type);
        self.blob = blob;
    }

    /// Sets the platform to what the image itself says.
    pub fn set_platform(&mut self, object: Option<&Object>) -> Result<(), DocumentError> {
        match object {
            Some(object) => self.object.set("platform", object),
            None => self.object.remove("platform"),
        }
        self.platform = object.map(Platform::read).transpose()?.flatten();
        Ok(())
    }

    /// Sets what kind of artifact the content is.
    pub fn set_artifact_type(&mut self, artifact_type: &str) {
        self.object.set("artifactType", &artifact_type);
        self.artifact_type = Some(artifact_type.to_owned()).filter(|kind| !kind.is_empty());
    }
}

/// What an entry of an index is, according to its descriptor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EntryKind<'a> {
    /// A manifest: of an image, or of an artifact.
    Manifest,
    /// Not for any platform: it says something, perhaps of the entry with this digest.
    Attestation {
        /// As annotated.
        of: Option<&'a str>,
    },
    /// Another index.
    Index,
    /// Something of a media type that is not known.
    Unknown,
}

/// Content that is inlined has to be the content, or readers that use it see something else.
fn check_data(data: &str, digest: &Digest, size: u64) -> Result<(), DocumentError> {
    let is_it = STANDARD.decode(data).is_ok_and(|content| {
        let mut hasher = digest.hasher();
        hasher.update(&content);
        content.len() as u64 == size && hasher.finish() == *digest
    });
    if is_it {
        return Ok(());
    }
    Err(DocumentError::malformed(format!(
        "the data of the descriptor of {digest} is other content"
    )))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::{Value, json};

    use super::*;

    fn read(fields: &Value) -> Result<Descriptor, DocumentError> {
        let object = Object::document(fields.to_string().as_bytes(), &FIELDS)?;
        Descriptor::parse(object)
    }

    fn of(content: &[u8], more: &Value) -> Value {
        let mut fields = json!({"digest": Digest::sha256_of(content), "size": content.len()});
        for (name, value) in more.as_object().unwrap() {
            fields[name] = value.clone();
        }
        fields
    }

    #[test]
    fn what_is_refused() {
        for more in [
            json!({"size": -1}),
            json!({"size": 1.5}),
            json!({"size": null}),
            json!({"size": 1_u64 << 63}),
            json!({"digest": "sha256:00"}),
            json!({"digest": null}),
            json!({"urls": "https://a"}),
            json!({"annotations": {"a": 1}}),
            json!({"platform": "linux"}),
            json!({"platform": {"os": 1}}),
            json!({"platform": {"features": {}}}),
            json!({"platform": {"OS": "linux"}}),
            json!({"Size": 3}),
            json!({"data": "%"}),
            json!({"data": "b3RoZXI="}),
        ] {
            assert!(read(&of(b"abc", &more)).is_err(), "{more}");
        }
        let data = STANDARD.encode(b"abc");
        for more in [
            json!({}),
            json!({"urls": null, "annotations": null, "platform": null, "data": null}),
            json!({"data": data, "x": {"size": 1, "Size": 2}}),
        ] {
            assert!(read(&of(b"abc", &more)).is_ok(), "{more}");
        }
    }

    #[test]
    fn what_a_registry_need_not_have() {
        let foreign = |media_type: &str, urls: Value| {
            let descriptor = read(&of(b"abc", &json!({"mediaType": media_type, "urls": urls})));
            descriptor.unwrap().is_foreign()
        };
        let tar = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip";
        assert!(foreign(tar, json!(["https://a"])));
        assert!(!foreign(tar, json!([])));
        assert!(!foreign(media_type::OCI_LAYER_GZIP, json!(["https://a"])));
    }

    #[test]
    fn other_content_takes_nothing_along_that_speaks_of_the_old() {
        let more = json!({
            "annotations": {annotations::TOC_DIGEST: "x", "com.amazon.soci.index-digest": "y", "k": "v"},
            "data": STANDARD.encode(b"abc"), "urls": ["https://a"], "x": 1.50,
        });
        let mut descriptor = read(&of(b"abc", &more)).unwrap();
        assert_eq!(descriptor.forget_bytes().unwrap().len(), 2);
        let same = descriptor.blob.clone();
        descriptor.point_at("b/c", same);
        assert!(descriptor.object().has("data") && !descriptor.urls.is_empty());
        descriptor.point_at("b/c", BlobId { digest: Digest::sha256_of(b"new"), size: 3 });
        let written = descriptor.object().clone();
        assert_eq!(Descriptor::parse(written).unwrap(), descriptor);
        assert!(!descriptor.object().has("data") && descriptor.urls.is_empty());
        assert_eq!(descriptor.annotations.len(), 1);
        assert!(descriptor.object().has("x"));

        let mut longer = read(&of(b"abc", &more)).unwrap();
        let digest = longer.blob.digest.clone();
        longer.point_at("b/c", BlobId { digest, size: 4 });
        assert!(!longer.object().has("data"));
    }
}
