//! Documents about one image made ones about another.

use proptest::prelude::*;
use recompress_image::{
    attached::{SbomFormat, Subject, Unfit, rewrite},
    image::Digest,
};
use serde_json::{Value, json};

use super::{
    documents::{
        BASE, cyclonedx_of_konflux, cyclonedx_of_trivy, pretty, spdx_of_konflux, spdx_of_syft,
    },
    subject,
};

const SOURCE: &str = "quay.io/org/app";
const TARGET: &str = "registry.example.com/mirror/app";

fn old() -> Digest {
    Digest::sha256_of(b"old")
}

fn new() -> Digest {
    Digest::sha256_of(b"new")
}

fn subjects() -> (Subject, Subject) {
    (subject(&format!("{SOURCE}:1.2"), &old()), subject(&format!("{TARGET}:1.2-zstd"), &new()))
}

fn rewritten(document: &[u8]) -> Result<(SbomFormat, Value, String), Unfit> {
    let (old, new) = subjects();
    let (format, text) = rewrite(document, &old, &new)?;
    assert_eq!(rewrite(document, &old, &new).unwrap(), (format, text.clone()), "deterministic");
    let value = serde_json::from_str(&text).unwrap();
    Ok((format, value, text))
}

#[test]
fn spdx_names_the_new_image() {
    let (format, document, _) = rewritten(&pretty(&spdx_of_konflux(SOURCE, &old()))).unwrap();
    assert_eq!(format, SbomFormat::Spdx);
    assert_eq!(document["name"], format!("{TARGET}@{}", new()));
    let namespace = document["documentNamespace"].as_str().unwrap();
    let start = format!("https://konflux-ci.dev/spdxdocs/{SOURCE}@{}-accf7ec6-", new());
    assert!(namespace.starts_with(&start), "{namespace}");
    assert_eq!(document["creationInfo"]["created"], "2026-01-02T03:04:05Z");
    assert_eq!(document["creationInfo"]["creators"][3], "Tool: recompress-image");
    let image = &document["packages"][0];
    assert_eq!(image["checksums"][0]["checksumValue"], new().hex());
    assert_eq!(
        image["externalRefs"][0]["referenceLocator"],
        format!("pkg:oci/app@{}?arch=amd64&repository_url={TARGET}", new())
    );
    let source = &document["packages"][3];
    assert_eq!(
        source["externalRefs"][0]["referenceLocator"],
        format!("pkg:oci/app@{}?repository_url={SOURCE}", old())
    );
    assert_eq!(
        document["relationships"][3],
        json!({
            "spdxElementId": image["SPDXID"],
            "relatedSpdxElement": source["SPDXID"],
            "relationshipType": "GENERATED_FROM",
        })
    );

    let (_, document, _) = rewritten(&pretty(&spdx_of_syft("app:1.2", &old()))).unwrap();
    assert_eq!(document["name"], format!("{TARGET}@{}", new()));
    let image = &document["packages"][0];
    assert_eq!(image["name"], "app:1.2");
    assert_eq!(image["versionInfo"], new().as_str());
    let encoded = new().as_str().replace(':', "%3A");
    let purl = &image["externalRefs"][0]["referenceLocator"];
    assert_eq!(*purl, format!("pkg:oci/app@{encoded}?arch=amd64"));
}

#[test]
fn cyclonedx_names_the_new_image() {
    let document = cyclonedx_of_konflux("1.5", SOURCE, &old());
    let (format, document, text) = rewritten(&pretty(&document)).unwrap();
    assert_eq!(format, SbomFormat::CycloneDx);
    assert_eq!(document["version"], 1);
    assert_ne!(document["serialNumber"], "urn:uuid:89c5c80f-20e4-4f92-9e50-852beee500a6");
    let image = &document["metadata"]["component"];
    assert_eq!(image["hashes"][0]["content"], new().hex());
    assert_eq!(image["purl"], format!("pkg:oci/app@{}?repository_url={TARGET}", new()));
    let ancestor = &image["pedigree"]["ancestors"][0];
    assert_eq!(ancestor["purl"], format!("pkg:oci/app@{}?repository_url={SOURCE}", old()));
    assert_eq!(document["metadata"]["tools"], json!([{ "name": "recompress-image" }]));
    assert!(text.contains("2026-01-02T03:04:05+00:00"));

    let document = cyclonedx_of_trivy("1.6", SOURCE, &old());
    let (_, document, text) = rewritten(&pretty(&document)).unwrap();
    let image = &document["metadata"]["component"];
    let encoded = new().as_str().replace(':', "%3A");
    let purl = format!("pkg:oci/app@{encoded}?arch=amd64&repository_url={TARGET}");
    for place in [&image["purl"], &image["bom-ref"], &document["dependencies"][0]["ref"]] {
        assert_eq!(*place, purl);
    }
    assert_eq!(image["version"], new().as_str());
    assert_eq!(image["name"], format!("{SOURCE}@{}", new()));
    let ancestors = image["pedigree"]["ancestors"].as_array().unwrap();
    assert_eq!(ancestors.len(), 2);
    assert_eq!(ancestors[0]["purl"], format!("pkg:oci/ubi9@{BASE}?repository_url=quay.io/ubi9"));
    assert_eq!(document["metadata"]["tools"]["components"][1]["name"], "recompress-image");
    assert!(text.contains("\"confidence\": 0.1,"), "{text}");
}

