//! Paths of files in images, as reports group and compare them.

/// The parts of a path, without those that lead nowhere.
pub(crate) fn components(path: &str) -> impl DoubleEndedIterator<Item = &str> {
    path.split('/').filter(|part| !matches!(*part, "" | "."))
}
