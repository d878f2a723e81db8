//! An index to be made: of the entries of an index, or of one image.

mod keep;

use std::collections::HashMap;

use super::{
    IndexPlan, LeftEntry, Plan, PlannedImage, Slot, Variant,
    arrange::{Arrangement, Candidate, Kind, arrange, select},
    planned,
    prove::prove,
};
use crate::{
    convert::{
        ConvertError, ConvertJob,
        format::{Format, IndexMode},
    },
    image::{
        BlobId, Descriptor, EntryKind, Index, Manifest, Platform,
        annotations::{FORMAT, SOURCE_DIGEST},
        media_type::Family,
    },
    source::{Source, SourceError, SourceImage},
    store::RawManifest,
    verify::Checks,
};

/// An entry of the source, as far as it has been read.
struct Member {
    entry: Descriptor,
    raw: Option<RawManifest>,
    image: Option<SourceImage>,
}

struct Planning<'a> {
    checks: Checks,
    job: &'a ConvertJob,
    source: &'a Source,
    mode: IndexMode,
    members: Vec<Member>,
    candidates: Vec<Candidate>,
    notes: Vec<String>,
}

pub(super) async fn plan(
    job: &ConvertJob,
    source: &Source,
    raw: RawManifest,
    mode: IndexMode,
    formats: &[Format],
    wanted: &[Platform],
) -> Result<Plan, ConvertError> {
    let mut planning = Planning {
        checks: Checks::new(job.limits),
        job,
        source,
        mode,
        members: Vec::new(),
        candidates: Vec::new(),
        notes: Vec::new(),
    };
    let document = if raw.is_index() {
        let index = source.index(&raw)?;
        for entry in index.entries() {
            planning.read(entry.clone(), wanted).await?;
        }
        index
    } else if mode == IndexMode::AllPlatforms {
        return Err(ConvertError::NoIndex { reference: source.reference().clone() });
    } else {
        planning.read_single(raw.clone(), wanted).await?;
        Index::new()
    };
    planning.know_plain_variants();
    planning.select(wanted, &document)?;
    planning.reject_other_images();
    let arrangement = planning.settle(formats).await?;
    let (plan, unchanged) = planning.finish(arrangement, &raw, &document).await?;
    let index = plan.index.map(|index| IndexPlan { document, unchanged, ..index });
    Ok(Plan { index, ..plan })
}

