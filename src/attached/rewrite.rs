//! An SBOM about one image made one about another.

use serde_json::value::RawValue;

use super::{
    Subject,
    change::{Change, Unfit, shorten},
    cyclonedx,
    json::EditableObject,
    spdx,
};

/// Formats of SBOMs that can be rewritten.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum SbomFormat {
    /// SPDX 2.3 as JSON.
    Spdx,
    /// `CycloneDX` 1.2 to 1.7 as JSON.
    CycloneDx,
}

impl SbomFormat {
    /// The type of a document, and of an artifact that is one.
    pub fn media_type(self) -> &'static str {
        match self {
            Self::Spdx => "application/spdx+json",
            Self::CycloneDx => "application/vnd.cyclonedx+json",
        }
    }

    /// The type that cosign gives to a document (cosign, `specs/SBOM_SPEC.md`).
    pub(super) fn cosign_media_type(self) -> &'static str {
        match self {
            Self::Spdx => "text/spdx+json",
            Self::CycloneDx => "application/vnd.cyclonedx+json",
        }
    }

    pub(super) fn file_name(self) -> &'static str {
        match self {
            Self::Spdx => "sbom.spdx.json",
            Self::CycloneDx => "sbom.cdx.json",
        }
    }
}

/// Rewrites `document`, an SBOM about `old`, so that it describes `new` and says that this was made
/// from `old`. All else keeps its bytes. The same input gives the same output; times stay. It needs
/// about three times the memory that the document takes.
pub fn rewrite(
    document: &[u8],
    old: &Subject,
    new: &Subject,
) -> Result<(SbomFormat, String), Unfit> {
    if old.digest().algorithm() != new.digest().algorithm() {
        return Err(Unfit::Algorithm(old.digest().algorithm().as_str()));
    }
    let text = std::str::from_utf8(document).map_err(|_| Unfit::NotJson)?;
    let root: &RawValue = serde_json::from_str(text).map_err(|_| Unfit::NotJson)?;
    let root = EditableObject::of(root).ok_or(Unfit::NotJson)?;
    let change = Change { old, new };
    match (root.text("spdxVersion").as_deref(), root.text("bomFormat").as_deref()) {
        (Some("SPDX-2.3"), None) => {
            spdx::rewrite(text, &root, &change).map(|text| (SbomFormat::Spdx, text))
        }
        (None, Some("CycloneDX")) => {
            cyclonedx::rewrite(text, &root, &change).map(|text| (SbomFormat::CycloneDx, text))
        }
        (Some(version), None) => Err(Unfit::Unknown(shorten(version))),
        _ => Err(Unfit::Unknown("something else".into())),
    }
}
