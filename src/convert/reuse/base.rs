//! The image that the source names as its base.

use crate::{
    convert::Run,
    image::{ImageReference, annotations::Annotations},
};

/// image-spec, annotations.md.
const NAME: &str = "org.opencontainers.image.base.name";
const DIGEST: &str = "org.opencontainers.image.base.digest";

/// What the annotations or labels of the source's images lead to: the base by its digest, and by
/// its tag, under which there may be an index with more formats by now.
pub(super) fn references(run: &Run<'_>) -> Vec<ImageReference> {
    let mut found: Vec<ImageReference> = Vec::new();
    for image in &run.plan.images {
        let (manifest, config) = (&image.source.manifest, &image.source.config);
        let named = of(&manifest.annotations).or_else(|| of(&config.labels));
        for reference in named.into_iter().flatten() {
            if !is_allowed(run, &reference) {
                tracing::warn!(base = %reference, "the source names a base on a host that is not \
                    used, because the image could be hostile; pass it to --reuse-from");
            } else if !found.contains(&reference) {
                found.push(reference);
            }
        }
    }
    if found.is_empty() {
        tracing::warn!("the source names no base image ({NAME}); its layers are not reused");
    }
    found
}

fn of(texts: &Annotations) -> Option<Vec<ImageReference>> {
    let name = texts.get(NAME)?;
    let tagged: ImageReference = format!("docker://{name}").parse().ok()?;
    let (plain, _) = name.split_once('@').unwrap_or((name, ""));
    let digested = texts
        .get(DIGEST)
        .and_then(|digest| format!("docker://{plain}@{digest}").parse::<ImageReference>().ok());
    let is_selected =
        |reference: &ImageReference| reference.digest().is_some() || reference.tag().is_some();
    Some(digested.into_iter().chain([tagged]).filter(is_selected).collect())
}

/// The image is not trusted to send us anywhere: only to registries that are used anyway, and to
/// hosts with a name of their own.
fn is_allowed(run: &Run<'_>, reference: &ImageReference) -> bool {
    let registry = reference.registry();
    if registry == run.job.source.registry() || registry == run.job.destination.registry() {
        return true;
    }
    let host = registry.unwrap_or_default();
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
    let is_address = name.starts_with('[') || name.parse::<std::net::Ipv4Addr>().is_ok();
    name.contains('.') && !is_address
}
