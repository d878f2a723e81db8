//! What there is to do: the source's manifest and config, read and understood.

use bytes::Bytes;

use super::{ConvertError, Job};
use crate::{
    image::{
        Digest, ImageReference,
        index::{pick, platforms},
        manifest::{Descriptor, ImageManifest, ManifestError, diff_ids},
    },
    store::{RawManifest, Selector, Store},
};

/// The most that is read of a config, in bytes; containers/image has the same limit.
const CONFIG_MAX: u64 = 4 << 20;

/// One layer of the source.
#[derive(Debug, Clone)]
pub(super) struct PlannedLayer {
    /// The blob.
    pub(super) blob: Descriptor,
    /// What its content has to be.
    pub(super) diff_id: Digest,
    /// It stays what it is, and is not read.
    pub(super) foreign: bool,
}

/// A source that has been read.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) manifest: ImageManifest,
    /// Digest of the manifest that is converted; within an index, that of the image picked.
    pub(super) digest: Digest,
    pub(super) config: Bytes,
    pub(super) layers: Vec<PlannedLayer>,
}

pub(super) async fn plan(job: &Job, source: &Store) -> Result<Plan, ConvertError> {
    let found = |error| ConvertError::Source { reference: job.source.clone(), error };
    let raw = source.manifest(&Selector::of(&job.source)).await.map_err(found)?;
    let raw = pick_platform(job, source, raw).await?;
    let unfit = |error| ConvertError::Unfit { reference: job.source.clone(), error };
    let manifest = ImageManifest::parse(&raw.media_type, &raw.bytes).map_err(unfit)?;
    let Descriptor { digest, size } = manifest.config();
    let config = source.bytes(digest, *size, CONFIG_MAX).await.map_err(found)?;
    let diff_ids = diff_ids(&config).map_err(unfit)?;
    if diff_ids.len() != manifest.layers().len() {
        let (layers, promised) = (manifest.layers().len(), diff_ids.len());
        return Err(unfit(ManifestError::Malformed(format!(
            "it has {layers} layers, its config has the diffIDs of {promised}"
        ))));
    }
    let layers = manifest
        .layers()
        .iter()
        .zip(diff_ids)
        .map(|(layer, diff_id)| PlannedLayer {
            blob: layer.blob.clone(),
            diff_id,
            foreign: layer.foreign,
        })
        .collect();
    Ok(Plan { manifest, digest: raw.digest, config, layers })
}

/// Goes from an index to the image in it that was asked for.
async fn pick_platform(
    job: &Job,
    source: &Store,
    raw: RawManifest,
) -> Result<RawManifest, ConvertError> {
    let reference = || job.source.clone();
    if !raw.is_index() {
        return match &job.platform {
            None => Ok(raw),
            Some(_) => Err(ConvertError::NoIndex { reference: reference() }),
        };
    }
    let unfit = |error| ConvertError::Unfit { reference: reference(), error };
    let available = || platforms(&raw.bytes).map_err(unfit);
    let Some(platform) = &job.platform else {
        return Err(ConvertError::Index { reference: reference(), available: available()? });
    };
    let Some(digest) = pick(&raw.bytes, platform).map_err(unfit)? else {
        return Err(ConvertError::NoSuchPlatform {
            reference: reference(),
            platform: platform.clone(),
            available: available()?,
        });
    };
    source
        .manifest(&Selector::Digest(digest))
        .await
        .map_err(|error| ConvertError::Source { reference: reference(), error })
}

/// The tag for a destination that nobody named: the source's, with the platform where one was
/// picked, and the format. Two runs of a matrix, over images, platforms or formats, never share
/// one.
pub(crate) fn derived_tag(
    source: &ImageReference,
    platform: Option<&str>,
    format_suffix: &str,
) -> String {
    const TAG_MAX: usize = 128;
    let base = match (source.tag(), source.digest()) {
        (Some(tag), _) => tag.to_owned(),
        (None, Some(digest)) => digest.hex()[..64].to_owned(),
        (None, None) => "latest".to_owned(),
    };
    let platform = platform.map_or(String::new(), |text| format!("-{}", text.replace('/', "-")));
    let suffix = format!("{platform}-{format_suffix}");
    if base.len() + suffix.len() <= TAG_MAX {
        return base + &suffix;
    }
    // Cut short, with what was cut off told apart by its hash.
    let hash = &Digest::sha256_of(base.as_bytes()).hex()[..12].to_owned();
    let keep = TAG_MAX.saturating_sub(suffix.len() + 1 + hash.len());
    let kept = &base[..keep.min(base.len())];
    format!("{kept}-{hash}{suffix}")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn tags_for_a_matrix() {
        let hex = "9".repeat(64);
        let long = "t".repeat(120);
        let cases = [
            (format!("q.io/a:1.2@sha256:{hex}"), None, "1.2-zstd-chunked".to_owned()),
            (format!("q.io/a@sha256:{hex}"), None, format!("{hex}-zstd-chunked")),
            (
                format!("q.io/a:1@sha256:{hex}"),
                Some("linux/arm/v7"),
                "1-linux-arm-v7-zstd-chunked".to_owned(),
            ),
            ("oci:dir:x".to_owned(), None, "x-zstd-chunked".to_owned()),
            ("oci:dir".to_owned(), None, "latest-zstd-chunked".to_owned()),
        ];
        for (source, platform, expected) in cases {
            let source: ImageReference = source.parse().unwrap();
            assert_eq!(derived_tag(&source, platform, "zstd-chunked"), expected);
        }
        let tag = |end| {
            let source = format!("q.io/a:{long}{end}@sha256:{hex}").parse().unwrap();
            derived_tag(&source, None, "zstd-chunked")
        };
        assert_eq!(tag("a").len(), 128);
        assert_ne!(tag("a"), tag("b"));
    }
}
