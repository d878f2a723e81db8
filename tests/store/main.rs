//! The stores against real and misbehaving registries; README.md lists the scenarios. A binary of its
//! own, because hack/soak runs parts of it for a long time, with settings for the whole process.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stderr, clippy::print_stdout)]

mod answers;
mod broken;
mod chunks;
mod commits;
mod compared;
mod contact;
mod credentials;
mod digest;
mod documents;
mod downloads;
mod dry_run;
mod ends;
mod fake;
mod faults;
mod fronted;
mod heads;
mod in_place;
mod inspected;
mod lag;
mod layout;
mod limits;
mod mirrored_names;
mod moods;
mod nginx;
mod origins;
mod parts;
mod peer;
mod probe;
mod probe_after_push;
mod proxied;
mod proxy;
mod publish;
mod pull_push;
mod registries_conf;
mod retries;
mod reuse;
mod sample;
mod schemes;
mod secured;
mod signals;
mod soak;
mod terminal;
mod token_server;
mod tokens;
mod trust;
mod tunnel;
mod uploads;
mod verdicts;

use std::time::Duration;

use recompress_image::{
    image::media_type::OCI_MANIFEST,
    store::{AccessOptions, Intent, Patience, RawManifest, Store, StoreError},
};

/// A small manifest; `name` makes it unique.
fn manifest(name: &str) -> RawManifest {
    let document = serde_json::json!({
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": { "mediaType": "application/vnd.oci.empty.v1+json", "digest": EMPTY_JSON, "size": 2 },
        "layers": [],
        "annotations": { "name": name },
    });
    RawManifest::new(document.to_string(), OCI_MANIFEST)
}

/// The digest of `{}`.
const EMPTY_JSON: &str = "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a";

async fn open(image: &str, intent: Intent, options: &AccessOptions) -> Result<Store, StoreError> {
    Store::open(&image.parse().unwrap(), intent, options).await
}

/// An error with all its causes, as the command prints it.
fn told(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

/// Options for registries in trouble: nothing is waited for longer than a test should take.
fn quick() -> AccessOptions {
    let patience = Patience {
        tries: 5,
        first_delay: Duration::from_millis(2),
        idle: Duration::from_secs(2),
        commit: Duration::from_secs(4),
        lag: Duration::from_millis(500),
    };
    AccessOptions { patience, ..AccessOptions::default() }
}
