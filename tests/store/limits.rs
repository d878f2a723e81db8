//! What is too much: of a layer, of a manifest, of an answer.

use std::io::Write as _;

use recompress_image::image::{Digest, media_type::OCI_LAYER_GZIP};

use super::{
    fake::Fake,
    quick,
    sample::{Sample, convert, descriptor, ends, run},
};

/// A layout with an image of one layer: a file of so many zeros, gzipped.
async fn zeros(dir: &std::path::Path, length: u64) -> String {
    let mut random = Digest::sha256_of(b"").hasher();
    let mut blob = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    let mut header = tar::Header::new_gnu();
    header.set_path("zeros").unwrap();
    header.set_mode(0o644);
    header.set_size(length);
    header.set_cksum();
    let mut write = |bytes: &[u8]| {
        random.update(bytes);
        blob.write_all(bytes).unwrap();
    };
    write(header.as_bytes());
    let piece = vec![0; 1 << 20];
    let mut left = length.next_multiple_of(512) + 1024;
    while left > 0 {
        let now = left.min(piece.len() as u64);
        write(&piece[..usize::try_from(now).unwrap()]);
        left -= now;
    }
    let (blob, diff_id) = (blob.finish().unwrap(), random.finish());
    let layer = descriptor(OCI_LAYER_GZIP, &blob);
    let image = format!("oci:{}:bomb", dir.join("layout").display());
    Sample::of(vec![blob], &[layer], &[diff_id]).push(&image, &quick()).await
}

/// The registry takes anything. A source with a layer of 3 MiB and a limit of 1 MiB, or with 1100
/// MiB of zeros in 1 MiB: exit code 4, nothing is published. A layer as long as allowed is
/// published.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bomb_is_not_let_off() {
    let dir = tempfile::tempdir().unwrap();
    let small = zeros(&dir.path().join("small"), 3 << 20).await;
    let bomb = zeros(&dir.path().join("bomb"), 1100 << 20).await;
    for (name, source, options, code, words) in [
        (
            "longer than allowed",
            &small,
            &["--max-layer-size=1MiB"][..],
            4,
            &["layer 1", "decompressed size exceeds 1.0 MiB", "--max-layer-size"][..],
        ),
        ("as long as allowed", &small, &["--max-layer-size=4MiB"], 0, &[]),
        (
            "denser than allowed",
            &bomb,
            &[],
            4,
            &["layer 1", "exceeds 1000 times the blob", "--max-compression-ratio"],
        ),
    ] {
        let (server, held) = Fake::default().taking_manifests().start().await;
        let mut command = convert(source, &format!("{}:new", server.image()));
        command.args(options).arg("--probe=false");
        ends(&run(command).await, code, words);
        let published = server.requests("PUT /v2/org/app/manifests/new").len();
        assert_eq!(published, usize::from(code == 0), "{name}");
        assert_eq!(held.lock().unwrap().open(), 0, "{name}");
    }
}
