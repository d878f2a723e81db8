//! The Task and the StepAction as documents.

use std::collections::{BTreeMap, BTreeSet};

use test_support::read;

use crate::{
    NAME, action, action_text,
    definition::{Metadata, ParamSpec, Property, ResultSpec, SecurityContext, Step, TaskSpec},
    readme::{help, options, variables},
    stepaction_sample, task, task_text,
};

fn step(task: &TaskSpec) -> &Step {
    let [step] = task.steps.as_slice() else { panic!("the Task has exactly one step") };
    step
}

pub(crate) fn names<'a>(items: impl IntoIterator<Item = &'a str>) -> BTreeSet<&'a str> {
    let mut seen = BTreeSet::new();
    for item in items {
        assert!(seen.insert(item), "{item} is there twice");
    }
    seen
}

/// All `NAME` of `$(KIND.NAME` in `text`, the terms that Tekton substitutes.
fn substituted<'a>(text: &'a str, kind: &str) -> BTreeSet<&'a str> {
    text.split(&format!("$({kind}."))
        .skip(1)
        .map(|rest| rest.split([')', '.', '[']).next().unwrap())
        .collect()
}

fn param_names(params: &[ParamSpec]) -> BTreeSet<&str> {
    names(params.iter().map(|param| param.name.as_str()))
}

fn result_names(results: &[ResultSpec]) -> BTreeSet<&str> {
    names(results.iter().map(|result| result.name.as_str()))
}

#[test]
fn metadata_follows_the_conventions_of_tekton_and_konflux() {
    let (task, action) = (task(), action());
    assert_eq!((task.api_version.as_str(), task.kind.as_str()), ("tekton.dev/v1", "Task"));
    let kind = (action.api_version.as_str(), action.kind.as_str());
    assert_eq!(kind, ("tekton.dev/v1beta1", "StepAction"));
    assert!(!task.spec.description.is_empty() && !action.spec.description.is_empty());
    assert_eq!(task.metadata.labels["build.appstudio.redhat.com/build_type"], "docker");
    for Metadata { name, labels, annotations, .. } in [&task.metadata, &action.metadata] {
        assert_eq!(name, NAME);
        assert_eq!(labels["app.kubernetes.io/version"], env!("CARGO_PKG_VERSION"));
        for annotation in [
            "tekton.dev/pipelines.minVersion",
            "tekton.dev/categories",
            "tekton.dev/tags",
            "tekton.dev/displayName",
            "tekton.dev/platforms",
            "artifacthub.io/category",
            "artifacthub.io/license",
        ] {
            let value = &annotations[annotation];
            assert!(value.as_str().is_some_and(|value| !value.is_empty()), "{annotation}: {value}");
        }
    }
}

#[test]
fn only_the_source_is_required_and_all_defaults_are_strings() {
    for params in [task().spec.params, action().spec.params] {
        for param in &params {
            assert_eq!(param.kind, "string", "{}", param.name);
            assert!(!param.description.is_empty(), "{}", param.name);
            match &param.default {
                None => assert_eq!(param.name, "IMAGE"),
                Some(default) => assert!(default.is_string(), "{}: {default}", param.name),
            }
        }
        // Tekton compares names without regard to case.
        let lower: Vec<_> = params.iter().map(|param| param.name.to_lowercase()).collect();
        names(lower.iter().map(String::as_str));
    }
}

/// Conforma looks at params of these names in every task that reports an image (conforma/policy,
/// `policy/release/buildah_build_task`).
#[test]
fn no_param_has_a_name_that_means_something_else() {
    let params = task().spec.params;
    for name in ["PLATFORM", "ADD_CAPABILITIES", "PRIVILEGED_NESTED"] {
        assert!(!param_names(&params).contains(name), "{name}");
    }
    for name in param_names(&params) {
        assert!(!name.ends_with("ARTIFACT_INPUTS"), "{name} would be a material");
    }
}

#[test]
fn every_param_is_declared_and_used() {
    let (task, action) = (task(), action());
    for (text, params, results) in [
        (task_text(), &task.spec.params, &task.spec.results),
        (action_text(), &action.spec.params, &action.spec.results),
    ] {
        assert_eq!(param_names(params), substituted(&text, "params"));
        for kind in ["results", "step.results"] {
            assert!(substituted(&text, kind).is_subset(&result_names(results)));
        }
        assert_eq!(substituted(&text, "workspaces"), BTreeSet::new());
    }
}

