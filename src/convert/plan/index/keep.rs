//! Entries that stay as they are: held against their manifests, proven, and against what podman takes.

use super::{Member, Planning, format_of};
use crate::{
    convert::{
        ConvertError,
        plan::{
            Plan, Slot, agree,
            arrange::{Arrangement, Kind, Step},
            prove::prove,
        },
        publish::{may_be_zstd, variant_entry},
    },
    image::{
        BlobId, EntryKind, Index,
        annotations::{EXPIRES_AFTER, SOURCE_DIGEST, ZSTD_MARK},
        media_type::OCI_INDEX,
    },
    store::RawManifest,
};

impl Planning<'_> {
    pub(super) async fn check_agreed(
        &self,
        arrangement: &Arrangement,
        slots: &[Slot],
        plan: &Plan,
        raw: &RawManifest,
    ) -> Result<(), ConvertError> {
        if !raw.is_index() {
            return Ok(());
        }
        let listed = |(step, slot): (&Step, &Slot)| {
            let entry = match slot {
                Slot::Kept { entry, .. } => Ok((**entry).clone()),
                Slot::Made { entry, variant } => {
                    variant_entry(entry, &entry.blob, may_be_zstd(plan, plan.variants[*variant]))
                }
            };
            let member = &self.members[step.entry];
            let config = member.image.as_ref().map(|image| &image.manifest.config.blob.digest);
            Ok(agree::Listed {
                entry: entry.map_err(|error| self.unfit(error))?,
                from: member.entry.blob.digest.clone(),
                config: config.cloned(),
                uncertain: matches!(self.candidates[step.entry].kind, Kind::Other { .. }),
            })
        };
        let listed = arrangement.steps.iter().zip(slots).map(listed);
        let listed = listed.collect::<Result<Vec<_>, ConvertError>>()?;
        let selected = self.candidates.iter().filter(|candidate| candidate.selected);
        let images = selected.filter(|candidate| matches!(candidate.kind, Kind::Image { .. }));
        let platforms = images.filter_map(|candidate| candidate.platform.as_ref());
        let asked_for = |number: usize| match self.candidates[number].kind {
            Kind::Image { .. } | Kind::Unfit { .. } => self.candidates[number].selected,
            Kind::Unread | Kind::Missing => false,
            Kind::Attestation { .. } | Kind::Other { .. } => true,
        };
        agree::check(self.source, raw, platforms, asked_for, &listed).await
    }

    /// An entry that stays, held against its manifest, and mended where it says something else.
    pub(super) async fn keep(&mut self, number: usize) -> Result<Slot, ConvertError> {
        let candidate = &self.candidates[number];
        let member = &self.members[number];
        let mut entry = member.entry.clone();
        let is_manifest = entry.entry_kind() == EntryKind::Manifest;
        let manifest = match (&member.raw, &candidate.kind) {
            (Some(raw), _) => Some(raw.clone()),
            (None, Kind::Other { .. }) => None,
            (None, _) => Some(self.source.manifest(&entry.blob.digest).await?),
        };
        let mut format = match candidate.kind {
            Kind::Image { format, .. } => Some(format),
            _ => None,
        };
        if let Some(raw) = manifest.as_ref().filter(|_| is_manifest) {
            let read = raw.manifest().map_err(|error| self.source.unfit(raw, error))?;
            let blob = BlobId { digest: raw.digest.clone(), size: raw.size() };
            entry.point_at(&raw.media_type, blob);
            if read.image_layers().is_ok_and(|layers| !layers.is_empty()) {
                format = Some(format_of(&entry, &read));
                let mark = (!read.is_readable_by_all()).then_some("true");
                entry.set_annotation(ZSTD_MARK, mark).map_err(|error| self.unfit(error))?;
            }
            let expires = read.annotations.contains_key(EXPIRES_AFTER);
            if self.job.expires_after.is_some() && !expires {
                self.notes.push(format!(
                    "{} stays without {EXPIRES_AFTER}, so Quay does not remove the index after \
                     that time",
                    raw.digest
                ));
            }
        }
        if let Some(image) = &member.image {
            let said = image.config.platform.as_ref();
            match (entry.platform(), said) {
                (None, Some(_)) => {
                    let object = image.config.platform_object();
                    entry.set_platform(object).map_err(|error| self.unfit(error))?;
                }
                (Some(named), Some(said)) if named.fit(said).is_none() => {
                    self.notes.push(format!(
                        "{} is listed for {named}, and its config says {said}",
                        image.raw.digest
                    ));
                }
                _ => {}
            }
        }
        if entry != member.entry {
            let digest = &entry.blob.digest;
            self.notes
                .push(format!("the entry of {digest} did not fit its manifest, and was mended"));
        }
        Ok(Slot::Kept { entry: Box::new(entry), manifest, format })
    }

    /// Whether the source is an index that this program has made, and stays exactly what it is.
    pub(super) fn is_ours(&self, raw: &RawManifest, document: &Index, slots: &[Slot]) -> bool {
        let entry = |slot: &Slot| match slot {
            Slot::Made { .. } => None,
            Slot::Kept { entry, .. } => Some((**entry).clone()),
        };
        let entries: Vec<_> = slots.iter().filter_map(entry).collect();
        let from_here = |member: &Member| {
            let Some(image) = &member.image else { return true };
            let from = image.manifest.annotations.get(SOURCE_DIGEST);
            let is_member =
                |from: &String| self.candidates.iter().any(|other| other.digest.as_str() == from);
            image.manifest.is_readable_by_all() || from.is_some_and(is_member)
        };
        raw.media_type == OCI_INDEX
            && document.annotations.contains_key(SOURCE_DIGEST)
            && entries.iter().eq(document.entries())
            && self.members.iter().all(from_here)
    }

    /// Proves the images that nobody asked for as well. Only an index of which all has been proven
    /// may be reported as it is.
    pub(super) async fn prove_rest(&mut self) -> Result<bool, ConvertError> {
        for number in 0..self.members.len() {
            let member = &self.members[number];
            if member.entry.entry_kind() != EntryKind::Manifest || member.image.is_some() {
                continue;
            }
            let read = match self.source.manifest(&member.entry.blob.digest).await {
                Ok(raw) => self.source.image(raw, member.entry.platform()).await,
                Err(error) => Err(error),
            };
            let image = match read {
                Ok(image) => image,
                Err(error) if error.is_missing() || error.is_unfit() => return Ok(false),
                Err(error) => return Err(error.into()),
            };
            let format = format_of(&member.entry, &image.manifest);
            if prove(self.source, &image, format, &self.checks).await?.is_some() {
                return Ok(false);
            }
        }
        Ok(true)
    }
}
