//! What is attached to an image that is read from a mirror.

use std::fs;

use super::{
    peer::Peer,
    quick,
    sample::{Sample, convert, ends, run},
};

/// docker-registry as a mirror: it is asked for what is attached to an image, which tags and lists
/// name, only if it is not a mirror for digests alone. Otherwise the registry itself is asked, and if
/// that is blocked, the run says so and goes on.
#[tokio::test]
async fn a_mirror_for_digests_does_not_say_what_is_attached() {
    let (mirror, origin) = (Peer::start(), Peer::start());
    let sample = Sample::new(&[1000], 53);
    for peer in [&mirror, &origin] {
        sample.push(&format!("{}/org/app:1", peer.host()), &quick()).await;
    }
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("registries.conf");
    let source = sample.named(&format!("{}/org/app", origin.host()));
    for (of_registry, of_mirror, asked, words) in [
        ("", "", Some(0), ""),
        ("", "pull-from-mirror = 'all'", Some(0), ""),
        ("", "pull-from-mirror = 'digest-only'", Some(1), ""),
        ("mirror-by-digest-only = true", "", Some(1), ""),
        ("mirror-by-digest-only = true\nblocked = true", "", None, "is blocked in"),
    ] {
        let conf = format!(
            "[[registry]]\nlocation = '{}'\n{of_registry}\n[[registry.mirror]]\n\
             location = '{}'\n{of_mirror}\n",
            origin.host(),
            mirror.host()
        );
        fs::write(&file, &conf).unwrap();
        let before = [&mirror, &origin].map(|peer| peer.requests().len());
        let to = format!("oci:{}:out", dir.path().join("layout").display());
        let mut command = convert(&source, &to);
        command.args(["--sbom=copy", "--registries-conf", &file.display().to_string()]);
        ends(&run(command).await, 0, &[words]);
        let is_about_names =
            |line: &String| line.contains("/manifests/sha256-") || line.contains("/referrers/");
        for (number, peer) in [&mirror, &origin].into_iter().enumerate() {
            let requests = peer.requests().split_off(before[number]);
            let is_asked = asked == Some(number);
            assert_eq!(requests.iter().any(is_about_names), is_asked, "{conf}: {requests:?}");
        }
    }
}
