//! registries.conf: which of several registries is asked, by the program and by skopeo with the same
//! file.

use std::{fs, process::Command};

use test_support::scripted::{Scripted, answer};

use super::{
    peer::{Peer, free_port, make_certificate},
    quick,
    sample::{Sample, convert, ends, program, run, text},
};

/// A name that no registry has: only a configuration leads anywhere.
const NAME: &str = "registry.test/org";

/// Two registries, a port without one, and a folder for configuration.
struct Scene {
    mirror: Peer,
    origin: Peer,
    down: String,
    home: tempfile::TempDir,
    sample: Sample,
}

impl Scene {
    /// Both registries have `app`; only the origin has `rare`.
    async fn new() -> Self {
        let (mirror, origin) = (Peer::start(), Peer::start());
        let sample = Sample::new(&[1000], 7);
        for image in [
            format!("{}/org/app:1", mirror.host()),
            format!("{}/org/app:1", origin.host()),
            format!("{}/org/rare:1", origin.host()),
        ] {
            sample.push(&image, &quick()).await;
        }
        let (down, home) = (format!("127.0.0.1:{}", free_port()), tempfile::tempdir().unwrap());
        Self { mirror, origin, down, home, sample }
    }

    /// The text with the names of the registries. Loopback is nothing special to skopeo, so all of
    /// them are insecure.
    fn fill(&self, text: &str) -> String {
        text.replace("MIRROR", &self.mirror.host())
            .replace("ORIGIN", &self.origin.host())
            .replace("DOWN", &self.down)
            .replace("DIGEST", self.sample.manifest.digest.as_str())
            .replace("NAME", NAME)
    }

    /// Writes a file below the folder that takes the place of HOME.
    fn write(&self, path: &str, text: &str) -> String {
        let file = self.home.path().join(path);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(&file, self.fill(text)).unwrap();
        file.display().to_string()
    }

    /// Runs a command, and returns whether it succeeded, what it printed, and the manifests that the
    /// registries were asked for.
    async fn observe(&self, mut command: Command) -> (bool, String, Vec<String>) {
        let manifests = || {
            [("mirror", &self.mirror), ("origin", &self.origin)].map(|(name, peer)| {
                let requests = peer.requests().into_iter();
                requests.map(|line| format!("{name}: {line}")).collect::<Vec<_>>()
            })
        };
        let before = manifests().map(|lines| lines.len());
        command.env("HOME", self.home.path()).env_remove("XDG_CONFIG_HOME");
        let output = run(command).await;
        let mut seen = Vec::new();
        for (lines, before) in manifests().into_iter().zip(before) {
            seen.extend(lines.into_iter().skip(before).filter(|line| line.contains("/manifests/")));
        }
        seen.dedup();
        (output.status.success(), text(&output), seen)
    }

    /// Has the program and skopeo read an image. Both have to ask for the same manifests.
    async fn read(&self, case: &str, image: &str, conf: Option<&str>) -> (bool, String, String) {
        let mut ours = program();
        ours.args(["inspect", &self.fill(image)]);
        let mut skopeo = Command::new("skopeo");
        skopeo.arg("--insecure-policy").env_remove("REGISTRY_AUTH_FILE");
        if let Some(conf) = conf {
            let file = self.write("named.conf", conf);
            ours.args(["--registries-conf", &file]);
            skopeo.args(["--registries-conf", &file]);
        }
        skopeo.args(["inspect", "--raw", &format!("docker://{}", self.fill(image))]);
        let (success, text, seen) = self.observe(ours).await;
        let (skopeo_success, skopeo_text, skopeo_seen) = self.observe(skopeo).await;
        assert_eq!(
            (success, &seen),
            (skopeo_success, &skopeo_seen),
            "{case}: ours, and that of skopeo:\n{text}\n{skopeo_text}"
        );
        let status = |line: &String| {
            let (name, status) =
                (line.split(':').next().unwrap(), line.rsplit(' ').next().unwrap());
            format!("{name} {status}")
        };
        (success, seen.iter().map(status).collect::<Vec<_>>().join(", "), text)
    }
}

