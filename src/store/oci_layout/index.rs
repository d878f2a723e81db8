//! The `index.json` of a layout, edited without loss.

use std::path::Path;

use serde_json::{Map, Value, json};

use super::LayoutError;
use crate::{
    image::{Digest, media_type::OCI_INDEX, referrer::Referrer},
    store::{RawManifest, Selector},
};

/// The annotation that is the tag (image-spec, annotations.md).
const REF_NAME: &str = "org.opencontainers.image.ref.name";

/// A parsed `index.json`. Fields that are not known stay as they are.
#[derive(Debug)]
pub(super) struct Index {
    document: Map<String, Value>,
    entries: Vec<Value>,
}

/// What a selection came to.
#[derive(Debug)]
pub(super) struct Chosen {
    pub(super) digest: Digest,
    /// As the entry says; none if the manifest is in no entry.
    pub(super) media_type: Option<String>,
}

impl Index {
    pub(super) fn empty() -> Self {
        let mut document = Map::new();
        document.insert("schemaVersion".to_owned(), json!(2));
        document.insert("mediaType".to_owned(), json!(OCI_INDEX));
        document.insert("manifests".to_owned(), json!([]));
        Self { document, entries: Vec::new() }
    }

    pub(super) fn parse(bytes: &[u8]) -> Result<Self, &'static str> {
        let Ok(Value::Object(mut document)) = serde_json::from_slice(bytes) else {
            return Err("it is no JSON object");
        };
        match document.get_mut("manifests").map(Value::take) {
            Some(Value::Array(entries)) if entries.iter().all(Value::is_object) => {
                Ok(Self { document, entries })
            }
            // Go programs write null for an empty list.
            Some(Value::Null) => Ok(Self { document, entries: Vec::new() }),
            _ => Err("it has no list of manifests"),
        }
    }

    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let mut document = self.document.clone();
        // Replaces in place, which keeps the order of the fields.
        document.insert("manifests".to_owned(), Value::Array(self.entries.clone()));
        Value::Object(document).to_string().into_bytes()
    }

    pub(super) fn select(&self, root: &Path, which: &Selector) -> Result<Chosen, LayoutError> {
        let matching: Vec<&Value> = match which {
            Selector::Digest(digest) => {
                let listed = self.entries.iter().find(|e| digest_of(e) == Some(digest.as_str()));
                // A manifest below an index need not be listed here.
                let media_type = listed.and_then(media_type_of);
                return Ok(Chosen { digest: digest.clone(), media_type });
            }
            Selector::Tag(tag) => {
                self.entries.iter().filter(|e| tag_of(e) == Some(tag.as_str())).collect()
            }
            Selector::Only => self.entries.iter().filter(|e| !is_attached(e)).collect(),
        };
        let root = root.to_owned();
        let Some((first, others)) = matching.split_first() else {
            let wanted = match which {
                Selector::Tag(tag) => tag.clone(),
                _ => "at all".to_owned(),
            };
            return Err(LayoutError::NoImage { root, wanted, listed: self.listed() });
        };
        if others.iter().any(|other| digest_of(other) != digest_of(first)) {
            return Err(LayoutError::Several { root, listed: self.listed() });
        }
        match digest_of(first).unwrap_or_default().parse() {
            Ok(digest) => Ok(Chosen { digest, media_type: media_type_of(first) }),
            Err(error) => Err(LayoutError::Damaged {
                path: root.join("index.json"),
                reason: format!("{error}"),
            }),
        }
    }

    /// Moves `tag` to `manifest`. An entry that had the tag stays, without it, as containers/image
    /// does it (`image/oci/layout/oci_dest.go`).
    pub(super) fn set_tag(&mut self, manifest: &RawManifest, tag: &str) {
        let digest = manifest.digest.as_str();
        for entry in &mut self.entries {
            if tag_of(entry) == Some(tag) && digest_of(entry) != Some(digest) {
                remove_tag(entry);
            }
        }
        let is_target = |e: &&mut Value| {
            digest_of(e) == Some(digest) && tag_of(e).is_none_or(|other| other == tag)
        };
        if let Some(entry) = self.entries.iter_mut().find(is_target) {
            if let Some(Value::Object(annotations)) = annotations_of(entry) {
                annotations.insert(REF_NAME.to_owned(), json!(tag));
            }
            return;
        }
        self.entries.push(json!({
            "mediaType": manifest.media_type,
            "digest": digest,
            "size": manifest.bytes.len(),
            "annotations": { REF_NAME: tag },
        }));
    }

    /// All entries.
    pub(super) fn entries(&self) -> &[Value] {
        &self.entries
    }

    /// Lists a manifest without a tag.
    pub(super) fn add(&mut self, referrer: &Referrer) {
        let digest = referrer.digest.as_str();
        if !self.entries.iter().any(|entry| digest_of(entry) == Some(digest)) {
            self.entries.push(referrer.to_entry());
        }
    }

    /// The images, for a message.
    fn listed(&self) -> String {
        const MOST: usize = 10;
        if self.entries.is_empty() {
            return "none".to_owned();
        }
        let name = |entry: &Value| {
            let digest: String = digest_of(entry).unwrap_or("?").chars().take(80).collect();
            match tag_of(entry) {
                Some(tag) => format!("{} ({digest})", tag.chars().take(130).collect::<String>()),
                None => digest,
            }
        };
        let mut names: Vec<String> = self.entries.iter().take(MOST).map(name).collect();
        if self.entries.len() > MOST {
            names.push(format!("and {} more", self.entries.len() - MOST));
        }
        names.join(", ").chars().filter(|c| !c.is_control()).collect()
    }
}

/// Whether an entry is no image but hangs on one: an artifact without a tag, or one of the tags that
/// cosign and the distribution-spec make of a digest.
fn is_attached(entry: &Value) -> bool {
    let Some(tag) = tag_of(entry) else { return entry.get("artifactType").is_some() };
    let hex = tag.strip_prefix("sha256-").and_then(|rest| rest.get(..64));
    hex.is_some_and(|hex| hex.bytes().all(|b| b.is_ascii_hexdigit()))
        && matches!(&tag["sha256-".len() + 64..], "" | ".sig" | ".att" | ".sbom")
}

fn digest_of(entry: &Value) -> Option<&str> {
    entry.get("digest")?.as_str()
}

fn media_type_of(entry: &Value) -> Option<String> {
    Some(entry.get("mediaType")?.as_str()?.to_owned())
}

fn tag_of(entry: &Value) -> Option<&str> {
    entry.get("annotations")?.get(REF_NAME)?.as_str()
}

/// The annotations of an entry, made if there are none.
fn annotations_of(entry: &mut Value) -> Option<&mut Value> {
    let annotations = entry.as_object_mut()?.entry("annotations").or_insert_with(|| json!({}));
    if annotations.is_null() {
        *annotations = json!({});
    }
    Some(annotations)
}

fn remove_tag(entry: &mut Value) {
    let Some(Value::Object(annotations)) = annotations_of(entry) else { return };
    annotations.shift_remove(REF_NAME);
    if annotations.is_empty()
        && let Some(entry) = entry.as_object_mut()
    {
        entry.shift_remove("annotations");
    }
}
