//! What goes to standard output.

use std::{fmt::Display, io::Write as _};

use clap::ValueEnum;
use serde::Serialize;

use crate::report::html::Page;

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum OutputFormat {
    /// Human-readable text
    Text,
    /// One JSON document
    Json,
}

/// Of reports that can be looked at in a browser.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum PageFormat {
    /// Human-readable text
    Text,
    /// One JSON document
    Json,
    /// One HTML file that loads nothing else
    Html,
}

pub(super) fn print(
    format: OutputFormat,
    text: &impl Display,
    report: &impl Serialize,
) -> std::io::Result<()> {
    let mut stdout = std::io::stdout().lock();
    match format {
        OutputFormat::Text => write!(stdout, "{text}")?,
        OutputFormat::Json => {
            serde_json::to_writer_pretty(&mut stdout, report)?;
            writeln!(stdout)?;
        }
    }
    stdout.flush()
}

/// Prints a report that has a page.
pub(super) fn print_page(
    format: PageFormat,
    report: &(impl Display + Serialize),
    page: impl FnOnce() -> Page,
) -> std::io::Result<()> {
    match format {
        PageFormat::Text => print(OutputFormat::Text, report, report),
        PageFormat::Json => print(OutputFormat::Json, report, report),
        PageFormat::Html => {
            let mut stdout = std::io::stdout().lock();
            stdout.write_all(page().render().as_bytes())?;
            stdout.flush()
        }
    }
}
