//! The `index.json` of a layout, edited without loss.

use std::path::Path;

use crate::{
    image::{BlobId, Descriptor, Digest, DocumentError, Index, annotations::REF_NAME},
    store::{
        access::Selector,
        error::LayoutError,
        foreign::{foreign, one_line},
        manifest::RawManifest,
    },
};

/// A parsed `index.json`. Unknown fields stay as they are.
#[derive(Debug)]
pub(super) struct LayoutIndex(Index);

/// The manifest that a selection found.
#[derive(Debug)]
pub(super) struct Chosen {
    pub(super) digest: Digest,
    /// From its entry, if it has one.
    pub(super) media_type: Option<String>,
}

impl LayoutIndex {
    pub(super) fn empty() -> Self {
        Self(Index::new())
    }

    pub(super) fn parse(bytes: &[u8]) -> Result<Self, DocumentError> {
        Index::parse(bytes).map(Self)
    }

    pub(super) fn to_bytes(&self) -> Vec<u8> {
        self.0.to_json().into_bytes()
    }

    pub(super) fn select(&self, root: &Path, which: &Selector) -> Result<Chosen, LayoutError> {
        let matching: Vec<&Descriptor> = match which {
            Selector::Digest(digest) => {
                // A manifest below an index need not be listed here.
                let media_type = self.0.find(digest).and_then(media_type_of);
                return Ok(Chosen { digest: digest.clone(), media_type });
            }
            Selector::Tag(tag) => {
                self.entries().filter(|entry| tag_of(entry) == Some(tag.as_str())).collect()
            }
            Selector::Only => self.images().collect(),
        };
        let root = root.to_owned();
        let Some((first, others)) = matching.split_first() else {
            let wanted = match which {
                Selector::Tag(tag) => format!(" {tag}"),
                _ => String::new(),
            };
            return Err(LayoutError::NoImage { root, wanted, listed: self.listed() });
        };
        if others.iter().any(|other| other.blob.digest != first.blob.digest) {
            let by = "tag or digest, as :TAG or @DIGEST after the path";
            return Err(LayoutError::Several { root, by, listed: self.listed() });
        }
        Ok(Chosen { digest: first.blob.digest.clone(), media_type: media_type_of(first) })
    }

    /// Moves `tag` to `manifest`. An entry that had the tag stays, without it, as containers/image
    /// does it (`image/oci/layout/oci_dest.go`).
    pub(super) fn set_tag(
        &mut self,
        manifest: &RawManifest,
        tag: &str,
    ) -> Result<(), DocumentError> {
        let digest = &manifest.digest;
        let has_lost_it = |e: &&mut Descriptor| tag_of(e) == Some(tag) && e.blob.digest != *digest;
        for entry in self.0.entries_mut().filter(has_lost_it) {
            entry.set_annotation(REF_NAME, None)?;
        }
        let is_target = |e: &&mut Descriptor| {
            e.blob.digest == *digest && tag_of(e).is_none_or(|other| other == tag)
        };
        if let Some(entry) = self.0.entries_mut().find(is_target) {
            return entry.set_annotation(REF_NAME, Some(tag));
        }
        let blob = BlobId { digest: digest.clone(), size: manifest.size() };
        let mut entry = Descriptor::new(&manifest.media_type, blob);
        entry.set_annotation(REF_NAME, Some(tag))?;
        self.0.push(entry);
        Ok(())
    }

    /// Those of which one is meant if none is named.
    pub(super) fn images(&self) -> impl Iterator<Item = &Descriptor> {
        self.entries().filter(|entry| !is_attached(entry))
    }

    pub(super) fn entries(&self) -> impl Iterator<Item = &Descriptor> {
        self.0.entries()
    }

    /// Lists a manifest without a tag.
    pub(super) fn add(&mut self, entry: &Descriptor) {
        self.0.add(entry.clone());
    }

    /// The images, for a message.
    fn listed(&self) -> String {
        let name = |entry: &Descriptor| match tag_of(entry) {
            Some(tag) => {
                let tag: String = tag.chars().take(130).collect();
                format!("{tag} ({})", entry.blob.digest)
            }
            None => entry.blob.digest.to_string(),
        };
        listed(self.entries().map(name))
    }
}

/// The names of images for a message: not too many, and only what can be printed.
pub(super) fn listed(mut names: impl Iterator<Item = String>) -> String {
    const MOST: usize = 10;
    let mut shown: Vec<String> = names.by_ref().take(MOST).collect();
    if shown.is_empty() {
        return String::new();
    }
    match names.count() {
        0 => {}
        more => shown.push(format!("and {more} more")),
    }
    one_line(&foreign(&shown.join(", "))).into_owned()
}

/// Whether an entry is not an image but attached to one: an artifact without a tag, or one of the
/// tags that cosign and the distribution-spec derive from a digest.
fn is_attached(entry: &Descriptor) -> bool {
    let Some(tag) = tag_of(entry) else { return entry.artifact_type.is_some() };
    let hex = tag.strip_prefix("sha256-").and_then(|rest| rest.get(..64));
    hex.is_some_and(|hex| hex.bytes().all(|b| b.is_ascii_hexdigit()))
        && matches!(&tag["sha256-".len() + 64..], "" | ".sig" | ".att" | ".sbom")
}

fn media_type_of(entry: &Descriptor) -> Option<String> {
    Some(entry.media_type.clone()).filter(|media_type| !media_type.is_empty())
}

fn tag_of(entry: &Descriptor) -> Option<&str> {
    entry.annotation(REF_NAME)
}
