//! A report as one HTML file that needs nothing else. It has at most 6 MiB, whatever an image
//! contains, and less than 1 MiB for an ordinary one: texts, tables and pictures are bounded.

mod bars;
mod escape;
mod layout;
mod map;
mod table;
mod tree;
mod treemap;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use sha2::{Digest as _, Sha256};

use self::escape::Html;
pub(crate) use self::{
    bars::{Bar, Bars},
    map::Map,
    table::{Column, Table, Value},
    tree::{Node, Weight},
};
use super::human::count;

const STYLE: &str = include_str!("html/page.css");
const SCRIPT: &str = include_str!("html/page.js");

/// Facts of a page, and bars and notes in a section, of at most 10 KiB each; others are counted.
const PARTS_MAX: usize = 100;

/// A page.
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) title: String,
    /// A sentence for readers who do not know the tool.
    pub(crate) lead: Option<String>,
    /// What is reported on: terms, and names of images and digests.
    pub(crate) facts: Vec<(&'static str, Vec<String>)>,
    pub(crate) sections: Vec<Section>,
}

#[derive(Debug)]
pub(crate) struct Section {
    /// None for what is first.
    pub(crate) heading: Option<String>,
    pub(crate) content: Content,
}

#[derive(Debug)]
pub(crate) enum Content {
    Figures(Vec<Figure>),
    Bars(Bars),
    /// At most one of a page.
    Map(Map),
    Table(Table),
    Notes(Vec<String>),
}

/// A headline figure.
#[derive(Debug)]
pub(crate) struct Figure {
    pub(crate) label: &'static str,
    pub(crate) value: String,
    pub(crate) detail: String,
}

/// What a color means.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Tone {
    #[default]
    Plain,
    /// What matters most.
    Strong,
    /// What is there already, or summed.
    Rest,
}

impl Tone {
    fn class(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Strong => "strong",
            Self::Rest => "rest",
        }
    }
}

/// What is said instead of the parts that a section has no room for.
fn more(parts: usize) -> Option<String> {
    let left = parts.saturating_sub(PARTS_MAX) as u64;
    (left > 0).then(|| format!("{} more", count(left)))
}

/// The tones of a picture and what they mean.
fn legend(html: &mut Html, tones: &[(Tone, &'static str)]) {
    html.open("p", &[("class", &"legend")]);
    for (tone, meaning) in tones {
        html.raw("<span><svg aria-hidden=\"true\">");
        html.open("rect", &[("class", &tone.class()), ("width", &"100%"), ("height", &"100%")]);
        html.raw("</rect></svg>");
        html.text(meaning);
        html.close("span");
    }
    html.close("p");
}

impl Page {
    pub(crate) fn render(&self) -> String {
        let mut html = Html::default();
        html.raw("<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n");
        html.open("meta", &[("http-equiv", &"Content-Security-Policy"), ("content", &policy())]);
        html.raw("\n<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n");
        html.raw("<meta name=\"color-scheme\" content=\"light dark\">\n");
        html.raw("<meta name=\"referrer\" content=\"no-referrer\">\n");
        html.element("title", &[], &self.title);
        html.raw("\n<style>");
        html.raw(STYLE);
        html.raw("</style>\n</head>\n<body>\n<header>\n");
        html.element("h1", &[], &self.title);
        if let Some(lead) = &self.lead {
            html.raw("\n");
            html.element("p", &[], lead);
        }
        html.raw("\n<dl>");
        for (term, facts) in self.facts.iter().take(PARTS_MAX) {
            html.element("dt", &[], term);
            for fact in facts {
                html.element("dd", &[], fact);
            }
        }
        html.raw("</dl>\n</header>\n<main>\n");
        for section in &self.sections {
            section.write(&mut html);
        }
        html.raw("</main>\n<footer>");
        html.text(concat!("recompress-image ", env!("CARGO_PKG_VERSION")));
        html.raw("</footer>\n<script>");
        html.raw(SCRIPT);
        html.raw("</script>\n</body>\n</html>\n");
        html.finish()
    }
}

impl Section {
    fn write(&self, html: &mut Html) {
        html.raw("<section>\n");
        if let Some(heading) = &self.heading {
            html.element("h2", &[], heading);
        }
        match &self.content {
            Content::Figures(figures) => {
                html.raw("<dl class=\"figures\">");
                for Figure { label, value, detail } in figures {
                    html.raw("<div>");
                    html.element("dt", &[], label);
                    html.element("dd", &[], value);
                    html.element("dd", &[("class", &"detail")], detail);
                    html.raw("</div>");
                }
                html.raw("</dl>");
            }
            Content::Bars(bars) => bars.write(html),
            Content::Map(map) => map.write(html),
            Content::Table(table) => table.write(html),
            Content::Notes(notes) => {
                html.raw("<ul>");
                for note in notes.iter().take(PARTS_MAX) {
                    html.element("li", &[], note);
                }
                if let Some(more) = more(notes.len()) {
                    html.element("li", &[], more);
                }
                html.raw("</ul>");
            }
        }
        html.raw("\n</section>\n");
    }
}

/// Allows only the style and the script of the page.
fn policy() -> String {
    let hash = |text: &str| BASE64_STANDARD.encode(Sha256::digest(text));
    format!(
        "default-src 'none'; style-src 'sha256-{}'; script-src 'sha256-{}'; base-uri 'none'; \
         form-action 'none'",
        hash(STYLE),
        hash(SCRIPT),
    )
}

#[cfg(test)]
mod tests;
