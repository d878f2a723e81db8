//! Properties of layers and documents, through the library alone. Apart from the tests of the
//! program because the fuzz targets share what is asserted here.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, clippy::print_stderr)]

mod documents;
mod layer;
