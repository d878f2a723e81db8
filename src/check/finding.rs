//! What can be wrong with a layer, and who would notice.

use std::{collections::BTreeMap, fmt};

use serde::{Serialize, Serializer, ser::SerializeStruct as _};

/// How much a finding weighs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The image is not what it claims to be.
    Error,
    /// The image is right, and some client will still not do with it what one might expect.
    Warning,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Error => "error",
            Self::Warning => "warning",
        })
    }
}

/// What clients do with a layer of which a rule does not hold. "Partial pull" is that of podman,
/// buildah and CRI-O with `enable_partial_images`; a "full pull" is that of every other client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
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
    pub fn text(self) -> &'static str {
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
            Self::MoreFetched => "all pulls succeed; a partial pull may fetch more than it needs",
            Self::Unread => {
                "no client of containers/storage reads it, pulls are not affected; tools that have \
                 the blob alone are misled"
            }
            Self::OtherTools => {
                "tools that go by the media type or the annotations fail; podman goes by the content"
            }
            Self::Unknown => "it was not looked at, so nothing is known about it",
            Self::OtherImage => "clients get another image than from the one it was compared with",
        }
    }
}

macro_rules! rules {
    ($($(#[doc = $doc:literal])+ $rule:ident $id:literal $severity:ident $effect:ident;)+) => {
        /// A rule that an image keeps or breaks. The ids are stable.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Rule { $($(#[doc = $doc])+ $rule,)+ }

        impl Rule {
            /// All rules.
            pub const ALL: &[Self] = &[$(Self::$rule,)+];

            /// The rule's name in reports.
            pub fn id(self) -> &'static str {
                match self { $(Self::$rule => $id,)+ }
            }

            /// How much it weighs.
            pub fn severity(self) -> Severity {
                match self { $(Self::$rule => Severity::$severity,)+ }
            }

            /// What clients do where it is broken.
            pub fn effect(self) -> Effect {
                match self { $(Self::$rule => Effect::$effect,)+ }
            }
        }
    };
}

rules! {
    /// zstd needs an OCI manifest; a Docker one has no annotations.
    DockerManifest "docker-manifest" Error OtherTools;
    /// The config has one diffID for each layer.
    DiffIds "diff-ids" Error NoPull;
    /// The media type says how the layer is compressed.
    MediaType "media-type" Error OtherTools;
    /// The blob has the digest and the size of its descriptor.
    Blob "blob" Error NoPull;
    /// All of the blob can be decompressed.
    Frame "frame" Error NoPull;
    /// A window of at most 128 MiB.
    Window "frame-window" Error SomeDecoders;
    /// No dictionary.
    Dictionary "frame-dictionary" Error NoPull;
    /// The blob begins with an ordinary frame, or it is not recognised as zstd.
    FirstFrame "first-frame" Error NoFullPull;
    /// The content has the config's diffID.
    DiffId "diff-id" Error NoPull;
    /// A chunked layer is zstd.
    NotZstd "not-zstd" Error NoPartialPull;
    /// One TOC of one format.
    TwoTocs "two-tocs" Error NoPartialPull;
    /// Nothing is left of another blob or an older format.
    StaleAnnotation "stale-annotation" Warning OtherTools;
    /// The annotation has the digest of the compressed TOC.
    TocDigest "toc-digest" Error NoPartialPull;
    /// The annotation leads to the payload of the TOC's frame.
    TocPosition "toc-position" Error NoPartialPull;
    /// The only manifest type is 1.
    TocFormat "toc-format" Error NoPartialPull;
    /// At most 150 MiB.
    TocTooLong "toc-too-long" Error PulledWhole;
    /// The annotation has the TOC's uncompressed length.
    TocLength "toc-length" Error Unread;
    /// The TOC is zstd.
    TocEncoding "toc-encoding" Error NoPartialPull;
    /// The TOC is JSON of the known form.
    TocJson "toc-json" Error NoPartialPull;
    /// The TOC commits to the tar-split stream.
    TarSplitDigestMissing "tar-split-digest-missing" Error PulledWhole;
    /// The TOC has the digest of the compressed tar-split stream.
    TarSplitDigest "tar-split-digest" Error NoPartialPull;
    /// The annotation leads to the payload of the tar-split's frame.
    TarSplitPosition "tar-split-position" Error NoPartialPull;
    /// The annotation has the tar-split stream's uncompressed length.
    TarSplitLength "tar-split-length" Error Unread;
    /// The tar-split stream is zstd.
    TarSplitEncoding "tar-split-encoding" Error NoPartialPull;
    /// The tar-split stream is JSON objects of the known form.
    TarSplitJson "tar-split-json" Error NoPartialPull;
    /// Objects are numbered from 0.
    TarSplitOrder "tar-split-order" Error OtherTools;
    /// Each segment holds the padding before and one header set, or an end of the archive.
    TarSplitSegment "tar-split-segment" Error NoPartialPull;
    /// One file object for each header, with its name and the length of its content.
    TarSplitFile "tar-split-file" Error NoPartialPull;
    /// The CRC-64 of each content.
    TarSplitCrc "tar-split-crc" Error NoPartialPull;
    /// Every header has an entry in the TOC.
    EntryMissing "entry-missing" Error NoPartialPull;
    /// Every entry of the TOC has a header.
    EntryExtra "entry-extra" Error NoPartialPull;
    /// The TOC is in the order of the tar.
    EntryOrder "entry-order" Error NoPartialPull;
    /// No two entries on one path.
    DuplicatePath "duplicate-path" Error NoPartialPull;
    /// Names are verbatim.
    EntryName "entry-name" Error NoPartialPull;
    /// Types are those of the headers.
    EntryType "entry-type" Error NoPartialPull;
    /// Link targets are verbatim.
    EntryLink "entry-link" Error NoPartialPull;
    /// Modes are the header's field as a number.
    EntryMode "entry-mode" Error NoPartialPull;
    /// Sizes are the header's, for all types.
    EntrySize "entry-size" Error NoPartialPull;
    /// User and group.
    EntryOwner "entry-owner" Error NoPartialPull;
    /// Times, to the nanosecond, and only those of the header.
    EntryTime "entry-time" Error NoPartialPull;
    /// Device numbers.
    EntryDevice "entry-device" Error NoPartialPull;
    /// Extended attributes: those of `SCHILY.xattr.`, values in base64.
    EntryXattrs "entry-xattrs" Error NoPartialPull;
    /// Only the types 0 to 6.
    TarType "tar-type" Error NoPartialPull;
    /// No sparse files.
    TarSparse "tar-sparse" Error NoPartialPull;
    /// A file with content has a SHA-256.
    FileDigestMissing "file-digest-missing" Error NoPartialPull;
    /// It is that of the content.
    FileDigest "file-digest" Error NoPartialPull;
    /// Content begins and ends with frames of its own, where the TOC says.
    FileRange "file-range" Error NoPartialPull;
    /// Ranges are in order and do not overlap.
    RangeOrder "range-order" Error NoPartialPull;
    /// Ranges lie before the TOC.
    RangeBounds "range-bounds" Error NoPartialPull;
    /// A chunk follows its file and has its name.
    ChunkEntry "chunk-entry" Error NoPartialPull;
    /// Chunks follow each other without gaps and add up to the file.
    ChunkSize "chunk-size" Error NoPartialPull;
    /// A chunk begins with a frame of its own, where the TOC says.
    ChunkRange "chunk-range" Error NoPartialPull;
    /// The SHA-256 of the chunk.
    ChunkDigest "chunk-digest" Error MoreFetched;
    /// A hole is all zeros.
    Hole "hole" Error NoPartialPull;
    /// The frames decode to what tar-split stream and files make.
    DataStream "data-stream" Error NoPartialPull;
    /// The last frame tells where TOC and tar-split stream are.
    Footer "footer" Error Unread;
    /// Each directory has an entry.
    MissingParent "missing-parent" Warning OtherMode;
    /// A directory comes before what is in it.
    LateParent "late-parent" Warning NoComposefsPull;
    /// The layer can be read.
    Unread "unread" Error Unknown;
    /// An entry of an index has the media type and the size of its manifest.
    IndexEntry "index-entry" Error OtherTools;
    /// Only an image with zstd layers is marked as one.
    ZstdMark "zstd-mark" Error OtherTools;
    /// Both images have the same config.
    OtherConfig "other-config" Error OtherImage;
    /// Both images have the same diffIDs.
    OtherDiffIds "other-diff-ids" Error OtherImage;
}

impl Rule {
    /// Whether a layer that breaks it is not published again: it is wrong, or no TOC would have been
    /// written for it here.
    pub fn forbids_reuse(self) -> bool {
        self.severity() == Severity::Error || matches!(self, Self::MissingParent | Self::LateParent)
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.id())
    }
}

