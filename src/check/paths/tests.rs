use super::*;

fn entry(kind: &str, name: &str) -> TocEntry {
    TocEntry { kind: kind.into(), name: name.into(), ..TocEntry::default() }
}

/// The ids of the rules that a layer breaks.
fn broken(lowest: bool, entries: &[TocEntry]) -> Vec<&'static str> {
    let (mut paths, mut findings) = (CheckedPaths::new(lowest), Findings::default());
    for entry in entries {
        paths.insert(entry, &mut findings);
    }
    paths.finish(&mut findings);
    findings.counts().keys().map(|rule| rule.id()).collect()
}

#[test]
fn one_path_under_many_names() {
    for name in ["a/b", "/a/b", "./a//b/", "x/../a/./b", "../a/b"] {
        assert_eq!(clean(name.as_bytes()), [b"a", b"b"], "{name}");
    }
}

#[test]
fn a_path_of_millions_of_directories() {
    let long = entry("dir", &"a/".repeat(4 << 20));
    assert_eq!(broken(true, &[long.clone(), long]), ["duplicate-path", "path-too-long"]);
}

/// Kinds and names.
type Entries<'a> = &'a [(&'a str, &'a str)];

#[test]
fn rules_of_paths() {
    let [dir, file, symlink] = [("dir", "d/"), ("reg", "d/a"), ("symlink", "lib")];
    let cases: &[(Entries<'_>, &[&str])] = &[
        (&[dir, file], &[]),
        (&[file], &["missing-parent"]),
        (&[file, dir], &["late-parent"]),
        (&[file, ("dir", "./")], &["missing-parent", "late-parent"]),
        (&[dir, file, ("reg", "./d/a")], &["duplicate-path"]),
        (&[("reg", "../a")], &["path-leaves-root"]),
        (&[("reg", "a/../../b")], &["path-leaves-root"]),
        (&[("reg", "x/../a")], &["path-dots"]),
        (&[("reg", "a/")], &["directory-name"]),
        (&[("reg", "/")], &["directory-name"]),
        (&[symlink, ("reg", "lib/x")], &["below-non-directory"]),
        (&[symlink, ("reg", "lib/x/y")], &["missing-parent", "below-non-directory"]),
        (&[("reg", "lib/x"), symlink], &["below-non-directory"]),
        (&[dir, file, ("reg", "d/.wh.a")], &["whiteout-and-entry", "whiteout"]),
        (&[dir, ("reg", "d/.wh.a"), file], &["whiteout-and-entry", "whiteout"]),
        (&[("reg", ".wh.d"), dir], &["whiteout-and-entry", "whiteout"]),
        (&[("reg", ".wh.d"), file], &["missing-parent", "whiteout-and-entry", "whiteout"]),
        (&[file, ("reg", ".wh.d")], &["missing-parent", "whiteout-and-entry", "whiteout"]),
        (&[dir, file, ("reg", "d/.wh..wh..opq")], &["whiteout"]),
        (&[dir, ("reg", "d/.wh.a"), ("reg", "d/.wh.a/b")], &["below-non-directory", "whiteout"]),
        (&[("dir", ".wh..wh.plnk/")], &["whiteout-form", "whiteout"]),
        (&[("reg", ".wh..wh.x")], &["whiteout-form", "whiteout"]),
        (&[("reg", ".wh.")], &["whiteout-form", "whiteout"]),
        (&[("symlink", ".wh.a")], &["whiteout-form", "whiteout"]),
        (&[("fifo", "f")], &["special-file-above"]),
        (&[("char", "c")], &["whiteout-device"]),
    ];
    for (entries, expected) in cases {
        let mut entries: Vec<_> = entries.iter().map(|(kind, name)| entry(kind, name)).collect();
        // A root has to have this one.
        for entry in &mut entries {
            entry.mode = 0o755;
        }
        assert_eq!(broken(false, &entries), *expected, "{entries:?}");
    }
}

#[test]
fn devices_of_the_lowest_layer_are_told_apart() {
    let (mut paths, mut findings) = (CheckedPaths::new(true), Findings::default());
    for number in 1..=30 {
        let name = format!("tty{number}");
        paths.insert(&TocEntry { dev_major: 4, ..entry("char", &name) }, &mut findings);
    }
    let left_out = paths.finish(&mut findings);
    assert_eq!((left_out.count, left_out.names.len()), (30, CheckedLeftOut::NAMES_MAX));
    assert_eq!((findings.errors(), findings.weigh().1), (0, 30));
    assert!(findings.first_obstacle().is_none());
}

#[test]
fn hard_links() {
    let owned = |kind: &str, name: &str, uid| TocEntry { uid, ..entry(kind, name) };
    let link =
        |target: &str, uid| TocEntry { link_name: target.into(), ..owned("hardlink", "link", uid) };
    let before =
        [owned("reg", "a", 5), entry("dir", "d"), entry("fifo", "f"), entry("reg", ".wh.b")];
    let always = ["whiteout", "special-file-left-out"];
    for (target, uid, expected) in [
        ("a", 5, None),
        ("./a", 5, None),
        ("a", 6, Some("link-attributes")),
        ("d", 5, Some("link-target")),
        ("d/../a", 5, Some("link-target")),
        ("f", 5, Some("link-target")),
        (".wh.b", 5, Some("link-target")),
        ("b", 5, Some("link-target")),
        ("gone", 5, Some("link-target")),
    ] {
        let entries = [&before[..], &[link(target, uid)]].concat();
        let expected: Vec<_> = always.into_iter().chain(expected).collect();
        assert_eq!(broken(true, &entries), expected, "{target}");
    }
}

#[test]
fn attributes_that_pulls_treat_differently() {
    let with = |kind: &str, name: &str, key: &str| TocEntry {
        mode: 0o755,
        xattrs: Some([(key.to_owned(), String::new())].into()),
        ..entry(kind, name)
    };
    for (kind, name, key, expected) in [
        ("reg", "a", "user.text", None),
        ("dir", "d", "trusted.overlay.opaque", Some("overlay-xattr")),
        ("dir", "d", "user.overlay.opaque", None),
        ("symlink", "s", "security.selinux", None),
        ("symlink", "s", "trusted.text", Some("symlink-xattr")),
        ("dir", "./", "security.selinux", None),
        ("dir", "./", "user.text", Some("root-attributes")),
    ] {
        let expected: Vec<_> = expected.into_iter().collect();
        assert_eq!(broken(false, &[with(kind, name, key)]), expected, "{name} {key}");
    }
    for (mode, uid, expected) in
        [(0o755, 0, None), (0o555, 0, None), (0o700, 0, Some(())), (0o755, 5, Some(()))]
    {
        let expected: Vec<_> = expected.map(|()| "root-attributes").into_iter().collect();
        assert_eq!(broken(false, &[TocEntry { mode, uid, ..entry("dir", ".") }]), expected);
    }
    let owned = TocEntry { gid: 5, ..entry("symlink", "s") };
    assert_eq!(broken(false, &[owned]), ["symlink-owner"]);
}
