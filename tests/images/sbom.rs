//! An SBOM that goes along with the image, end to end.

use std::fs;

use recompress_image::image::{Digest, media_type};
use serde_json::{Value, json};
use test_support::{
    layout::{gzip, tar, text},
    need, program,
    registry::Registry,
    work_dir,
};

/// Puts a blob into the registry and returns its descriptor.
fn put(registry: &Registry, media_type: &str, content: &[u8]) -> Value {
    let digest = Digest::sha256_of(content);
    registry.put_blob("app", digest.as_str(), content.to_vec());
    json!({"mediaType": media_type, "digest": digest, "size": content.len()})
}

fn put_manifest(registry: &Registry, tag: &str, config: &Value, layer: &Value) -> Digest {
    let manifest = json!({
        "schemaVersion": 2, "mediaType": media_type::OCI_MANIFEST,
        "config": config, "layers": [layer],
    });
    let bytes = manifest.to_string().into_bytes();
    registry.put_manifest("app", tag, media_type::OCI_MANIFEST, &bytes);
    Digest::sha256_of(&bytes)
}

#[test]
fn an_sbom_goes_along_and_a_signature_stays() {
    let test = "an_sbom_goes_along_and_a_signature_stays";
    let Some(registry) = need(test, Registry::start()) else { return };
    let content = tar(5);
    let layer = put(&registry, media_type::OCI_LAYER_GZIP, &gzip(&content));
    let config = json!({
        "os": "linux", "architecture": "amd64",
        "rootfs": {"type": "layers", "diff_ids": [Digest::sha256_of(&content)]},
    });
    let config = put(&registry, media_type::OCI_CONFIG, config.to_string().as_bytes());
    let image = put_manifest(&registry, "1.0", &config, &layer);
    let repository = format!("{}/app", registry.host());
    let sbom = json!({
        "spdxVersion": "SPDX-2.3", "dataLicense": "CC0-1.0", "SPDXID": "SPDXRef-DOCUMENT",
        "name": format!("{repository}@{image}"),
        "documentNamespace": "https://example.com/app/1",
        "creationInfo": {"created": "2024-01-02T03:04:05Z", "creators": ["Tool: test"]},
        "packages": [{
            "SPDXID": "SPDXRef-image", "name": "app", "versionInfo": "1.0",
            "downloadLocation": "NOASSERTION",
            "checksums": [{"algorithm": "SHA256", "checksumValue": image.hex()}],
        }],
        "relationships": [{
            "spdxElementId": "SPDXRef-DOCUMENT", "relationshipType": "DESCRIBES",
            "relatedSpdxElement": "SPDXRef-image",
        }],
    });
    let empty = put(&registry, media_type::OCI_CONFIG, b"{}");
    let document = put(&registry, "text/spdx+json", sbom.to_string().as_bytes());
    put_manifest(&registry, &format!("sha256-{}.sbom", image.hex()), &empty, &document);
    let payload = put(&registry, "application/vnd.dev.cosign.simplesigning.v1+json", b"{\"x\":1}");
    put_manifest(&registry, &format!("sha256-{}.sig", image.hex()), &empty, &payload);

    let results = work_dir();
    let run = || {
        let output = program()
            .args(["convert", &format!("{repository}:1.0@{image}"), "--sbom=copy"])
            .args(["--output=json", "--results-dir"])
            .arg(results.path())
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", text(&output));
        serde_json::from_slice::<Value>(&output.stdout).unwrap()
    };
    let report = run();
    let result = |name: &str| fs::read_to_string(results.path().join(name)).unwrap();
    let new: Digest = result("IMAGE_DIGEST").parse().unwrap();
    let told: Vec<_> = report["attached"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| (item["kind"].as_str().unwrap(), item["carried"].as_bool().unwrap()))
        .collect();
    assert_eq!(told, [("signature", false), ("sbom", true)]);

    // The result leads to the document, the document to the new image.
    let url = result("SBOM_BLOB_URL");
    let (name, digest) = url.split_once('@').unwrap();
    assert_eq!(name, repository);
    let copy: Value = serde_json::from_slice(&registry.blob("app", digest)).unwrap();
    assert!(copy["name"].as_str().unwrap().ends_with(&format!("@{new}")), "{copy}");
    assert_eq!(copy["packages"][0]["checksums"][0]["checksumValue"], new.hex());
    let (_, tagged) = registry.manifest("app", &format!("sha256-{}.sbom", new.hex()));
    let tagged: Value = serde_json::from_slice(&tagged).unwrap();
    assert_eq!(tagged["layers"][0]["digest"], digest);
    let material: Value = serde_json::from_str(&result("SOURCE_ARTIFACT_INPUTS")).unwrap();
    assert_eq!(material, json!({"uri": format!("oci://{repository}"), "digest": image}));

    let before = registry.requests().len();
    assert_eq!(run()["image"], report["image"]);
    assert_eq!(result("SBOM_BLOB_URL"), url);
    let log = registry.requests();
    let uploads = log[before..].iter().filter(|request| request.method == "POST").count();
    assert_eq!(uploads, 0, "uploads of a second run");

    // Without the option it stays behind, and that is told.
    let output = program()
        .args(["convert", &format!("{repository}@{image}"), &format!("{repository}:other")])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", text(&output));
    assert!(text(&output).contains("left on the source: SBOM"), "{}", text(&output));
}
