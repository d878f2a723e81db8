//! What Tekton Chains makes of a run's results: a model of its type hints (tektoncd/chains,
//! `pkg/artifacts/signable.go` and `structured.go`, `docs/slsa-provenance.md`).

use std::collections::BTreeSet;

use crate::tekton::{Results, Value};

/// Repository and digest.
pub(crate) type Subject = (String, String);

/// What the provenance would say.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Provenance {
    /// What the run claims to have made.
    pub(crate) subjects: BTreeSet<Subject>,
    /// Those of them that get a signature as images.
    pub(crate) signed: BTreeSet<Subject>,
    /// What it was made from.
    pub(crate) materials: BTreeSet<Subject>,
}

/// Reads all hints out of `results`.
pub(crate) fn provenance(results: &Results) -> Provenance {
    let mut found = Provenance::default();
    for (url, digest) in pairs(results, "IMAGE_URL", "IMAGE_DIGEST") {
        found.image(image(&format!("{url}@{digest}")));
    }
    if let Some(Value::String(images)) = results.get("IMAGES") {
        for reference in images.split([',', '\n']).map(str::trim).filter(|part| !part.is_empty()) {
            found.image(image(reference));
        }
    }
    for (uri, digest) in pairs(results, "ARTIFACT_URI", "ARTIFACT_DIGEST") {
        if digest.contains(':') {
            found.subjects.insert((uri, digest));
        }
    }
    for (name, value) in results {
        let Value::Object(object) = value else { continue };
        let (Some(uri), Some(digest)) = (object.get("uri"), object.get("digest")) else { continue };
        let subject = (uri.clone(), digest.clone());
        if uri.is_empty() || !digest.contains(':') {
            continue;
        }
        if name.ends_with("ARTIFACT_INPUTS") {
            found.materials.insert(subject);
        } else if name.ends_with("ARTIFACT_OUTPUTS") {
            if object.get("isBuildArtifact").is_some_and(|is| is == "true") {
                found.signed.extend(image(&format!("{uri}@{digest}")));
            }
            found.subjects.insert(subject);
        }
    }
    found
}

impl Provenance {
    fn image(&mut self, image: Option<Subject>) {
        self.subjects.extend(image.clone());
        self.signed.extend(image);
    }
}

/// Values of results whose names end so and begin alike.
fn pairs(results: &Results, first: &str, second: &str) -> Vec<(String, String)> {
    let trimmed = |value: &Value| match value {
        Value::String(text) => Some(text.trim().to_owned()).filter(|text| !text.is_empty()),
        Value::Object(_) => None,
    };
    let pair = |(name, value): (&String, &Value)| {
        let prefix = name.strip_suffix(first)?;
        let other = results.get(&format!("{prefix}{second}"))?;
        Some((trimmed(value)?, trimmed(other)?))
    };
    results.iter().filter_map(pair).collect()
}

