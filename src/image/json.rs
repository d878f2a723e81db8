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
    /// A number that no reader with 64-bit floating-point numbers can take, which is what Go readers
    /// have for fields of any type.
    #[error("number out of range: {0}")]
    Number(String),
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
        self.names().eq(other.names()) && self.values().eq(other.values())
    }
}

impl Object {
    /// Reads a whole document; `known` has the names that any reader of it looks for.
    pub fn document(bytes: &[u8], known: &[&'static str]) -> Result<Self, JsonError> {
        let text = str::from_utf8(bytes).map_err(|error| JsonError::Syntax(error.to_string()))?;
        check_limits(text)?;
        Self::parse(text, known)
    }

    /// Reads a whole document that is a list of objects.
    pub fn documents(bytes: &[u8], known: &[&'static str]) -> Result<Vec<Self>, JsonError> {
        let syntax = |error: &dyn fmt::Display| JsonError::Syntax(error.to_string());
        let text = str::from_utf8(bytes).map_err(|error| syntax(&error))?;
        check_limits(text)?;
        let list: Vec<&RawValue> = serde_json::from_str(text).map_err(|error| syntax(&error))?;
        list.into_iter().map(|element| Self::parse(element.get(), known)).collect()
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

    /// The texts of the fields' values.
    pub fn values(&self) -> impl Iterator<Item = &str> {
        self.fields.iter().map(|(_, raw)| raw.get())
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
        self.retain(|field| field != name);
    }

    /// Removes all fields but those with such names.
    pub fn retain(&mut self, keep: impl Fn(&str) -> bool) {
        self.fields.retain(|(field, _)| keep(field));
    }

    /// Changes the object in a field. It is made if need be, and removed once it is empty.
    pub fn edit(&mut self, name: &str, change: impl FnOnce(&mut Self)) -> Result<(), JsonError> {
        let mut inner = self.object(name, &[])?.unwrap_or_default();
        change(&mut inner);
        // Compared with the text: a copy of an object of many fields takes much more memory.
        let text = self.raw(name).unwrap_or("{}");
        let is_as_before = serde_json::from_str(text).is_ok_and(|Fields(before)| {
            inner.names().eq(before.iter().map(|(name, _)| name.as_ref()))
                && inner.values().eq(before.iter().map(|(_, raw)| raw.get()))
        });
        if is_as_before {
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

/// The fields of an object in their order, duplicates too.
pub(crate) struct Fields<'a>(pub(crate) Vec<(Cow<'a, str>, &'a RawValue)>);

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
                while let Some((Text(name), value)) = map.next_entry()? {
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
pub(crate) struct Text<'a>(#[serde(borrow)] pub(crate) Cow<'a, str>);

/// Whether Go takes a name for `known`, which is in ASCII.
fn folds_to(name: &str, known: &str) -> bool {
    let fold = |letter: char| match letter {
        '\u{17f}' => 's',
        '\u{212a}' => 'k',
        other => other.to_ascii_lowercase(),
    };
    name.chars().map(fold).eq(known.chars().map(fold))
}

/// Checks depth and numbers before anything is parsed: values of unknown fields never are.
fn check_limits(text: &str) -> Result<(), JsonError> {
    let bytes = text.as_bytes();
    let (mut depth, mut in_string, mut at) = (0_u32, false, 0);
    while let Some(byte) = bytes.get(at) {
        at += 1;
        match byte {
            b'\\' if in_string => at += 1,
            b'"' => in_string = !in_string,
            _ if in_string => {}
            b'[' | b'{' => {
                depth += 1;
                if depth > DEPTH_MAX {
                    return Err(JsonError::Depth);
                }
            }
            b']' | b'}' => depth = depth.saturating_sub(1),
            b'-' | b'0'..=b'9' => {
                let part =
                    |byte: &&u8| matches!(byte, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E');
                let end = at + bytes[at..].iter().take_while(part).count();
                let number = text.get(at - 1..end).unwrap_or_default();
                if number.parse().is_ok_and(f64::is_infinite) {
                    return Err(JsonError::Number(shorten(number)));
                }
                at = end;
            }
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
