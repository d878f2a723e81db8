//! One blob on its way into a registry, over as many requests and sessions as it takes.

use std::sync::Arc;

use super::{
    session::{Begun, Session, Setback},
    source::Source,
};
use crate::{
    image::Digest,
    store::{
        StoreError,
        registry::{
            Repository,
            retry::{Failure, Retries},
        },
        spool::SpoolExtent,
    },
};

/// Bytes of a chunk where nothing speaks against it: many registries keep each as an object of its
/// own, and some want at least 5 MiB.
const CHUNK: u64 = 16 << 20;
/// The largest chunk that GHCR takes; it says so with 416.
const CHUNK_MODEST: u64 = 4 << 20;
/// Chunks are not made smaller than this.
const CHUNK_SMALLEST: u64 = 1 << 20;

pub(super) struct Transfer {
    registry: Arc<Repository>,
    source: Source,
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
    /// In one PATCH after the other. They can follow a blob that is still growing, be resumed, and be small.
    Chunks,
}

/// What a step of an upload has come to.
enum Step {
    Further,
    Done,
    AlreadyThere,
}

/// Why a session does not go on.
enum Stop {
    /// Another session may do better; after a pause if there is a failure that has had none.
    Restart(Option<Failure>),
    End(StoreError),
}

impl Transfer {
    /// An upload of a blob that is all there.
    pub(super) fn whole(registry: &Arc<Repository>, source: Source, action: Arc<str>) -> Self {
        Self {
            registry: Arc::clone(registry),
            source,
            action,
            shape: Shape::Whole,
            chunks_refused: false,
            chunk: CHUNK,
            looked_up: true,
            farthest: 0,
        }
    }

    /// An upload of a blob that is still being written.
    pub(super) fn following(registry: &Arc<Repository>, source: Source, action: Arc<str>) -> Self {
        let whole = Self::whole(registry, source, action);
        Self { shape: Shape::Chunks, looked_up: false, ..whole }
    }

    /// Uploads the blob, into `session` at first if there is one. Returns whether it turned out to
    /// be there already.
    pub(super) async fn run(mut self, session: Option<Session>) -> Result<bool, StoreError> {
        let (registry, action) = (Arc::clone(&self.registry), Arc::clone(&self.action));
        let mut retries = registry.retries(&action);
        let mut opened = session;
        loop {
            let mut session = match opened.take() {
                Some(session) => session,
                None => match Session::begin(&registry, &action, None).await? {
                    Begun::Session(session) => session,
                    Begun::Mounted => return Ok(true),
                },
            };
            match self.fill(&mut session, &mut retries).await {
                Ok(already_there) => return Ok(already_there),
                Err(Stop::End(error)) => return Err(error),
                Err(Stop::Restart(failure)) => {
                    drop(session);
                    if let Some(failure) = failure {
                        retries.pause(failure).await?;
                    }
                }
            }
        }
    }

    async fn fill(
        &mut self,
        session: &mut Session,
        retries: &mut Retries<'_>,
    ) -> Result<bool, Stop> {
        loop {
            let setback = match self.step(session).await? {
                Ok(Step::Done) => return Ok(false),
                Ok(Step::AlreadyThere) => return Ok(true),
                Ok(Step::Further) => {
                    if session.offset > self.farthest {
                        self.farthest = session.offset;
                        retries.progressed();
                    }
                    continue;
                }
                Err(setback) => setback,
            };
            self.recover(session, retries, setback).await?;
        }
    }

    /// Sends the next request.
    async fn step(&mut self, session: &mut Session) -> Result<Result<Step, Setback>, Stop> {
        let length = self.chunk.max(session.chunk_min);
        let wanted = match self.shape {
            Shape::Whole => u64::MAX,
            Shape::Chunks => session.offset.saturating_add(length),
        };
        let (digest, size) = match self.source.wait_for(wanted).await {
            SpoolExtent::Enough => {
                let sent = session.append(&self.source, length).await;
                return Ok(sent.map(|()| Step::Further));
            }
            SpoolExtent::Finished(digest, size) => (digest, size),
            SpoolExtent::Abandoned => {
                let reason = "the blob was not finished";
                return Err(Stop::End(self.registry.protocol(&self.action, reason)));
            }
        };
        let rest = size.saturating_sub(session.offset);
        match self.shape {
            Shape::Chunks if rest > 0 => {
                // The digest is known only now, and with it whether all this is needed.
                if !std::mem::replace(&mut self.looked_up, true)
                    && self.is_there(&digest, size).await?
                {
                    return Ok(Ok(Step::AlreadyThere));
                }
                let sent = session.append(&self.source, rest.min(length)).await;
                Ok(sent.map(|()| Step::Further))
            }
            Shape::Chunks => match session.finish(&self.source, &digest, 0).await {
                // Some registries take chunks and keep only the last one.
                Ok(_) if self.is_there(&digest, size).await? => Ok(Ok(Step::Done)),
                Ok(_) => Err(self.without_chunks(self.not_there())),
                Err(setback) => self.unless_there(&digest, size, setback).await,
            },
            Shape::Whole => match session.finish(&self.source, &digest, rest).await {
                Ok(true) => Ok(Ok(Step::Done)),
                Ok(false) if self.is_there(&digest, size).await? => Ok(Ok(Step::Done)),
                Ok(false) => Err(Stop::End(self.not_there())),
                Err(setback) => self.unless_there(&digest, size, setback).await,
            },
        }
    }

