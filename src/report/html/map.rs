//! A map of a tree as SVG: one picture for each directory that can be zoomed into. CSS shows the one
//! that the address names, so zooming needs no script.

use std::{collections::BTreeMap, ptr};

use super::{
    Tone,
    escape::{Html, cut, shorten},
    layout::{Cell, HEADER, WIDTH, cells},
    legend,
    tree::Node,
    treemap::Rect,
};
use crate::report::human::{percent, size};

/// Pictures, and the cells in all of them, of about 350 bytes each; 2.6 KiB with the longest names.
const VIEWS_MAX: usize = 40;
const CELLS_MAX: usize = 1200;
/// Directories with a smaller part of everything cannot be zoomed into.
const VIEW_PART: u64 = 200;
/// Classes of labels, and the narrowest map in pixels for which the stylesheet shows them.
const LABELS: [(&str, f64); 3] = [("s", 330.0), ("m", 640.0), ("l", 1000.0)];
/// Width of a character of a label in pixels.
const CHARACTER: f64 = 6.7;
/// Characters of a name, and of one in a label.
const NAME_MAX: usize = 100;
const LABEL_MAX: usize = 40;
/// Directories above that a picture names.
const ABOVE_MAX: usize = 6;

#[derive(Debug)]
pub(crate) struct Map {
    pub(crate) root: Node,
    /// What is shown, as a sentence.
    pub(crate) caption: String,
    pub(crate) legend: Vec<(Tone, &'static str)>,
}

impl Map {
    /// Whether there is more than one part to compare.
    pub(crate) fn has_parts(&self) -> bool {
        self.root.children.len() > 1
            || self.root.children.iter().any(|only| !only.children.is_empty())
    }
}

/// A picture that can be shown.
struct View<'a> {
    node: &'a Node,
    /// The directories above, the highest first.
    above: Vec<&'a Node>,
    cells: Vec<Cell<'a>>,
}

/// The number of the picture of each node that has one.
type Numbers = BTreeMap<*const Node, usize>;

impl Map {
    pub(super) fn write(&self, html: &mut Html) {
        let views = views(&self.root);
        let numbers: Numbers = views
            .iter()
            .enumerate()
            .map(|(number, view)| (ptr::from_ref(view.node), number))
            .collect();
        html.element("p", &[], &self.caption);
        html.open("div", &[("class", &"map")]);
        // The whole comes last: the stylesheet hides it if one before it is shown.
        for (number, view) in views.iter().enumerate().rev() {
            view.write(html, number, &numbers);
        }
        let hint = if views.len() > 1 { "Select a directory to enlarge it." } else { "" };
        html.element("p", &[("class", &"now"), ("aria-hidden", &"true")], hint);
        if !self.legend.is_empty() {
            legend(html, &self.legend);
        }
        html.close("div");
    }
}

/// The largest directories that fit, those above a directory before it.
fn views(root: &Node) -> Vec<View<'_>> {
    fn collect<'a>(node: &'a Node, above: &[&'a Node], least: u64, all: &mut Vec<View<'a>>) {
        if node.children.is_empty() || node.bytes < least {
            return;
        }
        all.push(View { node, above: above.to_vec(), cells: Vec::new() });
        let above: Vec<_> = above.iter().copied().chain([node]).collect();
        for child in &node.children {
            collect(child, &above, least, all);
        }
    }
    let mut all = Vec::new();
    collect(root, &[], (root.bytes / VIEW_PART).max(1), &mut all);
    all.sort_by_key(|view| (std::cmp::Reverse(view.node.bytes), view.above.len()));
    all.truncate(VIEWS_MAX);
    let mut total = 0;
    for view in &mut all {
        view.cells = cells(view.node);
        total += view.cells.len();
        if total > CELLS_MAX {
            view.cells.clear();
        }
    }
    let fitting = all.iter().take_while(|view| !view.cells.is_empty()).count();
    all.truncate(fitting);
    all
}

