#![allow(clippy::unwrap_used)]
use std::collections::BTreeMap;

use html5ever::{parse_document, tendril::TendrilSink as _};
use markup5ever_rcdom::{Handle, NodeData, RcDom};
use proptest::prelude::*;

use super::*;

/// What a browser sees.
#[derive(Debug, Default)]
struct Seen {
    /// How many of each element.
    elements: BTreeMap<String, usize>,
    /// Names and values.
    attributes: Vec<(String, String)>,
    text: String,
    errors: Vec<String>,
}

fn see(html: &str) -> Seen {
    fn walk(node: &Handle, seen: &mut Seen) {
        match &node.data {
            NodeData::Element { name, attrs, .. } => {
                *seen.elements.entry(name.local.to_string()).or_default() += 1;
                for attribute in attrs.borrow().iter() {
                    seen.attributes
                        .push((attribute.name.local.to_string(), attribute.value.to_string()));
                }
            }
            NodeData::Text { contents } => seen.text.push_str(&contents.borrow()),
            NodeData::Comment { .. } => seen.errors.push("a comment".to_owned()),
            _ => {}
        }
        for child in node.children.borrow().iter() {
            walk(child, seen);
        }
    }
    let dom = parse_document(RcDom::default(), html5ever::ParseOpts::default()).one(html);
    let mut seen = Seen::default();
    seen.errors.extend(dom.errors.borrow().iter().map(ToString::to_string));
    walk(&dom.document, &mut seen);
    seen
}

/// A page with a text wherever one can be.
fn page(text: &str) -> Page {
    let all = || text.to_owned();
    let weights = |count: u64| {
        let path = move |n| if n == 0 { text.to_owned() } else { format!("{text}/{n}") };
        (0..count).map(move |n| Weight { path: path(n), bytes: 1000 + n, tone: Tone::Plain })
    };
    let row = || {
        vec![
            Value::Text(all()),
            Value::Name(all()),
            Value::Digest(all()),
            Value::Bytes(7),
            Value::Count(1),
            Value::None,
        ]
    };
    let legend = vec![(Tone::Plain, "plain"), (Tone::Rest, "the rest")];
    let contents = [
        Content::Figures(vec![Figure { label: "label", value: all(), detail: all() }]),
        Content::Bars(Bars {
            rows: vec![Bar {
                label: all(),
                parts: vec![(Tone::Strong, 3), (Tone::Rest, u64::MAX)],
                value: all(),
                detail: all(),
            }],
            legend: legend.clone(),
        }),
        Content::Map(Map {
            root: Node::of(
                text,
                vec![
                    Node::tree(text, weights(20), weights(5)),
                    Node::tree("other", weights(3), []),
                ],
            ),
            caption: all(),
            legend,
        }),
        Content::Table(Table {
            caption: "caption",
            columns: vec![
                Column::Text("text"),
                Column::Text("name"),
                Column::Text("digest"),
                Column::Number("bytes"),
                Column::Number("count"),
                Column::Number("none"),
            ],
            rows: vec![row(), row()],
            rest: Some(all()),
        }),
        Content::Notes(vec![all()]),
    ];
    let sections =
        contents.into_iter().map(|content| Section { heading: Some(all()), content }).collect();
    Page { title: all(), lead: Some(all()), facts: vec![("term", vec![all(), all()])], sections }
}

fn check_inert(text: &str) {
    let html = page(text).render();
    let seen = see(&html);
    assert_eq!(seen.errors, [""; 0], "{text:?}");
    let count = |element: &str| seen.elements.get(element).copied().unwrap_or_default();
    for (element, expected) in [
        ("script", 1),
        ("style", 1),
        ("meta", 5),
        ("section", 5),
        ("tr", 4),
        ("td", 13),
        ("li", 1),
        ("img", 0),
        ("link", 0),
    ] {
        assert_eq!(count(element), expected, "{element} with {text:?}");
    }
    for (name, value) in &seen.attributes {
        assert!(!name.starts_with("on") && name != "style" && name != "src", "{name}={value:?}");
        assert!(name != "href" || value.starts_with("#map-"), "{name}={value:?}");
    }
    let visible = |text: &str| {
        text.chars().all(|c| c == '\n' || c.is_alphanumeric() || c.escape_debug().len() <= 2)
    };
    assert!(visible(&seen.text), "{text:?}");
}

#[test]
fn hostile_text_is_inert() {
    for text in [
        "",
        "</script><script>alert(1)</script>",
        "</title><img src=x onerror=alert(1)>",
        "\" onmouseover=\"alert(1)\" '",
        "</style>&lt;&#60;&notit;<!-- ]]> --!>",
        "</svg></table></section><base href=//x>",
        "a\u{202e}b\u{2067}c\u{0}\u{7f}\u{9b}\u{feff}\u{fffd}\r\n\t\u{2028}",
        "../../././//",
        "{{7*7}} ${7*7} \\u{202e}",
        &"<&\"'>".repeat(800),
        &"\u{e0001}".repeat(4000),
        &"a/".repeat(2000),
    ] {
        check_inert(text);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn any_text_is_inert(text in r#"([<>&"'/!\-=\[\]a-z\x00-\x1f\u{202e}]|script|svg|title|.){0,60}"#) {
        check_inert(&text);
    }
}

#[test]
fn only_the_style_and_script_of_the_page_are_allowed() {
    let html = page("x").render();
    let policy = &see(&html).attributes;
    let policy = &policy.iter().find(|(_, value)| value.starts_with("default-src")).unwrap().1;
    assert!(policy.starts_with("default-src 'none'; ") && !policy.contains("unsafe"), "{policy}");
    for (tag, directive) in [("style", "style-src"), ("script", "script-src")] {
        let content = html.split(&format!("<{tag}>")).nth(1).unwrap();
        let content = content.split(&format!("</{tag}>")).next().unwrap();
        let hash = BASE64_STANDARD.encode(Sha256::digest(content));
        assert!(policy.contains(&format!("{directive} 'sha256-{hash}'")), "{policy}");
        assert!(!content.contains("http") && !content.contains("url("), "{tag}");
    }
}

#[test]
fn the_largest_page_is_bounded() {
    let name = |n: u64| format!("{n}{}", "\u{10ffff}".repeat(1100));
    let weights = |from: u64| {
        let path = move |n| format!("{}/{}/{}", name(n % 7), name(n % 61), name(n));
        (from..from + 500).map(move |n| Weight { path: path(n), bytes: 1 << 20, tone: Tone::Plain })
    };
    let roots = (0..20).map(|layer| Node::tree(name(layer), weights(layer), weights(0))).collect();
    let rows = (0..5000).map(|n| vec![Value::Name(name(n)), Value::Bytes(n)]).collect();
    let table = Table {
        columns: vec![Column::Text("name"), Column::Number("size")],
        rows,
        ..Table::default()
    };
    let map = Map { root: Node::of("image", roots), caption: String::new(), legend: Vec::new() };
    let sections =
        [Content::Map(map), Content::Table(table), Content::Notes((0..5000).map(name).collect())];
    let sections = sections.map(|content| Section { heading: None, content }).into();
    let html = Page { title: name(0), lead: None, facts: Vec::new(), sections }.render();
    assert_eq!(see(&html).errors, [""; 0]);
    assert!(html.len() < 6 << 20, "{} bytes", html.len());
}
