//! The Task and the StepAction, run: what they leave behind, and what would be signed for it.

use std::collections::{BTreeMap, BTreeSet};

use recompress_image::image::{Digest, media_type};
use serde_json::{Value as Json, json};
use test_support::{need, registry::Registry};

use crate::{
    action, chains, conforma,
    dns::NameServer,
    images::{attach_sbom, document, push, push_index},
    pod::Place,
    secured::Secured,
    stepaction_sample, task,
    tekton::{Finished, Results, TaskRun, Value},
};

const NAME: &str = "org/app";

fn start(test: &str) -> Option<(Registry, String)> {
    let registry = need(test, Registry::start())?;
    let repository = format!("{}/{NAME}", registry.host());
    Some((registry, repository))
}

fn run(params: &[(&str, &str)]) -> Finished {
    TaskRun::new("run", Place::best(), params).run(&task().spec)
}

fn text<'a>(results: &'a Results, name: &str) -> &'a str {
    match results.get(name) {
        Some(Value::String(text)) => text,
        other => panic!("{name}: {other:?}"),
    }
}

fn entries(document: &Json) -> Vec<&Json> {
    document["manifests"].as_array().map(|entries| entries.iter().collect()).unwrap_or_default()
}

fn digests(document: &Json) -> Vec<String> {
    entries(document).iter().map(|entry| entry["digest"].as_str().unwrap().to_owned()).collect()
}

/// A run that succeeded reports what it made, all of it and nothing else, and what it was made
/// from; whoever signs and checks by the results comes to the same. Returns the pushed document.
pub(crate) fn check(run: &Finished, registry: &Registry, name: &str, source: &Digest) -> Json {
    let results = &run.results;
    assert_eq!(run.code, 0, "{}", run.log);
    let repository = format!("{}/{name}", registry.host());
    let (url, digest) = (text(results, "IMAGE_URL"), text(results, "IMAGE_DIGEST"));
    assert_eq!(text(results, "IMAGE_REF"), format!("{url}@{digest}"));
    let tag = url.strip_prefix(&format!("{repository}:")).unwrap_or_else(|| panic!("{url}"));
    let pushed = document(registry, name, digest);
    assert_eq!(registry.manifest(name, tag), registry.manifest(name, digest));

    let before = document(registry, name, source.as_str());
    let known: Vec<_> = digests(&before).into_iter().chain([source.to_string()]).collect();
    let mut new = digests(&pushed);
    new.retain(|digest| !known.contains(digest));
    let is_claimed_as_index = !new.is_empty();
    let made: BTreeSet<_> = new
        .into_iter()
        .chain([digest.to_owned()])
        .map(|digest| (repository.clone(), digest))
        .collect();
    let provenance = chains::provenance(results);
    assert_eq!(provenance.subjects, made, "{results:?}");
    assert_eq!(provenance.signed, made);
    let source = (format!("oci://{repository}"), source.to_string());
    assert_eq!(provenance.materials, BTreeSet::from([source]));
    let built = conforma::built(results);
    assert_eq!(built.len(), made.len(), "{built:?}");
    assert_eq!(built.into_iter().collect::<BTreeSet<_>>(), made);

    assert!(!is_claimed_as_index || pushed["mediaType"] == media_type::OCI_INDEX);
    assert_eq!(conforma::is_index(results), is_claimed_as_index);
    let mut names = vec!["IMAGE_DIGEST", "IMAGE_REF", "IMAGE_URL", "SOURCE_ARTIFACT_INPUTS"];
    if is_claimed_as_index {
        names.insert(0, "IMAGES");
    }
    let found: Vec<_> = results.keys().filter(|name| *name != "SBOM_BLOB_URL").collect();
    assert_eq!(found, names.iter().collect::<Vec<_>>());
    for name in names.iter().filter(|name| **name != "SOURCE_ARTIFACT_INPUTS") {
        let value = text(results, name);
        assert!(!value.is_empty() && !value.contains(char::is_whitespace), "{name}: {value:?}");
    }
    pushed
}

/// The compression of each layer of an image.
fn layer_types(registry: &Registry, digest: &str) -> Vec<String> {
    let manifest = document(registry, NAME, digest);
    let layers = manifest["layers"].as_array().unwrap();
    let chunked = "io.github.containers.zstd-chunked.manifest-checksum";
    let kind = |layer: &Json| {
        let suffix = layer["mediaType"].as_str().unwrap().rsplit('.').next().unwrap().to_owned();
        if layer["annotations"][chunked].is_string() { suffix + ", chunked" } else { suffix }
    };
    layers.iter().map(kind).collect()
}

