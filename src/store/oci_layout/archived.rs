//! A layout in an archive that is read.

use std::{collections::HashMap, path::Path};

use bytes::Bytes;

use super::files::{INDEX, OCI_LAYOUT, blob_file, check_version};
use crate::{
    image::{Digest, LayoutForm},
    store::{
        archive::ArchiveFile,
        error::{ArchiveFileError, StoreError},
        extent::Extent,
        manifest::MANIFEST_SIZE_MAX,
    },
};

#[derive(Debug)]
pub(super) struct ArchivedLayout {
    prefix: &'static str,
    /// Read once: it is the same for every question.
    index: Bytes,
    blobs: Blobs,
}

#[derive(Debug)]
enum Blobs {
    /// Below `blobs`.
    Named(ArchiveFile),
    /// Anywhere.
    Listed(HashMap<Digest, Extent>),
}

impl ArchivedLayout {
    /// `oci-archive`.
    pub(super) fn open(path: &Path) -> Result<Self, StoreError> {
        ArchiveFile::open(path).and_then(Self::of)
    }

    pub(super) fn of(file: ArchiveFile) -> Result<Self, StoreError> {
        let read = |name: &str| {
            file.read_small(name, MANIFEST_SIZE_MAX)?.ok_or_else(|| {
                let hint = match file.find("manifest.json") {
                    Ok(Some(_)) => {
                        "it is an archive of `docker save`: name it as docker-archive:FILE"
                    }
                    _ => "it is not an archive of an OCI image layout, or it is truncated",
                };
                let (path, file) = (file.path().to_owned(), name.to_owned());
                StoreError::from(ArchiveFileError::Lacks { path, file, hint })
            })
        };
        check_version(&read(OCI_LAYOUT)?, file.path().join(OCI_LAYOUT))?;
        let index = read(INDEX)?.into();
        Ok(Self { prefix: LayoutForm::Archive.prefix(), index, blobs: Blobs::Named(file) })
    }

    /// One that is put together from other files.
    pub(super) fn listed(
        prefix: &'static str,
        index: Vec<u8>,
        blobs: HashMap<Digest, Extent>,
    ) -> Self {
        Self { prefix, index: index.into(), blobs: Blobs::Listed(blobs) }
    }

    /// The transport, for messages.
    pub(super) fn prefix(&self) -> &'static str {
        self.prefix
    }

    /// The content of `index.json`.
    pub(super) fn index(&self) -> &Bytes {
        &self.index
    }

    pub(super) fn blob(&self, digest: &Digest) -> Result<Option<Extent>, StoreError> {
        match &self.blobs {
            Blobs::Named(file) => file.find(&blob_file(digest)),
            Blobs::Listed(blobs) => Ok(blobs.get(digest).cloned()),
        }
    }
}
