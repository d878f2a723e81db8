//! Blobs of several members and frames, whole and damaged: whole ones are read to the last byte,
//! damaged ones are errors or still the same tar, and never a shorter one.
#![no_main]

use std::{io::Write as _, sync::LazyLock};

use flate2::write::GzEncoder;
use libfuzzer_sys::{arbitrary, arbitrary::Arbitrary, fuzz_target};
use properties::layer;
use recompress_image::layer::{Cuts, LayerError, Pool, Recipe};
use test_support::archive::{Dialect, TarBuilder};

static POOL: LazyLock<Pool> = LazyLock::new(|| Pool::new(1).unwrap());

#[derive(Debug, Arbitrary)]
struct Input<'a> {
    content: &'a [u8],
    zstd: bool,
    level: u8,
    /// Where one member or frame ends and the next begins.
    cuts: [u16; 3],
    skippable: Option<&'a [u8]>,
    damage: Damage,
}

#[derive(Debug, Arbitrary)]
enum Damage {
    None,
    CutShort(u16),
    Flip(u16, u8),
    Insert(u16, u8),
}

impl Input<'_> {
    fn encode(&self, part: &[u8]) -> Vec<u8> {
        if self.zstd {
            let mut encoder = zstd::Encoder::new(Vec::new(), i32::from(self.level % 8)).unwrap();
            // As podman writes it; without it damage goes unseen here, and is seen by the diffID.
            encoder.include_checksum(true).unwrap();
            encoder.write_all(part).unwrap();
            encoder.finish().unwrap()
        } else {
            let level = flate2::Compression::new(u32::from(self.level % 10));
            let mut encoder = GzEncoder::new(Vec::new(), level);
            encoder.write_all(part).unwrap();
            encoder.finish().unwrap()
        }
    }

    fn blob(&self, tar: &[u8]) -> Vec<u8> {
        let mut cuts = self.cuts.map(|cut| usize::from(cut) % (tar.len() + 1));
        cuts.sort_unstable();
        let [a, b, c] = cuts;
        let mut blob = Vec::new();
        for part in [&tar[..a], &tar[a..b], &tar[b..c], &tar[c..]] {
            if let Some(payload) = self.skippable.filter(|_| self.zstd) {
                blob.extend([0x5e, 0x2a, 0x4d, 0x18]);
                blob.extend((payload.len() as u32).to_le_bytes());
                blob.extend(payload);
            }
            blob.extend(self.encode(part));
        }
        match self.damage {
            Damage::None => {}
            Damage::CutShort(at) => blob.truncate(usize::from(at) % blob.len()),
            Damage::Flip(at, bits) => {
                let at = usize::from(at) % blob.len();
                blob[at] ^= bits;
            }
            Damage::Insert(at, byte) => blob.insert(usize::from(at) % (blob.len() + 1), byte),
        }
        blob
    }
}

fuzz_target!(|input: Input| {
    let tar = TarBuilder::new().file(Dialect::Ustar, b"file", input.content).end().finish();
    let recipe =
        Recipe { chunked: true, level: 1, cuts: Cuts::REFERENCE, lowest: true };
    let blob = input.blob(&tar);
    match layer::convert(&blob[..], recipe, &POOL) {
        Ok(made) if matches!(input.damage, Damage::None) => layer::check(&tar, recipe, &made),
        // The diffID tells those apart that decode to something else all the same.
        Ok(made) => {
            let decoded = zstd::decode_all(&made.blob[..]).unwrap();
            layer::check(&decoded, recipe, &made);
        }
        Err(LayerError::Decompress { .. } | LayerError::Tar(_)) => {
            assert!(!matches!(input.damage, Damage::None));
        }
        Err(error) => panic!("{error:?}"),
    }
});
