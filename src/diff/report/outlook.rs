//! What there is to say of an update before its figures, and which of them say something.

use super::{
    Clients, DiffReport, FileState, GzipOrigin, GzipUpdate, ImageDiff, LayerDiff, LayerState,
};
use crate::{
    image::{Digest, media_type},
    report::human::size,
};

/// The reason of layers that are fetched as a whole that nobody needs to read more than once.
const NO_TOC: &str = "it has no TOC";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outlook {
    /// Both are the same image.
    Same,
    /// NEW is not pulled partially.
    Whole,
    /// OLD has no files that clients find.
    FirstPull,
    Update,
}

impl DiffReport {
    /// What a client fetches of NEW besides layers.
    pub(crate) fn documents(&self) -> &'static str {
        match self.new.media_type.as_str() {
            media_type::OCI_INDEX | media_type::DOCKER_MANIFEST_LIST => {
                "index, manifest and config"
            }
            _ => "manifest and config",
        }
    }

    /// What the only image leads to expect.
    pub(crate) fn lead(&self) -> Option<String> {
        let [image] = self.images.as_slice() else { return None };
        let Clients { files, chunks, .. } = &image.clients;
        let rest =
            || format!("a client fetches {} of {}.", size(files.documents), self.documents());
        Some(match image.outlook() {
            Outlook::Same => format!("OLD and NEW are the same image; {}", rest()),
            Outlook::Whole => {
                let has =
                    if image.old.layers_with_toc == 0 { "Neither image has" } else { "NEW has no" };
                let why = format!(
                    "{has} zstd:chunked layers that clients can use, so no client can \
                    pull this update partially."
                );
                let changed = image.layers.iter().filter(|it| it.state != LayerState::Same).count();
                if changed == 0 {
                    return Some(format!("{why} No layer has changed; {}", rest()));
                }
                format!(
                    "{why} Changed layers: {} of {} ({changed} of {}).",
                    size(files.whole_layers),
                    size(image.new.size),
                    image.new.layers
                )
            }
            Outlook::FirstPull if image.layers.iter().any(|it| it.state == LayerState::Same) => {
                "OLD has no zstd:chunked layers, so nothing of it can be reused except layers that \
                 are the same in both images. To see an update, compare two converted images."
                    .to_owned()
            }
            Outlook::FirstPull => {
                "OLD has no zstd:chunked layers, so nothing of it can be reused: \
                this is the cost of the first pull. To see an update, compare two converted images."
                    .to_owned()
            }
            Outlook::Update => {
                let (any, reflinks) = (size(files.total), size(chunks.total));
                let or = if any == reflinks {
                    String::new()
                } else {
                    format!(", or {reflinks} on XFS or btrfs")
                };
                format!(
                    "With partial pulls, a client that has OLD fetches {any} to get NEW \
                    ({}){or}.",
                    size(image.whole())
                )
            }
        })
    }
}

impl ImageDiff {
    pub(crate) fn outlook(&self) -> Outlook {
        if self.old.digest == self.new.digest {
            Outlook::Same
        } else if self.new.layers_with_toc == 0 {
            Outlook::Whole
        } else if self.old.layers_with_toc == 0 {
            Outlook::FirstPull
        } else {
            Outlook::Update
        }
    }

    /// The same for one of several platforms.
    pub(crate) fn brief(&self) -> Option<&'static str> {
        match self.outlook() {
            Outlook::Same => Some("OLD and NEW are the same image"),
            Outlook::Whole => Some("NEW has no zstd:chunked layers that clients can use"),
            Outlook::FirstPull => {
                Some("OLD has no zstd:chunked layers, so no files of it are reused")
            }
            Outlook::Update => None,
        }
    }

    /// All that a client with nothing fetches.
    pub(crate) fn whole(&self) -> u64 {
        self.new.size.saturating_add(self.clients.files.documents)
    }

    /// What happens to a layer.
    pub(crate) fn state(&self, layer: &LayerDiff) -> &'static str {
        match layer.state {
            LayerState::Same => "same",
            LayerState::Partial if self.outlook() == Outlook::FirstPull => "all",
            LayerState::Partial => "partial",
            LayerState::Whole => "whole",
        }
    }

    /// Why a layer is fetched as a whole, unless that has been said.
    pub(crate) fn reason<'a>(&self, layer: &'a LayerDiff) -> Option<&'a str> {
        let is_said = |reason: &&str| self.outlook() == Outlook::Whole && *reason == NO_TOC;
        layer.reason.as_deref().filter(|reason| !is_said(reason))
    }

    /// The files of changed layers, as far as there are any.
    pub(crate) fn counted(&self) -> Vec<(&'static str, super::FileCount)> {
        let new = match self.outlook() {
            Outlook::FirstPull => "not in a TOC of OLD",
            _ => "new files",
        };
        let files = &self.files;
        let all =
            [("same content", files.same), ("changed files", files.changed), (new, files.new)];
        all.into_iter().filter(|(_, count)| count.files > 0).collect()
    }

    /// The parts of a partial pull, on any file system and on one with reflinks. The last is not in
    /// its total.
    pub(crate) fn parts(&self) -> Vec<(&'static str, u64, u64)> {
        let Clients { files, chunks, .. } = &self.clients;
        let parts = [
            ("content of files", files.ranges, chunks.ranges),
            ("layers as a whole", files.whole_layers, chunks.whole_layers),
            ("TOCs and tar-splits", files.metadata, chunks.metadata),
            ("manifest, config, index", files.documents, chunks.documents),
            ("total", files.total, chunks.total),
            ("not counted: multipart headers", files.overhead, chunks.overhead),
        ];
        parts.into_iter().filter(|(_, any, reflinks)| any.max(reflinks) > &0).collect()
    }
}

impl FileState {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Changed => "changed",
            Self::New => "new",
        }
    }
}

impl GzipUpdate {
    /// All that a client with nothing fetches.
    pub(crate) fn whole(&self) -> u64 {
        self.size.saturating_add(self.documents)
    }

    /// Whose sizes these are.
    pub(crate) fn origin(&self) -> String {
        let whose = match self.origin {
            GzipOrigin::Given => "NEW itself",
            GzipOrigin::Index => "the gzip image in the same index",
            GzipOrigin::Source => "the source",
        };
        format!("gzip sizes are those of {whose}, {}", short(&self.digest))
    }
}

/// Enough of a digest to tell it from others.
pub(crate) fn short(digest: &Digest) -> String {
    let hex = digest.hex().get(..12).unwrap_or_default();
    format!("{}:{hex}", digest.algorithm().as_str())
}
