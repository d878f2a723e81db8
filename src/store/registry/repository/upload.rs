//! One blob on its way into a registry, over as many requests and sessions as it takes.

mod session;
mod source;

use std::sync::{Arc, atomic::Ordering};

use tokio::time::Instant;

pub(crate) use self::session::Session;
use self::session::UploadPiece;
pub use self::session::uploads_cancelled;
pub(super) use self::{
    session::Begun,
    source::{UploadSource, upload_of},
};
use super::{
    super::http::{RequestFailure, Retries},
    Repository,
};
use crate::{
    image::Digest,
    store::{
        error::StoreError,
        spool::{BlobSpool, SpoolExtent},
    },
};

/// Bytes of a chunk where nothing speaks against it: many registries keep each as an object of its
/// own, and some want at least 5 MiB.
const CHUNK: u64 = 16 << 20;
/// The largest chunk that GHCR takes; it says so with 416.
const CHUNK_MODEST: u64 = 4 << 20;
/// Chunks are not made smaller than this.
const CHUNK_SMALLEST: u64 = 1 << 20;

pub(super) struct BlobUpload {
    repository: Arc<Repository>,
    source: UploadSource,
    action: Arc<str>,
    shape: Shape,
    /// Whether the registry has turned out not to take chunks.
    chunks_refused: bool,
    chunk: u64,
    /// Whether the registry has been asked for a blob whose digest was not known at first.
    looked_up: bool,
    /// The most that any session got, in bytes.
    farthest: u64,
}

/// How the bytes go.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Shape {
    /// In one PUT, which every registry takes. The digest has to be known.
    Whole,
    /// In one PATCH after the other. They can follow a blob that is still growing, be resumed, and
    /// be small.
    Chunks,
}

/// What a request of an upload has led to.
enum UploadStep {
    Further,
    Done,
}

/// Why a session does not go on.
enum UploadStop {
    /// Another session may do better; after a pause if there is a failure that has had none.
    Restart(Option<RequestFailure>),
    End(StoreError),
}

impl BlobUpload {
    /// An upload of a blob that is complete.
    pub(super) fn whole(repository: &Arc<Repository>, source: UploadSource) -> Self {
        Self {
            repository: Arc::clone(repository),
            action: source.action(),
            source,
            shape: Shape::Whole,
            chunks_refused: repository.loses_chunks.load(Ordering::Relaxed),
            chunk: CHUNK,
            looked_up: true,
            farthest: 0,
        }
    }

    /// An upload of a blob that is still being written.
    pub(super) fn following(repository: &Arc<Repository>, spool: BlobSpool) -> Self {
        let whole = Self::whole(repository, UploadSource::Growing(spool));
        let shape = if whole.chunks_refused { Shape::Whole } else { Shape::Chunks };
        Self { shape, looked_up: false, ..whole }
    }

    /// Uploads the blob, into `session` at first if there is one. Returns whether it turned out to
    /// be there already.
    pub(super) async fn run(mut self, mut session: Option<Session>) -> Result<bool, StoreError> {
        let mut retries = self.repository.http.retries(&self.action);
        if let Some(begun) = &mut session {
            begun.action = Arc::clone(&self.action);
        }
        loop {
            let mut current = match session.take() {
                Some(session) => session,
                None => match Session::begin(&self.repository, &self.action, None).await? {
                    Begun::Session(session) => session,
                    Begun::Mounted => return Ok(true),
                },
            };
            let step = match self.next_piece(&current).await {
                Ok(None) => return Ok(true),
                Ok(Some(piece)) => {
                    let begin = Instant::now();
                    match current.push(&self.source, &piece).await {
                        Ok(is_confirmed) => {
                            self.pushed(&current, &piece, is_confirmed, &mut retries).await
                        }
                        Err(failure) => {
                            // A proxy may be less patient than we are.
                            if piece.last.is_some() && failure.status.is_some() {
                                retries.excuse(begin.elapsed());
                            }
                            self.recover(&mut current, &piece, failure, &mut retries).await
                        }
                    }
                }
                Err(stop) => Err(stop),
            };
            match step {
                Ok(UploadStep::Further) => session = Some(current),
                Ok(UploadStep::Done) => return Ok(false),
                Err(UploadStop::End(error)) => return Err(error),
                Err(UploadStop::Restart(failure)) => {
                    drop(current);
                    if let Some(failure) = failure {
                        retries.pause(failure).await?;
                    }
                }
            }
        }
    }

    /// Waits for the next piece to send; nothing if the registry turns out to have the blob.
    async fn next_piece(&mut self, session: &Session) -> Result<Option<UploadPiece>, UploadStop> {
        let length = self.chunk.max(session.chunk_min);
        let wanted = match self.shape {
            Shape::Whole => u64::MAX,
            Shape::Chunks => session.offset.saturating_add(length),
        };
        let (digest, size) = match self.source.wait_for(wanted).await {
            SpoolExtent::Enough => return Ok(Some(UploadPiece { length, last: None })),
            SpoolExtent::Finished(digest, size) => (digest, size),
            SpoolExtent::Abandoned => {
                let action = self.action.to_string();
                return Err(UploadStop::End(StoreError::Abandoned { action }));
            }
        };
        let rest = size.saturating_sub(session.offset);
        // The digest is known only now, and with it whether all this is needed.
        let is_new = rest > 0 && !std::mem::replace(&mut self.looked_up, true);
        if is_new && self.is_there(&digest, size).await? {
            return Ok(None);
        }
        if self.shape == Shape::Whole || rest == 0 {
            return Ok(Some(UploadPiece { length: rest, last: Some((digest, size)) }));
        }
        Ok(Some(UploadPiece { length: rest.min(length), last: None }))
    }

