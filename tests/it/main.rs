//! Integration tests: one binary, so that the crate is linked once.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stderr)]

mod acceptance;
mod convert;
mod failures;
mod layout;
mod support;
