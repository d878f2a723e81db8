//! What `convert` does at its destination besides uploads: permission, tags, and reading back.

use std::{
    path::Path,
    process::Command,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use test_support::scripted::{Answer, Reaction, Request, answer};

use super::{
    fake::{Fake, Fault},
    peer::Peer,
    quick,
    sample::{Sample, convert, ends, run},
    token_server::{Rights, TokenServer},
};

/// A layout with an image of one small layer.
async fn layout(dir: &Path) -> String {
    let layout = format!("oci:{}:in", dir.join("layout").display());
    Sample::new(&[1000], 41).push(&layout, &quick()).await
}

fn with_results(mut command: Command, dir: &Path) -> Command {
    let results = dir.join("results");
    std::fs::create_dir_all(&results).unwrap();
    command.arg(format!("--results-dir={}", results.display())).arg("--probe=false");
    command
}

fn has_results(dir: &Path) -> bool {
    dir.join("results/IMAGE_DIGEST").exists()
}

fn is_tag(request: &Request, method: &str) -> bool {
    request.line.starts_with(&format!("{method} /v2/org/app/manifests/"))
        && !request.line.contains("/sha256:")
}

/// A registry whose tags cannot be changed: `refusal` is its answer to a PUT of one that exists.
fn immutable(refusal: impl Fn() -> Answer + Send + Sync + 'static) -> Fake {
    let tags = Mutex::new(Vec::new());
    let refuse: Fault = Box::new(move |request, _| {
        let mut tags = tags.lock().unwrap();
        if !is_tag(request, "PUT") {
            return None;
        }
        if tags.contains(&request.line) {
            return Some(refusal().into());
        }
        tags.push(request.line.clone());
        None
    });
    Fake { refuse: Some(refuse), ..Fake::default() }.taking_manifests()
}

/// Tags are immutable. A second run finds its own image, does not push the tag again unless it is to
/// expire, and writes the same results. A run that makes another image fails: the error says that the tag cannot be
/// changed and what it names, and there are no results.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_immutable_tag() {
    let dir = tempfile::tempdir().unwrap();
    let source = layout(dir.path()).await;
    for (status, code) in [(400, 6), (403, 3), (405, 6), (409, 6), (412, 6), (423, 6)] {
        let refusal = move || answer(status, &[], br#"{"errors":[{"code":"TAG_EXISTS"}]}"#);
        let (server, _) = immutable(refusal).start().await;
        let to = format!("{}:out", server.image());
        let results = dir.path().join("results/IMAGE_REF");
        let told = ends(&run(with_results(convert(&source, &to), dir.path())).await, 0, &[]);
        assert!(told.contains("\npublished ") && !told.contains("replaced"), "{told}");
        let first = std::fs::read_to_string(&results).unwrap();
        let before = server.requests("PUT").len();
        let again = run(with_results(convert(&source, &to), dir.path())).await;
        ends(&again, 0, &["already published "]);
        assert_eq!(std::fs::read_to_string(&results).unwrap(), first, "{status}");
        let puts = server.requests("PUT").split_off(before);
        assert!(!puts.iter().any(|request| is_tag(request, "PUT")), "{status}: {puts:?}");

        let mut other = with_results(convert(&source, &to), dir.path());
        other.arg("--compression-level=1");
        let (_, digest) = first.split_once('@').unwrap();
        ends(&run(other).await, code, &["refuses to change the tag", digest, "TAG_EXISTS"]);
        assert!(!has_results(dir.path()), "{status}");
    }
}

/// A tag that names another image is refused with 401: it is the credentials that the registry does
/// not accept, and the error does not blame the tag.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tag_that_others_may_change() {
    let dir = tempfile::tempdir().unwrap();
    let source = layout(dir.path()).await;
    let (server, _) = immutable(|| answer(401, &[], b"")).start().await;
    let to = format!("{}:out", server.image());
    ends(&run(with_results(convert(&source, &to), dir.path())).await, 0, &[]);
    let mut other = with_results(convert(&source, &to), dir.path());
    other.arg("--compression-level=1");
    let told = ends(&run(other).await, 3, &["not allowed to push to"]);
    assert!(!told.contains("change the tag"), "{told}");
    assert!(!has_results(dir.path()));
}

