//! Images converted, verified and inspected: by the program and by the library, judged by podman,
//! skopeo, crane, oras and validators of SBOM formats. One binary, because these tests need nothing
//! that a process of their own would give them, and each more binary takes a minute to link.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stderr, clippy::print_stdout)]

mod acceptance;
mod archives;
mod attached;
mod convert;
mod diff;
mod differential;
mod documents;
mod failures;
mod generated;
mod in_place;
mod index;
mod index_readers;
mod kept;
mod layouts;
mod lowest;
mod odd_layers;
mod pages;
mod promises;
mod random_trees;
mod reuse;
mod sbom;
mod verify;
