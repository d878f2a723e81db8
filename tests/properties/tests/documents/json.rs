//! JSON as text has it: with several fields of one name, with escapes, and with what is not JSON.

use std::fmt::Write as _;

use fastrand::Rng;

/// What a document is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Manifest,
    Index,
    Config,
}

impl Kind {
    pub(crate) const ALL: [Self; 3] = [Self::Manifest, Self::Index, Self::Config];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Manifest => "manifest",
            Self::Index => "index",
            Self::Config => "config",
        }
    }
}

/// A value; names of fields and all that is not a list or an object as they stand in the text.
#[derive(Debug, Clone)]
pub(crate) enum Json {
    Text(String),
    List(Vec<Json>),
    Object(Vec<(String, Json)>),
}

impl Json {
    pub(crate) fn of(value: &serde_json::Value) -> Self {
        match value {
            serde_json::Value::Array(list) => Self::List(list.iter().map(Self::of).collect()),
            serde_json::Value::Object(fields) => Self::Object(
                fields.iter().map(|(name, value)| (quoted(name), Self::of(value))).collect(),
            ),
            other => Self::Text(other.to_string()),
        }
    }

    /// The text, with white space at random if `rng` is given.
    pub(crate) fn write(&self, rng: &mut Option<&mut Rng>) -> String {
        let mut out = String::new();
        self.write_to(&mut out, rng);
        out
    }

    fn write_to(&self, out: &mut String, rng: &mut Option<&mut Rng>) {
        space(out, rng);
        match self {
            Self::Text(text) => out.push_str(text),
            Self::List(list) => {
                out.push('[');
                for (at, value) in list.iter().enumerate() {
                    out.push_str(if at > 0 { "," } else { "" });
                    value.write_to(out, rng);
                }
                out.push(']');
            }
            Self::Object(fields) => {
                out.push('{');
                for (at, (name, value)) in fields.iter().enumerate() {
                    out.push_str(if at > 0 { "," } else { "" });
                    space(out, rng);
                    out.push_str(name);
                    space(out, rng);
                    out.push(':');
                    value.write_to(out, rng);
                }
                out.push('}');
            }
        }
        space(out, rng);
    }

    /// How many values there are, this one included.
    pub(crate) fn count(&self) -> usize {
        1 + match self {
            Self::Text(_) => 0,
            Self::List(list) => list.iter().map(Self::count).sum(),
            Self::Object(fields) => fields.iter().map(|(_, value)| value.count()).sum::<usize>(),
        }
    }

    /// The value with this number, counted from this one, which is 0.
    pub(crate) fn nth(&mut self, mut number: usize) -> Option<&mut Self> {
        if number == 0 {
            return Some(self);
        }
        number -= 1;
        let children: Vec<&mut Self> = match self {
            Self::Text(_) => Vec::new(),
            Self::List(list) => list.iter_mut().collect(),
            Self::Object(fields) => fields.iter_mut().map(|(_, value)| value).collect(),
        };
        for child in children {
            let count = child.count();
            if number < count {
                return child.nth(number);
            }
            number -= count;
        }
        None
    }

    /// The fields of an object.
    pub(crate) fn fields(&mut self) -> Option<&mut Vec<(String, Json)>> {
        match self {
            Self::Object(fields) => Some(fields),
            _ => None,
        }
    }
}

fn space(out: &mut String, rng: &mut Option<&mut Rng>) {
    if let Some(rng) = rng
        && rng.u8(..8) == 0
    {
        out.push_str(rng.choice([" ", "\n", "\t", "\r\n", "  "]).unwrap());
    }
}

/// A string with its quotes.
pub(crate) fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// The same string with a letter written as `\u…`.
pub(crate) fn escaped(text: &str, rng: &mut Rng) -> String {
    let letters: Vec<usize> = text
        .char_indices()
        .filter(|(at, letter)| letter.is_ascii_alphanumeric() && !text[..*at].contains('\\'))
        .map(|(at, _)| at)
        .collect();
    let Some(at) = rng.choice(letters) else { return text.to_owned() };
    let mut out = text[..at].to_owned();
    write!(out, "\\u{:04x}", text.as_bytes()[at]).unwrap();
    out + &text[at + 1..]
}

/// The same name for a reader that does not care for case.
pub(crate) fn folded(text: &str, rng: &mut Rng) -> String {
    let fold = |letter: char| match (letter, rng.u8(..6)) {
        ('s' | 'S', 0..=2) => 'ſ',
        ('k' | 'K', 0..=2) => '\u{212a}',
        (letter, 0..=3) if letter.is_ascii_lowercase() => letter.to_ascii_uppercase(),
        (letter, 0..=3) => letter.to_ascii_lowercase(),
        (letter, _) => letter,
    };
    text.chars().map(fold).collect()
}
