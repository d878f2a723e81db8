//! The image that the source names as its base.

use url::{Host, Url};

use crate::{
    convert::Run,
    image::{ImageReference, annotations::Annotations},
};

/// image-spec, annotations.md.
const NAME: &str = "org.opencontainers.image.base.name";
const DIGEST: &str = "org.opencontainers.image.base.digest";

/// Bases that are looked at: an index names one for each platform, and mostly the same.
const BASES_MAX: usize = 8;

/// What the annotations or labels of the source's images lead to: the base by its digest, and by
/// its tag, under which there may be an index with more formats by now.
pub(super) fn references(run: &Run<'_>) -> Vec<ImageReference> {
    let named = run.plan.images.iter().filter_map(|image| {
        let (manifest, config) = (&image.source.manifest, &image.source.config);
        of(&manifest.annotations).or_else(|| of(&config.labels))
    });
    let mut bases: Vec<Vec<ImageReference>> = Vec::new();
    for base in named {
        if !bases.contains(&base) {
            bases.push(base);
        }
    }
    if bases.iter().all(Vec::is_empty) {
        tracing::warn!("the source names no base image ({NAME}) by tag or digest");
    }
    if let Some(first) = bases.get(BASES_MAX).and_then(|base| base.first()) {
        let (left, base) = (bases.len() - BASES_MAX, first);
        tracing::warn!(
            "the source names more than {BASES_MAX} base images; {left} of them are not looked at, \
             such as {base}; pass them to --reuse-from"
        );
    }
    let mut references: Vec<ImageReference> = Vec::new();
    for reference in bases.into_iter().take(BASES_MAX).flatten() {
        if !references.contains(&reference) {
            references.push(reference);
        }
    }
    let (allowed, refused): (Vec<_>, Vec<_>) =
        references.into_iter().partition(|base| is_allowed(run, base));
    for base in refused {
        tracing::warn!(
            "the base image {base} is not looked at, because the source names it and its host is one \
             that an image may not name; pass it to --reuse-from"
        );
    }
    allowed
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
    registry.is_some_and(has_own_name)
}

/// Whether a registry's host has a name that does not stand for an address or this machine. URLs
/// read any host that ends in a number as an IPv4 address, such as `127.1` and `0x7f.1`.
fn has_own_name(registry: &str) -> bool {
    let Ok(url) = Url::parse(&format!("https://{registry}/")) else { return false };
    let Some(Host::Domain(name)) = url.host() else { return false };
    name.rsplit_once('.').is_some_and(|(_, last)| !matches!(last, "localhost" | "localdomain"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_with_names_of_their_own() {
        for host in ["quay.io", "quay.io:8443", "registry.0xcafe.example", "10.example"] {
            assert!(has_own_name(host), "{host}");
        }
        for host in [
            "localhost:5000",
            "registry.localhost",
            "localhost.localdomain",
            "registry",
            "127.0.0.1:5000",
            "127.1",
            "127.1:5000",
            "0x7f.1",
            "127.0x1",
            "127.0x",
            "2130706433",
            "[::1]:5000",
            "[::ffff:127.0.0.1]",
        ] {
            assert!(!has_own_name(host), "{host}");
        }
    }
}