/// A rule that does not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Which.
    pub rule: Rule,
    /// Where, and what was found instead.
    pub detail: String,
}

impl Serialize for Finding {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = serializer.serialize_struct("Finding", 4)?;
        fields.serialize_field("id", self.rule.id())?;
        fields.serialize_field("severity", &self.rule.severity())?;
        fields.serialize_field("detail", &self.detail)?;
        fields.serialize_field("effect", self.rule.effect().text())?;
        fields.end()
    }
}

/// Findings of one kind that are kept; of a broken layer there may be millions.
const KEPT: u64 = 10;

/// Longer details are cut, in characters; they quote what the image says.
const DETAIL_MAX: usize = 1000;

/// Everything that was found, in its order.
#[derive(Debug, Clone, Default)]
pub struct Findings {
    kept: Vec<Finding>,
    counts: BTreeMap<Rule, u64>,
}

impl Serialize for Findings {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(&self.kept)
    }
}

impl Findings {
    /// Notes a finding.
    pub fn add(&mut self, rule: Rule, detail: impl Into<String>) {
        let count = self.counts.entry(rule).or_default();
        *count += 1;
        if *count <= KEPT {
            let mut detail = detail.into();
            if let Some((end, _)) = detail.char_indices().nth(DETAIL_MAX) {
                detail.truncate(end);
                detail.push('…');
            }
            self.kept.push(Finding { rule, detail });
        }
    }

