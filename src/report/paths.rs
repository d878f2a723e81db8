//! Paths of files in images, as reports group and compare them.

/// Longer names are cut; no file system has longer ones. In bytes.
const NAME_MAX: usize = 4096;

/// A name to be kept: a TOC may have any number of long ones.
pub(crate) fn shortened(name: &str) -> String {
    if name.len() <= NAME_MAX {
        return name.to_owned();
    }
    let mut end = NAME_MAX;
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    name.get(..end).unwrap_or_default().to_owned() + "…"
}

/// The parts of a path, without those that lead nowhere.
pub(crate) fn components(path: &str) -> impl DoubleEndedIterator<Item = &str> {
    path.split('/').filter(|part| !matches!(*part, "" | "."))
}
