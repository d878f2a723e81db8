#![allow(clippy::unwrap_used, clippy::expect_used)]

use proptest::prelude::*;

use super::*;
use std::path::Path;

const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

fn registry(text: &str) -> RegistryReference {
    match text.parse().unwrap() {
        ImageReference::Registry(reference) => reference,
        other => panic!("{other}"),
    }
}

fn layout(text: &str) -> LayoutReference {
    match text.parse().unwrap() {
        ImageReference::Layout(reference) => reference,
        other => panic!("{other}"),
    }
}

fn docker_archive(text: &str) -> DockerArchiveReference {
    match text.parse().unwrap() {
        ImageReference::DockerArchive(reference) => reference,
        other => panic!("{other}"),
    }
}

fn error(text: &str) -> ReferenceError {
    text.parse::<ImageReference>().expect_err(text)
}

#[test]
fn canonical_forms() {
    let at = format!("quay.io/org/app:1.2@{DIGEST}");
    for (text, canonical) in [
        ("busybox", "docker.io/library/busybox"),
        ("busybox:1.36", "docker.io/library/busybox:1.36"),
        ("org/app", "docker.io/org/app"),
        ("docker.io/busybox", "docker.io/library/busybox"),
        ("index.docker.io/org/app", "docker.io/org/app"),
        ("docker://quay.io/org/app:1.2", "quay.io/org/app:1.2"),
        ("QUAY.io/org/app", "quay.io/org/app"),
        ("localhost/app", "localhost/app"),
        ("localhost:5000/a/b/c/d:x", "localhost:5000/a/b/c/d:x"),
        ("[::1]:5000/app:x", "[::1]:5000/app:x"),
        ("[::1]/app", "[::1]/app"),
        ("registry:5000/app", "registry:5000/app"),
        ("test.com:5000", "docker.io/library/test.com:5000"),
        ("quay.io/a--b/c__d/e.f", "quay.io/a--b/c__d/e.f"),
        (&at, &at),
    ] {
        assert_eq!(registry(text).to_string(), canonical, "{text}");
    }
}

#[test]
fn parts_of_a_registry_reference() {
    let reference = registry(&format!("localhost:5000/org/app:1.2@{DIGEST}"));
    assert_eq!(reference.registry(), "localhost:5000");
    assert_eq!(reference.repository(), "org/app");
    assert_eq!(reference.name(), "localhost:5000/org/app");
    assert_eq!(reference.tag(), Some("1.2"));
    assert_eq!(reference.digest().unwrap().as_str(), DIGEST);
    let moved = reference.with_tag("1.2-zstd-chunked").unwrap();
    assert_eq!(moved.to_string(), "localhost:5000/org/app:1.2-zstd-chunked");
    assert!(matches!(reference.with_tag("no tag"), Err(ReferenceError::Tag(_))));
}

#[test]
fn layout_references() {
    let plain = layout("oci:some/dir");
    assert_eq!((plain.path(), plain.tag(), plain.digest()), (Path::new("some/dir"), None, None));
    let full = layout(&format!("oci:/a b/c@d:1.2@{DIGEST}"));
    assert_eq!(full.path(), Path::new("/a b/c@d"));
    assert_eq!(full.tag(), Some("1.2"));
    assert_eq!(full.digest().unwrap().as_str(), DIGEST);
    let named = layout(&format!("oci:dir:registry.example:5000/org/app:1.2@{DIGEST}"));
    assert_eq!(named.path(), Path::new("dir"));
    assert_eq!(named.tag(), Some("registry.example:5000/org/app:1.2"));
    assert_eq!(named.digest().unwrap().as_str(), DIGEST);
    for name in ["b/c", "1.2", "_", "a@b+c--d", "a:b:c", "_1__2-", "a/b@1"] {
        for (prefix, form) in [("oci", LayoutForm::Directory), ("oci-archive", LayoutForm::Archive)]
        {
            let text = format!("{prefix}:a:{name}");
            let reference = layout(&text);
            assert_eq!(reference.form(), form);
            assert_eq!((reference.path(), reference.tag()), (Path::new("a"), Some(name)));
            assert_eq!(reference.to_string(), text);
        }
    }
    assert_eq!(full.with_tag("x").unwrap().to_string(), "oci:/a b/c@d:x");
    let [dir, archive]: [ImageReference; 2] =
        ["oci:a", "oci-archive:a"].map(|t| t.parse().unwrap());
    assert!(!dir.is_same_place(&archive) && archive.is_same_place(&archive));
    assert_eq!([dir.is_archive(), archive.is_archive()], [false, true]);
}

