//! Artifacts against the types of Tekton (tektoncd/pipeline, `pkg/apis/pipeline/v1/artifact_types.go`), and
//! against the results of the same run.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
    process::{Command, Output},
};

use recompress_image::image::Digest;
use serde::Deserialize;
use serde_json::{Value as Json, json};
use test_support::{need, program, registry::Registry, work_dir};

use crate::{
    NAME,
    images::{attach_sbom, document, push, push_index},
};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Artifacts {
    inputs: Vec<Artifact>,
    outputs: Vec<Artifact>,
}

/// What another run has written.
const EARLIER: &str = r#"{"inputs":[],"outputs":[]}"#;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Artifact {
    name: String,
    values: Vec<ArtifactValue>,
    #[serde(default)]
    build_output: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ArtifactValue {
    digest: BTreeMap<String, String>,
    uri: String,
}

fn convert(source: &str, destination: &str, artifacts: &Path) -> Command {
    let mut command = program();
    command.args(["convert", source, destination, "--artifacts-path"]).arg(artifacts);
    command
}

fn ends(mut command: Command, code: i32, words: &str) -> Output {
    let output = command.output().unwrap();
    let log = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{log}");
    assert!(log.contains(words), "no {words:?} in {log}");
    output
}

/// The digests of values, each of which names it twice: in its own field and in its URI.
fn digests(artifacts: &[Artifact], repository: &str) -> Vec<String> {
    let values = artifacts.iter().flat_map(|artifact| &artifact.values);
    let digest = |value: &ArtifactValue| {
        let [(algorithm, hex)] = &value.digest.iter().collect::<Vec<_>>()[..] else { panic!() };
        assert!(value.uri.contains(&format!("{algorithm}:{hex}")), "{}", value.uri);
        assert!(value.uri.contains(repository), "{}", value.uri);
        format!("{algorithm}:{hex}")
    };
    values.map(digest).collect()
}

/// Outputs are what the results report, each digest once, and served by the registry; the source is an
/// input, and images that were kept are neither. All of it is as large as the plan says, at most.
#[test]
fn artifacts_agree_with_the_results() {
    let Some(registry) = need("artifacts_agree_with_the_results", Registry::start()) else {
        return;
    };
    let repository = format!("{}/{NAME}", registry.host());
    let single = push(&registry, NAME, "1", "amd64");
    attach_sbom(
        &registry,
        NAME,
        &single,
        &json!({
            "spdxVersion": "SPDX-2.3", "SPDXID": "SPDXRef-DOCUMENT", "name": "x",
            "dataLicense": "CC0-1.0", "documentNamespace": "https://example.com/x",
            "creationInfo": { "created": "2026-01-01T00:00:00Z", "creators": ["Tool: x"] },
            "packages": [{ "SPDXID": "SPDXRef-image", "name": "x", "downloadLocation": "NOASSERTION",
                "externalRefs": [{ "referenceCategory": "PACKAGE-MANAGER", "referenceType": "purl",
                    "referenceLocator": format!("pkg:oci/x@{single}?repository_url={repository}") }] }],
            "relationships": [{ "spdxElementId": "SPDXRef-DOCUMENT", "relationshipType": "DESCRIBES",
                "relatedSpdxElement": "SPDXRef-image" }],
        }),
    );
    let index = push_index(&registry, NAME, "2", &["amd64", "arm64"]);
    let dual = "--compression-format=dual";
    for (tag, source, options, made) in [
        ("single", &single, &["--sbom=copy"][..], 1),
        ("all", &index, &["--all-platforms"], 3),
        ("dual", &index, &[dual], 3),
        // Everything is there already.
        ("again", &index, &[dual], 3),
    ] {
        let dir = work_dir();
        let (path, results) = (dir.path().join("provenance.json"), dir.path().join("results"));
        fs::create_dir(&results).unwrap();
        fs::write(&path, EARLIER).unwrap();
        let destination = format!("{repository}:{}", tag.replace("again", "dual"));
        let source_name = format!("{repository}@{source}");
        let command = |more: &[&str]| {
            let mut command = convert(&source_name, &destination, &path);
            command.args(options).args(more).arg("--results-dir").arg(&results);
            command
        };
        let plan = ends(command(&["--dry-run", "--output=json"]), 0, "").stdout;
        assert_eq!(fs::read_to_string(&path).unwrap(), EARLIER, "it was a dry run");
        let plan: Json = serde_json::from_slice(&plan).unwrap();
        ends(command(&[]), 0, "published");

        let text = fs::read_to_string(&path).unwrap();
        let artifacts: Artifacts = serde_json::from_str(&text).unwrap();
        let result = |name: &str| fs::read_to_string(results.join(name)).unwrap_or_default();
        let (built, other): (Vec<_>, Vec<_>) =
            artifacts.outputs.into_iter().partition(|output| output.build_output);
        let built_digests = digests(&built, &repository);
        let images = result("IMAGES");
        let images = images.split(',').filter_map(|image| image.split_once('@')).map(|of| of.1);
        let reported: BTreeSet<_> =
            images.map(str::to_owned).chain([result("IMAGE_DIGEST")]).collect();
        assert_eq!(built_digests.len(), reported.len(), "{tag}: each once");
        assert_eq!(built_digests.iter().cloned().collect::<BTreeSet<_>>(), reported, "{tag}");
        assert_eq!(built_digests.len(), made, "{tag}: {text}");
        assert_eq!(built[0].name, "image");
        for digest in &built_digests {
            document(&registry, NAME, digest);
        }
        let sbom = result("SBOM_BLOB_URL");
        let sbom: Vec<_> =
            sbom.split_once('@').map(|(_, digest)| digest.to_owned()).into_iter().collect();
        assert_eq!(digests(&other, &repository), sbom, "{tag}");
        assert_eq!(sbom.len(), usize::from(tag == "single"));
        assert_eq!(digests(&artifacts.inputs, &repository), [source.to_string()]);
        assert_eq!(artifacts.inputs[0].name, "source");

        // The termination message, as Tekton's entrypoint writes it.
        let mut message =
            vec![json!({ "key": "StartedAt", "value": "2026-01-01T00:00:00.000Z", "type": 3 })];
        for file in fs::read_dir(&results).unwrap() {
            let (name, path) = file.map(|file| (file.file_name(), file.path())).unwrap();
            let value = fs::read_to_string(path).unwrap();
            message.push(json!({ "key": name.to_str().unwrap(), "value": value, "type": 1 }));
        }
        message.push(json!({ "key": path.to_str().unwrap(), "value": text, "type": 5 }));
        let (message, planned) = (json!(message).to_string().len(), &plan["results"]["size"]);
        assert!(message as u64 <= planned.as_u64().unwrap(), "{tag}: {message} of {planned}");
    }
}

