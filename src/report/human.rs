//! Figures as people read them.

use bytesize::ByteSize;

/// A number of bytes, as in `28.4 MiB`.
pub(crate) fn size(bytes: u64) -> String {
    ByteSize(bytes).display().iec().to_string()
}

/// How much `part` is of `whole`, as in `97 %`.
pub(crate) fn percent(part: u64, whole: u64) -> String {
    // Only for the eye: a fraction of a per cent lost does not matter.
    #[expect(clippy::cast_precision_loss)]
    let percent = part as f64 * 100.0 / whole.max(1) as f64;
    format!("{percent:.0} %")
}
