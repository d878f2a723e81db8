//! Archives as podman, skopeo and others write them, and ours as they read them.

use std::{
    fs,
    path::Path,
    process::{Command, Output, Stdio},
    thread,
    time::{Duration, Instant},
};

use recompress_image::image::media_type;
use serde_json::{Value, json};
use test_support::{
    layout::{Layout, gzip, manifest, tar, text},
    need,
    peers::Peers,
    podman::Podman,
    program, sha256,
    tree::Compare,
    work_dir,
};

const NAME: &str = "quay.io/org/app:1.2";

fn convert(arguments: &[&str]) -> Output {
    program().arg("convert").args(arguments).output().unwrap()
}

fn succeeds(arguments: &[&str]) -> Output {
    let output = convert(arguments);
    assert!(output.status.success(), "{arguments:?}: {}", text(&output));
    output
}

/// A layout with an image of two gzip layers.
fn source(dir: &Path) -> Layout {
    let tars = [tar(20), tar(30)];
    let layers = tars.each_ref().map(|tar| (media_type::OCI_LAYER_GZIP, gzip(tar)));
    let mut layout = Layout::new(dir, &layers, &tars);
    layout.finish();
    layout
}

/// Digests of the config and of the layers.
fn blobs(dir: &Path, tag: &str) -> Vec<Value> {
    let (image, _) = manifest(dir, tag).unwrap();
    let layers = image["layers"].as_array().unwrap().iter();
    [&image["config"]].into_iter().chain(layers).map(|part| part["digest"].clone()).collect()
}

fn names(dir: &Path) -> Vec<String> {
    let names = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name());
    names.map(|name| name.into_string().unwrap()).collect()
}

fn archive(file: &Path, files: &[(&str, &[u8])]) {
    let mut tar = tar::Builder::new(fs::File::create(file).unwrap());
    for (name, content) in files {
        let mut header = tar::Header::new_gnu();
        header.set_mode(0o644);
        header.set_size(content.len() as u64);
        tar.append_data(&mut header, name, *content).unwrap();
    }
    tar.finish().unwrap();
}

/// An archive of `docker save` with compressed layers, as crane, Bazel and Docker with containerd's
/// store write it.
fn with_gzip_layers(layout: &Layout, file: &Path) {
    let config = layout.config.to_string();
    let [first, second] = [gzip(&tar(20)), gzip(&tar(30))];
    let list = json!([{
        "Config": sha256(config.as_bytes()), "RepoTags": [NAME], "Layers": ["1.tar.gz", "2.tar.gz"],
    }]);
    let config_name = sha256(config.as_bytes());
    archive(
        file,
        &[
            (&config_name, config.as_bytes()),
            ("1.tar.gz", &first),
            ("2.tar.gz", &second),
            ("manifest.json", list.to_string().as_bytes()),
        ],
    );
}

/// What `docker save` writes since Docker 25: a layout with a `manifest.json`.
fn with_both_lists(layout: &Layout, file: &Path) {
    let path =
        |part: &Value| format!("blobs/{}", part["digest"].as_str().unwrap().replace(':', "/"));
    let (image, _) = manifest(&layout.dir, "in").unwrap();
    let layers: Vec<_> = image["layers"].as_array().unwrap().iter().map(path).collect();
    let list = json!([{ "Config": path(&image["config"]), "RepoTags": [NAME], "Layers": layers }]);
    let blobs = names(&layout.dir.join("blobs/sha256"));
    let blobs = blobs.iter().map(|name| format!("blobs/sha256/{name}"));
    let files = blobs.chain(["index.json", "oci-layout"].map(str::to_owned)).map(|name| {
        let content = fs::read(layout.dir.join(&name)).unwrap();
        (name, content)
    });
    let list = ("manifest.json".to_owned(), list.to_string().into_bytes());
    let files: Vec<_> = files.chain([list]).collect();
    let files: Vec<_> = files.iter().map(|(name, content)| (&**name, &content[..])).collect();
    archive(file, &files);
}

