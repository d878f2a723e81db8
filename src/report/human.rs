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

/// A number with its thousands apart, as in `74,123`.
pub(crate) fn count(number: u64) -> String {
    let digits = number.to_string();
    let groups = digits.as_bytes().rchunks(3).rev();
    groups.map(String::from_utf8_lossy).collect::<Vec<_>>().join(",")
}

/// As in `1 layer` and `2 layers`.
pub(crate) fn counted(number: u64, what: &str) -> String {
    format!("{} {what}{}", count(number), if number == 1 { "" } else { "s" })
}
