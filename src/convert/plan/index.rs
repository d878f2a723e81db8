//! An index to be made: of the entries of an index, or of one image.

mod keep;
mod read;

use std::collections::HashMap;

use self::read::ReadEntry;
use super::{
    IndexPlan, Plan, PlannedImage, Slot, Variant,
    arrange::{Arrangement, Role, SourceEntry, arrange, select},
    planned,
    prove::prove,
};
use crate::{
    convert::{
        ConvertError, ConvertJob,
        format::{Format, IndexMode},
    },
    image::{Descriptor, Index, Platform},
    report::LeftReport,
    source::{Source, SourceError},
    store::RawManifest,
    verify::Checks,
};

struct Planning<'a> {
    job: &'a ConvertJob,
    source: &'a Source,
    mode: IndexMode,
    raw: RawManifest,
    /// What `raw` says; an empty index if it is a single image.
    document: Index,
    /// What the entries are, and as far as they have been read.
    entries: Vec<SourceEntry>,
    read: Vec<ReadEntry>,
    checks: Checks,
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
        job,
        source,
        mode,
        raw,
        document: Index::new(),
        entries: Vec::new(),
        read: Vec::new(),
        checks: Checks::new(job.limits),
        notes: Vec::new(),
    };
    planning.read(wanted).await?;
    planning.select(wanted)?;
    planning.reject_other_images();
    let arrangement = planning.settle(formats).await?;
    planning.read_kept(&arrangement).await?;
    let (plan, slots) = planning.lay_out(&arrangement)?;
    planning.check_agreed(&arrangement, &slots, &plan).await?;
    let is_unchanged =
        plan.variants.is_empty() && planning.is_ours(&slots) && planning.prove_rest().await?;
    let Planning { raw, document, entries, notes, .. } = planning;
    let left = arrangement.left.into_iter();
    let left = left
        .map(|(entry, reason)| LeftReport { digest: entries[entry].digest.clone(), reason })
        .collect();
    let unchanged = is_unchanged.then_some(raw);
    Ok(Plan { index: Some(IndexPlan { document, slots, left, unchanged }), notes, ..plan })
}

