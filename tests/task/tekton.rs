//! A `TaskRun` as Tekton would do it: defaults, substitutions, results (tektoncd/pipeline,
//! `pkg/reconciler/taskrun/resources/apply.go`, `pkg/entrypoint`, `pkg/pod/status.go`). The
//! process is the real one, in the folders of [`crate::pod`].

use std::{collections::BTreeMap, fs, path::Path};

use serde_json::json;

use crate::{
    definition::{
        EnvVar, ParamSpec, ParamValue, ResultSpec, Step, StepActionSpec, TaskSpec, Volume,
    },
    dns::NameServer,
    pod::{Place, Pod},
};

/// What the message that carries the results may have, with Tekton's own entries
/// (`pkg/termination/write.go`).
const MESSAGE_LEN_MAX: usize = 4096;

/// A result's value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Value {
    String(String),
    Object(BTreeMap<String, String>),
}

/// A run's results by their names.
pub(crate) type Results = BTreeMap<String, Value>;

/// What a run needs besides the Task.
pub(crate) struct TaskRun<'a> {
    pub(crate) name: String,
    pub(crate) params: BTreeMap<String, String>,
    /// The StepActions of the cluster.
    pub(crate) actions: BTreeMap<&'a str, &'a StepActionSpec>,
    /// What the entrypoint makes of the secrets of the ServiceAccount.
    pub(crate) credentials: Option<serde_json::Value>,
    /// The ConfigMaps of the namespace.
    pub(crate) config_maps: BTreeMap<String, BTreeMap<String, String>>,
    /// The pod's `hostAliases`, all of them this machine.
    pub(crate) host_aliases: Vec<&'a str>,
    /// The cluster's.
    pub(crate) name_server: Option<&'a NameServer>,
    pub(crate) place: Place,
}

/// How a run ended.
#[derive(Debug)]
pub(crate) struct Finished {
    pub(crate) code: i32,
    pub(crate) log: String,
    pub(crate) results: Results,
}

impl TaskRun<'_> {
    pub(crate) fn new(name: &str, place: Place, params: &[(&str, &str)]) -> Self {
        let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        Self {
            name: name.to_owned(),
            params: params.iter().map(own).collect(),
            actions: BTreeMap::new(),
            credentials: None,
            config_maps: BTreeMap::new(),
            host_aliases: vec!["registry.test"],
            name_server: None,
            place,
        }
    }

    /// Runs the one step of `task`.
    pub(crate) fn run(&self, task: &TaskSpec) -> Finished {
        let mut variables = with_defaults("params", &task.params, &self.params);
        variables.insert("context.taskRun.name".to_owned(), self.name.clone());
        variables.insert("credentials.path".to_owned(), "/tekton/creds".to_owned());
        for result in &task.results {
            let path = format!("/tekton/results/{}", result.name);
            variables.insert(format!("results.{}.path", result.name), path);
        }
        let [step] = task.steps.as_slice() else { panic!("one step") };
        let step = self.resolve(step, &variables);
        let pod = Pod::new(&step.name);
        for volume in &task.volumes {
            self.mount(&pod, volume, &step, &variables);
        }
        pod.name(&self.host_aliases, self.name_server);
        if let Some(credentials) = &self.credentials {
            pod.write_credentials(self.place, &credentials.to_string());
        }
        let output = pod.run(self.place, &step);
        let log = String::from_utf8(output.stderr).unwrap();
        let results = collect(&pod, task, &step);
        Finished { code: output.status.code().unwrap(), log, results }
    }

    /// The step with all that it takes from a StepAction, substituted.
    fn resolve(&self, step: &Step, variables: &BTreeMap<String, String>) -> Step {
        let mut step = step.clone();
        for param in &mut step.params {
            if let ParamValue::String(text) = &mut param.value {
                *text = substitute(text, variables);
            }
        }
        let Some(reference) = step.reference.take() else {
            return substitute_step(step, variables);
        };
        let action = self.actions[reference.name.as_deref().unwrap()].clone();
        let params = step.params.iter().map(|param| {
            let ParamValue::String(value) = &param.value else {
                panic!("{} is no string", param.name)
            };
            (param.name.clone(), value.clone())
        });
        let mut variables: BTreeMap<_, _> =
            variables.iter().filter(|(name, _)| !name.starts_with("params.")).collect();
        let own = with_defaults("params", &action.params, &params.collect());
        variables.extend(&own);
        let results: BTreeMap<_, _> = action
            .results
            .iter()
            .map(|result| {
                let path = format!("/tekton/steps/step-{}/results/{}", step.name, result.name);
                (format!("step.results.{}.path", result.name), path)
            })
            .collect();
        variables.extend(&results);
        let variables = variables.into_iter().map(|(k, v)| (k.clone(), v.clone())).collect();
        let step = Step {
            image: action.image,
            command: action.command,
            args: action.args,
            env: action.env,
            security_context: Some(action.security_context),
            volume_mounts: action.volume_mounts,
            results: action.results,
            ..step
        };
        substitute_step(step, &variables)
    }

    fn mount(&self, pod: &Pod, volume: &Volume, step: &Step, variables: &BTreeMap<String, String>) {
        let mount = step.volume_mounts.iter().find(|mount| mount.name == volume.name);
        let folder = pod.folder(&mount.unwrap().mount_path);
        let Some(source) = &volume.config_map else {
            assert!(volume.empty_dir.is_some(), "{}", volume.name);
            return;
        };
        let name = substitute(&source.name, variables);
        let Some(map) = self.config_maps.get(&name) else {
            assert!(source.optional, "the pod waits for the ConfigMap {name}");
            return;
        };
        for item in &source.items {
            match map.get(&substitute(&item.key, variables)) {
                Some(value) => fs::write(folder.join(&item.path), value).unwrap(),
                None => assert!(source.optional, "the pod waits for a key in {name}"),
            }
        }
    }
}