/// Reads a reference as go-containerregistry does (`pkg/name/digest.go`, `repository.go`): one
/// that it refuses is left out without a word.
fn image(reference: &str) -> Option<Subject> {
    let (base, digest) = reference.split_once('@')?;
    let hex = digest.strip_prefix("sha256:")?;
    if hex.len() != 64 || !hex.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
        return None;
    }
    let repository = match base.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') && !tag.is_empty() => name,
        _ => base,
    };
    let (registry, path) = match repository.split_once('/') {
        Some((host, path)) if host.contains(['.', ':']) || host == "localhost" => (host, path),
        _ => ("index.docker.io", repository),
    };
    let path = if registry == "index.docker.io" && !path.contains('/') {
        format!("library/{path}")
    } else {
        path.to_owned()
    };
    let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"_-./".contains(&b);
    let fits = (2..=255).contains(&path.len()) && path.bytes().all(allowed);
    fits.then(|| (format!("{registry}/{path}"), digest.to_owned()))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    const DIGEST: &str = "sha256:00000000000000000000000000000000000000000000000000000000000000aa";

    fn of(results: &[(&str, Value)]) -> Provenance {
        let results = results.iter().map(|(name, value)| ((*name).to_owned(), value.clone()));
        provenance(&results.collect())
    }

    fn text(value: &str) -> Value {
        Value::String(value.to_owned())
    }

    fn object(pairs: &[(&str, &str)]) -> Value {
        let pairs = pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        Value::Object(pairs.collect::<BTreeMap<_, _>>())
    }

    fn pair(prefix: &str, url: &str, digest: &str) -> Provenance {
        let names = [format!("{prefix}IMAGE_URL"), format!("{prefix}IMAGE_DIGEST")];
        of(&[(&names[0], text(url)), (&names[1], text(digest))])
    }

    /// One image, signed.
    fn one(repository: &str) -> Provenance {
        let subjects = BTreeSet::from([(repository.to_owned(), DIGEST.to_owned())]);
        Provenance { signed: subjects.clone(), subjects, ..Provenance::default() }
    }

    #[test]
    fn a_url_and_a_digest_are_one_subject() {
        let app = one("quay.io/org/app");
        assert_eq!(pair("", "quay.io/org/app", DIGEST), app);
        assert_eq!(pair("", "quay.io/org/app:1.2", DIGEST), app);
        assert_eq!(pair("", "quay.io/org/app:1.2\n", &format!("{DIGEST}\n")), app);
        assert_eq!(pair("", "localhost:5000/app:1", DIGEST), one("localhost:5000/app"));
        assert_eq!(pair("", "busybox", DIGEST), one("index.docker.io/library/busybox"));
        assert_eq!(pair("SOURCE_", "quay.io/org/app", DIGEST), app);
    }

    #[test]
    fn what_is_no_reference_is_left_out_without_a_word() {
        let none = Provenance::default();
        assert_eq!(pair("", &format!("quay.io/org/app:1@{DIGEST}"), DIGEST), none);
        assert_eq!(pair("", "quay.io/Org/app", DIGEST), none);
        assert_eq!(pair("", "", ""), none);
        assert_eq!(pair("", "quay.io/org/app", &DIGEST.replace("256", "512")), none);
        assert_eq!(pair("", "docker://quay.io/org/app", DIGEST), one("docker://quay.io/org/app"));
        assert_eq!(
            of(&[("A_IMAGE_URL", text("quay.io/a/b")), ("B_IMAGE_DIGEST", text(DIGEST))]),
            none
        );
    }

    #[test]
    fn images_are_a_list_of_that_very_name() {
        let list = format!("quay.io/org/app:1@{DIGEST},\n quay.io/org/app@{DIGEST}");
        assert_eq!(of(&[("IMAGES", text(&list))]), one("quay.io/org/app"));
        assert_eq!(of(&[("X_IMAGES", text(&list))]), Provenance::default());
        let json = format!("[\"quay.io/org/app@{DIGEST}\"]");
        assert_eq!(of(&[("IMAGES", text(&json))]), Provenance::default());
    }

    #[test]
    fn other_results_of_ours_say_nothing() {
        let reference = format!("quay.io/org/app:1@{DIGEST}");
        let results = [("IMAGE_REF", text(&reference)), ("SBOM_BLOB_URL", text(&reference))];
        assert_eq!(of(&results), Provenance::default());
    }

    #[test]
    fn artifacts_go_by_their_names() {
        let subject = ("oci://quay.io/org/app".to_owned(), DIGEST.to_owned());
        let value = [("uri", "oci://quay.io/org/app"), ("digest", DIGEST)];
        let only = BTreeSet::from([subject]);
        assert_eq!(
            of(&[("SOURCE_ARTIFACT_INPUTS", object(&value))]),
            Provenance { materials: only.clone(), ..Provenance::default() }
        );
        let outputs = of(&[("X_ARTIFACT_OUTPUTS", object(&value))]);
        assert_eq!(outputs, Provenance { subjects: only.clone(), ..Provenance::default() });
        let uri = [("AARTIFACT_URI", text(value[0].1)), ("AARTIFACT_DIGEST", text(DIGEST))];
        assert_eq!(of(&uri), Provenance { subjects: only, ..Provenance::default() });
        let build = [("uri", "quay.io/org/app"), value[1], ("isBuildArtifact", "true")];
        assert_eq!(of(&[("ARTIFACT_OUTPUTS", object(&build))]).signed.len(), 1);
    }
}
