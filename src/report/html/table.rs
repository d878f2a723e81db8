//! Tables. The script makes their columns sortable.

use super::escape::{Html, cut, shorten};
use crate::report::human::{count, size};

/// Rows of a table; at most about 1 KiB each.
const ROWS_MAX: usize = 300;
/// Characters of a text in a cell.
const CELL_MAX: usize = 160;
/// Characters of a digest.
const DIGEST: usize = "sha256:".len() + 12;

#[derive(Debug, Default)]
pub(crate) struct Table {
    /// Read to those who cannot see it.
    pub(crate) caption: &'static str,
    pub(crate) columns: Vec<Column>,
    pub(crate) rows: Vec<Vec<Value>>,
    /// What is not listed.
    pub(crate) rest: Option<String>,
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum Column {
    Text(&'static str),
    Number(&'static str),
}

#[derive(Debug)]
pub(crate) enum Value {
    Text(String),
    /// A path.
    Name(String),
    /// Shown in short, and as a whole in its title.
    Digest(String),
    Bytes(u64),
    Count(u64),
    None,
}

impl Table {
    pub(super) fn write(&self, html: &mut Html) {
        html.open(
            "div",
            &[
                ("class", &"scroll"),
                // Scrolls with the keyboard.
                ("tabindex", &0),
                ("role", &"region"),
                ("aria-label", &self.caption),
            ],
        );
        html.open("table", &[]);
        html.element("caption", &[], self.caption);
        html.raw("<thead><tr>");
        for column in &self.columns {
            let (class, name) = match column {
                Column::Text(name) => ("", name),
                Column::Number(name) => ("n", name),
            };
            html.element("th", &[("scope", &"col"), ("class", &class)], name);
        }
        html.raw("</tr></thead><tbody>");
        for row in self.rows.iter().take(ROWS_MAX) {
            html.raw("<tr>");
            for value in row {
                value.write(html);
            }
            html.raw("</tr>");
        }
        html.raw("</tbody>");
        let cut = self.rows.len().saturating_sub(ROWS_MAX) as u64;
        let cut = (cut > 0).then(|| format!("{} more rows", count(cut)));
        let rest: Vec<_> = cut.iter().chain(&self.rest).map(String::as_str).collect();
        if !rest.is_empty() {
            html.raw("<tfoot><tr>");
            html.element("td", &[("colspan", &self.columns.len())], rest.join("; "));
            html.raw("</tr></tfoot>");
        }
        html.close("table");
        html.close("div");
    }
}

impl Value {
    fn write(&self, html: &mut Html) {
        match self {
            Self::Text(text) => html.element("td", &[], shorten(text, CELL_MAX)),
            Self::Name(name) => html.element("td", &[("class", &"name")], shorten(name, CELL_MAX)),
            Self::Digest(digest) => {
                html.open("td", &[]);
                html.element("code", &[("title", digest)], cut(digest, DIGEST));
                html.close("td");
            }
            Self::Bytes(bytes) => {
                html.element("td", &[("class", &"n"), ("data-value", bytes)], size(*bytes));
            }
            Self::Count(number) => {
                html.element("td", &[("class", &"n"), ("data-value", number)], count(*number));
            }
            Self::None => html.element("td", &[("class", &"n"), ("data-value", &-1)], "–"),
        }
    }
}
