//! Which entries an index gets: decided by what the source's entries are, before anything is made.

use std::collections::HashSet;

use crate::{
    convert::format::{Format, IndexMode},
    image::{Digest, index::Platform, media_type::Family},
};

/// What an entry of the source is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kind {
    /// An image.
    Image { format: Format, family: Family },
    /// Something that is said of the entry with this digest, and is true of that alone.
    Attestation { of: String },
    /// Something else that is for no platform.
    Other,
}

/// An entry of the source.
#[derive(Debug, Clone)]
pub(super) struct Candidate {
    pub(super) digest: Digest,
    /// What entries for the same platform have in common.
    pub(super) key: String,
    pub(super) platform: Option<Platform>,
    pub(super) kind: Kind,
}

/// One entry of the result, made from an entry of the source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Step {
    /// Which entry of the source.
    pub(super) entry: usize,
    /// What it becomes; without one, it stays what it is.
    pub(super) made: Option<Format>,
}

/// An entry of the source that the result does not have, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Left {
    pub(super) entry: usize,
    pub(super) reason: String,
}

/// The entries of the result, in order.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Arrangement {
    pub(super) steps: Vec<Step>,
    pub(super) left: Vec<Left>,
}

/// Where an entry comes to stand: entries of the same rank are in the order of the source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    /// What all clients can read: old ones take the first entry for their platform.
    ForAll,
    /// What only some can read.
    ForSome,
    /// What is no image.
    Last,
}

/// Arranges an index. `Err` has the platform that there is no image for.
///
/// Whatever the mode, an index comes out that is of one family (OCI), has no two variants of one
/// format for one platform that it did not have before, and no attestation of what is not in it.
/// Arranging the result again changes nothing, but in [`IndexMode::AllPlatforms`], which always
/// makes its variants anew.
pub(super) fn arrange(
    candidates: &[Candidate],
    mode: IndexMode,
    formats: &[Format],
    platforms: &[Platform],
) -> Result<Arrangement, Option<Platform>> {
    let images = |key: Option<&str>| {
        let key = key.map(str::to_owned);
        candidates.iter().enumerate().filter_map(move |(entry, candidate)| match candidate.kind {
            Kind::Image { format, family } if key.as_ref().is_none_or(|k| *k == candidate.key) => {
                Some((entry, format, family))
            }
            _ => None,
        })
    };
    let is_selected = |entry: usize| {
        let has = |wanted: &Platform| {
            candidates[entry].platform.as_ref().is_some_and(|platform| wanted.matches(platform))
        };
        platforms.is_empty() || platforms.iter().any(has)
    };
    for wanted in platforms {
        let matches = |(entry, ..): (usize, _, _)| {
            candidates[entry].platform.as_ref().is_some_and(|platform| wanted.matches(platform))
        };
        if !images(None).any(matches) {
            return Err(Some(wanted.clone()));
        }
    }
    if images(None).next().is_none() {
        return Err(None);
    }

    let mut steps: Vec<(Rank, Step)> = Vec::new();
    let mut left = Vec::new();
    // What is there already, as it is or as an OCI manifest of the same.
    for (entry, format, family) in images(None) {
        let selected = is_selected(entry);
        let stays = match mode {
            IndexMode::AllPlatforms => false,
            IndexMode::Dual => selected,
            IndexMode::Add => true,
        };
        if stays {
            let remade = (family == Family::Docker).then_some(format);
            let rank = if mode == IndexMode::Dual && format.is_zstd() {
                Rank::ForSome
            } else {
                Rank::ForAll
            };
            steps.push((rank, Step { entry, made: remade }));
        } else if !selected {
            left.push(Left { entry, reason: "its platform was not asked for".into() });
        }
    }
    // What is missing, each made of the first image that its platform has.
    let mut done = HashSet::new();
    for &wanted in formats {
        for (entry, ..) in images(None).filter(|(entry, ..)| is_selected(*entry)) {
            let key = candidates[entry].key.as_str();
            let mut variants = images(Some(key));
            let there =
                mode != IndexMode::AllPlatforms && variants.any(|(_, format, _)| format == wanted);
            if !done.insert((wanted, key)) {
                if mode == IndexMode::AllPlatforms {
                    left.push(Left { entry, reason: "its platform has another image".into() });
                }
            } else if !there {
                let rank = match mode {
                    IndexMode::AllPlatforms => Rank::ForAll,
                    IndexMode::Dual if !wanted.is_zstd() => Rank::ForAll,
                    IndexMode::Dual | IndexMode::Add => Rank::ForSome,
                };
                steps.push((rank, Step { entry, made: Some(wanted) }));
            }
        }
    }
    let kept: HashSet<&str> = steps
        .iter()
        .filter(|(_, step)| step.made.is_none())
        .map(|(_, step)| candidates[step.entry].digest.as_str())
        .collect();
    let mut told = HashSet::new();
    for (entry, candidate) in candidates.iter().enumerate() {
        let (stays, reason) = match &candidate.kind {
            Kind::Image { .. } => continue,
            Kind::Attestation { of } => (
                kept.contains(of.as_str()),
                "it is an attestation of a manifest that has another digest now, or is gone",
            ),
            Kind::Other => (mode != IndexMode::AllPlatforms, "it is no image of a platform"),
        };
        if !stays {
            left.push(Left { entry, reason: reason.into() });
        } else if told.insert(&candidate.digest) {
            let rank = if mode == IndexMode::Add { Rank::ForAll } else { Rank::Last };
            steps.push((rank, Step { entry, made: None }));
        }
    }
    // Stable, so that variants of one entry stay in the order of the formats.
    steps.sort_by_key(|(rank, step)| (*rank, format_place(formats, *rank, *step), step.entry));
    Ok(Arrangement { steps: steps.into_iter().map(|(_, step)| step).collect(), left })
}

/// Behind what all can read the variants stand format by format.
fn format_place(formats: &[Format], rank: Rank, step: Step) -> usize {
    match step.made {
        Some(made) if rank == Rank::ForSome => {
            formats.iter().position(|format| *format == made).unwrap_or_default()
        }
        _ => 0,
    }
}

#[cfg(test)]
mod tests;
