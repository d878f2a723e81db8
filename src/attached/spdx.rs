//! SPDX 2.3 documents (ISO/IEC 5962 and its JSON schema).

use std::{borrow::Cow, collections::HashSet};

use serde::Deserialize;
use serde_json::{Value, json, value::RawValue};

use super::{
    change::{Change, Unfit, is_oci},
    json::{EditableObject, Edits, text},
};

/// Who has changed the document. Without a version: a later one makes the same document.
const CREATOR: &str = "Tool: recompress-image";
/// The document's own SPDXID.
const DOCUMENT: &str = "SPDXRef-DOCUMENT";

#[derive(Deserialize)]
struct Relationship<'a> {
    #[serde(borrow, rename = "spdxElementId")]
    element: Cow<'a, str>,
    #[serde(borrow, rename = "relatedSpdxElement")]
    related: Cow<'a, str>,
    #[serde(borrow, rename = "relationshipType")]
    kind: Cow<'a, str>,
}

/// A package that is the image.
struct Image<'a> {
    id: Cow<'a, str>,
    fields: EditableObject<'a>,
}

/// The edited document.
///
/// Its name becomes that of the new image with its digest, by which policies recognise what an SBOM
/// is about (conforma/policy, `policy/release/sbom_spdx`), and its namespace one of its own. Where
/// the package of the image has the old digest it gets the new one. The old image becomes a package
/// that the new one is `GENERATED_FROM` (SPDX 2.3, table 68: "a binary file has been generated from"
/// another file): `DESCENDANT_OF` is for a later state of the same content, `VARIANT_OF` for when
/// nobody knows which came first, and `COPY_OF` for exact copies.
pub(super) fn rewrite(
    document: &str,
    root: &EditableObject<'_>,
    change: &Change<'_>,
) -> Result<String, Unfit> {
    let name = root.text("name").unwrap_or_default();
    change.check(&name)?;
    let packages = packages(root);
    let ids: HashSet<_> = packages.iter().map(|(id, _)| id.clone()).collect();
    let images = images(root, packages, change)?;

    let mut edits = Edits::of(document);
    edits.set(root, "name", &change.new.pinned().into());
    let namespace = root.text("documentNamespace").unwrap_or_default();
    edits.set(root, "documentNamespace", &new_namespace(&namespace, change).into());
    if let Some(creators) = root.object("creationInfo").and_then(|info| info.get("creators")) {
        edits.extend(creators, &[CREATOR.into()]);
    }
    for image in &images {
        describe(&mut edits, &image.fields, change);
    }

    let source = source_id(&ids, change);
    add(&mut edits, root, "packages", &[source_package(&source, change)]);
    let relationships: Vec<Value> = images
        .iter()
        .map(|image| {
            json!({
                "spdxElementId": image.id,
                "relatedSpdxElement": source,
                "relationshipType": "GENERATED_FROM",
            })
        })
        .collect();
    add(&mut edits, root, "relationships", &relationships);
    Ok(edits.apply())
}

type Packages<'a> = Vec<(Cow<'a, str>, &'a RawValue)>;

/// The packages with their SPDXIDs; those that have none are nothing that can be referred to.
fn packages<'a>(root: &EditableObject<'a>) -> Packages<'a> {
    #[derive(Deserialize)]
    struct Package<'a> {
        #[serde(borrow, rename = "SPDXID")]
        id: Cow<'a, str>,
    }
    let read = |node: &'a RawValue| {
        serde_json::from_str(node.get()).ok().map(|Package { id }: Package<'a>| (id, node))
    };
    root.array("packages").into_iter().filter_map(read).collect()
}

/// The packages that the document describes and that are the image: those that have its digest. If
/// none has, the only one that is described, because the document is attached to the image.
fn images<'a>(
    root: &EditableObject<'a>,
    packages: Packages<'a>,
    change: &Change<'_>,
) -> Result<Vec<Image<'a>>, Unfit> {
    let described = described(root);
    let mut with_digest = Vec::new();
    let mut without = Vec::new();
    for (id, node) in packages {
        if !described.contains(&id) {
            continue;
        }
        let fields = EditableObject::of(node).ok_or(Unfit::NotJson)?;
        let mut probe = Edits::of(node.get());
        let has_digest = describe(&mut probe, &fields, change);
        let into = if has_digest { &mut with_digest } else { &mut without };
        into.push(Image { id, fields });
    }
    if !with_digest.is_empty() {
        return Ok(with_digest);
    }
    let [image] = without.as_slice() else { return Err(Unfit::NoSubject) };
    for field in ["name", "versionInfo"] {
        change.check(&image.fields.text(field).unwrap_or_default())?;
    }
    for (_, purl) in purls(&image.fields) {
        change.check(&purl)?;
    }
    Ok(without)
}

