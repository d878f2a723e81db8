//! Finding out what hangs on an image.

use std::time::Duration;

use super::{Attached, Place, kind};
use crate::{
    image::{
        BlobId, Descriptor, Digest, Index, media_type::OCI_INDEX, reference::is_valid_tag,
        referrer::fallback_tag,
    },
    store::{RawManifest, Selector, Store, StoreError},
};

/// A list that takes longer is given up: it is not what the run is for.
const PATIENCE: Duration = Duration::from_secs(120);
/// Things that are told. An image that has more has them from somebody who wants to annoy.
const MOST: usize = 1000;
/// What cosign puts behind a digest to make a tag (cosign, `pkg/oci/remote/remote.go`).
const COSIGN: [&str; 3] = [".sig", ".att", ".sbom"];

/// What hangs on an image, as far as it could be found out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Listing {
    /// What was found, sorted, each digest once; at most 1000.
    pub found: Vec<Attached>,
    /// What could not be looked at, and why; for a warning.
    pub unlisted: Vec<String>,
}

/// Lists what hangs on the manifest `subject`: what refers to it, and what has one of the tags that
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
                self.incomplete(referrers.others, referrers.cut, "what refers to it");
                self.add(referrers.list, &Place::Referrers);
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
            self.index(store, &tag).await;
        }
        for suffix in COSIGN {
            let tag = format!("{}-{}{suffix}", subject.algorithm().as_str(), subject.hex());
            if is_valid_tag(&tag) {
                self.tag(store, &tag).await;
            }
        }
    }

    /// The index that stands in for the referrers API.
    async fn index(&mut self, store: &Store, tag: &str) {
        let Some(index) = self.find(store, tag).await else { return };
        match Index::parse_list(&index.bytes) {
            Ok(list) if index.media_type == OCI_INDEX => {
                self.incomplete(list.others(), false, tag);
                self.add(list.entries().cloned(), &Place::Index(tag.to_owned()));
            }
            // cosign's tags of that form are images.
            _ => self.unlisted.push(format!("{tag} is no index")),
        }
    }

    /// The manifest that has one of cosign's tags.
    async fn tag(&mut self, store: &Store, tag: &str) {
        let Some(manifest) = self.find(store, tag).await else { return };
        let at = BlobId { digest: manifest.digest.clone(), size: manifest.size() };
        let mut entry = Descriptor::new(&manifest.media_type, at);
        if let Ok(manifest) = manifest.manifest() {
            let layer = manifest.layers.first().map(|layer| layer.media_type.as_str());
            entry.set_artifact_type(layer.unwrap_or(manifest.kind()));
        }
        self.add([entry], &Place::Tag(tag.to_owned()));
    }

    async fn find(&mut self, store: &Store, tag: &str) -> Option<RawManifest> {
        match store.find_manifest(&Selector::Tag(tag.to_owned())).await {
            Ok(found) => found,
            Err(error) => {
                self.failed(&error);
                None
            }
        }
    }

    fn add(&mut self, referrers: impl IntoIterator<Item = Descriptor>, place: &Place) {
        for referrer in referrers {
            if self.found.iter().any(|other| other.digest == referrer.blob.digest) {
                continue;
            }
            if self.found.len() == MOST {
                self.unlisted.push(format!("there are more than {MOST}"));
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
            self.unlisted.push(format!("{others} entries of {of} that are no descriptors"));
        }
        if cut {
            self.unlisted.push(format!("the rest of {of}, for the list is too long"));
        }
    }

    fn failed(&mut self, error: &StoreError) {
        self.unlisted.push(error.with_causes());
    }
}

/// Foreign text that may be shown: short, and of printable characters.
pub(super) fn printable(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(160).collect()
}
