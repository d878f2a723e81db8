//! How Tekton fans a task out and gathers what the runs leave (tektoncd/pipeline,
//! `pkg/apis/pipeline/v1/matrix_types.go`, `pkg/reconciler/pipelinerun/resources`).

use std::collections::BTreeMap;

use crate::{
    definition::{Param, ParamValue, PipelineTask},
    tekton::{Results, Value, substitute},
};

/// `default-max-matrix-combinations-count`.
const COMBINATIONS_MAX: usize = 256;

/// What a pipeline knows so far: `params.NAME`, `context.…`, and arrays `params.NAME[*]` and
/// `tasks.NAME.results.NAME[*]`.
#[derive(Debug, Clone, Default)]
pub(crate) struct Scope {
    pub(crate) strings: BTreeMap<String, String>,
    pub(crate) arrays: BTreeMap<String, Vec<String>>,
}

impl Scope {
    /// A param's value: whole arrays take the place of the words that name them.
    pub(crate) fn resolve(&self, value: &ParamValue) -> ParamValue {
        match value {
            ParamValue::String(text) => match self.array(text) {
                Some(array) => ParamValue::Array(array.clone()),
                None => ParamValue::String(substitute(text, &self.strings)),
            },
            ParamValue::Array(words) => {
                let resolved = words.iter().flat_map(|word| match self.array(word) {
                    Some(array) => array.clone(),
                    None => vec![substitute(word, &self.strings)],
                });
                ParamValue::Array(resolved.collect())
            }
        }
    }

    fn array(&self, text: &str) -> Option<&Vec<String>> {
        let name = text.strip_prefix("$(")?.strip_suffix(')')?;
        let array = self.arrays.get(name);
        assert!(array.is_some() || !name.ends_with("[*]"), "no array {name}");
        array
    }

    /// The params of each run of `task`, out of all combinations of its matrix.
    pub(crate) fn fan_out(&self, task: &PipelineTask) -> Vec<BTreeMap<String, String>> {
        let string = |param: &Param| match self.resolve(&param.value) {
            ParamValue::String(value) => (param.name.clone(), value),
            ParamValue::Array(_) => panic!("{} takes a string", param.name),
        };
        let mut runs = vec![task.params.iter().map(string).collect::<BTreeMap<_, _>>()];
        for param in task.matrix.iter().flat_map(|matrix| &matrix.params) {
            let ParamValue::Array(values) = self.resolve(&param.value) else {
                panic!("{} is no array", param.name)
            };
            let mut all = Vec::new();
            for value in values {
                for mut run in runs.clone() {
                    assert_eq!(run.insert(param.name.clone(), value.clone()), None);
                    all.push(run);
                }
            }
            runs = all;
        }
        assert!(runs.len() <= COMBINATIONS_MAX);
        runs
    }

    /// Keeps the results of all runs of `task`. They come in the order of the runs' names, as
    /// words; a run without the result leaves no gap; objects are not gathered.
    pub(crate) fn gather(&mut self, task: &str, runs: &[Results]) {
        let mut named: Vec<_> =
            runs.iter().enumerate().map(|(n, results)| (format!("{task}-{n}"), results)).collect();
        named.sort_by(|one, other| one.0.cmp(&other.0));
        for (name, value) in named.iter().flat_map(|(_, results)| results.iter()) {
            if let Value::String(value) = value {
                let array =
                    self.arrays.entry(format!("tasks.{task}.results.{name}[*]")).or_default();
                array.push(value.clone());
            }
        }
    }
}

#[test]
fn twelve_runs_come_back_in_the_order_of_their_names() {
    let result = |n: usize| {
        let value = (n != 3).then(|| ("R".to_owned(), Value::String(n.to_string())));
        value.into_iter().collect::<Results>()
    };
    let mut scope = Scope::default();
    scope.gather("t", &(0..12).map(result).collect::<Vec<_>>());
    let expected = ["0", "1", "10", "11", "2", "4", "5", "6", "7", "8", "9"];
    assert_eq!(scope.arrays["tasks.t.results.R[*]"], expected);
}
