//! The check of layers: what is right passes, each thing that is wrong is found.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, clippy::print_stderr)]

mod mutations;
mod specimen;
