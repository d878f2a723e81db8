//! The tag of the source at registries: read before it is moved, by whatever name the registry has.

use test_support::scripted::answer;

use super::{
    fake::{Fake, Fault},
    peer::Peer,
    quick,
    sample::{Sample, convert, ends, run},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_name_of_the_registry_is_the_same_tag() {
    let peer = Peer::start();
    let sample = Sample::new(&[1000], 91);
    let place = format!("{}/org/app", peer.host());
    let source = sample.push(&format!("{place}:1"), &quick()).await;
    let other = sample.named(&format!("{place}:none"));
    let pushed = peer.count("PUT", 201);
    for place in [place.clone(), place.replace("127.0.0.1", "localhost")] {
        let to = format!("{place}:1");
        for (from, more) in [(&source, None), (&other, None), (&source, Some("--dry-run"))] {
            let mut command = convert(from, &to);
            command.args(more);
            ends(&run(command).await, 2, &["names the source", "--in-place"]);
        }
    }
    assert_eq!(peer.count("PUT", 201), pushed, "{:?}", peer.requests());
}

/// A tag that cannot be read may be the source's. The run would fail at the end all the same, when it
/// reads the tag back.
#[tokio::test]
async fn a_tag_that_cannot_be_read_is_not_moved() {
    for (status, code) in [(400, 6), (403, 3), (405, 6)] {
        let refuse: Fault = Box::new(move |request, _| {
            let is_tag = request.line == "GET /v2/org/app/manifests/1";
            is_tag.then(|| answer(status, &[], b"").into())
        });
        let fake = Fake { refuse: Some(refuse), ..Fake::default() }.taking_manifests();
        let (server, held) = fake.start().await;
        let dir = tempfile::tempdir().unwrap();
        let layout = format!("oci:{}:1", dir.path().display());
        Sample::new(&[1000], 92).push(&layout, &quick()).await;
        let to = format!("{}/org/app:1", server.host);
        for dry in [None, Some("--dry-run")] {
            let mut command = convert(&layout, &to);
            command.args(dry);
            ends(&run(command).await, code, &["cannot publish to", &to]);
        }
        assert!(held.lock().unwrap().blobs.is_empty());
    }
}
