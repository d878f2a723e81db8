//! podman pulls images one by one, each for its platform and from its own place, and their files are
//! listed. One process does all of it, because entering the root folder of the peers takes time.

use std::{collections::BTreeMap, fs};

use crate::peers::Peers;

const PULL: &str = r#"
mkdir ids errors trees
tab=$(printf '\t')
while IFS="$tab" read -r name platform image; do
    set -- --tls-verify=false --quiet
    [ "$platform" = - ] || set -- "$@" --platform "$platform"
    podman pull "$@" "$image" >"ids/$name" 2>"errors/$name" </dev/null || rm "ids/$name"
done <list
set -- $(cat ids/* 2>/dev/null | sort -u)
if [ $# != 0 ]; then
    # An image without layers cannot be mounted, and then none is.
    if ! podman image mount --format json "$@" >mounts.json 2>/dev/null; then
        for id; do
            mounted=$(podman image mount "$id" 2>/dev/null) || continue
            printf '{"id":"%s","mountpoint":"%s"}\n' "$id" "$mounted"
        done | python3 -c 'import json, sys; print(json.dumps([*map(json.loads, sys.stdin)]))' >mounts.json
    fi
    python3 -c "$LISTER"
fi
"#;

/// Path, mode and content of each file; not the directories, whose times and modes are those of
/// their unpacking where the layer does not have them.
const LISTER: &str = r#"
import hashlib, json, os
for image in json.load(open("mounts.json")):
    found, root = {}, image["mountpoint"]
    for folder, _, files in os.walk(root):
        for name in files:
            path = os.path.join(folder, name)
            content = hashlib.sha256(open(path, "rb").read()).hexdigest()
            found[os.path.relpath(path, root)] = [oct(os.lstat(path).st_mode), content]
    key = next(image[key] for key in ("id", "ID", "Id") if key in image)
    json.dump(found, open("trees/" + key, "w"), sort_keys=True)
"#;

/// An image to pull.
pub struct Wanted {
    /// Any name, without tabs and slashes.
    pub name: String,
    /// As in `--platform`.
    pub platform: Option<String>,
    /// As podman accepts it.
    pub reference: String,
}

/// An image as podman has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pulled {
    /// The config's digest, in hexadecimal digits.
    pub id: String,
    /// Its files, as JSON; empty if it has no layers.
    pub files: String,
}

/// The result for each name; `Err` has the message of podman.
pub type Pulls = BTreeMap<String, Result<Pulled, String>>;

/// Pulls all of `wanted` into a new store.
pub fn pull_each(peers: &Peers, partial: bool, wanted: &[Wanted]) -> Pulls {
    // Layouts in the directory that the peers share are seen from here.
    let dir = tempfile::tempdir_in(peers.work()).unwrap();
    let at = |name: &str| dir.path().join(name);
    let storage = format!(
        "[storage]\ndriver = \"overlay\"\ngraphroot = \"{}\"\nrunroot = \"{}\"\n\
         [storage.options.pull_options]\nenable_partial_images = \"{partial}\"\n",
        at("graph").display(),
        at("run").display()
    );
    fs::write(at("storage.conf"), storage).unwrap();
    let line = |wanted: &Wanted| {
        let platform = wanted.platform.as_deref().unwrap_or("-");
        format!("{}\t{platform}\t{}\n", wanted.name, wanted.reference)
    };
    fs::write(at("list"), wanted.iter().map(line).collect::<String>()).unwrap();
    let script = format!("cd {}\n{PULL}", dir.path().display());
    let output = peers
        .command(peers.work(), &["sh", "-euc", &script])
        .env("CONTAINERS_STORAGE_CONF", at("storage.conf"))
        .env("PODMAN_IGNORE_CGROUPSV1_WARNING", "1")
        .env("LISTER", LISTER)
        .output()
        .unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {stderr}", output.status);
    let read = |name: String| fs::read_to_string(at(&name)).ok();
    let pulled = |wanted: &Wanted| {
        let found = match read(format!("ids/{}", wanted.name)) {
            Some(id) => {
                let id = id.trim().to_owned();
                let files = read(format!("trees/{id}")).unwrap_or_default();
                Ok(Pulled { id, files })
            }
            None => Err(read(format!("errors/{}", wanted.name)).unwrap_or_default()),
        };
        (wanted.name.clone(), found)
    };
    wanted.iter().map(pulled).collect()
}
