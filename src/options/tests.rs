#![allow(clippy::unwrap_used)]
use clap::Parser as _;

use super::*;
use crate::cli::{Cli, Command};

fn job(args: &[&str]) -> Result<ConvertJob, UsageError> {
    let cli = Cli::try_parse_from(["recompress-image", "convert"].iter().chain(args)).unwrap();
    let Command::Convert(args) = cli.command else { panic!("{args:?}") };
    ConvertJob::try_from(*args)
}

fn at(text: &str) -> String {
    format!("{text}@sha256:{}", "0".repeat(64))
}

#[test]
fn destinations() {
    let source = at("quay.io/org/app:1.2");
    let to = |destination| job(&[&source, destination]).unwrap().destination.to_string();
    assert_eq!(
        job(&[&source]).unwrap().destination.to_string(),
        "quay.io/org/app:1.2-zstd-chunked"
    );
    assert_eq!(to(""), "quay.io/org/app:1.2-zstd-chunked");
    assert_eq!(to("localhost:5000/a/b:c"), "localhost:5000/a/b:c");
    assert_eq!(to("docker://localhost:5000/a/b"), "localhost:5000/a/b:1.2-zstd-chunked");
    assert_eq!(to("oci:dir"), "oci:dir:1.2-zstd-chunked");
    assert!(matches!(job(&[&source, &source]), Err(UsageError::DestinationDigest(_))));
    let plain = job(&[&source, "--compression-format=zstd"]).unwrap();
    assert_eq!(plain.destination.to_string(), "quay.io/org/app:1.2-zstd");
    let platform = job(&[&source, "--platform", "linux/arm64"]).unwrap();
    assert_eq!(platform.destination.to_string(), "quay.io/org/app:1.2-linux-arm64-zstd-chunked");
    assert_eq!(job(&["oci:dir:t"]).unwrap().destination.to_string(), "oci:dir:t-zstd-chunked");
    for (options, tag) in [
        (&["--compression-format=gzip"][..], "1.2-gzip"),
        (&["--compression-format=dual"], "1.2-dual"),
        (&["--all-platforms"], "1.2-zstd-chunked"),
        (&["--add"], "1.2-with-zstd-chunked"),
        (&["--add", "--compression-format=dual"], "1.2-dual"),
        (
            &["--add", "--platform=linux/arm64,linux/s390x"],
            "1.2-linux-arm64-linux-s390x-with-zstd-chunked",
        ),
    ] {
        let job = job(&[&[source.as_str()], options].concat()).unwrap();
        assert_eq!(job.destination.to_string(), format!("quay.io/org/app:{tag}"));
    }
}

#[test]
fn what_comes_out() {
    let source = at("quay.io/a");
    let wanted = |options: &[&str]| job(&[&[source.as_str()], options].concat());
    let is = |options: &[&str], mode, formats: &[Format], platforms: usize| match wanted(options)
        .unwrap()
        .wanted
    {
        Wanted::Index { mode: is, formats: made, platforms: named } => {
            assert_eq!((is, &made[..], named.len()), (mode, formats, platforms));
        }
        image @ Wanted::Image { .. } => panic!("{image:?}"),
    };
    let both = [Format::Gzip, Format::ZstdChunked];
    let dual = "--compression-format=dual";
    is(&[dual], IndexMode::Dual, &both, 0);
    is(&[dual, "--all-platforms"], IndexMode::Dual, &both, 0);
    is(&[dual, "--platform=linux/amd64"], IndexMode::Dual, &both, 1);
    is(&[dual, "--add"], IndexMode::Add, &both, 0);
    is(&["--add"], IndexMode::Add, &both[1..], 0);
    is(&["--all-platforms", "--platform=a/b,c/d"], IndexMode::AllPlatforms, &both[1..], 2);
    assert!(matches!(wanted(&["--add", "--all-platforms"]), Err(UsageError::AddOrAll)));
    assert!(matches!(wanted(&["--platform=a/b,c/d"]), Err(UsageError::Platforms(_))));
    assert!(matches!(wanted(&["--manifest-type=docker"]), Err(UsageError::DockerZstd)));
    assert!(matches!(wanted(&[dual, "--manifest-type=docker"]), Err(UsageError::DockerZstd)));
    let docker = ["--manifest-type=docker", "--compression-format=gzip"];
    assert_eq!(wanted(&docker).unwrap().family, Family::Docker);
    let index = [&docker[..], &["--all-platforms"]].concat();
    assert!(matches!(wanted(&index), Err(UsageError::DockerIndex)));
}

