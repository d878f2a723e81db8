//! Tags for destinations that were not named.

use crate::image::{
    Digest, ImageReference,
    reference::{REF_NAME_MAX, is_valid_tag},
};

/// Longer lists of platforms become a hash, or nothing of the source's tag would be left.
const PLATFORMS_MAX: usize = 64;

/// The tag for a destination that was not named: the source's, with the platforms that were chosen
/// and the format. Two runs of a matrix over images, platforms or formats never share one. `place`
/// is where the tag is to be.
pub(crate) fn derived_tag(
    source: &ImageReference,
    place: &ImageReference,
    platforms: &[&str],
    suffix: &str,
) -> String {
    let in_registry = matches!(place, ImageReference::Registry(_));
    let max = if in_registry { TAG_MAX } else { REF_NAME_MAX };
    let base = match (source.tag(), source.digest()) {
        (Some(name), _) if in_registry && !is_valid_tag(name) => {
            // Names in a layout may contain what no tag may.
            let plain =
                |c: char| if c.is_ascii_alphanumeric() || ".-".contains(c) { c } else { '-' };
            format!("{}-{}", name.chars().map(plain).collect::<String>(), short_hash(name))
        }
        (Some(tag), _) => tag.to_owned(),
        (None, Some(digest)) => digest.hex()[..64].to_owned(),
        (None, None) => "latest".to_owned(),
    };
    // Tags allow neither the brackets of a version nor slashes.
    let in_tag = |text: &&str| format!("-{}", text.replace(['/', '('], "-").replace(')', ""));
    let mut platforms: String = platforms.iter().map(in_tag).collect();
    if platforms.len() > PLATFORMS_MAX {
        platforms = format!("-{}", short_hash(&platforms));
    }
    let suffix = format!("{platforms}-{suffix}");
    // It is the result of such a run already.
    if base.ends_with(&suffix) {
        return base;
    }
    if base.len() + suffix.len() <= max {
        return base + &suffix;
    }
    // Cut short, with a hash of the whole.
    let hash = short_hash(&base);
    let keep = max.saturating_sub(suffix.len() + 1 + hash.len());
    let kept = base[..keep.min(base.len())].trim_end_matches(|c: char| !c.is_ascii_alphanumeric());
    format!("{kept}-{hash}{suffix}")
}

/// The longest tag (distribution-spec, "Pulling manifests").
const TAG_MAX: usize = 128;

fn short_hash(name: &str) -> String {
    Digest::sha256_of(name.as_bytes()).hex()[..12].to_owned()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn tags_for_a_matrix() {
        let hex = "9".repeat(64);
        let long = "t".repeat(120);
        let cases = [
            (format!("q.io/a:1.2@sha256:{hex}"), vec![], "1.2-zstd-chunked".to_owned()),
            (format!("q.io/a@sha256:{hex}"), vec![], format!("{hex}-zstd-chunked")),
            (
                format!("q.io/a:1@sha256:{hex}"),
                vec!["linux/arm/v7"],
                "1-linux-arm-v7-zstd-chunked".to_owned(),
            ),
            ("oci:dir:x".to_owned(), vec![], "x-zstd-chunked".to_owned()),
            ("oci:dir".to_owned(), vec![], "latest-zstd-chunked".to_owned()),
        ];
        for (source, platform, expected) in cases {
            let source: ImageReference = source.parse().unwrap();
            assert_eq!(derived_tag(&source, &source, &platform, "zstd-chunked"), expected);
        }
        let tag = |end| {
            let source = format!("q.io/a:{long}{end}@sha256:{hex}").parse().unwrap();
            derived_tag(&source, &source, &[], "zstd-chunked")
        };
        assert_eq!(tag("a").len(), 128);
        assert_ne!(tag("a"), tag("b"));
    }

    #[test]
    fn names_of_images_in_layouts() {
        let [layout, registry]: [ImageReference; 2] =
            ["oci:out", "q.io/a"].map(|text| text.parse().unwrap());
        let tag = |name: &str, place| {
            let source = format!("oci:dir:{name}").parse().unwrap();
            let tag = derived_tag(&source, place, &[], "zstd");
            place.with_tag(&tag).unwrap();
            tag
        };
        assert_eq!(tag("q.io/a:1", &layout), "q.io/a:1-zstd");
        assert_eq!(tag("1.2", &registry), "1.2-zstd");
        let long = format!("{}/x", "y".repeat(509));
        for name in ["q.io/a:1", "q.io/a/1", "q.io:a:1", &long] {
            let tag = tag(name, &registry);
            assert!(tag.len() <= 128 && tag.ends_with("-zstd"), "{tag}");
        }
        assert_ne!(tag("q.io/a:1", &registry), tag("q.io/a/1", &registry));
        assert!(tag(&long, &layout).len() <= 512);
    }
}
