//! What registries.conf makes of a name: blocked, insecure, or read from a mirror.

use super::Repository;
use crate::{
    image::{ImageReference, RegistryReference},
    store::{
        access::{AccessOptions, Intent, NamedBy, Selector},
        error::StoreError,
        registries_conf::{Endpoint, PullSources, RegistriesConf},
    },
};

/// Tries of requests to a mirror that others can stand in for.
const MIRROR_TRIES: u32 = 2;

impl Repository {
    /// Opens the repository itself, or to pull, the first of its mirrors that has the image.
    pub(crate) async fn open(
        reference: &RegistryReference,
        intent: Intent,
        options: &AccessOptions,
    ) -> Result<Self, StoreError> {
        let file = options.registries_conf.clone();
        let conf = tokio::task::spawn_blocking(move || RegistriesConf::load(file.as_deref())).await;
        let conf = conf.map_err(|error| StoreError::internal(&error))??;
        match intent {
            Intent::Push | Intent::PlanPush => {
                Self::contact_endpoint(&conf.push_target(reference), intent, options).await
            }
            Intent::Pull => {
                Self::open_source(reference, conf.pull_sources(reference)?, options).await
            }
        }
    }

    /// In the order of containers/image (`docker/docker_image_src.go`, `newImageSource`). The registry
    /// itself comes last, and its error is the one that counts.
    async fn open_source(
        image: &RegistryReference,
        sources: PullSources,
        options: &AccessOptions,
    ) -> Result<Self, StoreError> {
        let PullSources { mirrors, origin } = sources;
        let mut failed = Vec::new();
        let allowed = |endpoint: &Endpoint| endpoint.check_allowed().is_ok();
        let last_hope = mirrors.iter().rposition(allowed).filter(|_| !allowed(&origin));
        for (at, mirror) in mirrors.iter().enumerate() {
            let mut hasty = options.clone();
            if last_hope != Some(at) {
                hasty.patience = options.patience.with_few_tries(MIRROR_TRIES);
            }
            match Self::find_image(mirror, &hasty).await {
                Ok(mut found) => {
                    found.http.patience = options.patience;
                    found.is_for_digests = mirror.is_for_digests;
                    tracing::debug!("reading {image} from its mirror {}", mirror.reference);
                    return Ok(found);
                }
                Err(error) => {
                    let mirror = mirror.reference.to_string();
                    if matches!(error, StoreError::NotFound { .. }) {
                        tracing::info!("mirror {mirror} does not have this image; trying the next");
                    } else {
                        let error = error.with_causes();
                        tracing::warn!("cannot use the mirror {mirror}: {error}");
                    }
                    failed.push((mirror, error));
                }
            }
        }
        if origin.reference != *image && origin.check_allowed().is_ok() {
            tracing::debug!("reading {image} from its location {}", origin.reference);
        }
        if failed.is_empty() {
            return Self::contact_endpoint(&origin, Intent::Pull, options).await;
        }
        Self::find_image(&origin, options)
            .await
            .map_err(|error| StoreError::Mirrors { mirrors: failed, source: Box::new(error) })
    }

    /// Opens an endpoint that has the image.
    async fn find_image(endpoint: &Endpoint, options: &AccessOptions) -> Result<Self, StoreError> {
        let opened = Self::contact_endpoint(endpoint, Intent::Pull, options).await?;
        match Selector::of(&ImageReference::Registry(endpoint.reference.clone())) {
            Selector::Only => Ok(opened),
            which => opened.manifest(&which).await.map(|_| opened),
        }
    }

    async fn contact_endpoint(
        endpoint: &Endpoint,
        intent: Intent,
        options: &AccessOptions,
    ) -> Result<Self, StoreError> {
        endpoint.check_allowed()?;
        let mut options = options.clone();
        options.tls_verify &= options.tls_verify_given || !endpoint.insecure;
        // They are for the registry that the user named.
        options.creds = options.creds.filter(|_| !endpoint.is_elsewhere);
        if endpoint.is_elsewhere {
            options.named_by = NamedBy::User;
        }
        Self::contact(&endpoint.reference, intent, &options).await
    }
}