/// docker-registry as mirror and as origin, one or both without the image, or not there: the client
/// asks in the order of registries.conf, and the same ones as skopeo. If all fail, the error names
/// each.
#[tokio::test]
async fn sources_are_tried_in_the_order_of_skopeo() {
    let scene = Scene::new().await;
    let table = |keys: &str, mirror: &str| {
        format!(
            "[[registry]]\nprefix = 'NAME'\nlocation = 'ORIGIN/org'\ninsecure = true\n{keys}\n\
             [[registry.mirror]]\nlocation = '{mirror}/org'\ninsecure = true\n"
        )
    };
    let usual = table("", "MIRROR");
    let only = |when: &str| format!("{usual}pull-from-mirror = '{when}'\n");
    let by_digest = table("mirror-by-digest-only = true", "MIRROR");
    // As OpenShift writes a source that must never be contacted.
    let never = "[[registry]]\nprefix = ''\nlocation = 'ORIGIN/org'\nblocked = true\n\
        [[registry.mirror]]\nlocation = 'MIRROR/org'\ninsecure = true\n\
        pull-from-mirror = 'digest-only'\n";
    let both = |first: &str, second: &str| format!("{first}\n{second}");
    let blocked = "[[registry]]\nlocation = 'ORIGIN'\nblocked = true\ninsecure = true\n";
    let wildcard =
        "[[registry]]\nprefix = '*.example.test'\nlocation = 'ORIGIN/org'\ninsecure = true\n";
    let longer =
        "[[registry]]\nprefix = 'NAME/app'\nlocation = 'MIRROR/org/app'\ninsecure = true\n";
    let same = "[[registry]]\nlocation = 'ORIGIN'\ninsecure = true\n";
    for (case, conf, image, expected) in [
        ("a mirror has it", &usual, "NAME/app:1", Ok("mirror 200")),
        ("the mirror lacks it", &usual, "NAME/rare:1", Ok("mirror 404, origin 200")),
        ("nobody has it", &usual, "NAME/none:1", Err("mirror 404, origin 404")),
        ("the mirror is down", &table("", "DOWN"), "NAME/app:1", Ok("origin 200")),
        ("not for tags", &only("digest-only"), "NAME/app:1", Ok("origin 200")),
        ("for digests", &only("digest-only"), "NAME/app@DIGEST", Ok("mirror 200")),
        ("not for digests", &only("tag-only"), "NAME/app@DIGEST", Ok("origin 200")),
        ("for tags", &only("tag-only"), "NAME/app:1", Ok("mirror 200")),
        ("for all", &only("all"), "NAME/app@DIGEST", Ok("mirror 200")),
        ("by digest, with a tag", &by_digest, "NAME/app:1", Ok("origin 200")),
        ("by digest, with a digest", &by_digest, "NAME/app@DIGEST", Ok("mirror 200")),
        ("only a mirror", &never.to_owned(), "ORIGIN/org/app@DIGEST", Ok("mirror 200")),
        (
            "only a mirror, without it",
            &never.to_owned(),
            "ORIGIN/org/rare@DIGEST",
            Err("mirror 404"),
        ),
        ("only a mirror, not for tags", &never.to_owned(), "ORIGIN/org/app:1", Err("")),
        ("blocked", &blocked.to_owned(), "ORIGIN/org/app:1", Err("")),
        (
            "a mirror is blocked",
            &both(&usual, &blocked.replace("ORIGIN", "MIRROR")),
            "NAME/app:1",
            Ok("origin 200"),
        ),
        ("subdomains", &wildcard.to_owned(), "a.b.example.test/app:1", Ok("origin 200")),
        ("the longest prefix", &both(&usual, longer), "NAME/app:1", Ok("mirror 200")),
        (
            "whole segments",
            &both(&usual, &longer.replace("app", "ap")),
            "NAME/app:1",
            Ok("mirror 200"),
        ),
        ("its own name", &same.to_owned(), "ORIGIN/org/app:1", Ok("origin 200")),
    ] {
        let (success, seen, text) = scene.read(case, image, Some(conf)).await;
        let result = if success { Ok(&*seen) } else { Err(&*seen) };
        assert_eq!(result, expected, "{case}: {text}");
        // That a mirror lacks an image is nothing to warn of.
        assert!(!text.contains("cannot use the mirror") || !seen.contains("404"), "{case}: {text}");
        if case == "only a mirror, without it" {
            assert!(text.contains("exit status: 6") && text.contains(" (not found): "), "{text}");
        }
        let hint = text.contains("its mirrors are for digests only: name the image by digest");
        assert_eq!(hint, case == "only a mirror, not for tags", "{case}: {text}");
        for part in seen.split(", ").filter(|_| !success && !seen.is_empty()) {
            let host = scene.fill(&part[..6].to_uppercase());
            let last = text.trim_end().lines().last().unwrap();
            assert!(last.contains(&host), "{case}: {text}");
        }
        // That there is nothing but a mirror is no reason to blame access.
        assert!(seen != "mirror 404" || text.contains("exit status: 6"), "{text}");
        if expected == Err("") {
            assert!(text.contains("blocked in ") && text.contains("exit status: 3"), "{text}");
        }
        if success {
            assert!(text.contains(&scene.fill(image)), "the name that was given: {text}");
        }
    }
}

