//! What the program as a whole withstands. Images that were made to take much: its peak memory, and
//! how much of their content it looks at before it gives up. Layouts that are damaged, or written to
//! by many at once.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout)]

mod hostile;
mod layouts;
mod measured;
mod reuse;
mod sources;
