//! A tar through the whole pipeline: what comes out decodes to it, and its TOC tells the truth.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use properties::layer;
use recompress_image::layer::{Cuts, LayerError, Pool, Recipe};

static POOL: LazyLock<Pool> = LazyLock::new(|| Pool::new(1).unwrap());

fuzz_target!(|input: (u8, &[u8])| {
    let (choice, tar) = input;
    if tar.starts_with(&[0x1f, 0x8b]) || tar.get(1..4) == Some(&[0xb5, 0x2f, 0xfd]) {
        return;
    }
    let max = |choice: u8| [0, 600, 64 << 10, 1 << 20][usize::from(choice % 4)];
    let cuts = Cuts {
        whole_max: max(choice),
        chunk_min: u64::from(choice >> 2 & 31) << 10,
    };
    let recipe =
        Recipe { chunked: choice & 0x80 == 0, level: 1, cuts, lowest: true };
    match layer::convert(tar, recipe, &POOL) {
        Ok(made) => {
            assert!(layer::is_tar(tar));
            layer::check(tar, recipe, &made);
        }
        Err(LayerError::Tar(_)) => assert!(!layer::is_tar(tar)),
        // xz, bzip2 or a skippable frame by its first bytes.
        Err(LayerError::Decompress { .. } | LayerError::Unsupported(_)) => {}
        Err(error) => panic!("{error:?}"),
    }
});
