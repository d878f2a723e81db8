//! What `convert` promises besides the image: results, reports, limits, and that it keeps secrets.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream},
    path::Path,
    process::Output,
    thread,
};

use recompress_image::image::{Digest, media_type};
use serde_json::{Value, json};
use test_support::{
    layout::{Layout, gzip, manifest, tar, text},
    program, work_dir,
};

use crate::documents::build::{Documents, marked};

const GZIP: &str = media_type::OCI_LAYER_GZIP;
const RESULTS: [&str; 6] =
    ["IMAGE_URL", "IMAGE_DIGEST", "IMAGE_REF", "IMAGES", "SBOM_BLOB_URL", "SOURCE_ARTIFACT_INPUTS"];

/// A layout with one good image.
fn good(dir: &Path) -> Layout {
    let tars = [tar(3)];
    let mut layout = Layout::new(dir, &[(GZIP, gzip(&tars[0]))], &tars);
    layout.finish();
    layout
}

fn convert(source: &str, arguments: &[&str]) -> Output {
    program().args(["convert", source, "--output=json"]).args(arguments).output().unwrap()
}

fn report(output: &Output) -> Value {
    assert!(output.status.success(), "{}", text(output));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// However the directory is named, and however early the run fails.
#[test]
fn results_of_an_earlier_run_are_gone_before_anything_else() {
    let (dir, results) = (work_dir(), work_dir());
    let layout = good(dir.path());
    let (source, at) = (layout.reference(), results.path().display().to_string());
    let missing = format!("oci:{}:missing", dir.path().display());
    let equals = format!("--results-dir={at}");
    let by_path = format!("{at}/IMAGE_URL");
    let equals_path = format!("--results-dir={by_path}");
    for (arguments, variable, code) in [
        (&["convert", &equals][..], None, 2),
        (&["convert", &source, "--results-dir", &at, "--no-such-option"], None, 2),
        (&["convert", &source, &equals, "--compression-format=xz"], None, 2),
        (&["convert", &source, &equals_path, "--jobs=none"], None, 2),
        (&["convert", &source, "--results-dir", &by_path, "--sbom=all"], None, 2),
        (&["-v", "convert", "quay.io/org/app:1", &equals], None, 2),
        (&["convert", "--results-dir"], Some(at.as_str()), 2),
        (&["convert", &source, "--compression-level=99"], Some(&at), 2),
        (&["convert", &source, "--platform=x"], Some(&by_path), 2),
        (&["convert", &missing, &equals], None, 7),
        (&["convert", &source, &equals, "--platform=linux/s390x"], None, 5),
    ] {
        for name in RESULTS {
            fs::write(results.path().join(name), "of an earlier run").unwrap();
        }
        fs::write(results.path().join("ANOTHER"), "of another step").unwrap();
        let mut command = program();
        command.args(arguments);
        if let Some(dir) = variable {
            command.env("RECOMPRESS_RESULTS_DIR", dir);
        }
        let output = command.output().unwrap();
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {}", text(&output));
        let left: Vec<_> = fs::read_dir(results.path()).unwrap().collect();
        assert_eq!(left.len(), 1, "{arguments:?}: {left:?}");
    }
}

#[test]
fn a_results_directory_that_is_missing_is_named() {
    let dir = work_dir();
    let layout = good(dir.path());
    for given in ["/no/such/folder", "/no/such/folder/IMAGE_URL"] {
        let output = convert(&layout.reference(), &["--results-dir", given]);
        assert_eq!(output.status.code(), Some(7), "{}", text(&output));
        assert!(text(&output).contains("/no/such/folder:"), "{}", text(&output));
        assert!(
            text(&output)
                .contains("no such directory; nothing was published; create the directory"),
            "{}",
            text(&output)
        );
        assert!(manifest(dir.path(), "in-zstd-chunked").is_none());
    }
}

/// Two images of two platforms, and their index.
fn two_platforms(dir: &Path) -> String {
    let mut docs = Documents::new("two platforms");
    let (a, b) = (docs.image("a"), docs.image_for("b", "arm64"));
    let entries = [docs.entry(&a), docs.entry(&b)];
    docs.index(&entries);
    docs.write(dir);
    format!("oci:{}:in", dir.display())
}

#[test]
fn reports_say_what_was_asked_for() {
    let dir = work_dir();
    let source = two_platforms(dir.path());
    for (arguments, format, platforms) in [
        (
            &["--add", "--compression-format=dual"][..],
            "dual",
            &["linux/amd64", "linux/arm64", "linux/amd64", "linux/arm64"][..],
        ),
        (&["--all-platforms", "--platform=linux/arm64"], "zstd:chunked", &["linux/arm64"]),
        (
            &["--all-platforms", "--platform=linux/arm64", "--platform=linux/amd64"],
            "zstd:chunked",
            &["linux/amd64", "linux/arm64"],
        ),
        (
            &[
                "--all-platforms",
                "--platform=linux/amd64, linux/arm64",
                "--compression-format=gzip",
            ],
            "gzip",
            &["linux/amd64", "linux/arm64"],
        ),
        (
            &["--compression-format=dual", "--platform= linux/arm64 ,"],
            "dual",
            &["linux/arm64", "linux/arm64"],
        ),
    ] {
        let report = report(&convert(&source, arguments));
        assert_eq!(report["format"], format, "{arguments:?}");
        let manifests = report["manifests"].as_array().unwrap();
        let found: Vec<_> = manifests.iter().map(|one| one["platform"].as_str().unwrap()).collect();
        assert_eq!(found, platforms, "{arguments:?}");
    }
}

#[test]
fn what_stays_does_not_expire_and_that_is_reported() {
    let dir = work_dir();
    let source = two_platforms(dir.path());
    let output = convert(&source, &["--add", "--expires-after=5d"]);
    let report = report(&output);
    let notes = report["notes"].as_array().unwrap();
    let of_these =
        notes.iter().filter(|note| note.as_str().unwrap().contains("quay.expires-after"));
    assert_eq!(of_these.count(), 2, "{notes:?}");
    assert!(text(&output).contains("does not remove"), "{}", text(&output));
}

/// Only what may not be distributed stays where its `urls` are.
#[test]
fn a_kept_layer_with_urls_is_copied_unless_it_is_foreign() {
    let foreign = "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip";
    for (media_type, copied) in [(GZIP, true), (foreign, false)] {
        let (dir, other) = (work_dir(), work_dir());
        let mut docs = Documents::new("urls");
        let mut a = docs.image("a");
        a.manifest["layers"][0]["urls"] = json!(["http://localhost:9/blob"]);
        a.manifest["layers"][0]["mediaType"] = media_type.into();
        let layer: Digest = a.manifest["layers"][0]["digest"].as_str().unwrap().parse().unwrap();
        let entries = [docs.entry(&a)];
        docs.index(&entries);
        docs.write(dir.path());
        let destination = format!("oci:{}:out", other.path().display());
        let source = format!("oci:{}:in", dir.path().display());
        let report = report(&convert(&source, &[&destination, "--compression-format=dual"]));
        assert_eq!(report["manifests"][0]["digest"], entries[0]["digest"]);
        assert_eq!(report["manifests"][0]["made"], false);
        let blob = other.path().join("blobs/sha256").join(layer.hex());
        assert_eq!(blob.exists(), copied, "{media_type}");
    }
}

/// Found out by the documents alone: the layers are not even there.
#[test]
fn a_manifest_that_would_be_too_large_is_found_out_before_any_layer_is_read() {
    const COUNT: usize = 12_000;
    let dir = work_dir();
    let tars = [tar(1)];
    let mut layout = Layout::new(dir.path(), &[(GZIP, gzip(&tars[0]))], &tars);
    let layer = layout.manifest["layers"][0].clone();
    let blob: Digest = layer["digest"].as_str().unwrap().parse().unwrap();
    layout.manifest["layers"] = vec![layer; COUNT].into();
    layout.config["rootfs"]["diff_ids"] = vec![json!(Digest::sha256_of(&tars[0])); COUNT].into();
    layout.finish();
    assert!(layout.manifest.to_string().len() < 4 << 20);
    fs::remove_file(dir.path().join("blobs/sha256").join(blob.hex())).unwrap();
    let before = fs::read_dir(dir.path().join("blobs/sha256")).unwrap().count();
    let output = convert(&layout.reference(), &[]);
    assert_eq!(output.status.code(), Some(5), "{}", text(&output));
    for words in ["the new manifest would have", "accept 4 MiB", "nothing was published"] {
        assert!(text(&output).contains(words), "{}", text(&output));
    }
    assert_eq!(fs::read_dir(dir.path().join("blobs/sha256")).unwrap().count(), before);
}

#[test]
fn chunked_is_required_of_every_layer() {
    let dir = work_dir();
    // A layer that clients fetch from elsewhere.
    let tars = [tar(3)];
    let foreign = "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip";
    let mut layout = Layout::new(&dir.path().join("foreign"), &[(foreign, gzip(&tars[0]))], &tars);
    layout.manifest["layers"][0]["urls"] = json!(["https://localhost/blob"]);
    layout.finish();
    let lenient = report(&convert(&layout.reference(), &[]));
    assert_eq!(lenient["layers"][0]["format"], "foreign");
    let strict = [&format!("{}-strict", layout.reference()), "--require-chunked"];
    let output = convert(&layout.reference(), &strict);
    assert_eq!(output.status.code(), Some(5), "{}", text(&output));
    assert!(text(&output).contains("it is foreign"), "{}", text(&output));
    assert!(manifest(&layout.dir, "in-strict").is_none());

    // A variant of which the TOC is not what its annotation says.
    let mut docs = Documents::new("wrong variant");
    let a = docs.image("a");
    let mut chunked = docs.converted(&a);
    let toc = "io.github.containers.zstd-chunked.manifest-checksum";
    chunked.manifest["layers"][0]["annotations"][toc] = json!(Digest::sha256_of(b"another TOC"));
    let entries = [docs.entry(&a), marked(docs.entry(&chunked))];
    docs.index(&entries);
    let dir = dir.path().join("wrong");
    docs.write(&dir);
    let source = format!("oci:{}:in", dir.display());
    for way in ["--add", "--compression-format=dual"] {
        let lenient = report(&convert(&source, &[way]));
        assert_eq!(lenient["left"].as_array().unwrap().len(), 1, "{lenient}");
        let strict = convert(&source, &[way, "--require-chunked", &format!("{source}-strict")]);
        assert_eq!(strict.status.code(), Some(4), "{}", text(&strict));
        assert!(text(&strict).contains("cannot be kept"), "{}", text(&strict));
        assert!(manifest(&dir, "in-strict").is_none());
    }
}

const PASSWORD: &str = "correct horse \"battery\" staple";
const TOKEN: &str = "token.of+this/run==";

/// A registry that throws back whatever it was sent, in each error. With `bearer`, it sends clients
/// to a token server, which is itself.
fn echoing(bearer: bool) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let host = listener.local_addr().unwrap().to_string();
    let own = host.clone();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            echo(stream, &own, bearer);
        }
    });
    host
}

