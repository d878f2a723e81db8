//! Platforms: as users write them, and as indexes and configs have them.

use std::{fmt, str::FromStr};

use super::json::{JsonError, Object};

/// The fields of a platform object, in the order of the image-spec (image-index.md).
pub const PLATFORM_FIELDS: [&str; 5] =
    ["architecture", "os", "os.version", "os.features", "variant"];

/// What an image runs on. Names are those of Go's `GOOS` and `GOARCH`: other spellings in use are
/// turned into them, as containerd does it (containerd/platforms, `database.go`).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Platform {
    /// As in `linux`.
    pub os: String,
    /// As in `amd64`.
    pub architecture: String,
    /// For instance `v6` of `arm`; none where it is the usual one.
    pub variant: Option<String>,
    /// The build of Windows, for instance.
    pub os_version: Option<String>,
    /// What the image requires of the system, sorted.
    pub os_features: Vec<String>,
}

/// A text that names no platform.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "invalid platform {0:?}; expected OS/ARCH[/VARIANT], as in linux/arm64, or \
     OS(VERSION)/ARCH, as in windows(10.0.20348)/amd64"
)]
pub struct PlatformError(String);

impl FromStr for Platform {
    type Err = PlatformError;

    fn from_str(text: &str) -> Result<Self, PlatformError> {
        let error = || PlatformError(super::digest::shorten(text));
        let word = |part: &str| {
            !part.is_empty()
                && part.bytes().all(|b| b.is_ascii_alphanumeric() || b".-_".contains(&b))
        };
        let parts: Vec<&str> = text.trim().split('/').collect();
        let (os, architecture, variant) = match parts[..] {
            [os, architecture] => (os, architecture, None),
            [os, architecture, variant] => (os, architecture, Some(variant)),
            _ => return Err(error()),
        };
        let (os, version) = match os.split_once('(') {
            Some((os, rest)) => (os, Some(rest.strip_suffix(')').ok_or_else(error)?)),
            None => (os, None),
        };
        let words = [Some(os), Some(architecture), variant, version];
        if !words.into_iter().flatten().all(word) {
            return Err(error());
        }
        Ok(Self::new(os, architecture, variant, version, Vec::new()))
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&shown(&self.os))?;
        if let Some(version) = &self.os_version {
            write!(f, "({})", shown(version))?;
        }
        write!(f, "/{}", shown(&self.architecture))?;
        self.variant.as_ref().map_or(Ok(()), |variant| write!(f, "/{}", shown(variant)))
    }
}

/// Indexes and configs may have any text.
fn shown(text: &str) -> String {
    super::digest::shorten(text).escape_debug().to_string()
}

/// How well a platform that was asked for fits one that there is; the smaller, the better.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fit {
    /// The same.
    Exact,
    /// No variant was asked for, and there is one that is not the usual one.
    OtherVariant,
}

impl Platform {
    fn new(
        os: &str,
        architecture: &str,
        variant: Option<&str>,
        os_version: Option<&str>,
        mut os_features: Vec<String>,
    ) -> Self {
        let lower = |text: &str| text.to_ascii_lowercase();
        let filled = |text: Option<&str>| text.filter(|text| !text.is_empty()).map(str::to_owned);
        let os = match lower(os) {
            macos if macos == "macos" => "darwin".to_owned(),
            os => os,
        };
        let variant = filled(variant).map(|variant| lower(&variant));
        let (architecture, variant) = match (lower(architecture).as_str(), variant.as_deref()) {
            ("amd64" | "x86_64" | "x86-64", None | Some("v1" | "1")) => ("amd64", None),
            ("amd64" | "x86_64" | "x86-64", _) => ("amd64", variant),
            ("arm64" | "aarch64", None | Some("v8" | "8" | "v8.0")) => ("arm64", None),
            ("arm64" | "aarch64", _) => ("arm64", variant),
            ("386" | "i386", _) => ("386", None),
            ("armhf", _) | ("arm", Some("7")) => ("arm", Some("v7".to_owned())),
            ("armel", _) | ("arm", Some("6")) => ("arm", Some("v6".to_owned())),
            ("arm", Some("5")) => ("arm", Some("v5".to_owned())),
            ("arm", Some("8")) => ("arm", Some("v8".to_owned())),
            (other, _) => (&*other.to_owned(), variant),
        };
        let architecture = architecture.to_owned();
        os_features.sort_unstable();
        Self { os, architecture, variant, os_version: filled(os_version), os_features }
    }

    /// Reads a platform object of an index, or the same fields of a config. `None` if it does not
    /// say what the image runs on.
    pub fn read(fields: &Object) -> Result<Option<Self>, JsonError> {
        let [architecture, os, version, variant] =
            ["architecture", "os", "os.version", "variant"].map(|name| fields.filled_text(name));
        let (version, variant) = (version?, variant?);
        let features = fields.texts("os.features")?;
        let (Some(os), Some(architecture)) = (os?, architecture?) else { return Ok(None) };
        Ok(Some(Self::new(&os, &architecture, variant.as_deref(), version.as_deref(), features)))
    }