    /// A piece was accepted. With the last one, `is_confirmed` says whether the answer is as it
    /// should be; otherwise the registry has to be asked whether it really has the blob.
    async fn pushed(
        &mut self,
        session: &Session,
        piece: &UploadPiece,
        is_confirmed: bool,
        retries: &mut Retries,
    ) -> Result<UploadStep, UploadStop> {
        let Some((digest, size)) = &piece.last else {
            if session.offset > self.farthest {
                retries.progressed(session.offset - self.farthest);
                self.farthest = session.offset;
            }
            return Ok(UploadStep::Further);
        };
        // Some registries take chunks and keep only the last one.
        let is_trusted = is_confirmed && self.shape == Shape::Whole;
        let has_it = || self.repository.has_blob_soon(digest, *size);
        if is_trusted || has_it().await.map_err(UploadStop::End)? {
            return Ok(UploadStep::Done);
        }
        let reason = "it reports success but does not have the blob";
        let missing = self.repository.http.protocol(&self.action, reason);
        Err(match self.shape {
            Shape::Whole => UploadStop::End(missing),
            Shape::Chunks => {
                self.repository.loses_chunks.store(true, Ordering::Relaxed);
                self.without_chunks(missing)
            }
        })
    }

    /// Decides what to do after a request has failed. If this returns a step, the session goes on.
    async fn recover(
        &mut self,
        session: &mut Session,
        piece: &UploadPiece,
        failure: RequestFailure,
        retries: &mut Retries,
    ) -> Result<UploadStep, UploadStop> {
        // The answer to the last request may have been lost, and the blob be there all the same.
        if let Some((digest, size)) = &piece.last
            && failure.is_transient()
            && self.is_there(digest, *size).await?
        {
            return Ok(UploadStep::Done);
        }
        let (status, in_chunks) = (failure.status, self.shape == Shape::Chunks);
        let again = match status {
            // The server, or a proxy before it, takes only smaller bodies.
            Some(413) if !in_chunks && !self.chunks_refused => {
                tracing::debug!(
                    "uploading in chunks, because the body is too large: {}",
                    failure.error
                );
                self.shape = Shape::Chunks;
                return Err(UploadStop::Restart(None));
            }
            Some(413) if in_chunks && self.chunk > CHUNK_SMALLEST => {
                self.chunk = (self.chunk / 2).max(CHUNK_SMALLEST);
                return match session.look_up_offset().await {
                    Some(offset) if offset <= session.sent => {
                        session.offset = offset;
                        Ok(UploadStep::Further)
                    }
                    _ => Err(UploadStop::Restart(Some(RequestFailure::transient(failure.error)))),
                };
            }
            // The registry has another offset than we think, or it means the chunk's size.
            Some(416) if in_chunks => RequestFailure::transient(failure.error),
            // The session has ended.
            Some(404) => {
                return Err(UploadStop::Restart(Some(RequestFailure::transient(failure.error))));
            }
            Some(401 | 403) => return Err(UploadStop::End(failure.error)),
            _ if failure.is_transient() => {
                // What is large and breaks is sent in parts, and those that break in smaller ones.
                if in_chunks {
                    self.chunk = (self.chunk / 2).max(CHUNK_SMALLEST);
                } else if retries.has_failed() && !self.chunks_refused {
                    self.shape = Shape::Chunks;
                }
                failure
            }
            Some(_) if in_chunks => return Err(self.without_chunks(failure.error)),
            _ => return Err(UploadStop::End(failure.error)),
        };
        retries.pause(again).await.map_err(UploadStop::End)?;
        // By now the registry may be done with what a proxy before it gave up.
        if let Some((digest, size)) = &piece.last
            && self.is_there(digest, *size).await?
        {
            return Ok(UploadStep::Done);
        }
        let known = session.offset;
        match session.look_up_offset().await {
            // A session that has seen a PUT break off and kept nothing is better not trusted.
            Some(0) if !in_chunks => Err(UploadStop::Restart(None)),
            Some(_) if self.chunks_refused => Err(UploadStop::Restart(None)),
            Some(offset) if offset <= session.sent => {
                if offset == known && status == Some(416) {
                    self.chunk = (self.chunk / 2).clamp(CHUNK_SMALLEST, CHUNK_MODEST);
                }
                self.shape = Shape::Chunks;
                session.offset = offset;
                Ok(UploadStep::Further)
            }
            _ => Err(UploadStop::Restart(None)),
        }
    }

    /// Starts again with a PUT, after chunks have failed.
    fn without_chunks(&mut self, error: StoreError) -> UploadStop {
        tracing::debug!("uploading without chunks, because the registry refuses them: {error}");
        self.chunks_refused = true;
        self.shape = Shape::Whole;
        UploadStop::Restart(Some(RequestFailure::transient(error)))
    }

    async fn is_there(&self, digest: &Digest, size: u64) -> Result<bool, UploadStop> {
        self.repository.has_blob(digest, size).await.map_err(UploadStop::End)
    }
}
