//! SBOMs in the forms that common tools write.

use recompress_image::image::Digest;
use serde_json::{Value, json};

/// Of another package than the image; nobody may touch it.
pub(crate) const BASE: &str =
    "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";

/// As konflux-ci/mobster writes SPDX: the digest in name, namespace, checksum and package URL.
pub(crate) fn spdx_of_konflux(repository: &str, digest: &Digest) -> Value {
    let (hex, last) = (digest.hex(), repository.rsplit('/').next().unwrap());
    json!({
        "SPDXID": "SPDXRef-DOCUMENT",
        "creationInfo": {
            "created": "2026-01-02T03:04:05Z",
            "creators": ["Organization: Anchore, Inc", "Tool: syft-1.4.1", "Tool: Konflux CI"],
            "licenseListVersion": "3.25"
        },
        "dataLicense": "CC0-1.0",
        "name": format!("{repository}@{digest}"),
        "spdxVersion": "SPDX-2.3",
        "documentNamespace": format!("https://konflux-ci.dev/spdxdocs/{repository}@{digest}-accf7ec6"),
        "packages": [
            {
                "SPDXID": "SPDXRef-image-app",
                "checksums": [{ "algorithm": "SHA256", "checksumValue": hex }],
                "downloadLocation": "NOASSERTION",
                "externalRefs": [{
                    "referenceCategory": "PACKAGE_MANAGER",
                    "referenceLocator":
                        format!("pkg:oci/{last}@{digest}?arch=amd64&repository_url={repository}"),
                    "referenceType": "purl"
                }],
                "filesAnalyzed": false,
                "licenseDeclared": "NOASSERTION",
                "name": "app_amd64",
                "supplier": "Organization: Example",
                "versionInfo": "v1.2"
            },
            {
                "SPDXID": "SPDXRef-image-base",
                "annotations": [{
                    "annotationDate": "2026-01-02T03:04:05Z",
                    "annotationType": "OTHER",
                    "annotator": "Tool: konflux:jsonencoded",
                    "comment": "{\"name\":\"konflux:container:is_base_image\",\"value\":\"true\"}"
                }],
                "checksums": [{ "algorithm": "SHA256", "checksumValue": &BASE[7..] }],
                "downloadLocation": "NOASSERTION",
                "externalRefs": [{
                    "referenceCategory": "PACKAGE_MANAGER",
                    "referenceLocator": format!("pkg:oci/ubi9@{BASE}?repository_url=quay.io/ubi9"),
                    "referenceType": "purl"
                }],
                "filesAnalyzed": false,
                "name": "ubi9"
            },
            {
                "SPDXID": "SPDXRef-Package-bytes",
                "comment": format!("mentions {hex}, and is not it"),
                "downloadLocation": "https://example.com/bytes-3.1.2.tgz",
                "filesAnalyzed": false,
                "name": "bytes",
                "versionInfo": "3.1.2"
            }
        ],
        "relationships": [
            {
                "spdxElementId": "SPDXRef-DOCUMENT",
                "relationshipType": "DESCRIBES",
                "relatedSpdxElement": "SPDXRef-image-app"
            },
            {
                "spdxElementId": "SPDXRef-image-app",
                "relationshipType": "DESCENDANT_OF",
                "relatedSpdxElement": "SPDXRef-image-base"
            },
            {
                "spdxElementId": "SPDXRef-image-app",
                "relationshipType": "CONTAINS",
                "relatedSpdxElement": "SPDXRef-Package-bytes"
            }
        ]
    })
}

/// As syft writes SPDX of an image: the digest as its version, and a name without one.
pub(crate) fn spdx_of_syft(repository: &str, digest: &Digest) -> Value {
    let encoded = digest.as_str().replace(':', "%3A");
    json!({
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": "SPDXRef-DOCUMENT",
        "name": repository,
        "documentNamespace": "https://anchore.com/syft/image/app-b66779b6-6e20-4128-9fad-da28250a1b82",
        "creationInfo": {
            "licenseListVersion": "3.25",
            "creators": ["Tool: syft-1.20.0"],
            "created": "2026-01-02T03:04:05Z"
        },
        "packages": [{
            "name": repository,
            "SPDXID": "SPDXRef-DocumentRoot-Image-app",
            "versionInfo": digest,
            "supplier": "NOASSERTION",
            "downloadLocation": "NOASSERTION",
            "filesAnalyzed": false,
            "checksums": [{ "algorithm": "SHA256", "checksumValue": digest.hex() }],
            "licenseConcluded": "NOASSERTION",
            "licenseDeclared": "NOASSERTION",
            "copyrightText": "NOASSERTION",
            "externalRefs": [{
                "referenceCategory": "PACKAGE-MANAGER",
                "referenceType": "purl",
                "referenceLocator": format!("pkg:oci/app@{encoded}?arch=amd64&tag=1.2")
            }],
            "primaryPackagePurpose": "CONTAINER"
        }],
        "relationships": [{
            "spdxElementId": "SPDXRef-DOCUMENT",
            "relatedSpdxElement": "SPDXRef-DocumentRoot-Image-app",
            "relationshipType": "DESCRIBES"
        }]
    })
}

