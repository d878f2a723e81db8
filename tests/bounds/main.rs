//! What the program withstands: images built to exhaust memory or time, damaged layouts, and layouts
//! that many processes write to. A binary of its own, because these tests watch the memory and time of
//! the program: `cargo test` runs one binary at a time, so the others do not disturb them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stderr, clippy::print_stdout)]

mod archives;
mod hostile;
mod layouts;
mod limited;
mod many;
mod measured;
mod reuse;
mod sources;