/// A main file in HOME, and drop-ins: the last by name that has the prefix replaces the whole entry,
/// for the client as for skopeo. With a file that is named, drop-ins still count.
#[tokio::test]
async fn drop_ins_override_the_main_file() {
    let scene = Scene::new().await;
    let entry = |location: &str| {
        format!("[[registry]]\nprefix = 'NAME'\nlocation = '{location}/org'\ninsecure = true\n")
    };
    scene.write(".config/containers/registries.conf", &entry("DOWN"));
    scene.write(".config/containers/registries.conf.d/90.conf", &entry("ORIGIN"));
    scene.write(".config/containers/registries.conf.d/10.conf", &entry("DOWN"));
    scene.write(".config/containers/registries.conf.d/99.ignored", &entry("DOWN"));
    let (_, seen, text) = scene.read("a drop-in", "NAME/app:1", None).await;
    assert_eq!(seen, "origin 200", "{text}");
    let named = entry("MIRROR");
    let (_, seen, text) = scene.read("a drop-in and a file", "NAME/app:1", Some(&named)).await;
    assert_eq!(seen, "origin 200", "{text}");
    // skopeo 1.9 does not read the variable yet; podman does.
    let file = scene.write("only.conf", &named);
    let mut command = program();
    let image = scene.fill("NAME/app:1");
    command.args(["inspect", &image]).env("CONTAINERS_REGISTRIES_CONF", &file);
    let (_, text, seen) = scene.observe(command).await;
    assert!(seen.len() == 1 && seen[0].starts_with("mirror: "), "{seen:?} {text}");
}

/// A file that does not exist, that is malformed or of version 1: an error with file and line before
/// any request. skopeo refuses the first two as well.
#[tokio::test]
async fn unusable_files_are_errors() {
    let scene = Scene::new().await;
    let image = scene.fill("ORIGIN/org/app:1");
    for (conf, words) in [
        (None, "does not exist; check --registries-conf"),
        (Some("[[registry]]\nlocation = 'x.test'\ninsecure = 1\n"), "named.conf, line 3: "),
        (Some("\n[registries.block]\nregistries = ['x.test']\n"), "named.conf, line 2: version 1"),
    ] {
        let missing = scene.home.path().join("missing.conf").display().to_string();
        let file = conf.map_or(missing, |text| scene.write("named.conf", text));
        let mut command = program();
        command.args(["inspect", &image, "--registries-conf", &file]);
        let (success, text, seen) = scene.observe(command).await;
        assert!(!success && seen.is_empty() && text.contains(words), "{words}: {text}");
        assert!(text.contains("exit status: 7") && text.contains(&file), "{text}");
    }
}

