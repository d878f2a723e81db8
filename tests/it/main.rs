//! Integration tests: one binary, so that the crate is linked once.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stderr, clippy::print_stdout)]

mod acceptance;
mod convert;
mod differential;
mod documents;
mod failures;
mod generated;
mod index;
mod index_readers;
mod kept;
mod lowest;
mod odd_layers;
mod promises;
mod random_trees;
mod sbom;
