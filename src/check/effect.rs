//! What clients do with a layer that breaks a rule.

/// What clients do with a layer of which a rule does not hold. "Partial pull" is that of podman,
/// buildah and CRI-O with `enable_partial_images`; a "full pull" is that of every other client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Effect {
    /// No way to pull it.
    NoPull,
    /// A partial pull ends with an error, and does not fall back.
    NoPartialPull,
    /// A partial pull succeeds with composefs off only.
    NoComposefsPull,
    /// A full pull fails.
    NoFullPull,
    /// Partial pulls silently become full ones.
    PulledWhole,
    /// Old or strict decoders fail.
    SomeDecoders,
    /// Directories come out with another mode.
    OtherMode,
    /// A partial pull, or one with composefs, results in another tree.
    OtherTree,
    /// A file of a lower layer is there instead.
    LowerShowsThrough,
    /// Missing after a partial pull, with nothing in its place.
    NotCreated,
    /// What whiteouts remove is there with composefs.
    ComposefsIgnoresWhiteouts,
    /// A hard link that cannot be made.
    LinkLost,
    /// Other attributes with composefs.
    OtherAttributes,
    /// Another mode or owner of the root.
    OtherRoot,
    /// A symlink without its owner or attributes.
    SymlinkLoses,
    /// One piece of text in memory.
    MuchMemory,
    /// Other pieces are fetched or reused than needed, at most.
    MoreFetched,
    /// No client looks at it.
    Unread,
    /// Tools that go by names and types rather than by content.
    OtherTools,
    /// Not the same image.
    OtherImage,
    /// Nobody knows.
    Unknown,
}

impl Effect {
    /// Who does what.
    pub(crate) fn text(self) -> &'static str {
        match self {
            Self::NoPull => "no client can pull this layer",
            Self::NoPartialPull => {
                "podman, buildah and CRI-O with partial pulls on fail to pull this layer; full \
                 pulls are not affected"
            }
            Self::NoComposefsPull => {
                "podman with partial pulls and composefs on fails to pull this layer; other pulls \
                 are not affected"
            }
            Self::NoFullPull => {
                "full pulls by podman, docker and containerd fail; partial pulls are not affected"
            }
            Self::PulledWhole => "podman, buildah and CRI-O pull this layer whole, never partially",
            Self::SomeDecoders => {
                "the zstd command and clients with bounded memory refuse this layer"
            }
            Self::OtherMode => {
                "after a partial pull such a directory has the mode 0000; full pulls give it 0755"
            }
            Self::OtherTree => {
                "a pull by podman with partial pulls or composefs on results in another tree than a \
                 full pull"
            }
            Self::LowerShowsThrough => {
                "a partial pull by podman, buildah or CRI-O with composefs off does not create it, \
                 so what lower layers have on the same path shows through; full pulls are not \
                 affected"
            }
            Self::NotCreated => {
                "a partial pull by podman, buildah or CRI-O with composefs off does not create it; \
                 full pulls are not affected"
            }
            Self::ComposefsIgnoresWhiteouts => {
                "after a partial pull by podman with composefs on, what they remove is still there, \
                 and so are they; other pulls are not affected"
            }
            Self::LinkLost => {
                "podman fails to pull this layer, fully or partially; docker and containerd may find \
                 the target in a lower layer"
            }
            Self::OtherAttributes => {
                "after a partial pull by podman with composefs on the file has other attributes \
                 than after any other pull"
            }
            Self::OtherRoot => {
                "after a partial pull by podman, buildah or CRI-O the root has another mode or \
                 owner than after a full pull; with composefs on the image may not be mountable"
            }
            Self::SymlinkLoses => {
                "after a partial pull by podman, buildah or CRI-O with composefs off symlinks belong \
                 to root and have no attributes; full pulls are not affected"
            }
            Self::MuchMemory => {
                "podman, buildah and CRI-O hold all of it in memory, several times over, to pull it \
                 partially"
            }
            Self::MoreFetched => "all pulls succeed; a partial pull may fetch more than it needs",
            Self::Unread => {
                "no client of containers/storage reads it, pulls are not affected; tools that have \
                 the blob alone are misled"
            }
            Self::OtherTools => {
                "tools that go by the media type or the annotations fail; podman goes by the content"
            }
            Self::Unknown => "not checked (any further); this says nothing about clients",
            Self::OtherImage => "clients get another image than from the one it was compared with",
        }
    }
}
