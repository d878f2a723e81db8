//! Tags that stand in for the list of what refers to a manifest.

use super::Digest;

/// The tag of the index that registries without the referrers API have in its place
/// (distribution-spec, "Referrers Tag Schema").
pub fn fallback_tag(subject: &Digest) -> String {
    // A tag has at most 128 characters, the digits of a SHA-512 alone would be that many.
    let hex = subject.hex();
    format!("{}-{}", subject.algorithm().as_str(), &hex[..hex.len().min(64)])
}

#[cfg(test)]
mod tests {
    use super::{super::digest::Algorithm, *};

    #[test]
    fn tags_that_stand_in() {
        let digest = Digest::sha256_of(b"");
        assert_eq!(fallback_tag(&digest), format!("sha256-{}", digest.hex()));
        let long = Algorithm::Sha512.hasher().finish();
        assert!(super::super::reference::is_valid_tag(&fallback_tag(&long)));
    }
}
