//! Manifests that stay as they are: copied to the destination with everything they name.

use super::{ConvertError, Run};
use crate::{
    image::{BlobId, Descriptor, Digest, EntryKind, Manifest},
    source::ENTRIES_MAX,
    store::{BlobReader, CopyError, RawManifest, SpoolWriter, StoreError},
};

/// Indexes within indexes are followed this deep.
const DEPTH_MAX: usize = 4;

/// Copies what an entry of an index leads to, with everything it names. Nothing is sent that the
/// destination has; what another repository of its registry has is mounted. The inner error says
/// why something of an unknown type cannot be copied.
pub(super) async fn copy(
    run: &Run<'_>,
    entry: &Descriptor,
    manifest: Option<&RawManifest>,
) -> Result<Result<(), String>, ConvertError> {
    if let Some(raw) = manifest {
        return image(run, raw).await.map(Ok);
    }
    match entry.entry_kind() {
        EntryKind::Index => match index(run, entry.blob.digest.clone()).await {
            Err(ConvertError::Source(error)) if error.is_missing() => {
                Ok(Err("the source lacks part of it".to_owned()))
            }
            copied => copied,
        },
        EntryKind::Unknown => unknown(run, entry).await,
        // Those have been read, or are left out.
        EntryKind::Manifest | EntryKind::Attestation { .. } => {
            Err(ConvertError::Internal("a manifest that stays was not read".into()))
        }
    }
}

async fn image(run: &Run<'_>, raw: &RawManifest) -> Result<(), ConvertError> {
    let manifest = raw.manifest().map_err(|error| run.source.unfit(raw, error))?;
    blobs(run, &manifest).await?;
    run.destination.put_manifest(raw).await
}

/// An index with everything below it, the deepest first.
async fn index(run: &Run<'_>, digest: Digest) -> Result<Result<(), String>, ConvertError> {
    let source = &run.source;
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
                return Ok(Err(format!("it has an entry of unknown type {:?}", entry.media_type)));
            }
            if found.iter().all(|(raw, _)| raw.digest != entry.blob.digest) {
                found.push((source.manifest(&entry.blob.digest).await?, depth + 1));
            }
            if found.len() > ENTRIES_MAX {
                return Ok(Err(format!("it leads to more than {ENTRIES_MAX} manifests")));
            }
        }
    }
    for (raw, _) in found.iter().rev() {
        if raw.is_index() {
            run.destination.put_manifest(raw).await?;
        } else {
            image(run, raw).await?;
        }
    }
    Ok(Ok(()))
}

/// Something of an unknown type: a blob, or something that is stored like a manifest.
async fn unknown(run: &Run<'_>, entry: &Descriptor) -> Result<Result<(), String>, ConvertError> {
    let (source, destination) = (&run.source, &run.destination);
    let refused = |error: &StoreError| {
        matches!(
            error,
            StoreError::NotFound { .. }
                | StoreError::TooLarge { .. }
                | StoreError::UnexpectedStatus { .. }
                | StoreError::ForeignLayers(_)
        )
    };
    let BlobId { digest, size } = &entry.blob;
    if source.store().has_blob(digest, *size).await.is_ok_and(|has| has) {
        return blob(run, &entry.blob).await.map(Ok);
    }
    let put = match source.store().document(&entry.blob, &entry.media_type).await {
        // Some registries refuse to accept again what they have.
        Ok(_) if run.source.location().is_same_place(destination.reference) => Ok(()),
        Ok(raw) => destination.store.put_manifest(&raw, None).await,
        Err(error) if refused(&error) => Err(error),
        Err(error) => return Err(source.failed(error).into()),
    };
    match put {
        Ok(()) => Ok(Ok(())),
        Err(error) if refused(&error) => Ok(Err(error.with_causes())),
        Err(error) => Err(destination.failed(error)),
    }
}

async fn blobs(run: &Run<'_>, manifest: &Manifest) -> Result<(), ConvertError> {
    for wanted in run.destination.lacks(manifest.needed_blobs()).await? {
        obtain(run, wanted).await?;
    }
    Ok(())
}

async fn blob(run: &Run<'_>, blob: &BlobId) -> Result<(), ConvertError> {
    if run.destination.has_blob(blob).await? { Ok(()) } else { obtain(run, blob).await }
}

/// Mounts or copies a blob that the destination lacks.
async fn obtain(run: &Run<'_>, blob: &BlobId) -> Result<(), ConvertError> {
    let destination = &run.destination;
    if destination.store.mount(&blob.digest, run.source.location()).await {
        tracing::debug!("mounted blob {} from the source's repository", blob.digest);
        return Ok(());
    }
    let reader = run.source.blob(blob).await?;
    let (writer, spool) = destination.spool()?;
    let download = download(run, blob, reader, writer);
    tokio::try_join!(download, destination.put_spool(spool)).map(drop)
}

async fn download(
    run: &Run<'_>,
    blob: &BlobId,
    reader: BlobReader,
    mut writer: SpoolWriter,
) -> Result<(), ConvertError> {
    let work = move || {
        let copied = reader.copy_to(&mut writer);
        (writer, copied)
    };
    let lost = |_| ConvertError::Internal("a thread that copied a blob panicked".into());
    // The writer outlives a failure: its end would fail the upload first.
    let (writer, copied) = tokio::task::spawn_blocking(work).await.map_err(lost)?;
    copied.map_err(|error| match error {
        CopyError::Write(error) => run.destination.cannot_spool(error),
        CopyError::Read(error) => ConvertError::Copy {
            reference: run.job.source.clone(),
            digest: blob.digest.clone(),
            error,
        },
    })?;
    writer.finish(blob.digest.clone());
    Ok(())
}
