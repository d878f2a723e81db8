//! The last steps: config, manifest, tag, and a look at what the destination has made of them.

use super::{ConvertError, Job, plan::Plan};
use crate::{
    image::{
        manifest::{Descriptor, NewLayer},
        media_type::OCI_MANIFEST,
    },
    report::{ImageReport, LayerKind, LayerReport},
    store::{RawManifest, Selector, Store},
};

/// Annotation on the manifest: digest of the manifest that this one was made from.
const SOURCE_DIGEST: &str = "io.github.recompress-image.source-digest";

pub(super) async fn publish(
    job: &Job,
    plan: &Plan,
    destination: &Store,
    layers: &[LayerReport],
) -> Result<ImageReport, ConvertError> {
    let failed = |error| ConvertError::Destination { reference: job.destination.clone(), error };
    let Descriptor { digest, size } = plan.manifest.config();
    if !destination.has_blob(digest, *size).await.map_err(failed)? {
        let config = plan.config.clone();
        destination.copy_blob(digest, config, &job.source).await.map_err(failed)?;
    }
    let manifest = manifest(job, plan, layers)?;
    destination.put_manifest(&manifest, None).await.map_err(failed)?;
    destination.put_manifest(&manifest, job.destination.tag()).await.map_err(failed)?;
    read_back(job, plan, destination, &manifest, layers).await?;
    Ok(ImageReport {
        url: job.destination.to_string(),
        reference: format!("{}@{}", job.destination, manifest.digest),
        digest: manifest.digest,
        media_type: OCI_MANIFEST,
    })
}

fn manifest(job: &Job, plan: &Plan, layers: &[LayerReport]) -> Result<RawManifest, ConvertError> {
    let blobs: Vec<Option<NewLayer>> = layers
        .iter()
        .map(|layer| {
            (layer.kind != LayerKind::Foreign).then(|| NewLayer {
                blob: Descriptor { digest: layer.digest.clone(), size: layer.size },
                annotations: match &layer.outline {
                    Some(outline) => outline.annotations.to_pairs().to_vec(),
                    None => Vec::new(),
                },
            })
        })
        .collect();
    let annotations = [(SOURCE_DIGEST, plan.digest.to_string())];
    let bytes = plan
        .manifest
        .clone()
        .with_layers(&blobs, &annotations)
        .map_err(|error| ConvertError::Unfit { reference: job.source.clone(), error })?;
    Ok(RawManifest::new(bytes, OCI_MANIFEST))
}

/// The destination has the tag, the manifest and each blob, or the run has failed.
async fn read_back(
    job: &Job,
    plan: &Plan,
    destination: &Store,
    manifest: &RawManifest,
    layers: &[LayerReport],
) -> Result<(), ConvertError> {
    let failed = |error| ConvertError::Destination { reference: job.destination.clone(), error };
    let tagged = destination.manifest(&Selector::of(&job.destination)).await.map_err(failed)?;
    if tagged.bytes != manifest.bytes {
        return Err(ConvertError::ReadBack {
            reference: job.destination.clone(),
            pushed: manifest.digest.clone(),
            found: tagged.digest,
        });
    }
    let by_digest = Selector::Digest(manifest.digest.clone());
    destination.manifest(&by_digest).await.map_err(failed)?;
    let config = plan.manifest.config();
    let own = layers.iter().filter(|layer| layer.kind != LayerKind::Foreign);
    let blobs = own.map(|layer| (&layer.digest, layer.size)).chain([(&config.digest, config.size)]);
    for (digest, size) in blobs {
        if !destination.has_blob(digest, size).await.map_err(failed)? {
            let reference = job.destination.clone();
            return Err(ConvertError::Lost { reference, digest: digest.clone() });
        }
    }
    Ok(())
}