#[test]
fn archives_of_other_tools_have_the_same_layers() {
    let test = "archives_of_other_tools_have_the_same_layers";
    let Some(peers) = need(test, Peers::find()) else { return };
    let podman = Podman::new(&peers, false);
    let dir = podman.work();
    let layout = source(&dir.join("in"));
    let at = |name: &str| dir.join(name).display().to_string();
    let from = layout.reference();
    succeeds(&[&from, &format!("oci:{}:plain", at("out"))]);
    let expected = blobs(&dir.join("out"), "plain");

    let copy = ["skopeo", "copy", "--quiet", &from];
    podman.run(&[&copy[..], &[&format!("oci-archive:{}:1.2", at("skopeo-oci"))]].concat());
    podman.run(&[&copy[..], &[&format!("docker-archive:{}:{NAME}", at("skopeo-docker"))]].concat());
    let id = podman.pull(&from).image_id;
    podman.run(&["podman", "tag", &id, NAME, "localhost/second:1"]);
    let save = ["podman", "save", "--quiet", "--output"];
    podman.run(&[&save[..], &[&at("podman-docker"), NAME]].concat());
    podman.run(&[&save[..], &[&at("podman-oci"), "--format=oci-archive", NAME]].concat());
    podman.run(
        &[&save[..], &[&at("podman-both"), "--multi-image-archive", NAME, "localhost/second:1"]]
            .concat(),
    );
    with_gzip_layers(&layout, &dir.join("gzip-docker"));
    with_both_lists(&layout, &dir.join("docker-25"));

    for (transport, archive) in [
        ("oci-archive", "skopeo-oci"),
        ("oci-archive", "skopeo-oci:1.2"),
        ("docker-archive", "skopeo-docker"),
        ("docker-archive", "skopeo-docker:quay.io/org/app:1.2"),
        ("docker-archive", "skopeo-docker:@0"),
        ("docker-archive", "podman-docker"),
        ("oci-archive", "podman-oci"),
        ("docker-archive", "podman-both:quay.io/org/app:1.2"),
        ("docker-archive", "podman-both:localhost/second:1"),
        ("docker-archive", "gzip-docker"),
        ("docker-archive", "docker-25"),
        ("oci-archive", "docker-25:in"),
    ] {
        let from_archive = format!("{transport}:{}", at(archive));
        let output = succeeds(&[&from_archive, &format!("oci:{}:archive", at("out"))]);
        assert_eq!(blobs(&dir.join("out"), "archive"), expected, "{archive}: {}", text(&output));
        let verify =
            program().args(["verify", &from_archive, "--against", &from]).output().unwrap();
        assert!(verify.status.success(), "{archive}: {}", text(&verify));
    }
    // The digest of the source is that of the manifest that every command sees.
    let from_archive = format!("docker-archive:{}", at("skopeo-docker"));
    succeeds(&[&from_archive, &format!("oci:{}:archive", at("out"))]);
    let (image, _) = manifest(&dir.join("out"), "archive").unwrap();
    let inspected = program().args(["inspect", "--output=json", &from_archive]).output().unwrap();
    let inspected: Value = serde_json::from_slice(&inspected.stdout).unwrap();
    let digest = &image["annotations"]["io.github.recompress-image.source-digest"];
    assert_eq!(*digest, inspected["digest"], "{inspected:#}");
    podman.remove_all();
}

