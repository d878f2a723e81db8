//! The Tekton Task and the StepAction: against the rules of Tekton, their READMEs and samples, and the
//! program; run as a pod would run them, with what Tekton Chains and Conforma make of the results. A
//! binary of its own, because it tests definitions and documents, which change without the library.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stderr)]

mod architecture;
mod artifacts;
mod chains;
mod conforma;
mod definition;
mod dns;
mod images;
mod links;
mod matrix;
mod own_image;
mod pages;
mod pod;
mod readme;
mod runs;
mod samples;
mod secured;
mod signing;
mod tekton;
mod yaml;

use definition::{Object, StepActionSpec, TaskSpec};
use test_support::read;

const NAME: &str = "recompress-image";

fn task_text() -> String {
    read(&format!("task/{NAME}/{NAME}.yaml"))
}

fn task() -> Object<TaskSpec> {
    serde_saphyr::from_str(&task_text()).unwrap()
}

fn action_text() -> String {
    read(&format!("stepaction/{NAME}/{NAME}.yaml"))
}

fn action() -> Object<StepActionSpec> {
    serde_saphyr::from_str(&action_text()).unwrap()
}

/// A Task that uses the StepAction.
fn stepaction_sample() -> Object<TaskSpec> {
    serde_saphyr::from_str(&read(&format!("stepaction/{NAME}/samples/task.yaml"))).unwrap()
}
