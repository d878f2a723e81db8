//! The annotation keys that this program knows, and what they mean for it.

use std::collections::BTreeMap;

/// Annotations of a manifest, an index or a descriptor.
pub type Annotations = BTreeMap<String, String>;

/// On a layer: digest of the compressed TOC. Its presence makes the layer zstd:chunked
/// (containers/storage, `pkg/chunked/internal/minimal/compression.go`).
pub const TOC_DIGEST: &str = "io.github.containers.zstd-chunked.manifest-checksum";
/// On a layer: where the TOC is, `offset:length:uncompressed length:type`.
pub const TOC_POSITION: &str = "io.github.containers.zstd-chunked.manifest-position";
/// On a layer: where the tar-split stream is, `offset:length:uncompressed length`.
pub const TAR_SPLIT_POSITION: &str = "io.github.containers.zstd-chunked.tarsplit-position";
/// On a layer: digest of the TOC of the stargz snapshotter (`estargz/types.go`).
pub const ESTARGZ_TOC_DIGEST: &str = "containerd.io/snapshot/stargz/toc.digest";

/// On manifests and indexes that this program made: digest of the manifest or index that they were
/// made from.
pub const SOURCE_DIGEST: &str = "io.github.recompress-image.source-digest";

/// On an entry of an index, `true` for an image with zstd layers: readers that know zstd prefer
/// such an entry over another of the same platform wherever it stands (containers/image,
/// `internal/manifest/oci_index.go`), and release tools distinguish variants of one image by it.
pub const ZSTD_MARK: &str = "io.github.containers.compression.zstd";

/// On an entry of an index: what `BuildKit` says of an entry that is not an image but speaks of
/// another entry (moby/buildkit, `docs/attestations/attestation-storage.md`).
pub const REFERENCE_TYPE: &str = "vnd.docker.reference.type";
/// On an entry of an index: the digest of the entry it speaks of.
pub const REFERENCE_DIGEST: &str = "vnd.docker.reference.digest";

/// On an entry of a layout's `index.json`: the tag (image-spec, annotations.md).
pub const REF_NAME: &str = "org.opencontainers.image.ref.name";

/// On a manifest: the period after which Quay removes its tag, like the label of that name
/// (quay/quay, `image/oci/manifest.py`).
pub const EXPIRES_AFTER: &str = "quay.expires-after";

/// On a layer: in use in 2023, and until 2022; clients of today ignore them.
pub const OBSOLETE: [&str; 3] = [
    "io.github.containers.zstd-chunked.tarsplit-checksum",
    "io.containers.zstd-chunked.manifest-checksum",
    "io.containers.zstd-chunked.manifest-position",
];

/// On the manifest of a sigstore bundle: what is in it.
pub const BUNDLE_PREDICATE: &str = "dev.sigstore.bundle.predicateType";
/// On the manifest of a sigstore bundle: an envelope with a statement, or a plain signature.
pub const BUNDLE_CONTENT: &str = "dev.sigstore.bundle.content";

/// On a layer: a name for the file that it is downloaded into (image-spec, annotations.md).
pub const TITLE: &str = "org.opencontainers.image.title";

/// How keys begin on the layers of a Tekton bundle (tektoncd/pipeline, `docs/tekton-bundle-contracts.md`).
pub const TEKTON_BUNDLE: &str = "dev.tekton.image.";

/// How keys begin that speak of the bytes of a blob or manifest, or point at something made from
/// them: they are wrong as soon as the bytes are others. zstd:chunked's own (the second until 2022;
/// the sentinel of container-libs#681 is among them), those of containerd's snapshotters (stargz,
/// nydus, overlaybd), eStargz's, and the pointer to a SOCI index.
const OF_THE_BYTES: [&str; 5] = [
    "io.github.containers.zstd-chunked.",
    "io.containers.zstd-chunked.",
    "containerd.io/snapshot/",
    "io.containers.estargz.",
    "com.amazon.soci.",
];

/// Whether an annotation speaks of the very bytes that it was written for.
pub fn is_of_the_bytes(key: &str) -> bool {
    OF_THE_BYTES.iter().any(|prefix| key.starts_with(prefix))
}

/// Whether the annotations of a layer claim that it has a TOC of zstd:chunked.
pub fn is_chunked(annotations: &Annotations) -> bool {
    annotations.contains_key(TOC_DIGEST)
}