impl View<'_> {
    fn write(&self, html: &mut Html, number: usize, numbers: &Numbers) {
        let class = if number == 0 { "view root" } else { "view" };
        html.open("div", &[("class", &class), ("id", &format_args!("map-{number}"))]);
        html.open("p", &[("class", &"crumbs")]);
        let skipped = self.above.len().saturating_sub(ABOVE_MAX);
        for above in self.above.iter().take(1).chain(self.above.iter().skip(1 + skipped)) {
            let name = shorten(&above.name, NAME_MAX / 2);
            match numbers.get(&ptr::from_ref(*above)) {
                Some(number) => {
                    html.element("a", &[("href", &format_args!("#map-{number}"))], name);
                }
                None => html.element("span", &[], name),
            }
            html.raw(" <i>/</i> ");
        }
        let (name, bytes) = (shorten(&self.node.name, NAME_MAX), size(self.node.bytes));
        html.element("b", &[], &name);
        html.element("span", &[("class", &"size")], &bytes);
        html.close("p");
        html.open("svg", &[("role", &"group"), ("aria-label", &format_args!("{name}: {bytes}"))]);
        for cell in &self.cells {
            let link = cell.node.and_then(|node| numbers.get(&ptr::from_ref(node))).copied();
            cell.write(html, link, self.node.bytes);
        }
        html.close("svg");
        html.close("div");
    }
}

impl Cell<'_> {
    fn write(&self, html: &mut Html, link: Option<usize>, whole: u64) {
        let class = if self.group { "c group" } else { "c" };
        match link {
            Some(number) => {
                html.open("a", &[("class", &class), ("href", &format_args!("#map-{number}"))]);
            }
            // The keyboard can reach it, for its title.
            None => html.open("g", &[("class", &class), ("tabindex", &0), ("role", &"img")]),
        }
        let (bytes, share) = (size(self.bytes), percent(self.bytes, whole));
        let path = shorten(&self.path, NAME_MAX);
        html.element("title", &[], format_args!("{path}: {bytes}, {share}"));
        let Rect { x, y, width, height } = self.rect;
        let share = |part: f64| format!("{:.3}%", part * 100.0 / WIDTH);
        html.open(
            "svg",
            &[
                ("x", &share(x)),
                ("y", &format_args!("{y:.1}")),
                ("width", &share(width)),
                ("height", &format_args!("{height:.1}")),
            ],
        );
        let class = if self.group { "g" } else { self.tone.class() };
        html.open("rect", &[("class", &class), ("width", &"100%"), ("height", &"100%")]);
        html.close("rect");
        self.labels(html);
        html.close("svg");
        html.close(if link.is_some() { "a" } else { "g" });
    }

    /// Its name and size, as far as there is room for them on pages of different widths.
    fn labels(&self, html: &mut Html) {
        let bytes = size(self.bytes);
        let (mut names, mut sizes) = (Vec::new(), Vec::new());
        for (class, map_width) in LABELS {
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
            let room = ((self.rect.width / WIDTH * map_width - 9.0) / CHARACTER).max(0.0) as usize;
            let len = self.name.chars().count();
            if self.rect.height < HEADER - 2.0 || room < len.min(6) {
                continue;
            }
            let beside = self.group && len <= LABEL_MAX && room >= len + bytes.len() + 2;
            let name = if beside {
                format!("{}  {bytes}", self.name)
            } else {
                cut(&self.name, room.min(LABEL_MAX))
            };
            add(&mut names, name, class);
            if !self.group && self.rect.height >= 2.0 * HEADER - 4.0 && room >= bytes.len() {
                add(&mut sizes, bytes.clone(), class);
            }
        }
        for (y, labels) in [(15, names), (30, sizes)] {
            for (label, classes) in labels {
                html.element("text", &[("class", &classes), ("x", &5), ("y", &y)], label);
            }
        }
    }
}

fn add(labels: &mut Vec<(String, String)>, label: String, class: &str) {
    match labels.last_mut() {
        Some((last, classes)) if *last == label => *classes += &format!(" {class}"),
        _ => labels.push((label, class.to_owned())),
    }
}
