//! Indexes that `convert` writes, in layouts: every entry, every byte that may not change.

use std::{collections::HashSet, fs, path::Path};

use recompress_image::image::{Digest, media_type};
use serde_json::{Value, json};
use test_support::{
    layout::{Layout, gzip, manifest, tar, text},
    program, work_dir,
};

const MARK: &str = "io.github.containers.compression.zstd";
const DOCKER_GZIP: &str = "application/vnd.docker.image.rootfs.diff.tar.gzip";

/// An index under construction.
pub(crate) struct Index {
    pub(crate) layout: Layout,
    pub(crate) entries: Vec<Value>,
}

impl Index {
    pub(crate) fn new(dir: &Path) -> Self {
        Self { layout: Layout::new(dir, &[], &[]), entries: Vec::new() }
    }

    /// Adds an image of gzip layers, and returns its digest.
    pub(crate) fn image(&mut self, docker: bool, platform: &Value, tars: &[Vec<u8>]) -> String {
        let layer = if docker { DOCKER_GZIP } else { media_type::OCI_LAYER_GZIP };
        let blobs: Vec<_> = tars.iter().map(|tar| (layer, gzip(tar))).collect();
        let mut image = Layout::new(&self.layout.dir, &blobs, tars);
        for (field, value) in platform.as_object().unwrap() {
            image.config[field] = value.clone();
        }
        if docker {
            image.manifest["mediaType"] = media_type::DOCKER_MANIFEST.into();
            image.manifest["config"]["mediaType"] = media_type::DOCKER_CONFIG.into();
        }
        let digest = image.finish();
        self.entries.push(json!({
            "mediaType": image.manifest["mediaType"], "digest": digest,
            "size": image.manifest.to_string().len(), "platform": platform,
            "annotations": {"com.example.foreign": "kept"},
        }));
        digest
    }

