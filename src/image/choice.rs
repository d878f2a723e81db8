//! Which entry of an index podman, skopeo and CRI-O take. What is published has to be the image that
//! they take from the source.

use super::{descriptor::Descriptor, media_type::DOCKER_MANIFEST_LIST, platform::Platform};

/// How the platform of an entry is spelled; these readers do not translate it.
struct Spelled {
    os: String,
    architecture: String,
    variant: String,
}

/// The entry that containers/image chooses for a platform (`internal/manifest/oci_index.go` and
/// `docker_schema2_list.go`, `internal/pkg/platform/platform_matcher.go`): by its platform and, in
/// an OCI index, by its mark, whatever its media type is. In an OCI index an entry without a
/// platform is the last resort.
pub fn taken_by_podman<'a>(
    entries: impl IntoIterator<Item = &'a Descriptor>,
    index_type: &str,
    wanted: &Platform,
) -> Option<usize> {
    let is_list = index_type == DOCKER_MANIFEST_LIST;
    let variants = variants(wanted);
    let rank = |(number, entry): (usize, &Descriptor)| {
        let place = match spelled(entry) {
            None if is_list => return None,
            None => variants.len(),
            Some(found) => {
                if found.os != wanted.os || found.architecture != wanted.architecture {
                    return None;
                }
                variants.iter().position(|variant| *variant == found.variant)?
            }
        };
        Some((place, is_list || !entry.is_marked(), number))
    };
    entries.into_iter().enumerate().filter_map(rank).min().map(|(_, _, number)| number)
}

fn spelled(entry: &Descriptor) -> Option<Spelled> {
    let platform = entry.object().object("platform", &[]).ok()??;
    let text = |name| platform.text(name).ok().flatten().unwrap_or_default();
    Some(Spelled { os: text("os"), architecture: text("architecture"), variant: text("variant") })
}

/// The acceptable variants, the best first.
fn variants(wanted: &Platform) -> Vec<&str> {
    let compatible: &[&str] = match wanted.architecture.as_str() {
        "arm" => &["v8", "v7", "v6", "v5"],
        "arm64" => &["v8"],
        _ => &[],
    };
    // podman looks for arm/v7 if only arm is given.
    let usual = (wanted.architecture == "arm").then_some("v7");
    let Some(variant) = wanted.variant.as_deref().or(usual) else {
        return [&[""], compatible].concat();
    };
    match compatible.iter().position(|known| *known == variant) {
        Some(from) => [&compatible[from..], &[""]].concat(),
        None => vec![variant, ""],
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::{Value, json};

    use super::*;
    use crate::image::{Digest, Index, annotations::ZSTD_MARK, media_type::OCI_INDEX};

    /// An entry in short: `arm/v7`, `amd64 *` with the mark, nothing without a platform.
    fn entry(text: &str) -> Value {
        let (platform, marked) = match text.strip_suffix(" *") {
            Some(platform) => (platform, "true"),
            None => (text, "false"),
        };
        let mut entry = json!({
            "digest": Digest::sha256_of(text.as_bytes()), "size": 1,
            "annotations": {ZSTD_MARK: marked},
        });
        let (architecture, variant) = platform.split_once('/').unwrap_or((platform, ""));
        if !platform.is_empty() {
            entry["platform"] =
                json!({"os": "linux", "architecture": architecture, "variant": variant});
        }
        entry
    }

    #[test]
    fn the_entry_that_podman_takes() {
        for (entries, wanted, index, list) in [
            (&["amd64", "amd64 *"][..], "linux/amd64", Some(1), Some(0)),
            (&["amd64 *", "amd64", "amd64 *"], "linux/amd64", Some(0), Some(0)),
            (&[" *", "amd64"], "linux/amd64", Some(1), Some(1)),
            (&["arm64", "", " *"], "linux/amd64", Some(2), None),
            (&["x86_64", "AMD64", "amd64/v1"], "linux/amd64", None, None),
            (&["arm64/v8", "arm64"], "linux/arm64", Some(1), Some(1)),
            (&["arm64/v8 *"], "linux/arm64", Some(0), Some(0)),
            (&["arm/v5", "arm/v8", "", "arm/v7"], "linux/arm", Some(3), Some(3)),
            (&["arm", "arm/v5"], "linux/arm", Some(1), Some(1)),
            (&["arm", "arm/v6 *", "arm/v7"], "linux/arm/v7", Some(2), Some(2)),
            (&["arm", "arm/v6", "arm/v8"], "linux/arm/v6", Some(1), Some(1)),
            (&["amd64", "amd64/v3"], "linux/amd64/v3", Some(1), Some(1)),
            (&["amd64"], "windows/amd64", None, None),
        ] {
            let listed: Vec<_> = entries.iter().map(|text| entry(text)).collect();
            let document = json!({"schemaVersion": 2, "manifests": listed}).to_string();
            let document = Index::parse(document.as_bytes()).unwrap();
            let wanted = wanted.parse().unwrap();
            let taken = |index_type| taken_by_podman(document.entries(), index_type, &wanted);
            assert_eq!(taken(OCI_INDEX), index, "{entries:?}");
            assert_eq!(taken(DOCKER_MANIFEST_LIST), list, "{entries:?} in a list");
        }
    }
}