/// Platform, whether marked as zstd, and the layers, of each entry of an index.
fn outline(registry: &Registry, index: &Json) -> Vec<(String, bool, String)> {
    let of_entry = |entry: &Json| {
        let mark = "io.github.containers.compression.zstd";
        let architecture = entry["platform"]["architecture"].as_str().unwrap().to_owned();
        let digest = entry["digest"].as_str().unwrap();
        let layers = layer_types(registry, digest).join(" ");
        (architecture, entry["annotations"][mark] == "true", layers)
    };
    entries(index).into_iter().map(of_entry).collect()
}

const CHUNKED: &str = "tar+zstd, chunked";

#[test]
fn each_format_gives_one_signed_image() {
    let Some((registry, repository)) = start("each_format_gives_one_signed_image") else { return };
    let source = push(&registry, NAME, "1.2", "amd64");
    let image = format!("{repository}:1.2@{source}");
    for (format, suffix, layers) in [
        ("zstd:chunked", "zstd-chunked", CHUNKED),
        ("zstd-chunked", "zstd-chunked", CHUNKED),
        ("zstd", "zstd", "tar+zstd"),
        ("gzip", "gzip", "tar+gzip"),
    ] {
        let run = run(&[("IMAGE", &image), ("COMPRESSION_FORMAT", format)]);
        let pushed = check(&run, &registry, NAME, &source);
        assert_eq!(text(&run.results, "IMAGE_URL"), format!("{repository}:1.2-{suffix}"));
        assert_eq!(layer_types(&registry, text(&run.results, "IMAGE_DIGEST")), [layers]);
        assert_eq!(pushed["annotations"]["org.opencontainers.image.base.name"], "quay.io/base");
    }
}

#[test]
fn a_process_without_mounts_comes_to_the_same() {
    let Some((registry, repository)) = start("a_process_without_mounts") else { return };
    let source = push(&registry, NAME, "1", "amd64");
    let image = format!("{repository}:1@{source}");
    let process = TaskRun::new("run", Place::Process, &[("IMAGE", &image)]).run(&task().spec);
    check(&process, &registry, NAME, &source);
    assert_eq!(process.results, run(&[("IMAGE", &image)]).results);
}

#[test]
fn dual_gives_an_index_with_gzip_first() {
    let Some((registry, repository)) = start("dual_gives_an_index_with_gzip_first") else { return };
    let source = push(&registry, NAME, "1", "arm64");
    let image = format!("{repository}:1@{source}");
    let run = run(&[("IMAGE", &image), ("COMPRESSION_FORMAT", "dual")]);
    let index = check(&run, &registry, NAME, &source);
    let entry = |marked, layers: &str| ("arm64".to_owned(), marked, layers.to_owned());
    assert_eq!(outline(&registry, &index), [entry(false, "tar+gzip"), entry(true, CHUNKED)]);
}

#[test]
fn an_index_becomes_an_index() {
    let Some((registry, repository)) = start("an_index_becomes_an_index") else { return };
    let source = push_index(&registry, NAME, "1", &["amd64", "arm64"]);
    let image = format!("{repository}:1@{source}");
    let gzip = |architecture: &str| (architecture.to_owned(), false, "tar+gzip".to_owned());
    let chunked = |architecture: &str| (architecture.to_owned(), true, CHUNKED.to_owned());

    let all = run(&[("IMAGE", &image), ("ALL_PLATFORMS", "true")]);
    let index = check(&all, &registry, NAME, &source);
    assert_eq!(outline(&registry, &index), [chunked("amd64"), chunked("arm64")]);

    let dual = run(&[("IMAGE", &image), ("ALL_PLATFORMS", "true"), ("COMPRESSION_FORMAT", "dual")]);
    let index = check(&dual, &registry, NAME, &source);
    let mut found = outline(&registry, &index);
    // Old clients take the first that fits; how the platforms mix does not matter to them.
    for architecture in ["amd64", "arm64"] {
        let of = found.iter().filter(|entry| entry.0 == architecture);
        assert_eq!(of.cloned().collect::<Vec<_>>(), [gzip(architecture), chunked(architecture)]);
    }
    assert_eq!(found.len(), 4);

    // What was there stays, to the digest, and is not claimed.
    let add = run(&[("IMAGE", &image), ("ADD_TO_INDEX", "true")]);
    let index = check(&add, &registry, NAME, &source);
    let kept = digests(&document(&registry, NAME, source.as_str()));
    assert_eq!(digests(&index).iter().filter(|digest| kept.contains(digest)).count(), 2);
    assert_eq!(text(&add.results, "IMAGES").split(',').count(), 2);
    found = outline(&registry, &index);
    found.sort();
    assert_eq!(found, [gzip("amd64"), chunked("amd64"), gzip("arm64"), chunked("arm64")]);
}

