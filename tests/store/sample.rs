//! Small images of several layers, as builders make them, and runs of the program.

use std::{
    io::Write as _,
    path::Path,
    process::{Command, Output},
};

use bytes::Bytes;
use recompress_image::{
    image::{
        Digest,
        media_type::{OCI_CONFIG, OCI_LAYER_GZIP, OCI_MANIFEST},
    },
    store::{AccessOptions, BlobContent, Intent, RawManifest, Store},
};
use serde_json::{Value, json};

use super::open;

/// An image with gzip layers.
pub(crate) struct Sample {
    blobs: Vec<Bytes>,
    pub(crate) manifest: RawManifest,
}

impl Sample {
    /// A layer for each length: one file of so many bytes that do not compress, and some of text.
    /// `seed` makes it unique.
    pub(crate) fn new(lengths: &[usize], seed: u64) -> Self {
        let mut random = fastrand::Rng::with_seed(seed);
        let tars: Vec<_> = lengths.iter().map(|&length| tar(length, &mut random)).collect();
        let blobs: Vec<_> = tars.iter().map(|tar| gzip(tar)).collect();
        let layers: Vec<_> = blobs.iter().map(|blob| descriptor(OCI_LAYER_GZIP, blob)).collect();
        let diff_ids: Vec<_> = tars.iter().map(|tar| Digest::sha256_of(tar)).collect();
        Self::of(blobs, &layers, &diff_ids)
    }

    /// An image of blobs with their descriptors and diffIDs.
    pub(crate) fn of(mut blobs: Vec<Vec<u8>>, layers: &[Value], diff_ids: &[Digest]) -> Self {
        let config = json!({ "architecture": "amd64", "os": "linux",
            "rootfs": { "type": "layers", "diff_ids": diff_ids } });
        let config = config.to_string().into_bytes();
        let manifest = json!({ "schemaVersion": 2, "mediaType": OCI_MANIFEST,
            "config": descriptor(OCI_CONFIG, &config), "layers": layers });
        blobs.push(config);
        let manifest = RawManifest::new(manifest.to_string(), OCI_MANIFEST);
        Self { blobs: blobs.into_iter().map(Bytes::from).collect(), manifest }
    }

    /// Pushes it to `image` (`HOST/REPOSITORY:TAG` or `oci:DIR:TAG`), and returns what a conversion
    /// takes as its source.
    pub(crate) async fn push(&self, image: &str, options: &AccessOptions) -> String {
        let store = open(image, Intent::Push, options).await.unwrap();
        for blob in &self.blobs {
            put(&store, blob.clone()).await;
        }
        let (_, tag) = image.rsplit_once(':').unwrap();
        store.put_manifest(&self.manifest, Some(tag)).await.unwrap();
        if image.starts_with("oci:") { image.to_owned() } else { self.named(image) }
    }

    /// The image with its digest.
    pub(crate) fn named(&self, image: &str) -> String {
        format!("{image}@{}", self.manifest.digest)
    }

    /// A blob of it.
    pub(crate) fn blob(&self, digest: &str) -> Option<Bytes> {
        self.blobs.iter().find(|blob| Digest::sha256_of(blob).as_str() == digest).cloned()
    }

    /// The digests of its layers.
    pub(crate) fn layers(&self) -> Vec<Digest> {
        let layers = self.blobs[..self.blobs.len() - 1].iter();
        layers.map(|blob| Digest::sha256_of(blob)).collect()
    }
}

pub(crate) async fn put(store: &Store, blob: Bytes) {
    let (digest, size) = (Digest::sha256_of(&blob), blob.len() as u64);
    store.put_blob(&digest, size, BlobContent::Bytes(blob)).await.unwrap();
}

pub(crate) fn descriptor(media_type: &str, blob: &[u8]) -> Value {
    json!({ "mediaType": media_type, "digest": Digest::sha256_of(blob), "size": blob.len() })
}

pub(crate) fn tar(length: usize, random: &mut fastrand::Rng) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    let mut noise = vec![0; length];
    random.fill(&mut noise);
    let mut append = |name: String, content: &[u8]| {
        let mut header = tar::Header::new_gnu();
        if name.ends_with('/') {
            header.set_entry_type(tar::EntryType::Directory);
        }
        header.set_mode(0o755);
        header.set_size(content.len() as u64);
        tar.append_data(&mut header, name, content).unwrap();
    };
    append("noise".to_owned(), &noise);
    // Without an entry for their folder such files could not be pulled partially.
    append("text/".to_owned(), &[]);
    for number in 0..20 {
        let text = format!("line {number} of {}\n", random.u64(..)).repeat(200);
        append(format!("text/{number}"), text.as_bytes());
    }
    tar.into_inner().unwrap()
}

pub(crate) fn gzip(content: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}

/// The program, with nothing of the environment that could change what it does.
pub(crate) fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_recompress-image"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("RECOMPRESS_") {
            command.env_remove(name);
        }
    }
    // No credentials of whoever runs the tests.
    command.env("HOME", "/nonexistent").env_remove("XDG_RUNTIME_DIR").env_remove("DOCKER_CONFIG");
    command.env_remove("XDG_CONFIG_HOME").env_remove("CONTAINERS_REGISTRIES_CONF");
    command
}

/// Runs it to its end, off the threads that serve it.
pub(crate) async fn run(mut command: Command) -> Output {
    tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
}

/// `convert` from one image to another.
pub(crate) fn convert(source: &str, destination: &str) -> Command {
    let mut command = program();
    command.args(["convert", source, destination]);
    command
}

/// Everything that a run printed.
pub(crate) fn text(output: &Output) -> String {
    let [out, err] = [&output.stdout, &output.stderr].map(|told| String::from_utf8_lossy(told));
    format!("{}\n{out}{err}", output.status)
}

/// The run has to end with this code and print these words, without colours: there is no terminal.
pub(crate) fn ends(output: &Output, code: i32, words: &[&str]) -> String {
    let text = text(output);
    assert_eq!(output.status.code(), Some(code), "{text}");
    assert!(!text.contains('\x1b'), "{text:?}");
    for word in words {
        assert!(text.contains(word), "no {word:?} in {text}");
    }
    text
}

/// Proves with `verify` that `made` holds what `source` does.
pub(crate) async fn is_right(made: &str, source: &str, options: &[&str]) {
    let mut command = program();
    command.args(["verify", made, "--against", source]).args(options);
    ends(&run(command).await, 0, &[]);
}

/// How many files there are in a folder.
pub(crate) fn count(dir: &Path) -> usize {
    std::fs::read_dir(dir).unwrap().count()
}
