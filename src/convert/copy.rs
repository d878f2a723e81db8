//! Manifests that stay what they are: brought to the destination with all that they name.

use std::io;

use super::{ConvertError, ConvertJob};
use crate::{
    image::{BlobId, Descriptor, Digest, EntryKind, Manifest},
    source::Source,
    store::{BlobReader, CopyError, RawManifest, SpoolWriter, Store, StoreError},
};

/// Indexes within indexes are followed this deep.
const DEPTH_MAX: usize = 4;

/// Brings what an entry of an index leads to, and all that it names, to the destination. What is
/// there already is not sent; what is in another repository of the destination's registry is
/// mounted. `Err` inside says why a thing of a type that is not known cannot be had there.
pub(super) async fn copy(
    job: &ConvertJob,
    source: &Source,
    destination: &Store,
    entry: &Descriptor,
    manifest: Option<&RawManifest>,
) -> Result<Result<(), String>, ConvertError> {
    let failed = |error| ConvertError::Destination { reference: job.destination.clone(), error };
    if let Some(raw) = manifest {
        let read = raw.manifest().map_err(|error| source.unfit(raw, error))?;
        blobs(job, source, destination, &read).await?;
        destination.put_manifest(raw, None).await.map_err(failed)?;
        return Ok(Ok(()));
    }
    match entry.entry_kind() {
        EntryKind::Index => {
            match index(job, source, destination, entry.blob.digest.clone()).await {
                Err(ConvertError::Source(error)) if error.is_missing() => {
                    Ok(Err("the source does not have all of it".to_owned()))
                }
                copied => copied,
            }
        }
        EntryKind::Unknown => unknown(job, source, destination, entry).await,
        // Those have been read, or are left out.
        EntryKind::Manifest | EntryKind::Attestation { .. } => {
            Err(ConvertError::Internal("a manifest that stays was not read".into()))
        }
    }
}

/// An index with all that is below it, the deepest first.
async fn index(
    job: &ConvertJob,
    source: &Source,
    destination: &Store,
    digest: Digest,
) -> Result<Result<(), String>, ConvertError> {
    let failed = |error| ConvertError::Destination { reference: job.destination.clone(), error };
    let mut found = vec![(source.manifest(&digest).await?, 1)];
    let mut next = 0;
    while let Some((raw, depth)) = found.get(next).cloned() {
        next += 1;
        if !raw.is_index() {
            continue;
        }
        if depth == DEPTH_MAX {
            return Ok(Err(format!("indexes are nested more than {DEPTH_MAX} deep")));
        }
        for entry in source.index(&raw)?.entries() {
            if entry.entry_kind() == EntryKind::Unknown {
                return Ok(Err(format!("it has an entry of the type {:?}", entry.media_type)));
            }
            let known = found.iter().any(|(raw, _)| raw.digest == entry.blob.digest);
            if !known {
                found.push((source.manifest(&entry.blob.digest).await?, depth + 1));
            }
            if found.len() > crate::source::ENTRIES_MAX {
                return Ok(Err("there is too much below it".to_owned()));
            }
        }
    }
    for (raw, _) in found.iter().rev() {
        if !raw.is_index() {
            let read = raw.manifest().map_err(|error| source.unfit(raw, error))?;
            blobs(job, source, destination, &read).await?;
        }
        destination.put_manifest(raw, None).await.map_err(failed)?;
    }
    Ok(Ok(()))
}

/// Something of a type that is not known: a blob, or something that is kept like a manifest.
async fn unknown(
    job: &ConvertJob,
    source: &Source,
    destination: &Store,
    entry: &Descriptor,
) -> Result<Result<(), String>, ConvertError> {
    let refused = |error: &StoreError| {
        matches!(
            error,
            StoreError::NotFound { .. }
                | StoreError::TooLarge { .. }
                | StoreError::UnexpectedStatus { .. }
        )
    };
    let BlobId { digest, size } = &entry.blob;
    if source.store().has_blob(digest, *size).await.is_ok_and(|has| has) {
        return blob(job, source, destination, &entry.blob).await.map(Ok);
    }
    let put = match source.store().document(&entry.blob, &entry.media_type).await {
        // Where it is already, some registries would not take it again.
        Ok(_) if job.source.is_same_place(&job.destination) => Ok(()),
        Ok(raw) => destination.put_manifest(&raw, None).await,
        Err(error) if refused(&error) => Err(error),
        Err(error) => return Err(source.failed(error).into()),
    };
    match put {
        Ok(()) => Ok(Ok(())),
        Err(error) if refused(&error) => Ok(Err(error.with_causes())),
        Err(error) => Err(source.failed(error).into()),
    }
}

/// Brings the blobs of a manifest to the destination.
async fn blobs(
    job: &ConvertJob,
    source: &Source,
    destination: &Store,
    manifest: &Manifest,
) -> Result<(), ConvertError> {
    for wanted in manifest.needed_blobs() {
        blob(job, source, destination, wanted).await?;
    }
    Ok(())
}

async fn blob(
    job: &ConvertJob,
    source: &Source,
    destination: &Store,
    blob: &BlobId,
) -> Result<(), ConvertError> {
    let failed = |error| ConvertError::Destination { reference: job.destination.clone(), error };
    if destination.has_blob(&blob.digest, blob.size).await.map_err(failed)?
        || destination.mount(&blob.digest, &job.source).await
    {
        return Ok(());
    }
    let reader = source.blob(blob).await?;
    let no_room = |source| ConvertError::no_room(destination, source);
    let (writer, spool) = destination.spool().map_err(no_room)?;
    let upload = async { destination.put_spool(spool).await.map_err(failed) };
    let download = async {
        let copied = download(job, blob, reader, writer).await?;
        copied.map_err(no_room)
    };
    tokio::try_join!(download, upload).map(drop)
}

/// Whether the destination has all that a manifest names.
pub(super) async fn missing(
    job: &ConvertJob,
    destination: &Store,
    manifest: &Manifest,
) -> Result<Option<Digest>, ConvertError> {
    for BlobId { digest, size } in manifest.needed_blobs() {
        let has = destination.has_blob(digest, *size).await;
        let failed =
            |error| ConvertError::Destination { reference: job.destination.clone(), error };
        if !has.map_err(failed)? {
            return Ok(Some(digest.clone()));
        }
    }
    Ok(None)
}

/// The inner error is that of the spool.
async fn download(
    job: &ConvertJob,
    blob: &BlobId,
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
