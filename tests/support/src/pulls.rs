//! podman pulls many images in one process, because starting one for each takes most of the time.

use std::{collections::BTreeMap, fs};

use crate::{peers::Peers, work_dir};

/// Pulls images and lists their trees. Arguments: two programs for Python, then references.
const PULL_ALL: &str = r#"
lister=$1
list_all=$2
shift 2
podman --log-level=debug pull --tls-verify=false --quiet "$@" >/dev/null 2>pull.log || true
mkdir trees errors
podman images --format '{{.Repository}}:{{.Tag}}' >present
for image; do
    if ! grep -qxF "$image" present; then
        name=${image##*/}
        podman pull --tls-verify=false --quiet "$image" >/dev/null 2>"errors/${name%:*}" || true
    fi
done
xargs podman image mount --format json <present >mounts.json
python3 -c "$list_all" "$lister"
"#;

/// Lists every mounted image into a file of its own.
const LIST_ALL: &str = r#"
import contextlib, json, sys
lister = sys.argv[1]
for image in json.load(open("mounts.json")):
    name = image["Repositories"][0].split("/")[-1].split(":")[0]
    sys.argv[1] = image["mountpoint"]
    with open("trees/" + name, "w") as out, contextlib.redirect_stdout(out):
        exec(lister, {})
"#;

/// The result of a pull.
#[derive(Debug)]
pub enum Pulled {
    /// The tree of the pulled image, as JSON lines.
    As(Vec<u8>),
    /// The message that podman refused it with.
    Not(String),
}

impl Pulls {
    /// Whether the log says that this blob was pulled partially.
    pub fn retrieved_partially(&self, digest: &str) -> bool {
        self.log.contains(&format!("Retrieved partial blob {digest}"))
    }
}

/// The results for all images, by the last part of their names.
pub struct Pulls {
    pub images: BTreeMap<String, Pulled>,
    /// Its debug log.
    pub log: String,
}

/// How podman pulls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// Every layer as a whole.
    Whole,
    /// Layers with a TOC partially.
    Partial,
    /// The same, with composefs in the place of directories: mkcomposefs makes an erofs image of
    /// the TOC, which the kernel mounts over the files. What is listed is that mount.
    Composefs,
}

impl Way {
    /// For storage.conf.
    fn options(self) -> String {
        let partial = self != Self::Whole;
        let composefs = self == Self::Composefs;
        format!(
            "[storage.options.pull_options]\nenable_partial_images = \"{partial}\"\n\
             [storage.options.overlay]\nuse_composefs = \"{composefs}\"\n"
        )
    }
}

/// Pulls into an empty store.
pub fn pull_all(peers: &Peers, way: Way, references: &[String]) -> Pulls {
    let dir = work_dir();
    let at = |name: &str| dir.path().join(name);
    let storage = format!(
        "[storage]\ndriver = \"overlay\"\ngraphroot = \"{}\"\nrunroot = \"{}\"\n\
         {}",
        at("graph").display(),
        at("run").display(),
        way.options()
    );
    fs::write(at("storage.conf"), storage).unwrap();
    let script = format!("cd {}\n{PULL_ALL}", dir.path().display());
    let lister = include_str!("list_tree.py");
    let mut args = vec!["sh", "-euc", &script, "sh", lister, LIST_ALL];
    args.extend(references.iter().map(String::as_str));
    let output = peers
        .command(dir.path(), &args)
        .env("CONTAINERS_STORAGE_CONF", at("storage.conf"))
        .env("PODMAN_IGNORE_CGROUPSV1_WARNING", "1")
        .output()
        .unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {stderr}", output.status);

    let mut images = BTreeMap::new();
    for (folder, found) in [
        ("trees", Pulled::As as fn(Vec<u8>) -> Pulled),
        ("errors", |bytes| Pulled::Not(String::from_utf8(bytes).unwrap())),
    ] {
        for file in fs::read_dir(at(folder)).unwrap() {
            let file = file.unwrap();
            let name = file.file_name().into_string().unwrap();
            images.insert(name, found(fs::read(file.path()).unwrap()));
        }
    }
    assert_eq!(images.len(), references.len());
    Pulls { images, log: String::from_utf8_lossy(&fs::read(at("pull.log")).unwrap()).into_owned() }
}
