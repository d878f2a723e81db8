//! What clients do with a layer that breaks a rule.

/// A "partial pull" is one by podman, buildah or CRI-O with `enable_partial_images`; every other
/// pull is a "full pull".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Effect {
    NoPull,
    /// A partial pull fails, without falling back to a full one.
    NoPartialPull,
    /// A partial pull succeeds only without composefs.
    NoComposefsPull,
    NoFullPull,
    /// Partial pulls silently become full ones.
    PulledWhole,
    /// Old or strict decoders fail.
    SomeDecoders,
    /// Directories get a different mode.
    OtherMode,
    /// A partial pull, or one with composefs, produces a different tree.
    OtherTree,
    /// A file of a lower layer is there instead.
    LowerShowsThrough,
    /// Missing after a partial pull, with nothing in its place.
    NotCreated,
    /// With composefs, what whiteouts remove is still there.
    ComposefsIgnoresWhiteouts,
    /// A hard link cannot be created.
    LinkLost,
    OtherAttributes,
    OtherRoot,
    SymlinkLoses,
    MuchMemory,
    MoreFetched,
    /// No client looks at it.
    Unread,
    /// Tools that rely on names and types rather than on content.
    OtherTools,
    /// Not the same image.
    OtherImage,
    Unknown,
}

impl Effect {
    pub(crate) fn text(self) -> &'static str {
        match self {
            Self::NoPull => "no client can pull this layer",
            Self::NoPartialPull => {
                "podman, buildah and CRI-O with partial pulls enabled fail to pull this layer; \
                 full pulls are not affected"
            }
            Self::NoComposefsPull => {
                "podman with partial pulls and composefs enabled fails to pull this layer; other \
                 pulls are not affected"
            }
            Self::NoFullPull => {
                "full pulls by podman, docker and containerd fail; partial pulls are not affected"
            }
            Self::PulledWhole => {
                "podman, buildah and CRI-O pull this layer in full, never partially"
            }
            Self::SomeDecoders => {
                "the zstd command and clients with little memory refuse this layer"
            }
            Self::OtherMode => {
                "after a partial pull such a directory has mode 0000; after a full pull it has 0755"
            }
            Self::OtherTree => {
                "a pull by podman with partial pulls or composefs enabled produces a different \
                 file tree than a full pull"
            }
            Self::LowerShowsThrough => {
                "a partial pull by podman, buildah or CRI-O without composefs does not create it, \
                 so anything at the same path in lower layers shows through; full pulls are not \
                 affected"
            }
            Self::NotCreated => {
                "a partial pull by podman, buildah or CRI-O without composefs does not create it; \
                 full pulls are not affected"
            }
            Self::ComposefsIgnoresWhiteouts => {
                "after a partial pull by podman with composefs, whiteouts and what they remove are \
                 still there; other pulls are not affected"
            }
            Self::LinkLost => {
                "podman fails to pull this layer, in full or partially; docker and containerd may \
                 find the target in a lower layer"
            }
            Self::OtherAttributes => {
                "after a partial pull by podman with composefs, the file has different attributes \
                 than after any other pull"
            }
            Self::OtherRoot => {
                "after a partial pull by podman, buildah or CRI-O, the root directory has another \
                 mode or owner than after a full pull; with composefs, the image may fail to mount"
            }
            Self::SymlinkLoses => {
                "after a partial pull by podman, buildah or CRI-O without composefs, symlinks are \
                 owned by root and have no attributes; full pulls are not affected"
            }
            Self::MuchMemory => {
                "podman, buildah and CRI-O hold several copies of it in memory in a partial pull"
            }
            Self::MoreFetched => {
                "all pulls succeed, but a partial pull may fetch more than it needs"
            }
            Self::Unread => {
                "no client based on containers/storage reads it, so pulls are not affected; tools \
                 that have only the blob are misled"
            }
            Self::OtherTools => {
                "tools that rely on the media type or the annotations fail; podman relies on the \
                 content"
            }
            Self::Unknown => "not checked (any further), so the effect on clients is unknown",
            Self::OtherImage => "clients get a different image than the one it was compared with",
        }
    }
}
