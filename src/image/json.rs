//! JSON objects of image documents, read only where every reader sees the same.
//!
//! Readers written in Go match field names regardless of case (with Unicode's simple folding, so
//! that `ſ` is an `s` and the Kelvin sign a `k`) and take the last of several equal ones; others
//! take the first, or only the exact name (`encoding/json`, "Unmarshal"). A document in which that
//! makes a difference is refused. Fields that are not known keep their text, whatever it is.

use std::{borrow::Cow, collections::BTreeMap, fmt};

use serde::{
    Deserialize, Deserializer, Serialize,
    de::{DeserializeOwned, MapAccess, Visitor},
};
use serde_json::value::RawValue;

use super::digest::shorten;

/// Values may be nested this deep; Go readers refuse more than 10,000 levels, and others run out of
/// stack long before.
const DEPTH_MAX: u32 = 128;

/// Why a JSON text is not an object that all readers agree on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JsonError {
    /// It is not JSON, or not an object.
    #[error("not a JSON object ({0})")]
    Syntax(String),
    /// Values nested too deep.
    #[error("values nested more than {DEPTH_MAX} levels deep")]
    Depth,
    /// Two fields of the same name.
    #[error("duplicate field {0:?}; readers disagree on which one counts")]
    Duplicate(String),
    /// A name that some readers take for a known one.
    #[error(
        "field {found:?} differs from {known:?} in letter case only; some readers take it for that field"
    )]
    Case {
        /// As it stands in the document.
        found: String,
        /// The field of the specification.
        known: &'static str,
    },
    /// A known field with a value of another type.
    #[error("field {field:?} has the wrong type; expected {expected}")]
    Type {
        /// The field.
        field: String,
        /// What belongs there.
        expected: &'static str,
    },
}

/// An object: its fields in their order, each name once, each value as its JSON text.
#[derive(Debug, Clone, Default)]
pub struct Object {
    fields: Vec<(String, Box<RawValue>)>,
}

impl PartialEq for Object {
    fn eq(&self, other: &Self) -> bool {
        let pairs = |object: &Self| -> Vec<(String, String)> {
            object.fields.iter().map(|(name, raw)| (name.clone(), raw.get().to_owned())).collect()
        };
        pairs(self) == pairs(other)
    }
}

impl Object {
    /// Reads a whole document; `known` has the names that any reader of it looks for.
    pub fn document(bytes: &[u8], known: &[&'static str]) -> Result<Self, JsonError> {
        let text = str::from_utf8(bytes).map_err(|error| JsonError::Syntax(error.to_string()))?;
        if is_too_deep(text) {
            return Err(JsonError::Depth);
        }
        Self::parse(text, known)
    }

    fn parse(text: &str, known: &[&'static str]) -> Result<Self, JsonError> {
        let Fields(fields) =
            serde_json::from_str(text).map_err(|error| JsonError::Syntax(error.to_string()))?;
        let mut names: Vec<&str> = fields.iter().map(|(name, _)| name.as_ref()).collect();
        names.sort_unstable();
        if let Some(pair) = names.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(JsonError::Duplicate(shorten(pair[0])));
        }
        for (found, _) in &fields {
            let alike = |known: &&&'static str| *found != **known && folds_to(found, known);
            if let Some(known) = known.iter().find(alike) {
                return Err(JsonError::Case { found: shorten(found), known });
            }
        }
        let owned = fields.into_iter().map(|(name, raw)| (name.into_owned(), raw.to_owned()));
        Ok(Self { fields: owned.collect() })
    }

    /// Whether there is such a field, be it `null`.
    pub fn has(&self, name: &str) -> bool {
        self.fields.iter().any(|(field, _)| field == name)
    }

    /// The names of the fields.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.fields.iter().map(|(name, _)| name.as_str())
    }

    /// The text of a field; `null` counts as absent, as it does for Go.
    pub fn raw(&self, name: &str) -> Option<&str> {
        let (_, raw) = self.fields.iter().find(|(field, _)| field == name)?;
        Some(raw.get()).filter(|text| *text != "null")
    }

    fn typed<T: DeserializeOwned>(
        &self,
        name: &str,
        expected: &'static str,
    ) -> Result<Option<T>, JsonError> {
        let wrong = |_| JsonError::Type { field: shorten(name), expected };
        self.raw(name).map(|text| serde_json::from_str(text).map_err(wrong)).transpose()
    }

    /// A string.
    pub fn text(&self, name: &str) -> Result<Option<String>, JsonError> {
        self.typed(name, "a string")
    }

    /// A string; an empty one counts as absent.
    pub fn filled_text(&self, name: &str) -> Result<Option<String>, JsonError> {
        Ok(self.text(name)?.filter(|text| !text.is_empty()))
    }