/// Tekton passes on 4096 bytes at most, and the binary finds out before it has pushed anything that
/// nobody would hear of. Where it does not, [`crate::tekton`] would.
#[test]
fn results_that_would_not_fit_are_found_out_first() {
    let Some((registry, _)) = start("results_that_would_not_fit") else { return };
    let name = format!("org/{}", "long-name-".repeat(6) + "app");
    let architectures: Vec<_> = (0..30).map(|n| format!("arch{n}")).collect();
    let architectures: Vec<_> = architectures.iter().map(String::as_str).collect();
    let mut codes = Vec::new();
    for count in [18, 30] {
        let tag = count.to_string();
        let source = push_index(&registry, &name, &tag, &architectures[..count]);
        let image = format!("{}/{name}:{tag}@{source}", registry.host());
        let before = registry.requests().len();
        let run = run(&[("IMAGE", &image), ("ALL_PLATFORMS", "true")]);
        codes.push(run.code);
        if run.code == 0 {
            check(&run, &registry, &name, &source);
            continue;
        }
        assert_eq!(run.results, Results::new());
        assert!(run.log.contains("4096"), "{}", run.log);
        let writes = registry.requests().split_off(before);
        let writes: Vec<_> = writes.iter().filter(|r| r.method == "PUT").collect();
        assert!(writes.is_empty(), "{writes:?}");
    }
    assert_eq!(codes, [0, 2]);
}

/// A second run over its own result claims no image that it has not made.
#[test]
fn an_index_that_lacks_nothing_stays_as_it_is() {
    let Some((registry, repository)) = start("an_index_that_lacks_nothing") else { return };
    let source = push_index(&registry, NAME, "1", &["amd64", "arm64"]);
    let image = format!("{repository}:1@{source}");
    let first = run(&[("IMAGE", &image), ("COMPRESSION_FORMAT", "dual")]);
    let made: Digest = text(&first.results, "IMAGE_DIGEST").parse().unwrap();
    let image = text(&first.results, "IMAGE_REF");
    let second = run(&[("IMAGE", image), ("COMPRESSION_FORMAT", "dual")]);
    check(&second, &registry, NAME, &made);
    assert_eq!(text(&second.results, "IMAGE_DIGEST"), made.as_str());
    assert!(!second.results.contains_key("IMAGES"));
}

#[test]
fn an_sbom_is_carried_over_and_found_by_the_result() {
    let Some((registry, repository)) = start("an_sbom_is_carried_over") else { return };
    let source = push(&registry, NAME, "1", "amd64");
    let name = format!("{repository}@{source}");
    let purl = format!("pkg:oci/app@{source}?repository_url={repository}");
    let sbom = json!({
        "spdxVersion": "SPDX-2.3", "SPDXID": "SPDXRef-DOCUMENT", "name": name,
        "packages": [{
            "SPDXID": "SPDXRef-image", "name": "app", "downloadLocation": "NOASSERTION",
            "externalRefs": [{
                "referenceCategory": "PACKAGE-MANAGER", "referenceType": "purl",
                "referenceLocator": purl,
            }],
        }],
        "relationships": [{
            "spdxElementId": "SPDXRef-DOCUMENT", "relationshipType": "DESCRIBES",
            "relatedSpdxElement": "SPDXRef-image",
        }],
    });
    attach_sbom(&registry, NAME, &source, &sbom);
    let image = format!("{repository}:1@{source}");
    let copied = run(&[("IMAGE", &image)]);
    check(&copied, &registry, NAME, &source);
    let digest = text(&copied.results, "IMAGE_DIGEST");
    let blob = conforma::sbom(&copied.results, digest).unwrap();
    let blob = blob.strip_prefix(&format!("{repository}@")).unwrap();
    let found: Json = serde_json::from_slice(&registry.blob(NAME, blob)).unwrap();
    // `sbom_spdx.matches_image` goes by the end of the document's name.
    assert!(found["name"].as_str().unwrap().ends_with(&format!("@{digest}")), "{found}");

    let without = run(&[("IMAGE", &image), ("SBOM", "none")]);
    check(&without, &registry, NAME, &source);
    assert!(!without.results.contains_key("SBOM_BLOB_URL"));
}

