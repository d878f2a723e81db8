#![allow(clippy::unwrap_used)]
use std::path::PathBuf;

use clap::error::ErrorKind;

use super::*;
use crate::{
    attached::SbomChoice,
    cli::{Command, parse},
    convert::SbomPolicy,
    limits::Limits,
};

fn parsed(args: &[&str]) -> Result<ConvertArgs, clap::Error> {
    let cli = parse(["recompress-image", "convert"].iter().chain(args).map(Into::into))?;
    let Command::Convert(args) = cli.command else { panic!("{args:?}") };
    Ok(*args)
}

fn job(args: &[&str]) -> Result<ConvertJob, UsageError> {
    ConvertJob::try_from(parsed(args).unwrap())
}

/// What the parser says of a value that it refuses.
fn refused(args: &[&str]) -> String {
    let error = parsed(args).unwrap_err();
    assert!(
        matches!(error.kind(), ErrorKind::ValueValidation | ErrorKind::InvalidValue),
        "{args:?}: {error}"
    );
    assert_eq!(error.exit_code(), 2);
    error.to_string()
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
    assert!(refused(&[&source, &source]).contains("name it by tag only"));
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

/// With `UPDATE_DOCS=1` in the environment the table is written.
#[test]
fn the_documentation_has_the_default_tags() {
    let formats = ["zstd:chunked", "zstd", "gzip", "dual"];
    let names = formats.map(|format| format!("`{format}`")).join(" | ");
    let mut table = format!("| options | {names} |\n|---|---|---|---|---|\n");
    for options in [
        "",
        "--platform linux/arm64",
        "--all-platforms",
        "--all-platforms --platform linux/arm64",
        "--add",
        "--add --platform linux/arm64",
    ] {
        let tag = |format: &str| {
            let (source, format) = (at("app:1.2"), format!("--compression-format={format}"));
            let options = options.split_whitespace();
            let arguments: Vec<_> = [source.as_str(), &format].into_iter().chain(options).collect();
            format!("`{}`", job(&arguments).unwrap().destination.tag().unwrap())
        };
        let first = if options.is_empty() { "none".to_owned() } else { format!("`{options}`") };
        table += &format!("| {first} | {} |\n", formats.map(tag).join(" | "));
    }
    let (begin, end) = ("<!-- tags:begin -->\n", "<!-- tags:end -->");
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/reference.md");
    let document = std::fs::read_to_string(path).unwrap();
    let (before, rest) = document.split_once(begin).unwrap();
    let (found, after) = rest.split_once(end).unwrap();
    if std::env::var_os("UPDATE_DOCS").is_some_and(|value| value == "1") {
        std::fs::write(path, [before, begin, &table, end, after].concat()).unwrap();
    } else {
        assert_eq!(found, table, "run: UPDATE_DOCS=1 cargo test --lib the_default_tags");
    }
    assert_eq!(
        job(&[&at("app:1.2-zstd"), "--compression-format=zstd"]).unwrap().destination.tag(),
        Some("1.2-zstd")
    );
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
    let refused = |args: &[&str]| job(args).unwrap_err().to_string();
    let message = refused(&["docker://quay.io/org/app:1.2"]);
    assert!(message.contains("`recompress-image digest quay.io/org/app:1.2`"), "{message}");
    assert!(message.contains("--resolve-tag"), "{message}");
    for options in [&["quay.io/org/app"][..], &["quay.io/org/app", "--resolve-tag"]] {
        let message = refused(options);
        assert!(message.contains("neither a tag nor a digest"), "{message}");
        assert!(message.contains("`recompress-image digest quay.io/org/app:TAG`"), "{message}");
    }
}

/// `latest` would be a wrong name as soon as the image goes elsewhere.
#[test]
fn a_tag_is_derived_only_from_a_name() {
    for source in ["oci:dir", "oci-archive:a.tar", "docker-archive:a.tar"] {
        for destination in ["quay.io/org/app", "oci:other", "oci-archive:b.tar"] {
            let refused = job(&[source, destination]);
            assert!(matches!(refused, Err(UsageError::NoTag { .. })), "{refused:?}");
            let tagged = format!("{destination}:1.2");
            assert_eq!(job(&[source, &tagged]).unwrap().destination.to_string(), tagged);
        }
    }
    let beside = job(&["oci:dir"]).unwrap().destination;
    assert_eq!(beside.to_string(), "oci:dir:latest-zstd-chunked");
    let named = job(&["docker-archive:a.tar:app:1.2", "quay.io/org/app"]).unwrap().destination;
    assert_eq!(named.to_string(), "quay.io/org/app:1.2-zstd-chunked");
}

#[test]
fn in_place_needs_the_place() {
    let source = at("quay.io/org/app:1.2");
    let refused = job(&[&source, "--in-place"]);
    assert!(matches!(refused, Err(UsageError::InPlaceAlone(_))), "{refused:?}");
    assert!(job(&[&source, "quay.io/org/app:1.2", "--in-place"]).is_ok());
}

#[test]
fn a_tag_is_a_source_only_without_results() {
    let tag = "quay.io/org/app:1.2";
    let resolved = job(&[tag, "--resolve-tag"]).unwrap();
    assert_eq!(resolved.source.to_string(), tag);
    assert_eq!(resolved.destination.to_string(), "quay.io/org/app:1.2-zstd-chunked");
    for source in [tag, &at(tag), "oci:dir:1.2"] {
        let results = job(&[source, "--resolve-tag", "--results-dir=r"]);
        assert!(matches!(results, Err(UsageError::ResolveForResults { .. })), "{results:?}");
    }
    assert!(matches!(job(&[tag, "--resolve-tag=false"]), Err(UsageError::NoDigest(_))));
}

#[test]
fn values_are_checked_and_empty_ones_are_none() {
    let source = at("quay.io/a");
    let with = |option: &str| job(&[&source, option]);
    let bad = |option: &str, hint: &str| {
        let message = refused(&[&source, option]);
        let (name, value) = option.split_once('=').unwrap();
        assert!(message.contains(&format!("invalid value '{value}' for '{name}")), "{message}");
        assert!(message.contains(hint), "{option}: {message}");
    };
    bad("--compression-format=gz", "[possible values: zstd:chunked, zstd, gzip, dual]");
    bad("--compression-level=23", "expected a whole number from 1 to 22");
    let gzip = |level| job(&[&source, "--compression-format=gzip", level]);
    assert_eq!(gzip("--compression-level=9").unwrap().gzip_level, 9);
    assert!(matches!(gzip("--compression-level=10"), Err(UsageError::Level { max: 9, .. })));
    for period in ["5", "d", "1.5d", "5y", "-5d", "5 d"] {
        bad(&format!("--expires-after={period}"), "expected a number and one of the units");
        bad(&format!("--commit-timeout={period}"), "expected a time from 1s to 1day");
    }
    assert_eq!(with("--expires-after=5d").unwrap().expires_after.as_deref(), Some("5d"));
    assert_eq!(with("--expires-after=").unwrap().expires_after, None);
    for (time, seconds) in [("", 900), ("90s", 90), ("1h 30m", 5400), ("24h", 86400)] {
        let job = with(&format!("--commit-timeout={time}")).unwrap();
        assert_eq!(job.access.patience.commit.as_secs(), seconds, "{time}");
    }
    for time in ["0s", "25h", "soon"] {
        bad(&format!("--commit-timeout={time}"), "expected a time from 1s to 1day");
    }
    assert_eq!(with("--sbom=copy").unwrap().sbom, SbomPolicy::Copy(SbomChoice::Only));
    let digest = "0".repeat(64);
    let named = SbomPolicy::Copy(SbomChoice::Named(format!("sha256:{digest}").parse().unwrap()));
    assert_eq!(with(&format!("--sbom=sha256:{digest}")).unwrap().sbom, named);
    assert_eq!(with("--sbom=").unwrap().sbom, SbomPolicy::None);
    bad("--sbom=spdx", "expected none, copy or the digest of an SBOM");
    bad("--results-limit=x", "expected a whole number from 1000 to 1500000");
    bad("--jobs=0", "expected a whole number from 1 to 1024");
    bad("--platform=x", "expected OS/ARCH[/VARIANT]");
    bad("--manifest-type=v2", "[possible values: oci, docker]");
    assert_eq!(with("--compression-level=").unwrap().zstd.level, 6);
    assert_eq!(with("--compression-format=").unwrap().wanted.name(), "zstd:chunked");
    assert_eq!(with("--compression-format=zstd-chunked").unwrap().wanted.name(), "zstd:chunked");
    assert!(with("--jobs=").unwrap().jobs >= 1);
    bad("--memory=0", "expected a size greater than 0");
    assert_eq!(with("--max-layer-size=").unwrap().limits, Limits::default());
    assert_eq!(with("--max-layer-size=2GiB").unwrap().limits.size, 2 << 30);
    assert_eq!(with("--max-compression-ratio=5").unwrap().limits.ratio, 5);
    for none in ["0", "-1", "much", "1.5x"] {
        bad(&format!("--max-layer-size={none}"), "expected a size greater than 0, as in 300GiB");
        bad(&format!("--max-compression-ratio={none}"), "expected a whole number, 1 or more");
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
    // The text of a platform goes into the tag as it is.
    let platform = with("--platform= linux/x86_64, ,").unwrap();
    assert_eq!(
        platform.destination.tag(),
        Some(&*format!("{}-linux-x86_64-zstd-chunked", "0".repeat(64)))
    );
}

#[test]
fn threads_fit_into_memory() {
    let jobs = |options: &[&str]| {
        job(&[&[at("quay.io/a").as_str(), "--jobs=64"], options].concat()).map(|job| job.jobs)
    };
    let format = |format: &'static str, level: &'static str, memory: &'static str| {
        jobs(&[format, level, memory]).unwrap()
    };
    let zstd = "--compression-format=zstd";
    let mut before = 0;
    for memory in ["--memory=400MiB", "--memory=512MiB", "--memory=1GiB", "--memory=2GiB"] {
        let [chunked, plain, gzip, most] = [
            format("--compression-format=zstd:chunked", "--compression-level=", memory),
            format(zstd, "--compression-level=12", memory),
            format("--compression-format=gzip", "--compression-level=9", memory),
            format(zstd, "--compression-level=22", memory),
        ];
        assert!(
            chunked > before && plain < chunked && most < plain,
            "{memory}: {chunked}, {plain}"
        );
        assert!(gzip < chunked && most >= 1, "{memory}: {gzip}, {most}");
        before = chunked;
    }
    assert_eq!(format(zstd, "--compression-level=22", "--memory=8GiB"), 64);
    let refused = jobs(&[zstd, "--compression-level=22", "--memory=300MiB"]);
    let Err(UsageError::Memory { limit, needed }) = refused else { panic!("{refused:?}") };
    assert!(limit == 300 << 20 && needed > limit);
    let needed = format!("--memory={needed}");
    assert_eq!(jobs(&[zstd, "--compression-level=22", &needed]).unwrap(), 1);
}

#[test]
fn what_is_written_beside_the_image_has_a_path_of_its_own() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(dir.path().join("results")).unwrap();
    std::os::unix::fs::symlink("results", dir.path().join("link")).unwrap();
    let path = |name: &str| format!("{}/{name}", dir.path().display());
    let results = format!("--results-dir={}", path("results"));
    let refused = |destination: &str, name: &str, results: &str| {
        let artifacts = format!("--artifacts-path={}", path(name));
        job(&["oci:source:1", destination, &artifacts, results])
    };
    let (archive, layout) =
        (format!("oci-archive:{}:1", path("a.tar")), format!("oci:{}:1", path("new")));
    for (destination, name) in [
        ("oci:other:1", "results/IMAGE_URL"),
        ("oci:other:1", "results/../link/IMAGES"),
        ("oci:other:1", "file/"),
        (&archive, "a.tar"),
        (&archive, "results/../a.tar"),
        (&layout, "new/index.json"),
    ] {
        let result = refused(destination, name, &results);
        assert!(matches!(result, Err(UsageError::SameFile { .. })), "{name}: {result:?}");
    }
    let archive = format!("oci-archive:{}:1", path("link/IMAGE_URL"));
    assert!(matches!(refused(&archive, "x", &results), Err(UsageError::SameFile { .. })));
    assert!(refused("oci:other:1", "results/artifacts.json", &results).is_ok());
    for option in ["--artifacts-path=$(step.artifacts.path)", "--results-dir=$(results.X.path)"] {
        let result = job(&["oci:source:1", option]);
        assert!(matches!(result, Err(UsageError::Unsubstituted { .. })), "{result:?}");
    }
}
