//! What a run reports of each layer.

use serde::Serialize;

use crate::{
    check::BlobKind,
    chunked::eligibility::LeftOut,
    image::{BlobId, Digest},
    layer::Outline,
};

/// What a layer has become.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum LayerKind {
    /// With a TOC.
    #[serde(rename = "zstd:chunked")]
    ZstdChunked,
    /// Without one.
    #[serde(rename = "zstd")]
    Zstd,
    /// For clients that know nothing else. Where the source was gzip too, it is the same blob.
    #[serde(rename = "gzip")]
    Gzip,
    /// As it was: it is not fetched from the registry, and was not read.
    #[serde(rename = "foreign")]
    Foreign,
}

impl LayerKind {
    /// As users write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ZstdChunked => "zstd:chunked",
            Self::Zstd => "zstd",
            Self::Gzip => "gzip",
            Self::Foreign => "foreign",
        }
    }
}

/// One layer: before and after.
#[derive(Debug, Clone, Serialize)]
pub struct LayerReport {
    /// Counted from 1, the lowest layer first.
    pub number: usize,
    /// The source's blob.
    pub source_digest: Digest,
    /// Its length in bytes.
    pub source_size: u64,
    /// How it was compressed, if it was read.
    pub source_format: Option<BlobKind>,
    /// Its annotations say that it has a TOC.
    #[serde(skip)]
    pub source_is_chunked: bool,
    /// Digest of the content, the same before and after.
    pub diff_id: Digest,
    /// Length of the content in bytes.
    pub uncompressed_size: Option<u64>,
    /// What it has become.
    #[serde(rename = "format")]
    pub kind: LayerKind,
    pub digest: Digest,
    /// Its length in bytes.
    pub size: u64,
    /// Why it has no TOC although one was wanted.
    pub reason: Option<String>,
    #[serde(flatten, serialize_with = "outline")]
    pub outline: Option<Outline>,
    /// The destination had the new blob before.
    pub already_there: bool,
    /// It was taken over instead of being converted.
    pub reused: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reuse: Option<ReuseReport>,
}

/// Where a layer was taken over from.
#[derive(Debug, Clone, Serialize)]
pub struct ReuseReport {
    /// The image that has it, or the layer of this run.
    pub from: String,
    pub proof: ReuseProof,
    /// The registry has mounted it from there.
    pub mounted: bool,
    /// It was made as this run would make it.
    #[serde(skip)]
    pub same_recipe: bool,
}

/// Why a layer that was taken over is right.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ReuseProof {
    /// All of its content was checked.
    Verified,
    /// Its image is named by digest; TOC and tar-split were checked against each other.
    Digest,
    /// This run has converted the same content from another blob.
    Converted,
}

impl ReuseProof {
    /// As users read it, after a layer's name.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Verified => "verified",
            Self::Digest => "trusted by digest",
            Self::Converted => "converted",
        }
    }
}

impl LayerReport {
    pub(crate) fn foreign(number: usize, blob: &BlobId, diff_id: &Digest) -> Self {
        Self {
            number,
            source_digest: blob.digest.clone(),
            source_size: blob.size,
            source_format: None,
            source_is_chunked: false,
            diff_id: diff_id.clone(),
            uncompressed_size: None,
            kind: LayerKind::Foreign,
            digest: blob.digest.clone(),
            size: blob.size,
            reason: None,
            outline: None,
            already_there: true,
            reused: false,
            reuse: None,
        }
    }

    /// Whether it is the source's blob, and was not taken from elsewhere.
    pub(crate) fn is_unchanged(&self) -> bool {
        !self.reused && self.digest == self.source_digest
    }

    /// Whether this run has made it.
    pub(crate) fn is_converted(&self) -> bool {
        !self.reused && self.digest != self.source_digest
    }
}

/// What there is to say of an image that was named to be reused.
#[derive(Debug, Clone, Serialize)]
pub struct ReuseNote {
    /// As it was given.
    pub image: String,
    pub note: String,
    /// It was logged already.
    #[serde(skip)]
    pub logged: bool,
}

#[derive(Serialize)]
struct OutlineFields<'a> {
    entries: u64,
    files: u64,
    chunks: u64,
    toc_size: u64,
    tar_split_size: u64,
    #[serde(skip_serializing_if = "LeftOut::is_empty")]
    not_in_partial_pulls: &'a LeftOut,
}

#[expect(clippy::ref_option, reason = "the form that serde asks for")]
fn outline<S: serde::Serializer>(
    outline: &Option<Outline>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let fields = outline.as_ref().map(|outline| OutlineFields {
        entries: outline.entries,
        files: outline.files,
        chunks: outline.chunks,
        toc_size: outline.annotations.toc.len,
        tar_split_size: outline.annotations.tar_split.len,
        not_in_partial_pulls: &outline.left_out,
    });
    fields.serialize(serializer)
}
