//! What is attached to an image: signatures, attestations, SBOMs. They name the image by its digest, and
//! a converted image has another one, so they are left behind unless they are copied.
//!
//! [`list`] lists them. [`carry_sbom`] copies an SBOM: the document is rewritten so
//! that it describes the new image, and attached to that. Signatures and attestations are bound to
//! what they sign; only their signer can make new ones.

mod attach;
mod carry;
mod change;
mod cyclonedx;
mod json;
mod kind;
mod list;
mod rewrite;
mod spdx;
mod subject;

use std::fmt;

use serde::Serialize;

pub use self::{
    carry::{CarriedSbom, SBOM_SIZE_MAX, SbomChoice, carry_sbom},
    change::Unfit,
    list::{Listing, list},
    rewrite::{SbomFormat, rewrite},
    subject::Subject,
};
use crate::image::Digest;

/// Something attached to an image, as the report shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Attached {
    pub kind: AttachedKind,
    /// Of its manifest.
    pub digest: Digest,
    /// What the manifest says it is: its artifact type, or the type of its first layer.
    pub media_type: String,
    /// Length of the manifest in bytes.
    pub size: u64,
    /// Where it was found.
    pub found_in: FoundIn,
    /// Whether it is attached to the new image too.
    pub carried: bool,
    pub reason: Option<String>,
}

/// Kinds of what is attached to an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum AttachedKind {
    /// A signature of cosign or Notary.
    Signature,
    /// A signed statement, such as provenance, a scan's outcome or an SBOM.
    Attestation,
    /// A software bill of materials that is not signed.
    Sbom,
    /// Anything else.
    Other,
}

impl AttachedKind {
    /// As users write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Signature => "signature",
            Self::Attestation => "attestation",
            Self::Sbom => "SBOM",
            Self::Other => "artifact",
        }
    }
}

/// Where something that is attached to an image was found. Its text is `referrers`, or the tag.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum FoundIn {
    /// It refers to the image, and is listed so.
    Referrers,
    /// The tag of an index that registries without the referrers API have.
    Index(String),
    /// A tag that cosign makes of the digest.
    Tag(String),
}

impl fmt::Display for FoundIn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Referrers => f.write_str("referrers"),
            Self::Index(tag) | Self::Tag(tag) => f.write_str(tag),
        }
    }
}

impl Serialize for FoundIn {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
