//! The principle behind every rule on TOCs: an image of ours shows the same tree after a full pull
//! and after a partial one, with composefs on or off, and it is the tree of the source. What
//! docs/format.md lists as lost in partial pulls is left out of the comparison.
//!
//! The images are random. `RECOMPRESS_TREES_IMAGES` says how many, `RECOMPRESS_TREES_SEED` repeats a
//! run by the seed that it printed.

mod layers;

use std::{
    process::{Command, Output},
    thread,
};

use serde_json::Value;
use test_support::{
    image::{Image, Layer, Style},
    need,
    peers::Peers,
    pulls::{Pulled, Pulls, Way, pull_all},
    registry::Registry,
    tree::{Compare, Tree},
};

use self::layers::Random;

/// So many images are pulled into one store.
const BATCH: usize = 40;

struct Subject {
    name: String,
    /// Which layers have whiteouts, which composefs ignores where they are pulled partially.
    whiteouts: Vec<bool>,
    output: Output,
    layers: Vec<Value>,
}

fn setting<T: std::str::FromStr>(name: &str, otherwise: T) -> T {
    std::env::var(name).ok().and_then(|value| value.parse().ok()).unwrap_or(otherwise)
}

/// Makes the image of this seed, pushes and converts it.
fn prepare(registry: &Registry, peers: &Peers, seed: u64) -> Subject {
    let mut random = Random::new(seed);
    let tars: Vec<_> = (0..random.layers()).map(|place| random.layer(place)).collect();
    let whiteouts = tars.iter().map(|layer| layer.whiteouts).collect();
    let gzip =
        |layer: layers::Made| Layer::gzip(peers.work(), |out| out.write_all(&layer.tar).unwrap());
    let image = Image::new(Style::Oci, tars.into_iter().map(gzip).collect());
    let name = format!("seed-{seed}");
    let repository = format!("trees/{name}");
    let reference = image.push(registry, &repository, "in");
    let (source, result) = (
        format!("{}/{reference}", registry.host()),
        format!("{}/{repository}:out", registry.host()),
    );
    let output = Command::new(env!("CARGO_BIN_EXE_recompress-image"))
        .args(["convert", &source, &result, "--output=json"])
        .output()
        .unwrap();
    let report: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
    let layers = report["layers"].as_array().cloned().unwrap_or_default();
    Subject { name, whiteouts, output, layers }
}

impl Subject {
    fn reference(&self, registry: &Registry, tag: &str) -> String {
        format!("{}/trees/{}:{tag}", registry.host(), self.name)
    }

    /// What is wrong with it.
    fn faults(&self, original: &Pulled, ours: &[(Way, Pulls)], count: &mut Count) -> Vec<String> {
        if !self.output.status.success() {
            return vec![String::from_utf8_lossy(&self.output.stderr).into_owned()];
        }
        let chunked = |layer: &&Value| layer["format"] == "zstd:chunked";
        count.layers += self.layers.len();
        count.chunked += self.layers.iter().filter(chunked).count();
        let tree = match original {
            Pulled::As(lines) => comparable(lines),
            Pulled::Not(why) => {
                count.refused += 1;
                let taken = |(way, pulls): &(Way, Pulls)| match &pulls.images[&self.name] {
                    Pulled::As(_) => Some(format!("{way:?}: pulled, the source is not: {why}")),
                    Pulled::Not(_) => None,
                };
                return ours.iter().filter_map(taken).collect();
            }
        };
        let mut faults = Vec::new();
        for (way, pulls) in ours {
            for layer in self.layers.iter().filter(chunked).filter(|_| *way != Way::Whole) {
                let digest = layer["digest"].as_str().unwrap();
                if !pulls.retrieved_partially(digest) {
                    faults.push(format!("{way:?}: {digest} was not pulled partially"));
                }
            }
            let ours = match &pulls.images[&self.name] {
                Pulled::As(lines) => comparable(lines),
                Pulled::Not(why) => {
                    faults.push(format!("{way:?}: {why}"));
                    continue;
                }
            };
            let ignored = self.layers.iter().zip(&self.whiteouts);
            if *way == Way::Composefs && ignored.clone().any(|(l, has)| chunked(&l) && *has) {
                continue;
            }
            let compare = match way {
                Way::Whole => Compare::Everything,
                Way::Partial => Compare::PartialPull,
                Way::Composefs => Compare::Composefs,
            };
            count.compared[*way as usize] += 1;
            faults.extend(tree.differences(&ours, compare, &format!("{way:?}")));
        }
        faults
    }
}

/// A directory without an entry has the time of the pull, another one in each tree.
fn comparable(lines: &[u8]) -> Tree {
    let mut kept = String::new();
    for entry in serde_json::Deserializer::from_slice(lines).into_iter::<Value>() {
        let mut entry = entry.unwrap();
        let missing = entry["path"].as_str().is_some_and(|path| path.starts_with("missing-"));
        if missing && entry["kind"] == "dir" {
            entry["mtime_ns"].take();
        }
        kept += &entry.to_string();
    }
    Tree::parse(kept.as_bytes())
}

#[derive(Debug, Default)]
struct Count {
    layers: usize,
    chunked: usize,
    /// Images that podman refuses, whoever made them.
    refused: usize,
    /// Trees, by the way of pulling.
    compared: [usize; 3],
}

#[test]
fn random_trees() {
    let test = "random_trees";
    let Some(peers) = need(test, Peers::find()) else { return };
    let images: usize = setting("RECOMPRESS_TREES_IMAGES", 24);
    let first = setting("RECOMPRESS_TREES_SEED", fastrand::u64(..1 << 32));
    println!("RECOMPRESS_TREES_SEED={first} RECOMPRESS_TREES_IMAGES={images}");
    let (mut count, mut right) = (Count::default(), 0);
    let seeds: Vec<_> = (first..).take(images).collect();
    for seeds in seeds.chunks(BATCH) {
        let Some(registry) = need(test, Registry::start()) else { return };
        let subjects: Vec<_> = seeds.iter().map(|seed| prepare(&registry, &peers, *seed)).collect();
        let references = |tag| {
            let done = subjects.iter().filter(|subject| subject.output.status.success());
            done.map(|subject| subject.reference(&registry, tag)).collect::<Vec<_>>()
        };
        let (sources, results) = (references("in"), references("out"));
        let (original, ours) = thread::scope(|scope| {
            let original = scope.spawn(|| pull_all(&peers, Way::Whole, &sources));
            let (peers, results) = (&peers, &results);
            let ways = [Way::Whole, Way::Partial, Way::Composefs];
            let ours = ways.map(|way| (way, scope.spawn(move || pull_all(peers, way, results))));
            (original.join().unwrap(), ours.map(|(way, pull)| (way, pull.join().unwrap())))
        });
        for subject in &subjects {
            let gone = Pulled::Not("it was not converted".into());
            let original = original.images.get(&subject.name).unwrap_or(&gone);
            let faults = subject.faults(original, &ours, &mut count);
            if faults.is_empty() {
                right += 1;
            } else {
                eprintln!("{}:\n  {}", subject.name, faults.join("\n  "));
            }
        }
    }
    println!("random trees: {right} of {images}; {count:?}");
    assert_eq!(right, images);
    // Both kinds of layers, and few images that say nothing.
    let Count { layers, chunked, refused, compared } = count;
    assert!(chunked > layers / 6 && chunked < layers, "{chunked} of {layers} layers are chunked");
    // Wide enough for any two dozen of them: on average a quarter is refused, and two fifths are
    // compared with composefs.
    assert!(refused < images * 3 / 4 && compared[Way::Composefs as usize] > images / 12);
}