impl Planning<'_> {
    fn select(&mut self, wanted: &[Platform]) -> Result<(), ConvertError> {
        select(&mut self.entries, wanted).map_err(|platform| {
            self.first_unfit(Some(&platform)).unwrap_or_else(|| {
                SourceError::NoSuchPlatform {
                    reference: self.source.reference().clone(),
                    platform: Box::new(platform),
                    available: self.document.platforms(),
                }
                .into()
            })
        })
    }

    /// Why there is nothing to convert, if there is an image that cannot be.
    fn first_unfit(&self, wanted: Option<&Platform>) -> Option<ConvertError> {
        let fits = |entry: &&SourceEntry| {
            let platform = entry.platform.as_ref();
            wanted.is_none_or(|wanted| platform.is_some_and(|found| wanted.fit(found).is_some()))
        };
        self.entries.iter().filter(fits).find_map(|entry| match &entry.role {
            Role::Unfit { reason } | Role::Other { reason } => {
                Some(self.no_image(format!("{}: {reason}", entry.digest)))
            }
            _ => None,
        })
    }

    fn no_image(&self, reason: String) -> ConvertError {
        ConvertError::NoImage { reference: self.source.reference().clone(), reason }
    }

    /// Clients that know zstd take an image for another one of its platform, so it has to have the
    /// same config.
    fn reject_other_images(&mut self) {
        let mut first: HashMap<_, (usize, _)> = HashMap::new();
        for zstd in [false, true] {
            for number in 0..self.entries.len() {
                let (entry, read) = (&self.entries[number], &self.read[number]);
                let Role::Image { format, .. } = entry.role else { continue };
                let Some(image) = read.image.as_ref().filter(|_| entry.selected) else { continue };
                if format.is_zstd() != zstd {
                    continue;
                }
                let config = image.manifest.config.blob.digest.clone();
                let (sibling, expected) =
                    first.entry(entry.key()).or_insert((number, config.clone()));
                if zstd && *expected != config {
                    let sibling = &self.entries[*sibling].digest;
                    let reason = format!(
                        "its config {config} is not that of {sibling}, an image for the same \
                         platform"
                    );
                    self.reject(number, reason);
                }
            }
        }
    }

    fn reject(&mut self, number: usize, why: String) {
        if let Role::Image { rejected, .. } = &mut self.entries[number].role {
            *rejected = Some(why);
        }
    }

    /// Arranges the entries and proves the images that stay, until all of them are right.
    async fn settle(&mut self, formats: &[Format]) -> Result<Arrangement, ConvertError> {
        let mut proven = vec![self.mode == IndexMode::AllPlatforms; self.entries.len()];
        loop {
            let arrangement = self.arrange(formats)?;
            let next = (0..proven.len())
                .find(|number| !proven[*number] && self.needs_proof(*number, &arrangement));
            let Some(number) = next else { return Ok(arrangement) };
            proven[number] = true;
            self.prove(number).await?;
        }
    }

    fn arrange(&self, formats: &[Format]) -> Result<Arrangement, ConvertError> {
        if self.job.require_chunked {
            for entry in &self.entries {
                if let Role::Image { rejected: Some(reason), .. } = &entry.role {
                    let (digest, reason) = (entry.digest.clone(), reason.clone());
                    return Err(ConvertError::Kept { digest, reason });
                }
            }
        }
        arrange(&self.entries, self.mode, formats).ok_or_else(|| {
            self.first_unfit(None)
                .unwrap_or_else(|| self.no_image("it has no entry that is an image".to_owned()))
        })
    }

    /// Whether an entry stays and is not proven by its conversion. The layers of an image that a
    /// variant is made from are checked as they are read, or after an earlier run's were taken for
    /// them; but not what a TOC says of them.
    fn needs_proof(&self, number: usize, arrangement: &Arrangement) -> bool {
        let Role::Image { format, .. } = self.entries[number].role else { return false };
        let mut of_it = arrangement.placements.iter().filter(|place| place.entry == number);
        let is_source = of_it.clone().any(|place| place.made.is_some());
        of_it.any(|place| place.made.is_none()) && (format.is_zstd() || !is_source)
    }

    /// A variant that is wrong is made again. What it is to be made from cannot be.
    async fn prove(&mut self, number: usize) -> Result<(), ConvertError> {
        let (SourceEntry { role, digest, .. }, read) = (&self.entries[number], &self.read[number]);
        let (Role::Image { format, .. }, Some(image)) = (role, &read.image) else { return Ok(()) };
        match prove(self.source, image, *format, &self.checks).await? {
            None => {}
            Some(reason) if format.is_zstd() => self.reject(number, reason),
            Some(reason) => return Err(ConvertError::Kept { digest: digest.clone(), reason }),
        }
        Ok(())
    }

    /// What is to be made, and the entries of the new index.
    fn lay_out(&mut self, arrangement: &Arrangement) -> Result<(Plan, Vec<Slot>), ConvertError> {
        let mut plan = Plan {
            root: self.raw.clone(),
            digest: self.raw.digest.clone(),
            images: Vec::new(),
            variants: Vec::new(),
            index: None,
            notes: Vec::new(),
        };
        let mut images: HashMap<usize, usize> = HashMap::new();
        let mut slots = Vec::new();
        for place in &arrangement.placements {
            let Some(format) = place.made else {
                slots.push(self.keep(place.entry)?);
                continue;
            };
            let image = if let Some(image) = images.get(&place.entry) {
                *image
            } else {
                plan.images.push(self.planned(place.entry)?);
                images.insert(place.entry, plan.images.len() - 1);
                plan.images.len() - 1
            };
            let mut entry = self.read[place.entry].entry.clone();
            self.add_platform(place.entry, &mut entry)?;
            slots.push(Slot::Made { variant: plan.variants.len(), entry: Box::new(entry) });
            plan.variants.push(Variant { image, format });
        }
        Ok((plan, slots))
    }

    /// Has an entry say what its image is for, if the image does and the entry does not.
    fn add_platform(&self, number: usize, entry: &mut Descriptor) -> Result<(), ConvertError> {
        match &self.read[number].image {
            Some(image) if entry.platform().is_none() && image.config.platform.is_some() => {
                let platform = image.config.platform_object();
                entry.set_platform(platform).map_err(|error| self.job.unfit(error))
            }
            _ => Ok(()),
        }
    }

    fn planned(&self, number: usize) -> Result<PlannedImage, ConvertError> {
        let image = self.read[number].image.clone();
        let lost = || ConvertError::Internal("an image to convert was not read".into());
        planned(self.source, image.ok_or_else(lost)?)
    }
}
