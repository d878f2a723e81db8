//! Which entries an index gets: decided by what the source's entries are, before anything is made.

use std::collections::HashSet;

use crate::{
    convert::format::{Format, IndexMode},
    image::{
        Digest, Platform,
        media_type::Family,
        platform::{Fit, PlatformKey},
    },
};

/// What an entry of the source is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Role {
    Image {
        format: Format,
        family: Family,
        /// Why it may not stay as it is.
        rejected: Option<String>,
    },
    /// A manifest that has not been read, because its platform was not requested.
    Unread,
    /// The same, and the source does not have it.
    Missing,
    /// An image that cannot be converted, and why.
    Unfit { reason: String },
    /// A statement on the entry with this digest, which is true of that alone.
    Attestation { of: Option<String> },
    /// Something else, and why it is not an image.
    Other { reason: String },
}

#[derive(Debug, Clone)]
pub(super) struct SourceEntry {
    pub(super) digest: Digest,
    pub(super) platform: Option<Platform>,
    /// Its platform was requested.
    pub(super) selected: bool,
    pub(super) role: Role,
}

impl SourceEntry {
    /// What entries for the same platform have in common.
    pub(super) fn key(&self) -> Option<PlatformKey> {
        self.platform.as_ref().map(Platform::key)
    }

    pub(super) fn is_image(&self) -> bool {
        matches!(self.role, Role::Image { .. })
    }
}

/// One entry of the result, made from an entry of the source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Placement {
    /// Which entry of the source.
    pub(super) entry: usize,
    /// What it becomes; without one, it stays what it is.
    pub(super) made: Option<Format>,
}

/// The entries of the result, in order.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Arrangement {
    pub(super) placements: Vec<Placement>,
    /// Which entries of the source it does not have, and why.
    pub(super) left: Vec<(usize, String)>,
}

/// Where an entry goes: entries of the same rank are in the order of the source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    /// What all clients can read: old ones take the first entry for their platform.
    ForAll,
    /// What only some can read.
    ForSome,
    /// What is not an image that was converted.
    Last,
}

/// Marks the entries whose platform was requested: all, if `platforms` is empty. `Err` has a
/// platform that there is no image for.
pub(super) fn select(entries: &mut [SourceEntry], platforms: &[Platform]) -> Result<(), Platform> {
    for source in &mut *entries {
        source.selected = platforms.is_empty();
    }
    for wanted in platforms {
        let fit = |source: &SourceEntry| -> Option<Fit> {
            if matches!(source.role, Role::Image { .. } | Role::Unfit { .. }) {
                wanted.fit(source.platform.as_ref()?)
            } else {
                None
            }
        };
        let images = entries.iter().filter(|source| source.is_image());
        let Some(best) = images.filter_map(fit).min() else { return Err(wanted.clone()) };
        for source in &mut *entries {
            source.selected |= fit(source) == Some(best);
        }
    }
    Ok(())
}

/// Arranges an index. `None` if there is no image to convert.
///
/// Whatever the mode, an index comes out that is of one family (OCI), has no two variants of one
/// format for one platform that it did not have before, none that was rejected, and no attestation
/// of what is not in it. Arranging the result again changes nothing, but in
/// [`IndexMode::AllPlatforms`], which always makes its variants again.
pub(super) fn arrange(
    entries: &[SourceEntry],
    mode: IndexMode,
    formats: &[Format],
) -> Option<Arrangement> {
    let images: Vec<RequestedImage> = selected(entries).collect();
    if images.is_empty() {
        return None;
    }
    let mut arranging = Arranging { entries, mode, placements: Vec::new(), left: Vec::new() };
    arranging.keep_images();
    arranging.make_missing(&images, formats);
    arranging.keep_others();
    let Arranging { mut placements, left, .. } = arranging;
    // Stable, so that variants of one entry stay in the order of the formats.
    placements
        .sort_by_key(|(rank, place)| (*rank, format_place(formats, *rank, *place), place.entry));
    let placements = placements.into_iter().map(|(_, place)| place).collect();
    Some(Arrangement { placements, left })
}

/// An image that was requested.
struct RequestedImage {
    entry: usize,
    key: Option<PlatformKey>,
    format: Format,
    is_rejected: bool,
}

fn selected(entries: &[SourceEntry]) -> impl Iterator<Item = RequestedImage> {
    entries.iter().enumerate().filter_map(|(entry, source)| match &source.role {
        Role::Image { format, rejected, .. } if source.selected => Some(RequestedImage {
            entry,
            key: source.key(),
            format: *format,
            is_rejected: rejected.is_some(),
        }),
        _ => None,
    })
}

