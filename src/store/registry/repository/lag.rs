//! Reading back what was written. Registries with caches or replicas show it only after a while.

use std::time::Duration;

use tokio::time::Instant;

use super::{Repository, blobs::Presence};
use crate::{
    image::Digest,
    progress,
    store::{access::Selector, error::StoreError, manifest::RawManifest},
};

/// Pauses between two looks do not become longer.
const PAUSE_MAX: Duration = Duration::from_secs(10);

impl Repository {
    /// Whether the registry serves a blob that was written. A HEAD is not enough: some answer 200
    /// to it for a blob that nobody can download.
    pub(crate) async fn has_blob_soon(
        &self,
        digest: &Digest,
        size: u64,
    ) -> Result<bool, StoreError> {
        let mut lag = Lag::of(self);
        loop {
            match self.presence_by_get(digest).await? {
                Presence::Absent if lag.pause(digest.as_str()).await => {}
                presence => return Ok(presence.is_of(size)),
            }
        }
    }

    /// A manifest that was written. If the registry has none or another one when the time is over,
    /// that is what the caller gets.
    pub(crate) async fn manifest_soon(
        &self,
        which: &Selector,
        expected: &Digest,
    ) -> Result<RawManifest, StoreError> {
        let mut lag = Lag::of(self);
        loop {
            let found = self.manifest(which).await;
            let is_stale = match &found {
                Ok(manifest) => manifest.digest != *expected,
                Err(error) => matches!(error, StoreError::NotFound { .. }),
            };
            if !is_stale || !lag.pause(expected.as_str()).await {
                return found;
            }
        }
    }
}

/// The looks at one thing.
struct Lag<'a> {
    repository: &'a Repository,
    end: Instant,
    next: Duration,
    looks: u32,
}

impl<'a> Lag<'a> {
    fn of(repository: &'a Repository) -> Self {
        let patience = repository.http.patience;
        Self {
            repository,
            end: Instant::now() + patience.lag,
            next: patience.first_delay,
            looks: 0,
        }
    }

    /// Waits until it is time to look again, at the latest when the time is over. Returns whether to
    /// look.
    async fn pause(&mut self, what: &str) -> bool {
        let left = self.end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return false;
        }
        if self.looks == 0 {
            tracing::warn!(
                "{what} is not visible in {} yet; looking again for up to {:.0} s",
                self.repository.place(),
                left.as_secs_f64(),
            );
        }
        self.looks += 1;
        let place = self.repository.place();
        let _shown = progress::wait(format!("waiting for {place} to show {what}"), None);
        tokio::time::sleep(self.next.min(left)).await;
        self.next = (self.next * 2).min(PAUSE_MAX);
        true
    }
}