    /// The answer to the last request may have been lost, and the blob be there all the same.
    async fn unless_there(
        &self,
        digest: &Digest,
        size: u64,
        setback: Setback,
    ) -> Result<Result<Step, Setback>, Stop> {
        if setback.failure.is_passing() && self.is_there(digest, size).await? {
            return Ok(Ok(Step::Done));
        }
        Ok(Err(setback))
    }

    /// Decides what to do after a request has failed. If this returns, the session goes on.
    async fn recover(
        &mut self,
        session: &mut Session,
        retries: &mut Retries<'_>,
        Setback { status, failure }: Setback,
    ) -> Result<(), Stop> {
        let in_chunks = self.shape == Shape::Chunks;
        let again = match status {
            // The server, or a proxy before it, takes only smaller bodies.
            Some(413) if !in_chunks && !self.chunks_refused => {
                tracing::debug!(error = %failure.error, "going on in chunks");
                self.shape = Shape::Chunks;
                return Err(Stop::Restart(None));
            }
            Some(413) if in_chunks && self.chunk > CHUNK_SMALLEST => {
                self.chunk = (self.chunk / 2).max(CHUNK_SMALLEST);
                return match session.look_up_offset().await {
                    Some(offset) if offset <= session.sent => {
                        session.offset = offset;
                        Ok(())
                    }
                    _ => Err(Stop::Restart(Some(Failure::passing(failure.error)))),
                };
            }
            // The registry has another offset than we think, or it means the chunk's size.
            Some(416) if in_chunks => Failure::passing(failure.error),
            // The session has ended.
            Some(404) => return Err(Stop::Restart(Some(Failure::passing(failure.error)))),
            Some(401 | 403) => return Err(Stop::End(failure.error)),
            _ if failure.is_passing() => {
                // What is large and breaks is sent in parts, and those that break in smaller ones.
                if in_chunks {
                    self.chunk = (self.chunk / 2).max(CHUNK_SMALLEST);
                } else if retries.has_failed() && !self.chunks_refused {
                    self.shape = Shape::Chunks;
                }
                failure
            }
            Some(_) if in_chunks => return Err(self.without_chunks(failure.error)),
            _ => return Err(Stop::End(failure.error)),
        };
        retries.pause(again).await.map_err(Stop::End)?;
        let known = session.offset;
        match session.look_up_offset().await {
            // A session that has seen a PUT break off and kept nothing is better not trusted.
            Some(0) if !in_chunks => Err(Stop::Restart(None)),
            Some(_) if self.chunks_refused => Err(Stop::Restart(None)),
            Some(offset) if offset <= session.sent => {
                if offset == known && status == Some(416) {
                    self.chunk = (self.chunk / 2).clamp(CHUNK_SMALLEST, CHUNK_MODEST);
                }
                self.shape = Shape::Chunks;
                session.offset = offset;
                Ok(())
            }
            _ => Err(Stop::Restart(None)),
        }
    }

    /// Starts again with a PUT, after chunks have come to nothing.
    fn without_chunks(&mut self, error: StoreError) -> Stop {
        tracing::debug!(%error, "the registry does not take chunks");
        self.chunks_refused = true;
        self.shape = Shape::Whole;
        Stop::Restart(Some(Failure::passing(error)))
    }

    fn not_there(&self) -> StoreError {
        self.registry.protocol(&self.action, "it says that all went well, but has no such blob")
    }

    async fn is_there(&self, digest: &Digest, size: u64) -> Result<bool, Stop> {
        self.registry.has_blob(digest, size).await.map_err(Stop::End)
    }
}