#[test]
fn references_to_archives_of_docker_save() {
    let hub = "docker.io/library/app";
    for (text, canonical, tag) in [
        ("a.tar", "a.tar".to_owned(), None),
        ("/a b/c@d.tar", "/a b/c@d.tar".to_owned(), None),
        ("a.tar:app", format!("a.tar:{hub}:latest"), Some("latest")),
        ("a.tar:app:1.2", format!("a.tar:{hub}:1.2"), Some("1.2")),
        ("a.tar:localhost:5000/app", "a.tar:localhost:5000/app:latest".to_owned(), Some("latest")),
        ("a.tar:@0", "a.tar:@0".to_owned(), None),
        ("a.tar:@12", "a.tar:@12".to_owned(), None),
    ] {
        let reference = docker_archive(&format!("docker-archive:{text}"));
        assert_eq!(reference.to_string(), format!("docker-archive:{canonical}"));
        assert_eq!(reference.tag(), tag, "{text}");
    }
    for bad in ["@", "@-1", "@+1", "@x", "@18446744073709551616", &format!("app@{DIGEST}")] {
        let text = format!("docker-archive:a.tar:{bad}");
        assert!(matches!(error(&text), ReferenceError::ArchivedName(_)), "{text}");
    }
    assert!(matches!(
        error("docker-archive:a:A/B"),
        ReferenceError::Repository(_) | ReferenceError::Uppercase(_)
    ));
    let reference: ImageReference = "docker-archive:a.tar:app".parse().unwrap();
    assert_eq!(reference.with_tag("x"), Err(ReferenceError::DockerArchive));
    assert_eq!(reference.place(), "docker-archive:a.tar");
}

#[test]
fn what_is_refused_and_why() {
    let at = format!("@{DIGEST}");
    for empty in ["", "docker://", "oci:", "oci::tag", "oci-archive:", "docker-archive::x", &at] {
        assert_eq!(error(empty), ReferenceError::Empty, "{empty}");
    }
    for other in ["containers-storage:x", "docker-daemon:x", "dir:x", "ftp://quay.io/a/b"] {
        assert!(matches!(error(other), ReferenceError::Transport(_)), "{other}");
    }
    for url in ["https://quay.io/a/b", "http://quay.io/a/b:1"] {
        assert!(matches!(error(url), ReferenceError::Url(_)), "{url}");
    }
    for host in ["quay.io:/app", "quay.io:0/app", "quay.io:65536/app", "quay.io:+1/app", "a..b/c"] {
        assert!(matches!(error(host), ReferenceError::Registry(_)), "{host}");
    }
    for host in ["-a.b/c", "[::1/c:x", "[::x]:1/c", "a.b:c:1/d", "user:pass.x/app"] {
        assert!(matches!(error(host), ReferenceError::Registry(_)), "{host}");
    }
    assert!(matches!(error("quay.io/Org/app"), ReferenceError::Uppercase(_)));
    assert!(error("quay.io/Org/app").to_string().contains("org/app"));
    for name in ["quay.io/", "quay.io//a", "quay.io/a/", "quay.io/a..b", "quay.io/_a", "a___b", "ä"]
    {
        assert!(matches!(error(name), ReferenceError::Repository(_)), "{name}");
    }
    assert!(matches!(
        error(&format!("quay.io/{}", "a".repeat(256))),
        ReferenceError::Repository(_)
    ));
    for tag in ["app:", "app:-x", &format!("app:{}", "x".repeat(129))] {
        assert!(matches!(error(tag), ReferenceError::Tag(_)), "{tag}");
    }
    for name in ["", "a b", "/a", "a/", "a//b", ":a", "a---b/c", "a..b/c", "@0", &"x".repeat(513)] {
        let text = format!("oci:dir:{name}");
        assert!(matches!(error(&text), ReferenceError::RefName(_)), "{text}");
    }
    let digest = layout("oci:dir").with_tag(&format!("a@{DIGEST}"));
    assert!(matches!(digest, Err(ReferenceError::RefName(_))), "it would not be read back");
    for digest in ["app@sha256:12", "app@", &format!("app@{DIGEST}@{DIGEST}"), "oci:dir@sha256:12"]
    {
        assert!(matches!(error(digest), ReferenceError::Digest(_)), "{digest}");
    }
}

