//! Media types of manifests, configs and layers, and which may stand together.

pub use oci_client::manifest::{
    IMAGE_CONFIG_MEDIA_TYPE as OCI_CONFIG, IMAGE_DOCKER_CONFIG_MEDIA_TYPE as DOCKER_CONFIG,
    IMAGE_LAYER_GZIP_MEDIA_TYPE as OCI_LAYER_GZIP, IMAGE_LAYER_MEDIA_TYPE as OCI_LAYER,
    IMAGE_MANIFEST_LIST_MEDIA_TYPE as DOCKER_MANIFEST_LIST,
    IMAGE_MANIFEST_MEDIA_TYPE as DOCKER_MANIFEST, OCI_IMAGE_INDEX_MEDIA_TYPE as OCI_INDEX,
    OCI_IMAGE_MEDIA_TYPE as OCI_MANIFEST,
};
use oci_client::manifest::{
    IMAGE_DOCKER_LAYER_GZIP_MEDIA_TYPE as DOCKER_LAYER_GZIP,
    IMAGE_DOCKER_LAYER_TAR_MEDIA_TYPE as DOCKER_LAYER,
    IMAGE_LAYER_NONDISTRIBUTABLE_GZIP_MEDIA_TYPE as OCI_NONDISTRIBUTABLE_GZIP,
    IMAGE_LAYER_NONDISTRIBUTABLE_MEDIA_TYPE as OCI_NONDISTRIBUTABLE,
};

/// The config of an artifact that needs none, and anything else without content.
pub const EMPTY: &str = "application/vnd.oci.empty.v1+json";
/// OCI layer, zstd; zstd:chunked has no media type of its own, only annotations.
pub const OCI_LAYER_ZSTD: &str = "application/vnd.oci.image.layer.v1.tar+zstd";

const OCI_NONDISTRIBUTABLE_ZSTD: &str =
    "application/vnd.oci.image.layer.nondistributable.v1.tar+zstd";
const DOCKER_FOREIGN: &str = "application/vnd.docker.image.rootfs.foreign.diff.tar";
const DOCKER_FOREIGN_GZIP: &str = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip";
/// No standard; `BuildKit` writes it when asked for zstd alone. It is read, and never written.
const DOCKER_LAYER_ZSTD: &str = "application/vnd.docker.image.rootfs.diff.tar.zstd";

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

impl Suffix {
    /// As users read it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::None => "uncompressed",
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
        }
    }
}

/// The media type of a layer that is a tar, apart from whether it is spelled as OCI or as Docker
/// does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LayerType {
    /// Whether it may be passed on; if not, and it has `urls`, clients fetch it from there.
    pub distributable: bool,
    /// The compression that it names.
    pub suffix: Suffix,
}

impl LayerType {
    /// Reads a media type; `None` if it is not one of a tar layer.
    pub fn parse(media_type: &str) -> Option<Self> {
        let (distributable, suffix) = match media_type {
            OCI_LAYER | DOCKER_LAYER => (true, Suffix::None),
            OCI_LAYER_GZIP | DOCKER_LAYER_GZIP => (true, Suffix::Gzip),
            OCI_LAYER_ZSTD | DOCKER_LAYER_ZSTD => (true, Suffix::Zstd),
            OCI_NONDISTRIBUTABLE | DOCKER_FOREIGN => (false, Suffix::None),
            OCI_NONDISTRIBUTABLE_GZIP | DOCKER_FOREIGN_GZIP => (false, Suffix::Gzip),
            OCI_NONDISTRIBUTABLE_ZSTD => (false, Suffix::Zstd),
            _ => return None,
        };
        Some(Self { distributable, suffix })
    }

    /// The same with another compression.
    #[must_use]
    pub fn with(self, suffix: Suffix) -> Self {
        Self { suffix, ..self }
    }
}

/// A family of media types: the documents of one image are all of one, and the family decides what
/// its layers can be. Whoever writes a manifest asks here, so that no Docker manifest ever holds a
/// zstd layer (containers/buildah#5452).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// OCI image-spec.
    Oci,
    /// Docker image manifest, version 2 schema 2.
    Docker,
}

/// A layer that a family has no media type for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "a Docker schema 2 manifest cannot hold zstd layers: no client reads them; \
     write an OCI manifest, or compress with gzip"
)]
pub struct ImpossibleLayer;

impl Family {
    /// The family of a manifest's media type.
    pub fn of(manifest: &str) -> Option<Self> {
        match manifest {
            OCI_MANIFEST | OCI_INDEX => Some(Self::Oci),
            DOCKER_MANIFEST | DOCKER_MANIFEST_LIST => Some(Self::Docker),
            _ => None,
        }
    }

    /// The media type of an image's manifest.
    pub fn manifest(self) -> &'static str {
        match self {
            Self::Oci => OCI_MANIFEST,
            Self::Docker => DOCKER_MANIFEST,
        }
    }

    /// The media type of an image's config.
    pub fn config(self) -> &'static str {
        match self {
            Self::Oci => OCI_CONFIG,
            Self::Docker => DOCKER_CONFIG,
        }
    }

    /// The media type of a layer. Foreign zstd layers do not exist among Docker's types either.
    pub fn layer(self, layer: LayerType) -> Result<&'static str, ImpossibleLayer> {
        Ok(match (self, layer.distributable, layer.suffix) {
            (Self::Oci, true, Suffix::None) => OCI_LAYER,
            (Self::Oci, true, Suffix::Gzip) => OCI_LAYER_GZIP,
            (Self::Oci, true, Suffix::Zstd) => OCI_LAYER_ZSTD,
            (Self::Oci, false, Suffix::None) => OCI_NONDISTRIBUTABLE,
            (Self::Oci, false, Suffix::Gzip) => OCI_NONDISTRIBUTABLE_GZIP,
            (Self::Oci, false, Suffix::Zstd) => OCI_NONDISTRIBUTABLE_ZSTD,
            (Self::Docker, true, Suffix::None) => DOCKER_LAYER,
            (Self::Docker, true, Suffix::Gzip) => DOCKER_LAYER_GZIP,
            (Self::Docker, false, Suffix::None) => DOCKER_FOREIGN,
            (Self::Docker, false, Suffix::Gzip) => DOCKER_FOREIGN_GZIP,
            (Self::Docker, _, Suffix::Zstd) => return Err(ImpossibleLayer),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_family_writes_is_read_as_the_same_layer() {
        for family in [Family::Oci, Family::Docker] {
            for distributable in [true, false] {
                for suffix in [Suffix::None, Suffix::Gzip, Suffix::Zstd] {
                    let layer = LayerType { distributable, suffix };
                    match family.layer(layer) {
                        Ok(media_type) => {
                            assert_eq!(LayerType::parse(media_type), Some(layer));
                            assert_eq!(media_type.contains("docker"), family == Family::Docker);
                        }
                        Err(ImpossibleLayer) => {
                            assert_eq!((family, suffix), (Family::Docker, Suffix::Zstd));
                        }
                    }
                }
            }
        }
    }
}
