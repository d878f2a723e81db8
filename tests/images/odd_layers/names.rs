//! Names, paths, links and whiteouts.

use test_support::archive::{Dialect, HeaderBlock, TarBuilder};

use super::case::{Case, header};

pub(crate) fn cases() -> Vec<Case> {
    [spellings(), bytes(), paths(), collisions(), links(), whiteouts()].concat()
}

/// A layer with these files.
fn files(name: &str, paths: &[&str]) -> Case {
    Case::with(name, |t| paths.iter().fold(t, |t, path| file(t, path)))
}

fn file(tar: TarBuilder, path: &str) -> TarBuilder {
    tar.pax(&[(b"path", path.as_bytes())]).sized(header(b'0', "by-pax"), path.as_bytes())
}

fn dir(tar: TarBuilder, path: &str) -> TarBuilder {
    tar.header(header(b'5', path).mode(0o755))
}

fn spellings() -> Vec<Case> {
    let exact = "n".repeat(100);
    vec![
        files("name-with-dot", &["./file"]),
        files("name-absolute", &["/file"]),
        files("name-double-slash", &["//file"]),
        files("name-through-parent", &["x/../file"]).plain("contains \"..\""),
        files("name-with-trailing-slash", &["file/"]).plain("the name of a directory"),
        files("name-of-100-bytes", &[&exact]),
        files("name-of-255-bytes", &[&"n".repeat(255)]),
        files("name-of-256-bytes", &[&"n".repeat(256)]).refused("file name too long"),
        Case::with("name-mixed-absolute-and-relative", |t| file(dir(t, "/dir/"), "dir/file")),
        Case::with("name-100-bytes-no-nul", |t| t.file(Dialect::Ustar, exact.as_bytes(), b"x")),
        Case::with("name-empty", |t| t.sized(header(b'0', ""), b"x"))
            .plain("the name of a directory"),
        root("name-root", "./", |h| h),
        root("name-root-absolute", "/", |h| h),
        root("name-root-bare-dot", ".", |h| h),
        root("name-root-of-mode-0700", "./", |h| h.mode(0o700)).plain("a full pull ignores"),
        root("name-root-of-mode-0777", "./", |h| h.mode(0o777)).plain("a full pull ignores"),
        root("name-root-of-a-user", "./", |h| h.owner(5, 6)).plain("a full pull ignores"),
        Case::with("name-root-late", |t| dir(t, "./")).plain("other entries come before it"),
        Case::of("name-root-twice", &file(dir(dir(TarBuilder::new(), "./"), "/"), "x").finish())
            .plain("same path"),
        Case::with("name-deep", |t| {
            let paths = (1..=80).map(|depth| "d/".repeat(depth));
            let tar = paths.fold(t, |t, path| {
                t.pax(&[(b"path", path.as_bytes())]).header(header(b'5', "d/").mode(0o755))
            });
            file(tar, &("d/".repeat(80) + "file"))
        }),
        Case::with("name-late-nul", |t| t.sized(header(b'0', "name\0rest"), b"x")),
    ]
}

fn bytes() -> Vec<Case> {
    vec![
        files("bytes-unicode", &["größe", "gro\u{308}ße", "日本語", "🦀", "\u{202e}right"]),
        files("bytes-json", &["\"quoted\"", "back\\slash", "<a>&amp;", "\u{2028}", "\u{7f}"]),
        files("bytes-control", &["tab\t", "line\n", "\u{1}\u{1f}", "return\r", "\u{8}\u{c}"]),
        files("bytes-shell", &["$(x)", "-rf", "*", " ", "a b ", "~", "..."]),
        Case::with("bytes-latin-1", |t| t.file(Dialect::Ustar, b"gr\xf6\xdfe", b"x"))
            .plain("not UTF-8"),
        Case::with("bytes-surrogate", |t| t.file(Dialect::Ustar, b"\xed\xa0\x80", b"x"))
            .plain("not UTF-8"),
        Case::with("bytes-latin-1-by-pax", |t| {
            t.pax(&[(b"path", b"gr\xf6\xdfe")]).sized(header(b'0', "x"), b"x")
        })
        .plain("not UTF-8"),
        Case::with("bytes-latin-1-link", |t| {
            t.header(header(b'2', "link").link_name(b"gr\xf6\xdfe"))
        })
        .plain("not UTF-8"),
    ]
}

