use super::*;

fn entry(typeflag: u8, name: &str) -> TarEntry {
    TarEntry { typeflag, name: name.into(), mode: 0o755, ..TarEntry::default() }
}

fn link(name: &str, target: &str) -> TarEntry {
    TarEntry { link_name: target.into(), ..entry(b'1', name) }
}

fn device(name: &str, major: i64, minor: i64) -> TarEntry {
    TarEntry { dev_major: major, dev_minor: minor, ..entry(b'3', name) }
}

/// What becomes of a layer that is not the lowest.
fn admit(entries: impl IntoIterator<Item = TarEntry>) -> Result<(), Unchunkable> {
    let mut paths = AdmittedPaths::new(false);
    entries.into_iter().try_for_each(|entry| paths.admit(&entry))
}

#[test]
fn one_path_in_many_spellings() {
    for other in ["a/b", "./a/b", "/a/b", "a//b", "a/b/", "a/./b"] {
        let again = entry(b'5', other);
        let entries = [entry(b'5', "a"), entry(b'0', "a/b"), entry(b'0', "ab"), again];
        let expected = Unchunkable::SamePath { name: other.to_owned() };
        assert_eq!(admit(entries), Err(expected));
    }
}

#[test]
fn the_root_comes_first_and_nothing_is_above_it() {
    assert_eq!(admit([entry(b'5', "./"), entry(b'0', "a")]), Ok(()));
    for root in ["./", "/", ".", ""] {
        let again = admit([entry(b'5', "./"), entry(b'5', root)]);
        assert!(matches!(again, Err(Unchunkable::SamePath { .. })), "{root:?}");
        for first in [entry(b'0', "a"), entry(b'5', "a")] {
            let late = admit([first, entry(b'5', root)]);
            assert!(matches!(late, Err(Unchunkable::LateRoot { .. })), "{root:?}");
        }
    }
    for out in ["..", "../a", "a/../../b", "/.."] {
        let result = admit([entry(b'0', out)]);
        assert!(matches!(result, Err(Unchunkable::LeavesRoot { .. })), "{out}");
    }
    for detour in ["x/../a", "a/..", "a/b/../c"] {
        let result = admit([entry(b'5', detour)]);
        assert!(matches!(result, Err(Unchunkable::Detour { .. })), "{detour}");
    }
}

#[test]
fn what_is_no_directory_has_no_name_of_one() {
    for name in ["", "/", ".", "a/"] {
        for typeflag in [b'0', b'1', b'2'] {
            let result = admit([entry(typeflag, name)]);
            assert!(matches!(result, Err(Unchunkable::DirectoryName { .. })), "{name}");
        }
    }
}

#[test]
fn a_directory_comes_before_what_is_in_it() {
    let [a, b, file] = [entry(b'5', "a/"), entry(b'5', "./a/b"), entry(b'0', "a/b/c")];
    assert_eq!(admit([a.clone(), b.clone(), file.clone()]), Ok(()));
    for entries in [vec![file.clone()], vec![a.clone(), file], vec![b, a]] {
        let result = admit(entries);
        assert!(matches!(result, Err(Unchunkable::NoParent { .. })), "{result:?}");
    }
}

#[test]
fn only_directories_have_something_below() {
    for typeflag in [b'0', b'2'] {
        let above = entry(typeflag, "lib");
        for below in [entry(b'0', "lib/x"), entry(b'5', "./lib/x/"), entry(b'0', "lib/x/y")] {
            let name = String::from_utf8(below.name.clone()).unwrap_or_default();
            let expected = Err(Unchunkable::BelowNonDirectory { name });
            assert_eq!(admit([above.clone(), below]), expected);
        }
    }
    let below = [entry(b'5', "d"), entry(b'0', "d/.wh.a"), entry(b'0', "d/.wh.a/b")];
    assert!(matches!(admit(below), Err(Unchunkable::BelowNonDirectory { .. })));
}

#[test]
fn a_name_of_very_many_directories_takes_little() {
    let long = "d/".repeat(500_000) + "f";
    for entry in [entry(b'0', &long), link("f", &long)] {
        let result = admit([entry]);
        assert!(matches!(result, Err(Unchunkable::PathTooLong { .. })));
    }
}