struct Arranging<'a> {
    entries: &'a [SourceEntry],
    mode: IndexMode,
    placements: Vec<(Rank, Placement)>,
    left: Vec<(usize, String)>,
}

impl Arranging<'_> {
    fn leave(&mut self, entry: usize, reason: &str) {
        self.left.push((entry, reason.to_owned()));
    }

    fn place(&mut self, rank: Rank, entry: usize, made: Option<Format>) {
        self.placements.push((rank, Placement { entry, made }));
    }

    /// What is there already, as it is or as an OCI manifest of the same.
    fn keep_images(&mut self) {
        const NOT_REQUESTED: &str = "its platform was not requested";
        for (entry, source) in self.entries.iter().enumerate() {
            let adds = self.mode == IndexMode::Add;
            match &source.role {
                Role::Image { rejected: Some(reason), .. } => self.leave(entry, reason),
                Role::Image { format, family, .. } => {
                    let stays = match self.mode {
                        IndexMode::AllPlatforms => false,
                        IndexMode::Dual => source.selected,
                        IndexMode::Add => true,
                    };
                    if stays {
                        let made = (*family == Family::Docker).then_some(*format);
                        let for_some = self.mode == IndexMode::Dual && format.is_zstd();
                        let rank = if for_some { Rank::ForSome } else { Rank::ForAll };
                        self.place(rank, entry, made);
                    } else if !source.selected {
                        self.leave(entry, NOT_REQUESTED);
                    }
                }
                Role::Missing => self.leave(entry, "the source does not have it"),
                Role::Unread | Role::Unfit { .. } if adds => {
                    self.place(Rank::ForAll, entry, None);
                }
                Role::Unread => self.leave(entry, NOT_REQUESTED),
                Role::Unfit { .. } if !source.selected => self.leave(entry, NOT_REQUESTED),
                Role::Unfit { .. } if self.mode == IndexMode::Dual => {
                    self.place(Rank::Last, entry, None);
                }
                Role::Unfit { reason } => self.leave(entry, reason),
                Role::Attestation { .. } | Role::Other { .. } => {}
            }
        }
    }

    /// What is missing: each made of the first image of its platform, of a rejected one only if there
    /// is no other.
    fn make_missing(&mut self, images: &[RequestedImage], formats: &[Format]) {
        let mut done = HashSet::new();
        for &wanted in formats {
            for image in images {
                let mut variants = images.iter().filter(|other| other.key == image.key);
                let of_all = self.mode == IndexMode::AllPlatforms;
                let is_it = |other: &RequestedImage| !other.is_rejected && other.format == wanted;
                let there = !of_all && variants.clone().any(is_it);
                let sound = variants.clone().find(|other| !other.is_rejected);
                let Some(from) = sound.or_else(|| variants.next()) else { continue };
                let is_first = done.insert((wanted, image.key.clone()));
                if of_all && from.entry != image.entry {
                    self.leave(image.entry, "another image of its platform is converted");
                }
                if is_first && !there {
                    let rank = match self.mode {
                        IndexMode::AllPlatforms => Rank::ForAll,
                        IndexMode::Dual if !wanted.is_zstd() => Rank::ForAll,
                        IndexMode::Dual | IndexMode::Add => Rank::ForSome,
                    };
                    self.place(rank, from.entry, Some(wanted));
                }
            }
        }
    }

    fn keep_others(&mut self) {
        let kept = self.placements.iter().filter(|(_, place)| place.made.is_none());
        let kept: HashSet<String> =
            kept.map(|(_, place)| self.entries[place.entry].digest.to_string()).collect();
        let mut known = HashSet::new();
        for (entry, source) in self.entries.iter().enumerate() {
            let (stays, reason) = match &source.role {
                Role::Attestation { of: Some(of) } => (
                    kept.contains(of.as_str()),
                    "it is an attestation of a manifest that is not in the new index",
                ),
                Role::Attestation { of: None } => (
                    self.mode != IndexMode::AllPlatforms,
                    "it is an attestation that names no manifest",
                ),
                Role::Other { reason } => (self.mode != IndexMode::AllPlatforms, reason.as_str()),
                _ => continue,
            };
            if !stays {
                self.leave(entry, reason);
            } else if known.insert(&source.digest) {
                let rank = if self.mode == IndexMode::Add { Rank::ForAll } else { Rank::Last };
                self.place(rank, entry, None);
            }
        }
    }
}

/// After what all can read, the variants follow format by format.
fn format_place(formats: &[Format], rank: Rank, place: Placement) -> usize {
    match place.made {
        Some(made) if rank == Rank::ForSome => {
            formats.iter().position(|format| *format == made).unwrap_or_default()
        }
        _ => 0,
    }
}

#[cfg(test)]
mod tests;