#[test]
fn messages_show_a_right_example_and_stay_short() {
    for text in ["", "dir:x", "quay.io:0/app", "quay.io/A", "quay.io/_", "app:-", "app@x"] {
        let message = error(text).to_string();
        assert!(
            message.contains("as in")
                || message.contains("write")
                || message.contains("as docker://"),
            "{message}"
        );
    }
    assert!(error(&"Ä".repeat(1 << 20)).to_string().len() < 2000);
}

#[test]
fn tags() {
    for tag in ["latest", "_", "1.2-rc.1", "A-b_c.D", &"x".repeat(128)] {
        assert!(is_valid_tag(tag), "{tag}");
    }
    for tag in ["", ".", "-a", "a/b", "a:b", "ä", "a b", "a\n", &"x".repeat(129)] {
        assert!(!is_valid_tag(tag), "{tag}");
    }
}

prop_compose! {
    fn registry_text()(
        host in "(docker://)?(quay\\.io|localhost|\\[::1\\]:80|[a-z][a-z0-9]{0,5}\\.[a-z]{2,3}(:[1-9][0-9]{1,3})?)",
        path in "[a-z0-9]{1,6}([._-][a-z0-9]{1,4})?(/[a-z0-9]{1,6}(__[a-z0-9]{1,3})?){0,3}",
        tag in proptest::option::of("[A-Za-z0-9_][A-Za-z0-9._-]{0,12}"),
        digest in proptest::option::of("[0-9a-f]{64}"),
    ) -> String {
        let tag = tag.map(|t| format!(":{t}")).unwrap_or_default();
        let digest = digest.map(|d| format!("@sha256:{d}")).unwrap_or_default();
        format!("{host}/{path}{tag}{digest}")
    }
}

#[test]
fn a_host_of_one_label_keeps_its_case() {
    let reference: ImageReference = "A/a".parse().unwrap();
    assert_eq!(reference.to_string(), "A/a");
    assert_eq!("A.B/a".parse::<ImageReference>().unwrap().to_string(), "a.b/a");
}

proptest! {
    #[test]
    fn canonical_text_parses_to_the_same_reference(text in registry_text()) {
        let reference: ImageReference = text.parse().unwrap();
        prop_assert_eq!(&reference.to_string().parse::<ImageReference>().unwrap(), &reference);
        prop_assert_eq!(reference.to_string(), text.trim_start_matches("docker://").to_owned());
    }

    #[test]
    fn any_text_is_parsed_or_refused(
        text in "(oci:|oci-archive:|docker-archive:|docker://)?[a-zA-Z0-9:@/._\\[\\]ä -]{0,40}",
    ) {
        if let Ok(reference) = text.parse::<ImageReference>() {
            prop_assert_eq!(reference.to_string().parse::<ImageReference>().unwrap(), reference);
        }
    }
}