/// A tag that is to expire names the image already: it is pushed again, because registries that
/// delete tags after a while count from the last push.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tag_is_renewed() {
    let dir = tempfile::tempdir().unwrap();
    let source = layout(dir.path()).await;
    let (server, _) = Fake::default().taking_manifests().start().await;
    for runs in 1..=2 {
        let mut command = convert(&source, &format!("{}:out", server.image()));
        command.arg("--expires-after=5d");
        ends(&run(with_results(command, dir.path())).await, 0, &[]);
        let pushes = server.requests("PUT");
        let pushes = pushes.iter().filter(|request| is_tag(request, "PUT"));
        assert_eq!(pushes.count(), runs);
    }
}

/// A manifest that the registry has already is refused when it is pushed again by its digest: the
/// conversion succeeds, because it is there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_manifest_that_is_there_need_not_be_accepted_again() {
    let dir = tempfile::tempdir().unwrap();
    let source = layout(dir.path()).await;
    let seen = Mutex::new(Vec::new());
    let refuse: Fault = Box::new(move |request, _| {
        let mut seen = seen.lock().unwrap();
        if request.line.starts_with("PUT /v2/org/app/manifests/") && seen.contains(&request.line) {
            return Some(answer(409, &[], b"").into());
        }
        seen.push(request.line.clone());
        None
    });
    let fake = Fake { refuse: Some(refuse), ..Fake::default() }.taking_manifests();
    let (server, _) = fake.start().await;
    let to = format!("{}:out", server.image());
    for _ in 0..2 {
        ends(&run(with_results(convert(&source, &to), dir.path())).await, 0, &[]);
        assert!(has_results(dir.path()));
    }
}

/// The credentials may pull and not push, in three ways: the conversion ends with exit code 3
/// before a layer of the source is downloaded, and nothing remains open.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_missing_permission_to_push_is_found_before_the_work() {
    const RIGHTS: Rights = &[("", "", "org/app", &["pull"])];
    let dir = tempfile::tempdir().unwrap();
    let from = Peer::start();
    let source = format!("{}/org/app:in", from.host());
    let source = Sample::new(&[1000, 2000], 42).push(&source, &quick()).await;
    let tokens = TokenServer::start(RIGHTS, 300, Some(300)).await;
    let scoped = Peer::with_tokens(&tokens.realm(), &tokens.certificate);
    let refusing = |status| {
        let refuse: Fault = Box::new(move |request, _| {
            (request.method() == "POST").then(|| answer(status, &[], b"").into())
        });
        Fake { refuse: Some(refuse), ..Fake::default() }
    };
    let (denied, _) = refusing(403).start().await;
    let (unauthorized, _) = refusing(401).start().await;
    for to in [format!("{}/org/app", scoped.host()), denied.image(), unauthorized.image()] {
        let before = from.requests().len();
        let command = with_results(convert(&source, &format!("{to}:out")), dir.path());
        ends(&run(command).await, 3, &["not allowed to push to"]);
        let asked = from.requests().split_off(before);
        // The config is a blob, too.
        let blobs = asked.iter().filter(|request| request.contains("/blobs/")).count();
        assert!(blobs <= 1, "{to}: {asked:?}");
        assert!(!has_results(dir.path()), "{to}");
    }
    assert!(scoped.uploads().is_empty());
}

/// The registry begins an upload, and then takes no content: the error is about the upload, and not
/// about the check for permission that began it. Nothing remains open.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_that_the_check_began_and_that_fails() {
    let dir = tempfile::tempdir().unwrap();
    let source = layout(dir.path()).await;
    let refuse: Fault = Box::new(|request, _| {
        let is_blob = request.line.contains("/blobs/") && request.method() == "PUT";
        is_blob.then(|| answer(400, &[], b"").into())
    });
    let (server, held) =
        Fake { refuse: Some(refuse), ..Fake::default() }.taking_manifests().start().await;
    let command = with_results(convert(&source, &format!("{}:out", server.image())), dir.path());
    let told = ends(&run(command).await, 6, &["upload of blob sha256:", "returned 400"]);
    assert!(!told.contains("permission"), "{told}");
    assert_eq!(held.lock().unwrap().open(), 0);
}