    /// Adds what `BuildKit` would say of an image.
    fn attestation(&mut self, of: &str) -> String {
        let statement = self.layout.add(format!(r#"{{"subject":"{of}"}}"#).as_bytes());
        let config = self.layout.add(format!(r#"{{"of":"{of}"}}"#).as_bytes());
        let typed = |media_type: &str, mut descriptor: Value| {
            descriptor["mediaType"] = media_type.into();
            descriptor
        };
        let document = json!({
            "schemaVersion": 2, "mediaType": media_type::OCI_MANIFEST,
            "config": typed(media_type::OCI_CONFIG, config),
            "layers": [typed("application/vnd.in-toto+json", statement)],
        });
        let mut entry = self.layout.add(document.to_string().as_bytes());
        entry["mediaType"] = media_type::OCI_MANIFEST.into();
        entry["platform"] = json!({"os": "unknown", "architecture": "unknown"});
        entry["annotations"] = json!({
            "vnd.docker.reference.type": "attestation-manifest",
            "vnd.docker.reference.digest": of,
        });
        self.entries.push(entry.clone());
        entry["digest"].as_str().unwrap().to_owned()
    }

    /// Writes the index under the tag `in`, and returns its digest.
    pub(crate) fn finish(&mut self, media_type: &str) -> String {
        self.layout.manifest = json!({
            "schemaVersion": 2, "mediaType": media_type, "manifests": self.entries,
            "annotations": {"com.example.index": "kept"},
        });
        self.layout.finish()
    }
}

pub(crate) fn platform(architecture: &str) -> Value {
    json!({"architecture": architecture, "os": "linux"})
}

pub(crate) fn convert(source: &str, arguments: &[&str]) -> Value {
    let output =
        program().args(["convert", source, "--output=json"]).args(arguments).output().unwrap();
    assert!(output.status.success(), "{}", text(&output));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn blob(dir: &Path, digest: &Value) -> Vec<u8> {
    let digest: Digest = digest.as_str().unwrap().parse().unwrap();
    fs::read(dir.join("blobs/sha256").join(digest.hex())).unwrap()
}

/// Reads an index, and each manifest in it with all its blobs; nothing in it is Docker's, and each
/// zstd entry is marked.
pub(crate) fn entries(dir: &Path, tag: &str) -> (Value, Vec<(Value, Value)>) {
    let (index, _) = manifest(dir, tag).unwrap();
    assert_eq!(index["mediaType"], media_type::OCI_INDEX);
    let entry = |entry: &Value| {
        assert_eq!(entry["mediaType"], media_type::OCI_MANIFEST);
        let bytes = blob(dir, &entry["digest"]);
        assert_eq!(entry["size"], bytes.len());
        assert_eq!(entry["digest"], json!(Digest::sha256_of(&bytes)));
        let manifest: Value = serde_json::from_slice(&bytes).unwrap();
        assert!(!manifest.to_string().contains("docker"), "{manifest}");
        let layers = manifest["layers"].as_array().unwrap();
        for part in layers.iter().chain([&manifest["config"]]) {
            assert_eq!(part["size"], blob(dir, &part["digest"]).len(), "{part}");
        }
        let zstd = layers.iter().any(|layer| layer["mediaType"] == media_type::OCI_LAYER_ZSTD);
        assert_eq!(entry["annotations"][MARK] == "true", zstd, "{entry}");
        (entry.clone(), manifest)
    };
    let entries = index["manifests"].as_array().unwrap().iter().map(entry).collect();
    (index, entries)
}

fn digests(entries: &[(Value, Value)]) -> Vec<&str> {
    entries.iter().map(|(entry, _)| entry["digest"].as_str().unwrap()).collect()
}

#[test]
fn dual_of_an_index_keeps_what_is_there() {
    let dir = work_dir();
    let mut source = Index::new(dir.path());
    let (shared, arm) = (tar(20), json!({"architecture": "arm", "os": "linux", "variant": "v7"}));
    let first = source.image(false, &platform("amd64"), &[shared.clone(), tar(3)]);
    let second = source.image(false, &arm, &[shared.clone(), tar(5)]);
    let about = [source.attestation(&first), source.attestation(&second)];
    let digest = source.finish(media_type::OCI_INDEX);
    let report = convert(&source.layout.reference(), &["--compression-format=dual"]);

    let (index, found) = entries(dir.path(), "in-dual");
    assert_eq!(index["annotations"]["com.example.index"], "kept");
    assert_eq!(index["annotations"]["io.github.recompress-image.source-digest"], json!(digest));
    let kept = [first.as_str(), second.as_str()];
    assert_eq!(found.len(), 6);
    assert_eq!(digests(&found)[..2], kept);
    assert_eq!(digests(&found)[4..], [about[0].as_str(), about[1].as_str()]);
    for (old, new) in [(0, 2), (1, 3)] {
        let ((old, before), (new, after)) = (&found[old], &found[new]);
        assert_eq!(old["platform"], new["platform"]);
        assert_eq!(new["annotations"]["com.example.foreign"], "kept");
        assert_eq!(before["config"], after["config"]);
        assert_eq!(after["annotations"]["io.github.recompress-image.source-digest"], old["digest"]);
    }
    // A layer that two platforms have is converted once.
    assert_eq!(found[2].1["layers"][0], found[3].1["layers"][0]);
    assert_eq!(report["converted_layers"], 3);
    let made: Vec<_> =
        report["manifests"].as_array().unwrap().iter().map(|one| one["made"] == true).collect();
    assert_eq!(made, [false, false, true, true, false, false]);

    // Once more, from what came out: nothing is added, and the digest stays.
    let again = format!("oci:{}:in-dual", dir.path().display());
    let second = convert(&again, &["--compression-format=dual", &format!("{again}-again")]);
    assert_eq!(second["image"]["digest"], report["image"]["digest"]);
    assert_eq!(second["converted_layers"], 0);
    let third = convert(&again, &["--add", &format!("{again}-added")]);
    assert_eq!(third["image"]["digest"], report["image"]["digest"]);
}

#[test]
fn docker_lists_become_oci_and_go_elsewhere_whole() {
    let (dir, other, results) = (work_dir(), work_dir(), work_dir());
    let mut source = Index::new(dir.path());
    let architectures = ["amd64", "arm64", "ppc64le", "s390x"];
    let mut images = Vec::new();
    for (number, architecture) in architectures.iter().enumerate() {
        images.push(source.image(true, &platform(architecture), &[tar(2), tar(number + 4)]));
    }
    source.attestation(&images[0]);
    source.finish(media_type::DOCKER_MANIFEST_LIST);
    let destination = format!("oci:{}:out", other.path().display());
    let report = convert(
        &source.layout.reference(),
        &[
            &destination,
            "--compression-format=dual",
            "--expires-after=5d",
            "--results-dir",
            results.path().to_str().unwrap(),
        ],
    );
    let (_, found) = entries(other.path(), "out");
    let named: Vec<_> =
        found.iter().map(|(entry, _)| entry["platform"]["architecture"].clone()).collect();
    assert_eq!(named, [architectures, architectures].concat());
    for (entry, manifest) in &found {
        assert_eq!(manifest["annotations"]["quay.expires-after"], "5d");
        let old = images.iter().map(|digest| json!(digest)).collect::<Vec<_>>();
        assert!(!old.contains(&entry["digest"]), "the source is not passed off as ours");
    }
    // gzip blobs are passed on.
    for ((_, manifest), image) in found.iter().zip(&images) {
        let source: Value = serde_json::from_slice(&blob(dir.path(), &json!(image))).unwrap();
        for (new, old) in
            manifest["layers"].as_array().unwrap().iter().zip(source["layers"].as_array().unwrap())
        {
            assert_eq!((&new["digest"], &new["size"]), (&old["digest"], &old["size"]));
            assert_eq!(new["mediaType"], media_type::OCI_LAYER_GZIP);
        }
    }
    // The attestation speaks of a manifest that is gone.
    assert_eq!(report["left"].as_array().unwrap().len(), 1);
    // Every digest is in a result.
    let repository = format!("oci:{}", other.path().display());
    let listed: Vec<_> =
        digests(&found).iter().map(|digest| format!("{repository}@{digest}")).collect();
    let images = fs::read_to_string(results.path().join("IMAGES")).unwrap();
    assert_eq!(images, listed.join(","));
    assert_eq!(listed.iter().collect::<HashSet<_>>().len(), 8);
    let digest = fs::read_to_string(results.path().join("IMAGE_DIGEST")).unwrap();
    assert_eq!(json!(digest), report["image"]["digest"]);
}

#[test]
fn one_image_becomes_two() {
    let dir = work_dir();
    let tars = [tar(9)];
    for (docker, tag) in [(false, "oci"), (true, "docker")] {
        let mut source = Index::new(&dir.path().join(tag));
        let image = source.image(docker, &platform("arm64"), &tars);
        convert(&source.layout.reference(), &["--compression-format=dual"]);
        let (_, found) = entries(&source.layout.dir, "in-dual");
        assert_eq!(found.len(), 2);
        // What is an OCI image already is not another one afterwards.
        assert_eq!(digests(&found)[0] == image.as_str(), !docker);
        assert_eq!(found[0].1["layers"][0]["mediaType"], media_type::OCI_LAYER_GZIP);
        for (entry, _) in &found {
            assert_eq!(entry["platform"], platform("arm64"));
        }
    }
}

#[test]
fn all_platforms_and_some() {
    let dir = work_dir();
    let mut source = Index::new(dir.path());
    let first = source.image(false, &platform("amd64"), &[tar(2)]);
    let second = source.image(false, &platform("arm64"), &[tar(3)]);
    source.attestation(&first);
    source.finish(media_type::OCI_INDEX);
    let reference = source.layout.reference();
    let report = convert(&reference, &["--all-platforms"]);
    let (_, found) = entries(dir.path(), "in-zstd-chunked");
    assert_eq!(found.len(), 2);
    let left = report["left"].as_array().unwrap();
    assert!(left.len() == 1 && left[0]["reason"].as_str().unwrap().contains("attestation"));
    assert_eq!(convert(&reference, &["--all-platforms"])["image"], report["image"]);

    convert(&reference, &["--add", "--platform=linux/arm64"]);
    let (_, found) = entries(dir.path(), "in-linux-arm64-with-zstd-chunked");
    assert_eq!(digests(&found)[..2], [first.as_str(), second.as_str()]);
    assert_eq!(found.len(), 4);
    assert_eq!(found[3].0["platform"], platform("arm64"));

    let nowhere = ["convert", &reference, "--add", "--platform=linux/s390x"];
    let output = program().args(nowhere).output().unwrap();
    assert_eq!(output.status.code(), Some(5), "{}", text(&output));
    assert!(text(&output).contains("no image for linux/s390x; it has: linux/amd64, linux/arm64"));
}

/// gzip again is an image of its own, and zstd becomes gzip that decodes to the same.
#[test]
fn gzip_is_a_format_like_the_others() {
    let dir = work_dir();
    let mut source = Index::new(dir.path());
    let tars = [tar(30), tar(2)];
    let image = source.image(true, &platform("amd64"), &tars);
    let reference = source.layout.reference();
    let gzip = convert(&reference, &["--compression-format=gzip"]);
    assert_ne!(gzip["image"]["digest"], json!(image));
    let (first, _) = manifest(dir.path(), "in-gzip").unwrap();
    let original: Value = serde_json::from_slice(&blob(dir.path(), &json!(image))).unwrap();
    for number in 0..2 {
        assert_eq!(first["layers"][number]["digest"], original["layers"][number]["digest"]);
        assert_eq!(first["layers"][number]["mediaType"], media_type::OCI_LAYER_GZIP);
    }
    convert(&reference, &["--compression-format=zstd", &format!("{reference}-zstd")]);
    let back = [&format!("{reference}-back"), "--compression-format=gzip"];
    convert(&format!("{reference}-zstd"), &back);
    let (back, _) = manifest(dir.path(), "in-back").unwrap();
    for (number, tar) in tars.iter().enumerate() {
        let layer = &back["layers"][number];
        assert_eq!(layer["mediaType"], media_type::OCI_LAYER_GZIP);
        let mut content = Vec::new();
        let blob = blob(dir.path(), &layer["digest"]);
        std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(&blob[..]), &mut content)
            .unwrap();
        assert!(content == *tar);
    }
    // Docker's media types where they are possible, and only there.
    let docker = ["--manifest-type=docker", "--compression-format=gzip", "--add=false"];
    convert(
        &format!("{reference}-zstd"),
        &[&[&*format!("{reference}-docker")], &docker[..]].concat(),
    );
    let (docker, _) = manifest(dir.path(), "in-docker").unwrap();
    assert_eq!(docker["mediaType"], media_type::DOCKER_MANIFEST);
    assert_eq!(docker["config"]["mediaType"], media_type::DOCKER_CONFIG);
    assert_eq!(docker["layers"][0]["mediaType"], DOCKER_GZIP);
    let impossible = ["convert", &reference, "--manifest-type=docker"];
    let output = program().args(impossible).output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{}", text(&output));
    assert!(text(&output).contains("cannot hold zstd layers"), "{}", text(&output));
}

/// Tekton takes 4096 bytes of results; that they are more is told before anything is done.
#[test]
fn results_that_are_too_large_are_found_out_before_the_work() {
    let (dir, results) = (work_dir(), work_dir());
    let mut source = Index::new(dir.path());
    for number in 0..24 {
        source.image(true, &platform(&format!("arch{number}")), &[tar(1)]);
    }
    source.finish(media_type::DOCKER_MANIFEST_LIST);
    let results_dir = format!("--results-dir={}", results.path().display());
    let reference = source.layout.reference();
    let run = |more: &[&str]| {
        let arguments = ["convert", &reference, "--compression-format=dual", &results_dir];
        program().args(arguments).args(more).output().unwrap()
    };
    let refused = run(&[]);
    assert_eq!(refused.status.code(), Some(2), "{}", text(&refused));
    for word in ["more than the 4096 of", "matrix", "--results-limit"] {
        assert!(text(&refused).contains(word), "{}", text(&refused));
    }
    assert_eq!(fs::read_dir(results.path()).unwrap().count(), 0);
    assert!(manifest(dir.path(), "in-dual").is_none());
    let fits = run(&["--results-limit=100000"]);
    assert!(fits.status.success(), "{}", text(&fits));
}
