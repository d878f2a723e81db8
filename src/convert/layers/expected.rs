//! What will probably be done with the layers, for a dry run.

use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};

use super::tasks::{LayerTask, Tasks};
use crate::{
    convert::{ConvertError, Run, destination::CHECKS, format::Format, markers, reuse::Reusable},
    report::{LayerAction, LayerPlan},
};

/// For each piece of work.
pub(in crate::convert) async fn expected(
    run: &Run<'_>,
    reusable: &Reusable,
) -> Result<Vec<LayerPlan>, ConvertError> {
    let tasks = Tasks::of(&run.plan);
    let plans = tasks.first().into_iter().map(|task| of_task(run, task, reusable));
    stream::iter(plans).buffered(CHECKS).try_collect().await
}

async fn of_task(
    run: &Run<'_>,
    task: &LayerTask<'_>,
    reusable: &Reusable,
) -> Result<LayerPlan, ConvertError> {
    let LayerTask { label, number, layer, key, .. } = task;
    let action = if layer.foreign {
        task.check_foreign(run)?;
        LayerAction::Keep
    } else if let Some(reuse) = reusable.expected(run, *key, layer.blob.size).await? {
        LayerAction::Reuse(reuse)
    } else {
        let is_gzip = key.format == Format::Gzip && layer.format == Format::Gzip.as_str();
        let recipe = Some(markers::recipe(run.job, key.format));
        LayerAction::Convert { unchanged: is_gzip || layer.recipe == recipe }
    };
    Ok(LayerPlan {
        layer: label.clone(),
        number: *number,
        source_digest: layer.blob.digest.clone(),
        source_size: layer.blob.size,
        source_format: layer.format,
        diff_id: layer.diff_id.clone(),
        format: key.format.as_str(),
        action,
    })
}