    /// A whole number that a signed 64-bit integer holds, which is what Go readers have.
    pub fn integer(&self, name: &str) -> Result<Option<i64>, JsonError> {
        self.typed(name, "an integer of 64 bits")
    }

    /// `true` or `false`.
    pub fn boolean(&self, name: &str) -> Result<Option<bool>, JsonError> {
        self.typed(name, "true or false")
    }

    /// A list of strings; none if there is no such field.
    pub fn texts(&self, name: &str) -> Result<Vec<String>, JsonError> {
        Ok(self.typed(name, "a list of strings")?.unwrap_or_default())
    }

    /// An object in a field.
    pub fn object(&self, name: &str, known: &[&'static str]) -> Result<Option<Self>, JsonError> {
        let expected = "an object";
        let Some(text) = self.raw(name) else { return Ok(None) };
        Self::parse(text, known).map(Some).map_err(|error| match error {
            JsonError::Syntax(_) => JsonError::Type { field: shorten(name), expected },
            other => other,
        })
    }

    /// A map of strings, each key once; `null` is an empty string, as it is for Go.
    pub fn map(&self, name: &str) -> Result<Option<BTreeMap<String, String>>, JsonError> {
        let expected = "an object of strings";
        let Some(object) = self.object(name, &[])? else { return Ok(None) };
        let value = |(key, raw): &(String, Box<RawValue>)| {
            let text: Option<String> = serde_json::from_str(raw.get())
                .map_err(|_| JsonError::Type { field: shorten(name), expected })?;
            Ok((key.clone(), text.unwrap_or_default()))
        };
        object.fields.iter().map(value).collect::<Result<_, _>>().map(Some)
    }

    /// A list of objects.
    pub fn objects(
        &self,
        name: &str,
        known: &[&'static str],
    ) -> Result<Option<Vec<Self>>, JsonError> {
        self.list(name)?
            .map(|list| list.into_iter().map(|text| Self::element(name, text, known)).collect())
            .transpose()
    }

    /// A list of values as JSON texts.
    pub fn list(&self, name: &str) -> Result<Option<Vec<&str>>, JsonError> {
        let Some(text) = self.raw(name) else { return Ok(None) };
        let list: Vec<&RawValue> = serde_json::from_str(text)
            .map_err(|_| JsonError::Type { field: shorten(name), expected: "a list" })?;
        Ok(Some(list.into_iter().map(RawValue::get).collect()))
    }

    /// An object that is an element of the list in the field `name`.
    pub fn element(name: &str, text: &str, known: &[&'static str]) -> Result<Self, JsonError> {
        Self::parse(text, known).map_err(|error| match error {
            JsonError::Syntax(_) => {
                JsonError::Type { field: shorten(name), expected: "a list of objects" }
            }
            other => other,
        })
    }

    /// Sets a field, in its place or at the end.
    pub fn set(&mut self, name: &str, value: &impl Serialize) {
        // What is written here are texts, numbers, lists and objects, all of which JSON has.
        let Ok(raw) = serde_json::value::to_raw_value(value) else { return };
        match self.fields.iter_mut().find(|(field, _)| field == name) {
            Some((_, slot)) => *slot = raw,
            None => self.fields.push((name.to_owned(), raw)),
        }
    }

    /// Sets a field to a JSON text that was read from another object.
    pub fn set_json(&mut self, name: &str, text: &str) {
        if let Ok(raw) = serde_json::from_str::<Box<RawValue>>(text) {
            self.set(name, &raw);
        }
    }

    /// Removes a field.
    pub fn remove(&mut self, name: &str) {
        self.fields.retain(|(field, _)| field != name);
    }

    /// Changes the object in a field. It is made if need be, and removed once it is empty.
    pub fn edit(&mut self, name: &str, change: impl FnOnce(&mut Self)) -> Result<(), JsonError> {
        let mut inner = self.object(name, &[])?.unwrap_or_default();
        let before = inner.clone();
        change(&mut inner);
        if inner == before {
            return Ok(());
        }
        if inner.fields.is_empty() {
            self.remove(name);
        } else {
            self.set(name, &inner);
        }
        Ok(())
    }

    /// The JSON text.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }
}

impl Serialize for Object {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.fields.iter().map(|(name, raw)| (name, raw)))
    }
}

struct Fields<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'de> Deserialize<'de> for Fields<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct FieldsVisitor;
        impl<'de> Visitor<'de> for FieldsVisitor {
            type Value = Fields<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields<'de>, A::Error> {
                let mut fields = Vec::new();
                while let Some((Name(name), value)) = map.next_entry()? {
                    fields.push((name, value));
                }
                Ok(Fields(fields))
            }
        }
        deserializer.deserialize_map(FieldsVisitor)
    }
}

/// A string that is borrowed where it has no escapes.
#[derive(Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

