//! Telling from media types what an artifact is.

use super::{Attached, AttachedKind};
use crate::image::{
    Descriptor,
    annotations::{BUNDLE_CONTENT, BUNDLE_PREDICATE},
};

/// What an image's signature is since cosign 3: a statement of this type.
const BUNDLE_OF_SIGNATURE: &str = "https://sigstore.dev/cosign/sign/v1";

/// What an artifact is, by its type and the annotations of its manifest, which the registry copies.
pub(super) fn of(entry: &Descriptor) -> AttachedKind {
    let media_type = entry.artifact_type.as_ref().unwrap_or(&entry.media_type).to_ascii_lowercase();
    let has = |word: &str| media_type.contains(word);
    if has("dev.sigstore.bundle") {
        let annotation = |key| entry.annotation(key).unwrap_or_default();
        let is_statement = annotation(BUNDLE_CONTENT) == "dsse-envelope"
            && annotation(BUNDLE_PREDICATE) != BUNDLE_OF_SIGNATURE;
        return if is_statement { AttachedKind::Attestation } else { AttachedKind::Signature };
    }
    if has("in-toto") || has("dsse.envelope") || has("cosign.artifact.att") {
        AttachedKind::Attestation
    } else if has("spdx") || has("cyclonedx") || has("vnd.syft") || has("cosign.artifact.sbom") {
        AttachedKind::Sbom
    } else if has("cosign") || has("notary.signature") || has("simplesigning") {
        AttachedKind::Signature
    } else {
        AttachedKind::Other
    }
}

/// Why something is not copied by default.
pub(super) fn reason(kind: AttachedKind) -> &'static str {
    match kind {
        AttachedKind::Signature => {
            "a signature is bound to the digest that it signs; sign the new image"
        }
        AttachedKind::Attestation => {
            "an attestation is bound to the digest that it describes; attest the new image"
        }
        AttachedKind::Sbom => "use --sbom=copy to copy it",
        AttachedKind::Other => "unknown type of artifact",
    }
}

impl Attached {
    pub(super) fn leave(&mut self, reason: impl Into<String>) {
        self.carried = false;
        self.reason = Some(reason.into());
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::image::{BlobId, Digest, media_type::OCI_MANIFEST};

    #[test]
    fn media_types_in_use() {
        use AttachedKind::{Attestation, Other, Sbom, Signature};
        let bundle = "application/vnd.dev.sigstore.bundle.v0.3+json";
        let none: &[(&str, &str)] = &[];
        let annotated = |content: &'static str, predicate: &'static str| {
            [(BUNDLE_CONTENT, content), (BUNDLE_PREDICATE, predicate)]
        };
        for (media_type, annotations, expected) in [
            ("application/vnd.dev.cosign.simplesigning.v1+json", none, Signature),
            ("application/vnd.dev.cosign.artifact.sig.v1+json", none, Signature),
            ("application/vnd.cncf.notary.signature", none, Signature),
            (bundle, none, Signature),
            (bundle, &annotated("dsse-envelope", BUNDLE_OF_SIGNATURE), Signature),
            (bundle, &annotated("message-signature", ""), Signature),
            (bundle, &annotated("dsse-envelope", "https://slsa.dev/provenance/v1"), Attestation),
            (bundle, &annotated("dsse-envelope", "https://spdx.dev/Document"), Attestation),
            ("application/vnd.in-toto+json", none, Attestation),
            ("application/vnd.in-toto.spdx+dsse", none, Attestation),
            ("application/vnd.dsse.envelope.v1+json", none, Attestation),
            ("application/spdx+json", none, Sbom),
            ("text/spdx", none, Sbom),
            ("application/vnd.cyclonedx+xml", none, Sbom),
            ("application/vnd.syft+json", none, Sbom),
            ("application/vnd.dev.cosign.artifact.sbom.v1+json", none, Sbom),
            ("application/vnd.oci.image.config.v1+json", none, Other),
            ("", none, Other),
        ] {
            let at = BlobId { digest: Digest::sha256_of(b""), size: 0 };
            let mut entry = Descriptor::new(OCI_MANIFEST, at);
            entry.set_artifact_type(media_type);
            for (key, value) in annotations {
                entry.set_annotation(key, Some(value)).unwrap();
            }
            assert_eq!(of(&entry), expected, "{media_type} {annotations:?}");
        }
    }
}