#[test]
fn a_tag_can_expire() {
    let Some((registry, repository)) = start("a_tag_can_expire") else { return };
    let source = push(&registry, NAME, "1", "amd64");
    let image = format!("{repository}:1@{source}");
    let run = run(&[("IMAGE", &image), ("IMAGE_EXPIRES_AFTER", "5d")]);
    let pushed = check(&run, &registry, NAME, &source);
    assert_eq!(pushed["annotations"]["quay.expires-after"], "5d");
    assert_eq!(pushed["config"], document(&registry, NAME, source.as_str())["config"]);
}

#[test]
fn the_stepaction_gives_its_task_the_same_results() {
    let Some((registry, repository)) = start("the_stepaction_gives_the_same") else { return };
    let source = push(&registry, NAME, "1", "amd64");
    let image = format!("{repository}:1@{source}");
    let (action, sample) = (action(), stepaction_sample());
    let mut run = TaskRun::new("run", Place::best(), &[("IMAGE", &image)]);
    run.actions.insert("recompress-image", &action.spec);
    let of_action = run.run(&sample.spec);
    check(&of_action, &registry, NAME, &source);
    let of_task = TaskRun::new("run", Place::best(), &[("IMAGE", &image)]).run(&task().spec);
    assert_eq!(of_action.results, of_task.results);
}

/// Written before the run has failed, they would be signed.
#[test]
fn a_failed_run_leaves_no_results() {
    let Some((registry, repository)) = start("a_failed_run_leaves_no_results") else { return };
    let image = format!("{repository}:1@{}", push(&registry, NAME, "1", "amd64"));
    let index = format!("{repository}:2@{}", push_index(&registry, NAME, "2", &["amd64", "arm64"]));
    let tag = format!("{repository}:1");
    let unknown = format!("{repository}:1@{}", Digest::sha256_of(b"something else"));
    let nowhere = format!("{repository}:1@sha256:0");
    for (params, code, word) in [
        (vec![("IMAGE", tag.as_str())], 2, "digest"),
        (vec![("IMAGE", &nowhere)], 2, "digest"),
        (vec![("IMAGE", &unknown)], 6, "sha256"),
        (vec![("IMAGE", &index)], 5, "linux/arm64"),
        (vec![("IMAGE", &image), ("COMPRESSION_FORMAT", "xz")], 2, "xz"),
        (vec![("IMAGE", &image), ("COMPRESSION_LEVEL", "99")], 2, "99"),
        (vec![("IMAGE", &image), ("ALL_PLATFORMS", "maybe")], 2, "maybe"),
        (vec![("IMAGE", &image), ("SBOM", "all")], 2, "SBOM"),
        (vec![("IMAGE", &index), ("SOURCE_PLATFORM", "linux/s390x")], 5, "linux/arm64"),
        (vec![("IMAGE", &index), ("SOURCE_PLATFORM", "linux")], 2, "SOURCE_PLATFORM"),
        (
            vec![("IMAGE", &index), ("SOURCE_PLATFORM", "linux/amd64,linux/arm64")],
            2,
            "ALL_PLATFORMS",
        ),
        (vec![("IMAGE", &image), ("RESULTS_LIMIT", "1")], 2, "RESULTS_LIMIT"),
        (vec![("IMAGE", &image), ("REUSE_FROM", "none,base")], 2, "REUSE_FROM"),
        (vec![("IMAGE", &image), ("LOG_LEVEL", "a=b=c")], 2, "LOG_LEVEL"),
        (vec![("IMAGE", &image), ("TLSVERIFY", "maybe")], 2, "TLSVERIFY"),
        (vec![("IMAGE", &image), ("IMAGE_EXPIRES_AFTER", "soon")], 2, "soon"),
    ] {
        let run = run(&params);
        assert_eq!(run.code, code, "{params:?}: {}", run.log);
        assert_eq!(run.results, Results::new(), "{params:?}");
        assert!(run.log.contains(word), "{params:?}: {}", run.log);
        // Params have no names like those of options.
        assert!(!run.log.contains("--"), "{params:?}: {}", run.log);
    }
}