/// HEAD finds a layer that GET does not: it is taken to be there, but not published as such. The
/// run ends with exit code 6, names the blob, and writes no results.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_blob_that_only_head_finds() {
    let dir = tempfile::tempdir().unwrap();
    let source = layout(dir.path()).await;
    let refuse: Fault = Box::new(|request, _| {
        let is_blob = request.line.contains("/blobs/sha256:");
        (is_blob && request.method() == "GET").then(|| answer(404, &[], b"").into())
    });
    let (server, _) =
        Fake { refuse: Some(refuse), ..Fake::default() }.taking_manifests().start().await;
    let command = with_results(convert(&source, &format!("{}:out", server.image())), dir.path());
    ends(&run(command).await, 6, &["was pushed, but the registry does not serve its blob sha256:"]);
    assert!(!has_results(dir.path()));
}

/// Manifests, the tag and blobs are not visible at first after they were written: the client looks
/// again, and the conversion succeeds.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_is_visible_late() {
    const LATE: usize = 2;
    let dir = tempfile::tempdir().unwrap();
    let source = layout(dir.path()).await;
    let (written, looks) = (AtomicUsize::new(0), Mutex::new(Vec::<String>::new()));
    let refuse: Fault = Box::new(move |request, _| -> Option<Reaction> {
        if is_tag(request, "PUT") {
            written.fetch_add(1, Ordering::SeqCst);
        }
        if request.method() != "GET" || written.load(Ordering::SeqCst) == 0 {
            return None;
        }
        let mut looks = looks.lock().unwrap();
        let before = looks.iter().filter(|line| **line == request.line).count();
        looks.push(request.line.clone());
        (before < LATE).then(|| answer(404, &[], b"").into())
    });
    let (server, _) =
        Fake { refuse: Some(refuse), ..Fake::default() }.taking_manifests().start().await;
    let command = with_results(convert(&source, &format!("{}:out", server.image())), dir.path());
    let told = ends(&run(command).await, 0, &["is not visible in"]);
    assert!(!told.contains("faulty"), "{told}");
    assert!(has_results(dir.path()));
}

/// An image of many layers: the requests that read it back are under way at the same time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_layers_are_read_back_side_by_side() {
    let dir = tempfile::tempdir().unwrap();
    let layout = format!("oci:{}:in", dir.path().join("layout").display());
    let source = Sample::new(&[100; 24], 43).push(&layout, &quick()).await;
    // The first look at each blob says "later". One after the other would wait for each.
    let seen = Arc::new(Mutex::new(Vec::<String>::new()));
    let order = Arc::clone(&seen);
    let refuse: Fault = Box::new(move |request, _| {
        let is_look = request.method() == "GET" && request.line.contains("/blobs/sha256:");
        let mut seen = order.lock().unwrap();
        let is_first = is_look && !seen.contains(&request.line);
        seen.extend(is_look.then(|| request.line.clone()));
        is_first.then(|| answer(404, &[], b"").into())
    });
    let (server, _) =
        Fake { refuse: Some(refuse), ..Fake::default() }.taking_manifests().start().await;
    let command = with_results(convert(&source, &format!("{}:out", server.image())), dir.path());
    ends(&run(command).await, 0, &[]);
    let seen = seen.lock().unwrap();
    let repeats = |at: &usize| seen[..*at].contains(&seen[*at]);
    let first_repeat = (0..seen.len()).find(repeats).unwrap();
    assert!(first_repeat >= 4, "blob after blob: {seen:?}");
}

/// The tag names another image: it is replaced, and the report says what it named.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tag_that_is_replaced_is_reported() {
    let dir = tempfile::tempdir().unwrap();
    let source = layout(dir.path()).await;
    let peer = Peer::start();
    let to = format!("{}/org/app:out", peer.host());
    let old = Sample::new(&[500], 44).push(&to, &quick()).await;
    let (_, old) = old.split_once('@').unwrap();
    let output = run(with_results(convert(&source, &to), dir.path())).await;
    ends(&output, 0, &[&format!("replaced {old}, which the tag named before\n"), "\npublished "]);
}
