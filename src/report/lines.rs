//! Events as lines of text.

use crate::chunked::eligibility::LeftOut;

use super::{
    AttachedReport, Event, LayerKind, LayerReport, ReuseProof, ReuseReport, Summary,
    human::{percent, size},
};

/// What there is to say of an event, possibly in several lines.
pub(super) fn line(event: &Event<'_>) -> Option<String> {
    match event {
        Event::Planned { source, destination, variants, sizes } => {
            let manifests = if *variants == 1 { "" } else { &format!("{variants} manifests, ") };
            let (count, total) = (sizes.len(), size(sizes.iter().sum()));
            let layers = if count == 1 { "layer" } else { "layers" };
            Some(format!("{source}\n  to {destination}\n  {manifests}{count} {layers}, {total}"))
        }
        Event::Started { .. } => None,
        Event::Converted { label, report, .. } => Some(converted(label, report)),
        Event::Stored { label, report, .. } if report.already_there => {
            Some(format!("{label}: already at the destination"))
        }
        Event::Stored { label, .. } => Some(format!("{label}: stored")),
        Event::Published { summary } => Some(published(summary)),
        Event::Probed { probed } => Some(probed.to_string()),
    }
}

fn converted(label: &str, report: &LayerReport) -> String {
    let kind = report.kind;
    if kind == LayerKind::Foreign {
        return format!("{label}: foreign layer, kept by reference");
    }
    if let Some(ReuseReport { from, proof, mounted, .. }) = &report.reuse {
        let (kind, size) = (kind.as_str(), size(report.size));
        if *proof == ReuseProof::Converted {
            return format!("{label}: {kind} {size}, same as {from}");
        }
        let proof = proof.as_str();
        let mounted = if *mounted { ", mounted" } else { "" };
        let text = format!("{label}: {kind} {size}, reused from {from}, {proof}{mounted}");
        return text + &without_toc(report) + &left_out(report);
    }
    if report.digest == report.source_digest {
        return format!("{label}: {} {}, unchanged", kind.as_str(), size(report.size));
    }
    let from = report.source_compression.map(|kind| kind.to_string()).unwrap_or_default();
    let mut text = format!(
        "{label}: {from} {} to {} {} ({})",
        size(report.source_size),
        kind.as_str(),
        size(report.size),
        percent(report.size, report.source_size)
    );
    if let Some(outline) = &report.outline {
        text += &format!(", {} files in {} chunks", outline.files, outline.chunks);
    }
    text + &without_toc(report) + &left_out(report)
}

fn without_toc(report: &LayerReport) -> String {
    let reason = report.reason.as_ref();
    reason.map(|reason| format!("\n  cannot be pulled partially: {reason}")).unwrap_or_default()
}

/// A line on what partial pulls do not create.
fn left_out(report: &LayerReport) -> String {
    let Some(LeftOut { count, names }) = report.outline.as_ref().map(|outline| &outline.left_out)
    else {
        return String::new();
    };
    let Some(first) = names.first() else { return String::new() };
    let (what, more) = match *count {
        1 => ("device or FIFO", String::new()),
        count => ("devices and FIFOs", format!(" and {} more", count - 1)),
    };
    format!("\n  partial pulls leave out {count} {what}: {first:?}{more}")
}

fn published(summary: &Summary) -> String {
    let mut text = String::new();
    for AttachedReport { item, .. } in &summary.attached {
        let (kind, digest) = (item.kind.as_str(), &item.digest);
        text += &match &item.reason {
            Some(reason) => format!("left on the source: {kind} {digest}: {reason}\n"),
            None => format!("copied: {kind} {digest}\n"),
        };
    }
    for what in &summary.unlisted {
        text += &format!("warning: incomplete list of attachments of the source: {what}\n");
    }
    for left in &summary.left {
        text += &format!("left out {}: {}\n", left.digest, left.reason);
    }
    for note in &summary.notes {
        text += &format!("note: {note}\n");
    }
    if !summary.removed.is_empty() {
        text += &format!("removed, because the bytes changed: {}\n", summary.removed.join(", "));
    }
    if summary.converted_layers > 0 {
        text += &format!(
            "{} before, {} after ({})",
            size(summary.size_before),
            size(summary.size_after),
            percent(summary.size_after, summary.size_before)
        );
    } else {
        text += "nothing to add";
    }
    if summary.plain_layers > 0 {
        let (plain, all) = (summary.plain_layers, summary.converted_layers);
        text += &format!(", {plain} of {all} layers as plain zstd");
    }
    for manifest in &summary.manifests {
        text += &format!(
            "\n  {} {} {}{}",
            manifest.digest,
            manifest.platform.as_deref().unwrap_or("-"),
            manifest.format.unwrap_or("no image"),
            if manifest.made { ", new" } else { "" }
        );
    }
    if let Some(replaced) = &summary.replaced_digest {
        text += &format!("\nreplaced {replaced}");
    }
    let already = if summary.already_published { "already " } else { "" };
    text + &format!("\n{already}published {}", summary.image.reference)
}
