//! Artifacts as Tekton has them in the status of a run (tektoncd/pipeline, `docs/artifacts.md`): what
//! was read, and what was made. `buildOutput` makes the latter a subject of Chains' provenance, so
//! the rules are those of results.

use std::iter;

use serde_json::{Map, Value, json};

use super::Outcome;
use crate::{
    attached::Subject,
    image::{Digest, ImageReference},
};

impl Outcome<'_> {
    /// The document. Each digest of the results is in it once.
    pub(super) fn artifacts(&self) -> String {
        let image = |digest: &Digest| of_image(self.destination, digest);
        let made: Vec<_> = self.made.iter().copied().map(image).collect();
        let mut outputs = vec![output("image", true, vec![image(self.digest)])];
        if !made.is_empty() {
            outputs.push(output("images", true, made));
        }
        if let Some(sbom) = &self.sbom {
            let scheme = if self.destination.registry().is_some() { "oci://" } else { "" };
            let digest = sbom.rsplit_once('@').map_or("", |(_, digest)| digest);
            outputs.push(output("sbom", false, vec![value(&format!("{scheme}{sbom}"), digest)]));
        }
        let source = self.source.digest().filter(|_| self.source.registry().is_some());
        let source = source.map(|digest| of_image(self.source, digest));
        let source = source.map(|source| json!({ "name": "source", "values": [source] }));
        let inputs: Vec<_> = source.into_iter().collect();
        json!({ "inputs": inputs, "outputs": outputs }).to_string()
    }
}

fn output(name: &str, is_built: bool, values: Vec<Value>) -> Value {
    let mut output = json!({ "name": name, "values": Value::Array(values) });
    if is_built {
        output["buildOutput"] = true.into();
    }
    output
}

fn of_image(image: &ImageReference, digest: &Digest) -> Value {
    value(&Subject::new(image, digest).purl(), digest.as_str())
}

fn value(uri: &str, digest: &str) -> Value {
    let (algorithm, hex) = digest.split_once(':').unwrap_or_default();
    let digest: Map<_, _> = iter::once((algorithm.to_owned(), hex.into())).collect();
    json!({ "uri": uri, "digest": digest })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn document(source: &str, destination: &str, made: usize, with_sbom: bool) -> Value {
        let digests: Vec<_> = (0..4).map(|n| Digest::sha256_of(&[n])).collect();
        let sbom = format!("quay.io/org/new@{}", digests[3]);
        let outcome = Outcome {
            source: &source
                .replace("DIGEST", Digest::sha256_of(b"source").as_str())
                .parse()
                .unwrap(),
            destination: &destination.parse().unwrap(),
            digest: &digests[0],
            made: digests[1..=made].iter().collect(),
            sbom: with_sbom.then_some(sbom),
        };
        let text = outcome.artifacts();
        // What is reported, once each.
        let results = outcome.results();
        let of_source = Digest::sha256_of(b"source");
        for digest in digests.iter().chain([&of_source]) {
            let is_reported = results.iter().any(|(_, value)| value.contains(digest.hex()));
            // In the package URL, and in the digest.
            let count = text.matches(digest.hex()).count();
            assert_eq!(count, if is_reported { 2 } else { 0 }, "{digest} in {text}");
        }
        serde_json::from_str(&text).unwrap()
    }

    #[test]
    fn inputs_and_outputs() {
        let source = "quay.io/org/app:1.2@DIGEST";
        let image = document(source, "quay.io/org/new:1", 0, true);
        let digest = Digest::sha256_of(&[0]);
        assert_eq!(
            image["outputs"][0],
            json!({ "name": "image", "buildOutput": true, "values": [{
                "uri": format!("pkg:oci/new@{digest}?repository_url=quay.io/org/new"),
                "digest": { "sha256": digest.hex() },
            }] })
        );
        assert_eq!(image["outputs"][1]["name"], "sbom");
        assert_eq!(image["outputs"][1].get("buildOutput"), None, "it was not built");
        let inputs = image["inputs"].as_array().unwrap();
        assert_eq!(inputs[0]["name"], "source");
        let uri = inputs[0]["values"][0]["uri"].as_str().unwrap();
        assert!(uri.ends_with("?repository_url=quay.io/org/app"), "{uri}");
        let index = document(source, "quay.io/org/new:1", 2, false);
        assert_eq!(index["outputs"][1]["name"], "images");
        assert_eq!(index["outputs"][1]["values"].as_array().unwrap().len(), 2);
        let layout = document("oci:dir:x", "oci:dir:y", 1, false);
        assert_eq!(layout["inputs"], json!([]));
    }
}
