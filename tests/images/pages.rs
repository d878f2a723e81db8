//! The HTML pages of `inspect` and `diff`, of images with names that try to break them.

use std::{collections::BTreeSet, path::Path};

use html5ever::{parse_document, tendril::TendrilSink as _};
use markup5ever_rcdom::{Handle, NodeData, RcDom};
use serde_json::Value;
use test_support::{
    archive::{Dialect, HeaderBlock, TarBuilder},
    layout::{Layout, gzip},
    media_type::OCI_LAYER_GZIP,
    program, work_dir,
};

const HOSTILE: [&str; 4] = [
    "x</script><script>alert(1)</script>",
    "\"onload=\"alert(1)",
    "a\u{202e}b\u{9b}c\nd",
    "&lt;img src=x>",
];

fn output(args: &[&str]) -> String {
    let output = program().args(args).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Converts an image with these files, and a layer with a name that is not UTF-8.
fn image(dir: &Path, files: &[(String, Vec<u8>)]) -> String {
    let mut directories = BTreeSet::new();
    for (name, _) in files {
        directories.extend(name.match_indices('/').map(|(at, _)| name[..=at].to_owned()));
    }
    let named = |tar: TarBuilder, name: &str| tar.pax(&[(b"path", name.as_bytes())]);
    let tar = directories.iter().fold(TarBuilder::new(), |tar, name| {
        named(tar, name).header(HeaderBlock::new(Dialect::Ustar, b'5', b"x/").mode(0o755))
    });
    let tar = files
        .iter()
        .fold(tar, |tar, (name, content)| named(tar, name).file(Dialect::Ustar, b"x", content));
    let name = b"caf\xe9/\xff<b>\x1b[2J";
    let invalid = TarBuilder::new().file(Dialect::Ustar, name, b"content");
    let tars = [tar, invalid].map(|tar| tar.end().finish());
    let blobs: Vec<_> = tars.iter().map(|tar| (OCI_LAYER_GZIP, gzip(tar))).collect();
    let mut layout = Layout::new(dir, &blobs, &tars);
    layout.finish();
    let converted = format!("oci:{}:out", dir.display());
    output(&["convert", &layout.reference(), &converted]);
    converted
}

/// Fails if the page is not what this program writes; returns its elements' attributes.
fn check(html: &str) -> Vec<(String, String)> {
    fn walk(node: &Handle, names: &mut Vec<String>, attributes: &mut Vec<(String, String)>) {
        if let NodeData::Element { name, attrs, .. } = &node.data {
            names.push(name.local.to_string());
            let attrs = attrs.borrow();
            let pairs = attrs.iter().map(|it| (it.name.local.to_string(), it.value.to_string()));
            attributes.extend(pairs);
        }
        for child in node.children.borrow().iter() {
            walk(child, names, attributes);
        }
    }
    let dom = parse_document(RcDom::default(), html5ever::ParseOpts::default()).one(html);
    assert_eq!(*dom.errors.borrow(), [""; 0], "{html}");
    let (mut names, mut attributes) = (Vec::new(), Vec::new());
    walk(&dom.document, &mut names, &mut attributes);
    assert_eq!(names.iter().filter(|name| *name == "script").count(), 1);
    for bad in ["img", "link", "base", "iframe", "form"] {
        assert!(!names.iter().any(|name| name == bad), "{bad}");
    }
    for (name, value) in &attributes {
        assert!(!name.starts_with("on") && name != "style" && name != "src", "{name}={value}");
    }
    assert!(!html.contains(|c: char| c.is_control() && c != '\n'), "control characters");
    assert!(!html.contains('\u{202e}'), "bidi override");
    assert!(html.len() < 1 << 20, "{} bytes", html.len());
    attributes
}

#[test]
fn pages_of_hostile_images_are_inert_and_have_the_numbers_of_the_json() {
    let dir = work_dir();
    let random = |seed| {
        let mut random = fastrand::Rng::with_seed(seed);
        std::iter::repeat_with(|| random.u8(..)).take(60_000).collect()
    };
    let names = HOSTILE.iter().flat_map(|name| [format!("{name}/f"), format!("dir/{name}")]);
    let mut files: Vec<(String, Vec<u8>)> =
        (0..).zip(names).map(|(n, name)| (name, random(n))).collect();
    files.push((["long"; 3].join("/") + &format!("/{}", "n".repeat(200)).repeat(15), random(100)));
    let old = image(&dir.path().join("old"), &files);
    for (_, content) in &mut files[..3] {
        content.push(b'!');
    }
    files.push(("new/file".to_owned(), random(200)));
    let new = image(&dir.path().join("new"), &files);

    let inspect: Value =
        serde_json::from_str(&output(&["inspect", &new, "--output=json"])).unwrap();
    assert_eq!(inspect["layers"][0]["format"], "zstd:chunked");
    let page = output(&["inspect", &new, "--output=html"]);
    let attributes = check(&page);
    for layer in inspect["layers"].as_array().unwrap() {
        let size = ("data-value".to_owned(), layer["size"].to_string());
        assert!(attributes.contains(&size), "{size:?}");
    }
    assert!(page.contains("a\\u{202e}b\\u{9b}c\\nd"));
    assert!(page.contains("1 layer has no TOC; add --download to show its content."));
    let page = output(&["inspect", &new, "--download", "--output=html"]);
    check(&page);
    assert!(!page.contains("add --download") && page.contains("caf\u{fffd}"));

    let diff: Value =
        serde_json::from_str(&output(&["diff", &old, &new, "--output=json"])).unwrap();
    let clients = &diff["images"][0]["clients"];
    let attributes = check(&output(&["diff", &old, &new, "--output=html"]));
    for number in ["total", "ranges", "metadata"] {
        let number = ("data-value".to_owned(), clients["files"][number].to_string());
        assert!(attributes.contains(&number), "{number:?}");
    }
    // Nothing to fetch but documents.
    check(&output(&["diff", &new, &new, "--output=html"]));
    // Only whole layers.
    let [old, new] =
        ["old", "new"].map(|name| format!("oci:{}:in", dir.path().join(name).display()));
    check(&output(&["diff", &old, &new, "--output=html"]));
    check(&output(&["inspect", &new, "--output=html"]));
}
