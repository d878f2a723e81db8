//! Events as lines of text.

use crate::chunked::eligibility::LeftOut;

use super::{
    AttachedReport, Event, LayerKind, LayerReport, ReuseNote, ReuseProof, ReuseReport, Summary,
    human::{counted, percent, size},
};

/// What there is to say of an event, possibly in several lines.
pub(super) fn line(event: &Event<'_>) -> Option<String> {
    match event {
        Event::Resolved { tag, digest } => Some(format!("resolved {tag} to {digest}")),
        Event::Planned { source, destination, variants, sizes } => {
            let manifests = if *variants == 1 { "" } else { &format!("{variants} manifests, ") };
            let total = size(sizes.iter().sum());
            let layers = counted(sizes.len() as u64, "layer");
            Some(format!("{source}\n  to {destination}\n  {manifests}{layers}, {total}"))
        }
        Event::Started { .. } => None,
        // Its line comes when it is stored.
        Event::Converted { report, .. } if !is_final(report) => None,
        Event::Converted { label, report, .. } | Event::Stored { label, report, .. } => {
            Some(converted(label, report))
        }
        Event::Published { summary } => Some(published(summary)),
        Event::Probed { probed } => Some(probed.to_string()),
    }
}

/// Whether nothing more happens to a layer that was looked at.
fn is_final(report: &LayerReport) -> bool {
    report.reused || report.kind == LayerKind::Foreign
}

fn converted(label: &str, report: &LayerReport) -> String {
    let there = if report.already_there { "\n  already at the destination" } else { "" };
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
        return format!("{label}: {} {}, unchanged{there}", kind.as_str(), size(report.size));
    }
    let from = report.source_format.map(|kind| kind.to_string()).unwrap_or_default();
    let mut text = format!(
        "{label}: {from} {} to {} {} ({})",
        size(report.source_size),
        kind.as_str(),
        size(report.size),
        percent(report.size, report.source_size)
    );
    if let Some(outline) = &report.outline {
        text += &format!(", {}", counted(outline.files, "file"));
    }
    text + there + &without_toc(report) + &left_out(report)
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

/// What the layers have come to.
fn sizes(summary: &Summary) -> String {
    let &Summary { reused_layers: reused, converted_layers: converted, .. } = summary;
    let unchanged = summary.unchanged_layers;
    let all = reused + unchanged + converted;
    if all == 0 {
        return "nothing to add".to_owned();
    }
    let is_chunked =
        |layer: &LayerReport| layer.source_is_chunked && layer.kind == LayerKind::ZstdChunked;
    if unchanged == all
        && summary.all_layers().all(is_chunked)
        && summary.image.digest != summary.source_digest
    {
        let what = if summary.manifests.is_empty() { "the manifest is" } else { "manifests are" };
        return format!("source is zstd:chunked already; only {what} new");
    }
    let layers = counted(all as u64, "layer");
    let mut parts = Vec::new();
    if reused > 0 {
        parts.push(format!("{reused} of {layers} reused ({})", size(summary.reused_size)));
    }
    if unchanged > 0 && unchanged < all {
        let of = if parts.is_empty() { format!(" of {layers}") } else { String::new() };
        parts.push(format!("{unchanged}{of} unchanged"));
    }
    if !parts.is_empty() && converted > 0 {
        parts.push(format!("{converted} converted ({})", size(summary.converted_size)));
    }
    let (before, after) = (summary.size_before, summary.size_after);
    let mut text = parts.join(", ");
    if !text.is_empty() {
        text += "; ";
    }
    let share = percent(after, before);
    text += &format!("{} before, {} after ({share})", size(before), size(after));
    if summary.plain_layers > 0 {
        text += &format!(", {} of {layers} as plain zstd", summary.plain_layers);
    }
    text
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
        text +=
            &format!("removed annotations that no longer apply: {}\n", summary.removed.join(", "));
    }
    for ReuseNote { image, note, .. } in summary.reuse_notes.iter().filter(|note| !note.logged) {
        text += &format!("--reuse-from {image}: {note}\n");
    }
    if summary.all_layers().any(|it| it.reuse.as_ref().is_some_and(|reuse| !reuse.same_recipe)) {
        text += "note: reused layers may be compressed in another way than new ones; the manifest \
            says so\n";
    }
    text += &sizes(summary);
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
        text += &format!("\nreplaced {replaced}, which the tag named before");
    }
    let already = if summary.already_published { "already " } else { "" };
    text + &format!("\n{already}published {}", summary.image.reference)
}