fn paths() -> Vec<Case> {
    vec![
        files("path-leaves-root", &["../file"]).plain("leads out of the layer's root"),
        files("path-leaves-root-and-is-back", &["x/../../file"])
            .plain("leads out of the layer's root"),
        files("path-absolute-parent", &["/../file"]).plain("leads out of the layer's root"),
        Case::with("path-late-parent", |t| {
            let t = file(t, "dir/sub/file");
            t.header(header(b'5', "dir/sub/").mode(0o750)).header(header(b'5', "dir/").mode(0o711))
        })
        .plain("no entry for the parent directory"),
        // Directories without an entry get the time of the pull.
        files("path-no-parent", &["dir/sub/file"])
            .plain("no entry for the parent directory")
            .without("dir", "mtime_ns")
            .without("dir/sub", "mtime_ns"),
        files("path-no-parent-over-a-base", &["dir/sub/new"])
            .base(dir(
                file(dir(dir(TarBuilder::new(), "dir/"), "dir/sub/"), "dir/sub/old"),
                "other/",
            ))
            .plain("no entry for the parent directory")
            .without("dir", "mtime_ns")
            .without("dir/sub", "mtime_ns"),
        Case::with("path-below-a-file", |t| file(t, "case/below"))
            .plain("below an entry that is not a directory")
            .refused("not a directory"),
        Case::with("path-through-a-symlink", |t| {
            let t = dir(t, "dir/").header(header(b'2', "link").link_name(b"dir"));
            file(t, "link/file")
        })
        .plain("below an entry that is not a directory"),
        Case::with("path-through-a-symlink-and-directly", |t| {
            let t = dir(t, "dir/").header(header(b'2', "link").link_name(b"dir"));
            file(file(t, "link/a"), "dir/b")
        })
        .plain("below an entry that is not a directory"),
        Case::with("path-through-a-symlink-of-the-base", |t| file(dir(t, "link/"), "link/new"))
            .base(dir(TarBuilder::new().header(header(b'2', "link").link_name(b"dir")), "dir/")),
        Case::with("path-through-a-symlink-out", |t| {
            let t = t.header(header(b'2', "link").link_name(b"/../../etc"));
            file(t, "link/file")
        })
        .plain("below an entry that is not a directory")
        .refused("no such file or directory"),
    ]
}

fn collisions() -> Vec<Case> {
    let duplicates = |case: Case| case.plain("same path").refused("duplicates of file paths");
    vec![
        duplicates(files("twice-a-file", &["a", "a"])),
        duplicates(files("twice-with-dot", &["a", "./a"])),
        files("twice-absolute", &["a", "/a"]).plain("same path"),
        files("twice-through-parent", &["a", "x/../a"])
            .plain("contains \"..\"")
            .refused("duplicates of file paths"),
        duplicates(Case::with("twice-a-dir", |t| dir(dir(t, "d/"), "d/"))),
        duplicates(Case::with("twice-a-dir-without-slash", |t| dir(dir(t, "d/"), "d"))),
        Case::with("twice-a-dir-absolute", |t| dir(dir(t, "d/"), "/d/")).plain("same path"),
        files("twice-in-capitals", &["a", "A"]),
    ]
}

