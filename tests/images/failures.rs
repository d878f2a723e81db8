//! What goes wrong, as a new user meets it: each with an exit code, a message that says what to do,
//! and nothing published.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::TcpListener,
    path::Path,
    process::{Command, Output},
    thread,
};

use recompress_image::image::{Digest, media_type};
use serde_json::json;
use test_support::{
    layout::{Layout, gzip, manifest, tar, text},
    need, program, program_path,
    registry::Registry,
    work_dir,
};

const GZIP: &str = media_type::OCI_LAYER_GZIP;

/// Runs the program, which has to fail with this code and these words, and to leave no result.
fn fails(arguments: &[&str], code: i32, words: &[&str]) -> Output {
    let dir = work_dir();
    let output = program()
        .arg("convert")
        .args(arguments)
        .arg("--results-dir")
        .arg(dir.path())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {}", text(&output));
    for word in words {
        assert!(text(&output).contains(word), "{arguments:?}: no {word:?} in {}", text(&output));
    }
    assert!(output.stdout.is_empty(), "{}", text(&output));
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0, "{arguments:?} left results");
    output
}

fn at(name: &str) -> String {
    format!("{name}@{}", Digest::sha256_of(b"nothing"))
}

#[test]
fn wrong_arguments() {
    fails(
        &["quay.io/org/app:1.2"],
        2,
        &["has no digest", "`recompress-image digest quay.io/org/app:1.2`", "--resolve-tag"],
    );
    fails(&["Quay.io/Org/App:1.2"], 2, &["upper-case"]);
    fails(&["docker-archive:x.tar"], 2, &["docker-archive:", "oci:DIR"]);
    fails(&[&at("quay.io/a"), &at("quay.io/b")], 2, &["destination", "digest"]);
    fails(&[&at("quay.io/a"), "--compression-format=bzip2"], 2, &["zstd:chunked"]);
    let none = program().arg("convert").output().unwrap();
    assert_eq!(none.status.code(), Some(2), "{}", text(&none));
    assert!(text(&none).contains("<SOURCE>"), "{}", text(&none));
}

/// Nothing is done for results that there is no room for; the destination does not even appear.
#[test]
fn results_without_room() {
    let dir = work_dir();
    let tars = [tar(3)];
    let mut source = Layout::new(&dir.path().join("in"), &[(GZIP, gzip(&tars[0]))], &tars);
    source.finish();
    let out = dir.path().join("out");
    for (option, words) in [
        ("--results-dir=.", "cannot write results to the directory ."),
        ("--artifacts-path=a.json", "cannot write artifacts to a.json"),
    ] {
        let to = format!("oci:{}:x", out.display());
        let output = Command::new("sh")
            // Every file that is not empty is too large.
            .args(["-c", "ulimit -f 0; exec \"$@\"", "sh"])
            .arg(program_path())
            .args(["convert", &source.reference(), &to, option])
            .current_dir(dir.path())
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(7), "{}", text(&output));
        for word in [words, "nothing was published"] {
            assert!(text(&output).contains(word), "{word}: {}", text(&output));
        }
        assert!(!out.exists());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }
}

#[test]
fn registries_that_do_not_help() {
    let refused = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    fails(&[&at(&format!("{refused}/app:1"))], 6, &["connection refused", "check the port"]);
    fails(&[&at("no-such-host.invalid/app:1")], 6, &["does not resolve", "spelling"]);
    fails(&[&at(&format!("{}/app:1", answering("401 Unauthorized")))], 3, &["podman login"]);
    fails(&[&at(&format!("{}/app:1", answering("403 Forbidden")))], 3, &["not allowed to pull"]);
    let Some(registry) = need("registries_that_do_not_help", Registry::start()) else { return };
    fails(&[&at(&format!("{}/app:1", registry.host()))], 6, &["not found in"]);
}

/// A server that says the same to everything.
fn answering(status: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let mut stream = stream;
            let mut request = [0; 4096];
            let _ = stream.read(&mut request);
            let answer =
                format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
            let _ = stream.write_all(answer.as_bytes());
        }
    });
    address.to_string()
}

