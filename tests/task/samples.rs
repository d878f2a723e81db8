//! The samples: whether they fit the Task, and what becomes of them when they are run.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use recompress_image::image::{Digest, media_type};
use serde::de::DeserializeOwned;
use serde_json::Value as Json;
use test_support::{need, read, registry::Registry};

use crate::{
    NAME,
    definition::{
        Object, Param, ParamValue, PipelineRunSpec, PipelineSpec, PipelineTask, Reference,
        TaskRunSpec,
    },
    images::{document, push},
    matrix::Scope,
    pod::Place,
    readme::{help, variables},
    runs::check,
    task,
    tekton::{Results, TaskRun, Value},
    yaml::names,
};

fn strict<T: DeserializeOwned>(document: Json, path: &str) -> T {
    serde_json::from_value(document).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn documents(path: &str) -> Vec<Json> {
    serde_saphyr::from_multiple(&read(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// All files of a folder of the repository.
fn files(folder: &str) -> Vec<String> {
    let entries = fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(folder)).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let is_yaml = |name: &String| Path::new(name).extension().is_some_and(|of| of == "yaml");
    names.filter(is_yaml).map(|name| format!("{folder}/{name}")).collect()
}

/// The YAML in a README.
fn snippets(path: &str) -> Vec<String> {
    let text = read(path);
    let blocks = text.split("\n```yaml\n").skip(1);
    blocks.map(|block| block.split("\n```").next().unwrap().to_owned()).collect()
}

/// The pipelines in a sample, inline ones too.
fn pipelines(path: &str) -> Vec<PipelineSpec> {
    let spec = |document: Json| match document["kind"].as_str().unwrap() {
        "Pipeline" => Some(strict::<Object<PipelineSpec>>(document, path).spec),
        "PipelineRun" => strict::<Object<PipelineRunSpec>>(document, path).spec.pipeline_spec,
        _ => None,
    };
    documents(path).into_iter().filter_map(spec).collect()
}

fn is_ours(reference: &Reference) -> bool {
    let path = format!("task/{NAME}/{NAME}.yaml");
    let named = |param: &Param| match (param.name.as_str(), &param.value) {
        ("name", ParamValue::String(name)) => name == NAME,
        ("pathInRepo", ParamValue::String(of)) => *of == path,
        _ => false,
    };
    match &reference.resolver {
        None => reference.name.as_deref() == Some(NAME),
        Some(_) => reference.params.iter().any(named),
    }
}

/// The params are those of our Task, and the one that has no default is among them.
fn check_params<'a>(path: &str, given: impl IntoIterator<Item = &'a str>) {
    let declared: BTreeSet<_> = task().spec.params.into_iter().map(|param| param.name).collect();
    let given = names(given);
    for name in &given {
        assert!(declared.contains(*name), "{path}: there is no param {name}");
    }
    assert!(given.contains("IMAGE"), "{path}: IMAGE is missing");
}

fn texts(value: &ParamValue) -> Vec<&str> {
    match value {
        ParamValue::String(text) => vec![text],
        ParamValue::Array(words) => words.iter().map(String::as_str).collect(),
    }
}

/// What a value refers to exists, and is of the type that is wanted.
fn check_references(path: &str, pipeline: &PipelineSpec, text: &str) {
    let strings = task().spec.results;
    for term in text.split("$(").skip(1).map(|rest| rest.split(')').next().unwrap()) {
        let parts: Vec<_> = term.split('.').collect();
        match parts.as_slice() {
            ["params", name] => {
                let (name, kind) = match name.strip_suffix("[*]") {
                    Some(name) => (name, "array"),
                    None => (*name, "string"),
                };
                let found = pipeline.params.iter().find(|param| param.name == name);
                assert_eq!(found.map(|param| param.kind.as_str()), Some(kind), "{path}: {term}");
            }
            ["tasks", name, "results", result] => {
                let of = pipeline.tasks.iter().find(|task| task.name == *name);
                let of = of.unwrap_or_else(|| panic!("{path}: {term}"));
                let (result, is_gathered) = match result.strip_suffix("[*]") {
                    Some(result) => (result, true),
                    None => (*result, false),
                };
                assert_eq!(is_gathered, of.matrix.is_some(), "{path}: {term}");
                if of.task_ref.as_ref().is_some_and(is_ours) {
                    let kind = strings.iter().find(|r| r.name == result).map(|r| r.kind.as_str());
                    assert_eq!(kind, Some("string"), "{path}: {term}");
                }
            }
            _ => panic!("{path}: {term}"),
        }
    }
}

fn check_pipeline(path: &str, pipeline: &PipelineSpec) -> usize {
    names(pipeline.tasks.iter().map(|task| task.name.as_str()));
    let mut ours = 0;
    for task in &pipeline.tasks {
        let of_matrix = task.matrix.iter().flat_map(|matrix| &matrix.params);
        let all: Vec<_> = task.params.iter().chain(of_matrix).collect();
        if task.task_ref.as_ref().is_some_and(is_ours) {
            check_params(path, all.iter().map(|param| param.name.as_str()));
            ours += 1;
        }
        for text in all.iter().flat_map(|param| texts(&param.value)) {
            check_references(path, pipeline, text);
        }
        for before in &task.run_after {
            assert!(pipeline.tasks.iter().any(|task| task.name == *before), "{path}: {before}");
        }
    }
    for result in &pipeline.results {
        check_references(path, pipeline, &result.value);
        // Tekton finds results of a matrix only if a later task consumes them.
        if let Some(gathered) = result.value.strip_suffix("[*])") {
            let consumed = pipeline.tasks.iter().flat_map(|task| {
                let of_matrix = task.matrix.iter().flat_map(|matrix| &matrix.params);
                task.params.iter().chain(of_matrix).flat_map(|param| texts(&param.value))
            });
            assert!(
                consumed.into_iter().any(|text| text.starts_with(gathered)),
                "{path}: {gathered}"
            );
        }
    }
    ours
}

#[test]
fn samples_fit_the_task() {
    let mut found = BTreeMap::<String, usize>::new();
    for path in files(&format!("task/{NAME}/samples")) {
        let runs =
            documents(&path).iter().filter(|document| document["kind"] != "Pipeline").count();
        assert!(
            runs == 0 || documents(&path).len() == 1,
            "{path}: all of it is created or applied"
        );
    }
    for path in
        files(&format!("task/{NAME}/samples")).iter().chain(&files(&format!("task/{NAME}/tests")))
    {
        for document in documents(path) {
            let kind = document["kind"].as_str().unwrap().to_owned();
            *found.entry(kind.clone()).or_default() += 1;
            let is_generated = |document: &Json| document["metadata"]["generateName"].is_string();
            let is_run = kind.ends_with("Run");
            assert_eq!(is_generated(&document), is_run, "{path}: create a run, apply all else");
            match kind.as_str() {
                "TaskRun" => {
                    let run: Object<TaskRunSpec> = strict(document, path);
                    assert!(
                        is_ours(&run.spec.task_ref) && run.api_version == "tekton.dev/v1",
                        "{path}"
                    );
                    check_params(path, run.spec.params.iter().map(|param| param.name.as_str()));
                }
                "Pipeline" => {
                    let pipeline: Object<PipelineSpec> = strict(document, path);
                    assert_ne!(
                        check_pipeline(path, &pipeline.spec),
                        0,
                        "{path} does not use the Task"
                    );
                }
                "PipelineRun" => {
                    let run: Object<PipelineRunSpec> = strict(document, path);
                    if let Some(pipeline) = &run.spec.pipeline_spec {
                        assert_ne!(
                            check_pipeline(path, pipeline),
                            0,
                            "{path} does not use the Task"
                        );
                    } else {
                        assert!(run.spec.pipeline_ref.is_some(), "{path}");
                    }
                }
                other => panic!("{path}: {other}"),
            }
        }
    }
    assert!(["TaskRun", "Pipeline", "PipelineRun"].iter().all(|kind| found.contains_key(*kind)));
}

/// The READMEs' examples are parts of pipelines.
#[test]
fn snippets_fit_the_task() {
    let mut ours = 0;
    for path in [format!("task/{NAME}/README.md"), format!("task/{NAME}/CONFORMA.md")] {
        for snippet in snippets(&path) {
            if snippet.starts_with("- name: RECOMPRESS_") {
                let known = help();
                assert!(variables(&snippet).is_subset(&variables(&known)), "{path}: {snippet}");
                continue;
            }
            let tasks: Vec<PipelineTask> = serde_saphyr::from_str(&snippet)
                .unwrap_or_else(|error| panic!("{path}: {error}\n{snippet}"));
            for task in tasks.iter().filter(|task| task.task_ref.as_ref().is_some_and(is_ours)) {
                let of_matrix = task.matrix.iter().flat_map(|matrix| &matrix.params);
                let all = task.params.iter().chain(of_matrix);
                check_params(&path, all.map(|param| param.name.as_str()));
                ours += 1;
            }
        }
    }
    assert_ne!(ours, 0);
}

fn pipeline_task<'a>(pipeline: &'a PipelineSpec, name: &str) -> &'a PipelineTask {
    pipeline.tasks.iter().find(|task| task.name == name).unwrap()
}

