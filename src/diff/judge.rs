//! Whether clients pull a layer partially: by its annotations, and by its documents.

use std::io;

use crate::{
    check::{Claims, DocumentsCheck, Effect, Findings, Rule},
    image::{
        Descriptor,
        annotations::{Annotations, TAR_SPLIT_POSITION},
    },
    source::LayerDocuments,
};

/// How clients with partial pulls enabled pull a layer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Way {
    Partial,
    /// As a whole, and why.
    Whole(String),
    /// They fail, and why.
    Refused(String),
}

/// What the annotations of a layer lead to.
pub(super) fn way(layer: &Descriptor) -> Way {
    let whole = |reason: &str| Way::Whole(reason.to_owned());
    if layer.is_foreign() {
        return whole("it is foreign: clients fetch it from elsewhere");
    }
    if !layer.is_chunked() {
        return whole("it has no TOC");
    }
    if !layer.annotations.contains_key(TAR_SPLIT_POSITION) {
        return whole("it has no tar-split stream");
    }
    let mut findings = Findings::default();
    let claims = Claims::read(&layer.annotations, &mut findings);
    match of_findings(&findings) {
        Way::Partial if claims.is_none() => Way::Refused("invalid annotations".to_owned()),
        way => way,
    }
}

/// What the documents of a layer that [`Way::Partial`] led to.
pub(super) fn way_of_documents(
    documents: &LayerDocuments,
    annotations: &Annotations,
    lowest: bool,
) -> Way {
    let LayerDocuments { toc, tar_split, .. } = documents;
    let read: io::Result<_> = DocumentsCheck::read(&toc[..], &tar_split[..], lowest);
    match read {
        Ok(check) => of_findings(&check.compare(annotations).2),
        Err(error) => Way::Refused(format!("cannot read its TOC: {error}")),
    }
}

fn of_findings(findings: &Findings) -> Way {
    let first = |effects: &[Effect]| {
        let has_effect = |rule: &Rule| effects.contains(&rule.effect());
        let rule = findings.counts().keys().copied().find(has_effect)?;
        let finding = findings.kept().iter().find(|finding| finding.rule == rule);
        Some(finding.map_or_else(|| rule.id().to_owned(), |finding| finding.detail.clone()))
    };
    // A client falls back before it looks any further.
    if let Some(reason) = first(&[Effect::PulledWhole]) {
        return Way::Whole(reason);
    }
    match first(&[Effect::NoPull, Effect::NoPartialPull]) {
        Some(reason) => Way::Refused(reason),
        None => Way::Partial,
    }
}
