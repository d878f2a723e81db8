//! What a picture of a directory shows: its content, and within large directories theirs.

use super::{
    Tone,
    tree::Node,
    treemap::{Rect, squarify},
};
use crate::report::human::count;

/// Horizontal lengths are parts of `WIDTH`, because pages differ in width; vertical ones are pixels.
pub(super) const WIDTH: f64 = 840.0;
const HEIGHT: f64 = 560.0;
/// Height of a group's name.
pub(super) const HEADER: f64 = 20.0;
/// Cells with a smaller part of the picture are summed.
const CELL_SHARE: f64 = 1.0 / 300.0;
/// Directories with at least this part of it become groups.
const GROUP_SHARE: f64 = 1.0 / 40.0;
const GROUPS_DEEP: usize = 5;
/// Cells that are shown even if they are small.
const CELLS_MIN: usize = 8;

/// A directory, a file, or the sum of small ones.
#[derive(Debug)]
pub(super) struct Cell<'a> {
    pub(super) node: Option<&'a Node>,
    pub(super) name: String,
    /// From below the directory of the picture.
    pub(super) path: String,
    pub(super) bytes: u64,
    pub(super) tone: Tone,
    /// What is in it is shown, too.
    pub(super) group: bool,
    pub(super) rect: Rect,
}

pub(super) fn cells(node: &Node) -> Vec<Cell<'_>> {
    let mut cells = Vec::new();
    let space = Rect { x: 0.0, y: 0.0, width: WIDTH, height: HEIGHT };
    fill(node, "", space, 0, &mut cells);
    cells
}

fn fill<'a>(parent: &'a Node, path: &str, space: Rect, depth: usize, cells: &mut Vec<Cell<'a>>) {
    let scale = space.area() / bytes(parent.bytes.max(1));
    let enough = |node: &&Node| bytes(node.bytes) * scale >= WIDTH * HEIGHT * CELL_SHARE;
    let large = parent.children.iter().take_while(enough).count();
    let (shown, rest) =
        match parent.children.split_at(large.max(CELLS_MIN).min(parent.children.len())) {
            (_, [_]) => (parent.children.as_slice(), [].as_slice()),
            parts => parts,
        };
    let mut weights: Vec<_> = shown.iter().map(|node| bytes(node.bytes)).collect();
    let rest_bytes = rest.iter().fold(0, |sum: u64, node| sum.saturating_add(node.bytes));
    weights.extend((!rest.is_empty()).then_some(bytes(rest_bytes)));
    let mut rects = squarify(&weights, space).into_iter();
    for (node, rect) in shown.iter().zip(rects.by_ref()) {
        let path =
            if path.is_empty() { node.name.clone() } else { format!("{path}/{}", node.name) };
        let group = !node.children.is_empty()
            && depth < GROUPS_DEEP
            && rect.area() >= WIDTH * HEIGHT * GROUP_SHARE
            && rect.width.min(rect.height) > 3.0 * HEADER;
        let (name, bytes, tone) = (node.name.clone(), node.bytes, node.tone);
        let node_path = path.clone();
        cells.push(Cell { node: Some(node), name, path: node_path, bytes, tone, group, rect });
        if group {
            fill(node, &path, rect.inset([3.0, HEADER, 3.0, 3.0]), depth + 1, cells);
        }
    }
    if let Some(rect) = rects.next() {
        let name = format!("{} more", count(rest.len() as u64));
        let path = if path.is_empty() { name.clone() } else { format!("{path}: {name}") };
        let tone = Tone::Rest;
        cells.push(Cell { node: None, name, path, bytes: rest_bytes, tone, group: false, rect });
    }
}

/// For lengths of drawings.
#[expect(clippy::cast_precision_loss)]
fn bytes(bytes: u64) -> f64 {
    bytes as f64
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn node() -> impl Strategy<Value = Node> {
        let leaf = (1_u64..1 << 30).prop_map(|bytes| Node {
            name: "f".to_owned(),
            bytes,
            ..Node::default()
        });
        leaf.prop_recursive(5, 600, 12, |inner| {
            prop::collection::vec(inner, 1..12).prop_map(|children| Node::of("d", children))
        })
    }

    fn within(inner: Rect, outer: Rect) -> bool {
        let slack = 1e-6;
        inner.x >= outer.x - slack
            && inner.y >= outer.y - slack
            && inner.x + inner.width <= outer.x + outer.width + slack
            && inner.y + inner.height <= outer.y + outer.height + slack
    }

    proptest! {
        #[test]
        fn cells_lie_in_the_picture_and_only_in_groups(root in node()) {
            let space = Rect { x: 0.0, y: 0.0, width: WIDTH, height: HEIGHT };
            let cells = cells(&root);
            for (index, cell) in cells.iter().enumerate() {
                prop_assert!(within(cell.rect, space));
                for other in &cells[..index] {
                    let apart = cell.rect.x + 1e-6 >= other.rect.x + other.rect.width
                        || other.rect.x + 1e-6 >= cell.rect.x + cell.rect.width
                        || cell.rect.y + 1e-6 >= other.rect.y + other.rect.height
                        || other.rect.y + 1e-6 >= cell.rect.y + cell.rect.height;
                    prop_assert!(apart || (other.group && within(cell.rect, other.rect)));
                }
            }
        }
    }

    #[test]
    fn small_ones_are_summed() {
        let children = (0..100_000).map(|_| Node { bytes: 7, ..Node::default() }).collect();
        let root = Node::of("", children);
        let cells = cells(&root);
        assert_eq!(cells.len(), CELLS_MIN + 1);
        assert_eq!(cells.iter().map(|cell| cell.bytes).sum::<u64>(), root.bytes);
        assert_eq!(cells[CELLS_MIN].name, "99,992 more");
    }
}
