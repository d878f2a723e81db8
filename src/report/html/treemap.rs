//! Squarified treemaps: rectangles with areas in proportion to weights, as square as possible
//! (Bruls, Huizing and van Wijk, 2000).

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Rect {
    pub(super) x: f64,
    pub(super) y: f64,
    pub(super) width: f64,
    pub(super) height: f64,
}

impl Rect {
    pub(super) fn area(self) -> f64 {
        self.width * self.height
    }

    /// Without `left`, `top`, `right` and `bottom`.
    pub(super) fn inset(self, [left, top, right, bottom]: [f64; 4]) -> Self {
        Self {
            x: self.x + left,
            y: self.y + top,
            width: (self.width - left - right).max(0.0),
            height: (self.height - top - bottom).max(0.0),
        }
    }
}

/// Divides `space` by weights, of which none is negative. Best with the largest first.
pub(super) fn squarify(weights: &[f64], mut space: Rect) -> Vec<Rect> {
    let mut rects = Vec::with_capacity(weights.len());
    let mut left: f64 = weights.iter().sum();
    let mut rest = weights;
    while let [first, ..] = rest {
        let scale = if left > 0.0 { space.area() / left } else { 0.0 };
        let side = space.width.min(space.height);
        let (mut count, mut sum) = (1, *first);
        while let Some(next) = rest.get(count) {
            let worst = |sum: f64, least: f64| {
                let strip = sum * scale;
                let squared = side * side;
                (squared * first * scale / (strip * strip))
                    .max(strip * strip / (squared * least * scale))
            };
            if worst(sum + next, *next) > worst(sum, rest[count - 1]) {
                break;
            }
            sum += next;
            count += 1;
        }
        space = strip(&rest[..count], sum, sum / left.max(sum), space, &mut rects);
        rest = &rest[count..];
        left -= sum;
    }
    rects
}

/// Lays weights along the shorter side, over a share of the space; returns the rest of it.
fn strip(weights: &[f64], sum: f64, share: f64, space: Rect, rects: &mut Vec<Rect>) -> Rect {
    let share = if share.is_finite() { share.min(1.0) } else { 0.0 };
    let part = |weight: f64| if sum > 0.0 { weight / sum } else { 0.0 };
    let mut at = 0.0;
    if space.width >= space.height {
        let width = space.width * share;
        for weight in weights {
            let height = space.height * part(*weight);
            rects.push(Rect { x: space.x, y: space.y + at, width, height });
            at += height;
        }
        Rect { x: space.x + width, width: space.width - width, ..space }
    } else {
        let height = space.height * share;
        for weight in weights {
            let width = space.width * part(*weight);
            rects.push(Rect { x: space.x + at, y: space.y, width, height });
            at += width;
        }
        Rect { y: space.y + height, height: space.height - height, ..space }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SPACE: Rect = Rect { x: 3.0, y: 5.0, width: 800.0, height: 500.0 };

    proptest! {
        #[test]
        fn areas_are_proportional_and_do_not_overlap(
            mut weights in prop::collection::vec(0_u64..1 << 40, 1..60),
        ) {
            weights.sort_unstable_by(|a, b| b.cmp(a));
            #[expect(clippy::cast_precision_loss)]
            let weights: Vec<_> = weights.into_iter().map(|weight| weight as f64).collect();
            let total: f64 = weights.iter().sum();
            let rects = squarify(&weights, SPACE);
            prop_assert_eq!(rects.len(), weights.len());
            let slack = 1e-6;
            for (index, (rect, weight)) in rects.iter().zip(&weights).enumerate() {
                let expected = if total > 0.0 { SPACE.area() * weight / total } else { 0.0 };
                prop_assert!((rect.area() - expected).abs() < SPACE.area() * slack);
                prop_assert!(rect.x >= SPACE.x - slack && rect.y >= SPACE.y - slack);
                prop_assert!(rect.x + rect.width <= SPACE.x + SPACE.width + slack);
                prop_assert!(rect.y + rect.height <= SPACE.y + SPACE.height + slack);
                for other in &rects[..index] {
                    let apart = rect.x + slack >= other.x + other.width
                        || other.x + slack >= rect.x + rect.width
                        || rect.y + slack >= other.y + other.height
                        || other.y + slack >= rect.y + rect.height;
                    prop_assert!(apart, "{:?} and {:?}", rect, other);
                }
            }
        }
    }

    #[test]
    fn equal_weights_become_squares() {
        let space = Rect { x: 0.0, y: 0.0, width: 400.0, height: 400.0 };
        for rect in squarify(&[1.0; 16], space) {
            assert!((rect.width - 100.0).abs() < 1e-9 && (rect.height - 100.0).abs() < 1e-9);
        }
    }
}