#[test]
fn a_whiteout_removes_what_lower_layers_have_only() {
    let [dir, whiteout] = [entry(b'5', "d"), entry(b'0', "d/.wh.a")];
    let fine = [dir.clone(), whiteout.clone(), entry(b'0', "d/b"), entry(b'0', "a")];
    assert_eq!(admit(fine), Ok(()));
    for typeflag in [b'0', b'2', b'5'] {
        let own = entry(typeflag, "./d/a");
        for [first, second] in [[&own, &whiteout], [&whiteout, &own]] {
            let result = admit([dir.clone(), first.clone(), second.clone()]);
            assert!(matches!(result, Err(Unchunkable::RemovedHere { .. })), "{result:?}");
        }
    }
}

#[test]
fn an_opaque_whiteout_has_siblings() {
    let [dir, opaque] = [entry(b'5', "d"), entry(b'0', "d/.wh..wh..opq")];
    for file in [entry(b'0', "d/a"), entry(b'0', "d/.wh.a")] {
        assert_eq!(admit([dir.clone(), opaque.clone(), file.clone()]), Ok(()));
        assert_eq!(admit([dir.clone(), file, opaque.clone()]), Ok(()));
    }
}

#[test]
fn a_whiteout_is_an_empty_file_and_names_one() {
    let full = TarEntry { payload_len: 1, ..entry(b'0', ".wh.b") };
    let odd = [".wh.", ".wh..", ".wh...", ".wh..wh.plnk", ".wh..wh.aufs", ".wh..wh..opq2"];
    let odd = odd.map(|name| entry(b'0', name));
    let types = [b'2', b'5', b'6'].map(|typeflag| entry(typeflag, ".wh.a"));
    for whiteout in odd.into_iter().chain(types).chain([full]) {
        let result = admit([whiteout]);
        assert!(matches!(result, Err(Unchunkable::WhiteoutForm { .. })), "{result:?}");
    }
}

#[test]
fn devices_are_left_out_of_the_lowest_layer_only() {
    for special in [device("null", 1, 3), entry(b'4', "sda"), entry(b'6', "fifo")] {
        assert_eq!(AdmittedPaths::new(true).admit(&special), Ok(()));
        let result = admit([special]);
        assert!(matches!(result, Err(Unchunkable::Special { .. })), "{result:?}");
    }
    for lowest in [true, false] {
        let result = AdmittedPaths::new(lowest).admit(&device("a", 0, 0));
        assert!(matches!(result, Err(Unchunkable::WhiteoutDevice { .. })), "{result:?}");
    }
}

#[test]
fn a_hard_link_leads_to_an_earlier_file() {
    let file = entry(b'0', "a");
    for target in ["a", "./a", "/a"] {
        assert_eq!(admit([file.clone(), link("b", target), link("c", "b")]), Ok(()));
    }
    for target in ["b", "c", "d", "d/../a", "lib/a", ".wh.gone", "gone", ""] {
        let before = [file.clone(), entry(b'5', "d"), entry(b'2', "lib"), entry(b'0', ".wh.gone")];
        let entries = before.into_iter().chain([link("b", target), entry(b'0', "c")]);
        assert_eq!(admit(entries), Err(Unchunkable::LinkTarget { name: "b".into() }), "{target}");
    }
    let mut paths = AdmittedPaths::new(true);
    assert_eq!(paths.admit(&entry(b'6', "fifo")), Ok(()));
    let result = paths.admit(&link("b", "./fifo"));
    assert_eq!(result, Err(Unchunkable::LinkTarget { name: "b".into() }));
}

#[test]
fn only_links_have_a_target() {
    for typeflag in [b'0', b'5'] {
        let result = admit([TarEntry { link_name: b"a".to_vec(), ..entry(typeflag, "b") }]);
        assert!(matches!(result, Err(Unchunkable::LinkName { .. })), "{result:?}");
    }
}

#[test]
fn attributes_of_overlay_file_systems() {
    for (key, taken) in
        [("trusted.overlay.opaque", true), ("user.overlay.x", false), ("user.overlay", false)]
    {
        let xattrs = [(key.into(), b"y".to_vec())].into();
        let result = admit([TarEntry { xattrs, ..entry(b'5', "d") }]);
        assert_eq!(matches!(result, Err(Unchunkable::OverlayXattr { .. })), taken, "{key}");
    }
}