/// The SPDXIDs of what the document describes.
fn described<'a>(root: &EditableObject<'a>) -> HashSet<Cow<'a, str>> {
    let listed = root.array("documentDescribes").into_iter().filter_map(text);
    let relationships = root.array("relationships").into_iter();
    let related = relationships
        .filter_map(|node| serde_json::from_str::<Relationship<'a>>(node.get()).ok())
        .filter_map(|relationship| match &*relationship.kind {
            "DESCRIBES" if relationship.element == DOCUMENT => Some(relationship.related),
            "DESCRIBED_BY" if relationship.related == DOCUMENT => Some(relationship.element),
            _ => None,
        });
    listed.chain(related).collect()
}

/// Puts the new digest wherever a package has the old one as its own. Returns whether it has.
fn describe(edits: &mut Edits<'_>, package: &EditableObject<'_>, change: &Change<'_>) -> bool {
    let mut found = false;
    let mut replace = |node: Option<&RawValue>, text: Option<String>| {
        if let (Some(node), Some(text)) = (node, text) {
            edits.replace(node, &text.into());
            found = true;
        }
    };
    for field in ["name", "versionInfo", "downloadLocation", "packageFileName"] {
        let text = package.text(field).unwrap_or_default();
        replace(package.get(field), change.text(&text));
    }
    for checksum in package.array("checksums").into_iter().filter_map(EditableObject::of) {
        let value = checksum.text("checksumValue").unwrap_or_default();
        replace(checksum.get("checksumValue"), change.text(&value));
    }
    for (node, purl) in purls(package) {
        replace(Some(node), change.purl(&purl));
    }
    found
}

/// The package URLs of a package that are those of images.
fn purls<'a>(package: &EditableObject<'a>) -> Vec<(&'a RawValue, Cow<'a, str>)> {
    let references = package.array("externalRefs").into_iter().filter_map(EditableObject::of);
    let purl = |reference: EditableObject<'a>| {
        let is_purl = reference.text("referenceType").as_deref() == Some("purl");
        let locator = reference.get("referenceLocator").filter(|_| is_purl)?;
        Some((locator, text(locator)?))
    };
    references.filter_map(purl).filter(|(_, purl)| is_oci(purl)).collect()
}

/// A namespace that no other document has: the old one with the new digest, and a UUID of both.
fn new_namespace(old: &str, change: &Change<'_>) -> String {
    let uuid = change.uuid(old);
    if old.is_empty() {
        return format!("urn:uuid:{uuid}");
    }
    format!("{}-{uuid}", change.text(old).unwrap_or_else(|| old.to_owned()))
}

/// An SPDXID that the document does not have yet.
fn source_id(ids: &HashSet<Cow<'_, str>>, change: &Change<'_>) -> String {
    let first = format!("SPDXRef-image-source-{}", change.old.digest().hex());
    let others = (1..).map(|n: u32| format!("{first}-{n}"));
    let mut candidates = std::iter::once(first.clone()).chain(others);
    candidates.find(|id| !ids.contains(id.as_str())).unwrap_or(first)
}

fn source_package(id: &str, change: &Change<'_>) -> Value {
    let digest = change.old.digest();
    json!({
        "SPDXID": id,
        "name": change.old.name(),
        "versionInfo": digest,
        "downloadLocation": "NOASSERTION",
        "filesAnalyzed": false,
        "checksums": [{
            "algorithm": digest.algorithm().as_str().to_uppercase(),
            "checksumValue": digest.hex(),
        }],
        "externalRefs": [{
            "referenceCategory": "PACKAGE-MANAGER",
            "referenceType": "purl",
            "referenceLocator": change.old.purl(),
        }],
        "licenseConcluded": "NOASSERTION",
        "licenseDeclared": "NOASSERTION",
        "copyrightText": "NOASSERTION",
        "comment": "The image from which this one was made by recompressing its layers.",
    })
}

/// Adds members to a field that is an array, or makes it one.
fn add(edits: &mut Edits<'_>, root: &EditableObject<'_>, field: &str, members: &[Value]) {
    match root.get(field).filter(|node| super::json::array(node).is_some()) {
        Some(array) => edits.extend(array, members),
        None => edits.set(root, field, &Value::Array(members.to_vec())),
    }
}
