//! Editing JSON in place: what is not edited keeps its bytes, spaces and numbers too.

use std::{borrow::Cow, ops::Range};

use serde_json::{Value, value::RawValue};

use crate::image::json::{Fields, Text};

/// The fields of an object in their order.
pub(super) struct EditableObject<'a> {
    fields: Vec<(Cow<'a, str>, &'a RawValue)>,
    node: &'a RawValue,
}

impl<'a> EditableObject<'a> {
    /// Reads an object. One that has the same field twice is refused: readers would see different
    /// things in it.
    pub(super) fn of(node: &'a RawValue) -> Option<Self> {
        let Fields(fields) = serde_json::from_str(node.get()).ok()?;
        let mut names: Vec<_> = fields.iter().map(|(name, _)| name).collect();
        names.sort_unstable();
        let is_ambiguous = names.windows(2).any(|pair| pair[0] == pair[1]);
        (!is_ambiguous).then_some(Self { fields, node })
    }

    pub(super) fn get(&self, name: &str) -> Option<&'a RawValue> {
        self.fields.iter().find(|(field, _)| field == name).map(|(_, node)| *node)
    }

    /// A field that is a string.
    pub(super) fn text(&self, name: &str) -> Option<Cow<'a, str>> {
        text(self.get(name)?)
    }

    /// A field that is an object.
    pub(super) fn object(&self, name: &str) -> Option<EditableObject<'a>> {
        EditableObject::of(self.get(name)?)
    }

    /// The members of a field that is an array; none if there is no such field.
    pub(super) fn array(&self, name: &str) -> Vec<&'a RawValue> {
        self.get(name).and_then(array).unwrap_or_default()
    }
}

/// A value that is a string.
pub(super) fn text(node: &RawValue) -> Option<Cow<'_, str>> {
    serde_json::from_str::<Text<'_>>(node.get()).ok().map(|Text(text)| text)
}

/// The members of a value that is an array.
pub(super) fn array(node: &RawValue) -> Option<Vec<&RawValue>> {
    serde_json::from_str(node.get()).ok()
}

/// Changes to a document, applied all at once.
pub(super) struct Edits<'a> {
    document: &'a str,
    edits: Vec<(Range<usize>, String)>,
}

impl<'a> Edits<'a> {
    /// For a document that all nodes have been read from.
    pub(super) fn of(document: &'a str) -> Self {
        Self { document, edits: Vec::new() }
    }

    /// Puts another value in the place of a node.
    pub(super) fn replace(&mut self, node: &RawValue, value: &Value) {
        let range = self.range(node);
        self.replace_range(range, value);
    }

    /// Puts another value in the place of a part that is a value too.
    pub(super) fn replace_range(&mut self, range: Range<usize>, value: &Value) {
        self.edits.push((range, value.to_string()));
    }

    /// Adds members at the end of an array; once for each array.
    pub(super) fn extend(&mut self, array: &RawValue, members: &[Value]) {
        let is_empty = self::array(array).is_none_or(|members| members.is_empty());
        let members = members.iter().map(Value::to_string).collect::<Vec<_>>().join(",");
        self.insert_at_end(array, is_empty, &members);
    }

    /// Sets a field of an object, at its place or at the end.
    pub(super) fn set(&mut self, object: &EditableObject<'_>, name: &str, value: &Value) {
        if let Some(node) = object.get(name) {
            self.replace(node, value);
        } else {
            let field = format!("{}:{value}", Value::from(name));
            self.insert_at_end(object.node, object.fields.is_empty(), &field);
        }
    }

    /// Before the bracket that ends `node`.
    fn insert_at_end(&mut self, node: &RawValue, is_empty: bool, text: &str) {
        let end = self.range(node).end.saturating_sub(1);
        let comma = if is_empty { "" } else { "," };
        // Behind the last member, not behind the line breaks that may follow it.
        let trimmed = self.document.get(..end).unwrap_or_default().trim_end().len();
        self.edits.push((trimmed..trimmed, format!("{comma}{text}")));
    }

    /// Where a node lies in the document. It has been borrowed from there.
    fn range(&self, node: &RawValue) -> Range<usize> {
        let start = node.get().as_ptr().addr().wrapping_sub(self.document.as_ptr().addr());
        start..start.wrapping_add(node.get().len())
    }

    /// The document with all changes. Of two at the same place the first one counts, or, if both
    /// add something, both do.
    pub(super) fn apply(mut self) -> String {
        self.edits.sort_by_key(|(range, _)| (range.start, range.end));
        let added: usize = self.edits.iter().map(|(_, text)| text.len()).sum();
        let mut result = String::with_capacity(self.document.len() + added);
        let mut at = 0;
        for (range, text) in self.edits {
            let Some(between) = self.document.get(at..range.start) else { continue };
            result.push_str(between);
            result.push_str(&text);
            at = range.end;
        }
        result.push_str(self.document.get(at..).unwrap_or_default());
        result
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::json;

    use super::*;

    fn root(document: &str) -> EditableObject<'_> {
        EditableObject::of(serde_json::from_str(document).unwrap()).unwrap()
    }

    #[test]
    fn what_is_not_edited_keeps_its_bytes() {
        let document = concat!(
            " {\n  \"big\": 123456789012345678901234567890, \"f\":1.50e+3,\n",
            "  \"a\\u0062\": \"\\u00e9\\/\",\n  \"list\": [ 1,\n 2 \n],\"none\":[ ],\"object\": { \n }\n} "
        );
        let root = root(document);
        assert_eq!(root.text("ab").as_deref(), Some("é/"));
        let mut edits = Edits::of(document);
        edits.set(&root, "ab", &json!("new"));
        edits.set(&root, "more", &json!(null));
        edits.extend(root.get("list").unwrap(), &[json!({"x": 3}), json!(4)]);
        edits.extend(root.get("none").unwrap(), &[json!(5)]);
        edits.set(&root.object("object").unwrap(), "y", &json!(6));
        let expected = concat!(
            " {\n  \"big\": 123456789012345678901234567890, \"f\":1.50e+3,\n",
            "  \"a\\u0062\": \"new\",\n  \"list\": [ 1,\n 2,{\"x\":3},4 \n],\"none\":[5 ],",
            "\"object\": {\"y\":6 \n },\"more\":null\n} "
        );
        assert_eq!(edits.apply(), expected);
    }

    #[test]
    fn of_two_edits_at_one_place_the_first_counts() {
        let document = r#"{"a":[1]}"#;
        let root = root(document);
        let mut edits = Edits::of(document);
        edits.set(&root, "a", &json!(2));
        edits.set(&root, "a", &json!(3));
        edits.replace(root.array("a")[0], &json!(4));
        assert_eq!(edits.apply(), r#"{"a":2}"#);
    }

    #[test]
    fn ambiguous_objects_are_refused() {
        for document in [r#"{"a":1,"b":2,"a":1}"#, r#"{"a":1,"\u0061":1}"#, "[]", "1"] {
            assert!(
                EditableObject::of(serde_json::from_str(document).unwrap()).is_none(),
                "{document}"
            );
        }
    }
}
