//! The check of layers: what is right passes, each thing that is wrong is found.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, clippy::print_stderr)]

mod command;
mod mutations;
mod specimen;
mod trees;