#[test]
fn a_source_in_a_registry_needs_a_digest() {
    let message = job(&["docker://quay.io/org/app:1.2"]).unwrap_err().to_string();
    assert!(message.contains("quay.io/org/app:1.2@sha256:…"), "{message}");
    assert!(message.contains("'{{.Digest}}' docker://quay.io/org/app:1.2"), "{message}");
    assert!(message.contains("crane digest quay.io/org/app:1.2"), "{message}");
}

#[test]
fn values_are_checked_and_empty_ones_are_none() {
    let source = at("quay.io/a");
    let with = |option: &str| job(&[&source, option]);
    assert!(matches!(with("--compression-format=gz"), Err(UsageError::Format(_))));
    assert!(matches!(with("--compression-level=23"), Err(UsageError::Level { max: 22, .. })));
    let gzip = |level| job(&[&source, "--compression-format=gzip", level]);
    assert_eq!(gzip("--compression-level=9").unwrap().gzip_level, 9);
    assert!(matches!(gzip("--compression-level=10"), Err(UsageError::Level { max: 9, .. })));
    for bad in ["5", "d", "1.5d", "5y", "-5d", "5 d"] {
        let bad = with(&format!("--expires-after={bad}"));
        assert!(matches!(bad, Err(UsageError::Period(_))), "{bad:?}");
    }
    assert_eq!(with("--expires-after=5d").unwrap().expires_after.as_deref(), Some("5d"));
    assert_eq!(with("--expires-after=").unwrap().expires_after, None);
    assert_eq!(with("--sbom=copy").unwrap().sbom, SbomPolicy::Copy(SbomChoice::Only));
    assert!(matches!(with("--sbom=spdx"), Err(UsageError::Sbom(_))));
    assert!(matches!(with("--results-limit=x"), Err(UsageError::ResultsLimit(_))));
    assert!(matches!(with("--jobs=0"), Err(UsageError::Jobs(_))));
    assert!(matches!(with("--platform=x"), Err(UsageError::Platform(_))));
    assert_eq!(with("--compression-level=").unwrap().zstd.level, DEFAULT_LEVEL);
    assert_eq!(with("--compression-format=").unwrap().wanted.name(), "zstd:chunked");
    assert!(with("--jobs=").unwrap().jobs >= 1);
    assert_eq!(with("--max-layer-size=").unwrap().limits, Limits::default());
    assert_eq!(with("--max-layer-size=2GiB").unwrap().limits.size, 2 << 30);
    assert_eq!(with("--max-compression-ratio=5").unwrap().limits.ratio, 5);
    for none in ["0", "-1", "much", "1.5x"] {
        let size = with(&format!("--max-layer-size={none}"));
        assert!(matches!(size, Err(UsageError::LayerSize(_))), "{none}");
        let ratio = with(&format!("--max-compression-ratio={none}"));
        assert!(matches!(ratio, Err(UsageError::Ratio(_))), "{none}");
    }
    assert!(!with("--tls-verify=false").unwrap().access.tls_verify);
    assert!(with("--tls-verify").unwrap().access.tls_verify);
    assert!(!with("--ca-file=x").unwrap().access.ca_file_optional);
    assert!(with("--ca-file-optional").unwrap().access.ca_file_optional);
    assert!(with("--tls-verify").unwrap().probe && !with("--probe=false").unwrap().probe);
    let results = |path| with(&format!("--results-dir={path}")).unwrap().results_dir.unwrap();
    assert_eq!(
        results("/tekton/steps/step-a/results/IMAGE_URL"),
        results("/tekton/steps/step-a/results")
    );
    assert_eq!(results("IMAGE_URL"), PathBuf::from("."));
    let contradiction = job(&[&source, "--require-chunked", "--compression-format=zstd"]);
    assert!(matches!(contradiction, Err(UsageError::RequireChunked)));
}
