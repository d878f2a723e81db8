//! A layer that is right, on its way to the destination.

use tempfile::NamedTempFile;

use super::FoundLayer;
use crate::{
    convert::{ConvertError, Run},
    store::BlobContent,
};

pub(super) struct Brought {
    /// The destination had it before.
    pub(super) already_there: bool,
    pub(super) mounted: bool,
}

impl FoundLayer {
    /// `None` if it can no longer be read, or the destination does not take it: there is still the
    /// source, whose layer may be much shorter.
    pub(super) async fn bring(
        &self,
        run: &Run<'_>,
        downloaded: Option<NamedTempFile>,
    ) -> Result<Option<Brought>, ConvertError> {
        let (destination, blob) = (&run.destination, &self.blob);
        if self.candidate.is_there() || destination.has_blob(blob).await? {
            return Ok(Some(Brought { already_there: true, mounted: false }));
        }
        destination.check_push().await?;
        if destination.store.mount(&blob.digest, &self.candidate.location()).await {
            return Ok(Some(Brought { already_there: false, mounted: true }));
        }
        self.candidate.is_not_mounted();
        let file = match downloaded {
            Some(file) => file,
            // Before the upload begins, which should not depend on the candidate's pace.
            None => match self.download(run).await {
                Ok(file) => file,
                Err(unfit) => {
                    self.warn(&unfit);
                    return Ok(None);
                }
            },
        };
        let content = BlobContent::File(file.path().to_owned());
        match destination.store.put_blob(&blob.digest, blob.size, content).await {
            Ok(()) => Ok(Some(Brought { already_there: false, mounted: false })),
            Err(error) => {
                let (digest, error) = (&blob.digest, error.with_causes());
                tracing::warn!("cannot upload layer {digest} to reuse it: {error}");
                Ok(None)
            }
        }
    }
}