fn links() -> Vec<Case> {
    let hard = |t: TarBuilder, path: &str, target: &str| {
        t.header(header(b'1', path).link_name(target.as_bytes()))
    };
    let soft = |t: TarBuilder, path: &str, target: &str| {
        t.header(header(b'2', path).mode(0o777).link_name(target.as_bytes()))
    };
    vec![
        Case::with("hardlink", |t| hard(t, "link", "case")),
        Case::with("hardlink-absolute", |t| hard(t, "link", "/case")),
        Case::with("hardlink-with-dot", |t| hard(t, "link", "./case")),
        Case::with("hardlink-to-a-link", |t| hard(hard(t, "a", "case"), "b", "a")),
        Case::with("hardlink-to-an-empty-file", |t| {
            hard(t.file(Dialect::Ustar, b"empty", b""), "link", "empty")
        }),
        Case::with("hardlink-to-a-symlink", |t| {
            let link = header(b'1', "link").link_name(b"soft").mode(0o777);
            soft(t, "soft", "case").header(link)
        }),
        Case::with("hardlink-to-a-fifo", |t| hard(t.header(header(b'6', "fifo")), "link", "fifo"))
            .plain("hard link to a device, a FIFO or a path without an earlier file"),
        Case::with("hardlink-of-another-mode", |t| {
            t.header(header(b'1', "link").link_name(b"case").mode(0o600))
        })
        .plain("different attributes than its target"),
        Case::with("hardlink-with-more-attributes", |t| {
            let t = t.pax(&[(b"SCHILY.xattr.user.a", b"1")]);
            t.header(header(b'1', "link").link_name(b"case"))
        })
        .plain("different attributes than its target"),
        Case::with("hardlink-with-fewer-attributes", |t| {
            let t = t.pax(&[(b"SCHILY.xattr.user.a", b"1")]).header(header(b'0', "more"));
            t.header(header(b'1', "link").link_name(b"more"))
        }),
        Case::with("hardlink-before-its-target", |t| file(hard(t, "link", "later"), "later"))
            .plain("without an earlier file")
            .refused("no such file or directory"),
        Case::with("hardlink-to-nothing", |t| hard(t, "link", "nothing"))
            .plain("without an earlier file")
            .refused("no such file or directory"),
        Case::with("hardlink-to-a-dir", |t| hard(dir(t, "dir/"), "link", "dir"))
            .plain("without an earlier file")
            .refused("operation not permitted"),
        Case::with("hardlink-out", |t| hard(t, "link", "../../etc/passwd"))
            .plain("without an earlier file")
            .refused("no such file or directory"),
        Case::with("hardlink-into-the-base", |t| hard(t, "link", "below"))
            .base(file(TarBuilder::new(), "below"))
            .plain("without an earlier file")
            .refused("no such file or directory"),
        Case::with("symlink-dangling", |t| soft(t, "link", "nowhere/at/all")),
        Case::with("symlink-absolute", |t| soft(t, "link", "/etc/passwd")),
        Case::with("symlink-to-itself", |t| soft(t, "link", "link")),
        Case::with("symlink-to-nothing", |t| soft(t, "link", "")).refused("no such file"),
        Case::with("symlink-out", |t| soft(t, "link", "../../../x")),
        Case::with("symlink-of-a-user", |t| {
            t.header(header(b'2', "link").link_name(b"case").owner(5, 6))
        }),
        Case::with("symlink-with-attributes", |t| {
            let t = t.pax(&[(b"SCHILY.xattr.trusted.a", b"1")]);
            t.header(header(b'2', "link").link_name(b"case"))
        })
        .plain("a symlink with extended attributes"),
        Case::with("symlink-of-2000-bytes", |t| {
            t.pax(&[(b"linkpath", &b"d/".repeat(1000))]).header(header(b'2', "link"))
        }),
    ]
}

