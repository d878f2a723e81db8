//! The layer pipeline by its promises, through the library: for tars of every kind the new blob
//! decodes to the tar, its TOC and tar-split tell the truth, and only the tar decides how it looks.

mod inputs;

use std::{io::Write as _, sync::LazyLock};

use properties::layer::{check, convert, is_tar};
use proptest::{collection::vec, prelude::*, sample::Index};
use recompress_image::layer::{Cuts, LayerError, Pool, Recipe};
use test_support::archive::{Dialect, TarBuilder};

use self::inputs::{Pieces, Stretch, content, recipe, tar};

static POOLS: LazyLock<[Pool; 3]> = LazyLock::new(|| [1, 2, 8].map(|n| Pool::new(n).unwrap()));

const CHUNKED: Recipe = Recipe { chunked: true, level: 1, cuts: Cuts::REFERENCE, lowest: true };

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn every_tar_is_converted_rightly((tar, fit) in tar(), recipe in recipe()) {
        let made = convert(&tar[..], recipe, &POOLS[1]).unwrap();
        check(&tar, recipe, &made);
        let outline = &made.converted.outline;
        prop_assert_eq!(outline.is_ok(), fit && recipe.chunked, "{:?}", outline);
    }

    #[test]
    fn threads_and_reads_leave_no_trace(
        (tar, _) in tar(),
        recipe in recipe(),
        mut sizes in vec(prop_oneof![Just(0), 1..600_usize, 1..300_000_usize], 0..20),
    ) {
        // Small pieces alone would take too long, interruptions alone for ever.
        sizes.push(200_000);
        let once = convert(&tar[..], recipe, &POOLS[0]).unwrap().blob;
        for pool in &POOLS[1..] {
            let again = convert(Pieces::new(&tar, &sizes), recipe, pool).unwrap().blob;
            prop_assert!(once == again, "another blob with {} threads", pool.threads());
        }
    }

    #[test]
    fn the_source_format_leaves_no_trace((tar, _) in tar(), cut in any::<Index>()) {
        let (front, back) = tar.split_at(cut.index(tar.len() + 1));
        let gzip = |part| {
            let mut gzip =
                flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            gzip.write_all(part).unwrap();
            gzip.finish().unwrap()
        };
        let zstd = |part| zstd::encode_all(part, 1).unwrap();
        let blob = |source: Vec<u8>| convert(&source[..], CHUNKED, &POOLS[1]).unwrap().blob;
        let from_gzip = blob([gzip(front), gzip(back)].concat());
        prop_assert!(from_gzip == blob([zstd(front), zstd(back)].concat()));
        prop_assert!(from_gzip == blob(tar));
    }

    #[test]
    fn a_tar_that_is_cut_short_is_an_error_or_whole(
        (tar, _) in tar(),
        recipe in recipe(),
        at in any::<Index>(),
    ) {
        let cut = &tar[..at.index(tar.len() + 1)];
        match convert(cut, recipe, &POOLS[1]) {
            Ok(made) => {
                prop_assert!(is_tar(cut));
                check(cut, recipe, &made);
            }
            Err(LayerError::Tar(_)) => prop_assert!(!is_tar(cut)),
            Err(error) => prop_assert!(false, "{error:?}"),
        }
    }
}

/// Zeros and runs of one byte that begin, end or turn into a hole just where a batch is full.
#[test]
fn holes_and_runs_at_the_edges_of_batches() {
    const BATCH: usize = 1 << 20;
    let noise = |len| Stretch::Noise { len, seed: 1 };
    let zeros = |len| Stretch::Run { len, byte: 0 };
    let sevens = |len| Stretch::Run { len, byte: 7 };
    // A header of 512 bytes is in the first batch as well.
    for before in [BATCH - 1537, BATCH - 1024, BATCH - 513, BATCH - 512] {
        for run in [1023, 1024, 2 * BATCH + 1] {
            let files = [
                vec![noise(before), zeros(run), noise(5000)],
                vec![sevens(before), zeros(run), sevens(BATCH), zeros(run)],
                vec![zeros(run), sevens(before)],
            ];
            let tar = files.iter().enumerate().fold(TarBuilder::new(), |tar, (number, file)| {
                tar.file(Dialect::Ustar, format!("{number}").as_bytes(), &content(file))
            });
            let tar = tar.end().finish();
            check(&tar, CHUNKED, &convert(&tar[..], CHUNKED, &POOLS[1]).unwrap());
        }
    }
}

#[test]
fn small_files_stay_whole_and_others_are_cut() {
    let noise = content(&[Stretch::Noise { len: 1 << 20, seed: 1 }]);
    let recipe = Recipe { cuts: Cuts::default(), ..CHUNKED };
    let chunks = |len: usize| {
        let tar = TarBuilder::new().file(Dialect::Ustar, b"file", &noise[..len]).end().finish();
        let made = convert(&tar[..], recipe, &POOLS[0]).unwrap();
        check(&tar, recipe, &made);
        made.converted.outline.unwrap().chunks
    };
    assert_eq!(chunks(usize::try_from(recipe.cuts.whole_max).unwrap()), 1);
    let (quarter, all) = (chunks(1 << 18), chunks(1 << 20));
    assert!(quarter > 1 && all > 8, "{quarter} and {all} chunks");
}

#[test]
fn a_file_up_to_the_limit_is_one_piece() {
    for (len, whole_max, chunks) in [(5000, 5000, 1), (5001, 5000, 2), (5000, 0, 2)] {
        let half = content(&[
            Stretch::Run { len: 2000, byte: 0 },
            Stretch::Noise { len: len - 2000, seed: 1 },
        ]);
        let tar = TarBuilder::new().file(Dialect::Ustar, b"file", &half).finish();
        let recipe = Recipe { cuts: Cuts { whole_max, ..Cuts::REFERENCE }, ..CHUNKED };
        let made = convert(&tar[..], recipe, &POOLS[0]).unwrap();
        check(&tar, recipe, &made);
        assert_eq!(made.converted.outline.unwrap().chunks, chunks);
    }
}
