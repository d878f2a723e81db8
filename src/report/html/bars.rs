//! Horizontal bars with a common scale.

use super::{PARTS_MAX, Tone, escape::Html, legend, more};
use crate::report::human::size;

#[derive(Debug)]
pub(crate) struct Bars {
    pub(crate) rows: Vec<Bar>,
    pub(crate) legend: Vec<(Tone, &'static str)>,
}

#[derive(Debug)]
pub(crate) struct Bar {
    pub(crate) label: String,
    /// Bytes from the left.
    pub(crate) parts: Vec<(Tone, u64)>,
    /// What the bar says, in words.
    pub(crate) value: String,
    pub(crate) detail: String,
}

impl Bar {
    fn total(&self) -> u64 {
        self.parts.iter().fold(0, |sum: u64, (_, bytes)| sum.saturating_add(*bytes))
    }
}

impl Bars {
    pub(super) fn write(&self, html: &mut Html) {
        let scale = self.rows.iter().map(Bar::total).max().unwrap_or_default().max(1);
        html.open("div", &[("class", &"bars")]);
        for Bar { label, parts, value, detail } in self.rows.iter().take(PARTS_MAX) {
            html.open("div", &[]);
            html.open("p", &[]);
            html.element("span", &[], label);
            html.element("b", &[], value);
            html.element("small", &[], detail);
            html.close("p");
            // The words beside it say the same.
            html.open("svg", &[("aria-hidden", &"true")]);
            let mut at = 0_u64;
            for (tone, bytes) in parts {
                html.open(
                    "rect",
                    &[
                        ("class", &tone.class()),
                        ("x", &share(at, scale)),
                        ("width", &share(*bytes, scale)),
                        ("height", &"100%"),
                    ],
                );
                html.element("title", &[], size(*bytes));
                html.close("rect");
                at = at.saturating_add(*bytes);
            }
            html.close("svg");
            html.close("div");
        }
        if let Some(more) = more(self.rows.len()) {
            html.element("p", &[], more);
        }
        html.close("div");
        legend(html, &self.legend);
    }
}

#[expect(clippy::cast_precision_loss)]
fn share(part: u64, whole: u64) -> String {
    format!("{:.3}%", part as f64 * 100.0 / whole as f64)
}
