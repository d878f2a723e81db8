//! Two images for one platform.

use std::{
    collections::{BTreeMap, HashSet},
    pin::pin,
};

use futures_util::stream::{self, StreamExt as _};

use super::{
    ENTRIES_MAX, FETCHES_MAX,
    error::DiffError,
    gzip,
    judge::{Way, way},
    report::{DiffedImage, ImageDiff},
    select::Side,
    totals::Totals,
    work::{Read, Unread, Work},
};
use crate::{
    image::{Descriptor, Digest, annotations::TOC_DIGEST},
    source::{LayerDocuments, SourceImage},
};

/// A layer of OLD or NEW.
#[derive(Debug, Clone)]
pub(super) struct Layer<'a> {
    side: &'a Side,
    is_old: bool,
    /// Counted from 1, the lowest layer first.
    pub(super) number: u64,
    pub(super) descriptor: &'a Descriptor,
    pub(super) way: Way,
    /// OLD has it, so that clients do not pull it.
    pub(super) is_in_old: bool,
}

pub(super) async fn images(
    old: (&Side, &SourceImage),
    new: (&Side, &SourceImage),
) -> Result<ImageDiff, DiffError> {
    let (mut old_layers, mut new_layers) = (layers(old, None), layers(new, Some(old.1)));
    let wanted: Vec<_> = new_layers.iter().filter(|it| !it.is_in_old && it.has_toc()).collect();
    // Without a layer to compare, nobody needs to know what OLD has.
    let is_needed = !wanted.is_empty();
    let has = old_layers.iter().filter(|layer| layer.has_toc() && is_needed);
    let to_fetch: Vec<_> = has.chain(wanted).cloned().collect();
    let mut fetched = pin!(stream::iter(to_fetch).map(Layer::fetch).buffered(FETCHES_MAX));

    let mut work = Work::default();
    let mut lacking = BTreeMap::new();
    while let Some(next) = fetched.next().await {
        let (layer, documents) = next?;
        let (is_old, number) = (layer.is_old, layer.number);
        let annotations = layer.descriptor.annotations.clone();
        let job = move || {
            let read = work.read(is_old, number, &annotations, &documents);
            (work, read)
        };
        let (returned, read) =
            tokio::task::spawn_blocking(job).await.map_err(|_| DiffError::Internal)?;
        work = returned;
        match read.map_err(|unread| layer.unread(unread))? {
            Read::Known => {}
            Read::Lacking(found) => {
                lacking.insert(number, *found);
            }
            Read::Whole(reason) => {
                let layers = if is_old { &mut old_layers } else { &mut new_layers };
                let demoted = layers.iter_mut().filter(|it| it.number == number);
                demoted.for_each(|it| it.way = Way::Whole(reason.clone()));
            }
        }
    }
    let gzip = gzip::update(old, new).await?;
    let totals = Totals::new(old, new, &new_layers, lacking);
    let (largest, rest, directories) = work.tally.finish();
    let with_toc = |layers: &[Layer<'_>]| layers.iter().filter(|it| it.has_toc()).count() as u64;
    let (old_with, new_with) = (with_toc(&old_layers), with_toc(&new_layers));
    let mut notes = Vec::new();
    if let (Some(of_old), Some(of_new)) = (&old.1.platform, &new.1.platform)
        && !of_old.is_same(of_new)
    {
        notes.push(format!("OLD is an image for {of_old}, and NEW one for {of_new}"));
    }
    let old_without = old_layers.len() as u64 - old_with;
    if old_without > 0 && old_with > 0 && totals.is_partial() {
        notes.push(format!(
            "{old_without} of {} layers of OLD have no TOC: clients do not find their files, and \
             files of NEW count as new even if these layers have them",
            old_layers.len()
        ));
    }
    if gzip.is_none() && new_with > 0 {
        notes.push(
            "the sizes of NEW as gzip are unknown: neither its index nor its repository has the \
             same image with gzip layers"
                .to_owned(),
        );
    }
    Ok(ImageDiff {
        platform: None,
        old: facts(old.1, old_with),
        new: facts(new.1, new_with),
        clients: totals.clients(gzip),
        files: totals.files,
        layers: totals.layers,
        largest,
        rest,
        directories,
        notes,
    })
}

fn layers<'a>(
    (side, image): (&'a Side, &'a SourceImage),
    old: Option<&SourceImage>,
) -> Vec<Layer<'a>> {
    let in_old = Present::of(old);
    let numbered = (1..).zip(&image.manifest.layers);
    numbered
        .map(|(number, descriptor)| Layer {
            side,
            is_old: old.is_none(),
            number,
            descriptor,
            way: if image.config.diff_ids.is_empty() {
                Way::Whole("the config has no diffIDs".to_owned())
            } else {
                way(descriptor)
            },
            is_in_old: in_old.has(descriptor),
        })
        .collect()
}

/// The layers that a client has, as it recognizes them (`TryReusingBlobWithOptions` in
/// `image/storage/storage_dest.go`): by the digest of the blob or the TOC. That the diffIDs are the
/// same helps only if the client has seen the blob before.
struct Present<'a> {
    blobs: HashSet<&'a Digest>,
    tocs: HashSet<&'a str>,
}

impl<'a> Present<'a> {
    fn of(old: Option<&'a SourceImage>) -> Self {
        let layers = || old.iter().flat_map(|old| &old.manifest.layers);
        Self {
            blobs: layers().map(|layer| &layer.blob.digest).collect(),
            tocs: layers().filter_map(|layer| layer.annotation(TOC_DIGEST)).collect(),
        }
    }

    fn has(&self, layer: &Descriptor) -> bool {
        let toc = layer.annotation(TOC_DIGEST);
        self.blobs.contains(&layer.blob.digest) || toc.is_some_and(|toc| self.tocs.contains(toc))
    }
}

fn facts(image: &SourceImage, layers_with_toc: u64) -> DiffedImage {
    let layers = &image.manifest.layers;
    DiffedImage {
        digest: image.raw.digest.clone(),
        config_digest: image.manifest.config.blob.digest.clone(),
        layers: layers.len() as u64,
        layers_with_toc,
        size: layers.iter().fold(0, |sum, layer| layer.blob.size.saturating_add(sum)),
    }
}

impl<'a> Layer<'a> {
    fn has_toc(&self) -> bool {
        !matches!(self.way, Way::Whole(_))
    }

    async fn fetch(self) -> Result<(Layer<'a>, LayerDocuments), DiffError> {
        if let Way::Refused(reason) = self.way.clone() {
            return Err(self.unread(Unread::Refused(reason)));
        }
        let (store, Descriptor { blob, annotations, .. }) =
            (self.side.source.store(), self.descriptor);
        match LayerDocuments::fetch_or_download(store, blob, annotations).await {
            Ok(documents) => Ok((self, documents)),
            Err(error) => {
                let reference = self.side.source.reference().clone();
                Err(DiffError::Documents { reference, number: self.number, error })
            }
        }
    }

    fn unread(&self, unread: Unread) -> DiffError {
        match unread {
            Unread::TooManyEntries => DiffError::TooManyEntries { limit: ENTRIES_MAX },
            Unread::Refused(reason) => DiffError::Refused {
                reference: self.side.source.reference().clone(),
                number: self.number,
                digest: self.descriptor.blob.digest.clone(),
                reason,
            },
        }
    }
}
