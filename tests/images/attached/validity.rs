//! Rewritten documents in the eyes of the validators of SPDX and of `CycloneDX`.

use std::{
    path::{Path, PathBuf},
    process::{Command, Output},
};

use recompress_image::{attached::rewrite, image::Digest};
use serde_json::Value;

use super::{
    documents::{cyclonedx_of_konflux, cyclonedx_of_trivy, pretty, spdx_of_konflux, spdx_of_syft},
    subject,
};

/// The Python in the folder that `hack/sbom-tools` makes.
fn python() -> Result<PathBuf, String> {
    let dir = std::env::var_os("RECOMPRESS_SBOM_TOOLS_DIR").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("target/sbom-tools"),
        PathBuf::from,
    );
    let python = dir.join("bin/python");
    if dir.join("complete").exists() {
        Ok(python)
    } else {
        Err(format!("no validators in {}: run hack/sbom-tools", dir.display()))
    }
}

/// The validators, or a test that is skipped aloud, unless it is said that it must not be.
fn need_python(test: &str) -> Option<PathBuf> {
    python()
        .inspect_err(|why| {
            let required = std::env::var_os("RECOMPRESS_REQUIRE_SBOM_TOOLS");
            assert!(required.is_none_or(|value| value != "1"), "{test}: {why}");
            eprintln!("SKIPPED: {test}: {why}");
        })
        .ok()
}

fn validate(python: &Path, files: &[PathBuf]) -> Output {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/images/attached/validate.py");
    Command::new(python).arg(script).args(files).output().unwrap()
}

#[test]
fn rewritten_documents_are_valid() {
    let Some(python) = need_python("rewritten_documents_are_valid") else { return };
    let dir = tempfile::tempdir().unwrap();
    let (old, new) = (Digest::sha256_of(b"old"), Digest::sha256_of(b"new"));
    let source = "quay.io/org/app";
    let mut documents = vec![spdx_of_konflux(source, &old), spdx_of_syft(source, &old)];
    let versions = ["1.2", "1.3", "1.4", "1.5", "1.6", "1.7"];
    documents.extend(versions.map(|version| cyclonedx_of_konflux(version, source, &old)));
    documents.extend(["1.5", "1.6"].map(|version| cyclonedx_of_trivy(version, source, &old)));
    let old = subject("quay.io/org/app:1", &old);
    let mut files = Vec::new();
    for (number, document) in documents.iter().enumerate() {
        for (name, to) in [("registry", "localhost:5000/a/b:1"), ("layout", "oci:/x y/z:1")] {
            let new = subject(to, &new);
            let (_, text) = rewrite(&pretty(document), &old, &new).unwrap();
            let file = dir.path().join(format!("{number}-{name}.spdx.json"));
            std::fs::write(&file, text).unwrap();
            files.push(file);
        }
    }
    let output = validate(&python, &files);
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{told}{}", String::from_utf8_lossy(&output.stderr));
}

/// The validators find what is wrong.
#[test]
fn broken_documents_are_invalid() {
    let Some(python) = need_python("broken_documents_are_invalid") else { return };
    let dir = tempfile::tempdir().unwrap();
    let digest = Digest::sha256_of(b"old");
    let mut spdx = spdx_of_konflux("quay.io/org/app", &digest);
    spdx["relationships"][0]["relatedSpdxElement"] = "SPDXRef-nowhere".into();
    let mut cyclonedx = cyclonedx_of_konflux("1.6", "quay.io/org/app", &digest);
    cyclonedx["metadata"]["component"]["pedigree"] = Value::from("none");
    for (name, document) in [("spdx", spdx), ("cyclonedx", cyclonedx)] {
        let file = dir.path().join(format!("{name}.json"));
        std::fs::write(&file, pretty(&document)).unwrap();
        let output = validate(&python, &[file]);
        assert_eq!(output.status.code(), Some(1), "{name}: {output:?}");
        assert!(!output.stdout.is_empty(), "{name}: {output:?}");
    }
}