/// Chains and Conforma take a URL and a digest as one output of the run, by the suffixes of their
/// names (tektoncd/chains, `pkg/artifacts/signable.go`): another pair would be signed as ours.
#[test]
fn results_are_those_that_chains_pairs() {
    let (task, action) = (task(), action());
    let strings = ["IMAGES", "IMAGE_DIGEST", "IMAGE_REF", "IMAGE_URL", "SBOM_BLOB_URL"];
    let all: BTreeSet<_> = strings.into_iter().chain(["SOURCE_ARTIFACT_INPUTS"]).collect();
    for results in [&task.spec.results, &action.spec.results] {
        assert_eq!(result_names(results), all);
        for result in results {
            let kind = if strings.contains(&result.name.as_str()) { "string" } else { "object" };
            assert_eq!(result.kind, kind, "{}", result.name);
            assert!(!result.description.is_empty() && result.value.is_none(), "{}", result.name);
            let properties: Vec<_> = result.properties.iter().collect();
            let string = Property { kind: "string".to_owned() };
            let (digest, uri) = ("digest".to_owned(), "uri".to_owned());
            match kind {
                "string" => assert_eq!(properties, []),
                _ => assert_eq!(properties, [(&digest, &string), (&uri, &string)]),
            }
        }
    }
}

/// A param in `args` could pass for an option, one in a script for code: both go by `env`.
#[test]
fn the_step_is_a_command_and_params_reach_it_by_environment_only() {
    let (task, action) = (task(), action());
    let step = step(&task.spec);
    assert_eq!(step.name, "recompress");
    assert_eq!(step.image_pull_policy, "IfNotPresent");
    assert_eq!(step.args, ["convert", "--results-dir", "/tekton/results"]);
    let path = "$(step.results.IMAGE_URL.path)";
    assert_eq!(action.spec.args, ["convert", "--results-dir", path]);
    assert!(step.reference.is_none() && step.params.is_empty());
    names(step.env.iter().map(|variable| variable.name.as_str()));
    for variable in &step.env {
        assert!(variable.value.is_string(), "{}: {}", variable.name, variable.value);
    }
    let entrypoint = format!("ENTRYPOINT {:?}", step.command);
    assert!(read("Containerfile").lines().any(|line| line == entrypoint), "{entrypoint}");
}

/// The StepAction is the Task's step, and differs in what a StepAction cannot have.
#[test]
fn the_stepaction_is_the_step_of_the_task() {
    let (task, action) = (task(), action());
    let step = step(&task.spec);
    assert_eq!(action.spec.image, step.image);
    assert_eq!(action.spec.command, step.command);
    assert_eq!(action.spec.env, step.env);
    assert_eq!(Some(action.spec.security_context), step.security_context);
    let volumes = ["caTrustConfigMapName", "caTrustConfigMapKey"];
    let of_task: Vec<_> =
        task.spec.params.iter().filter(|p| !volumes.contains(&p.name.as_str())).collect();
    let (of_step, mounts) = action.spec.params.split_at(of_task.len());
    for (task, action) in of_task.iter().zip(of_step) {
        let all = |param: &ParamSpec| {
            (param.name.clone(), param.description.clone(), param.default.clone())
        };
        assert_eq!(all(task), all(action));
    }
    let mounted = |name: &ParamSpec| format!("$(params.{})", name.name);
    let found: Vec<_> = action.spec.volume_mounts.iter().map(|mount| mount.name.clone()).collect();
    assert_eq!(found, mounts.iter().map(mounted).collect::<Vec<_>>());
    let paths = |path: &[crate::definition::VolumeMount]| {
        path.iter().map(|m| (m.mount_path.clone(), m.read_only)).collect::<Vec<_>>()
    };
    assert_eq!(paths(&action.spec.volume_mounts), paths(&step.volume_mounts));
    for (task, action) in task.spec.results.iter().zip(&action.spec.results) {
        assert_eq!((&task.name, &task.description), (&action.name, &action.description));
    }
}

