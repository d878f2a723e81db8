//! Content digests, parsed strictly once and never again handled as plain strings.

use std::{fmt, str::FromStr};

use sha2::{Digest as _, Sha256, Sha512};

/// The hash functions that the OCI image specification registers (descriptor.md, "Registered
/// algorithms").
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Algorithm {
    /// `sha256`, 64 hexadecimal digits.
    Sha256,
    /// `sha512`, 128 hexadecimal digits.
    Sha512,
}

impl Algorithm {
    /// The name before the colon.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sha256 => "sha256",
            Self::Sha512 => "sha512",
        }
    }

    /// A fresh hasher.
    pub fn hasher(self) -> Hasher {
        match self {
            Self::Sha256 => Hasher::Sha256(Sha256::new()),
            Self::Sha512 => Hasher::Sha512(Box::default()),
        }
    }

    fn hex_len(self) -> usize {
        match self {
            Self::Sha256 => 64,
            Self::Sha512 => 128,
        }
    }
}

/// A digest such as `sha256:9f86…`: a known algorithm and exactly as many lower-case hexadecimal
/// digits as it needs. Nothing else can be held, so a digest is safe in a path or a URL.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest {
    algorithm: Algorithm,
    text: Box<str>,
}

/// An invalid digest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DigestError {
    /// The algorithm is neither sha256 nor sha512, or the colon is missing.
    #[error("invalid digest {0:?}; expected it to begin with \"sha256:\" or \"sha512:\"")]
    Algorithm(String),
    /// The part after the colon has the wrong length or other characters.
    #[error("invalid digest {0:?}; expected {1} digits 0-9a-f after the colon")]
    Hex(String, usize),
}

impl Digest {
    /// The SHA-256 of `bytes`.
    pub fn sha256_of(bytes: &[u8]) -> Self {
        Self::from_sha256(Sha256::digest(bytes).into())
    }

    /// Wraps a finished SHA-256.
    pub fn from_sha256(hash: [u8; 32]) -> Self {
        Self::from_hash(Algorithm::Sha256, &hash)
    }

    fn from_hash(algorithm: Algorithm, hash: &[u8]) -> Self {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut text = String::with_capacity(algorithm.as_str().len() + 1 + hash.len() * 2);
        text.push_str(algorithm.as_str());
        text.push(':');
        // Very many are written, and formatting takes its time.
        text.extend(hash.iter().flat_map(|byte| {
            [byte >> 4, byte & 15].map(|digit| char::from(DIGITS[usize::from(digit)]))
        }));
        Self { algorithm, text: text.into() }
    }

    /// The whole digest, `algorithm:hex`.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The digits after the colon.
    pub fn hex(&self) -> &str {
        &self.text[self.algorithm.as_str().len() + 1..]
    }

    /// The hash function.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// A hasher for the same algorithm, to check content against this digest.
    pub fn hasher(&self) -> Hasher {
        self.algorithm.hasher()
    }
}

impl FromStr for Digest {
    type Err = DigestError;

    fn from_str(text: &str) -> Result<Self, DigestError> {
        let (algorithm, hex) = match text.split_once(':') {
            Some(("sha256", hex)) => (Algorithm::Sha256, hex),
            Some(("sha512", hex)) => (Algorithm::Sha512, hex),
            _ => return Err(DigestError::Algorithm(shorten(text))),
        };
        let digits = algorithm.hex_len();
        if hex.len() != digits || !hex.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
            return Err(DigestError::Hex(shorten(text), digits));
        }
        Ok(Self { algorithm, text: text.into() })
    }
}

/// Messages quote only the beginning of foreign text, which may be a megabyte long.
pub(super) fn shorten(text: &str) -> String {
    const MOST: usize = 160;
    match text.char_indices().nth(MOST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl serde::Serialize for Digest {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

/// Hashes content piece by piece.
#[derive(Clone, Debug)]
pub enum Hasher {
    /// SHA-256.
    Sha256(Sha256),
    /// SHA-512.
    Sha512(Box<Sha512>),
}

impl Hasher {
    /// Takes in more content.
    pub fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Sha256(hasher) => hasher.update(bytes),
            Self::Sha512(hasher) => hasher.update(bytes),
        }
    }

    /// The digest of everything taken in.
    pub fn finish(self) -> Digest {
        match self {
            Self::Sha256(hasher) => Digest::from_hash(Algorithm::Sha256, &hasher.finalize()),
            Self::Sha512(hasher) => Digest::from_hash(Algorithm::Sha512, &hasher.finalize()),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const EMPTY: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn known_answer() {
        assert_eq!(Digest::sha256_of(b"").as_str(), EMPTY);
        let parsed: Digest = EMPTY.parse().unwrap();
        assert_eq!(parsed.hasher().finish(), parsed);
        assert_eq!(parsed.hex(), &EMPTY[7..]);
    }

    #[test]
    fn sha512_is_read_and_checked() {
        let digest = Algorithm::Sha512.hasher().finish();
        assert_eq!(digest.hex().len(), 128);
        assert_eq!(digest.as_str().parse::<Digest>().unwrap(), digest);
    }

    #[test]
    fn refuses_all_but_the_canonical_form() {
        let upper = EMPTY.to_uppercase();
        let mixed = EMPTY.replace('e', "E");
        let long = format!("{EMPTY}0");
        for bad in [
            "",
            "sha256",
            "sha256:",
            "md5:d41d8cd98f00b204e9800998ecf8427e",
            &upper,
            &mixed,
            &long,
            &EMPTY[..70],
        ] {
            assert!(bad.parse::<Digest>().is_err(), "{bad}");
        }
        let path = format!("sha256:{}", "../".repeat(22));
        assert!(path[..71].parse::<Digest>().is_err());
    }

    #[test]
    fn a_long_text_is_shortened_in_the_message() {
        assert!("x".repeat(1 << 20).parse::<Digest>().unwrap_err().to_string().len() < 800);
    }
}
