#![allow(clippy::unwrap_used)]

use std::fs;

use proptest::prelude::*;

use super::*;

const DIGEST: &str = "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a";

fn conf(text: &str) -> RegistriesConf {
    let mut conf = RegistriesConf::default();
    conf.add(Path::new("test.conf"), text).unwrap();
    conf
}

fn image(text: &str) -> RegistryReference {
    text.parse().unwrap()
}

/// What an image is read from, in order; `!` marks what is blocked, and `~` what is insecure.
fn sources(conf: &RegistriesConf, text: &str) -> Vec<String> {
    let PullSources { mirrors, origin } = conf.pull_sources(&image(text)).unwrap();
    let told = |endpoint: &Endpoint| {
        let blocked = if endpoint.check_allowed().is_err() { "!" } else { "" };
        let insecure = if endpoint.insecure { "~" } else { "" };
        format!("{blocked}{insecure}{}", endpoint.reference)
    };
    mirrors.iter().chain([&origin]).map(told).collect()
}

/// The cases of `refMatchingPrefix` in containers/image, and some of its callers'.
#[test]
fn prefixes_cover_whole_segments() {
    for (name, prefix, covered) in [
        ("docker.io", "docker.io", Some(9)),
        ("docker.io", "example.com", None),
        ("example.com/foo", "example.com/fo", None),
        ("example.com/foo", "example.com/fooo", None),
        ("example.com/foo", "example.com/foo", Some(15)),
        ("example.com:5000/foo", "example.com:50", None),
        ("example.com:5000/foo", "example.com", Some(11)),
        ("example.com/foo:bar", "example.com/foo", Some(15)),
        ("example.com/foo@sha256:0", "example.com/foo", Some(15)),
        ("a.example.com/foo", "*.example.com", Some(13)),
        ("a.b.example.com/foo", "*.example.com", Some(15)),
        ("a.example.com:5000/foo", "*.example.com", Some(13)),
        ("example.com/foo", "*.example.com", None),
        ("a.example.community/foo", "*.example.com", None),
        ("quay.io/a.example.com/foo", "*.example.com", None),
        ("aexample.com/foo", "*.example.com", None),
    ] {
        assert_eq!(matched(name, prefix), covered, "{name} {prefix}");
    }
}

#[test]
fn the_longest_prefix_counts_and_is_replaced() {
    let conf = conf(
        r#"
        [[registry]]
        location = "quay.io"
        [[registry]]
        prefix = "quay.io/org/"
        location = "mirror.test:5000/copies/"
        insecure = true
        [[registry]]
        prefix = "quay.io/org/app"
        location = "apps.test"
        [[registry]]
        prefix = "quay.io/org/app"
        location = "ignored.test"
        [[registry]]
        prefix = "*.example.test"
        location = "wild.test"
        [[registry]]
        prefix = "*.stay.test"
        [[registry.mirror]]
        location = "mirror.test/stay"
        insecure = true
        [[registry]]
        prefix = "docker.io/library"
        location = "hub.test/official"
        "#,
    );
    let digested = format!("quay.io/org/x:1@{DIGEST}");
    let moved = format!("~mirror.test:5000/copies/x:1@{DIGEST}");
    for (name, expected) in [
        ("quay.io/other/x:1", &["quay.io/other/x:1"][..]),
        ("quay.io/org/x:1", &["~mirror.test:5000/copies/x:1"]),
        (&digested, &[&moved]),
        ("quay.io/org/app/x:1", &["apps.test/x:1"]),
        ("quay.io/organization/x:1", &["quay.io/organization/x:1"]),
        ("a.b.example.test/x/y:1", &["wild.test/x/y:1"]),
        ("a.stay.test/x:1", &["~mirror.test/stay/x:1", "a.stay.test/x:1"]),
        ("debian:12", &["hub.test/official/debian:12"]),
        ("elsewhere.test/x:1", &["elsewhere.test/x:1"]),
    ] {
        assert_eq!(sources(&conf, name), expected, "{name}");
    }
}

