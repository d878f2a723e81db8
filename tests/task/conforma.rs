//! What Conforma reads out of a build task's results: a model of conforma/policy,
//! `policy/lib/tekton/task_results.rego`, `policy/lib/konflux/konflux.rego` and
//! `policy/lib/sbom/sbom.rego`.

use crate::{
    chains::Subject,
    tekton::{Results, Value},
};

/// What the policy takes the task to have built. URLs and digests are two lists that are paired by
/// position, so an odd one shifts all that follow.
pub(crate) fn built(results: &Results) -> Vec<Subject> {
    let (mut urls, mut digests) = (Vec::new(), Vec::new());
    for (url, digest) in [("IMAGE_URL", "IMAGE_DIGEST"), ("ARTIFACT_URI", "ARTIFACT_DIGEST")] {
        urls.extend(ending(results, url).map(|text| text.trim().to_owned()));
        digests.extend(ending(results, digest).map(|text| text.trim().to_owned()));
    }
    for list in ending(results, "IMAGES") {
        for image in list.split(',').map(str::trim).filter(|image| !image.is_empty()) {
            let mut parts = image.split('@');
            urls.extend(parts.next().map(str::to_owned));
            digests.extend(parts.next().map(str::to_owned));
        }
    }
    for (name, value) in results {
        if let Value::Object(object) = value
            && name.ends_with("ARTIFACT_OUTPUTS")
        {
            urls.extend(object.get("uri").cloned());
            digests.extend(object.get("digest").cloned());
        }
    }
    urls.into_iter().map(|url| without_tag(&url)).zip(digests).collect()
}

/// Whether the digest counts as that of an index, of which no SBOM is asked.
pub(crate) fn is_index(results: &Results) -> bool {
    text(results, "IMAGES").is_some_and(|images| !images.is_empty())
}

/// The SBOM's blob for an image, where the result tells. Digests are compared as they are, not
/// trimmed.
pub(crate) fn sbom<'a>(results: &'a Results, digest: &str) -> Option<&'a str> {
    text(results, "SBOM_BLOB_URL").filter(|_| text(results, "IMAGE_DIGEST") == Some(digest))
}

fn text<'a>(results: &'a Results, name: &str) -> Option<&'a str> {
    match results.get(name)? {
        Value::String(text) => Some(text),
        Value::Object(_) => None,
    }
}

fn ending<'a>(results: &'a Results, suffix: &'a str) -> impl Iterator<Item = &'a str> {
    results.iter().filter_map(move |(name, value)| match value {
        Value::String(text) if name.ends_with(suffix) => Some(text.as_str()),
        _ => None,
    })
}

fn without_tag(url: &str) -> String {
    match url.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') => name.to_owned(),
        _ => url.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(results: &[(&str, &str)]) -> Results {
        let own =
            |(name, value): &(&str, &str)| ((*name).to_owned(), Value::String((*value).to_owned()));
        results.iter().map(own).collect()
    }

    #[test]
    fn lists_are_paired_by_position() {
        let one = [("IMAGE_URL", "quay.io/a:1"), ("IMAGE_DIGEST", "sha256:a")];
        let built_one = built(&of(&one));
        assert_eq!(built_one, [("quay.io/a".to_owned(), "sha256:a".to_owned())]);
        let images = ("IMAGES", "quay.io/a@sha256:b,quay.io/a@sha256:c");
        let all = built(&of(&[one[0], one[1], images]));
        let digests: Vec<_> = all.iter().map(|(_, digest)| digest.as_str()).collect();
        assert_eq!(digests, ["sha256:a", "sha256:b", "sha256:c"]);
        // One digest too few, and what follows belongs to the wrong URL.
        let odd = built(&of(&[one[0], ("IMAGES", "quay.io/b@sha256:b")]));
        assert_eq!(odd, [("quay.io/a".to_owned(), "sha256:b".to_owned())]);
    }

    #[test]
    fn a_newline_after_the_digest_loses_the_sbom() {
        let sbom_url = ("SBOM_BLOB_URL", "quay.io/a@sha256:s");
        let results = of(&[("IMAGE_DIGEST", "sha256:a"), sbom_url]);
        assert_eq!(sbom(&results, "sha256:a"), Some("quay.io/a@sha256:s"));
        assert_eq!(sbom(&of(&[("IMAGE_DIGEST", "sha256:a\n"), sbom_url]), "sha256:a"), None);
        assert!(!is_index(&results) && is_index(&of(&[("IMAGES", "quay.io/a@sha256:b")])));
    }
}