/// A registry with a certificate that nobody trusts: `insecure` lets it be read, as in skopeo, unless
/// `--tls-verify` is given; it counts only for the endpoint that has it.
#[tokio::test]
async fn insecure_counts_for_one_endpoint_and_not_against_the_option() {
    let peer = Peer::with_tls();
    let options = recompress_image::store::AccessOptions { tls_verify: false, ..quick() };
    let image = format!("{}/org/app:1", peer.host());
    Sample::new(&[1000], 8).push(&image, &options).await;
    let file = peer.file("registries.conf");
    let (host, given) = (peer.host(), "--tls-verify=true");
    // With a certificate for it, there is TLS on loopback, too; this one is of somebody else.
    let certificates = peer.file("certificates");
    fs::create_dir(&certificates).unwrap();
    make_certificate(&certificates.join("other.crt"), &peer.file("other.key"), None);
    let secure = format!("[[registry]]\nlocation = '{host}'\n");
    let insecure = format!("{secure}insecure = true\n");
    let of_another = format!("{secure}[[registry.mirror]]\nlocation = 'DOWN'\ninsecure = true\n")
        .replace("DOWN", &format!("127.0.0.1:{}", free_port()));
    for (case, conf, option, expected) in [
        ("insecure", &insecure, None, true),
        ("insecure, and verified all the same", &insecure, Some(given), false),
        ("secure", &secure, None, false),
        ("secure, and not verified", &secure, Some("--tls-verify=false"), true),
        ("another one is insecure", &of_another, None, false),
    ] {
        fs::write(&file, conf).unwrap();
        let mut ours = program();
        ours.args(["inspect", &image, "--registries-conf"]).arg(&file).args(option);
        ours.arg("--cert-dir").arg(&certificates);
        let mut skopeo = Command::new("skopeo");
        skopeo.arg("--registries-conf").arg(&file).args(["inspect", "--raw"]).args(option);
        skopeo.arg("--cert-dir").arg(&certificates).arg(format!("docker://{image}"));
        let (ours, skopeo) = (run(ours).await, run(skopeo).await);
        let successes = (ours.status.success(), skopeo.status.success());
        assert_eq!(successes, (expected, expected), "{case}: {} {}", text(&ours), text(&skopeo));
        assert!(
            expected || text(&ours).contains("TLS handshake failed"),
            "{case}: {}",
            text(&ours)
        );
    }
}

/// A mirror serves another manifest than that of the digest: the client takes the next source.
#[tokio::test]
async fn a_mirror_with_wrong_content_is_passed_over() {
    let scene = Scene::new().await;
    let wrong = Sample::new(&[1000], 9).manifest;
    let liar = Scripted::start(move |request, _| {
        let kind = format!("Content-Type: {}", wrong.media_type);
        if request.line.contains("/manifests/") {
            answer(200, &[&kind], &wrong.bytes)
        } else {
            answer(200, &[], b"")
        }
    })
    .await;
    let conf = format!(
        "[[registry]]\nprefix = 'NAME'\nlocation = 'ORIGIN/org'\n\
         [[registry.mirror]]\nlocation = '{}/org'\n",
        liar.host
    );
    let file = scene.write("named.conf", &conf);
    let mut command = program();
    command.args(["inspect", &scene.fill("NAME/app@DIGEST"), "--registries-conf", &file]);
    let (success, text, seen) = scene.observe(command).await;
    assert!(success && text.contains("wrong content") && text.contains(&liar.host), "{text}");
    assert!(seen.iter().all(|line| line.starts_with("origin: ")) && !seen.is_empty(), "{seen:?}");
    assert!(!liar.requests("GET").is_empty());
}

