//! What `diff` reports against what podman fetches from a real registry.

mod pairs;

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;
use test_support::{need, peers::Peers, podman::Podman, program, registry::Registry, work_dir};

use self::pairs::{Update, image, updates};
use crate::acceptance::convert_with_skopeo;

/// Who makes the zstd:chunked images.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Maker {
    We,
    Skopeo,
    /// OLD is from skopeo, NEW is ours.
    Mixed,
}

/// The report, as JSON.
fn diff(registry: &Registry, old: &str, new: &str) -> Value {
    let [old, new] = [old, new].map(|name| format!("{}/{name}", registry.host()));
    let output = program().args(["diff", &old, &new, "--output=json"]).output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{old} {new}: {stderr}");
    serde_json::from_slice(&output.stdout).unwrap()
}

fn convert(registry: &Registry, peers: &Peers, by_skopeo: bool, source: &str, destination: &str) {
    let source = format!("docker://{}/{source}", registry.host());
    let destination = format!("{}/{destination}", registry.host());
    if by_skopeo {
        return convert_with_skopeo(peers, &source, &format!("docker://{destination}"));
    }
    let output =
        program().args(["convert", &source, &destination, "--reuse-from=none"]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// The bytes of all responses to GET since `before`: of layers, and of documents.
fn fetched(registry: &Registry, before: usize, report: &Value) -> (u64, u64) {
    let layers = report["images"][0]["layers"].as_array().unwrap();
    let is_layer =
        |path: &str| layers.iter().any(|layer| path.ends_with(layer["digest"].as_str().unwrap()));
    let log = registry.requests();
    let answers = log[before..].iter().filter(|request| {
        request.method == "GET"
            && (request.path.contains("/blobs/") || request.path.contains("/manifests/"))
    });
    answers.fold((0, 0), |(blobs, documents), request| {
        if is_layer(&request.path) {
            (blobs + request.bytes, documents)
        } else {
            (blobs, documents + request.bytes)
        }
    })
}

/// Pushes, compares and pulls one update; returns a line about it.
fn check(
    registry: &Registry,
    peers: &Peers,
    update: &Update,
    maker: Maker,
    store: Option<&Path>,
) -> Result<String, String> {
    let name = format!("{}-{maker:?}", update.name).to_lowercase();
    let [old, new] = [("old", &update.old), ("new", &update.new)].map(|(tag, layers)| {
        let dir = peers.work().join("layers");
        let source = image(&dir, layers).push(registry, &name, &format!("{tag}-gzip"));
        fs::remove_dir_all(dir).unwrap();
        let by_skopeo = maker == Maker::Skopeo || maker == Maker::Mixed && tag == "old";
        let destination = format!("{name}:{tag}");
        convert(registry, peers, by_skopeo, &source, &destination);
        destination
    });
    let report = diff(registry, &old, &new);
    let podman = match store {
        None => Podman::new(peers, true),
        Some(store) => Podman::with_store_in(peers, true, store),
    };
    podman.pull(&format!("{}/{old}", registry.host()));
    let before = registry.requests().len();
    let pull = podman.pull(&format!("{}/{new}", registry.host()));
    assert_eq!(pull.refused, <[&str; 0]>::default());
    let (blobs, documents) = fetched(registry, before, &report);
    podman.remove_all();

    let client = &report["images"][0]["clients"][if store.is_some() { "chunks" } else { "files" }];
    let count = |name: &str| client[name].as_u64().unwrap();
    let ours = count("ranges") + count("whole_layers") + count("metadata") + count("overhead");
    let line = format!(
        "{name:<20} layers: podman {blobs:>9}, diff {ours:>9}; documents: {documents:>6} {:>6}",
        count("documents")
    );
    let same = blobs == ours && documents == count("documents");
    if same { Ok(line) } else { Err(line) }
}

fn check_all(
    registry: &Registry,
    peers: &Peers,
    wanted: &[(Maker, &[&str])],
    store: Option<&Path>,
) {
    let updates = updates();
    let mut wrong = Vec::new();
    for (maker, names) in wanted {
        for update in &updates {
            if !names.is_empty() && !names.contains(&update.name) {
                continue;
            }
            match check(registry, peers, update, *maker, store) {
                Ok(line) => eprintln!("    {line}"),
                Err(line) => wrong.push(line),
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn podman_fetches_what_diff_reports() {
    let test = "podman_fetches_what_diff_reports";
    let Some(peers) = need(test, Peers::find()) else { return };
    let Some(registry) = need(test, Registry::start()) else { return };
    let some = &["patch", "bundle", "scattered", "sparse", "nothing"];
    let mixed = &["patch", "nothing"];
    let wanted = [(Maker::We, &[][..]), (Maker::Skopeo, &some[..]), (Maker::Mixed, &mixed[..])];
    check_all(&registry, &peers, &wanted, None);
}

/// A file system with reflinks in a file, mounted as long as this lives.
struct Xfs {
    dir: tempfile::TempDir,
}

impl Xfs {
    fn mount() -> Result<Self, String> {
        let dir = work_dir();
        let (file, at) = (dir.path().join("xfs.img"), dir.path().join("xfs"));
        fs::create_dir(&at).unwrap();
        fs::File::create(&file).and_then(|file| file.set_len(1 << 30)).unwrap();
        let run = |command: &mut Command| match command.output() {
            Ok(output) if output.status.success() => Ok(()),
            Ok(output) => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
            Err(error) => Err(error.to_string()),
        };
        run(Command::new("mkfs.xfs").args(["-q", "-m", "reflink=1"]).arg(&file))
            .map_err(|why| format!("no XFS (Debian: xfsprogs): {why}"))?;
        run(Command::new("mount").args(["-o", "loop"]).arg(&file).arg(&at))
            .map_err(|why| format!("XFS cannot be mounted: {why}"))?;
        Ok(Self { dir })
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("xfs")
    }
}

impl Drop for Xfs {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.path()).output();
    }
}

#[test]
fn podman_finds_chunks_where_there_are_reflinks() {
    let test = "podman_finds_chunks_where_there_are_reflinks";
    let Some(peers) = need(test, Peers::find()) else { return };
    let Some(registry) = need(test, Registry::start()) else { return };
    // Not a tool that every machine has, so it may be skipped everywhere.
    let xfs = match Xfs::mount() {
        Ok(xfs) => xfs,
        Err(why) => return eprintln!("SKIPPED: {test}: {why}"),
    };
    let some = &["patch", "bundle", "sparse", "scattered", "other"];
    let mixed = &["bundle"];
    let wanted = [(Maker::We, &some[..]), (Maker::Skopeo, &some[..2]), (Maker::Mixed, &mixed[..])];
    check_all(&registry, &peers, &wanted, Some(&xfs.path()));
}
