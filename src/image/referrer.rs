//! What refers to a manifest: the entries of a referrers index (distribution-spec, "Listing
//! Referrers"), and the tags that stand in for it.

use serde_json::{Map, Value, json};

use super::{Digest, manifest::ManifestError, media_type::OCI_INDEX};

/// A manifest that refers to another one, as its descriptor in an index tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Referrer {
    /// Of the manifest that refers.
    pub digest: Digest,
    /// Length of that manifest in bytes, as claimed.
    pub size: u64,
    /// Of that manifest.
    pub media_type: String,
    /// What it is, as in `application/spdx+json`.
    pub artifact_type: Option<String>,
    /// The manifest's own annotations, which the registry copies.
    pub annotations: Map<String, Value>,
}

impl Referrer {
    /// The entry of an index, if it is a descriptor.
    pub fn of(entry: &Value) -> Option<Self> {
        let text = |key| entry.get(key).and_then(Value::as_str);
        let annotations = entry.get("annotations").and_then(Value::as_object).cloned();
        Some(Self {
            digest: text("digest")?.parse().ok()?,
            size: entry.get("size")?.as_u64()?,
            media_type: text("mediaType").unwrap_or_default().to_owned(),
            artifact_type: text("artifactType").filter(|kind| !kind.is_empty()).map(str::to_owned),
            annotations: annotations.unwrap_or_default(),
        })
    }

    /// The entry of an index.
    pub fn to_entry(&self) -> Value {
        let mut entry = json!({
            "mediaType": self.media_type,
            "digest": self.digest,
            "size": self.size,
        });
        if let Some(kind) = &self.artifact_type {
            entry["artifactType"] = kind.as_str().into();
        }
        if !self.annotations.is_empty() {
            entry["annotations"] = Value::Object(self.annotations.clone());
        }
        entry
    }
}

/// The tag of the index that registries without the referrers API have in its place
/// (distribution-spec, "Referrers Tag Schema").
pub fn fallback_tag(subject: &Digest) -> String {
    // A tag has at most 128 characters, the digits of a SHA-512 alone would be that many.
    let hex = subject.hex();
    format!("{}-{}", subject.algorithm().as_str(), &hex[..hex.len().min(64)])
}

/// The entries of a referrers index that are descriptors, and how many others there are.
pub fn entries(index: &[u8]) -> Result<(Vec<Referrer>, usize), ManifestError> {
    let document = parse(index)?;
    let Some(Value::Array(entries)) = document.get("manifests") else {
        return Err(ManifestError::Malformed("the index has no manifests".into()));
    };
    let found: Vec<_> = entries.iter().filter_map(Referrer::of).collect();
    let others = entries.len() - found.len();
    Ok((found, others))
}

/// The index with one more entry, or nothing if it has that already. Without an index a new one is
/// made.
pub fn with_entry(
    index: Option<&[u8]>,
    referrer: &Referrer,
) -> Result<Option<Vec<u8>>, ManifestError> {
    let mut document = match index {
        Some(index) => parse(index)?,
        None => empty_index(),
    };
    let Some(Value::Array(entries)) = document.get_mut("manifests") else {
        return Err(ManifestError::Malformed("the index has no manifests".into()));
    };
    let digest = referrer.digest.as_str();
    let is_it = |entry: &Value| entry.get("digest").and_then(Value::as_str) == Some(digest);
    if entries.iter().any(is_it) {
        return Ok(None);
    }
    entries.push(referrer.to_entry());
    Ok(Some(Value::Object(document).to_string().into_bytes()))
}

fn empty_index() -> Map<String, Value> {
    let mut document = Map::new();
    document.insert("schemaVersion".to_owned(), json!(2));
    document.insert("mediaType".to_owned(), json!(OCI_INDEX));
    document.insert("manifests".to_owned(), json!([]));
    document
}

fn parse(index: &[u8]) -> Result<Map<String, Value>, ManifestError> {
    serde_json::from_slice(index).map_err(|error| ManifestError::Malformed(error.to_string()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn referrer(name: &str) -> Referrer {
        Referrer {
            digest: Digest::sha256_of(name.as_bytes()),
            size: 7,
            media_type: "application/vnd.oci.image.manifest.v1+json".into(),
            artifact_type: Some("application/spdx+json".into()),
            annotations: Map::new(),
        }
    }

    #[test]
    fn an_entry_is_added_once_and_the_rest_stays() {
        let (one, two) = (referrer("one"), referrer("two"));
        let first = with_entry(None, &one).unwrap().unwrap();
        assert_eq!(with_entry(Some(&first), &one).unwrap(), None);
        let text = String::from_utf8(first).unwrap();
        let foreign = text.replacen('[', r#"["what is this",{"z":1.50,"a":[]},"#, 1);
        let foreign = foreign.replacen('{', r#"{"x-unknown":null,"#, 1);
        let both = with_entry(Some(foreign.as_bytes()), &two).unwrap().unwrap();
        assert_eq!(entries(&both).unwrap(), (vec![one, two], 2));
        let both = String::from_utf8(both).unwrap();
        assert!(both.starts_with(r#"{"x-unknown":null,"schemaVersion":2,"#), "{both}");
    }

    #[test]
    fn what_is_no_index() {
        for bad in ["", "[]", "{}", r#"{"manifests":{}}"#] {
            assert!(entries(bad.as_bytes()).is_err(), "{bad}");
            assert!(with_entry(Some(bad.as_bytes()), &referrer("x")).is_err(), "{bad}");
        }
    }

    #[test]
    fn tags_that_stand_in() {
        let digest = Digest::sha256_of(b"");
        assert_eq!(fallback_tag(&digest), format!("sha256-{}", digest.hex()));
        let long = super::super::digest::Algorithm::Sha512.hasher().finish();
        assert!(super::super::reference::is_valid_tag(&fallback_tag(&long)));
    }
}
