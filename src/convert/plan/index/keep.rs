//! Entries that stay as they are: matched with their manifests, proven, and compared with what podman
//! takes.

use super::{Planning, read::format_of};
use crate::{
    convert::{
        ConvertError, markers,
        plan::{
            Plan, Slot, agree,
            arrange::{Arrangement, Placement, Role},
            prove::prove,
        },
    },
    image::{
        EntryKind,
        annotations::{EXPIRES_AFTER, ZSTD_MARK},
        media_type::OCI_INDEX,
    },
};

impl Planning<'_> {
    /// Fails if podman would get another image from the new index than from the source.
    pub(super) async fn check_agreed(
        &self,
        arrangement: &Arrangement,
        slots: &[Slot],
        plan: &Plan,
    ) -> Result<(), ConvertError> {
        if !self.raw.is_index() {
            return Ok(());
        }
        let new_entry = |(place, slot): (&Placement, &Slot)| {
            let read = &self.read[place.entry];
            let from = &read.entry.blob;
            let config = read.image.as_ref().map(|image| &image.manifest.config.blob.digest);
            Ok(agree::NewEntry {
                entry: plan.draft(slot, from).map_err(|error| self.job.unfit(error))?,
                from: from.digest.clone(),
                config: config.cloned(),
                uncertain: matches!(self.entries[place.entry].role, Role::Other { .. }),
            })
        };
        let new = arrangement.placements.iter().zip(slots).map(new_entry);
        let new = new.collect::<Result<Vec<_>, ConvertError>>()?;
        let selected = self.entries.iter().filter(|entry| entry.selected && entry.is_image());
        let platforms = selected.filter_map(|entry| entry.platform.as_ref());
        let is_requested = |number: usize| match self.entries[number].role {
            Role::Image { .. } | Role::Unfit { .. } => self.entries[number].selected,
            Role::Unread | Role::Missing => false,
            Role::Attestation { .. } | Role::Other { .. } => true,
        };
        agree::check(self.source, &self.raw, platforms, is_requested, &new).await
    }

    /// An entry that stays, corrected if it does not match its manifest.
    pub(super) fn keep(&mut self, number: usize) -> Result<Slot, ConvertError> {
        let read = &self.read[number];
        let unfit = |error| self.job.unfit(error);
        let (mut entry, manifest) = (read.entry.clone(), read.raw.clone());
        let is_manifest = entry.entry_kind() == EntryKind::Manifest;
        let mut format = match self.entries[number].role {
            Role::Image { format, .. } => Some(format),
            _ => None,
        };
        let mut notes = Vec::new();
        if let Some(raw) = manifest.as_ref().filter(|_| is_manifest) {
            let manifest = raw.manifest().map_err(|error| self.source.unfit(raw, error))?;
            entry.point_at(&raw.media_type, raw.id());
            if manifest.image_layers().is_ok_and(|layers| !layers.is_empty()) {
                format = Some(format_of(&entry, &manifest));
                let mark = (!manifest.is_readable_by_all()).then_some("true");
                entry.set_annotation(ZSTD_MARK, mark).map_err(unfit)?;
            }
            let expires = manifest.annotations.contains_key(EXPIRES_AFTER);
            if self.job.expires_after.is_some() && !expires {
                notes.push(format!(
                    "{} stays without {EXPIRES_AFTER}, so Quay does not remove the index after \
                     that time",
                    raw.digest
                ));
            }
        }
        if let Some(image) = &read.image
            && let (Some(listed), Some(found)) = (entry.platform(), &image.config.platform)
            && listed.fit(found).is_none()
        {
            let digest = &image.raw.digest;
            notes.push(format!("{digest} is listed for {listed}, but its config says {found}"));
        }
        self.add_platform(number, &mut entry)?;
        if entry != read.entry {
            let digest = &entry.blob.digest;
            notes.push(format!("corrected the entry of {digest}: it did not match its manifest"));
        }
        self.notes.extend(notes);
        Ok(Slot::Kept { entry: Box::new(entry), manifest, format })
    }

    /// Whether the source is an index that this program has made, and stays exactly what it is.
    pub(super) fn is_ours(&self, slots: &[Slot]) -> bool {
        let entries = slots.iter().filter_map(|slot| match slot {
            Slot::Made { .. } => None,
            Slot::Kept { entry, .. } => Some(&**entry),
        });
        let mut images = self.read.iter().filter_map(|read| read.image.as_ref());
        self.raw.media_type == OCI_INDEX
            && markers::made_from(&self.document.annotations).is_some()
            && entries.eq(self.document.entries())
            && images.all(|image| {
                let from = markers::made_from(&image.manifest.annotations);
                image.manifest.is_readable_by_all() || from.is_some_and(|from| self.lists(from))
            })
    }

    /// Proves the images that nobody asked for as well. Only an index of which all has been proven
    /// may be reported as it is.
    pub(super) async fn prove_rest(&self) -> Result<bool, ConvertError> {
        let unread = self.read.iter().filter(|read| read.image.is_none());
        for read in unread.filter(|read| read.entry.entry_kind() == EntryKind::Manifest) {
            let image = match self.source.manifest(&read.entry.blob.digest).await {
                Ok(raw) => self.source.image(raw, read.entry.platform()).await,
                Err(error) => Err(error),
            };
            let image = match image {
                Ok(image) => image,
                Err(error) if error.is_missing() || error.is_unfit() => return Ok(false),
                Err(error) => return Err(error.into()),
            };
            let format = format_of(&read.entry, &image.manifest);
            if prove(self.source, &image, format, &self.checks).await?.is_some() {
                return Ok(false);
            }
        }
        Ok(true)
    }
}
