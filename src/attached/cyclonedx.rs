//! `CycloneDX` documents in JSON, versions 1.2 to 1.7 (ECMA-424).

use serde_json::{Value, json, value::RawValue};

use super::{
    change::{Change, Unfit, is_oci, shorten},
    json::{EditableObject, Edits, array},
};

/// Versions with the same fields, as far as they are of interest here.
const VERSIONS: [&str; 6] = ["1.2", "1.3", "1.4", "1.5", "1.6", "1.7"];
/// Who has changed the document. Without a version: a later one makes the same document.
const TOOL: &str = "recompress-image";

/// The edited document.
///
/// It becomes a document of its own, with another serial number and the first version. Where the
/// component that it is about has the old digest it gets the new one, also where other components
/// refer to it by a `bom-ref` with the digest. The old image becomes its ancestor.
pub(super) fn rewrite(
    document: &str,
    root: &EditableObject<'_>,
    change: &Change<'_>,
) -> Result<String, Unfit> {
    let version = root.text("specVersion").unwrap_or_default();
    if !VERSIONS.contains(&&*version) {
        return Err(Unfit::Unknown(format!("CycloneDX {}", shorten(&version))));
    }
    if root.get("signature").is_some() {
        return Err(Unfit::Signed);
    }
    let metadata = root.object("metadata").ok_or(Unfit::NoSubject)?;
    let image = metadata.object("component").ok_or(Unfit::NoSubject)?;
    if image.get("signature").is_some() {
        return Err(Unfit::Signed);
    }
    check(&image, change)?;

    let mut edits = Edits::of(document);
    let serial = root.text("serialNumber").unwrap_or_default();
    edits.set(root, "serialNumber", &format!("urn:uuid:{}", change.uuid(&serial)).into());
    if root.get("version").is_some() {
        edits.set(root, "version", &1.into());
    }
    add_tool(&mut edits, &metadata);
    describe(&mut edits, &image, change);
    add_ancestor(&mut edits, &image, change);
    if let Some(reference) = image.get("bom-ref") {
        rename(&mut edits, document, reference, change);
        let same = |other: &EditableObject<'_>| other.text("bom-ref") == image.text("bom-ref");
        for other in
            root.array("components").into_iter().filter_map(EditableObject::of).filter(same)
        {
            describe(&mut edits, &other, change);
        }
    }
    Ok(edits.apply())
}

fn check(image: &EditableObject<'_>, change: &Change<'_>) -> Result<(), Unfit> {
    for field in ["name", "version"] {
        change.check(&image.text(field).unwrap_or_default())?;
    }
    let purl = image.text("purl").unwrap_or_default();
    if is_oci(&purl) { change.check(&purl) } else { Ok(()) }
}

/// Puts the new digest wherever a component has the old one as its own.
fn describe(edits: &mut Edits<'_>, component: &EditableObject<'_>, change: &Change<'_>) {
    let mut replace = |node: Option<&RawValue>, text: Option<String>| {
        if let (Some(node), Some(text)) = (node, text) {
            edits.replace(node, &text.into());
        }
    };
    for field in ["name", "version"] {
        replace(component.get(field), change.text(&component.text(field).unwrap_or_default()));
    }
    replace(component.get("purl"), change.purl(&component.text("purl").unwrap_or_default()));
    for hash in component.array("hashes").into_iter().filter_map(EditableObject::of) {
        replace(hash.get("content"), change.text(&hash.text("content").unwrap_or_default()));
    }
}

/// Gives the component another `bom-ref`, if its own has the old digest, and renames it everywhere:
/// any string that is the same to the byte.
fn rename(edits: &mut Edits<'_>, document: &str, reference: &RawValue, change: &Change<'_>) {
    let Some(old) = super::json::text(reference) else { return };
    let new = if is_oci(&old) { change.purl(&old) } else { change.text(&old) };
    let Some(new) = new else { return };
    let new = Value::from(new);
    for (at, found) in document.match_indices(reference.get()) {
        // An escaped quotation mark begins no string.
        if !document.get(..at).is_some_and(|before| before.ends_with('\\')) {
            edits.replace_range(at..at + found.len(), &new);
        }
    }
}

fn add_ancestor(edits: &mut Edits<'_>, image: &EditableObject<'_>, change: &Change<'_>) {
    let digest = change.old.digest();
    let ancestor = json!({
        "type": "container",
        "name": change.old.name(),
        "version": digest,
        "hashes": [{
            "alg": digest.algorithm().as_str().to_uppercase().replace("SHA", "SHA-"),
            "content": digest.hex(),
        }],
        "purl": change.old.purl(),
    });
    match image.object("pedigree") {
        Some(pedigree) => match pedigree.get("ancestors").filter(|node| array(node).is_some()) {
            Some(ancestors) => edits.extend(ancestors, &[ancestor]),
            None => edits.set(&pedigree, "ancestors", &json!([ancestor])),
        },
        None => edits.set(image, "pedigree", &json!({ "ancestors": [ancestor] })),
    }
}

/// In the form that the document has: a list, or since version 1.5 an object with one.
fn add_tool(edits: &mut Edits<'_>, metadata: &EditableObject<'_>) {
    let Some(tools) = metadata.get("tools") else {
        edits.set(metadata, "tools", &json!([{ "name": TOOL }]));
        return;
    };
    if array(tools).is_some() {
        edits.extend(tools, &[json!({ "name": TOOL })]);
        return;
    }
    let Some(tools) = EditableObject::of(tools) else { return };
    let tool = json!({ "type": "application", "name": TOOL });
    match tools.get("components").filter(|node| array(node).is_some()) {
        Some(components) => edits.extend(components, &[tool]),
        None => edits.set(&tools, "components", &json!([tool])),
    }
}
