//! The reader of image documents next to one that is written in Go: whatever is accepted must be
//! the same image for both.

mod evil;
mod go;
mod json;
mod memory;
mod mutate;
mod seen;
mod valid;

use std::{
    collections::BTreeMap,
    panic::{self, UnwindSafe},
};

use fastrand::Rng;
use recompress_image::image::{
    BlobId, Digest,
    manifest::NewLayer,
    media_type::{Family, Suffix},
};
use test_support::need;

use self::{
    go::GoReader,
    json::{Json, Kind},
    seen::{Accepted, accept},
};

/// Documents that are made; set `RECOMPRESS_DOCUMENTS` for more.
const COUNT: usize = 30_000;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|value| value.parse().unwrap())
}

/// The source of all that is random, and how many documents to make of it.
fn randomness() -> (Rng, usize) {
    let seed = number("RECOMPRESS_SEED").unwrap_or_else(|| fastrand::u64(..));
    println!("to repeat it: RECOMPRESS_SEED={seed}");
    let count = number("RECOMPRESS_DOCUMENTS").map_or(COUNT, |n| usize::try_from(n).unwrap());
    (Rng::with_seed(seed), count)
}

/// Makes a document, and says whether it was changed.
fn generate(rng: &mut Rng) -> (Kind, Vec<u8>, bool) {
    let kind = rng.choice(Kind::ALL).unwrap();
    let mut document = Json::of(&valid::document(kind, rng));
    let other_kind = rng.choice(Kind::ALL).unwrap();
    let other = Json::of(&valid::document(other_kind, rng));
    let changes = rng.choice([0, 1, 1, 1, 2, 3]).unwrap();
    for _ in 0..changes {
        mutate::change(&mut document, &other, rng);
    }
    let spaced = rng.bool();
    let mut bytes = document.write(&mut spaced.then_some(&mut *rng)).into_bytes();
    let damaged = rng.u8(..10) == 0;
    if damaged {
        mutate::damage(&mut bytes, rng);
    }
    (kind, bytes, changes > 0 || damaged)
}

/// The manifest that this program makes of one that it accepts.
fn converted(accepted: &Accepted) -> Option<Vec<u8>> {
    let Accepted::Manifest(manifest) = accepted else { return None };
    let blobs: Vec<_> = (0..manifest.layers.len())
        .map(|number| {
            let blob = BlobId { digest: Digest::sha256_of(&number.to_be_bytes()), size: 7 };
            let annotations = vec![("toc", "here".to_owned())];
            (number % 2 == 0).then_some(NewLayer { blob, suffix: Suffix::Zstd, annotations })
        })
        .collect();
    let manifest = (**manifest).clone();
    manifest.with_layers(Family::Oci, &blobs, &[("from", "there".to_owned())]).ok().map(|it| it.0)
}

/// Shows the document that a check failed on.
fn showing(bytes: &[u8], check: impl FnOnce() + UnwindSafe) {
    if let Err(panic) = panic::catch_unwind(check) {
        eprintln!("the document was:\n{}", String::from_utf8_lossy(bytes));
        panic::resume_unwind(panic);
    }
}

#[test]
fn go_sees_the_same_in_what_is_accepted() {
    let test = "go_sees_the_same_in_what_is_accepted";
    let Some(reader) = need(test, GoReader::build()) else { return };
    let (mut rng, count) = randomness();
    let documents: Vec<_> = (0..count).map(|_| generate(&mut rng)).collect();
    let mut batch = Vec::new();
    let mut counts = BTreeMap::<_, usize>::new();
    let (mut only_go, mut written) = (0, 0);
    for (kind, bytes, changed) in documents {
        let accepted = accept(kind, &bytes);
        if let Err(error) = &accepted {
            let shown = String::from_utf8_lossy(&bytes);
            assert!(changed, "a valid {} is refused: {error}\n{shown}", kind.name());
        }
        *counts.entry((kind.name(), changed, accepted.is_ok())).or_default() += 1;
        let made = accepted.as_ref().ok().and_then(converted);
        batch.push((kind, bytes, accepted));
        if let Some(made) = made {
            written += 1;
            let accepted = accept(kind, &made);
            assert!(accepted.is_ok(), "{}", String::from_utf8_lossy(&made));
            batch.push((kind, made, accepted));
        }
    }
    let answers = reader.read(batch.iter().map(|(kind, bytes, _)| (*kind, &**bytes)));
    assert_eq!(answers.len(), batch.len());
    for ((_, bytes, accepted), go) in batch.iter().zip(&answers) {
        match accepted {
            Ok(accepted) => {
                let accepted = panic::AssertUnwindSafe(accepted);
                showing(bytes, move || accepted.check(bytes, go));
            }
            Err(_) => only_go += usize::from(go.get("error").is_none()),
        }
    }
    for ((kind, changed, accepted), count) in &counts {
        let state = if *changed { "changed" } else { "valid" };
        let verdict = if *accepted { "accepted" } else { "refused" };
        println!("{kind}, {state}, {verdict}: {count}");
    }
    println!("of the refused, Go takes {only_go}; written and read again: {written}");
    for kind in Kind::ALL {
        for accepted in [true, false] {
            let found = counts.get(&(kind.name(), true, accepted)).copied().unwrap_or_default();
            assert!(found > count / 50, "too few to mean anything: {counts:?}");
        }
    }
    assert!(written > count / 50, "too few to mean anything: {written}");
}

#[test]
fn every_document_has_its_properties() {
    let (mut rng, count) = randomness();
    for _ in 0..count / 2 {
        let (_, bytes, _) = generate(&mut rng);
        showing(&bytes, || properties::documents::check(&bytes));
    }
}

#[test]
fn no_bytes_make_the_readers_panic() {
    let (mut rng, count) = randomness();
    let pieces =
        ["{", "}", "[", "]", "\"", ":", ",", "\\", "\"size\":", "null", "1e", "-", "\u{17f}"];
    for _ in 0..count {
        let bytes: Vec<u8> = if rng.bool() {
            (0..rng.usize(..60)).map(|_| rng.u8(..)).collect()
        } else {
            (0..rng.usize(..30)).map(|_| rng.choice(pieces).unwrap()).collect::<String>().into()
        };
        showing(&bytes, || properties::documents::check(&bytes));
    }
}
