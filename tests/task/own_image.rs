//! The container image, as `hack/image-root` builds and unpacks it. With `RECOMPRESS_IMAGE_DIR`, all
//! tests of the Task run it; `RECOMPRESS_REQUIRE_IMAGE=1` forbids to skip the tests here.

use std::{
    env, fs,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use flate2::read::ZlibDecoder;
use serde_json::{Value as Json, json};

use crate::{
    NAME,
    definition::Step,
    pod::{Place, Pod},
    task,
};

/// An unpacked image with the configuration that a runtime makes of the image's.
#[derive(Debug)]
pub(crate) struct OwnImage {
    pub(crate) root: PathBuf,
    /// A static program that runs the image's if that is for another architecture.
    pub(crate) emulator: Option<PathBuf>,
    config: Json,
}

impl OwnImage {
    pub(crate) fn find() -> Option<Self> {
        let dir = PathBuf::from(env::var_os("RECOMPRESS_IMAGE_DIR")?);
        let config = fs::read(dir.join("config.json")).unwrap();
        let config = serde_json::from_slice(&config).unwrap();
        let emulator = env::var_os("RECOMPRESS_IMAGE_EMULATOR").map(PathBuf::from);
        Some(Self { root: dir.join("rootfs"), emulator, config })
    }

    fn need(test: &str) -> Option<Self> {
        let found = Self::find();
        let is_required = env::var("RECOMPRESS_REQUIRE_IMAGE").is_ok_and(|value| value == "1");
        assert!(found.is_some() || !is_required, "{test} requires RECOMPRESS_IMAGE_DIR");
        if found.is_none() || Place::best() == Place::Process {
            eprintln!(
                "SKIPPED: {test}: no RECOMPRESS_IMAGE_DIR, or no mounts; see hack/image-root"
            );
            return None;
        }
        found
    }

    pub(crate) fn env(&self) -> Vec<(&str, &str)> {
        let variables = self.config["process"]["env"].as_array().unwrap().iter();
        let pairs = variables.map(|variable| variable.as_str().unwrap().split_once('=').unwrap());
        // Umoci adds these two.
        pairs.filter(|(name, _)| !["HOME", "TERM"].contains(name)).collect()
    }
}

/// All files under `dir`, by their paths in it.
fn files(dir: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut rest = vec![dir.to_owned()];
    while let Some(folder) = rest.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let (path, kind) = entry.map(|e| (e.path(), e.file_type().unwrap())).unwrap();
            if kind.is_dir() {
                rest.push(path);
            } else {
                assert!(kind.is_file(), "{}", path.display());
                found.push(path.strip_prefix(dir).unwrap().to_str().unwrap().to_owned());
            }
        }
    }
    found.sort();
    found
}

/// The parts of a 64-bit little-endian ELF file that matter here: the types of its program headers,
/// and the content of the section `name`.
fn elf<'a>(file: &'a [u8], name: &[u8]) -> (Vec<u64>, &'a [u8]) {
    let number = |at: usize, len: usize| {
        let bytes = file[at..at + len].iter().rev();
        bytes.fold(0_u64, |number, byte| (number << 8) | u64::from(*byte))
    };
    let usize_at = |at, len| usize::try_from(number(at, len)).unwrap();
    let headers = |start, len, count| {
        let (start, len) = (usize_at(start, 8), usize_at(len, 2));
        (0..usize_at(count, 2)).map(move |n| start + n * len)
    };
    let kinds = headers(0x20, 0x36, 0x38).map(|at| number(at, 4)).collect();
    let sections: Vec<_> = headers(0x28, 0x3a, 0x3c).collect();
    let content = |at| &file[usize_at(at + 0x18, 8)..][..usize_at(at + 0x20, 8)];
    let names = content(sections[usize_at(0x3e, 2)]);
    let is_wanted =
        |at: &&usize| names[usize_at(**at, 4)..].split(|b| *b == 0).next() == Some(name);
    (kinds, sections.iter().find(is_wanted).map(|at| content(*at)).unwrap())
}

