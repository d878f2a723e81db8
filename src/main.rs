//! The command `recompress-image`: arguments, logging, runtime, exit code.
fn main() {
    // The command line comes with the rooms it drives.
}
