//! Events as lines of text.

use std::io::Write as _;

use super::{
    Event, LayerKind, LayerReport, Summary,
    human::{percent, size},
};

/// Prints what there is to say of an event.
pub(super) fn print(event: &Event<'_>) {
    if let Some(line) = line(event) {
        print_text(&line);
    }
}

pub(super) fn print_text(text: &str) {
    // It fails when nobody reads any more; the work goes on.
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// What there is to say of an event, possibly in several lines.
pub(super) fn line(event: &Event<'_>) -> Option<String> {
    match event {
        Event::Planned { source, destination, sizes } => {
            let (count, total) = (sizes.len(), size(sizes.iter().sum()));
            let layers = if count == 1 { "layer" } else { "layers" };
            Some(format!("{source}\n  to {destination}\n  {count} {layers}, {total}"))
        }
        Event::Started { .. } => None,
        Event::Converted { report } => Some(converted(report)),
        Event::Stored { report } if report.already_there => {
            Some(format!("layer {}: the destination has it already", report.number))
        }
        Event::Stored { report } => Some(format!("layer {}: stored", report.number)),
        Event::Published { summary } => Some(published(summary)),
        Event::Probed { probed } => Some(probed.to_string()),
    }
}

fn converted(report: &LayerReport) -> String {
    let LayerReport { number, kind, .. } = report;
    if *kind == LayerKind::Foreign {
        return format!("layer {number}: foreign, passed on by reference");
    }
    let from = report.source_compression.map(|kind| kind.to_string()).unwrap_or_default();
    let mut text = format!(
        "layer {number}: {from} {} to {} {} ({})",
        size(report.source_size),
        kind.as_str(),
        size(report.size),
        percent(report.size, report.source_size)
    );
    if let Some(outline) = &report.outline {
        text += &format!(", {} files in {} chunks", outline.files, outline.chunks);
    }
    if let Some(reason) = &report.reason {
        text += &format!("\n  it cannot be pulled partially: {reason}");
    }
    text
}

fn published(summary: &Summary) -> String {
    let mut text = format!(
        "{} before, {} after ({})",
        size(summary.size_before),
        size(summary.size_after),
        percent(summary.size_after, summary.size_before)
    );
    if summary.plain_layers > 0 {
        let (plain, all) = (summary.plain_layers, summary.layers.len());
        text += &format!(", {plain} of {all} layers only as plain zstd");
    }
    text + &format!("\npublished {}", summary.image.reference)
}