/// As konflux-ci/mobster writes `CycloneDX`: the image is among the components too.
pub(crate) fn cyclonedx_of_konflux(version: &str, repository: &str, digest: &Digest) -> Value {
    let last = repository.rsplit('/').next().unwrap();
    let component = json!({
        "bom-ref": "BomRef.152212230381627.430843065618256",
        "hashes": [{ "alg": "SHA-256", "content": digest.hex() }],
        "name": last,
        "purl": format!("pkg:oci/{last}@{digest}?repository_url={repository}"),
        "type": "container",
        "version": "v1.2"
    });
    json!({
        "bomFormat": "CycloneDX",
        "specVersion": version,
        "serialNumber": "urn:uuid:89c5c80f-20e4-4f92-9e50-852beee500a6",
        "version": 3,
        "metadata": {
            "timestamp": "2026-01-02T03:04:05+00:00",
            "component": component,
        },
        "components": [
            component_of_base(),
            {
                "bom-ref": "BomRef.file",
                "hashes": [{ "alg": "SHA-256", "content": &BASE[7..] }],
                "name": "model.gguf",
                "type": "file",
                "version": "1",
                "description": format!("mentions {digest}, and is not it")
            }
        ],
        "dependencies": [{
            "ref": "BomRef.152212230381627.430843065618256",
            "dependsOn": ["BomRef.file"]
        }]
    })
}

fn component_of_base() -> Value {
    json!({
        "bom-ref": "BomRef.base",
        "name": "ubi9",
        "purl": format!("pkg:oci/ubi9@{BASE}?repository_url=quay.io/ubi9"),
        "type": "container",
        "version": "9"
    })
}

/// As trivy writes `CycloneDX`: the package URL is the `bom-ref` too, tools are an object, and the
/// image has a pedigree already.
pub(crate) fn cyclonedx_of_trivy(version: &str, repository: &str, digest: &Digest) -> Value {
    let encoded = digest.as_str().replace(':', "%3A");
    let purl = format!("pkg:oci/app@{encoded}?arch=amd64&repository_url={repository}");
    json!({
        "$schema": format!("http://cyclonedx.org/schema/bom-{version}.schema.json"),
        "bomFormat": "CycloneDX",
        "specVersion": version,
        "serialNumber": "urn:uuid:3e671687-395b-41f5-a30f-a58921a69b79",
        "version": 1,
        "metadata": {
            "timestamp": "2026-01-02T03:04:05+00:00",
            "tools": {
                "components": [{ "type": "application", "name": "trivy", "version": "0.60.0" }]
            },
            "component": {
                "bom-ref": purl,
                "type": "container",
                "name": format!("{repository}@{digest}"),
                "version": digest,
                "purl": purl,
                "pedigree": { "ancestors": [component_of_base()], "notes": "from a base image" },
                "properties": [{ "name": "aquasecurity:trivy:SchemaVersion", "value": "2" }]
            }
        },
        "components": [{
            "bom-ref": "pkg:apk/alpine/musl@1.2.5",
            "type": "library",
            "name": "musl",
            "version": "1.2.5",
            "evidence": {
                "identity": {
                    "field": "purl", "confidence": 0.10,
                    "methods": [{ "technique": "filename", "confidence": 1.0 }]
                }
            }
        }],
        "dependencies": [
            { "ref": purl, "dependsOn": ["pkg:apk/alpine/musl@1.2.5"] },
            { "ref": "pkg:apk/alpine/musl@1.2.5", "dependsOn": [] }
        ]
    })
}

pub(crate) fn pretty(document: &Value) -> Vec<u8> {
    serde_json::to_vec_pretty(document).unwrap()
}