/// Runs all members of a matrix one after the other, and checks each against the source that its
/// `IMAGE` names.
fn run_matrix(
    scope: &Scope,
    pipeline: &PipelineSpec,
    registry: &Registry,
    name: &str,
) -> Vec<Results> {
    let definition = task().spec;
    let mut urls = Vec::new();
    let mut all = Vec::new();
    for params in scope.fan_out(pipeline_task(pipeline, "recompress")) {
        let source: Digest = params["IMAGE"].split('@').nth(1).unwrap().parse().unwrap();
        let run = TaskRun { params, ..TaskRun::new("run", Place::best(), &[]) }.run(&definition);
        check(&run, registry, name, &source);
        let Value::String(url) = run.results["IMAGE_URL"].clone() else { panic!() };
        urls.push(url);
        all.push(run.results);
    }
    names(urls.iter().map(String::as_str));
    all
}

#[test]
fn released_images_in_all_formats() {
    let test = "released_images_in_all_formats";
    let Some(registry) = need(test, Registry::start()) else { return };
    let name = "org/app";
    let image = |tag: &str| {
        format!("{}/{name}:{tag}@{}", registry.host(), push(&registry, name, tag, "amd64"))
    };
    let [pipeline] = &pipelines(&format!("task/{NAME}/samples/released-images.yaml"))[..] else {
        panic!("one pipeline")
    };
    let arrays = [
        ("params.images[*]", vec![image("1.0"), image("1.1"), image("1.10")]),
        ("params.formats[*]", vec!["zstd:chunked".to_owned(), "gzip".to_owned()]),
    ];
    let arrays = arrays.into_iter().map(|(name, values)| (name.to_owned(), values));
    let scope = Scope { arrays: arrays.collect(), ..Scope::default() };
    let results = run_matrix(&scope, pipeline, &registry, name);
    assert_eq!(results.len(), 6);
    let digests: BTreeSet<_> = results.iter().map(|r| format!("{:?}", r["IMAGE_DIGEST"])).collect();
    assert_eq!(digests.len(), 6);
}