/// Whether Go takes a name for `known`, which is in ASCII.
fn folds_to(name: &str, known: &str) -> bool {
    let fold = |letter: char| match letter {
        '\u{17f}' => 's',
        '\u{212a}' => 'k',
        other => other.to_ascii_lowercase(),
    };
    name.chars().map(fold).eq(known.chars().map(fold))
}

fn is_too_deep(text: &str) -> bool {
    let (mut depth, mut in_string, mut escaped) = (0_u32, false, false);
    for byte in text.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b'[' | b'{' if !in_string => {
                depth += 1;
                if depth > DEPTH_MAX {
                    return true;
                }
            }
            b']' | b'}' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    false
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn read(text: &str) -> Result<Object, JsonError> {
        Object::document(text.as_bytes(), &["size", "mediaType", "tasks"])
    }

    #[test]
    fn what_readers_may_see_differently_is_refused() {
        for (text, field) in
            [(r#"{"a":1,"a":1}"#, "a"), (r#"{"a":1,"\u0061":2}"#, "a"), (r#"{"":1,"":2}"#, "")]
        {
            assert_eq!(read(text).unwrap_err(), JsonError::Duplicate(field.into()), "{text}");
        }
        for name in ["Size", "SIZE", "ſize", "\\u017fize", "mediatype", "tasKs", "tas\u{212a}s"] {
            let result = read(&format!(r#"{{"{name}":1}}"#));
            assert!(matches!(result, Err(JsonError::Case { .. })), "{name}");
        }
        for name in ["sizé", "media_type", "siz", "tasḳs"] {
            assert!(read(&format!(r#"{{"{name}":1}}"#)).is_ok(), "{name}");
        }
        let deep = |depth| format!("{{\"x\":{}{}}}", "[".repeat(depth), "]".repeat(depth));
        assert!(read(&deep(127)).is_ok());
        assert_eq!(read(&deep(128)).unwrap_err(), JsonError::Depth);
        assert_eq!(read(&deep(1 << 20)).unwrap_err(), JsonError::Depth);
        assert!(read(&format!(r#"{{"x":"{}\"["}}"#, "[".repeat(1000))).is_ok());
        for text in ["", "[]", "null", "1", "{", "{}x", "\u{feff}{}", "{\"a\":1,}", "{a:1}"] {
            assert!(matches!(read(text), Err(JsonError::Syntax(_))), "{text}");
        }
        assert!(Object::document(b"{\"x\":\"\xff\"}", &[]).is_err());
    }

    #[test]
    fn known_fields_have_their_types() {
        let all = read(
            r#"{"none":null,"text":"x","empty":"","number":7,"list":["a"],"map":{"k":"v","n":null},
               "objects":[{"a":1}],"yes":true,"big":9223372036854775808}"#,
        )
        .unwrap();
        assert_eq!(all.text("none"), Ok(None));
        assert!(all.has("none") && all.raw("none").is_none());
        assert_eq!(all.text("text"), Ok(Some("x".into())));
        assert_eq!(all.filled_text("empty"), Ok(None));
        assert_eq!(all.integer("number"), Ok(Some(7)));
        assert_eq!(all.boolean("yes"), Ok(Some(true)));
        assert_eq!(all.texts("list"), Ok(vec!["a".into()]));
        assert_eq!(all.map("map").unwrap().unwrap()["n"], "");
        assert_eq!(all.objects("objects", &[]).unwrap().unwrap().len(), 1);
        assert!(all.text("number").is_err() && all.integer("text").is_err());
        assert!(all.integer("big").is_err() && all.texts("text").is_err());
        assert!(all.map("list").is_err() && all.objects("list", &[]).is_err());
        assert!(all.object("list", &[]).is_err() && all.list("map").is_err());
        assert!(read(r#"{"m":{"a":"1","a":"2"}}"#).unwrap().map("m").is_err());
    }

    #[test]
    fn what_is_not_edited_keeps_its_text() {
        let text =
            r#"{"z":1.50,"a":[1, 2],"big":123456789012345678901234567890,"n":{"x":"\u00e9"}}"#;
        let mut object = read(text).unwrap();
        assert_eq!(object.to_json(), text);
        object.set("a", &"new");
        object.edit("n", |n| n.set("y", &1)).unwrap();
        object.edit("made", |made| made.set("k", &"v")).unwrap();
        object.edit("nothing", |_| {}).unwrap();
        object.remove("z");
        let expected = concat!(
            r#"{"a":"new","big":123456789012345678901234567890,"#,
            r#""n":{"x":"\u00e9","y":1},"made":{"k":"v"}}"#
        );
        assert_eq!(object.to_json(), expected);
        object.edit("made", |made| made.remove("k")).unwrap();
        assert!(!object.has("made"));
    }
}
