//! Re-push a container image as a zstd:chunked variant.
//!
//! ```text
//!  blob bytes ──► decompress ──► walk the tar ──► cut into frames ──► workers: encode, hash,
//!  (verified      (diffID)       (raw bytes        (chunker, holes)   decode back, compare
//!   as they                       kept)                                   │ in order
//!   arrive)                                                               ▼
//!  destination ◄── upload ◄── spool ◄── assemble: offsets, TOC, tar-split, footer, digest
//! ```
//!
//! The rooms, each allowed to call only those to its right:
//! `cli → options → {convert, inspect} → verify → {layer, probe, attached, source, report, tekton} → store → {chunked, check, tar} → {limits, image}`.
//!
//! * [`chunked`] and [`tar`] know the formats: no network, no async, `Read` in and `Write` out.
//! * [`check`] judges layers, new ones before they are published: it knows the same formats, and
//!   shares nothing with [`chunked`].
//! * [`image`] holds documents (digests, references, manifests) and does no I/O.
//! * [`limits`] says what a layer may come to; it knows no other room.
//! * [`layer`] turns one compressed blob into another, on threads.
//! * [`source`] opens an image for every command: chooses it from an index, reads it.
//! * [`store`] is where images live; it knows no compression.
//! * [`probe`] finds out what a registry does for partial pulls, for `convert` and by itself.
//! * [`attached`] finds what hangs on an image, and takes its SBOM over, for `convert`.
//! * [`convert`] is the job itself: plan, run, publish. [`verify`] and [`inspect`] look at images.

pub mod attached;
pub mod check;
pub mod chunked;
pub mod cli;
pub mod convert;
pub mod image;
pub mod inspect;
pub mod layer;
pub mod limits;
pub mod probe;
pub mod report;
pub mod source;
pub mod store;
pub mod tar;
pub mod tekton;
pub mod verify;
