//! Writing to a registry (distribution-spec, "Push").

use std::{path::Path, sync::Arc};

use bytes::{Bytes, BytesMut};
use futures_util::stream::{self, BoxStream, StreamExt as _};
use oci_client::errors::OciDistributionError;
use reqwest::header::CONTENT_TYPE;
use tokio::{fs::File, io::AsyncReadExt as _};

use super::{Registry, download::DOCKER_CONTENT_DIGEST};
use crate::{
    image::Digest,
    store::{BlobContent, RawManifest, StoreError, blob_name},
};

/// Bytes that are read from a file and handed to the connection at once.
const PIECE: usize = 1 << 20;

type Pieces = BoxStream<'static, Result<Bytes, OciDistributionError>>;
type Progress = Arc<dyn Fn(u64) + Send + Sync>;

impl Registry {
    /// Uploads a blob with one POST and one PUT. The registry checks the digest.
    pub(in crate::store) async fn put_blob(
        &self,
        digest: &Digest,
        size: u64,
        content: BlobContent,
        progress: impl Fn(u64) + Send + Sync + 'static,
    ) -> Result<(), StoreError> {
        let progress: Progress = Arc::new(progress);
        let action = format!("the upload of {}", blob_name(digest));
        let authorization = self.authorization().await;
        let mut outcome = self.push(digest, size, &content, Arc::clone(&progress)).await?;
        if outcome.as_ref().is_err_and(is_unauthorized) {
            self.renew(&authorization).await?;
            outcome = self.push(digest, size, &content, progress).await?;
        }
        match outcome {
            Ok(_) => Ok(()),
            // Some registries take the blob and answer 201 without a Location, or 200 or 204.
            Err(
                error @ (OciDistributionError::RegistryNoLocationError
                | OciDistributionError::SpecViolationError(_)),
            ) => {
                if self.has_blob(digest, size).await? {
                    return Ok(());
                }
                Err(self.oci_error(error, &action))
            }
            Err(OciDistributionError::ServerError { code: 404, .. }) => {
                let place = self.host.clone();
                Err(StoreError::NotFound { what: format!("repository {}", self.repository), place })
            }
            Err(error) => Err(self.oci_error(error, &action)),
        }
    }

    /// One attempt. The outer error is one of the local file.
    async fn push(
        &self,
        digest: &Digest,
        size: u64,
        content: &BlobContent,
        progress: Progress,
    ) -> Result<Result<String, OciDistributionError>, StoreError> {
        let pieces = pieces_of(digest, size, content, progress).await?;
        Ok(self.oci.push_blob_stream(&self.image, pieces, digest.as_str(), Some(size)).await)
    }

    /// Puts a manifest under its tag or its digest, byte for byte.
    pub(in crate::store) async fn put_manifest(
        &self,
        manifest: &RawManifest,
        tag: Option<&str>,
    ) -> Result<(), StoreError> {
        let name = tag.unwrap_or(manifest.digest.as_str());
        let (what, action) = (format!("manifest {name}"), format!("the upload of manifest {name}"));
        let url = format!("{}/manifests/{name}", self.base);
        let request = || {
            let request = self.http.put(&url).header(CONTENT_TYPE, &manifest.media_type);
            request.body(manifest.bytes.clone())
        };
        let response = self.send(request).await?;
        if !matches!(response.status().as_u16(), 200..=204) {
            return Err(self.refuse(response, &format!("repository for {what}"), &action).await);
        }
        let stored = response.headers().get(DOCKER_CONTENT_DIGEST);
        let stored = stored.and_then(|digest| digest.to_str().ok()?.parse::<Digest>().ok());
        match stored {
            Some(actual)
                if actual.algorithm() == manifest.digest.algorithm()
                    && actual != manifest.digest =>
            {
                let (place, expected) = (self.place.clone(), manifest.digest.clone());
                Err(StoreError::DigestMismatch { what, place, expected, actual })
            }
            _ => Ok(()),
        }
    }
}

fn is_unauthorized(error: &OciDistributionError) -> bool {
    matches!(
        error,
        OciDistributionError::UnauthorizedError { .. }
            | OciDistributionError::ServerError { code: 401, .. }
    )
}

/// The content as the body of a request.
async fn pieces_of(
    digest: &Digest,
    size: u64,
    content: &BlobContent,
    progress: Progress,
) -> Result<Pieces, StoreError> {
    let (length, pieces) = match content {
        BlobContent::Bytes(bytes) => {
            let bytes = bytes.clone();
            let length = bytes.len() as u64;
            let cut = move |mut rest: Bytes| async move {
                let piece = rest.split_to(rest.len().min(PIECE));
                (!piece.is_empty()).then_some((Ok(piece), rest))
            };
            (length, stream::unfold(bytes, cut).boxed())
        }
        BlobContent::File(path) => open_pieces(path).await.map_err(StoreError::io(path))?,
    };
    if length != size {
        let (what, actual) = (blob_name(digest), format!("{length} bytes"));
        let place = match content {
            BlobContent::File(path) => path.display().to_string(),
            BlobContent::Bytes(_) => "memory".to_owned(),
        };
        return Err(StoreError::SizeMismatch { what, place, expected: size, actual });
    }
    let mut sent = 0;
    Ok(pieces
        .inspect(move |piece| {
            if let Ok(piece) = piece {
                sent += piece.len() as u64;
                progress(sent);
            }
        })
        .boxed())
}

/// A file in pieces, read off the async threads, and its length in bytes.
async fn open_pieces(path: &Path) -> std::io::Result<(u64, Pieces)> {
    let mut file = File::open(path).await?;
    file.set_max_buf_size(PIECE);
    let length = file.metadata().await?.len();
    let pieces = stream::try_unfold(file, |mut file| async move {
        let mut piece = BytesMut::with_capacity(PIECE);
        let read = file.read_buf(&mut piece).await?;
        Ok((read > 0).then(|| (piece.freeze(), file)))
    });
    Ok((length, pieces.boxed()))
}
