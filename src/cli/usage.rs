//! Arguments that make no sense together.

use crate::image::ReferenceError;

#[derive(Debug, thiserror::Error)]
pub enum UsageError {
    #[error(
        "{0} has no digest, and a tag may move before the image is converted; run \
         `recompress-image digest {0}` to get the reference with its digest, or convert what the tag \
         names now with --resolve-tag"
    )]
    NoDigest(String),
    #[error(
        "{0} has neither a tag nor a digest; run `recompress-image digest {0}:TAG` to get the \
         reference with its digest"
    )]
    NoImage(String),
    #[error(
        "--resolve-tag cannot be used with {option}: what is signed must be what was built and \
         tested, and a tag may have moved since then; give the source with its digest"
    )]
    ResolveForResults { option: &'static str },
    #[error("invalid compression level {level}; {format} has levels 1 (fast) to {max} (small)")]
    Level { level: i32, format: &'static str, max: i32 },
    #[error("--require-chunked requires --compression-format zstd:chunked or dual")]
    RequireChunked,
    #[error(
        "--add and --all-platforms cannot be used together; --add keeps all entries of the index"
    )]
    AddOrAll,
    /// More than one platform, but the result is one image.
    #[error(
        "several platforms ({0}) require an index as the result; add --all-platforms, --add or \
         --compression-format=dual"
    )]
    Platforms(String),
    #[error(
        "--manifest-type=docker requires --compression-format=gzip, because Docker manifests \
         cannot hold zstd layers"
    )]
    DockerZstd,
    #[error("--manifest-type=docker cannot be used for an index; remove it, or convert one image")]
    DockerIndex,
    #[error("invalid value for {option}; expected USER:PASSWORD")]
    Creds { option: &'static str },
    #[error(
        "--creds is for one registry, but source and destination are in different ones; use \
         --src-creds and --dest-creds"
    )]
    CredsOfTwo,
    #[error("--reuse-from=none cannot be combined with images or base")]
    ReuseNone,
    /// Not even one thread fits.
    #[error(
        "one thread at this compression level may need {}, but --memory allows only {}",
        rounded(*needed, u128::div_ceil),
        rounded(*limit, |bytes, step| bytes / step)
    )]
    Memory { limit: u64, needed: u64 },
    #[error(
        "{option} is {path}, a variable that Tekton has not replaced; check its name, and for \
         artifacts that the cluster has the feature flag enable-artifacts"
    )]
    Unsubstituted { option: &'static str, path: String },
    #[error(
        "{option} names a directory, something of the destination or another result; choose a path of its \
         own"
    )]
    SameFile { option: &'static str },
    /// The derived tag would be `latest`, which nobody has asked for.
    #[error(
        "{image} names no tag to derive one from; give the destination a tag, as in \
         {destination}:1.2, or the source its name"
    )]
    NoTag { image: String, destination: String },
    #[error(
        "--in-place requires a DESTINATION, because the result gets a tag of its own without one; to \
         replace the tag of {0}, name it again as the destination"
    )]
    InPlaceAlone(String),
    /// The result cannot be beside the source.
    #[error(
        "missing DESTINATION: an archive is not changed, so the result of {0} cannot be put into it; \
         name a registry, oci:DIR or another oci-archive:FILE"
    )]
    NoDestination(String),
    /// The derived tag does not fit the destination.
    #[error("cannot derive a tag for {destination}: {error}")]
    DerivedTag { destination: String, error: ReferenceError },
}

/// Rounded in a way that a limit never looks like enough.
fn rounded(bytes: u64, divide: fn(u128, u128) -> u128) -> String {
    let (unit, name) = match bytes {
        0..=0x3ff => return format!("{bytes} B"),
        0x400..=0xf_ffff => (1 << 10, "KiB"),
        _ => (1 << 20, "MiB"),
    };
    let tenths = divide(u128::from(bytes) * 10, unit);
    format!("{}.{} {name}", tenths / 10, tenths % 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_that_is_not_enough_does_not_look_like_enough() {
        for (limit, shown) in [
            (1, "1 B"),
            (2047, "1.9 KiB"),
            ((280 << 20) - 1, "279.9 MiB"),
            (100 << 20, "100.0 MiB"),
        ] {
            let text = UsageError::Memory { limit, needed: (280 << 20) - 100 }.to_string();
            let expected = "one thread at this compression level may need 280.0 MiB, but --memory \
                            allows only ";
            assert_eq!(text, format!("{expected}{shown}"));
        }
    }
}