fn whiteouts() -> Vec<Case> {
    let base = || {
        let base = dir(dir(TarBuilder::new(), "dir/"), "dir/sub/");
        ["dir/a", "dir/b", "dir/sub/c"].iter().fold(base, |t, path| file(t, path))
    };
    let of = |name: &'static str, add: fn(TarBuilder) -> TarBuilder| {
        Case::with(name, |t| add(dir(t, "dir/"))).base(base())
    };
    let same = |case: Case| case.plain("at a path that a whiteout in this layer removes");
    let odd = |case: Case| case.plain("has the name of a whiteout");
    vec![
        of("whiteout", |t| empty(t, "dir/.wh.a")).whiteouts(),
        Case::with("whiteout-without-its-parent", |t| empty(t, "dir/.wh.a"))
            .base(base())
            .plain("no entry for the parent directory")
            .without("dir", "mtime_ns"),
        odd(of("whiteout-with-content", |t| file(t, "dir/.wh.a"))),
        odd(of("whiteout-that-is-a-dir", |t| dir(t, "dir/.wh.a/"))),
        odd(of("whiteout-that-is-a-fifo", |t| t.header(header(b'6', "dir/.wh.a")))),
        odd(of("whiteout-that-is-a-symlink", |t| {
            t.header(header(b'2', "dir/.wh.a").link_name(b"b"))
        })),
        odd(of("whiteout-of-a-whiteout", |t| empty(t, "dir/.wh..wh.a"))),
        of("whiteout-below-a-whiteout", |t| file(dir(t, "dir/.wh.a/"), "dir/.wh.a/x"))
            .plain("has the name of a whiteout")
            .without("dir/.wh.a", "mtime_ns"),
        of("whiteout-dir", |t| empty(t, "dir/.wh.sub")).whiteouts(),
        of("whiteout-opaque", |t| file(empty(t, "dir/.wh..wh..opq"), "dir/new")).whiteouts(),
        of("whiteout-opaque-and-the-same-file", |t| file(empty(t, "dir/.wh..wh..opq"), "dir/a"))
            .whiteouts(),
        of("whiteout-opaque-last", |t| empty(file(t, "dir/a"), "dir/.wh..wh..opq")).whiteouts(),
        of("whiteout-opaque-and-one-more", |t| {
            empty(file(empty(t, "dir/.wh..wh..opq"), "dir/new"), "dir/.wh.b")
        })
        .whiteouts(),
        of("whiteout-opaque-root", |t| empty(t, ".wh..wh..opq")).whiteouts(),
        of("whiteout-of-nothing", |t| empty(t, "dir/.wh.none")).whiteouts(),
        of("whiteout-and-a-new-file", |t| empty(file(t, "dir/new"), "dir/.wh.b")).whiteouts(),
        same(of("whiteout-then-a-file", |t| file(empty(t, "dir/.wh.a"), "dir/a"))),
        same(of("whiteout-then-an-empty-file", |t| empty(empty(t, "dir/.wh.a"), "dir/a"))),
        same(of("whiteout-then-a-symlink", |t| {
            empty(t, "dir/.wh.a").header(header(b'2', "dir/a").link_name(b"b"))
        })),
        same(of("whiteout-then-a-hardlink", |t| {
            empty(t, "dir/.wh.a").header(header(b'1', "dir/a").link_name(b"case"))
        })),
        same(of("whiteout-then-a-dir", |t| {
            file(dir(empty(t, "dir/.wh.sub"), "dir/sub/"), "dir/sub/new")
        })),
        same(of("whiteout-after-a-file", |t| empty(file(t, "dir/a"), "dir/.wh.a")))
            .refused("file exists"),
        same(of("whiteout-after-a-dir", |t| {
            empty(file(dir(t, "dir/sub/"), "dir/sub/new"), "dir/.wh.sub")
        }))
        .refused("file exists"),
        of("whiteout-below-a-symlink", |t| {
            empty(t.header(header(b'2', "link").link_name(b"dir")), "link/.wh.a")
        })
        .plain("below an entry that is not a directory"),
        Case::with("whiteout-link-pool-of-aufs", |t| dir(t, ".wh..wh.plnk/"))
            .plain("has the name of a whiteout"),
    ]
}

/// A layer that begins with its root.
fn root(name: &str, path: &str, change: fn(HeaderBlock) -> HeaderBlock) -> Case {
    let root = change(header(b'5', path).mode(0o755));
    let tar = TarBuilder::new().header(root).file(Dialect::Ustar, b"case", name.as_bytes());
    Case::of(name, &tar.end().finish())
}

/// An empty file.
fn empty(tar: TarBuilder, path: &str) -> TarBuilder {
    tar.file(Dialect::Ustar, path.as_bytes(), b"")
}
