//! What holds for every layer that the library converts and for every document that it reads. The
//! property tests of this crate and the fuzz targets assert the same.
//!
//! A crate of its own, because it depends on the library, which `recompress-test-support` must not.
#![allow(clippy::expect_used, clippy::missing_panics_doc)]

pub mod documents;
pub mod layer;
