//! Names, paths, links and whiteouts.

use recompress_image::tar::testing::{Dialect, TarBuilder};

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
        files("name-through-parent", &["x/../file"]).plain("has \"..\" in its name"),
        files("name-with-trailing-slash", &["file/"]).plain("the name of a directory"),
        files("name-of-100-bytes", &[&exact]),
        files("name-of-255-bytes", &[&"n".repeat(255)]),
        files("name-of-256-bytes", &[&"n".repeat(256)]).refused("file name too long"),
        Case::with("name-mixed-absolute-and-relative", |t| file(dir(t, "/dir/"), "dir/file")),
        Case::with("name-100-bytes-no-nul", |t| t.file(Dialect::Ustar, exact.as_bytes(), b"x")),
        Case::with("name-empty", |t| t.sized(header(b'0', ""), b"x"))
            .plain("the name of a directory"),
        // A classic pull leaves the root as podman made it.
        Case::with("name-root", |t| dir(t, "./")).without(".", "mode"),
        Case::with("name-root-absolute", |t| dir(t, "/")),
        Case::with("name-root-bare-dot", |t| dir(t, ".")).without(".", "mode"),
        Case::with("name-root-late-and-twice", |t| dir(dir(t, "./"), "/")).plain("same path"),
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
        }),
        // Directories without an entry get the time of the pull.
        files("path-no-parent", &["dir/sub/file"])
            .plain("no entry for the directory")
            .without("dir", "mtime_ns")
            .without("dir/sub", "mtime_ns"),
        files("path-no-parent-over-a-base", &["dir/sub/new"])
            .base(dir(
                file(dir(dir(TarBuilder::new(), "dir/"), "dir/sub/"), "dir/sub/old"),
                "other/",
            ))
            .plain("no entry for the directory")
            .without("dir", "mtime_ns")
            .without("dir/sub", "mtime_ns"),
        Case::with("path-below-a-file", |t| file(t, "case/below")).refused("not a directory"),
        Case::with("path-through-a-symlink", |t| {
            let t = dir(t, "dir/").header(header(b'2', "link").link_name(b"dir"));
            file(t, "link/file")
        }),
        Case::with("path-through-a-symlink-out", |t| {
            let t = t.header(header(b'2', "link").link_name(b"/../../etc"));
            file(t, "link/file")
        })
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
            .plain("has \"..\" in its name")
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
        Case::with("hardlink-to-a-symlink", |t| hard(soft(t, "soft", "case"), "link", "soft")),
        Case::with("hardlink-to-a-fifo", |t| hard(t.header(header(b'6', "fifo")), "link", "fifo"))
            .plain("hard link to a device or FIFO"),
        Case::with("hardlink-before-its-target", |t| file(hard(t, "link", "later"), "later"))
            .refused("no such file or directory"),
        Case::with("hardlink-to-nothing", |t| hard(t, "link", "nothing"))
            .refused("no such file or directory"),
        Case::with("hardlink-to-a-dir", |t| hard(dir(t, "dir/"), "link", "dir"))
            .refused("operation not permitted"),
        Case::with("hardlink-out", |t| hard(t, "link", "../../etc/passwd"))
            .refused("no such file or directory"),
        Case::with("hardlink-into-the-base", |t| hard(t, "link", "below"))
            .base(file(TarBuilder::new(), "below"))
            .refused("no such file or directory"),
        Case::with("symlink-dangling", |t| soft(t, "link", "nowhere/at/all")),
        Case::with("symlink-absolute", |t| soft(t, "link", "/etc/passwd")),
        Case::with("symlink-to-itself", |t| soft(t, "link", "link")),
        Case::with("symlink-to-nothing", |t| soft(t, "link", "")).refused("no such file"),
        Case::with("symlink-out", |t| soft(t, "link", "../../../x")),
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
    let empty = |t: TarBuilder, path: &str| t.file(Dialect::Ustar, path.as_bytes(), b"");
    vec![
        Case::with("whiteout", |t| empty(dir(t, "dir/"), "dir/.wh.a")).base(base()),
        Case::with("whiteout-without-its-parent", |t| empty(t, "dir/.wh.a"))
            .base(base())
            .plain("no entry for the directory")
            .without("dir", "mtime_ns"),
        Case::with("whiteout-with-content", |t| file(dir(t, "dir/"), "dir/.wh.a"))
            .base(base())
            .plain("a whiteout with content"),
        Case::with("whiteout-dir", |t| empty(dir(t, "dir/"), "dir/.wh.sub")).base(base()),
        Case::with("whiteout-opaque", |t| {
            file(empty(dir(t, "dir/"), "dir/.wh..wh..opq"), "dir/new")
        })
        .base(base()),
        Case::with("whiteout-of-nothing", |t| empty(dir(t, "dir/"), "dir/.wh.none")).base(base()),
        Case::with("whiteout-and-a-new-file", |t| {
            empty(file(dir(t, "dir/"), "dir/a"), "dir/.wh.b")
        })
        .base(base()),
        Case::with("whiteout-link-pool-of-aufs", |t| dir(t, ".wh..wh.plnk/")).base(base()),
    ]
}