#[test]
fn other_tools_read_our_archives() {
    let test = "other_tools_read_our_archives";
    let Some(peers) = need(test, Peers::find()) else { return };
    let podman = Podman::new(&peers, false);
    let dir = podman.work();
    let from = source(&dir.join("in")).reference();
    let at = |name: &str| dir.join(name).display().to_string();
    let to = format!("oci-archive:{}:1.2", at("ours.tar"));
    succeeds(&[&from, &to, "--jobs=4"]);
    let again = format!("oci-archive:{}:1.2", at("again.tar"));
    succeeds(&[&from, &again, "--jobs=1"]);
    assert!(fs::read(at("ours.tar")).unwrap() == fs::read(at("again.tar")).unwrap());

    let layout = format!("oci:{}:plain", at("out"));
    succeeds(&[&from, &layout]);
    let (_, digest) = manifest(&dir.join("out"), "plain").unwrap();
    assert_eq!(sha256(&podman.run(&["skopeo", "inspect", "--raw", &to]).stdout), digest);
    let copy = format!("oci:{}:x", at("copy"));
    podman.run(&["skopeo", "copy", "--quiet", "--preserve-digests", &to, &copy]);
    assert_eq!(manifest(&dir.join("copy"), "x").unwrap().1, digest);

    let id = podman.pull(&from).image_id;
    let expected = podman.tree(&id);
    podman.remove_all();
    for load in [
        &["podman", "load", "--quiet", "--input", &at("ours.tar")][..],
        &["podman", "pull", "--quiet", &to],
    ] {
        podman.run(load);
        podman.tree(&id).assert_same(&expected, Compare::Everything, load[1]);
        podman.remove_all();
    }

    let dual = format!("oci-archive:{}", at("dual.tar"));
    let report = succeeds(&[&from, &dual, "--compression-format=dual", "--output=json"]);
    let report: Value = serde_json::from_slice(&report.stdout).unwrap();
    let dual = report["image"]["url"].as_str().unwrap();
    assert!(dual.ends_with("dual.tar:in-dual"), "{dual}");
    let index = podman.run(&["skopeo", "inspect", "--raw", dual]).stdout;
    assert_eq!(sha256(&index), report["image"]["digest"].as_str().unwrap());
    let verify = program().args(["verify", dual]).output().unwrap();
    assert!(verify.status.success(), "{}", text(&verify));
}

#[test]
fn results_of_archives() {
    let dir = work_dir();
    let from = source(&dir.path().join("in")).reference();
    let (file, results) = (dir.path().join("new.tar"), dir.path().join("results"));
    fs::create_dir(&results).unwrap();
    let to = format!("oci-archive:{}:1.2", file.display());
    let arguments = [&from, &to, "--results-dir", results.to_str().unwrap()];
    let planned = succeeds(&[&arguments[..], &["--dry-run"]].concat());
    assert!(text(&planned).contains("a new tag"), "{}", text(&planned));
    assert!(!file.exists());
    succeeds(&arguments);
    let result = |name: &str| fs::read_to_string(results.join(name)).unwrap();
    assert_eq!(result("IMAGE_URL"), to);
    assert_eq!(result("IMAGE_REF"), format!("{to}@{}", result("IMAGE_DIGEST")));
    let verify = program().args(["verify", &result("IMAGE_REF")]).output().unwrap();
    assert!(verify.status.success(), "{}", text(&verify));
    // Back into a layout: everything is reused or the same, nothing is false.
    let back = format!("oci:{}:back", dir.path().join("back").display());
    succeeds(&[&to, &back, "--reuse-from", &to]);
    assert_eq!(names(&results).len(), 3, "{:?}", names(&results));
}

