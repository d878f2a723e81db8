//! The referrers of a manifest, wherever it lives.

use crate::image::Descriptor;

/// Entries that are kept of a list; no image has that many.
pub(super) const REFERRERS_MAX: usize = 1000;

/// The referrers of a manifest.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Referrers {
    /// At most [`REFERRERS_MAX`].
    pub(crate) list: Vec<Descriptor>,
    /// How many entries are not descriptors.
    pub(crate) others: usize,
    /// There are more, which have not been read.
    pub(crate) cut: bool,
}

impl Referrers {
    /// Adds entries, as far as there is room.
    pub(super) fn take(&mut self, entries: impl IntoIterator<Item = Descriptor>) {
        for entry in entries {
            if self.list.len() == REFERRERS_MAX {
                self.cut = true;
                return;
            }
            self.list.push(entry);
        }
    }
}
