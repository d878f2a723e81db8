//! The referrers of a manifest in a layout. There is no list of them, so every manifest that
//! `index.json` lists is read (image-spec, image-layout.md; oras lists what it attaches there too,
//! without a tag).

use std::io::Read as _;

use super::OciLayout;
use crate::{
    image::{Descriptor, Digest, EntryKind, Manifest},
    store::{
        blob::{BlobContent, BlobReader},
        error::StoreError,
        manifest::{MANIFEST_SIZE_MAX, RawManifest},
        referrers::{REFERRERS_MAX, Referrers},
    },
};

impl OciLayout {
    pub(crate) async fn referrers(&self, subject: &Digest) -> Result<Referrers, StoreError> {
        let subject = subject.clone();
        self.blocking(move |layout| {
            let index = layout.read_index()?;
            let mut found = Referrers::default();
            for (number, entry) in index.entries().enumerate() {
                if number == REFERRERS_MAX {
                    found.cut = true;
                    break;
                }
                if let Some(referrer) = layout.referrer(entry, &subject)? {
                    found.take([referrer]);
                }
            }
            Ok(found)
        })
        .await
    }

    /// The entry, completed from its manifest, if that refers to `subject`. A manifest that is
    /// missing, damaged or malformed refers to nothing.
    fn referrer(
        &self,
        entry: &Descriptor,
        subject: &Digest,
    ) -> Result<Option<Descriptor>, StoreError> {
        if entry.entry_kind() == EntryKind::Index || entry.blob.size > MANIFEST_SIZE_MAX {
            return Ok(None);
        }
        let Some(blob) = self.open_blob(&entry.blob.digest)? else { return Ok(None) };
        let mut content = Vec::new();
        let mut reader = BlobReader::from_extent(blob, &entry.blob.digest, entry.blob.size);
        if reader.read_to_end(&mut content).is_err() {
            return Ok(None);
        }
        let Ok(manifest) = Manifest::parse(&content) else { return Ok(None) };
        if manifest.subject.as_ref().is_none_or(|found| found.blob.digest != *subject) {
            return Ok(None);
        }
        let mut entry = entry.clone();
        entry.set_artifact_type(manifest.kind());
        Ok(Some(entry))
    }

    /// Writes a manifest that refers to another one, and lists it.
    pub(crate) async fn put_referrer(
        &self,
        manifest: &RawManifest,
        referrer: &Descriptor,
    ) -> Result<(), StoreError> {
        let (manifest, referrer) = (manifest.clone(), referrer.clone());
        self.blocking(move |layout| {
            let size = manifest.bytes.len() as u64;
            let content = BlobContent::Bytes(manifest.bytes.clone());
            layout.write_blob(&manifest.digest, size, &content, &|| false)?;
            layout.change_index(|index| {
                index.add(&referrer);
                Ok(())
            })
        })
        .await
    }
}