/// A mirror wants a password: it gets that of its own name, and never that of the name which the
/// user gave.
#[tokio::test]
async fn a_mirror_gets_its_own_credentials() {
    let peer = Peer::with_password();
    let entry = |user: &str| {
        use base64::{Engine as _, prelude::BASE64_STANDARD};
        serde_json::json!({ "auth": BASE64_STANDARD.encode(user) })
    };
    let authfile = peer.file("auth.json");
    let (own, foreign) = (entry("tester:correct horse"), entry("somebody:foreign horse"));
    let auths = serde_json::json!({ "auths": { peer.host(): own, "registry.test": foreign } });
    fs::write(&authfile, auths.to_string()).unwrap();
    let options =
        recompress_image::store::AccessOptions { authfile: Some(authfile.clone()), ..quick() };
    let sample = Sample::new(&[1000], 10);
    sample.push(&format!("{}/org/app:1", peer.host()), &options).await;
    // It wants a password, too, and there is none for it.
    let curious =
        Scripted::start(|_, _| answer(401, &["WWW-Authenticate: Basic realm=\"test\""], b"")).await;
    let conf = peer.file("registries.conf");
    let text = format!(
        "[[registry]]\nlocation = 'registry.test'\nblocked = true\n\
         [[registry.mirror]]\nlocation = '{}'\n[[registry.mirror]]\nlocation = '{}'\n",
        curious.host,
        peer.host()
    );
    fs::write(&conf, text).unwrap();
    let mut command = program();
    command.args(["inspect", "registry.test/org/app:1", "--authfile"]).arg(&authfile);
    command.arg("--registries-conf").arg(&conf);
    ends(&run(command).await, 0, &["registry.test/org/app:1"]);
    // What is typed is for the name that was typed.
    let mut command = program();
    command.args(["inspect", "registry.test/org/app:1", "--creds", "tester:correct horse"]);
    command.arg("--registries-conf").arg(&conf);
    ends(&run(command).await, 3, &["registry.test is blocked", &curious.host, &peer.host()]);
    let asked = curious.requests("GET");
    assert!(asked.len() >= 2, "the first mirror is asked each time");
    for request in asked {
        assert_eq!(request.header("authorization"), "", "{}", request.line);
    }
}

/// docker-registry as the location of another name, and as a mirror: the client mounts blobs only
/// from the repository that it reads. A push goes to the name that was given, and reports keep the
/// names.
#[tokio::test]
async fn conversions_mount_from_where_they_read_and_push_where_they_are_told() {
    let scene = Scene::new().await;
    let converted = |conf: &str, source: &str, destination: &str| {
        let file = scene.write("named.conf", conf);
        let (source, destination) = (scene.fill(source), scene.fill(destination));
        let mut command = convert(&source, &destination);
        command.args(["-v", "--output", "json", "--registries-conf", &file]);
        command
    };
    let mounts = |peer: &Peer| {
        let requests = peer.requests().into_iter().filter(|line| line.contains("mount="));
        requests.collect::<Vec<_>>()
    };
    let moved = "[[registry]]\nprefix = 'NAME'\nlocation = 'ORIGIN/org'\n";
    let output = run(converted(moved, "NAME/app:1@DIGEST", "ORIGIN/new/a:1")).await;
    let text = ends(&output, 0, &["registry.test/org/app:1@", "from its location "]);
    let seen = mounts(&scene.origin);
    assert!(seen.len() == 1 && seen[0].contains("from=org%2Fapp"), "{seen:?} {text}");
    assert!(seen[0].ends_with(" 201"), "{seen:?}");

    let mirrored = "[[registry]]\nlocation = 'ORIGIN/org'\n[[registry.mirror]]\nlocation = 'MIRROR/org'\n\
         [[registry]]\nprefix = 'ORIGIN/new'\nlocation = 'MIRROR/elsewhere'\n\
         [[registry.mirror]]\nlocation = 'MIRROR/mirror'\n";
    let output = run(converted(mirrored, "ORIGIN/org/app:1@DIGEST", "ORIGIN/new/b:1")).await;
    let text = ends(&output, 0, &[&scene.fill("ORIGIN/new/b:1"), "from its mirror "]);
    assert_eq!(mounts(&scene.origin).len(), 1, "no more than before: {text}");
    assert!(mounts(&scene.mirror).is_empty(), "{text}");
    let pushed = scene.origin.requests();
    assert!(pushed.iter().any(|line| line.starts_with("PUT /v2/new/b/manifests/1 ")), "{pushed:?}");
    // With the name of the source, the mirror's layers are not yet there.
    let output = run(converted(mirrored, "ORIGIN/org/app:1@DIGEST", "ORIGIN/org/app:2")).await;
    ends(&output, 0, &[]);

    let blocked = "[[registry]]\nprefix = 'ORIGIN/new'\nlocation = 'ORIGIN/new'\nblocked = true\n";
    let before = scene.origin.requests().len();
    let output = run(converted(blocked, "MIRROR/org/app:1@DIGEST", "ORIGIN/new/c:1")).await;
    ends(&output, 3, &[&scene.fill("registry ORIGIN/new is blocked in ")]);
    assert_eq!(scene.origin.requests().len(), before);
}
