//! A layer that is right, on its way to the destination.

use super::{FoundLayer, proof::Proof};
use crate::{
    convert::{ConvertError, Run, copy},
    store::BlobContent,
};

pub(super) struct Brought {
    /// The destination had it before.
    pub(super) already_there: bool,
    pub(super) mounted: bool,
}

impl FoundLayer {
    /// `None` if it can no longer be read.
    pub(super) async fn bring(
        &self,
        run: &Run<'_>,
        proof: &Proof,
    ) -> Result<Option<Brought>, ConvertError> {
        let (destination, blob) = (&run.destination, &self.blob);
        if self.candidate.is_there() || destination.has_blob(blob).await? {
            return Ok(Some(Brought { already_there: true, mounted: false }));
        }
        destination.check_push().await?;
        if destination.store.mount(&blob.digest, &self.candidate.location()).await {
            return Ok(Some(Brought { already_there: false, mounted: true }));
        }
        if let Some(file) = &proof.blob {
            let content = BlobContent::File(file.path().to_owned());
            let put = destination.store.put_blob(&blob.digest, blob.size, content).await;
            put.map_err(|error| destination.failed(error))?;
        } else {
            let store = self.candidate.store(run);
            let Ok(reader) = store.blob(&blob.digest, blob.size).await else { return Ok(None) };
            match copy::transfer(run, &self.candidate.reference, blob, reader).await {
                // The candidate is not what it seemed; there is still the source.
                Err(ConvertError::Copy { .. }) => return Ok(None),
                outcome => outcome?,
            }
        }
        Ok(Some(Brought { already_there: false, mounted: false }))
    }
}
