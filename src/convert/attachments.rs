//! What hangs on the source: found while the layers are converted, and SBOMs carried over before
//! the new image gets its tag.

use super::{ConvertError, ConvertJob, SbomPolicy, plan::Plan};
use crate::{
    attached::{self, CarriedSbom, Listing, SbomChoice, Subject},
    image::Digest,
    report::AttachedReport,
    store::{RawManifest, Store},
};

/// What hangs on each manifest of the source that is converted.
pub(super) struct Attachments {
    /// The manifest it hangs on, and what does.
    of: Vec<(Digest, Listing)>,
}

impl Attachments {
    /// Looks at the manifests that become others, and at an index as a whole.
    pub(super) async fn find(plan: &Plan, source: &Store) -> Self {
        let mut subjects = vec![&plan.digest];
        subjects.extend(plan.images.iter().map(|image| &image.source.raw.digest));
        let mut of: Vec<(Digest, Listing)> = Vec::new();
        for subject in subjects {
            if of.iter().all(|(known, _)| known != subject) {
                of.push((subject.clone(), attached::list(source, subject).await));
            }
        }
        Self { of }
    }

    /// Attaches to each new manifest the SBOM of the one it was made from. The SBOMs that were
    /// carried are in the order of the plan's variants.
    pub(super) async fn carry(
        &mut self,
        job: &ConvertJob,
        plan: &Plan,
        source: &Store,
        destination: &Store,
        variants: &[RawManifest],
    ) -> Result<Vec<Option<CarriedSbom>>, ConvertError> {
        let mut carried = Vec::new();
        let SbomPolicy::Copy(choice) = &job.sbom else { return Ok(carried) };
        for (variant, manifest) in plan.variants.iter().zip(variants) {
            let image = plan.image_of(*variant);
            let image = &image.source.raw.digest;
            let of = self.of.iter_mut().find(|(subject, _)| subject == image);
            let Some((_, listing)) = of else { continue };
            let old = Subject::new(&job.source, image);
            let new = Subject::new(&job.destination, &manifest.digest);
            let found = &mut listing.found;
            let sbom =
                attached::carry_sbom(source, destination, found, choice, &old, &new, manifest)
                    .await;
            carried.push(sbom.map_err(|error| ConvertError::Destination {
                reference: job.destination.clone(),
                error,
            })?);
        }
        if let SbomChoice::Named(digest) = choice
            && carried.iter().all(Option::is_none)
        {
            let reasons = self.of.iter().flat_map(|(_, listing)| &listing.found);
            let reason = reasons.filter(|item| item.digest == *digest);
            return Err(ConvertError::NoSbom {
                reference: job.source.clone(),
                digest: digest.clone(),
                reason: reason.into_iter().find_map(|item| item.reason.clone()),
            });
        }
        Ok(carried)
    }

    /// What was found and what became of it, and what could not be looked at.
    pub(super) fn report(self) -> (Vec<AttachedReport>, Vec<String>) {
        let (mut found, mut unlisted) = (Vec::new(), Vec::new());
        for (to, listing) in self.of {
            found.extend(
                listing.found.into_iter().map(|item| AttachedReport { to: to.clone(), item }),
            );
            unlisted.extend(listing.unlisted);
        }
        unlisted.dedup();
        (found, unlisted)
    }
}
