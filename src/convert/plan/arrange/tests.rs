#![allow(clippy::unwrap_used)]
use proptest::prelude::*;

use super::*;

const PLATFORMS: [&str; 3] = ["linux/amd64", "linux/arm64", "linux/arm/v7"];

fn digest(of: &str) -> Digest {
    Digest::sha256_of(of.as_bytes())
}

fn image(name: &str, platform: &str, format: Format, family: Family) -> SourceEntry {
    SourceEntry {
        digest: digest(name),
        platform: platform.parse().ok(),
        selected: false,
        role: Role::Image { format, family, rejected: None },
    }
}

fn rejected(name: &str, platform: &str, format: Format) -> SourceEntry {
    let role = Role::Image { format, family: Family::Oci, rejected: Some("it is wrong".into()) };
    SourceEntry { role, ..image(name, platform, format, Family::Oci) }
}

fn about(name: &str, of: &str) -> SourceEntry {
    other(name, Role::Attestation { of: Some(digest(of).to_string()) })
}

fn other(name: &str, role: Role) -> SourceEntry {
    SourceEntry { digest: digest(name), platform: None, selected: false, role }
}

/// Selects, and arranges what was selected.
fn arranged(
    entries: &[SourceEntry],
    mode: IndexMode,
    formats: &[Format],
    platforms: &[Platform],
) -> Result<Arrangement, Option<Platform>> {
    let mut entries = entries.to_vec();
    select(&mut entries, platforms).map_err(Some)?;
    arrange(&entries, mode, formats).ok_or(None)
}

/// The source that the result of an arrangement would be.
fn result(entries: &[SourceEntry], arrangement: &Arrangement) -> Vec<SourceEntry> {
    let of = |place: &Placement| {
        let source = &entries[place.entry];
        match place.made {
            None => source.clone(),
            Some(format) => SourceEntry {
                digest: digest(&format!("{format} of {}", source.digest)),
                role: Role::Image { format, family: Family::Oci, rejected: None },
                ..source.clone()
            },
        }
    };
    arrangement.placements.iter().map(of).collect()
}

/// In short: `0` for an entry that stays, `0>gzip` for one that is made.
fn told(arrangement: &Arrangement) -> String {
    let one = |place: &Placement| match place.made {
        None => place.entry.to_string(),
        Some(format) => format!("{}>{}", place.entry, format.in_tags()),
    };
    arrangement.placements.iter().map(one).collect::<Vec<_>>().join(" ")
}

/// The source, what is asked for, the platforms, and what comes out in short.
type Case<'a> = (&'a [SourceEntry], IndexMode, &'a [Format], &'a [&'a str], &'a str);

#[test]
fn what_becomes_of_an_index() {
    use Family::{Docker, Oci};
    use Format::{Gzip, Zstd, ZstdChunked};
    use IndexMode::{Add, AllPlatforms, Dual};
    let [amd64, arm64, _] = PLATFORMS;
    let buildkit = [
        image("a", amd64, Gzip, Oci),
        image("b", arm64, Gzip, Oci),
        about("a's", "a"),
        about("b's", "b"),
    ];
    let docker = [image("a", amd64, Gzip, Docker), image("b", arm64, Gzip, Docker)];
    let mixed = [
        image("z", amd64, ZstdChunked, Oci),
        about("z's", "z"),
        image("a", amd64, Gzip, Oci),
        image("b", arm64, Zstd, Oci),
        about("z's", "z"),
    ];
    let both = [Gzip, ZstdChunked];
    let chunked = [ZstdChunked];
    let bad = [
        image("a", amd64, Gzip, Oci),
        rejected("z", amd64, ZstdChunked),
        about("z's", "z"),
        rejected("b", arm64, ZstdChunked),
    ];
    let unfit = Role::Unfit { reason: "encrypted".into() };
    let unfit = SourceEntry { role: unfit, ..image("e", arm64, Gzip, Oci) };
    let strange =
        [other("x", Role::Other { reason: "unknown".into() }), unfit, image("a", amd64, Gzip, Oci)];
    let cases: [Case<'_>; 17] = [
        (&buildkit, Dual, &both, &[], "0 1 0>zstd-chunked 1>zstd-chunked 2 3"),
        (&buildkit, Dual, &both, &[arm64], "1 1>zstd-chunked 3"),
        (&buildkit, Add, &chunked, &[], "0 1 2 3 0>zstd-chunked 1>zstd-chunked"),
        (&buildkit, Add, &chunked, &[arm64], "0 1 2 3 1>zstd-chunked"),
        (&buildkit, AllPlatforms, &chunked, &[], "0>zstd-chunked 1>zstd-chunked"),
        (&docker, Dual, &both, &[], "0>gzip 1>gzip 0>zstd-chunked 1>zstd-chunked"),
        (&docker, Add, &chunked, &[amd64], "0>gzip 1>gzip 0>zstd-chunked"),
        (&mixed, Dual, &both, &[], "2 3>gzip 0 3 3>zstd-chunked 1"),
        (&mixed, Add, &chunked, &[], "0 1 2 3 3>zstd-chunked"),
        (&mixed, AllPlatforms, &[Gzip], &[], "0>gzip 3>gzip"),
        (&mixed, AllPlatforms, &[Gzip], &[arm64], "3>gzip"),
        (&bad, Dual, &both, &[], "0 3>gzip 0>zstd-chunked 3>zstd-chunked"),
        (&bad, Add, &chunked, &[], "0 0>zstd-chunked 3>zstd-chunked"),
        (&bad, Add, &chunked, &[amd64], "0 0>zstd-chunked"),
        (&strange, Dual, &both, &[], "2 2>zstd-chunked 0 1"),
        (&strange, Add, &chunked, &[], "0 1 2 2>zstd-chunked"),
        (&strange, AllPlatforms, &chunked, &[], "2>zstd-chunked"),
    ];
    for (entries, mode, formats, platforms, expected) in cases {
        let platforms: Vec<Platform> = platforms.iter().map(|text| text.parse().unwrap()).collect();
        let arrangement = arranged(entries, mode, formats, &platforms).unwrap();
        assert_eq!(told(&arrangement), expected, "{mode:?} {formats:?}");
    }
    let nowhere: Platform = "linux/s390x".parse().unwrap();
    let error = arranged(&buildkit, Add, &chunked, std::slice::from_ref(&nowhere)).unwrap_err();
    assert_eq!(error, Some(nowhere));
    assert_eq!(arranged(&buildkit[2..], Dual, &both, &[]), Err(None));
    let arm64 = [arm64.parse().unwrap()];
    assert!(arranged(&strange, Dual, &both, &arm64).is_err());
}