fn echo(mut stream: TcpStream, host: &str, bearer: bool) {
    let mut request = vec![0; 16 << 10];
    let len = stream.read(&mut request).unwrap_or_default();
    let request = String::from_utf8_lossy(&request[..len]).into_owned();
    let sent = request.lines().find_map(|line| {
        line.to_ascii_lowercase().starts_with("authorization:").then(|| line.to_owned())
    });
    let (status, header, body) = match sent {
        None => {
            let challenge = if bearer {
                format!("Bearer realm=\"http://{host}/token\",service=\"x\"")
            } else {
                "Basic realm=\"x\"".to_owned()
            };
            ("401 Unauthorized", format!("WWW-Authenticate: {challenge}\r\n"), String::new())
        }
        Some(_) if bearer && request.starts_with("GET /token") => {
            ("200 OK", String::new(), json!({"token": TOKEN}).to_string())
        }
        Some(sent) => {
            let message = format!("you sent {sent}, that is {PASSWORD} or {TOKEN}");
            let error = json!({"code": "DENIED", "message": message});
            ("418 I am a teapot", String::new(), json!({"errors": [error]}).to_string())
        }
    };
    let answer = format!(
        "HTTP/1.1 {status}\r\n{header}Content-Type: application/json\r\nContent-Length: {}\r\n\
         Connection: close\r\n\r\n{body}",
        body.len()
    );
    let _ = stream.write_all(answer.as_bytes());
}

