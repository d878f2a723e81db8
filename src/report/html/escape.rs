//! Writes HTML. Markup comes only from literals; everything else goes through [`Html::text`] or the
//! value of an attribute, which are escaped here and nowhere else.

use std::fmt::{self, Display, Write as _};

/// The longest text that is written in one piece, in characters; longer ones are cut in the middle.
const TEXT_MAX: usize = 1000;

#[derive(Debug, Default)]
pub(super) struct Html(String);

/// The attributes of an element.
pub(super) type Attributes<'a> = &'a [(&'static str, &'a dyn Display)];

impl Html {
    pub(super) fn raw(&mut self, markup: &'static str) {
        self.0.push_str(markup);
    }

    pub(super) fn open(&mut self, tag: &'static str, attributes: Attributes<'_>) {
        self.0.push('<');
        self.0.push_str(tag);
        for (name, value) in attributes {
            self.0.push(' ');
            self.0.push_str(name);
            self.0.push_str("=\"");
            self.text(value);
            self.0.push('"');
        }
        self.0.push('>');
    }

    pub(super) fn close(&mut self, tag: &'static str) {
        self.0.push_str("</");
        self.0.push_str(tag);
        self.0.push('>');
    }

    /// Text in which nothing is markup and every character can be seen.
    pub(super) fn text(&mut self, text: impl Display) {
        let text = shorten(&text.to_string(), TEXT_MAX);
        for character in text.chars() {
            // `write!` to a `String` cannot fail.
            let _ = escape(character, &mut self.0);
        }
    }

    pub(super) fn element(
        &mut self,
        tag: &'static str,
        attributes: Attributes<'_>,
        text: impl Display,
    ) {
        self.open(tag, attributes);
        self.text(text);
        self.close(tag);
    }

    pub(super) fn finish(self) -> String {
        self.0
    }
}

fn escape(character: char, out: &mut String) -> fmt::Result {
    match character {
        '&' => out.write_str("&amp;"),
        '<' => out.write_str("&lt;"),
        '>' => out.write_str("&gt;"),
        '"' => out.write_str("&quot;"),
        '\'' => out.write_str("&#39;"),
        // Letters and a symbol without a shape.
        '\u{115f}' | '\u{1160}' | '\u{2800}' | '\u{3164}' | '\u{ffa0}' => {
            write!(out, "{}", character.escape_unicode())
        }
        // Also keeps characters apart that are part of a letter, as in Hindi and Thai.
        character if character.is_alphanumeric() => out.write_char(character),
        // Control characters, those that change the direction of text, combining marks; and the
        // backslash, so that nothing can pose as an escape.
        character => write!(out, "{}", character.escape_debug()),
    }
}

/// The text without its end if it has more than `max` characters.
pub(super) fn cut(text: &str, max: usize) -> String {
    match text.char_indices().nth(max) {
        Some(_) => text.chars().take(max.saturating_sub(1)).chain(['…']).collect(),
        None => text.to_owned(),
    }
}

/// The text without its middle if it has more than `max` characters.
pub(super) fn shorten(text: &str, max: usize) -> String {
    if text.char_indices().nth(max).is_none() {
        return text.to_owned();
    }
    let head = max.saturating_sub(1) / 3;
    let tail = max.saturating_sub(1) - head;
    let end: String = text.chars().rev().take(tail).collect();
    text.chars().take(head).chain(['…']).chain(end.chars().rev()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn escaped(text: &str) -> String {
        let mut html = Html::default();
        html.text(text);
        html.finish()
    }

    #[test]
    fn what_cannot_be_seen_is_written_out() {
        for (text, expected) in [
            ("a & b", "a &amp; b"),
            ("\"><script>", "&quot;&gt;&lt;script&gt;"),
            ("it's", "it&#39;s"),
            ("a\u{202e}b\u{2066}", "a\\u{202e}b\\u{2066}"),
            ("a\0\n\u{1b}[0m", "a\\0\\n\\u{1b}[0m"),
            ("e\u{301}\u{301}", "e\\u{301}\\u{301}"),
            ("\\u{202e}", "\\\\u{202e}"),
            ("a\u{3164}b\u{ffa0}\u{2800}", "a\\u{3164}b\\u{ffa0}\\u{2800}"),
            ("naïve हिन्दी 日本", "naïve हिन\\u{94d}दी 日本"),
        ] {
            assert_eq!(escaped(text), expected);
        }
    }

    #[test]
    fn long_text_is_cut_in_the_middle() {
        assert_eq!(shorten("abcdefghij", 10), "abcdefghij");
        assert_eq!(shorten("abcdefghijk", 10), "abc…fghijk");
        assert_eq!(shorten("äöüß", 3), "…üß");
        assert_eq!((cut("äöüß", 3), cut("äöü", 3)), ("äö…".to_owned(), "äöü".to_owned()));
        assert_eq!(escaped(&"<".repeat(4000)).len(), (TEXT_MAX - 1) * 4 + "…".len());
    }
}
