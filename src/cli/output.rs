//! What goes to standard output.

use std::{
    fmt::Display,
    io::Write as _,
    sync::{
        OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};

use clap::ValueEnum;
use serde::Serialize;

use super::failure::Failure;
use crate::report::{html::Page, screen};

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

/// Of all JSON documents. It changes when a field changes its meaning or goes.
const SCHEMA_VERSION: u32 = 1;

static BEGIN: OnceLock<Instant> = OnceLock::new();
static PRINTED: AtomicBool = AtomicBool::new(false);

/// What every report has.
#[derive(Serialize)]
struct Document<'a, R> {
    schema_version: u32,
    command: &'static str,
    duration_seconds: f64,
    #[serde(flatten)]
    report: &'a R,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a Failure>,
}

#[derive(Serialize)]
struct FailureDocument<'a> {
    schema_version: u32,
    command: Option<&'a str>,
    error: &'a Failure,
}

/// The run begins.
pub(super) fn begin() {
    BEGIN.get_or_init(Instant::now);
}

pub(super) fn print(
    command: &'static str,
    format: OutputFormat,
    text: &impl Display,
    report: &impl Serialize,
) -> std::io::Result<()> {
    print_with(command, format, text, report, None)
}

/// Prints a report which says that the run failed.
pub(super) fn print_with(
    command: &'static str,
    format: OutputFormat,
    text: &impl Display,
    report: &impl Serialize,
    error: Option<&Failure>,
) -> std::io::Result<()> {
    screen::end();
    PRINTED.store(true, Ordering::Relaxed);
    let mut stdout = std::io::stdout().lock();
    match format {
        OutputFormat::Text => write!(stdout, "{text}")?,
        OutputFormat::Json => {
            let millis = BEGIN.get().map_or(0, |begin| begin.elapsed().as_millis());
            let duration_seconds = u32::try_from(millis).map_or(0.0, f64::from) / 1000.0;
            let schema_version = SCHEMA_VERSION;
            let document = Document { schema_version, command, duration_seconds, report, error };
            serde_json::to_writer_pretty(&mut stdout, &document)?;
            writeln!(stdout)?;
        }
    }
    stdout.flush()
}

/// Prints why there is no report.
pub(super) fn print_failure(command: Option<&str>, error: &Failure) {
    if PRINTED.swap(true, Ordering::Relaxed) {
        return;
    }
    let document = FailureDocument { schema_version: SCHEMA_VERSION, command, error };
    // Standard error says it, too.
    if let Ok(text) = serde_json::to_string_pretty(&document) {
        let _ = writeln!(std::io::stdout(), "{text}");
    }
}

/// Prints a report that has a page.
pub(super) fn print_page(
    command: &'static str,
    format: PageFormat,
    report: &(impl Display + Serialize),
    page: impl FnOnce() -> Page,
) -> std::io::Result<()> {
    match format {
        PageFormat::Text => print(command, OutputFormat::Text, report, report),
        PageFormat::Json => print(command, OutputFormat::Json, report, report),
        PageFormat::Html => {
            screen::end();
            let mut stdout = std::io::stdout().lock();
            stdout.write_all(page().render().as_bytes())?;
            stdout.flush()
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::Value;

    /// The fields that have no description.
    fn undescribed(schema: &Value, path: &str, found: &mut Vec<String>) {
        let Some(parts) = schema.as_object() else {
            let items = schema.as_array().into_iter().flatten();
            items.for_each(|item| undescribed(item, path, found));
            return;
        };
        let fields = parts.get("properties").and_then(Value::as_object);
        for (name, field) in fields.into_iter().flatten() {
            if field["description"].as_str().is_none_or(str::is_empty) {
                found.push(format!("{path}/{name}"));
            }
        }
        for (name, part) in parts {
            undescribed(part, &format!("{path}/{name}"), found);
        }
    }

    #[test]
    fn the_schema_says_what_fields_mean() {
        let schema = include_str!("../../docs/schema/report.json");
        let mut found = Vec::new();
        undescribed(&serde_json::from_str(schema).unwrap(), "", &mut found);
        assert_eq!(found, Vec::<String>::new());
    }
}