#[test]
fn what_a_server_throws_back_at_us_is_not_printed() {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    let dir = work_dir();
    let basic = STANDARD.encode(format!("robot:{PASSWORD}"));
    for bearer in [false, true] {
        let host = echoing(bearer);
        let authfile = dir.path().join("auth.json");
        let document = json!({"auths": {&host: {"auth": basic}}});
        fs::write(&authfile, document.to_string()).unwrap();
        let image = format!("{host}/app:1@{}", Digest::sha256_of(b"nothing"));
        for arguments in [
            &["convert", &image][..],
            &["verify", &image],
            &["probe", &image],
            &["inspect", &image],
        ] {
            for verbosity in ["--log=info", "-vv", "--log=trace"] {
                let output = program()
                    .args(arguments)
                    .arg(verbosity)
                    .arg("--authfile")
                    .arg(&authfile)
                    .output()
                    .unwrap();
                let printed = text(&output);
                assert!(!output.status.success(), "{printed}");
                assert!(printed.contains("DENIED: you sent"), "{arguments:?}: {printed}");
                let escaped = PASSWORD.replace('"', "\\\"");
                for secret in [PASSWORD, &escaped, &basic] {
                    assert!(!printed.contains(secret), "{arguments:?} {verbosity}: {printed}");
                }
                assert!(
                    !bearer || !printed.contains(TOKEN),
                    "{arguments:?} {verbosity}: {printed}"
                );
            }
        }
    }
}