/// A run that fails, however early, leaves no artifacts, also none of an earlier run.
#[test]
fn artifacts_of_a_failed_run_are_gone() {
    let test = "artifacts_of_a_failed_run_are_gone";
    let Some(registry) = need(test, Registry::start()) else { return };
    let repository = format!("{}/{NAME}", registry.host());
    let source = format!("{repository}@{}", push(&registry, NAME, "1", "amd64"));
    let missing = format!("{repository}@{}", Digest::sha256_of(b"missing"));
    let destination = format!("{repository}:out");
    let dir = work_dir();
    let path = dir.path().join("provenance.json");
    for (source, options, code, words) in [
        (&source, &["--no-such-option"][..], 2, "unexpected argument"),
        (&source, &["--compression-format=xz"], 2, "invalid value 'xz'"),
        (&missing, &[], 6, "not found"),
        (&source, &["--platform=linux/s390x"], 5, "not for linux/s390x"),
        (
            &source,
            &["--results-limit=1000", "--sbom=copy", "--results-dir=/nonexistent"],
            7,
            "/nonexistent",
        ),
        (&source, &["--resolve-tag"], 2, "cannot be used with --artifacts-path"),
    ] {
        fs::write(&path, EARLIER).unwrap();
        let mut command = convert(source, &destination, &path);
        command.args(options);
        ends(command, code, words);
        assert!(!path.exists(), "{options:?}");
    }
    // By the variable, too, and before the arguments are read.
    fs::write(&path, EARLIER).unwrap();
    let mut command = program();
    command.args(["convert", "--nonsense"]).env("RECOMPRESS_ARTIFACTS_PATH", &path);
    ends(command, 2, "--nonsense");
    assert!(!path.exists());

    fs::create_dir(&path).unwrap();
    ends(convert(&source, &destination, &path), 7, "cannot write artifacts to");
    let nowhere = dir.path().join("none/provenance.json");
    ends(
        convert(&source, &destination, &nowhere),
        7,
        "no such directory; nothing was published; create the directory",
    );
    // The plan would fail in the same way.
    let mut plan = convert(&source, &destination, &nowhere);
    plan.arg("--dry-run");
    ends(plan, 7, "no such directory; nothing was published; create the directory");
    let put = registry.requests().into_iter().find(|put| put.path.ends_with("/manifests/out"));
    assert!(put.is_none_or(|put| put.method != "PUT"), "nothing was published");
}
