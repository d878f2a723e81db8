//! Archives of `docker save`, also as other tools write them: a `manifest.json` that lists images, and
//! for each a config and layers, which are tars or compressed.

use std::{
    collections::{HashMap, hash_map::Entry},
    io::Read as _,
};

use super::{
    archived::ArchivedLayout,
    index::{LayoutIndex, listed},
};
use crate::{
    image::{
        ArchivedImage, BlobId, Descriptor, Digest, DockerArchiveReference, DocumentError,
        ImageConfig,
        docker_archive::{self, ArchivedItem},
        media_type::{OCI_MANIFEST, Suffix},
    },
    store::{
        archive::ArchiveFile,
        error::{ArchiveFileError, LayoutError, StoreError},
        extent::Extent,
        manifest::{MANIFEST_SIZE_MAX, RawManifest},
    },
};

const LIST: &str = "manifest.json";

/// Bytes per step when a layer is read.
const PIECE: usize = 1 << 20;

/// Opens the image that is meant as a layout of its own. There is no manifest in the archive, so an
/// OCI manifest is made. The digest of a plain tar is its diffID; that of a compressed layer is
/// computed. All of them are verified when the blobs are read.
pub(super) fn open(reference: &DockerArchiveReference) -> Result<ArchivedLayout, StoreError> {
    let file = ArchiveFile::open(reference.path())?;
    let list = file.read_small(LIST, MANIFEST_SIZE_MAX)?;
    let list = list.ok_or_else(|| {
        let hint = match file.find("index.json") {
            Ok(Some(_)) => "it is an archive of an OCI image layout: name it as oci-archive:FILE",
            _ => "it is not an archive of `docker save`, or it is truncated",
        };
        lacks(&file, LIST, hint)
    })?;
    let damaged = |reason: DocumentError| {
        let path = file.path().join(LIST);
        StoreError::from(LayoutError::Damaged { path, reason: reason.to_string() })
    };
    let items = ArchivedItem::parse_list(&list).map_err(damaged)?;
    let item = chosen(&items, reference)?;
    let needed = "manifest.json names it, so the archive is damaged or truncated";
    let config = file.read_small(&item.config, MANIFEST_SIZE_MAX)?;
    let config = config.ok_or_else(|| lacks(&file, &item.config, needed))?;
    let diff_ids = ImageConfig::parse(&config).map_err(damaged)?.diff_ids;
    if diff_ids.len() != item.layers.len() {
        let reason = format!(
            "it lists {} layers of an image whose config has {} diffIDs",
            item.layers.len(),
            diff_ids.len()
        );
        return Err(damaged(DocumentError::malformed(reason)));
    }
    let mut layout = Listed::default();
    let config = layout.add(Digest::sha256_of(&config), Extent::of_bytes(config.into()));
    let (mut layers, mut known) = (Vec::new(), HashMap::new());
    for (name, diff_id) in item.layers.iter().zip(diff_ids) {
        let tar = file.find(name)?.ok_or_else(|| lacks(&file, name, needed))?;
        // Many layers may be one file, which is read once.
        let identity = match known.entry((tar.range(), diff_id)) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(new) => {
                let identity = identity(&tar, new.key().1.clone());
                new.insert(identity.map_err(StoreError::io(file.path()))?)
            }
        };
        let (suffix, digest) = identity.clone();
        let size = tar.len();
        let blob = layout.add(digest, tar);
        if blob.size != size {
            let reason = format!("layers of {} and {size} bytes have one diffID", blob.size);
            return Err(damaged(DocumentError::malformed(reason)));
        }
        layers.push((suffix, blob));
    }
    let manifest = docker_archive::manifest(&config, &layers).map_err(|e| damaged(e.into()))?;
    layout.finish(manifest, reference).map_err(damaged)
}

/// The blobs of an image.
#[derive(Default)]
struct Listed(HashMap<Digest, Extent>);

impl Listed {
    fn add(&mut self, digest: Digest, content: Extent) -> BlobId {
        let size = self.0.entry(digest.clone()).or_insert(content).len();
        BlobId { digest, size }
    }

    fn finish(
        mut self,
        manifest: Vec<u8>,
        reference: &DockerArchiveReference,
    ) -> Result<ArchivedLayout, DocumentError> {
        let manifest = RawManifest::new(manifest, OCI_MANIFEST);
        let mut index = LayoutIndex::empty();
        match reference.tag() {
            Some(tag) => index.set_tag(&manifest, tag)?,
            None => index.add(&Descriptor::new(OCI_MANIFEST, manifest.id())),
        }
        self.add(manifest.digest, Extent::of_bytes(manifest.bytes));
        Ok(ArchivedLayout::listed(DockerArchiveReference::PREFIX, index.to_bytes(), self.0))
    }
}

/// How a layer is compressed, going by its first bytes, and its digest. Whatever begins in another way
/// is taken for a tar.
fn identity(layer: &Extent, diff_id: Digest) -> std::io::Result<(Suffix, Digest)> {
    let mut layer = layer.clone();
    let mut start = Vec::new();
    layer.part(0..4).read_to_end(&mut start)?;
    let suffix = match start[..] {
        [0x1f, 0x8b, ..] => Suffix::Gzip,
        [0x28, 0xb5, 0x2f, 0xfd] => Suffix::Zstd,
        _ => return Ok((Suffix::None, diff_id)),
    };
    let mut hasher = diff_id.hasher();
    let mut piece = vec![0; PIECE];
    loop {
        match layer.read(&mut piece)? {
            0 => return Ok((suffix, hasher.finish())),
            len => hasher.update(&piece[..len]),
        }
    }
}

fn chosen<'a>(
    items: &'a [ArchivedItem],
    reference: &DockerArchiveReference,
) -> Result<&'a ArchivedItem, LayoutError> {
    let (root, image) = (reference.path().to_owned(), reference.image());
    let matching: Vec<_> = match image {
        ArchivedImage::Only => items.iter().collect(),
        ArchivedImage::Name(name) => items.iter().filter(|item| item.has_name(name)).collect(),
        ArchivedImage::Number(number) => items.get(*number).into_iter().collect(),
    };
    let shown = |(number, item): (usize, &ArchivedItem)| match item.names.first() {
        Some(name) => format!("@{number} ({})", name.chars().take(130).collect::<String>()),
        None => format!("@{number}"),
    };
    let listed = || listed(items.iter().enumerate().map(shown));
    match matching[..] {
        [item] => Ok(item),
        [] => {
            let wanted = match image {
                ArchivedImage::Only => String::new(),
                image => format!(" {image}"),
            };
            Err(LayoutError::NoImage { root, wanted, listed: listed() })
        }
        _ => Err(LayoutError::Several { root, by: "name or number", listed: listed() }),
    }
}

fn lacks(archive: &ArchiveFile, file: &str, hint: &'static str) -> StoreError {
    let file = file.chars().take(200).collect::<String>().escape_debug().to_string();
    ArchiveFileError::Lacks { path: archive.path().to_owned(), file, hint }.into()
}
