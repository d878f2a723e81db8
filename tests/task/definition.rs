//! The parts of Tekton's objects that ours use: `tekton.dev/v1` Task, TaskRun, Pipeline and
//! PipelineRun, and `tekton.dev/v1beta1` StepAction (tektoncd/pipeline, `pkg/apis/pipeline`).
//!
//! Tekton's webhook refuses unknown fields, and so do these types.
#![allow(dead_code, reason = "some fields are only there to be known")]

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

#[derive(Deserialize, Clone)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Object<Spec> {
    pub(crate) api_version: String,
    pub(crate) kind: String,
    pub(crate) metadata: Metadata,
    pub(crate) spec: Spec,
}

#[derive(Deserialize, Clone)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Metadata {
    #[serde(default)]
    pub(crate) name: String,
    #[serde(default)]
    pub(crate) generate_name: String,
    #[serde(default)]
    pub(crate) labels: BTreeMap<String, Value>,
    #[serde(default)]
    pub(crate) annotations: BTreeMap<String, Value>,
}

#[derive(Deserialize, Clone)]
#[serde(deny_unknown_fields)]
pub(crate) struct TaskSpec {
    #[serde(default)]
    pub(crate) description: String,
    #[serde(default)]
    pub(crate) params: Vec<ParamSpec>,
    #[serde(default)]
    pub(crate) results: Vec<ResultSpec>,
    pub(crate) steps: Vec<Step>,
    #[serde(default)]
    pub(crate) volumes: Vec<Volume>,
}

#[derive(Deserialize, Clone)]
#[serde(deny_unknown_fields)]
pub(crate) struct ParamSpec {
    pub(crate) name: String,
    #[serde(rename = "type")]
    pub(crate) kind: String,
    #[serde(default)]
    pub(crate) description: String,
    /// Any YAML value, so that an unquoted `true` is seen as what it is.
    pub(crate) default: Option<Value>,
}

#[derive(Deserialize, Clone)]
#[serde(deny_unknown_fields)]
pub(crate) struct ResultSpec {
    pub(crate) name: String,
    #[serde(rename = "type", default = "string")]
    pub(crate) kind: String,
    #[serde(default)]
    pub(crate) description: String,
    #[serde(default)]
    pub(crate) properties: BTreeMap<String, Property>,
    /// Where a Task takes it from a step: `$(steps.STEP.results.NAME)`.
    pub(crate) value: Option<String>,
}

fn string() -> String {
    "string".to_owned()
}

#[derive(Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub(crate) struct Property {
    #[serde(rename = "type")]
    pub(crate) kind: String,
}

/// One with a command, or one that refers to a StepAction.
#[derive(Deserialize, Clone)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Step {
    pub(crate) name: String,
    #[serde(rename = "ref")]
    pub(crate) reference: Option<Reference>,
    #[serde(default)]
    pub(crate) params: Vec<Param>,
    #[serde(default)]
    pub(crate) image: String,
    #[serde(default)]
    pub(crate) image_pull_policy: String,
    #[serde(default)]
    pub(crate) command: Vec<String>,
    #[serde(default)]
    pub(crate) args: Vec<String>,
    #[serde(default)]
    pub(crate) env: Vec<EnvVar>,
    pub(crate) compute_resources: Option<ComputeResources>,
    pub(crate) security_context: Option<SecurityContext>,
    #[serde(default)]
    pub(crate) volume_mounts: Vec<VolumeMount>,
    /// A StepAction's, which gets them with the rest; a step of ours declares none itself.
    #[serde(skip)]
    pub(crate) results: Vec<ResultSpec>,
}

/// The fields that a StepAction can have: neither volumes nor compute resources.
#[derive(Deserialize, Clone)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct StepActionSpec {
    pub(crate) description: String,
    pub(crate) params: Vec<ParamSpec>,
    pub(crate) results: Vec<ResultSpec>,
    pub(crate) image: String,
    pub(crate) command: Vec<String>,
    pub(crate) args: Vec<String>,
    pub(crate) env: Vec<EnvVar>,
    pub(crate) security_context: SecurityContext,
    pub(crate) volume_mounts: Vec<VolumeMount>,
}

#[derive(Deserialize, Clone, PartialEq, Eq, Debug)]
#[serde(deny_unknown_fields)]
pub(crate) struct EnvVar {
    pub(crate) name: String,
    pub(crate) value: Value,
}

#[derive(Deserialize, Clone)]
#[serde(deny_unknown_fields)]
pub(crate) struct ComputeResources {
    pub(crate) limits: BTreeMap<String, String>,
    pub(crate) requests: BTreeMap<String, String>,
}