/// A company's registry: its own authority in the ConfigMap, a log-in for one repository in the
/// secret, no HOME, and a user that is in no list.
#[test]
fn credentials_and_authorities_are_those_of_the_namespace() {
    let test = "credentials_and_authorities_are_those_of_the_namespace";
    if Place::best() == Place::Process {
        eprintln!("SKIPPED: {test}: the registry's name is known in a container only");
        return;
    }
    let Some((registry, repository)) = start(test) else { return };
    let Some(secured) = need(test, Secured::start()) else { return };
    let source = push(&registry, NAME, "1", "amd64");
    let image = format!("{repository}:1@{source}");
    let destination = format!("{}/team/app:1", secured.host());
    let params = [("IMAGE", image.as_str()), ("DESTINATION_IMAGE", &destination)];
    let map = |name: &str| {
        let data = BTreeMap::from([("ca-bundle.crt".to_owned(), secured.ca())]);
        BTreeMap::from([(name.to_owned(), data)])
    };
    let with = |credentials, config_maps| {
        let mut run = TaskRun::new("run", Place::Container, &params);
        (run.credentials, run.config_maps) = (credentials, config_maps);
        run.run(&task().spec)
    };
    for key in ["", "/team", "/team/app"] {
        let done = with(Some(secured.credentials(key)), map("trusted-ca"));
        assert_eq!(done.code, 0, "{key}: {}", done.log);
        assert_eq!(text(&done.results, "IMAGE_URL"), destination);
        assert!(!done.log.contains("secret"), "{}", done.log);
    }
    let other = Some(secured.credentials("/other"));
    for (credentials, config_maps, code) in [
        (None, map("trusted-ca"), 3),
        (other, map("trusted-ca"), 3),
        (Some(secured.credentials("")), BTreeMap::new(), 6),
        (Some(secured.credentials("")), map("another"), 6),
    ] {
        let failed = with(credentials, config_maps);
        assert_eq!(failed.code, code, "{}", failed.log);
        assert!(!failed.log.contains("--"), "{}", failed.log);
        assert_eq!(failed.results, Results::new());
    }
}

/// A cluster's name server, with the search list that pods have; and the pod's own list comes first.
#[test]
fn names_are_those_of_the_cluster() {
    let test = "names_are_those_of_the_cluster";
    if Place::best() == Place::Process {
        eprintln!("SKIPPED: {test}: a process has the names of the machine");
        return;
    }
    let Some((registry, repository)) = start(test) else { return };
    let Some(secured) = need(test, Secured::start()) else { return };
    let server = NameServer::start("registry.test").unwrap();
    let stranger = NameServer::start("another.test").unwrap();
    let with = |image: &str, format: &str, aliases: &[&'static str], server| {
        let destination = format!("{}/team/app:{format}", secured.host());
        let params =
            [("IMAGE", image), ("DESTINATION_IMAGE", &destination), ("COMPRESSION_FORMAT", format)];
        let mut run = TaskRun::new("run", Place::Container, &params);
        run.credentials = Some(secured.credentials(""));
        let data = BTreeMap::from([("ca-bundle.crt".to_owned(), secured.ca())]);
        run.config_maps = BTreeMap::from([("trusted-ca".to_owned(), data)]);
        run.host_aliases = aliases.to_vec();
        run.name_server = Some(server);
        run.run(&task().spec)
    };
    let image = format!("{repository}:1@{}", push(&registry, NAME, "1", "amd64"));
    let pushed = with(&image, "gzip", &[], &server);
    assert_eq!(pushed.code, 0, "{}", pushed.log);
    // From the same registry, which asks for a log-in to pull, too.
    let dual = with(text(&pushed.results, "IMAGE_REF"), "dual", &[], &server);
    assert_eq!(dual.code, 0, "{}", dual.log);
    assert!(dual.results.contains_key("IMAGES"));
    let asked = server.asked();
    for name in ["registry.test", "registry.test.builds.svc.cluster.local"] {
        assert!(asked.iter().any(|asked| asked == name), "{asked:?}");
    }

    let unknown = with(&image, "zstd", &[], &stranger);
    assert_eq!((unknown.code, &unknown.results), (6, &Results::new()), "{}", unknown.log);
    assert!(unknown.log.contains("does not resolve"), "{}", unknown.log);
    assert!(stranger.asked().iter().any(|asked| asked == "registry.test"));
    let aliased = with(&image, "zstd", &["registry.test"], &stranger);
    assert_eq!(aliased.code, 0, "{}", aliased.log);
}