fn candidate() -> impl Strategy<Value = SourceEntry> {
    let format = prop_oneof![Just(Format::Gzip), Just(Format::Zstd), Just(Format::ZstdChunked)];
    let family = prop_oneof![Just(Family::Oci), Just(Family::Docker)];
    let names = 0..6_u8;
    prop_oneof![
        4 => (names.clone(), 0..PLATFORMS.len(), format, family).prop_map(
            |(name, platform, format, family)| {
                // One digest, one content.
                let name = format!("{name}{platform}{format}{family:?}");
                image(&name, PLATFORMS[platform], format, family)
            }
        ),
        1 => (names, 0..PLATFORMS.len()).prop_map(|(name, platform)| {
            about("attestation", &format!("{name}{platform}{}Oci", Format::Gzip))
        }),
        1 => Just(other("other", Role::Other { reason: "unknown".into() })),
        1 => (0..6_u8, 0..PLATFORMS.len()).prop_map(|(name, platform)| {
            rejected(&format!("{name}{platform}bad"), PLATFORMS[platform], Format::ZstdChunked)
        }),
        1 => (0..6_u8, 0..PLATFORMS.len()).prop_map(|(name, platform)| {
            let role = Role::Unfit { reason: "encrypted".into() };
            let name = format!("{name}{platform}unfit");
            SourceEntry { role, ..image(&name, PLATFORMS[platform], Format::Gzip, Family::Oci) }
        }),
    ]
}

proptest! {
    #[test]
    fn an_index_is_uniform_and_arranging_it_again_changes_nothing(
        entries in prop::collection::vec(candidate(), 1..10),
        mode in prop_oneof![Just(IndexMode::Dual), Just(IndexMode::Add)],
        both in any::<bool>(),
        one in any::<bool>(),
    ) {
        let formats: &[Format] =
            if both { &[Format::Gzip, Format::ZstdChunked] } else { &[Format::ZstdChunked] };
        let platforms: &[Platform] = &[PLATFORMS[0].parse().unwrap()];
        let platforms = if one { platforms } else { &[] };
        let Ok(arrangement) = arranged(&entries, mode, formats, platforms) else {
            return Ok(());
        };
        let mut selected = entries.clone();
        select(&mut selected, platforms).unwrap();
        let first = result(&entries, &arrangement);
        let digests: Vec<String> = first.iter().map(|entry| entry.digest.to_string()).collect();
        for entry in &first {
            match &entry.role {
                Role::Image { family, .. } => prop_assert_eq!(*family, Family::Oci),
                Role::Attestation { of } => prop_assert!(digests.contains(of.as_ref().unwrap())),
                _ => {}
            }
        }
        for entry in first.iter().filter(|entry| matches!(entry.role, Role::Image { .. })) {
            if one && entry.platform != PLATFORMS[0].parse().ok() {
                continue;
            }
            let is_rejected = matches!(entry.role, Role::Image { rejected: Some(_), .. });
            prop_assert!(!is_rejected, "{entry:?}");
            for &wanted in formats {
                let is = |other: &&SourceEntry| {
                    other.key() == entry.key()
                        && matches!(other.role, Role::Image { format, .. } if format == wanted)
                };
                prop_assert!(first.iter().any(|other| is(&other)), "{entry:?} {wanted}");
            }
        }
        if mode == IndexMode::Dual {
            let readable = |entry: &SourceEntry| {
                matches!(entry.role, Role::Image { format: Format::Gzip, .. })
            };
            let images = first.iter().filter(|entry| entry.is_image());
            let behind: Vec<bool> = images.map(readable).collect();
            prop_assert!(behind.is_sorted_by(|a, b| a >= b), "{behind:?}");
        }
        // Every entry of the source is in the result, was made into one, or is reported as left out.
        for (number, candidate) in entries.iter().enumerate() {
            let used = arrangement.placements.iter().any(|place| place.entry == number);
            let again = entries[..number].iter().any(|other| other.digest == candidate.digest);
            let left = arrangement.left.iter().any(|(entry, _)| *entry == number);
            prop_assert!(used || left || again, "{number}");
        }
        let again = arranged(&first, mode, formats, platforms).unwrap();
        let same: Vec<Placement> =
            (0..first.len()).map(|entry| Placement { entry, made: None }).collect();
        prop_assert_eq!(again.placements, same);
    }
}
