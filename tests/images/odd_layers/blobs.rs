//! How layers are compressed, and what their media types claim.

use std::io::Write as _;

use flate2::{Compression, GzBuilder};
use recompress_image::image::{Digest, media_type};

use super::case::{Case, gzip, tar};

pub(crate) fn cases() -> Vec<Case> {
    [gzip_quirks(), broken_gzip(), zstd_quirks(), lying_types(), others()].concat()
}

/// A tar of some length, the same one for a name, and the blob that is made of it.
fn with(name: &str, compress: impl FnOnce(&[u8]) -> Vec<u8>) -> Case {
    of_type(name, media_type::OCI_LAYER_GZIP, compress)
}

fn of_type(name: &str, of: &'static str, compress: impl FnOnce(&[u8]) -> Vec<u8>) -> Case {
    let tar = content(name);
    Case::of(name, &tar).blob(compress(&tar), of)
}

fn content(name: &str) -> Vec<u8> {
    let lines: Vec<_> = (0..5000).map(|number| format!("{name} {number}")).collect();
    let file = test_support::archive::Dialect::Ustar;
    tar(name).file(file, b"lines", lines.join("\n").as_bytes()).end().finish()
}

fn zstd_with(
    content: &[u8],
    level: i32,
    set: impl FnOnce(&mut zstd::Encoder<'_, Vec<u8>>) -> std::io::Result<()>,
) -> Vec<u8> {
    let mut encoder = zstd::Encoder::new(Vec::new(), level).unwrap();
    set(&mut encoder).unwrap();
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}

fn gzip_quirks() -> Vec<Case> {
    vec![
        with("gzip-members", |tar| tar.chunks(10_000).flat_map(gzip).collect()),
        with("gzip-empty-members", |tar| [gzip(b""), gzip(tar), gzip(b"")].concat()),
        with("gzip-header-fields", |tar| {
            let builder = GzBuilder::new().filename("layer.tar").comment("odd").extra(vec![1, 2]);
            let mut encoder =
                builder.mtime(77).operating_system(3).write(Vec::new(), Compression::fast());
            encoder.write_all(tar).unwrap();
            encoder.finish().unwrap()
        }),
        with("gzip-stored-blocks", |tar| {
            let mut encoder = GzBuilder::new().write(Vec::new(), Compression::none());
            encoder.write_all(tar).unwrap();
            encoder.finish().unwrap()
        }),
        with("gzip-flushed-often", |tar| {
            let mut encoder = GzBuilder::new().write(Vec::new(), Compression::best());
            for part in tar.chunks(100) {
                encoder.write_all(part).unwrap();
                encoder.flush().unwrap();
            }
            encoder.finish().unwrap()
        }),
    ]
}

fn broken_gzip() -> Vec<Case> {
    let changed = |from_end: usize| {
        move |tar: &[u8]| {
            let mut blob = gzip(tar);
            let at = blob.len() - from_end;
            blob[at] ^= 1;
            blob
        }
    };
    let broken = |case: Case| case.fails("corrupt gzip data");
    vec![
        broken(with("gzip-wrong-crc", changed(8))).refused("gzip: invalid checksum"),
        broken(with("gzip-wrong-length", changed(4))).refused("gzip: invalid checksum"),
        broken(with("gzip-cut-short", |tar| {
            let blob = gzip(tar);
            blob[..blob.len() / 2].to_vec()
        }))
        .refused("EOF"),
        broken(with("gzip-without-trailer", |tar| {
            let blob = gzip(tar);
            blob[..blob.len() - 8].to_vec()
        }))
        .refused("EOF"),
        broken(with("gzip-then-garbage", |tar| [&gzip(tar)[..], b"garbage garbage"].concat()))
            .refused("gzip: invalid header"),
        broken(with("gzip-then-zeros", |tar| [&gzip(tar)[..], &[0; 512]].concat()))
            .refused("gzip: invalid header"),
        with("gzip-of-another-tar", |_| gzip(&content("another")))
            .fails("but the image's config says")
            .refused("does not match"),
        Case::of("gzip-of-a-shorter-tar", &content("gzip-of-a-shorter-tar"))
            .diff_id(Digest::sha256_of(b"longer"))
            .fails("but the image's config says")
            .refused("does not match"),
    ]
}

fn zstd_quirks() -> Vec<Case> {
    let with = |name: &str, compress: &dyn Fn(&[u8]) -> Vec<u8>| {
        of_type(name, media_type::OCI_LAYER_ZSTD, compress)
    };
    let skippable = [&[0x53, 0x2a, 0x4d, 0x18, 4, 0, 0, 0][..], b"skip"].concat();
    let frames = |tar: &[u8]| -> Vec<Vec<u8>> {
        tar.chunks(20_000).map(|part| zstd_with(part, 3, |_| Ok(()))).collect()
    };
    vec![
        with("zstd", &|tar| zstd_with(tar, 3, |_| Ok(()))),
        with("zstd-checksum", &|tar| zstd_with(tar, 3, |e| e.include_checksum(true))),
        with("zstd-long", &|tar| {
            zstd_with(tar, 19, |e| {
                e.long_distance_matching(true)?;
                e.window_log(27)
            })
        }),
        // 256 MiB to decode one layer is more than podman's zstd takes.
        with("zstd-window-past-128-mib", &|tar| zstd_with(tar, 3, |e| e.window_log(28)))
            .fails("corrupt zstd data")
            .refused("too much memory"),
        with("zstd-frames", &|tar| frames(tar).concat()),
        with("zstd-skippable-first", &|tar| [skippable.clone(), frames(tar).concat()].concat())
            .refused("does not match"),
        with("zstd-skippable-between-and-last", &|tar| {
            let frames = frames(tar).into_iter().flat_map(|frame| [frame, skippable.clone()]);
            frames.collect::<Vec<_>>().concat()
        }),
        with("zstd-empty-frames", &|tar| {
            let empty = zstd_with(b"", 3, |_| Ok(()));
            [empty.clone(), frames(tar).concat(), empty].concat()
        }),
        with("zstd-cut-short", &|tar| {
            let blob = zstd_with(tar, 3, |_| Ok(()));
            blob[..blob.len() / 2].to_vec()
        })
        .fails("corrupt zstd data")
        .refused("premature end"),
        with("zstd-then-garbage", &|tar| [&zstd_with(tar, 3, |_| Ok(()))[..], b"garbage"].concat())
            .fails("corrupt zstd data")
            .refused("unsupported format"),
        with("zstd-wrong-checksum", &|tar| {
            let mut blob = zstd_with(tar, 3, |e| e.include_checksum(true));
            *blob.last_mut().unwrap() ^= 1;
            blob
        })
        .fails("corrupt zstd data")
        .refused("doesn't match checksum"),
    ]
}

fn lying_types() -> Vec<Case> {
    use media_type::{OCI_LAYER, OCI_LAYER_GZIP, OCI_LAYER_ZSTD};
    let as_zstd = |tar: &[u8]| zstd_with(tar, 3, |_| Ok(()));
    let as_is = <[u8]>::to_vec;
    vec![
        of_type("uncompressed", OCI_LAYER, as_is),
        of_type("type-gzip-content-tar", OCI_LAYER_GZIP, as_is),
        of_type("type-gzip-content-zstd", OCI_LAYER_GZIP, as_zstd),
        of_type("type-tar-content-gzip", OCI_LAYER, gzip),
        of_type("type-tar-content-zstd", OCI_LAYER, as_zstd),
        of_type("type-zstd-content-gzip", OCI_LAYER_ZSTD, gzip),
        of_type("type-zstd-content-tar", OCI_LAYER_ZSTD, as_is),
    ]
}

fn others() -> Vec<Case> {
    vec![
        // An empty bzip2 and an empty xz file. podman can read them, the image specification does
        // not have them.
        Case::of("bzip2", b"")
            .blob(b"BZh9\x17\x72\x45\x38\x50\x90\0\0\0\0".to_vec(), media_type::OCI_LAYER_GZIP)
            .fails("bzip2"),
        Case::of("xz", b"")
            .blob(
                b"\xfd7zXZ\0\x00\x04\xe6\xd6\xb4\x46\0\0\0\0\x1c\xdf\x44\x21\x1f\xb6\xf3\x7d\
                  \x01\0\0\0\0\x04YZ"
                    .to_vec(),
                media_type::OCI_LAYER_GZIP,
            )
            .fails("xz"),
    ]
}
