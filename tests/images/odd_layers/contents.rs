//! Sizes of files, holes, and where chunks and batches end.

use test_support::{archive::Dialect, trees::noise};

use super::case::{Case, tar};

const MIB: usize = 1 << 20;

pub(crate) fn cases() -> Vec<Case> {
    let sizes = [0, 1, 511, 512, 513, 1023, 1024, 1025];
    let around = |edge: usize| [edge - 1, edge, edge + 1];
    vec![
        many("size-small", sizes.map(|len| noise(len, 1))),
        many("size-around-64-kib", around(64 << 10).map(|len| noise(len, 2))),
        many("size-around-1-mib", around(MIB).map(|len| noise(len, 3))),
        many("size-around-4-mib", around(4 * MIB).map(|len| noise(len, 4))),
        many("hole-small", [1, 512, 1023, 1024, 1025].map(|len| vec![0; len])),
        many("hole-large", around(3 * MIB).map(|len| vec![0; len])),
        many(
            "hole-at-the-start",
            around(1024).map(|len| [vec![0; len], noise(70_000, 5)].concat()),
        ),
        many("hole-at-the-end", around(1024).map(|len| [noise(70_000, 6), vec![0; len]].concat())),
        many(
            "hole-across-1-mib",
            around(1024)
                .map(|len| [noise(MIB - 2000, 7), vec![0; len + 1000], noise(MIB, 8)].concat()),
        ),
        many(
            "hole-of-some-mib-in-the-middle",
            [[noise(MIB, 9), vec![0; 5 * MIB + 3], vec![7]].concat()],
        ),
        many("hole-next-to-hole", [[vec![0; 5000], vec![1], vec![0; 5000], vec![1]].concat()]),
        many("run-of-one-byte", [MIB, 3 * MIB + 1].map(|len| vec![0x55; len])),
        many("text", [b"a line of a log file\n".repeat(200_000)]),
        Case::of(
            "many-empty-files",
            &(0..3000)
                .fold(tar("many-empty"), |t, number| {
                    t.file(Dialect::Gnu, format!("empty-{number}").as_bytes(), b"")
                })
                .end()
                .finish(),
        ),
        Case::of(
            "many-tiny-files",
            &(0..3000_u32)
                .fold(tar("many-tiny"), |t, number| {
                    t.file(Dialect::Gnu, format!("tiny-{number}").as_bytes(), &number.to_le_bytes())
                })
                .end()
                .finish(),
        ),
        Case::of(
            "many-files-of-one-content",
            &(0..50)
                .fold(tar("many-alike"), |t, number| {
                    t.file(Dialect::Gnu, format!("alike-{number}").as_bytes(), &noise(5000, 10))
                })
                .end()
                .finish(),
        ),
    ]
}

fn many<const N: usize>(name: &str, contents: [Vec<u8>; N]) -> Case {
    let named = (0..).map(|number| format!("file-{number}")).zip(contents);
    Case::with(name, |t| {
        named.fold(t, |t, (file, content)| t.file(Dialect::Ustar, file.as_bytes(), &content))
    })
}
