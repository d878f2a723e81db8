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
//! The modules, each of which may use only those to its right, and none that shares its braces:
//!
//! ```text
//! cli → {convert, inspect, diff} → {verify, tekton} → report →
//!     {probe, layer, resolve} → {source, attached} → {store, check, chunked} →
//!     {image, tar, limits, progress}
//! ```
//!
//! * [`cli`] is what was typed, what it means, and the exit codes.
//! * [`convert`] is the job: plan, run, publish. [`verify`], `inspect`, `diff` and [`probe`] are
//!   one command each.
//! * [`source`] opens an image for every command, and chooses it from an index; `resolve` finds the
//!   digest that a tag names.
//! * [`layer`] turns one compressed blob into another, on threads.
//! * [`attached`] lists what is attached to an image, and copies its SBOM.
//! * [`report`] prints events and reports; [`tekton`] writes results.
//! * [`store`] is where images are kept; it knows no compression.
//! * [`chunked`] and [`tar`] know the formats: no network, no async, `Read` in and `Write` out.
//! * [`check`] reads the same formats on its own, and shares nothing with [`chunked`].
//! * `progress` lists what is under way, for [`report`] to show.
//! * [`image`] has the documents (digests, references, manifests) and does no I/O; [`limits`] says
//!   how large a layer may be.
//!
//! There is no stable API. The library exists for the binary, the benchmarks, the fuzz targets and
//! the tests, and `pub` is what they use: [`cli::parse`] and [`cli::run`]; a job and its `run` in
//! [`convert`], [`verify`], `inspect` and [`probe`]; [`layer`] and [`check`] for single layers;
//! [`store::Store`] and [`image`] for tests that build images.

pub mod attached;
pub mod check;
pub mod chunked;
pub mod cli;
pub mod convert;
mod diff;
pub mod image;
mod inspect;
pub mod layer;
pub mod limits;
pub mod probe;
mod progress;
pub mod report;
mod resolve;
pub mod source;
pub mod store;
pub mod tar;
pub mod tekton;
pub mod verify;