/// As OpenShift writes mirrors of digests and tags, and a source that must never be contacted.
#[test]
fn mirrors_are_for_digests_for_tags_or_for_both() {
    let conf = conf(
        r#"
        unqualified-search-registries = ["registry.access.redhat.com", "docker.io"]
        short-name-mode = ""

        [[registry]]
          prefix = ""
          location = "idms.test/org"
          blocked = true

          [[registry.mirror]]
            location = "digests.test/org"
            pull-from-mirror = "digest-only"

          [[registry.mirror]]
            location = "tags.test/org"
            pull-from-mirror = "tag-only"

          [[registry.mirror]]
            location = "all.test/org"
            pull-from-mirror = "all"

        [[registry]]
          prefix = ""
          location = "icsp.test/org"
          mirror-by-digest-only = true

          [[registry.mirror]]
            location = "blocked.test/org"

        [[registry]]
          location = "blocked.test"
          blocked = true
        "#,
    );
    for (name, expected) in [
        (
            format!("idms.test/org/x@{DIGEST}"),
            ["digests.test/org/x", "all.test/org/x", "!idms.test/org/x"].map(named).to_vec(),
        ),
        (
            "idms.test/org/x:1".to_owned(),
            ["tags.test/org/x:1", "all.test/org/x:1", "!idms.test/org/x:1"]
                .map(Into::into)
                .to_vec(),
        ),
        (
            format!("icsp.test/org/x@{DIGEST}"),
            ["!blocked.test/org/x", "icsp.test/org/x"].map(named).to_vec(),
        ),
        ("icsp.test/org/x:1".to_owned(), vec!["icsp.test/org/x:1".to_owned()]),
    ] {
        assert_eq!(sources(&conf, &name), expected, "{name}");
    }
    let target = conf.push_target(&image("idms.test/org/x:1"));
    let error = target.check_allowed().unwrap_err().to_string();
    assert_eq!(error, "registry idms.test/org is blocked in test.conf");
    let target = conf.push_target(&image("icsp.test/org/x:1"));
    assert_eq!(target.reference.registry(), "icsp.test", "mirrors are not for pushes");
}

fn named(name: &str) -> String {
    format!("{name}@{DIGEST}")
}

/// What containers/image refuses, with the line.
#[test]
fn invalid_files_are_refused_by_line() {
    for (text, line, words) in [
        ("\n[[registry]\n", 2, ""),
        ("[registry]\nlocation = 'a.test'", 1, "sequence"),
        ("[[registry]]\nlocation = 'a.test'\ninsecure = 'yes'", 3, "boolean"),
        ("[[registry]]\nlocation = 'a.test'\nlocation = 'b.test'", 3, "duplicate"),
        ("[[registry]]\nblocked = true", 1, "no location"),
        ("[[registry]]\nprefix = 'a.test'", 1, "no location"),
        ("[[registry]]\nlocation = 'https://a.test'", 1, "scheme"),
        ("[[registry]]\nlocation = 'a.test'\npull-from-mirror = 'all'", 1, "for a mirror"),
        ("\n[[registry]]\nprefix = '*.a.test/x'", 2, "*.example.com"),
        ("\n[[registry]]\nprefix = '*.a.test:1'", 2, "*.example.com"),
        ("[[registry]]\nlocation = 'a.test'\n[[registry.mirror]]\ninsecure = true", 1, "a.test"),
        (
            "[[registry]]\nlocation = 'a.test'\n[[registry.mirror]]\nlocation = 'm.test'\n\
             pull-from-mirror = 'never'",
            5,
            "never",
        ),
        (
            "[[registry]]\nlocation = 'a.test'\nmirror-by-digest-only = true\n\
             [[registry.mirror]]\nlocation = 'm.test'\npull-from-mirror = 'all'",
            1,
            "mirror-by-digest-only",
        ),
        (
            "[[registry]]\nlocation = 'a.test'\n\n[[registry]]\nprefix = 'b.test'\n\
             location = 'a.test'\ninsecure = true",
            4,
            "\"insecure\"",
        ),
        ("[[Registry]]\nlocation = 'a.test'", 1, "\"Registry\" in lower case"),
        ("[[registry]]\nlocation = 'a.test'\nBlocked = true", 3, "\"Blocked\" in lower case"),
        (
            "[[registry]]\nlocation = 'a.test'\n[[registry.mirror]]\nlocation = 'm.test'\nINSECURE = true",
            5,
            "\"INSECURE\" in lower case",
        ),
        ("[registries.insecure]\nregistries = ['a.test']", 1, "version 1"),
        ("[registries.block]\nregistries = ['a.test']", 1, "version 1"),
    ] {
        let error = RegistriesConf::default().add(Path::new("bad.conf"), text).unwrap_err();
        let error = error.to_string();
        assert!(error.starts_with(&format!("bad.conf, line {line}: ")), "{text:?}: {error}");
        assert!(error.contains(words) && !error.contains('\n'), "{text:?}: {error}");
    }
    for ignored in ["", "[registries.search]\nregistries = ['a.test']", "[aliases]\na = 'b.test/a'"]
    {
        assert!(conf(ignored).registries.is_empty(), "{ignored}");
    }
}

