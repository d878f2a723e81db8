//! Media types of manifests, configs and layers, and which may stand together.

/// OCI image manifest.
pub const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// OCI image index.
pub const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
/// OCI image config.
pub const OCI_CONFIG: &str = "application/vnd.oci.image.config.v1+json";
/// The config of an artifact that needs none, and anything else without content.
pub const EMPTY: &str = "application/vnd.oci.empty.v1+json";
/// OCI layer, a plain tar.
pub const OCI_LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
/// OCI layer, gzip.
pub const OCI_LAYER_GZIP: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
/// OCI layer, zstd; zstd:chunked has no media type of its own, its annotations tell it.
pub const OCI_LAYER_ZSTD: &str = "application/vnd.oci.image.layer.v1.tar+zstd";
/// Docker image manifest, version 2 schema 2.
pub const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
/// Docker manifest list.
pub const DOCKER_MANIFEST_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
/// Docker image config.
pub const DOCKER_CONFIG: &str = "application/vnd.docker.container.image.v1+json";

const OCI_NONDISTRIBUTABLE: &str = "application/vnd.oci.image.layer.nondistributable.v1.tar";
const OCI_NONDISTRIBUTABLE_GZIP: &str =
    "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip";
const OCI_NONDISTRIBUTABLE_ZSTD: &str =
    "application/vnd.oci.image.layer.nondistributable.v1.tar+zstd";

/// How a media type says that a layer is compressed. Content may differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Suffix {
    /// A plain tar.
    None,
    /// gzip.
    Gzip,
    /// zstd.
    Zstd,
}

/// The media type of a layer that is a tar, apart from whether it is spelled as OCI or as Docker
/// does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LayerType {
    /// Whether it may be passed on; if not, and it has `urls`, clients fetch it from there.
    pub distributable: bool,
    /// The compression it tells of.
    pub suffix: Suffix,
}

impl LayerType {
    /// Reads a media type; `None` if it is not one of a tar layer.
    pub fn parse(media_type: &str) -> Option<Self> {
        let (distributable, suffix) = match media_type {
            OCI_LAYER | "application/vnd.docker.image.rootfs.diff.tar" => (true, Suffix::None),
            OCI_LAYER_GZIP | "application/vnd.docker.image.rootfs.diff.tar.gzip" => {
                (true, Suffix::Gzip)
            }
            // The Docker one is no standard; BuildKit writes it when asked for zstd alone.
            OCI_LAYER_ZSTD | "application/vnd.docker.image.rootfs.diff.tar.zstd" => {
                (true, Suffix::Zstd)
            }
            OCI_NONDISTRIBUTABLE | "application/vnd.docker.image.rootfs.foreign.diff.tar" => {
                (false, Suffix::None)
            }
            OCI_NONDISTRIBUTABLE_GZIP
            | "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip" => (false, Suffix::Gzip),
            OCI_NONDISTRIBUTABLE_ZSTD => (false, Suffix::Zstd),
            _ => return None,
        };
        Some(Self { distributable, suffix })
    }

    /// The same with zstd.
    #[must_use]
    pub fn zstd(self) -> Self {
        Self { suffix: Suffix::Zstd, ..self }
    }

    /// As OCI spells it.
    pub fn oci(self) -> &'static str {
        match (self.distributable, self.suffix) {
            (true, Suffix::None) => OCI_LAYER,
            (true, Suffix::Gzip) => OCI_LAYER_GZIP,
            (true, Suffix::Zstd) => OCI_LAYER_ZSTD,
            (false, Suffix::None) => OCI_NONDISTRIBUTABLE,
            (false, Suffix::Gzip) => OCI_NONDISTRIBUTABLE_GZIP,
            (false, Suffix::Zstd) => OCI_NONDISTRIBUTABLE_ZSTD,
        }
    }
}