#[test]
fn archives_that_cannot_be_read_or_written() {
    let dir = work_dir();
    let layout = source(&dir.path().join("in"));
    let at = |name: &str| dir.path().join(name).display().to_string();
    with_gzip_layers(&layout, &dir.path().join("image.tar"));
    let content = fs::read(at("image.tar")).unwrap();
    fs::write(at("image.tar.gz"), gzip(&content)).unwrap();
    fs::write(at("cut.tar"), &content[..content.len() / 2]).unwrap();
    fs::write(at("taken.tar"), "precious").unwrap();
    assert!(Command::new("mkfifo").arg(at("pipe")).status().unwrap().success());
    let image = format!("docker-archive:{}", at("image.tar"));
    let to = format!("oci:{}:x", at("out"));
    let oci = layout.reference();
    for (from, to, code, words) in [
        (&format!("docker-archive:{}", at("image.tar.gz")), &to, 7, "gunzip <"),
        (&format!("docker-archive:{}", at("cut.tar")), &to, 7, "truncated"),
        (&format!("docker-archive:{}", at("pipe")), &to, 7, "not a regular file"),
        (&format!("docker-archive:{}", at("missing.tar")), &to, 7, "does not exist"),
        (&format!("docker-archive:{}", at("in")), &to, 7, "name an OCI image layout as oci:"),
        (&format!("oci-archive:{}", at("image.tar")), &to, 7, "docker-archive:FILE"),
        (&format!("{image}:other"), &to, 7, "it has: @0 (quay.io/org/app:1.2)"),
        (&image, &format!("docker-archive:{}", at("new.tar")), 2, "oci-archive:FILE"),
        (&oci, &format!("oci-archive:{}", at("taken.tar")), 7, "an archive is not changed"),
        (&oci, &format!("oci-archive:{}", at("no/new.tar")), 7, "no does not exist; create it"),
        (&format!("{image}:@0"), &String::new(), 2, "missing DESTINATION"),
    ] {
        let before = names(dir.path()).len();
        let given = [from.as_str(), to.as_str()];
        let given = given.into_iter().filter(|given| !given.is_empty()).collect::<Vec<_>>();
        let output = convert(&given);
        assert_eq!(output.status.code(), Some(code), "{given:?}: {}", text(&output));
        assert!(text(&output).contains(words), "{given:?}: {}", text(&output));
        assert_eq!(names(dir.path()).len(), before, "{given:?} left something");
    }
    assert_eq!(fs::read_to_string(at("taken.tar")).unwrap(), "precious");
}

/// The disk fills up while the layout is put together, and while it is moved into the archive.
#[test]
fn a_full_disk() {
    for len in [12 << 20, 6 << 20] {
        let dir = work_dir();
        let layer = super::failures::noise(len);
        let layers = [(media_type::OCI_LAYER, layer.clone())];
        let mut layout = Layout::new(&dir.path().join("in"), &layers, &[layer]);
        layout.finish();
        let full = dir.path().join("full");
        fs::create_dir(&full).unwrap();
        let mut command = Command::new("unshare");
        let script = r#"mount -t tmpfs -o size=8m small "$1" && shift && "$@"; code=$?; ls -A "$0"; exit $code"#;
        command.args(["--mount", "sh", "-c", script]).arg(&full).arg(&full);
        let to = format!("oci-archive:{}:x", full.join("new.tar").display());
        command.arg(program().get_program()).args(["convert", &layout.reference(), &to]);
        let output = command.output().unwrap();
        if text(&output).contains("unshare:") || text(&output).contains("mount:") {
            return eprintln!("SKIPPED: a_full_disk: {}", text(&output));
        }
        assert_eq!(output.status.code(), Some(7), "{}", text(&output));
        assert!(text(&output).contains("No space left on device"), "{}", text(&output));
        assert!(output.stdout.is_empty(), "left: {}", text(&output));
    }
}

#[test]
fn a_signal_leaves_nothing() {
    for (signal, code) in [("INT", 130), ("TERM", 143)] {
        let (dir, out) = (work_dir(), work_dir());
        let layer = super::failures::noise(60 << 20);
        let layers = [(media_type::OCI_LAYER, layer.clone())];
        let mut layout = Layout::new(dir.path(), &layers, &[layer]);
        layout.finish();
        let to = format!("oci-archive:{}:x", out.path().join("new.tar").display());
        let mut command = program();
        command.args(["convert", &layout.reference(), &to, "--compression-level=19"]);
        let mut process = command.stderr(Stdio::null()).spawn().unwrap();
        let begin = Instant::now();
        while names(out.path()).is_empty() {
            assert!(begin.elapsed() < Duration::from_secs(60), "it does not begin");
            thread::sleep(Duration::from_millis(2));
        }
        let kill = ["-s", signal, &process.id().to_string()];
        assert!(Command::new("kill").args(kill).status().unwrap().success());
        assert_eq!(process.wait().unwrap().code(), Some(code));
        assert_eq!(names(out.path()), [""; 0]);
    }
}
