//! Text that is not ours: words of registries, names in images, causes of the system.

use std::borrow::Cow;

/// The text as part of a message. Advice begins after `; ` there, and must be ours.
pub fn foreign(text: &str) -> Cow<'_, str> {
    let mut text = Cow::Borrowed(text);
    if text.contains(';') {
        // What follows may be anything that a later step takes for a space.
        text = Cow::Owned(text.replace(';', ","));
    }
    // With an odd or an escaped one, what is quoted after it would seem not to be, and the reverse.
    if text.matches('"').count() % 2 == 1 || text.contains('"') && text.contains('\\') {
        text = Cow::Owned(text.replace('"', "'"));
    }
    text
}

/// Whether a character can neither move the cursor nor change the order or the look of others.
pub fn is_printable(c: char) -> bool {
    let is_format = matches!(c,
        '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}');
    !c.is_control() && !is_format
}

/// The text without line breaks and other characters that are not printable.
pub fn one_line(text: &str) -> Cow<'_, str> {
    if text.chars().all(is_printable) {
        return Cow::Borrowed(text);
    }
    Cow::Owned(text.chars().map(|c| if is_printable(c) { c } else { ' ' }).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_printable_characters_stay() {
        assert_eq!(
            one_line("é漢 \u{202e}a\u{2066}\n\u{1b}[31m\u{feff}\u{200b}"),
            "é漢  a   [31m  "
        );
        assert!(matches!(one_line("abc; \"é\""), Cow::Borrowed(_)));
    }

    #[test]
    fn nothing_foreign_looks_like_the_beginning_of_advice() {
        assert_eq!(foreign("denied; run x;y"), "denied, run x,y");
        assert_eq!(foreign("a \"b\" c"), "a \"b\" c");
        assert_eq!(foreign("a \"b"), "a 'b");
        assert_eq!(foreign(r#"a "\" b"#), r"a '\' b");
    }
}
