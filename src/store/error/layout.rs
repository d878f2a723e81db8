use std::path::PathBuf;

/// A directory is not a layout, or not one that has what was asked for.
#[derive(Debug, thiserror::Error)]
pub enum LayoutError {
    #[error("{} is not a directory; the path of a layout ends at the first colon", .0.display())]
    Missing(PathBuf),
    #[error("{} is not an OCI image layout: it has no oci-layout file", .0.display())]
    NoLayout(PathBuf),
    /// The directory is something else and will not be overwritten.
    #[error(
        "{} is neither empty nor an OCI image layout; choose a layout, an empty directory or a new \
         one",
        .0.display()
    )]
    Occupied(PathBuf),
    #[error("unsupported layout version {version:?} in {}; expected 1.0.0", path.display())]
    Version { path: PathBuf, version: String },
    #[error("{} is damaged: {reason}", path.display())]
    Damaged { path: PathBuf, reason: String },
    /// `wanted` is a space and a tag, or empty. So is `listed`, if there are no images.
    #[error("{} has no image{wanted}; {}", root.display(), contents(listed))]
    NoImage { root: PathBuf, wanted: String, listed: String },
    /// More than one image matches the selection. `by` is how they can be named.
    #[error("{} has several images; choose one by {by}: {listed}", root.display())]
    Several { root: PathBuf, by: &'static str, listed: String },
}

fn contents(listed: &str) -> String {
    if listed.is_empty() { "it is empty".to_owned() } else { format!("it has: {listed}") }
}