#[test]
fn a_component_that_is_the_image_again_changes_too() {
    let mut document = cyclonedx_of_konflux("1.5", SOURCE, &old());
    let twin = document["metadata"]["component"].clone();
    document["components"].as_array_mut().unwrap().push(twin);
    let (_, document, _) = rewritten(&pretty(&document)).unwrap();
    assert_eq!(document["components"][2]["purl"], document["metadata"]["component"]["purl"]);
    assert_eq!(document["components"][2]["hashes"][0]["content"], new().hex());
}

#[test]
fn what_is_not_carried() {
    let fails = |document: &Value, words: &str| {
        let told = rewritten(&pretty(document)).unwrap_err().to_string();
        assert!(told.contains(words), "{told}");
    };
    let edited = |mut document: Value, pointer: &str, value: Value| {
        let (parent, key) = pointer.rsplit_once('/').unwrap();
        document.pointer_mut(parent).unwrap()[key] = value;
        document
    };
    let spdx = || spdx_of_konflux(SOURCE, &old());
    let cyclonedx = || cyclonedx_of_trivy("1.6", SOURCE, &old());
    fails(&edited(spdx(), "/spdxVersion", json!("SPDX-3.0")), "SPDX-3.0");
    fails(
        &edited(spdx(), "/relationships", json!([])),
        "does not identify the image among its packages",
    );
    fails(&edited(spdx(), "/name", json!(format!("x@{BASE}"))), "another image");
    fails(&spdx_of_konflux(SOURCE, &BASE.parse().unwrap()), BASE);
    fails(&spdx_of_syft(SOURCE, &BASE.parse().unwrap()), BASE);
    fails(&edited(cyclonedx(), "/specVersion", json!("2.0")), "CycloneDX 2.0");
    fails(&edited(cyclonedx(), "/signature", json!({})), "signed");
    fails(
        &edited(cyclonedx(), "/metadata", json!({})),
        "does not identify the image among its packages",
    );
    fails(&cyclonedx_of_trivy("1.6", SOURCE, &BASE.parse().unwrap()), BASE);
    fails(&json!({}), "something else");
    fails(&json!({ "spdxVersion": "SPDX-2.3", "bomFormat": "CycloneDX" }), "something else");
    for bad in [&b""[..], b"{", b"[]", b"\xff", b"{\"a\":1,\"a\":2}", b"<bom/>"] {
        assert_eq!(rewritten(bad).unwrap_err(), Unfit::NotJson);
    }
    assert!(rewritten("[".repeat(1 << 20).as_bytes()).is_err());
    let sha512 = recompress_image::image::digest::Algorithm::Sha512.hasher().finish();
    let (_, new) = subjects();
    let error = rewrite(b"{}", &subject(SOURCE, &sha512), &new).unwrap_err();
    assert_eq!(error, Unfit::Algorithm("sha512"));
}

#[test]
fn an_spdxid_that_is_taken_is_not_taken_again() {
    let mut document = spdx_of_konflux(SOURCE, &old());
    document["packages"][2]["SPDXID"] = format!("SPDXRef-image-source-{}", old().hex()).into();
    let (_, document, _) = rewritten(&pretty(&document)).unwrap();
    let id = format!("SPDXRef-image-source-{}-1", old().hex());
    assert_eq!(document["packages"][3]["SPDXID"], id);
    assert_eq!(document["relationships"][3]["relatedSpdxElement"], id);
}