#[test]
fn what_a_name_becomes_must_be_a_name() {
    for location in ["no-host", "docker.io", "a.test/UPPER", "a.test/x y"] {
        let conf = conf(&format!("[[registry]]\nprefix = 'quay.io'\nlocation = '{location}'"));
        let error = conf.pull_sources(&image("quay.io/app:1")).unwrap_err().to_string();
        assert!(
            error.contains(&format!("{location}/app:1")) && error.contains("test.conf"),
            "{error}"
        );
    }
    let conf = conf("[[registry]]\nprefix = 'quay.io/app'\nlocation = 'a.test/x:2'");
    let error = conf.pull_sources(&image(&named("quay.io/app"))).unwrap_err().to_string();
    assert!(error.contains("the same tag"), "{error}");
}

/// The main file is the first that exists; drop-ins come after it by name, and for one name only
/// the first folder counts. A file that is named replaces the main one; the only file, all.
#[test]
fn files_and_their_order() {
    let dir = tempfile::tempdir().unwrap();
    let folder = |name: &str| dir.path().join(name);
    let write = |path: &str, location: &str| {
        let path = dir.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let text = format!("[[registry]]\nprefix = 'quay.io'\nlocation = '{location}.test'\n");
        fs::write(&path, text).unwrap();
        path
    };
    let environment = Environment {
        folders: ["user", "etc", "usr"].map(folder).to_vec(),
        ..Environment::default()
    };
    let location = |file: Option<&Path>, environment: &Environment| {
        let conf = RegistriesConf::load_with(file, environment).unwrap();
        sources(&conf, "quay.io/x:1").concat()
    };
    assert_eq!(location(None, &environment), "quay.io/x:1");
    write("usr/registries.conf", "usr");
    write("etc/registries.conf", "etc");
    assert_eq!(location(None, &environment), "etc.test/x:1");
    write("user/registries.conf", "user");
    assert_eq!(location(None, &environment), "user.test/x:1");
    write("usr/registries.conf.d/50.conf", "drop-in-usr");
    write("user/registries.conf.d/40.conf", "drop-in-user");
    write("etc/registries.conf.d/99.ignored", "ignored");
    assert_eq!(location(None, &environment), "drop-in-usr.test/x:1");
    write("etc/registries.conf.d/50.conf", "drop-in-etc");
    assert_eq!(location(None, &environment), "drop-in-etc.test/x:1");
    let own = write("own.conf", "own");
    assert_eq!(location(Some(&own), &environment), "drop-in-etc.test/x:1");
    let only = Environment { only: Some(own.clone()), ..environment.clone() };
    assert_eq!(location(None, &only), "own.test/x:1");
    let named = write("named.conf", "named");
    let last = Environment { last: Some(own), ..environment.clone() };
    assert_eq!(location(Some(&named), &last), "own.test/x:1");

    let missing = folder("missing.conf");
    for (file, environment) in [
        (Some(missing.as_path()), environment.clone()),
        (None, Environment { only: Some(missing.clone()), ..environment.clone() }),
        (None, Environment { last: Some(missing.clone()), ..environment.clone() }),
    ] {
        let error = RegistriesConf::load_with(file, &environment).unwrap_err();
        assert!(error.to_string().contains("missing.conf"), "{error}");
    }
    fs::write(&missing, vec![b'#'; (4 << 20) + 1]).unwrap();
    let error = RegistriesConf::load_with(Some(&missing), &environment).unwrap_err();
    assert!(std::error::Error::source(&error).unwrap().to_string().contains("4 MiB"));
}

proptest! {
    #[test]
    fn any_text_is_read_or_refused(text in r#"(\[\[registry(\.mirror)?\]\]\n|(prefix|location|insecure|pull-from-mirror) = ("[a-z*./:@]{0,12}"|true)\n|.{0,8}){0,12}"#) {
        let mut conf = RegistriesConf::default();
        if conf.add(Path::new("any.conf"), &text).is_ok() {
            let _ = conf.pull_sources(&image("a.b/c:1"));
        }
    }

    /// Whatever a location is, the image keeps its tag and digest, and the end of its path.
    #[test]
    fn rewriting_keeps_the_rest(prefix in r"(\*\.)?[a-b./:]{0,5}", location in r"[a-b./:]{0,6}", name in r"[a-b]{1,2}(\.[a-b])?/[a-b]{1,2}(/[a-b])?") {
        let text = format!("[[registry]]\nprefix = {prefix:?}\nlocation = {location:?}\n");
        let mut conf = RegistriesConf::default();
        let name = image(&format!("{name}:1@{DIGEST}"));
        if conf.add(Path::new("any.conf"), &text).is_ok()
            && let Ok(PullSources { origin, .. }) = conf.pull_sources(&name)
        {
            prop_assert_eq!((origin.reference.tag(), origin.reference.digest()), (name.tag(), name.digest()));
        }
    }
}