    /// Adds what was found elsewhere.
    pub fn append(&mut self, other: &Self) {
        self.kept.extend(other.kept.iter().cloned());
        for (rule, count) in &other.counts {
            *self.counts.entry(*rule).or_default() += count;
        }
    }

    /// The findings; of each rule only the first ten.
    pub fn kept(&self) -> &[Finding] {
        &self.kept
    }

    /// How often each rule is broken.
    pub fn counts(&self) -> &BTreeMap<Rule, u64> {
        &self.counts
    }

    /// How many errors there are.
    pub fn errors(&self) -> u64 {
        self.weigh().0
    }

    /// How many errors and warnings there are.
    pub fn weigh(&self) -> (u64, u64) {
        self.counts.iter().fold((0, 0), |(errors, warnings), (rule, count)| match rule.severity() {
            Severity::Error => (errors + count, warnings),
            Severity::Warning => (errors, warnings + count),
        })
    }

    /// The first error.
    pub fn first_error(&self) -> Option<&Finding> {
        self.kept.iter().find(|finding| finding.rule.severity() == Severity::Error)
    }
}

/// A name for messages: control characters escaped, shortened. Put together only where it is
/// written, since most names are never told.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shown<N>(N);

pub(super) fn shown<N: AsRef<[u8]>>(name: N) -> Shown<N> {
    Shown(name)
}

impl<N: AsRef<[u8]>> fmt::Display for Shown<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const MOST: usize = 160;
        let name = self.0.as_ref();
        let text = String::from_utf8_lossy(name.get(..MOST).unwrap_or(name));
        let dots = if name.len() > MOST { "…" } else { "" };
        write!(f, "\"{}{dots}\"", text.escape_debug())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn ids_are_distinct_words() {
        let ids: BTreeSet<_> = Rule::ALL.iter().map(|rule| rule.id()).collect();
        assert_eq!(ids.len(), Rule::ALL.len());
        assert!(ids.iter().all(|id| id.bytes().all(|b| b == b'-' || b.is_ascii_lowercase())));
    }

    #[test]
    fn a_flood_is_counted_and_not_kept() {
        let mut findings = Findings::default();
        (0..5000).for_each(|n| findings.add(Rule::EntryMode, n.to_string()));
        findings.add(Rule::MissingParent, "ö".repeat(1 << 20));
        assert_eq!(findings.kept().len(), 11);
        assert_eq!(findings.errors(), 5000);
        assert_eq!(findings.kept()[10].detail, "ö".repeat(1000) + "…");
    }
}