struct Case {
    name: &'static str,
    code: i32,
    words: &'static [&'static str],
    spoil: fn(&mut Layout),
}

#[test]
#[allow(clippy::too_many_lines, reason = "a table")]
fn sources_that_cannot_be_converted() {
    let cases = [
        Case {
            name: "artifact",
            code: 5,
            words: &["not a container image but an artifact", "application/vnd.example.config"],
            spoil: |layout| {
                layout.manifest["config"]["mediaType"] = "application/vnd.example.config".into();
            },
        },
        Case {
            name: "encrypted",
            code: 5,
            words: &["layer 1", "encrypted layers cannot be read"],
            spoil: |layout| {
                let media_type = format!("{GZIP}+encrypted");
                layout.manifest["layers"][0]["mediaType"] = media_type.into();
            },
        },
        Case {
            name: "diff-id",
            code: 4,
            words: &["layer 1", "but the image's config says", "rebuild"],
            spoil: |layout| {
                layout.config["rootfs"]["diff_ids"][0] = json!(Digest::sha256_of(b"other"));
            },
        },
        Case {
            name: "too few diffIDs",
            code: 5,
            words: &["its manifest has 1 layers, but its config has 0 diffIDs"],
            spoil: |layout| layout.config["rootfs"]["diff_ids"] = json!([]),
        },
        Case {
            name: "cut short",
            code: 4,
            words: &["layer 1", "the blob is corrupt gzip data"],
            spoil: |layout| {
                let blob = gzip(&tar(50));
                replace(layout, &blob[..blob.len() / 2]);
            },
        },
        Case {
            name: "bad checksum",
            code: 4,
            words: &["layer 1", "the blob is corrupt gzip data"],
            spoil: |layout| {
                let mut blob = gzip(&tar(50));
                let at = blob.len() - 8;
                blob[at] ^= 1;
                replace(layout, &blob);
            },
        },
        Case {
            name: "no tar",
            code: 4,
            words: &["layer 1", "cannot read the content as a tar archive"],
            spoil: |layout| {
                let text = b"this is no tar at all ".repeat(100);
                layout.config["rootfs"]["diff_ids"][0] = json!(Digest::sha256_of(&text));
                replace(layout, &gzip(&text));
            },
        },
        Case {
            name: "tar cut short",
            code: 4,
            words: &["layer 1", "in the middle of the payload of \"dir/50\""],
            spoil: |layout| {
                let tar = tar(50);
                let tar = &tar[..tar.len() - 50_000];
                layout.config["rootfs"]["diff_ids"][0] = json!(Digest::sha256_of(tar));
                replace(layout, &gzip(tar));
            },
        },
        Case {
            name: "xz",
            code: 5,
            words: &["layer 1", "compressed with xz", "only gzip, zstd and uncompressed"],
            spoil: |layout| replace(layout, b"\xfd7zXZ\0 and so on"),
        },
        Case {
            name: "exchanged",
            code: 4,
            words: &["layer 1", "has the wrong content"],
            spoil: |layout| {
                let digest = layout.manifest["layers"][0]["digest"].as_str().unwrap();
                let digest: Digest = digest.parse().unwrap();
                let path = layout.dir.join("blobs/sha256").join(digest.hex());
                let mut blob = fs::read(&path).unwrap();
                let middle = blob.len() / 2;
                blob[middle] ^= 0x55;
                fs::write(path, blob).unwrap();
            },
        },
    ];
    for Case { name, code, words, spoil } in cases {
        let dir = work_dir();
        let tars = [tar(50)];
        let mut layout = Layout::new(dir.path(), &[(GZIP, gzip(&tars[0]))], &tars);
        spoil(&mut layout);
        layout.finish();
        let before = fs::read(dir.path().join("index.json")).unwrap();
        let output = fails(&[&layout.reference()], code, words);
        assert_eq!(fs::read(dir.path().join("index.json")).unwrap(), before, "{name}");
        assert!(!text(&output).contains("panic"), "{name}: {}", text(&output));
    }
}

