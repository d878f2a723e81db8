//! What can go wrong with a tar stream.

use std::{fmt, io};

/// Why a tar stream cannot be read further. Positions are in bytes from its start.
#[derive(Debug, thiserror::Error)]
pub enum TarError {
    /// The underlying stream failed; nothing is known about the archive.
    #[error("cannot read the tar stream at byte {position}")]
    Io {
        position: u64,
        #[source]
        source: io::Error,
    },
    /// The stream ended before the archive.
    #[error(
        "the tar stream ends at byte {position}, in the middle of {place}; \
         the layer is incomplete, so rebuild it"
    )]
    Truncated { position: u64, place: TarPlace },
    /// A header that podman refuses too.
    #[error(
        "invalid tar header at byte {position}{entry}: {reason}; \
         the layer is damaged or not a tar archive, so rebuild it"
    )]
    Header { position: u64, entry: EntryName, reason: &'static str },
    /// More metadata than archives have in practice.
    #[error("the tar header at byte {position} is too large: {what} exceeds {limit} bytes")]
    Limit {
        /// Where the header begins with which the limit is passed.
        position: u64,
        what: &'static str,
        limit: u64,
    },
    /// A bug in the caller.
    #[error("the tar reader cannot continue at byte {position}: {reason}")]
    OutOfTurn { position: u64, reason: &'static str },
}

/// The part of an archive in which a stream ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TarPlace {
    /// A header block, or the second one of the two that end an archive.
    Header,
    /// The body of an extension header, or a block of a sparse map.
    Extension,
    /// The payload of an entry.
    Payload(EntryName),
}

impl fmt::Display for TarPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Header => f.write_str("a header"),
            Self::Extension => f.write_str("an extension header"),
            Self::Payload(entry) => write!(f, "the payload{entry}"),
        }
    }
}

/// The name of an entry for messages, ` of "usr/bin/env"`: control characters escaped, bytes that
/// are not UTF-8 replaced, a long one shortened at its start. Empty if no name is known.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EntryName(Vec<u8>);

impl EntryName {
    /// How many bytes of a name are kept: its end, which says more than its start.
    const KEPT: usize = 120;

    pub(super) fn new(name: &[u8]) -> Self {
        Self(name.get(name.len().saturating_sub(Self::KEPT + 1)..).unwrap_or_default().to_vec())
    }
}

impl fmt::Display for EntryName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return Ok(());
        }
        let hidden = self.0.len().saturating_sub(Self::KEPT);
        let shown = String::from_utf8_lossy(self.0.get(hidden..).unwrap_or_default());
        let dots = if hidden > 0 { "…" } else { "" };
        write!(f, " of \"{dots}{}\"", shown.escape_debug())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_shown_safely() {
        let long = "d/".repeat(100) + "file";
        let end = &long[long.len() - EntryName::KEPT..];
        let cases: &[(&[u8], String)] = &[
            (b"", String::new()),
            (b"usr/bin/env", " of \"usr/bin/env\"".into()),
            (b"a\x1b[31m\n\xff", " of \"a\\u{1b}[31m\\n\u{fffd}\"".into()),
            (end.as_bytes(), format!(" of \"{end}\"")),
            (long.as_bytes(), format!(" of \"…{end}\"")),
        ];
        for (name, shown) in cases {
            assert_eq!(EntryName::new(name).to_string(), *shown);
        }
    }

    #[test]
    fn a_message_says_where_and_what() {
        let place = TarPlace::Payload(EntryName::new(b"etc/passwd"));
        let message = TarError::Truncated { position: 700, place }.to_string();
        assert!(message.starts_with(
            "the tar stream ends at byte 700, in the middle of the payload of \"etc/passwd\"; "
        ));
    }
}