/// Runs words in the image as the user that it names, with nothing but a folder for files.
fn run(words: &[&str]) -> (Option<i32>, String) {
    let words = serde_json::to_string(words).unwrap();
    let volume = "{name: scratch, mountPath: /scratch}";
    let step = format!("{{name: s, command: {words}, volumeMounts: [{volume}]}}");
    let step: Step = serde_saphyr::from_str(&step).unwrap();
    let mut pod = Pod::new("s");
    "65532:65532".clone_into(&mut pod.user);
    let output = pod.run(Place::Container, &step);
    let told = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8(told).unwrap())
}

#[test]
fn the_image_holds_one_program_and_no_shell() {
    let Some(image) = OwnImage::need("the_image_holds_one_program") else { return };
    assert_eq!(files(&image.root), ["etc/ssl/certs/ca-certificates.crt", NAME]);
    let program = fs::metadata(image.root.join(NAME)).unwrap();
    assert_eq!((program.uid(), program.mode() & 0o7777), (0, 0o755));
    assert!(program.len() < 12_000_000, "{} bytes", program.len());
    let bundle = fs::read_to_string(image.root.join("etc/ssl/certs/ca-certificates.crt")).unwrap();
    let authorities = bundle.matches("BEGIN CERTIFICATE").count();
    assert!((80..400).contains(&authorities), "{authorities} certificates");
}

/// For scanners, by cargo-auditable.
#[test]
fn the_program_is_static_and_lists_its_crates() {
    const PT_INTERP: u64 = 3;
    let Some(image) = OwnImage::need("the_program_is_static") else { return };
    let program = fs::read(image.root.join(NAME)).unwrap();
    let (kinds, list) = elf(&program, b".dep-v0");
    assert!(!kinds.contains(&PT_INTERP));
    let list: Json = serde_json::from_reader(ZlibDecoder::new(list)).unwrap();
    let packages = list["packages"].as_array().unwrap();
    let version = |name| {
        let mut found = packages.iter().filter(|package| package["name"] == name);
        found.next().and_then(|package| package["version"].as_str())
    };
    assert_eq!(version(NAME), Some(env!("CARGO_PKG_VERSION")));
    assert!(version("rustls").is_some() && version("zstd").is_some(), "{list}");
}

#[test]
fn the_config_of_the_image_is_that_of_the_task() {
    let Some(image) = OwnImage::need("the_config_of_the_image") else { return };
    let (process, labels) = (&image.config["process"], &image.config["annotations"]);
    // The kubelet verifies runAsNonRoot only of a number.
    assert_eq!(process["user"], json!({"uid": 65532, "gid": 65532}));
    let task = task();
    assert_eq!(process["args"], json!(task.spec.steps[0].command));
    assert_eq!(process["cwd"], "/");
    let names: Vec<_> = image.env().into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["PATH"]);
    let label = |name: &str| labels[format!("org.opencontainers.image.{name}")].as_str().unwrap();
    assert_eq!(label("title"), NAME);
    assert_eq!(label("version"), env!("CARGO_PKG_VERSION"));
    assert_eq!(label("licenses"), "Apache-2.0");
    assert!(label("revision").len() >= 40, "{}", label("revision"));
}

#[test]
fn the_image_runs_by_itself() {
    let Some(image) = OwnImage::need("the_image_runs_by_itself") else { return };
    let (code, version) = run(&["/recompress-image", "--version"]);
    let expected = format!("{NAME} {} (", env!("CARGO_PKG_VERSION"));
    assert!(code == Some(0) && version.starts_with(&expected), "{version}");
    assert!(version.ends_with("-unknown-linux-gnu)\n"), "{version}");
    let (code, log) = run(&["/recompress-image", "convert", "oci:/scratch/none:1"]);
    assert_eq!(code, Some(7), "{log}");
    for words in [["/bin/sh", "-c", "true"], ["/bin/busybox", "sh", "-c"]] {
        let (code, log) = run(&words);
        // An emulator has an exit code of its own for a program that is not there.
        assert!(
            code.is_some_and(|code| code == 127 || (image.emulator.is_some() && code != 0)),
            "{log}"
        );
    }
}