/// Arguments that are refused, in the form that was asked for.
#[test]
fn what_is_wrong_with_arguments_is_said_in_the_form_that_was_asked_for() {
    let output = program().args(["--log-format", "json", "convert", "--bogus"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let lines: Vec<Value> = output
        .stderr
        .split(|byte| *byte == b'\n')
        .filter_map(|l| serde_json::from_slice(l).ok())
        .collect();
    assert_eq!(lines.len(), String::from_utf8_lossy(&output.stderr).lines().count());
    let message = lines[0]["message"].as_str().unwrap();
    assert!(
        lines[0]["level"] == "ERROR" && message.contains("unexpected argument '--bogus'"),
        "{message}"
    );

    let output = program().env("RECOMPRESS_OUTPUT", "json").output().unwrap();
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(document["error"]["message"], "missing command");

    let image = format!("quay.io/a@sha256:{}", "0".repeat(64));
    let mut command = program();
    command.args(["convert", &image]).env("RECOMPRESS_OUTPUT", "html");
    let said = text(&command.output().unwrap());
    assert!(said.contains("the environment variable RECOMPRESS_OUTPUT has this value"), "{said}");
    let said = text(&command.arg("--output=html").output().unwrap());
    assert!(said.contains("invalid value 'html'") && !said.contains("environment"), "{said}");
}

#[test]
fn help_that_cannot_be_printed_is_a_failure() {
    for arguments in [&["--help"][..], &["convert", "--help"], &["--version"]] {
        let full = fs::File::options().write(true).open("/dev/full").unwrap();
        let output = program().args(arguments).stdout(full).output().unwrap();
        assert_eq!(output.status.code(), Some(7), "{arguments:?}");
        assert!(text(&output).contains("cannot print"), "{}", text(&output));
    }
}

#[test]
fn an_empty_tmpdir_is_not_the_current_directory() {
    let dir = work_dir();
    let mut command = program();
    command.args(["verify", &good(dir.path()).reference()]).env("TMPDIR", "");
    // Nobody can create files there.
    let output = command.current_dir("/proc").output().unwrap();
    assert!(output.status.success(), "{}", text(&output));
}