    /// Whether it is nothing that images run on, as it is with attestations.
    pub fn is_unknown(&self) -> bool {
        self.os == "unknown"
    }

    /// `arm` without a variant is `arm/v7`.
    fn effective_variant(&self) -> Option<&str> {
        let usual = (self.architecture == "arm").then_some("v7");
        self.variant.as_deref().or(usual)
    }

    /// Whether what was asked for is met by `other`. A version that was asked for may be the
    /// beginning of the other one: `10.0.20348` of `10.0.20348.2700`.
    pub fn fit(&self, other: &Self) -> Option<Fit> {
        let version = match (&self.os_version, &other.os_version) {
            (None, _) => true,
            (Some(wanted), Some(found)) => found
                .strip_prefix(wanted.as_str())
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('.')),
            (Some(_), None) => false,
        };
        if self.os != other.os || self.architecture != other.architecture || !version {
            None
        } else if self.effective_variant() == other.effective_variant() {
            Some(Fit::Exact)
        } else if self.variant.is_none() {
            Some(Fit::OtherVariant)
        } else {
            None
        }
    }

    /// Whether an image for one is an image for the other, in all that clients choose by.
    pub fn is_same(&self, other: &Self) -> bool {
        self.key() == other.key()
    }

    /// What platforms that are the same have in common.
    pub fn key(&self) -> PlatformKey {
        let variant = self.effective_variant().map(str::to_owned);
        PlatformKey(Self { variant, ..self.clone() })
    }
}

/// A platform for which there is one way to say it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PlatformKey(Platform);

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn platform(text: &str) -> Platform {
        text.parse().unwrap()
    }

    #[test]
    fn one_platform_in_many_spellings() {
        for (texts, shown) in [
            (
                &["linux/amd64", "Linux/x86_64", "linux/AMD64/v1", " linux/x86-64 "][..],
                "linux/amd64",
            ),
            (&["linux/arm64", "linux/aarch64", "linux/arm64/v8", "LINUX/ARM64/8"], "linux/arm64"),
            (&["linux/386", "linux/i386"], "linux/386"),
            (&["linux/arm/v7", "linux/armhf", "linux/arm/7"], "linux/arm/v7"),
            (&["linux/arm/v6", "linux/armel"], "linux/arm/v6"),
            (&["darwin/arm64", "macos/aarch64"], "darwin/arm64"),
        ] {
            for text in texts {
                assert_eq!(platform(text).to_string(), shown, "{text}");
                assert_eq!(platform(shown).fit(&platform(text)), Some(Fit::Exact));
                assert!(platform(shown).is_same(&platform(text)));
            }
        }
        assert!(platform("linux/arm").is_same(&platform("linux/arm/v7")));
    }

    #[test]
    fn what_was_not_asked_for_does_not_matter() {
        let fit = |wanted, found| platform(wanted).fit(&platform(found));
        assert_eq!(fit("linux/arm", "linux/arm/v6"), Some(Fit::OtherVariant));
        assert_eq!(fit("linux/arm/v6", "linux/arm"), None);
        assert_eq!(fit("linux/amd64", "linux/amd64/v3"), Some(Fit::OtherVariant));
        assert_eq!(fit("linux/arm64/v9", "linux/arm64"), None);
        assert_eq!(fit("linux/amd64", "windows/amd64"), None);
        let server = "windows(10.0.20348.2700)/amd64";
        assert_eq!(platform(server).to_string(), server);
        assert_eq!(fit("windows/amd64", server), Some(Fit::Exact));
        assert_eq!(fit("windows(10.0.20348)/amd64", server), Some(Fit::Exact));
        assert_eq!(fit("windows(10.0.2034)/amd64", server), None);
        assert_eq!(fit(server, "windows/amd64"), None);
    }

    #[test]
    fn what_names_no_platform() {
        for bad in [
            "",
            "linux",
            "linux/",
            "/amd64",
            "linux/arm/v7/x",
            "linux/ amd64",
            "a/b/",
            "a(/b",
            "a()/b",
            "a(b)c/d",
            "(a)/b",
        ] {
            assert!(bad.parse::<Platform>().is_err(), "{bad}");
        }
    }

    #[test]
    fn platforms_of_documents() {
        let read = |text: &str| {
            Platform::read(&Object::document(text.as_bytes(), &PLATFORM_FIELDS).unwrap())
        };
        let full = r#"{"os":"Linux","architecture":"aarch64","variant":"v8","os.version":""}"#;
        assert_eq!(read(full).unwrap(), Some(platform("linux/arm64")));
        assert_eq!(read(r#"{"os":"linux","architecture":""}"#).unwrap(), None);
        assert_eq!(read("{}").unwrap(), None);
        for wrong in [r#"{"os":7}"#, r#"{"variant":[]}"#, r#"{"os.features":"x"}"#] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}