/// Any JSON, with text that looks like what is replaced elsewhere.
fn anything() -> impl Strategy<Value = Value> {
    let text = prop_oneof![
        "[ -~é\u{1f600}\\n\"\\\\]{0,12}",
        Just(old().to_string()),
        Just(format!("pkg:oci/app@{}", old())),
        Just(old().hex().to_uppercase()),
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f32>().prop_filter("JSON has no others", |n| n.is_finite()).prop_map(Value::from),
        text.prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec(("[a-z]{1,4}", inner), 0..4)
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

/// A number that no type of Rust holds, put where a mark was.
const NUMBER: &str = "123456789012345678901234567890.10E+2";

fn with_number(document: &Value, is_pretty: bool) -> String {
    let text = if is_pretty {
        serde_json::to_string_pretty(document).unwrap()
    } else {
        document.to_string()
    };
    text.replace("\"the number\"", NUMBER)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Undoing what is documented gives the document from before, to the byte.
    #[test]
    fn all_else_of_spdx_keeps_its_bytes(
        extra in prop::collection::vec(anything(), 4), is_pretty: bool,
    ) {
        let mut document = spdx_of_konflux(SOURCE, &old());
        for (pointer, extra) in ["", "/packages/0", "/packages/2", "/creationInfo"].iter().zip(extra) {
            document.pointer_mut(pointer).unwrap()["x-extra"] = extra;
        }
        document["packages"][0]["x-number"] = "the number".into();
        let before = with_number(&document, is_pretty);
        let (old_subject, new_subject) = subjects();
        let (_, after) = rewrite(before.as_bytes(), &old_subject, &new_subject).unwrap();

        let root: Value = serde_json::from_str(&after.replace(NUMBER, "0")).unwrap();
        let image_purl = format!("pkg:oci/app@{}?arch=amd64&repository_url=", new());
        let undone = after
            .replacen(&format!(",{}", root["packages"][3]), "", 1)
            .replacen(&format!(",{}", root["relationships"][3]), "", 1)
            .replacen(",\"Tool: recompress-image\"", "", 1)
            .replacen(root["name"].as_str().unwrap(), document["name"].as_str().unwrap(), 1)
            .replacen(
                root["documentNamespace"].as_str().unwrap(),
                document["documentNamespace"].as_str().unwrap(),
                1,
            )
            .replacen(
                &format!("{image_purl}{TARGET}"),
                &format!("{}{SOURCE}", image_purl.replace(new().hex(), old().hex())),
                1,
            )
            .replacen(new().hex(), old().hex(), 1);
        prop_assert_eq!(undone, before);
    }

    /// The same for `CycloneDX`, whose document has the image's digest only where it is the image.
    #[test]
    fn all_else_of_cyclonedx_keeps_its_bytes(
        extra in prop::collection::vec(anything(), 3), is_pretty: bool,
    ) {
        let mut document = cyclonedx_of_konflux("1.6", SOURCE, &old());
        document["metadata"]["tools"] = json!([{ "name": "x" }]);
        document["metadata"]["component"]["pedigree"] = json!({ "ancestors": [{ "name": "x" }] });
        for (pointer, extra) in ["", "/metadata/component", "/components/1"].iter().zip(extra) {
            document.pointer_mut(pointer).unwrap()["x-extra"] = extra;
        }
        document["components"][0]["x-number"] = "the number".into();
        let before = with_number(&document, is_pretty);
        let (old_subject, new_subject) = subjects();
        let (_, after) = rewrite(before.as_bytes(), &old_subject, &new_subject).unwrap();

        let root: Value = serde_json::from_str(&after.replace(NUMBER, "0")).unwrap();
        let image = &root["metadata"]["component"];
        let space = if is_pretty { " " } else { "" };
        let purl = format!("pkg:oci/app@{}?repository_url=", new());
        let undone = after
            .replacen(&format!(",{}", image["pedigree"]["ancestors"][1]), "", 1)
            .replacen(",{\"name\":\"recompress-image\"}", "", 1)
            .replacen(
                root["serialNumber"].as_str().unwrap(),
                document["serialNumber"].as_str().unwrap(),
                1,
            )
            .replacen(&format!("\"version\":{space}1,"), &format!("\"version\":{space}3,"), 1)
            .replacen(
                &format!("{purl}{TARGET}"),
                &format!("{}{SOURCE}", purl.replace(new().hex(), old().hex())),
                1,
            )
            .replacen(new().hex(), old().hex(), 1);
        prop_assert_eq!(undone, before);
    }

    /// Documents are made by strangers.
    #[test]
    fn nothing_panics(document in anything(), root in anything()) {
        let mut spdx = spdx_of_syft(SOURCE, &old());
        spdx["packages"][0]["externalRefs"] = document.clone();
        spdx["relationships"] = root.clone();
        let mut cyclonedx = cyclonedx_of_trivy("1.6", SOURCE, &old());
        cyclonedx["metadata"]["component"]["pedigree"] = document.clone();
        cyclonedx["metadata"]["tools"] = root;
        for document in [document, spdx, cyclonedx] {
            let (old, new) = subjects();
            if let Ok((_, text)) = rewrite(document.to_string().as_bytes(), &old, &new) {
                serde_json::from_str::<Value>(&text).unwrap();
            }
        }
    }
}