#[derive(Deserialize, Clone, PartialEq, Eq, Debug)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct SecurityContext {
    pub(crate) allow_privilege_escalation: bool,
    pub(crate) capabilities: Capabilities,
    pub(crate) read_only_root_filesystem: bool,
    pub(crate) run_as_non_root: bool,
    pub(crate) seccomp_profile: SeccompProfile,
}

#[derive(Deserialize, Clone, PartialEq, Eq, Debug)]
#[serde(deny_unknown_fields)]
pub(crate) struct Capabilities {
    pub(crate) drop: Vec<String>,
}

#[derive(Deserialize, Clone, PartialEq, Eq, Debug)]
#[serde(deny_unknown_fields)]
pub(crate) struct SeccompProfile {
    #[serde(rename = "type")]
    pub(crate) kind: String,
}

#[derive(Deserialize, Clone)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct VolumeMount {
    pub(crate) name: String,
    pub(crate) mount_path: String,
    #[serde(default)]
    pub(crate) read_only: bool,
}

#[derive(Deserialize, Clone)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Volume {
    pub(crate) name: String,
    pub(crate) empty_dir: Option<BTreeMap<String, String>>,
    pub(crate) config_map: Option<ConfigMapVolume>,
}

#[derive(Deserialize, Clone)]
#[serde(deny_unknown_fields)]
pub(crate) struct ConfigMapVolume {
    pub(crate) name: String,
    pub(crate) items: Vec<Item>,
    #[serde(default)]
    pub(crate) optional: bool,
}

#[derive(Deserialize, Clone)]
#[serde(deny_unknown_fields)]
pub(crate) struct Item {
    pub(crate) key: String,
    pub(crate) path: String,
}

/// A Task or a StepAction, by name or through a resolver.
#[derive(Deserialize, Clone)]
#[serde(deny_unknown_fields)]
pub(crate) struct Reference {
    pub(crate) name: Option<String>,
    pub(crate) kind: Option<String>,
    pub(crate) resolver: Option<String>,
    #[serde(default)]
    pub(crate) params: Vec<Param>,
}

#[derive(Deserialize, Clone)]
#[serde(deny_unknown_fields)]
pub(crate) struct Param {
    pub(crate) name: String,
    pub(crate) value: ParamValue,
}

#[derive(Deserialize, Clone)]
#[serde(untagged)]
pub(crate) enum ParamValue {
    String(String),
    Array(Vec<String>),
}

#[derive(Deserialize, Clone)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct TaskRunSpec {
    pub(crate) service_account_name: Option<String>,
    pub(crate) timeout: Option<String>,
    pub(crate) task_ref: Reference,
    pub(crate) params: Vec<Param>,
}

#[derive(Deserialize, Clone)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct PipelineRunSpec {
    pub(crate) task_run_template: Option<TaskRunTemplate>,
    pub(crate) timeouts: Option<BTreeMap<String, String>>,
    pub(crate) pipeline_ref: Option<Reference>,
    pub(crate) pipeline_spec: Option<PipelineSpec>,
    #[serde(default)]
    pub(crate) params: Vec<Param>,
}

#[derive(Deserialize, Clone)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct TaskRunTemplate {
    pub(crate) service_account_name: String,
}

#[derive(Deserialize, Clone)]
#[serde(deny_unknown_fields)]
pub(crate) struct PipelineSpec {
    #[serde(default)]
    pub(crate) description: String,
    #[serde(default)]
    pub(crate) params: Vec<ParamSpec>,
    #[serde(default)]
    pub(crate) workspaces: Vec<Value>,
    pub(crate) tasks: Vec<PipelineTask>,
    #[serde(default)]
    pub(crate) results: Vec<PipelineResult>,
}

#[derive(Deserialize, Clone)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct PipelineTask {
    pub(crate) name: String,
    pub(crate) task_ref: Option<Reference>,
    pub(crate) task_spec: Option<Value>,
    #[serde(default)]
    pub(crate) params: Vec<Param>,
    pub(crate) matrix: Option<Matrix>,
    #[serde(default)]
    pub(crate) run_after: Vec<String>,
    pub(crate) timeout: Option<String>,
}

#[derive(Deserialize, Clone)]
#[serde(deny_unknown_fields)]
pub(crate) struct Matrix {
    pub(crate) params: Vec<Param>,
}

#[derive(Deserialize, Clone)]
#[serde(deny_unknown_fields)]
pub(crate) struct PipelineResult {
    pub(crate) name: String,
    #[serde(default)]
    pub(crate) description: String,
    #[serde(rename = "type")]
    pub(crate) kind: Option<String>,
    pub(crate) value: String,
}
