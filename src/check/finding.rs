//! The rules that images have to keep, and what was found to break them.

use std::{collections::BTreeMap, fmt};

use serde::{Serialize, Serializer, ser::SerializeStruct as _};

use super::effect::Effect;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The image is not what it claims to be.
    Error,
    /// The image is correct, but some client may not do what one would expect.
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

macro_rules! rules {
    ($($(#[doc = $doc:literal])+ $rule:ident $id:literal $severity:ident $effect:ident;)+) => {
        /// A rule that an image keeps or breaks. The ids are stable.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Rule { $($(#[doc = $doc])+ $rule,)+ }

        impl Rule {
            pub const ALL: &[Self] = &[$(Self::$rule,)+];

            pub fn id(self) -> &'static str {
                match self { $(Self::$rule => $id,)+ }
            }

            pub fn severity(self) -> Severity {
                match self { $(Self::$rule => Severity::$severity,)+ }
            }

            /// Whether a layer that breaks it gets no TOC from this program, even for a warning.
            pub(crate) fn forbids_toc(self) -> bool {
                self.severity() == Severity::Error
                    || matches!(self, Self::MissingParent | Self::TailTooLong)
            }

            /// What clients do if it is broken.
            pub(crate) fn effect(self) -> Effect {
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
    /// The whole blob can be decompressed.
    Frame "frame" Error NoPull;
    /// A window of at most 128 MiB.
    Window "frame-window" Error SomeDecoders;
    /// No dictionary.
    Dictionary "frame-dictionary" Error NoPull;
    /// The blob begins with an ordinary frame, or it is not recognized as zstd.
    FirstFrame "first-frame" Error NoFullPull;
    /// The content has the config's diffID.
    DiffId "diff-id" Error NoPull;
    /// A chunked layer is zstd.
    NotZstd "not-zstd" Error NoPartialPull;
    /// There is only one TOC.
    TwoTocs "two-tocs" Error NoPartialPull;
    /// There are no annotations of another blob or an obsolete format.
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
    /// The digest is that of the content.
    FileDigest "file-digest" Error NoPartialPull;
    /// Content has frames of its own, at the place that the TOC says.
    FileRange "file-range" Error NoPartialPull;
    /// Ranges are in order and do not overlap.
    RangeOrder "range-order" Error NoPartialPull;
    /// Ranges are before the TOC.
    RangeBounds "range-bounds" Error NoPartialPull;
    /// A chunk follows its file and has its name.
    ChunkEntry "chunk-entry" Error NoPartialPull;
    /// Chunks follow each other without gaps and add up to the file.
    ChunkSize "chunk-size" Error NoPartialPull;
    /// A chunk has frames of its own, at the place that the TOC says.
    ChunkRange "chunk-range" Error NoPartialPull;
    /// The SHA-256 of the chunk.
    ChunkDigest "chunk-digest" Error MoreFetched;
    /// A hole is all zeros.
    Hole "hole" Error NoPartialPull;
    /// The frames decode to the tar that the tar-split stream and the files make.
    DataStream "data-stream" Error NoPartialPull;
    /// The last frame says where TOC and tar-split stream are.
    Footer "footer" Error Unread;
    /// Each directory has an entry.
    MissingParent "missing-parent" Warning OtherMode;
    /// A directory comes before what is in it, and the root before everything.
    LateParent "late-parent" Error NoComposefsPull;
    /// No path leads out of the root.
    PathLeavesRoot "path-leaves-root" Error NoPartialPull;
    /// Paths have at most 4096 bytes.
    PathTooLong "path-too-long" Error NoPull;
    /// No `..` in a path.
    PathDots "path-dots" Error NoPartialPull;
    /// Only directories end with a slash or are the root.
    DirectoryName "directory-name" Error NoPartialPull;
    /// Nothing is below a symlink or a file.
    BelowNonDirectory "below-non-directory" Error NoComposefsPull;
    /// A whiteout is an empty file and removes a name, or everything in its directory.
    WhiteoutForm "whiteout-form" Error OtherTree;
    /// A whiteout removes nothing in the layer itself.
    WhiteoutAndEntry "whiteout-and-entry" Error NoPartialPull;
    /// No character device 0:0, which is a whiteout to overlay file systems.
    WhiteoutDevice "whiteout-device" Error OtherTree;
    /// No whiteouts, which one client does not apply.
    Whiteout "whiteout" Warning ComposefsIgnoresWhiteouts;
    /// No devices and FIFOs above the lowest layer.
    SpecialAbove "special-file-above" Error LowerShowsThrough;
    /// No devices and FIFOs in the lowest layer.
    SpecialLeftOut "special-file-left-out" Warning NotCreated;
    /// The target of a hard link is an earlier file.
    LinkTarget "link-target" Error LinkLost;
    /// A mode has only the bits of permissions and of its type.
    ModeBits "mode-bits" Error NoComposefsPull;
    /// Only links have a target.
    LinkName "link-name" Error OtherTree;
    /// A hard link has the attributes of its target.
    LinkAttributes "link-attributes" Error OtherAttributes;
    /// The root belongs to 0:0 and has the mode 0755 or 0555.
    RootAttributes "root-attributes" Error OtherRoot;
    /// No attributes of overlay file systems.
    OverlayXattr "overlay-xattr" Error OtherTree;
    /// No extended attributes on symlinks.
    SymlinkXattr "symlink-xattr" Error SymlinkLoses;
    /// Symlinks belong to 0:0.
    SymlinkOwner "symlink-owner" Warning SymlinkLoses;
    /// Names, link targets and names of attributes are UTF-8.
    NotUtf8 "entry-encoding" Error NoPartialPull;
    /// Times are in the years 0 to 9999.
    TimeRange "time-range" Error NoPartialPull;
    /// At most 8 MiB after the last entry.
    TailTooLong "tail-too-long" Warning MuchMemory;
    /// The layer can be read.
    Unread "unread" Error Unknown;
    /// The content is no longer than the limits allow.
    Limit "limit" Error Unknown;
    /// An index entry has the media type and the size of its manifest.
    IndexEntry "index-entry" Error OtherTools;
    /// Only an image with zstd layers is marked as one.
    ZstdMark "zstd-mark" Error OtherTools;
    /// Both images have the same config.
    OtherConfig "other-config" Error OtherImage;
    /// Both images have the same diffIDs.
    OtherDiffIds "other-diff-ids" Error OtherImage;
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.id())
    }
}

/// A rule that does not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
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

/// How many findings of each rule are kept; a broken layer may have millions.
const KEPT: u64 = 10;

/// Longer details are cut, in characters; they quote the image.
const DETAIL_MAX: usize = 1000;

/// Everything that was found, in order.
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
    pub(crate) fn add(&mut self, rule: Rule, detail: impl Into<String>) {
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

    pub(crate) fn append(&mut self, other: &Self) {
        self.kept.extend(other.kept.iter().cloned());
        for (rule, count) in &other.counts {
            *self.counts.entry(*rule).or_default() += count;
        }
    }

    /// The findings; of each rule only the first ten.
    pub fn kept(&self) -> &[Finding] {
        &self.kept
    }

    pub fn counts(&self) -> &BTreeMap<Rule, u64> {
        &self.counts
    }

    pub fn errors(&self) -> u64 {
        self.weigh().0
    }

    /// How many errors and warnings there are.
    pub(crate) fn weigh(&self) -> (u64, u64) {
        self.counts.iter().fold((0, 0), |(errors, warnings), (rule, count)| match rule.severity() {
            Severity::Error => (errors + count, warnings),
            Severity::Warning => (errors, warnings + count),
        })
    }

    /// The first that forbids a TOC: this program would not have written the layer like this.
    pub fn first_obstacle(&self) -> Option<&Finding> {
        self.kept.iter().find(|finding| finding.rule.forbids_toc())
    }

    pub fn first_error(&self) -> Option<&Finding> {
        self.kept.iter().find(|finding| finding.rule.severity() == Severity::Error)
    }
}

/// A name for messages, escaped and shortened. Only formatted when it is written, because most
/// names are never reported.
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
