//! What the entries of the source are: each read as far as is needed to know what becomes of it.

use super::Planning;
use crate::{
    convert::{
        ConvertError,
        format::{Format, IndexMode},
        markers,
        plan::arrange::{Arrangement, Role, SourceEntry},
    },
    image::{Descriptor, EntryKind, Manifest, Platform, media_type::Family},
    source::{SourceError, SourceImage},
    store::RawManifest,
};

/// An entry of the source, as far as it has been read.
pub(super) struct ReadEntry {
    pub(super) entry: Descriptor,
    pub(super) raw: Option<RawManifest>,
    pub(super) image: Option<SourceImage>,
}

impl Planning<'_> {
    pub(super) async fn read(&mut self, wanted: &[Platform]) -> Result<(), ConvertError> {
        if self.raw.is_index() {
            self.document = self.source.index(&self.raw)?;
            let entries: Vec<_> = self.document.entries().cloned().collect();
            for entry in entries {
                self.read_entry(entry, wanted).await?;
            }
        } else if self.mode == IndexMode::AllPlatforms {
            return Err(ConvertError::NoIndex { reference: self.source.reference().clone() });
        } else {
            self.read_single(wanted).await?;
        }
        self.know_plain_variants();
        Ok(())
    }

    async fn read_entry(
        &mut self,
        entry: Descriptor,
        wanted: &[Platform],
    ) -> Result<(), ConvertError> {
        let is_other = entry.platform().is_some_and(|found| {
            !wanted.is_empty() && wanted.iter().all(|it| it.fit(found).is_none())
        });
        let mut read = ReadEntry { entry, raw: None, image: None };
        let role = match read.entry.entry_kind() {
            EntryKind::Attestation { of } => Role::Attestation { of: of.map(str::to_owned) },
            EntryKind::Index => Role::Other { reason: "it is a nested index".into() },
            EntryKind::Unknown => {
                let media_type = &read.entry.media_type;
                Role::Other { reason: format!("its media type {media_type:?} is unknown") }
            }
            // What stays has to be read as well.
            EntryKind::Manifest if is_other && self.mode != IndexMode::Add => Role::Unread,
            EntryKind::Manifest => match self.source.manifest(&read.entry.blob.digest).await {
                Err(error) if is_other && error.is_missing() => Role::Missing,
                raw => self.read_manifest(&mut read, raw?).await?,
            },
        };
        let image = read.image.as_ref();
        let platform = match image {
            Some(image) => image.platform.clone(),
            None => read.entry.platform().cloned(),
        };
        let digest = read.entry.blob.digest.clone();
        self.entries.push(SourceEntry { digest, platform, selected: false, role });
        self.read.push(read);
        Ok(())
    }

    async fn read_manifest(
        &self,
        read: &mut ReadEntry,
        raw: RawManifest,
    ) -> Result<Role, ConvertError> {
        read.raw = Some(raw.clone());
        match self.source.image(raw, read.entry.platform()).await {
            Ok(image) => Ok(image_role(&read.entry, read.image.insert(image))),
            Err(SourceError::Unfit { error, .. }) if error.is_unfit() => {
                let reason = format!("it is {error}");
                let has_platform = read.entry.platform().is_some();
                Ok(if has_platform { Role::Unfit { reason } } else { Role::Other { reason } })
            }
            Err(error) => Err(error.into()),
        }
    }

    /// A single image, as an index of one entry.
    async fn read_single(&mut self, wanted: &[Platform]) -> Result<(), ConvertError> {
        let raw = self.raw.clone();
        for platform in wanted {
            self.source.choose(raw.clone(), Some(platform)).await?;
        }
        let image = self.source.image(raw.clone(), None).await?;
        let mut entry = Descriptor::new(&raw.media_type, raw.id());
        let platform = image.config.platform_object();
        entry.set_platform(platform).map_err(|error| self.job.unfit(error))?;
        self.entries.push(SourceEntry {
            digest: raw.digest.clone(),
            platform: image.platform.clone(),
            selected: false,
            role: image_role(&entry, &image),
        });
        self.read.push(ReadEntry { entry, raw: Some(raw), image: Some(image) });
        Ok(())
    }

    /// What this program has made as zstd:chunked counts as that, even if no layer could have a TOC:
    /// to make it again would give the same.
    fn know_plain_variants(&mut self) {
        for number in 0..self.entries.len() {
            let Some(image) = &self.read[number].image else { continue };
            let annotations = &image.manifest.annotations;
            let is_ours = markers::is_made_as_chunked(annotations)
                && markers::made_from(annotations).is_some_and(|from| self.lists(from));
            if let Role::Image { format: format @ Format::Zstd, .. } =
                &mut self.entries[number].role
                && is_ours
            {
                *format = Format::ZstdChunked;
            }
        }
    }

    /// Whether the source has an entry with this digest.
    pub(super) fn lists(&self, digest: &str) -> bool {
        self.entries.iter().any(|entry| entry.digest.as_str() == digest)
    }

    /// Reads the manifests of what stays that nothing was decided by: attestations.
    pub(super) async fn read_kept(
        &mut self,
        arrangement: &Arrangement,
    ) -> Result<(), ConvertError> {
        for place in arrangement.placements.iter().filter(|place| place.made.is_none()) {
            let read = &mut self.read[place.entry];
            let is_other = matches!(self.entries[place.entry].role, Role::Other { .. });
            if read.raw.is_none() && !is_other {
                read.raw = Some(self.source.manifest(&read.entry.blob.digest).await?);
            }
        }
        Ok(())
    }
}

fn image_role(entry: &Descriptor, image: &SourceImage) -> Role {
    let family = Family::of(&image.raw.media_type).unwrap_or(Family::Oci);
    Role::Image { format: format_of(entry, &image.manifest), family, rejected: None }
}

/// How an image is compressed, for its readers: what has no zstd layer can be read by all of them.
pub(super) fn format_of(entry: &Descriptor, image: &Manifest) -> Format {
    if image.layers.is_empty() {
        // There is nothing to tell it by but the mark.
        return if entry.is_marked() { Format::ZstdChunked } else { Format::Gzip };
    }
    if image.is_readable_by_all() {
        Format::Gzip
    } else if image.is_chunked() {
        Format::ZstdChunked
    } else {
        Format::Zstd
    }
}
