//! What refers to a manifest in a layout. There is no list of it, so all that `index.json` names
//! is looked at (image-spec, image-layout.md; oras keeps what it attaches there too, without a
//! tag).

use std::io::Read as _;

use super::OciLayout;
use crate::{
    image::{
        Digest,
        artifact::Artifact,
        media_type::{DOCKER_MANIFEST_LIST, OCI_INDEX},
        referrer::Referrer,
    },
    store::{
        BlobContent, BlobReader, MANIFEST_SIZE_MAX, RawManifest, StoreError,
        referrers::{REFERRERS_MAX, Referrers},
    },
};

impl OciLayout {
    pub(in crate::store) async fn referrers(
        &self,
        subject: &Digest,
    ) -> Result<Referrers, StoreError> {
        let subject = subject.clone();
        self.blocking(move |layout| {
            let index = layout.read_index()?;
            let mut found = Referrers::default();
            for (number, entry) in index.entries().iter().enumerate() {
                if number == REFERRERS_MAX {
                    found.cut = true;
                    break;
                }
                if let Some(referrer) = layout.referrer(Referrer::of(entry), &subject)? {
                    found.take([referrer]);
                }
            }
            Ok(found)
        })
        .await
    }

    /// The entry with what its manifest says, if that refers to `subject`. A manifest that is
    /// missing, damaged or malformed refers to nothing.
    fn referrer(
        &self,
        entry: Option<Referrer>,
        subject: &Digest,
    ) -> Result<Option<Referrer>, StoreError> {
        let Some(mut entry) = entry else { return Ok(None) };
        let is_index = matches!(entry.media_type.as_str(), OCI_INDEX | DOCKER_MANIFEST_LIST);
        if is_index || entry.size > MANIFEST_SIZE_MAX {
            return Ok(None);
        }
        let Some((file, _)) = self.open_blob(&entry.digest)? else { return Ok(None) };
        let mut content = Vec::new();
        let mut reader = BlobReader::from_file(file, &entry.digest, entry.size);
        if reader.read_to_end(&mut content).is_err() {
            return Ok(None);
        }
        let Ok(artifact) = Artifact::parse(&content) else { return Ok(None) };
        if artifact.subject.as_ref() != Some(subject) {
            return Ok(None);
        }
        entry.artifact_type = Some(artifact.artifact_type);
        Ok(Some(entry))
    }

    /// Writes a manifest that refers to another one, and lists it.
    pub(in crate::store) async fn put_referrer(
        &self,
        manifest: &RawManifest,
        referrer: &Referrer,
    ) -> Result<(), StoreError> {
        let (manifest, referrer) = (manifest.clone(), referrer.clone());
        self.blocking(move |layout| {
            let size = manifest.bytes.len() as u64;
            let content = BlobContent::Bytes(manifest.bytes.clone());
            layout.write_blob(&manifest.digest, size, &content, &|| false, &|_| ())?;
            layout.change_index(|index| index.add(&referrer))
        })
        .await
    }
}