fn replace(layout: &mut Layout, blob: &[u8]) {
    let descriptor = layout.add(blob);
    layout.manifest["layers"][0]["digest"] = descriptor["digest"].clone();
    layout.manifest["layers"][0]["size"] = descriptor["size"].clone();
}

#[test]
fn places_that_cannot_be_written() {
    let dir = work_dir();
    let tars = [tar(50)];
    let mut layout = Layout::new(&dir.path().join("in"), &[(GZIP, gzip(&tars[0]))], &tars);
    layout.finish();
    let file = dir.path().join("a-file");
    fs::write(&file, "in the way").unwrap();
    let destination = format!("oci:{}:out", file.join("below").display());
    fails(&[&layout.reference(), &destination], 7, &["a-file"]);

    let occupied = dir.path().join("occupied");
    fs::create_dir_all(occupied.join("something")).unwrap();
    fails(&[&layout.reference(), &format!("oci:{}:out", occupied.display())], 7, &["occupied"]);

    let output = program()
        .args(["convert", &layout.reference(), "--results-dir", "/no/such/folder"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(7), "{}", text(&output));
    assert!(text(&output).contains("nothing was published"), "{}", text(&output));
    assert!(manifest(&layout.dir, "in-zstd-chunked").is_none());
}

/// A limit of file sizes is an error like a full disk, and not a signal that ends the program.
#[test]
fn a_file_that_may_not_grow() {
    let dir = work_dir();
    let tars = [noise(3 << 20)];
    let mut layout = Layout::new(&dir.path().join("in"), &[(GZIP, gzip(&tars[0]))], &tars);
    layout.finish();
    let out = dir.path().join("out");
    let output = Command::new("sh")
        .args(["-c", "ulimit -f 1000; exec \"$@\"", "sh"])
        .arg(program_path())
        .args(["convert", &layout.reference(), &format!("oci:{}:out", out.display())])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(7), "{}", text(&output));
    assert!(text(&output).contains("File too large"), "{}", text(&output));
    assert_eq!(fs::read_dir(out.join("blobs/sha256")).into_iter().flatten().count(), 0);
}

#[test]
fn a_full_disk() {
    let dir = work_dir();
    let tars = [noise(3 << 20)];
    let mut layout = Layout::new(&dir.path().join("in"), &[(GZIP, gzip(&tars[0]))], &tars);
    layout.finish();
    let full = dir.path().join("full");
    fs::create_dir(&full).unwrap();
    // A layout needs no room anywhere else.
    for (temporary, place, code) in
        [(full.as_path(), dir.path().join("out"), 0), (dir.path(), full.join("out"), 7)]
    {
        let destination = format!("oci:{}:out", place.display());
        let output = on_a_small_disk(&full, temporary)
            .args(["convert", &layout.reference(), &destination])
            .output()
            .unwrap();
        if text(&output).contains("unshare:") || text(&output).contains("mount:") {
            eprintln!("SKIPPED: a_full_disk: {}", text(&output));
            return;
        }
        assert_eq!(output.status.code(), Some(code), "{}", text(&output));
        assert_eq!(text(&output).contains("No space left on device"), code != 0);
        assert_eq!(manifest(&place, "out").is_some(), code == 0);
    }
}

/// The program in a mount namespace of its own, in which `full` is a file system of 1 MiB.
fn on_a_small_disk(full: &Path, temporary: &Path) -> Command {
    let mut command = Command::new("unshare");
    let script = r#"mount -t tmpfs -o size=1m small "$1" && shift && exec "$@""#;
    command.args(["--mount", "sh", "-c", script, "sh"]).arg(full);
    command.arg(program().get_program()).env("TMPDIR", temporary);
    command
}

/// A tar with one file that no compressor shrinks.
pub(crate) fn noise(len: usize) -> Vec<u8> {
    let mut state = 1u64;
    let content: Vec<u8> = std::iter::repeat_with(|| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 56) as u8
    })
    .take(len)
    .collect();
    let mut header = tar::Header::new_gnu();
    header.set_mode(0o644);
    header.set_size(content.len() as u64);
    let mut tar = tar::Builder::new(Vec::new());
    tar.append_data(&mut header, "noise", &content[..]).unwrap();
    tar.into_inner().unwrap()
}
