//! The TOC, read one entry at a time.

use std::{collections::BTreeMap, fmt, io::Read};

use serde::{
    Deserialize,
    de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor},
};

use super::keys::{AnyCase, Keys};

/// One element of `entries` as in the JSON, except for the case of the keys.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct TocEntry {
    /// `reg`, `dir` and so on, or `chunk`.
    #[serde(rename = "type")]
    pub(crate) kind: String,
    pub(crate) name: String,
    #[serde(rename = "linkname")]
    pub(crate) link_name: String,
    pub(crate) mode: i64,
    pub(crate) size: i64,
    pub(crate) uid: i64,
    pub(crate) gid: i64,
    /// RFC 3339. Readers take `null` for an empty text, which is not a time.
    #[serde(rename = "modtime", deserialize_with = "text")]
    pub(crate) modified: Option<String>,
    #[serde(rename = "accesstime", deserialize_with = "text")]
    pub(crate) accessed: Option<String>,
    #[serde(rename = "changetime", deserialize_with = "text")]
    pub(crate) changed: Option<String>,
    #[serde(rename = "devmajor")]
    pub(crate) dev_major: i64,
    #[serde(rename = "devminor")]
    pub(crate) dev_minor: i64,
    /// Values in base64.
    #[serde(deserialize_with = "xattrs")]
    pub(crate) xattrs: Option<BTreeMap<String, String>>,
    pub(crate) digest: String,
    /// Where the content begins in the blob.
    pub(crate) offset: Option<u64>,
    /// Just past the content.
    #[serde(rename = "endoffset")]
    pub(crate) end_offset: Option<u64>,
    /// Uncompressed length of the chunk.
    #[serde(rename = "chunksize")]
    pub(crate) chunk_size: u64,
    /// Where the chunk begins in the file.
    #[serde(rename = "chunkoffset")]
    pub(crate) chunk_offset: u64,
    #[serde(rename = "chunkdigest")]
    pub(crate) chunk_digest: String,
    /// Empty, or `zeros`.
    #[serde(rename = "chunktype")]
    pub(crate) chunk_type: String,
}

fn text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    Option::deserialize(deserializer).map(|text: Option<String>| Some(text.unwrap_or_default()))
}

/// More attributes than fit into an extended header of 1 MiB, at 19 bytes each.
const XATTRS_MAX: usize = 1 << 16;

fn xattrs<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<BTreeMap<String, String>>, D::Error> {
    deserializer.deserialize_any(XattrsVisitor)
}

struct XattrsVisitor;

impl<'de> Visitor<'de> for XattrsVisitor {
    type Value = Option<BTreeMap<String, String>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "at most {XATTRS_MAX} attributes, or null")
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut xattrs = BTreeMap::new();
        while let Some((key, value)) = map.next_entry()? {
            if xattrs.len() == XATTRS_MAX {
                return Err(A::Error::invalid_length(XATTRS_MAX + 1, &self));
            }
            xattrs.insert(key, value);
        }
        Ok(Some(xattrs))
    }
}

/// Reads a TOC and passes its entries to `each`; returns its `tarSplitDigest`.
pub(super) fn read_toc(
    json: impl Read,
    mut each: impl FnMut(TocEntry),
) -> Result<Option<String>, serde_json::Error> {
    let mut deserializer = serde_json::Deserializer::from_reader(json);
    let digest = deserializer.deserialize_map(Top(&mut each))?;
    deserializer.end()?;
    Ok(digest)
}

struct Top<'a, F>(&'a mut F);

impl<'de, F: FnMut(TocEntry)> Visitor<'de> for Top<'_, F> {
    type Value = Option<String>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a table of contents")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
        let (mut map, mut digest) = (Keys(map), None);
        while let Some(key) = map.next_key::<String>()? {
            match key.as_str() {
                "entries" => map.next_value_seed(EntriesSeed(&mut *self.0))?,
                "tarsplitdigest" => digest = Some(map.next_value()?),
                _ => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(digest.filter(|digest: &String| !digest.is_empty()))
    }
}

struct EntriesSeed<'a, F>(&'a mut F);

impl<'de, F: FnMut(TocEntry)> DeserializeSeed<'de> for EntriesSeed<'_, F> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de, F: FnMut(TocEntry)> Visitor<'de> for EntriesSeed<'_, F> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of entries, or null")
    }

    // What the reference writes for a layer without entries.
    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut entries: A) -> Result<(), A::Error> {
        while let Some(AnyCase(entry)) = entries.next_element()? {
            (self.0)(entry);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn names(json: &str) -> Result<(Vec<String>, Option<String>), serde_json::Error> {
        let mut names = Vec::new();
        let digest = read_toc(json.as_bytes(), |entry| names.push(entry.name))?;
        Ok((names, digest))
    }

    #[test]
    fn attributes_are_bounded() {
        let toc = |count: usize| {
            let xattrs: Vec<_> = (0..count).map(|n| format!("\"{n}\":\"\"")).collect();
            format!(r#"{{"entries":[{{"name":"a","xattrs":{{{}}}}}]}}"#, xattrs.join(","))
        };
        assert!(names(&toc(XATTRS_MAX)).is_ok());
        assert!(names(&toc(XATTRS_MAX + 1)).is_err());
    }

    #[test]
    fn keys_in_any_case() {
        let json = r#"{"entries":[{"name":"a"}],"ENTRIES":[{"NAME":"b"}],"TARSPLITdigest":"x"}"#;
        assert_eq!(names(json).unwrap(), (vec!["a".into(), "b".into()], Some("x".into())));
        assert!(names(r#"{"entries":[{"name":"a","Name":"b"}]}"#).is_err(), "the same key twice");
    }

    #[test]
    fn forms_of_other_writers() {
        let json = r#"{ "tarSplitDigest": "x", "entries": [{"name":"a","xattrs":null,"new":[1]},
            {"type":"chunk","name":"b"}], "version": 7 }
        "#;
        assert_eq!(names(json).unwrap(), (vec!["a".into(), "b".into()], Some("x".into())));
        assert_eq!(names(r#"{"version":1,"entries":null}"#).unwrap(), (vec![], None));
        let bad = [
            "",
            "{",
            "[]",
            r#"{"entries":[1]}"#,
            r#"{"entries":[["reg"]]}"#,
            r#"{"entries":[]} x"#,
        ];
        let deep = format!(r#"{{"x":{}"#, "[".repeat(1 << 20));
        let bad = bad.into_iter().chain([r#"{"":1}"#, r#"{"entries":[{"":1}]}"#, r#"{"Ö":1}"#]);
        for bad in bad.chain([deep.as_str(), r#"{"entries":[{"offset":-1}]}"#]) {
            assert!(names(bad).is_err());
        }
    }
}
