//! Listing what is attached to an image.

use std::time::Duration;

use super::{Attached, FoundIn, kind};
use crate::{
    image::{
        BlobId, Descriptor, Digest, Index, Manifest,
        media_type::{EMPTY, OCI_CONFIG, OCI_INDEX},
        reference::is_valid_tag,
        referrer::fallback_tag,
    },
    store::{RawManifest, Selector, Store, StoreError},
};

/// A list that takes longer is given up: it is not what the run is for.
const PATIENCE: Duration = Duration::from_secs(120);
/// Most artifacts that are listed. No real image has more.
const MOST: usize = 1000;
/// Manifests that are looked at because their entry in a list does not say what they are.
const LOOKED_AT: usize = 100;
/// What cosign puts behind a digest to make a tag (cosign, `pkg/oci/remote/remote.go`).
const COSIGN: [&str; 3] = [".sig", ".att", ".sbom"];

/// What is attached to an image, if it could be listed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Listing {
    /// What was found, sorted, each digest once; at most 1000.
    pub found: Vec<Attached>,
    /// What could not be looked at, and why; for a warning.
    pub unlisted: Vec<String>,
}

/// Lists what is attached to the manifest `subject`: what refers to it, and what has one of the tags that
/// are made of its digest. Never fails: what cannot be listed is in the answer.
pub async fn list(store: &Store, subject: &Digest) -> Listing {
    let mut listing = Listing::default();
    let search = listing.search(store, subject);
    if tokio::time::timeout(PATIENCE, search).await.is_err() {
        listing.unlisted.push(format!("no answer within {} s", PATIENCE.as_secs()));
    }
    listing
        .found
        .sort_by(|a, b| (a.kind, &a.found_in, &a.digest).cmp(&(b.kind, &b.found_in, &b.digest)));
    listing
}

impl Listing {
    async fn search(&mut self, store: &Store, subject: &Digest) {
        let tag = fallback_tag(subject);
        let is_told = match store.referrers(subject).await {
            Ok(Some(referrers)) => {
                self.incomplete(referrers.others, referrers.cut, "the list of referrers");
                self.add_all(store, referrers.list, &FoundIn::Referrers).await;
                // In a layout both may be there: its list is our own doing.
                matches!(store, Store::Registry(_))
            }
            Ok(None) => false,
            Err(error) => {
                self.failed(&error);
                false
            }
        };
        if !is_told {
            self.index(store, subject, &tag).await;
        }
        for suffix in COSIGN {
            let tag = format!("{}-{}{suffix}", subject.algorithm().as_str(), subject.hex());
            if is_valid_tag(&tag) {
                self.tag(store, subject, &tag).await;
            }
        }
    }

    /// The index that stands in for the referrers API.
    async fn index(&mut self, store: &Store, subject: &Digest, tag: &str) {
        let Some(index) = self.find(store, subject, tag).await else { return };
        match Index::parse_list(&index.bytes) {
            Ok(list) if index.media_type == OCI_INDEX => {
                self.incomplete(list.others(), false, tag);
                let entries = list.entries().cloned().collect();
                self.add_all(store, entries, &FoundIn::Index(tag.to_owned())).await;
            }
            // cosign's tags of that form are images.
            _ => self.unlisted.push(format!("{tag} is not an index")),
        }
    }

    /// The manifest that has one of cosign's tags.
    async fn tag(&mut self, store: &Store, subject: &Digest, tag: &str) {
        let Some(manifest) = self.find(store, subject, tag).await else { return };
        let at = BlobId { digest: manifest.digest.clone(), size: manifest.size() };
        let mut entry = Descriptor::new(&manifest.media_type, at);
        if let Ok(manifest) = manifest.manifest() {
            let layer = manifest.layers.first().map(|layer| layer.media_type.as_str());
            describe(&mut entry, layer.unwrap_or(manifest.kind()), &manifest);
        }
        self.add([entry], &FoundIn::Tag(tag.to_owned()));
    }

    /// What a tag names. Some registries give each manifest a tag made of its own digest.
    async fn find(&mut self, store: &Store, subject: &Digest, tag: &str) -> Option<RawManifest> {
        match store.find_manifest(&Selector::Tag(tag.to_owned())).await {
            Ok(found) => found.filter(|found| found.digest != *subject),
            Err(error) => {
                self.failed(&error);
                None
            }
        }
    }

    /// Adds entries of a list. Those that say nothing of what they are have their manifests looked at:
    /// some registries give the type of the config, which is empty for artifacts.
    async fn add_all(&mut self, store: &Store, mut entries: Vec<Descriptor>, place: &FoundIn) {
        let says_nothing = |entry: &&mut Descriptor| {
            matches!(entry.artifact_type.as_deref(), None | Some(EMPTY | OCI_CONFIG))
        };
        for entry in entries.iter_mut().filter(says_nothing).take(LOOKED_AT) {
            let which = Selector::Digest(entry.blob.digest.clone());
            let read = store.manifest(&which).await;
            let Ok(Ok(manifest)) = read.map(|raw| raw.manifest()) else { continue };
            let layer = manifest.layers.first().map(|layer| layer.media_type.as_str());
            let kind = match manifest.kind() {
                "" | EMPTY | OCI_CONFIG => layer.unwrap_or_default(),
                kind => kind,
            };
            describe(entry, kind, &manifest);
        }
        self.add(entries, place);
    }

    fn add(&mut self, referrers: impl IntoIterator<Item = Descriptor>, place: &FoundIn) {
        for referrer in referrers {
            if self.found.iter().any(|other| other.digest == referrer.blob.digest) {
                continue;
            }
            if self.found.len() == MOST {
                self.unlisted.push(format!("there are more than {MOST} artifacts"));
                return;
            }
            let kind = kind::of(&referrer);
            let media_type = referrer.artifact_type.unwrap_or(referrer.media_type);
            self.found.push(Attached {
                kind,
                digest: referrer.blob.digest,
                media_type: printable(&media_type),
                size: referrer.blob.size,
                found_in: place.clone(),
                carried: false,
                reason: Some(kind::reason(kind).to_owned()),
            });
        }
    }

    fn incomplete(&mut self, others: usize, cut: bool, of: &str) {
        if others > 0 {
            self.unlisted.push(format!("{others} entries of {of} are not descriptors"));
        }
        if cut {
            self.unlisted.push(format!("{of} is too long"));
        }
    }

    fn failed(&mut self, error: &StoreError) {
        self.unlisted.push(error.with_causes());
    }
}

/// Has an entry say what its manifest says of itself.
fn describe(entry: &mut Descriptor, kind: &str, manifest: &Manifest) {
    entry.set_artifact_type(kind);
    for (key, value) in &manifest.annotations {
        // The entry came out of a parser, so it can be edited.
        let _ = entry.set_annotation(key, Some(value));
    }
}

/// Foreign text that may be shown: short, and of printable characters.
pub(super) fn printable(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(160).collect()
}