impl Planning<'_> {
    /// Reads what an entry leads to, as far as that is needed to know what becomes of it.
    async fn read(&mut self, entry: Descriptor, wanted: &[Platform]) -> Result<(), ConvertError> {
        let mut member = Member { entry, raw: None, image: None };
        let entry = &member.entry;
        let mut platform = entry.platform().cloned();
        let is_other = platform.as_ref().is_some_and(|found| {
            !wanted.is_empty() && wanted.iter().all(|it| it.fit(found).is_none())
        });
        let kind = match entry.entry_kind() {
            EntryKind::Attestation { of } => Kind::Attestation { of: of.map(str::to_owned) },
            EntryKind::Index => Kind::Other { reason: "it is an index within the index".into() },
            EntryKind::Unknown => {
                Kind::Other { reason: format!("its type {:?} is not known", entry.media_type) }
            }
            // What stays has to be read as well.
            EntryKind::Manifest if is_other && self.mode != IndexMode::Add => Kind::Unread,
            EntryKind::Manifest => match self.source.manifest(&entry.blob.digest).await {
                Err(error) if is_other && error.is_missing() => Kind::Missing,
                Err(error) => return Err(error.into()),
                Ok(raw) => {
                    member.raw = Some(raw.clone());
                    match self.source.image(raw, platform.as_ref()).await {
                        Ok(image) => {
                            platform.clone_from(&image.platform);
                            let kind = image_kind(entry, &image);
                            member.image = Some(image);
                            kind
                        }
                        Err(SourceError::Unfit { error, .. }) if error.is_unfit() => {
                            let reason = format!("it is {error}");
                            if platform.is_some() {
                                Kind::Unfit { reason }
                            } else {
                                Kind::Other { reason }
                            }
                        }
                        Err(error) => return Err(error.into()),
                    }
                }
            },
        };
        let digest = member.entry.blob.digest.clone();
        self.candidates.push(Candidate { digest, platform, selected: false, kind });
        self.members.push(member);
        Ok(())
    }

    /// A single image, as an index of one entry.
    async fn read_single(
        &mut self,
        raw: RawManifest,
        wanted: &[Platform],
    ) -> Result<(), ConvertError> {
        for platform in wanted {
            self.source.choose(raw.clone(), Some(platform)).await?;
        }
        let image = self.source.image(raw.clone(), None).await?;
        let at = BlobId { digest: raw.digest.clone(), size: raw.size() };
        let mut entry = Descriptor::new(&raw.media_type, at);
        entry.set_platform(image.config.platform_object()).map_err(|error| self.unfit(error))?;
        self.candidates.push(Candidate {
            digest: raw.digest.clone(),
            platform: image.platform.clone(),
            selected: false,
            kind: image_kind(&entry, &image),
        });
        self.members.push(Member { entry, raw: Some(raw), image: Some(image) });
        Ok(())
    }

    /// What this program has made as zstd:chunked counts as that, even if no layer could have a TOC:
    /// to make it again would give the same.
    fn know_plain_variants(&mut self) {
        let digests: Vec<_> =
            self.candidates.iter().map(|candidate| candidate.digest.to_string()).collect();
        for (candidate, member) in self.candidates.iter_mut().zip(&self.members) {
            let Some(image) = &member.image else { continue };
            let says = |key| image.manifest.annotations.get(key);
            let is_ours = says(SOURCE_DIGEST).is_some_and(|from| digests.contains(from))
                && says(FORMAT)
                    .is_some_and(|format| format.starts_with(Format::ZstdChunked.as_str()));
            if let Kind::Image { format: format @ Format::Zstd, .. } = &mut candidate.kind
                && is_ours
            {
                *format = Format::ZstdChunked;
            }
        }
    }

    fn select(&mut self, wanted: &[Platform], index: &Index) -> Result<(), ConvertError> {
        select(&mut self.candidates, wanted).map_err(|platform| {
            self.first_unfit(Some(&platform)).unwrap_or_else(|| {
                SourceError::NoSuchPlatform {
                    reference: self.source.reference().clone(),
                    platform: Box::new(platform),
                    available: index.platforms(),
                }
                .into()
            })
        })
    }

    /// Why there is nothing to convert, if there is an image that cannot be.
    fn first_unfit(&self, wanted: Option<&Platform>) -> Option<ConvertError> {
        let fits = |candidate: &&Candidate| {
            let platform = candidate.platform.as_ref();
            wanted.is_none_or(|wanted| platform.is_some_and(|found| wanted.fit(found).is_some()))
        };
        self.candidates.iter().filter(fits).find_map(|candidate| match &candidate.kind {
            Kind::Unfit { reason } | Kind::Other { reason } => Some(ConvertError::NoImage {
                reference: self.source.reference().clone(),
                reason: format!("{}: {reason}", candidate.digest),
            }),
            _ => None,
        })
    }

    /// Clients that know zstd take an image for another one of its platform, so it has to have the
    /// same config.
    fn reject_other_images(&mut self) {
        let mut first: HashMap<_, (usize, _)> = HashMap::new();
        for readable in [true, false] {
            for number in 0..self.candidates.len() {
                let (candidate, member) = (&self.candidates[number], &self.members[number]);
                let Kind::Image { format, .. } = candidate.kind else { continue };
                let Some(image) = member.image.as_ref().filter(|_| candidate.selected) else {
                    continue;
                };
                if readable == format.is_zstd() {
                    continue;
                }
                let config = image.manifest.config.blob.digest.clone();
                let (sibling, expected) =
                    first.entry(candidate.key()).or_insert((number, config.clone()));
                if *expected != config && *sibling != number && format.is_zstd() {
                    let sibling = &self.candidates[*sibling].digest;
                    let reason = format!(
                        "its config {config} is not that of {sibling}, the image it stands beside"
                    );
                    self.reject(number, reason);
                }
            }
        }
    }

    fn reject(&mut self, number: usize, why: String) {
        if let Kind::Image { rejected, .. } = &mut self.candidates[number].kind {
            *rejected = Some(why);
        }
    }

    /// Arranges the entries, and proves the images that stay, until all of them are right.
    async fn settle(&mut self, formats: &[Format]) -> Result<Arrangement, ConvertError> {
        if self.mode == IndexMode::AllPlatforms {
            return self.arrange(formats);
        }
        let mut proven = vec![false; self.members.len()];
        loop {
            let arrangement = self.arrange(formats)?;
            let is_source = |number: usize| {
                arrangement.steps.iter().any(|step| step.entry == number && step.made.is_some())
            };
            let stays = |number: usize| {
                arrangement.steps.iter().any(|step| step.entry == number && step.made.is_none())
            };
            // The layers of an image that a variant is made from are checked as they are read, or
            // after an earlier run's were taken for them; but not what a TOC says of them.
            let needs_proof = |number: &usize| match self.candidates[*number].kind {
                Kind::Image { format, .. } => format.is_zstd() || !is_source(*number),
                _ => false,
            };
            let next = (0..self.members.len())
                .find(|number| stays(*number) && !proven[*number] && needs_proof(number));
            let Some(number) = next else { return Ok(arrangement) };
            proven[number] = true;
            if let Some(reason) = self.prove(number).await? {
                self.refuse(number, reason)?;
            }
        }
    }

    fn arrange(&self, formats: &[Format]) -> Result<Arrangement, ConvertError> {
        if self.job.require_chunked {
            for candidate in &self.candidates {
                if let Kind::Image { rejected: Some(reason), .. } = &candidate.kind {
                    let (digest, reason) = (candidate.digest.clone(), reason.clone());
                    return Err(ConvertError::Kept { digest, reason });
                }
            }
        }
        arrange(&self.candidates, self.mode, formats).ok_or_else(|| {
            self.first_unfit(None).unwrap_or_else(|| ConvertError::NoImage {
                reference: self.source.reference().clone(),
                reason: "it has no entry that is an image".to_owned(),
            })
        })
    }

    async fn prove(&self, number: usize) -> Result<Option<String>, ConvertError> {
        let (Kind::Image { format, .. }, Some(image)) =
            (&self.candidates[number].kind, &self.members[number].image)
        else {
            return Ok(None);
        };
        prove(self.source, image, *format, &self.checks).await
    }

    /// A variant is made again. What it is to be made from cannot be.
    fn refuse(&mut self, number: usize, reason: String) -> Result<(), ConvertError> {
        let is_zstd =
            matches!(self.candidates[number].kind, Kind::Image { format, .. } if format.is_zstd());
        if is_zstd {
            self.reject(number, reason);
            return Ok(());
        }
        Err(ConvertError::Kept { digest: self.candidates[number].digest.clone(), reason })
    }

    fn unfit(&self, error: crate::image::DocumentError) -> ConvertError {
        ConvertError::Unfit { reference: self.source.reference().clone(), error }
    }

    /// The plan without the document, and the index itself if it needs no change.
    async fn finish(
        mut self,
        arrangement: Arrangement,
        raw: &RawManifest,
        document: &Index,
    ) -> Result<(Plan, Option<RawManifest>), ConvertError> {
        let mut plan = Plan {
            digest: raw.digest.clone(),
            images: Vec::new(),
            variants: Vec::new(),
            index: None,
            notes: Vec::new(),
        };
        let mut images: HashMap<usize, usize> = HashMap::new();
        let mut slots = Vec::new();
        for step in &arrangement.steps {
            let Some(format) = step.made else {
                slots.push(self.keep(step.entry).await?);
                continue;
            };
            let image = if let Some(image) = images.get(&step.entry) {
                *image
            } else {
                plan.images.push(self.planned(step.entry)?);
                images.insert(step.entry, plan.images.len() - 1);
                plan.images.len() - 1
            };
            let entry = Box::new(self.with_platform(step.entry)?);
            slots.push(Slot::Made { variant: plan.variants.len(), entry });
            plan.variants.push(Variant { image, format });
        }
        self.check_agreed(&arrangement, &slots, &plan, raw).await?;
        let unchanged = if plan.variants.is_empty() && self.is_ours(raw, document, &slots) {
            self.prove_rest().await?.then(|| raw.clone())
        } else {
            None
        };
        let left = arrangement.left.into_iter().map(|left| LeftEntry {
            digest: self.candidates[left.entry].digest.clone(),
            reason: left.reason,
        });
        let left = left.collect();
        plan.index = Some(IndexPlan { document: Index::new(), slots, left, unchanged: None });
        plan.notes = self.notes;
        Ok((plan, unchanged))
    }

    /// An entry that says what its image is for, if the image does.
    fn with_platform(&self, number: usize) -> Result<Descriptor, ConvertError> {
        let Member { entry, image, .. } = &self.members[number];
        let mut entry = entry.clone();
        if let (None, Some(image)) = (entry.platform(), image)
            && image.config.platform.is_some()
        {
            let object = image.config.platform_object();
            entry.set_platform(object).map_err(|error| self.unfit(error))?;
        }
        Ok(entry)
    }

    fn planned(&self, number: usize) -> Result<PlannedImage, ConvertError> {
        let image = self.members[number].image.clone();
        let lost = || ConvertError::Internal("an image to convert was not read".into());
        planned(self.source, image.ok_or_else(lost)?)
    }
}

fn image_kind(entry: &Descriptor, image: &SourceImage) -> Kind {
    let family = Family::of(&image.raw.media_type).unwrap_or(Family::Oci);
    Kind::Image { format: format_of(entry, &image.manifest), family, rejected: None }
}

/// How an image is compressed, for its readers: what has no zstd layer can be read by all of them.
fn format_of(entry: &Descriptor, image: &Manifest) -> Format {
    if image.layers.is_empty() {
        // There is nothing to tell it by but what was written on it.
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