/// The variables `KIND.NAME`; a param that is not given has its default.
fn with_defaults(
    kind: &str,
    declared: &[ParamSpec],
    given: &BTreeMap<String, String>,
) -> BTreeMap<String, String> {
    for name in given.keys() {
        assert!(declared.iter().any(|param| param.name == *name), "no param {name}");
    }
    let value = |param: &ParamSpec| {
        let default = || param.default.as_ref().and_then(|value| value.as_str()).map(str::to_owned);
        let value = given.get(&param.name).cloned().or_else(default);
        value.unwrap_or_else(|| panic!("{} is required", param.name))
    };
    declared.iter().map(|param| (format!("{kind}.{}", param.name), value(param))).collect()
}

/// Replaces each `$(NAME)` that is known; what is not known stays, as with Tekton.
pub(crate) fn substitute(text: &str, variables: &BTreeMap<String, String>) -> String {
    let mut parts = text.split("$(");
    let mut result = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let known =
            part.split_once(')').and_then(|(name, rest)| Some((variables.get(name)?, rest)));
        match known {
            Some((value, rest)) => result.extend([value.as_str(), rest]),
            None => result.extend(["$(", part]),
        }
    }
    result
}

fn substitute_step(mut step: Step, variables: &BTreeMap<String, String>) -> Step {
    let text = |text: &mut String| *text = substitute(text, variables);
    step.command.iter_mut().chain(&mut step.args).for_each(text);
    step.volume_mounts.iter_mut().for_each(|mount| text(&mut mount.name));
    for EnvVar { name, value } in &mut step.env {
        let before = value.as_str().unwrap_or_else(|| panic!("{name} is no string"));
        *value = substitute(before, variables).into();
    }
    step
}

/// What the entrypoint reads after the command has ended, also if it has failed, and what the
/// controller makes of it.
fn collect(pod: &Pod, task: &TaskSpec, step: &Step) -> Results {
    let own: Vec<_> = task.results.iter().filter(|result| result.value.is_none()).collect();
    let of_task = read(&pod.folder("/tekton/results"), own);
    let folder = format!("/tekton/steps/step-{}/results", step.name);
    let of_step = read(&pod.folder(&folder), step.results.iter().collect());

    // Our step is the only one; each later step would send its own message with the same results.
    let entry = |(name, value, kind): (&String, &String, u8)| json!({"key": name, "value": value, "type": kind});
    let entries = of_task.iter().map(|(name, value)| (name, value, 1));
    let mut message: Vec<_> =
        entries.chain(of_step.iter().map(|(name, value)| (name, value, 4))).map(entry).collect();
    message.push(json!({"key": "StartedAt", "value": "2026-01-02T03:04:05.678Z", "type": 3}));
    let len = serde_json::to_string(&message).unwrap().len();
    assert!(len <= MESSAGE_LEN_MAX, "the message has {len} bytes and the step would fail");

    let value = |result: &ResultSpec| {
        let text = match &result.value {
            None => of_task.get(&result.name)?,
            Some(from) => {
                let prefix = format!("$(steps.{}.results.", step.name);
                of_step.get(from.strip_prefix(&prefix)?.strip_suffix(')')?)?
            }
        };
        Some((result.name.clone(), parse(result, text)?))
    };
    task.results.iter().filter_map(value).collect()
}

/// The results that are there, verbatim.
fn read(folder: &Path, results: Vec<&ResultSpec>) -> BTreeMap<String, String> {
    let text = |result: &ResultSpec| {
        let text = fs::read_to_string(folder.join(&result.name)).ok()?;
        Some((result.name.clone(), text))
    };
    results.into_iter().filter_map(text).collect()
}

/// An object that is none is dropped; one that lacks a key fails the run.
fn parse(result: &ResultSpec, text: &str) -> Option<Value> {
    if result.kind == "string" {
        return Some(Value::String(text.to_owned()));
    }
    assert_eq!(result.kind, "object", "{}", result.name);
    let object: BTreeMap<String, String> = serde_json::from_str(text).ok()?;
    for key in result.properties.keys() {
        assert!(object.contains_key(key), "{} has no {key}: {text}", result.name);
    }
    Some(Value::Object(object))
}

#[test]
fn substitution_is_that_of_tekton() {
    let variables = BTreeMap::from([("params.A".to_owned(), "$(params.B)".to_owned())]);
    let with = |text| substitute(text, &variables);
    assert_eq!(with("x$(params.A)y$(params.A)"), "x$(params.B)y$(params.B)");
    assert_eq!(with("$(params.B) $( $()"), "$(params.B) $( $()");
    assert_eq!(with("$$(params.A)"), "$$(params.B)");
}
