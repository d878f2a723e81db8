//! What is attached to the source: listed while the layers are converted; SBOMs are copied before the
//! new image gets its tag.

use super::{ConvertError, Run, SbomPolicy};
use crate::{
    attached::{self, CarriedSbom, Listing, SbomChoice, Subject},
    image::Digest,
    report::AttachedReport,
    store::{RawManifest, Store},
};

/// What is attached to each manifest of the source that is converted.
pub(super) struct Attachments {
    /// A manifest, and what is attached to it.
    of: Vec<(Digest, Listing)>,
    /// Where that is, if it is not where the source is read from.
    store: Option<Store>,
}

impl Attachments {
    /// Looks at the manifests that become others, and at an index as a whole. Never fails: what
    /// cannot be listed is in the report.
    pub(super) async fn list(run: &Run<'_>) -> Self {
        let mut subjects = vec![&run.plan.digest];
        subjects.extend(run.plan.images.iter().map(|image| &image.source.raw.digest));
        let store = match run.source.store_of_names(&run.job.source_access).await {
            Ok(store) => store,
            Err(error) => {
                let unlisted = vec![error.with_causes()];
                let listing = Listing { unlisted, ..Listing::default() };
                return Self { of: vec![(run.plan.digest.clone(), listing)], store: None };
            }
        };
        let source = store.as_ref().unwrap_or(run.source.store());
        let mut of: Vec<(Digest, Listing)> = Vec::new();
        for subject in subjects {
            if of.iter().all(|(known, _)| known != subject) {
                of.push((subject.clone(), attached::list(source, subject).await));
            }
        }
        Self { of, store }
    }

    /// Attaches to each new manifest the SBOM of the one it was made from. Returns the SBOM of the
    /// first.
    pub(super) async fn carry(
        &mut self,
        run: &Run<'_>,
        new: &[RawManifest],
    ) -> Result<Option<CarriedSbom>, ConvertError> {
        let SbomPolicy::Copy(choice) = &run.job.sbom else { return Ok(None) };
        let source = self.store.as_ref().unwrap_or(run.source.store());
        let destination = &run.destination;
        let mut carried = Vec::new();
        for (variant, manifest) in run.plan.variants.iter().zip(new) {
            let image = &run.plan.image_of(*variant).source.raw.digest;
            let of = self.of.iter_mut().find(|(subject, _)| subject == image);
            let Some((_, Listing { found, .. })) = of else { continue };
            let old = Subject::new(&run.job.source, image);
            let new = Subject::new(destination.reference, &manifest.digest);
            let sbom = attached::carry_sbom(
                source,
                &destination.store,
                found,
                choice,
                &old,
                &new,
                manifest,
            );
            carried.push(sbom.await.map_err(|error| destination.failed(error))?);
        }
        if let SbomChoice::Named(digest) = choice
            && carried.iter().all(Option::is_none)
        {
            let found = self.of.iter().flat_map(|(_, listing)| &listing.found);
            let mut named = found.filter(|item| item.digest == *digest);
            return Err(ConvertError::NoSbom {
                reference: run.job.source.clone(),
                digest: digest.clone(),
                reason: named.find_map(|item| item.reason.clone()),
            });
        }
        Ok(carried.into_iter().next().flatten())
    }

    /// What was found and what became of it, and what could not be listed.
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
