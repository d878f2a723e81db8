//! Image references.
/// Placeholder, see the store branch.
pub struct ImageReference;
/// Placeholder.
pub struct ReferenceError;