#[test]
fn the_sample_of_the_stepaction_hands_everything_through() {
    let (sample, action) = (stepaction_sample(), action());
    let step = step(&sample.spec);
    assert_eq!(step.reference.as_ref().unwrap().name.as_deref(), Some(NAME));
    assert_eq!(result_names(&sample.spec.results), result_names(&action.spec.results));
    for (own, given) in sample.spec.results.iter().zip(&action.spec.results) {
        let value = format!("$(steps.{}.results.{})", step.name, own.name);
        assert_eq!((own.value.as_deref(), &own.kind), (Some(value.as_str()), &given.kind));
        assert_eq!(own.properties, given.properties);
    }
    let declared = param_names(&action.spec.params);
    assert!(step.params.iter().all(|param| declared.contains(param.name.as_str())));
    let volumes = names(sample.spec.volumes.iter().map(|volume| volume.name.as_str()));
    assert_eq!(volumes, BTreeSet::from(["scratch", "trusted-ca"]));
}

#[test]
fn the_placeholder_image_is_in_one_place_and_has_our_version() {
    let task = task();
    let image = &step(&task.spec).image;
    let (repository, tag) = image.rsplit_once(':').unwrap();
    assert_eq!(tag, env!("CARGO_PKG_VERSION"));
    for text in [task_text(), action_text()] {
        assert_eq!(text.matches(repository).count(), 1);
    }
    for document in
        ["README.md", &format!("task/{NAME}/README.md"), &format!("stepaction/{NAME}/README.md")]
    {
        assert!(read(document).contains(&format!("sed \"s|{image}|$image|\"")), "{document}");
    }
    assert!(read("Containerfile").lines().any(|line| line == format!("ARG VERSION={tag}")));
}

/// The Pod Security Standard "restricted", and no writable root on top of it. No user is named, so
/// that OpenShift can choose one.
#[test]
fn the_step_is_restricted() {
    let task = task();
    let context: &SecurityContext = step(&task.spec).security_context.as_ref().unwrap();
    assert!(context.run_as_non_root);
    assert!(context.read_only_root_filesystem);
    assert!(!context.allow_privilege_escalation);
    assert_eq!(context.capabilities.drop, ["ALL"]);
    assert_eq!(context.seccomp_profile.kind, "RuntimeDefault");
}

#[test]
fn memory_is_guaranteed_and_cpu_is_not_limited() {
    let task = task();
    let resources = step(&task.spec).compute_resources.as_ref().unwrap();
    assert_eq!(resources.limits.keys().collect::<Vec<_>>(), ["memory"]);
    assert_eq!(resources.limits["memory"], resources.requests["memory"]);
    assert!(resources.requests.contains_key("cpu"));
}

#[test]
fn volumes_are_one_for_temporary_files_and_one_for_authorities() {
    let task = task();
    let step = step(&task.spec);
    let [scratch, ca] = step.volume_mounts.as_slice() else { panic!("two mounts") };
    let [scratch_volume, ca_volume] = task.spec.volumes.as_slice() else { panic!("two volumes") };
    assert_eq!(scratch.name, scratch_volume.name);
    assert_eq!(ca.name, ca_volume.name);
    assert!(scratch_volume.empty_dir.as_ref().is_some_and(BTreeMap::is_empty));
    assert!(ca_volume.config_map.as_ref().is_some_and(|map| map.optional));
    assert!(!scratch.read_only && ca.read_only);
    // Tekton's webhook refuses mounts there.
    assert!(step.volume_mounts.iter().all(|mount| !mount.mount_path.starts_with("/tekton")));
    let value = |name| &step.env.iter().find(|variable| variable.name == name).unwrap().value;
    assert_eq!(*value("TMPDIR"), scratch.mount_path.as_str());
    let items = &ca_volume.config_map.as_ref().unwrap().items;
    let file = format!("{}/{}", ca.mount_path, items[0].path);
    assert_eq!(*value("RECOMPRESS_CA_FILE"), file.as_str());
}

#[test]
fn the_step_uses_only_what_the_binary_knows() {
    let help = help();
    let task = task();
    let step = step(&task.spec);
    let used: String = step.args.join(" ");
    assert!(options(&used).is_subset(&options(&help)), "{used} in {help}");
    let used = step.env.iter().map(|variable| variable.name.as_str());
    // Not an option.
    let used = used.filter(|name| *name != "RECOMPRESS_HINTS").collect::<Vec<_>>().join(" ");
    assert!(variables(&used).is_subset(&variables(&help)), "{used} in {help}");
}
