//! The index of an archive of images: whatever it finds is within the archive, and is the payload of a
//! regular file. The list of images in it is read or refused.
#![no_main]

use std::{collections::HashSet, io::Cursor};

use libfuzzer_sys::fuzz_target;
use recompress_image::{
    image::docker_archive::ArchivedItem,
    store::ArchiveIndex,
    tar::{Reader, TarStep},
};

fuzz_target!(|tar: &[u8]| {
    let len = tar.len() as u64;
    let Ok(index) = ArchiveIndex::read(Cursor::new(tar), len) else { return };
    let (mut names, mut files) = (Vec::new(), HashSet::new());
    let mut reader = Reader::new(tar);
    while let Ok(TarStep::Entry(entry)) = reader.next_step() {
        let start = reader.position();
        if matches!(entry.typeflag, b'0' | b'7') && !entry.sparse {
            files.insert(start..start + entry.payload_len);
        }
        names.push(entry.name);
        while reader.payload_left() > 0 {
            if reader.read_payload(&mut [0; 700]).is_err() {
                break;
            }
        }
    }
    names.extend(["index.json", "manifest.json"].map(|name| name.as_bytes().to_vec()));
    for name in names {
        let Ok(Some(range)) = index.find(&name) else { continue };
        assert!(files.contains(&range), "{range:?}");
        let at = |offset| usize::try_from(offset).expect("it is within the archive");
        let _ = ArchivedItem::parse_list(&tar[at(range.start)..at(range.end)]);
    }
});
