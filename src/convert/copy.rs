//! Manifests that stay what they are: brought to the destination with all that they name.

use std::io;

use super::{ConvertError, Job};
use crate::{
    image::{
        Digest,
        manifest::{Descriptor, blobs},
    },
    store::{BlobReader, CopyError, RawManifest, SpoolWriter, Store},
};

/// Brings the blobs of a manifest to the destination, and then the manifest. What is there already
/// is not sent; what is in another repository of the destination's registry is mounted.
pub(super) async fn copy(
    job: &Job,
    source: &Store,
    destination: &Store,
    manifest: &RawManifest,
) -> Result<(), ConvertError> {
    let failed = |error| ConvertError::Destination { reference: job.destination.clone(), error };
    let blobs = blobs(&manifest.bytes)
        .map_err(|error| ConvertError::Unfit { reference: job.source.clone(), error })?;
    for blob in &blobs {
        if destination.has_blob(&blob.digest, blob.size).await.map_err(failed)?
            || destination.mount(&blob.digest, &job.source).await
        {
            continue;
        }
        let reader = source
            .blob(&blob.digest, blob.size)
            .await
            .map_err(|error| ConvertError::Source { reference: job.source.clone(), error })?;
        let no_room = |source| ConvertError::no_room(destination, source);
        let (writer, spool) = destination.spool().map_err(no_room)?;
        let upload = async { destination.put_spool(spool, |_| {}).await.map_err(failed) };
        let download = async {
            let copied = download(job, blob, reader, writer).await?;
            copied.map_err(no_room)
        };
        tokio::try_join!(download, upload)?;
    }
    destination.put_manifest(manifest, None).await.map_err(failed)
}

/// Whether the destination has all that a manifest names.
pub(super) async fn missing(
    job: &Job,
    destination: &Store,
    manifest: &RawManifest,
) -> Result<Option<Digest>, ConvertError> {
    let blobs = blobs(&manifest.bytes)
        .map_err(|error| ConvertError::Unfit { reference: job.source.clone(), error })?;
    for Descriptor { digest, size } in blobs {
        let has = destination.has_blob(&digest, size).await;
        let failed =
            |error| ConvertError::Destination { reference: job.destination.clone(), error };
        if !has.map_err(failed)? {
            return Ok(Some(digest));
        }
    }
    Ok(None)
}

/// The inner error is that of the spool.
async fn download(
    job: &Job,
    blob: &Descriptor,
    reader: BlobReader,
    mut writer: SpoolWriter,
) -> Result<io::Result<()>, ConvertError> {
    let work = move || {
        let copied = reader.copy_to(&mut writer);
        (writer, copied)
    };
    let lost = |_| ConvertError::Internal("a thread that copied a blob was lost".into());
    let (writer, copied) = tokio::task::spawn_blocking(work).await.map_err(lost)?;
    match copied {
        Ok(()) => {
            writer.finish(blob.digest.clone());
            Ok(Ok(()))
        }
        Err(CopyError::Read(error)) => Err(ConvertError::Copy {
            reference: job.source.clone(),
            digest: blob.digest.clone(),
            error,
        }),
        Err(CopyError::Write(error)) => Ok(Err(error)),
    }
}
