//! What goes to standard output.

use std::{fmt::Display, io::Write as _};

use clap::ValueEnum;
use serde::Serialize;

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum OutputFormat {
    /// Human-readable text
    Text,
    /// One JSON document
    Json,
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
