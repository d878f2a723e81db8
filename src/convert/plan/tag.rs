//! Tags for destinations that nobody named.

use crate::image::{Digest, ImageReference};

/// The tag for a destination that nobody named: the source's, with the platform where one was
/// picked, and the format. Two runs of a matrix, over images, platforms or formats, never share
/// one.
pub(crate) fn derived_tag(source: &ImageReference, platforms: &[&str], suffix: &str) -> String {
    const TAG_MAX: usize = 128;
    let base = match (source.tag(), source.digest()) {
        (Some(tag), _) => tag.to_owned(),
        (None, Some(digest)) => digest.hex()[..64].to_owned(),
        (None, None) => "latest".to_owned(),
    };
    // Of a platform's text, what a tag cannot have is the brackets of a version and slashes.
    let in_tag = |text: &&str| format!("-{}", text.replace(['/', '('], "-").replace(')', ""));
    let platforms: String = platforms.iter().map(in_tag).collect();
    let suffix = format!("{platforms}-{suffix}");
    if base.len() + suffix.len() <= TAG_MAX {
        return base + &suffix;
    }
    // Cut short, with what was cut off told apart by its hash.
    let hash = &Digest::sha256_of(base.as_bytes()).hex()[..12].to_owned();
    let keep = TAG_MAX.saturating_sub(suffix.len() + 1 + hash.len());
    let kept = &base[..keep.min(base.len())];
    format!("{kept}-{hash}{suffix}")
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
            assert_eq!(derived_tag(&source, &platform, "zstd-chunked"), expected);
        }
        let tag = |end| {
            let source = format!("q.io/a:{long}{end}@sha256:{hex}").parse().unwrap();
            derived_tag(&source, &[], "zstd-chunked")
        };
        assert_eq!(tag("a").len(), 128);
        assert_ne!(tag("a"), tag("b"));
    }
}
