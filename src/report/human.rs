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

/// Lines of up to `width` characters, broken at spaces.
pub(crate) fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split(' ') {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

/// As in `1 layer`, `2 layers` and `2 entries`.
pub(crate) fn counted(number: u64, what: &str) -> String {
    let many = what.strip_suffix('y').map_or_else(|| format!("{what}s"), |it| format!("{it}ies"));
    format!("{} {}", count(number), if number == 1 { what } else { &many })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_broken_at_spaces() {
        assert_eq!(wrapped("one two three", 7), ["one two", "three"]);
        assert_eq!(wrapped("much-too-long é ö", 3), ["much-too-long", "é ö"]);
        assert_eq!(wrapped("", 3), [""]);
    }

    #[test]
    fn one_is_not_many() {
        let texts = [0, 1, 2000].map(|number| counted(number, "layer"));
        assert_eq!(texts, ["0 layers", "1 layer", "2,000 layers"]);
        assert_eq!([1, 2].map(|number| counted(number, "entry")), ["1 entry", "2 entries"]);
    }
}