#[test]
fn one_image_in_several_formats() {
    let test = "one_image_in_several_formats";
    let Some(registry) = need(test, Registry::start()) else { return };
    let name = "org/app";
    let source = push(&registry, name, "1.2", "amd64");
    let [pipeline] = &pipelines(&format!("task/{NAME}/samples/formats.yaml"))[..] else {
        panic!("one pipeline")
    };
    let image = format!("{}/{name}:1.2@{source}", registry.host());
    let strings = BTreeMap::from([("params.image".to_owned(), image)]);
    let scope = Scope { strings, ..Scope::default() };
    assert_eq!(run_matrix(&scope, pipeline, &registry, name).len(), 3);
}

/// What build-image-index gets: every build, then its counterpart, each once and all of one format
/// of manifest, or it would refuse them or change their digests.
#[test]
fn the_index_of_a_konflux_pipeline() {
    let test = "the_index_of_a_konflux_pipeline";
    let Some(registry) = need(test, Registry::start()) else { return };
    let name = "org/app";
    let [pipeline] = &pipelines(&format!("task/{NAME}/samples/konflux-pipeline.yaml"))[..] else {
        panic!("one pipeline")
    };
    let repository = format!("{}/{name}", registry.host());
    let mut scope = Scope::default();
    for (name, value) in
        [("output-image", format!("{repository}:pr-1")), ("image-expires-after", "5d".to_owned())]
    {
        scope.strings.insert(format!("params.{name}"), value);
    }
    let built: Vec<_> =
        [("linux-x86_64", "amd64"), ("linux-arm64", "arm64"), ("linux-s390x", "s390x")]
            .map(|(suffix, architecture)| {
                let tag = format!("pr-1-{suffix}");
                format!("{repository}:{tag}@{}", push(&registry, name, &tag, architecture))
            })
            .into();
    let one = |reference: &String| {
        Results::from([("IMAGE_REF".to_owned(), Value::String(reference.clone()))])
    };
    scope.gather("build-images", &built.iter().map(one).collect::<Vec<_>>());

    let runs = run_matrix(&scope, pipeline, &registry, name);
    scope.gather("recompress", &runs);
    let index = pipeline_task(pipeline, "build-image-index");
    let images = index.params.iter().find(|param| param.name == "IMAGES").unwrap();
    let ParamValue::Array(images) = scope.resolve(&images.value) else { panic!("an array") };
    assert_eq!(images[..built.len()], built);
    assert_eq!(images.len(), 2 * built.len());
    names(images.iter().map(String::as_str));
    let digests = names(images.iter().map(|image| image.split('@').nth(1).unwrap()));
    let mut architectures = BTreeMap::<String, usize>::new();
    for digest in digests {
        let manifest = document(&registry, name, digest);
        assert_eq!(manifest["mediaType"], media_type::OCI_MANIFEST);
        let config = registry.blob(name, manifest["config"]["digest"].as_str().unwrap());
        let config: Json = serde_json::from_slice(&config).unwrap();
        *architectures.entry(config["architecture"].to_string()).or_default() += 1;
    }
    assert_eq!(architectures.into_values().collect::<Vec<_>>(), [2, 2, 2]);
}
