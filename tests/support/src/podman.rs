//! podman with a store of its own, with partial or full pulls.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Output,
};

use tempfile::TempDir;

use crate::{
    peers::{Peers, check},
    tree::Tree,
    work_dir,
};

/// One podman store. Nothing else uses it, and the blob info cache lives no longer than a command
/// (see `enter.sh`): a pull finds only what this store holds.
pub struct Podman<'a> {
    peers: &'a Peers,
    dir: TempDir,
    storage_conf: PathBuf,
}

/// How a pull went.
#[derive(Debug)]
pub struct Pull {
    /// The config's digest in hexadecimal digits, as `podman images` shows it.
    pub image_id: String,
    /// Digests of the blobs that were pulled partially.
    pub partial: Vec<String>,
    /// Log lines about partial pulls that failed.
    pub refused: Vec<String>,
    /// For each partial blob, the bytes that the store did not have, and all of its bytes.
    pub missing: Vec<(u64, u64)>,
}

impl<'a> Podman<'a> {
    /// An empty store, with or without partial pulls.
    pub fn new(peers: &'a Peers, partial: bool) -> Self {
        Self::in_dir(peers, partial, work_dir())
    }

    /// The same on another file system: in a directory of its own below `parent`.
    pub fn with_store_in(peers: &'a Peers, partial: bool, parent: &Path) -> Self {
        Self::in_dir(peers, partial, tempfile::tempdir_in(parent).unwrap())
    }

    fn in_dir(peers: &'a Peers, partial: bool, dir: TempDir) -> Self {
        let storage_conf = dir.path().join("storage.conf");
        let at = |name| dir.path().join(name);
        let text = format!(
            "[storage]\ndriver = \"overlay\"\ngraphroot = \"{}\"\nrunroot = \"{}\"\n\
             [storage.options.pull_options]\nenable_partial_images = \"{partial}\"\n",
            at("graph").display(),
            at("run").display()
        );
        fs::write(&storage_conf, text).unwrap();
        Self { peers, dir, storage_conf }
    }

    /// The directory that commands of this store share with the outside.
    pub fn work(&self) -> &Path {
        self.dir.path()
    }

    /// Runs a command that uses this store, and has to succeed.
    pub fn run(&self, args: &[&str]) -> Output {
        check(
            self.peers
                .command(self.dir.path(), args)
                .env("CONTAINERS_STORAGE_CONF", &self.storage_conf)
                .env("PODMAN_IGNORE_CGROUPSV1_WARNING", "1"),
        )
    }

    /// Pulls an image (`localhost:PORT/name@sha256:…`), which has to succeed.
    pub fn pull(&self, reference: &str) -> Pull {
        let output =
            self.run(&["podman", "--log-level=debug", "pull", "--tls-verify=false", reference]);
        let image_id = String::from_utf8(output.stdout).unwrap().trim().to_owned();
        let mut pull =
            Pull { image_id, partial: Vec::new(), refused: Vec::new(), missing: Vec::new() };
        for line in String::from_utf8_lossy(&output.stderr).lines() {
            if let Some((_, rest)) = line.split_once("Retrieved partial blob ") {
                pull.partial.push(rest.trim_end_matches('"').to_owned());
            } else if line.contains("Failed to retrieve partial blob") {
                pull.refused.push(line.to_owned());
            } else if let Some((_, rest)) = line.split_once("Missing ") {
                pull.missing.extend(missing(rest));
            }
        }
        pull
    }

    /// The tree of the pulled image, as mounted.
    pub fn tree(&self, reference: &str) -> Tree {
        const MOUNT_AND_LIST: &str = "dir=$(podman image mount \"$1\") && python3 -c \"$2\" \"$dir\"; \
             podman image unmount \"$1\" >&2";
        let lister = include_str!("list_tree.py");
        let output = self.run(&["sh", "-ec", MOUNT_AND_LIST, "sh", reference, lister]);
        Tree::parse(&output.stdout)
    }

    /// Removes every image.
    pub fn remove_all(&self) {
        self.run(&["podman", "rmi", "--all", "--force"]);
    }
}

/// Reads the rest of `Missing 12 bytes out of 34 (…)`.
fn missing(text: &str) -> Option<(u64, u64)> {
    let mut words = text.split(' ');
    let missing = words.next()?.parse().ok()?;
    let total = words.nth(3)?.parse().ok()?;
    Some((missing, total))
}

#[test]
fn a_gzip_image_is_never_pulled_partially() {
    use crate::{
        image::{Image, Layer, Style},
        need,
        registry::Registry,
        trees,
    };
    let test = "a_gzip_image_is_never_pulled_partially";
    let Some(peers) = need(test, Peers::find()) else { return };
    let Some(registry) = need(test, Registry::start()) else { return };
    let layer = Layer::gzip(peers.work(), |out| trees::every_kind(out));
    let digest = layer.digest.clone();
    let image = Image::new(Style::Oci, vec![layer]);
    let reference = format!("{}/{}", registry.host(), image.push(&registry, "gzip", "in"));
    let before = registry.requests().len();

    let podman = Podman::new(&peers, true);
    let pull = podman.pull(&reference);
    assert_eq!(pull.partial, <[&str; 0]>::default());
    assert!(pull.missing.is_empty(), "{:?}", pull.missing);
    let log = registry.requests();
    let statuses: Vec<_> =
        log[before..].iter().filter(|r| r.fetches(&digest)).map(|r| r.status).collect();
    assert_eq!(statuses, [200]);

    // The listing shows what a layer can contain: attributes, owners, link groups, device numbers.
    let tree = podman.tree(&reference);
    assert_eq!(tree.get("kinds/capability")["xattrs"].as_object().unwrap().len(), 1);
    assert_eq!(tree.get("kinds/xattrs-and-nanoseconds")["xattrs"]["user.text"], "76616c7565");
    assert_eq!(tree.get("kinds/xattrs-and-nanoseconds")["mtime_ns"], 1_704_164_645_123_456_789_i64);
    assert_eq!(tree.get("kinds/linked")["same_as"], "kinds/a-link-sorted-before");
    assert_eq!(tree.get("kinds/owner-past-octal")["owner"][0], 3_000_000);
    assert_eq!(tree.get("kinds/setuid")["mode"], 0o4755);
    assert_eq!(tree.get("kinds/block")["content"], "7:300");
    assert_eq!(tree.get("kinds/größe")["kind"], "file");
    podman.remove_all();
}
