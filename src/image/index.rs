//! An index (image-spec, image-index.md) as a document: its entries are read, edited as JSON, and
//! put in another order. The `index.json` of a layout and lists of referrers are indexes too.

use std::collections::HashSet;

use serde::Serialize;

use super::{
    Digest, DocumentError,
    annotations::{self, Annotations},
    descriptor::{self, Descriptor, EntryKind},
    document,
    json::Object,
    media_type::OCI_INDEX,
    platform::Platform,
};

/// An index.
#[derive(Debug, Clone)]
pub struct Index {
    object: Object,
    entries: Vec<IndexEntry>,
    /// What it says of itself.
    pub annotations: Annotations,
}

#[derive(Debug, Clone)]
enum IndexEntry {
    Descriptor(Box<Descriptor>),
    /// What is not one, as JSON.
    Other(Box<serde_json::value::RawValue>),
}

impl Index {
    /// An OCI index of nothing yet.
    pub fn new() -> Self {
        let mut object = Object::default();
        object.set("schemaVersion", &2);
        object.set("mediaType", &OCI_INDEX);
        object.set("manifests", &[(); 0]);
        Self { object, entries: Vec::new(), annotations: Annotations::new() }
    }

    /// Reads an OCI index or a Docker manifest list. A list that is `null` is an empty one.
    pub fn parse(bytes: &[u8]) -> Result<Self, DocumentError> {
        let read = |text: &str, number: usize| {
            descriptor_in(text)
                .map(|entry| IndexEntry::Descriptor(Box::new(entry)))
                .map_err(|error| error.within(format!("its entry {number}")))
        };
        Self::read(bytes, read)
    }

    /// Reads an index of which the entries that are descriptors are of use, whatever the others are:
    /// these are kept.
    pub fn parse_list(bytes: &[u8]) -> Result<Self, DocumentError> {
        let read = |text: &str, _| match descriptor_in(text) {
            Ok(entry) => Ok(IndexEntry::Descriptor(Box::new(entry))),
            Err(_) => serde_json::from_str(text)
                .map(IndexEntry::Other)
                .map_err(|error| DocumentError::malformed(error.to_string())),
        };
        Self::read(bytes, read)
    }

    fn read(
        bytes: &[u8],
        read: impl Fn(&str, usize) -> Result<IndexEntry, DocumentError>,
    ) -> Result<Self, DocumentError> {
        let object = Object::document(bytes, &document::FIELDS)?;
        object.integer("schemaVersion")?;
        for name in ["mediaType", "artifactType"] {
            object.text(name)?;
        }
        if let Some(subject) = object.object("subject", &descriptor::FIELDS)? {
            Descriptor::parse(subject).map_err(|error| error.within("its subject"))?;
        }
        if !object.has("manifests") {
            return Err(DocumentError::malformed("it has no list of manifests"));
        }
        let texts = object.list("manifests")?.unwrap_or_default();
        let entries = texts.into_iter().enumerate().map(|(index, text)| read(text, index + 1));
        let entries = entries.collect::<Result<_, _>>()?;
        Ok(Self { entries, annotations: object.map("annotations")?.unwrap_or_default(), object })
    }

    /// The entries that are descriptors, in order.
    pub fn entries(&self) -> impl Iterator<Item = &Descriptor> {
        self.entries.iter().filter_map(|entry| match entry {
            IndexEntry::Descriptor(entry) => Some(&**entry),
            IndexEntry::Other(_) => None,
        })
    }

    /// The same, to be changed.
    pub fn entries_mut(&mut self) -> impl Iterator<Item = &mut Descriptor> {
        self.entries.iter_mut().filter_map(|entry| match entry {
            IndexEntry::Descriptor(entry) => Some(&mut **entry),
            IndexEntry::Other(_) => None,
        })
    }

    /// How many entries are not descriptors.
    pub fn others(&self) -> usize {
        self.entries.iter().filter(|entry| matches!(entry, IndexEntry::Other(_))).count()
    }

    /// Adds an entry at the end, unless there is one for the same manifest. Returns whether it was
    /// added.
    pub fn add(&mut self, entry: Descriptor) -> bool {
        if self.entries().any(|other| other.blob.digest == entry.blob.digest) {
            return false;
        }
        self.push(entry);
        true
    }

    /// Adds an entry at the end.
    pub fn push(&mut self, entry: Descriptor) {
        self.entries.push(IndexEntry::Descriptor(Box::new(entry)));
    }

    /// The platforms that there are manifests for, in order, each once.
    pub fn platforms(&self) -> Vec<Platform> {
        let mut known = HashSet::new();
        let manifests = self.entries().filter(|entry| entry.entry_kind() == EntryKind::Manifest);
        let named = manifests.filter_map(Descriptor::platform);
        named.filter(|platform| known.insert(platform.key())).cloned().collect()
    }

    /// The entry that names this content.
    pub fn find(&self, digest: &Digest) -> Option<&Descriptor> {
        self.entries().find(|entry| entry.blob.digest == *digest)
    }

    /// The JSON text.
    pub fn to_json(&self) -> String {
        let mut object = self.object.clone();
        object.set("manifests", &self.entries);
        object.to_json()
    }

    /// The OCI index with `entries` instead and with all else that this one says, and what of that
    /// had to go: annotations that speak of bytes.
    pub fn with_entries(
        &self,
        entries: Vec<Descriptor>,
        annotations: &[(&str, String)],
    ) -> Result<(Vec<u8>, Vec<String>), DocumentError> {
        let stale = self.annotations.keys().filter(|key| annotations::is_of_the_bytes(key));
        let stale: Vec<String> = stale.cloned().collect();
        let mut object = self.object.clone();
        object.set("mediaType", &OCI_INDEX);
        object.edit("annotations", |object| {
            object.retain(|key| !annotations::is_of_the_bytes(key));
            for (key, value) in annotations {
                object.set(key, value);
            }
        })?;
        let entries = entries.into_iter().map(|entry| IndexEntry::Descriptor(Box::new(entry)));
        let index = Self { object, entries: entries.collect(), annotations: Annotations::new() };
        Ok((index.to_json().into_bytes(), stale))
    }
}

impl Default for Index {
    fn default() -> Self {
        Self::new()
    }
}

impl Serialize for IndexEntry {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Descriptor(entry) => entry.object().serialize(serializer),
            Self::Other(raw) => raw.serialize(serializer),
        }
    }
}

fn descriptor_in(text: &str) -> Result<Descriptor, DocumentError> {
    Descriptor::parse(Object::element("manifests", text, &descriptor::FIELDS)?)
}

#[cfg(test)]
mod tests;
