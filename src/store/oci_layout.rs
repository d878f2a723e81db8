//! OCI image layouts (image-spec, image-layout.md), on disk and in archives.

mod archived;
mod docker;
mod files;
mod index;
mod referrers;
mod staged;

use std::{
    collections::HashSet,
    fs,
    io::{self, Read as _},
    ops::Range,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

use bytes::Bytes;

use self::{archived::ArchivedLayout, staged::StagedArchive};
use super::{
    access::{Intent, Selector},
    blob::{BlobContent, BlobReader, blob_error, blob_name},
    error::{LayoutError, StoreError},
    manifest::{MANIFEST_SIZE_MAX, RawManifest},
    spool::{BlobSpool, SpoolExtent},
};
use crate::image::{Digest, DockerArchiveReference, LayoutForm, ReferenceError};

/// A layout.
#[derive(Clone, Debug)]
pub struct OciLayout {
    /// Its directory; of an archive that is read, the file.
    root: PathBuf,
    backing: Backing,
    intent: Intent,
    /// Blobs that were written or verified since the layout was opened.
    proven: Arc<Mutex<HashSet<Digest>>>,
}

/// What the files of a layout are in.
#[derive(Clone, Debug)]
enum Backing {
    Directory,
    Archive(Arc<ArchivedLayout>),
    /// An archive that does not exist, and is not written either.
    PlannedArchive,
    /// A directory that becomes an archive.
    Staged(Arc<StagedArchive>),
}

impl OciLayout {
    /// Opens the layout in `root`. To push, a missing or empty directory becomes a layout.
    pub(crate) async fn open(root: &Path, intent: Intent) -> Result<Self, StoreError> {
        let layout = Self::new(root, Backing::Directory, intent);
        layout
            .blocking(move |layout| match intent {
                Intent::Pull => layout.check(),
                Intent::Push => layout.check_or_create(),
                Intent::PlanPush => layout.is_to_be_created().map(drop),
            })
            .await?;
        Ok(layout)
    }

    /// Opens the layout in an archive. One to push to must not exist: it appears with
    /// [`complete`](Self::complete).
    pub(crate) async fn open_archive(path: &Path, intent: Intent) -> Result<Self, StoreError> {
        let unopened = Self::new(path, Backing::PlannedArchive, intent);
        let open = move |unopened: &Self| {
            let path = &unopened.root;
            match intent {
                Intent::Pull => {
                    let archived = Backing::Archive(Arc::new(ArchivedLayout::open(path)?));
                    Ok(Self { backing: archived, ..unopened.clone() })
                }
                Intent::PlanPush => staged::check_absent(path).map(|()| unopened.clone()),
                Intent::Push => {
                    let staged = StagedArchive::new(path)?;
                    let root = staged.dir().to_owned();
                    let backing = Backing::Staged(Arc::new(staged));
                    let layout = Self { root, backing, ..unopened.clone() };
                    layout.create().map(|()| layout)
                }
            }
        };
        unopened.blocking(open).await
    }

    /// Opens an archive of `docker save` as the layout of the one image that `reference` selects.
    pub(crate) async fn open_docker_archive(
        reference: &DockerArchiveReference,
        intent: Intent,
    ) -> Result<Self, StoreError> {
        if intent != Intent::Pull {
            return Err(ReferenceError::DockerArchive.into());
        }
        let reference = reference.clone();
        let unopened = Self::new(reference.path(), Backing::PlannedArchive, intent);
        let open = move |unopened: &Self| {
            let archived = Backing::Archive(Arc::new(docker::open(&reference)?));
            Ok(Self { backing: archived, ..unopened.clone() })
        };
        unopened.blocking(open).await
    }

    fn new(root: &Path, backing: Backing, intent: Intent) -> Self {
        Self { root: root.to_owned(), backing, intent, proven: Arc::default() }
    }

    /// Makes an archive of what was put into it; any other layout shows that already.
    pub(super) async fn complete(&self) -> Result<(), StoreError> {
        let Backing::Staged(staged) = &self.backing else { return Ok(()) };
        let staged = Arc::clone(staged);
        self.while_wanted(move |layout, stop| staged.complete(layout, stop)).await
    }

    /// What is read if the files are in an archive.
    fn archived(&self) -> Option<&ArchivedLayout> {
        match &self.backing {
            Backing::Archive(archived) => Some(archived),
            Backing::Staged(staged) => staged.completed(),
            Backing::Directory | Backing::PlannedArchive => None,
        }
    }

    /// The path by which it is known.
    fn path(&self) -> &Path {
        match &self.backing {
            Backing::Staged(staged) => staged.path(),
            _ => &self.root,
        }
    }

    pub(super) async fn manifest(&self, which: &Selector) -> Result<RawManifest, StoreError> {
        let which = which.clone();
        self.blocking(move |layout| {
            let chosen = layout.read_index()?.select(layout.path(), &which)?;
            let what = format!("manifest {}", chosen.digest);
            let Some(blob) = layout.open_blob(&chosen.digest)? else {
                return Err(layout.lacks(what));
            };
            let size = blob.len();
            if size > MANIFEST_SIZE_MAX {
                let (place, limit) = (layout.place(), MANIFEST_SIZE_MAX);
                return Err(StoreError::TooLarge { what, place, limit });
            }
            // The length of the file is only a bound here: the digest decides.
            let mut reader = BlobReader::from_extent(blob, &chosen.digest, size);
            let mut content = Vec::new();
            io::Read::read_to_end(&mut reader, &mut content)
                .map_err(|error| blob_error(error, &chosen.digest, &layout.place()))?;
            RawManifest::checked(content.into(), chosen.media_type.as_deref(), chosen.digest)
                .map_err(|reason| StoreError::Manifest { what, place: layout.place(), reason })
        })
        .await
    }

    /// The images of which one is meant if none is named, each once.
    pub(crate) async fn images(&self) -> Result<Vec<Digest>, StoreError> {
        self.blocking(|layout| {
            let index = layout.read_index()?;
            let mut found = HashSet::new();
            let digests = index.images().map(|entry| &entry.blob.digest);
            Ok(digests.filter(|digest| found.insert(*digest)).cloned().collect())
        })
        .await
    }

    pub(super) async fn blob(&self, digest: &Digest, size: u64) -> Result<BlobReader, StoreError> {
        let digest = digest.clone();
        self.blocking(move |layout| match layout.open_blob(&digest)? {
            Some(blob) => Ok(BlobReader::from_extent(blob, &digest, size)),
            None => Err(layout.lacks(blob_name(&digest))),
        })
        .await
    }

    /// A part of a blob, of which nothing is checked; less of it if the blob ends before.
    pub(crate) async fn part(
        &self,
        digest: &Digest,
        range: Range<u64>,
    ) -> Result<Bytes, StoreError> {
        let digest = digest.clone();
        self.blocking(move |layout| match layout.open_blob(&digest)? {
            Some(blob) => {
                let mut bytes = Vec::new();
                let read = blob.part(range).read_to_end(&mut bytes);
                read.map_err(StoreError::io(layout.path()))?;
                Ok(bytes.into())
            }
            None => Err(layout.lacks(blob_name(&digest))),
        })
        .await
    }

    /// In a layout that is written to, a damaged blob does not count: it is going to be replaced.
    pub(super) async fn has_blob(&self, digest: &Digest, size: u64) -> Result<bool, StoreError> {
        let digest = digest.clone();
        self.while_wanted(move |layout, stop| {
            let Some(blob) = layout.open_blob(&digest)? else { return Ok(false) };
            if blob.len() != size {
                return Ok(false);
            }
            Ok(layout.intent == Intent::Pull || layout.is_proven(&digest, blob, stop)?)
        })
        .await
    }

    pub(super) async fn put_blob(
        &self,
        digest: &Digest,
        size: u64,
        content: BlobContent,
    ) -> Result<(), StoreError> {
        let digest = digest.clone();
        self.while_wanted(move |layout, stop| layout.write_blob(&digest, size, &content, stop))
            .await
    }

    /// Returns whether the blob was there already.
    pub(super) async fn put_spool(&self, mut spool: BlobSpool) -> Result<bool, StoreError> {
        let SpoolExtent::Finished(digest, size) = spool.wait_for(u64::MAX).await else {
            return Err(StoreError::io(spool.path())(io::ErrorKind::BrokenPipe.into()));
        };
        if self.has_blob(&digest, size).await? {
            return Ok(true);
        }
        self.while_wanted(move |layout, stop| layout.take_in(&spool, &digest, size, stop))
            .await
            .map(|()| false)
    }

    pub(super) async fn put_manifest(
        &self,
        manifest: &RawManifest,
        tag: Option<&str>,
    ) -> Result<(), StoreError> {
        let (manifest, tag) = (manifest.clone(), tag.map(str::to_owned));
        self.blocking(move |layout| {
            let size = manifest.bytes.len() as u64;
            let content = BlobContent::Bytes(Bytes::clone(&manifest.bytes));
            layout.write_blob(&manifest.digest, size, &content, &|| false)?;
            match tag {
                Some(tag) => layout.change_index(|index| index.set_tag(&manifest, &tag)),
                None => Ok(()),
            }
        })
        .await
    }

    /// The layout's name for messages.
    pub(super) fn place(&self) -> String {
        let prefix = match &self.backing {
            Backing::Directory => LayoutForm::Directory.prefix(),
            Backing::Archive(archived) => archived.prefix(),
            Backing::PlannedArchive | Backing::Staged(_) => LayoutForm::Archive.prefix(),
        };
        format!("{prefix}{}", self.path().display())
    }

    fn lacks(&self, what: String) -> StoreError {
        StoreError::NotFound { what, place: self.place(), is_local: true }
    }

    /// Runs file work off the async threads.
    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Self) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let layout = self.clone();
        match tokio::task::spawn_blocking(move || work(&layout)).await {
            Ok(result) => result,
            Err(error) => Err(StoreError::io(&self.root)(io::Error::other(error))),
        }
    }

    /// The same for work that may be long. It learns when this future has been dropped; otherwise it
    /// would run to its end.
    async fn while_wanted<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Self, &dyn Fn() -> bool) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let wanted = Arc::new(());
        let still_wanted = Arc::downgrade(&wanted);
        self.blocking(move |layout| work(layout, &|| still_wanted.strong_count() == 0)).await
    }

    fn check(&self) -> Result<(), StoreError> {
        let path = self.root.join(files::OCI_LAYOUT);
        let marker = match files::read_small(&path) {
            Ok(marker) => marker,
            Err(error) if files::is_absent(&error) => {
                let root = self.root.clone();
                let exists = root.is_dir();
                let problem =
                    if exists { LayoutError::NoLayout(root) } else { LayoutError::Missing(root) };
                return Err(problem.into());
            }
            Err(error) => return Err(StoreError::io(path)(error)),
        };
        files::check_version(&marker, path)
    }

    /// Whether a push has to create the layout first.
    fn is_to_be_created(&self) -> Result<bool, StoreError> {
        match self.check() {
            Err(StoreError::Layout(LayoutError::Missing(root))) if !root.exists() => Ok(true),
            Err(StoreError::Layout(LayoutError::NoLayout(root))) => {
                let is_unfinished = self.is_unfinished().map_err(StoreError::io(&root))?;
                is_unfinished.then_some(true).ok_or(LayoutError::Occupied(root).into())
            }
            // A damaged index is reported before the work begins.
            checked => checked.and_then(|()| self.read_index().map(|_| false)),
        }
    }

    fn check_or_create(&self) -> Result<(), StoreError> {
        if !self.is_to_be_created()? {
            return Ok(());
        }
        fs::create_dir_all(&self.root).map_err(StoreError::io(&self.root))?;
        let _lock = self.lock()?;
        // Another process may have created the layout meanwhile.
        if self.is_to_be_created()? { self.create() } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests;
