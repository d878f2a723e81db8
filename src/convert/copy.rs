//! Manifests that stay what they are: brought to the destination with all that they name.

use std::io::{self, Read as _, Write as _};

use super::{ConvertError, Job};
use crate::{
    image::{
        Digest,
        manifest::{Descriptor, blobs},
    },
    store::{BlobReader, RawManifest, Spool, SpoolWriter, Store},
};

/// Bytes that are handed on at once.
const PIECE: usize = 256 << 10;

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
        let (writer, spool) = Spool::new().map_err(|source| ConvertError::Spool {
            dir: std::env::temp_dir().display().to_string(),
            source,
        })?;
        let upload = async { destination.put_spool(spool, |_| {}).await.map_err(failed) };
        tokio::try_join!(download(job, blob, reader, writer), upload)?;
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

async fn download(
    job: &Job,
    blob: &Descriptor,
    mut reader: BlobReader,
    mut writer: SpoolWriter,
) -> Result<(), ConvertError> {
    /// Which end failed.
    enum End {
        Read(io::Error),
        Write(io::Error),
    }
    let work = move || {
        let mut piece = vec![0; PIECE];
        let result = loop {
            match reader.read(&mut piece) {
                // The digest has been checked.
                Ok(0) => break Ok(()),
                Ok(len) => {
                    if let Err(error) = writer.write_all(&piece[..len]) {
                        break Err(End::Write(error));
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => break Err(End::Read(error)),
            }
        };
        (writer, result)
    };
    let lost = |_| ConvertError::Internal("a thread that copied a blob was lost".into());
    let (writer, result) = tokio::task::spawn_blocking(work).await.map_err(lost)?;
    match result {
        Ok(()) => {
            writer.finish(blob.digest.clone());
            Ok(())
        }
        Err(End::Read(error)) => Err(ConvertError::Copy {
            reference: job.source.clone(),
            digest: blob.digest.clone(),
            error,
        }),
        Err(End::Write(source)) => {
            Err(ConvertError::Spool { dir: std::env::temp_dir().display().to_string(), source })
        }
    }
}
