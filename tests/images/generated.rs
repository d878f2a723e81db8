//! Indexes that nobody thought of, published in every way there is.
//!
//! `RECOMPRESS_GENERATED` is how many there are, `RECOMPRESS_SEED` the first seed.

mod source;

use std::{
    collections::HashSet,
    fs,
    path::Path,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
};

use recompress_image::image::{Digest, Index, Manifest, choice::taken_by_podman};
use serde_json::Value;
use test_support::{
    each::{Pulled, Wanted, pull_each},
    layout::{manifest, text},
    need,
    peers::Peers,
    program,
    registry::Registry,
    work_dir,
};

use self::source::Source;

/// The ways to publish: a tag and arguments. The tag is that of the result; an argument that begins
/// with `@` names the tag that is read instead of the source.
const WAYS: [(&str, &[&str]); 9] = [
    ("single", &["--platform=linux/amd64"]),
    ("all", &["--all-platforms"]),
    ("gzip", &["--all-platforms", "--compression-format=gzip"]),
    ("dual", &["--compression-format=dual"]),
    ("dual-one", &["--compression-format=dual", "--platform=linux/arm64"]),
    ("add", &["--add"]),
    ("add-one", &["--add", "--platform=linux/arm/v7"]),
    ("dual", &["--compression-format=dual"]),
    ("again", &["@dual", "--compression-format=dual"]),
];

const PLATFORMS: [&str; 4] = ["linux/amd64", "linux/arm64", "linux/arm/v7", "linux/arm/v6"];

/// A run that ended well.
struct Made {
    tag: &'static str,
    /// The platforms of which the result must have what the source has.
    platforms: Vec<&'static str>,
}

fn number(variable: &str, default: u64) -> u64 {
    std::env::var(variable).ok().map_or(default, |text| text.parse().unwrap())
}

/// Where the documents of one index are.
struct Place<'a> {
    dir: &'a Path,
    registry: Option<(&'a Registry, String)>,
}

impl Place<'_> {
    fn reference(&self, tag: &str) -> String {
        match &self.registry {
            Some((registry, name)) => format!("{}/{name}:{tag}", registry.host()),
            None => format!("oci:{}:{tag}", self.dir.display()),
        }
    }

    /// The document of a digest.
    fn read(&self, digest: &Digest) -> Option<Vec<u8>> {
        fs::read(self.dir.join("blobs/sha256").join(digest.hex())).ok()
    }

    /// The digest of a tag in a layout.
    fn tagged(&self, tag: &str) -> Option<Digest> {
        manifest(self.dir, tag).map(|(_, digest)| digest.parse().unwrap())
    }
}

/// The config of what podman takes from a document; `None` if it takes nothing or no image.
fn taken(place: &Place<'_>, digest: &Digest, platform: &str) -> Option<String> {
    let bytes = place.read(digest)?;
    let document: Value = serde_json::from_slice(&bytes).unwrap();
    let bytes = if document.get("manifests").is_some() {
        let index = Index::parse(&bytes).unwrap();
        let media_type = document["mediaType"].as_str().unwrap();
        let number = taken_by_podman(index.entries(), media_type, &platform.parse().unwrap())?;
        place.read(&index.entries().nth(number)?.blob.digest)?
    } else {
        bytes
    };
    // It refuses an index within an index.
    let manifest = Manifest::parse(&bytes).ok()?;
    let config = manifest.config.blob.digest.to_string();
    manifest.has_image_config().then_some(config)
}

/// Publishes in one way, and returns what is wrong.
fn publish(
    place: &Place<'_>,
    source: &Source,
    (tag, arguments): (&'static str, &'static [&'static str]),
    results: &Path,
) -> Result<Option<Made>, String> {
    let (from, arguments) = match arguments {
        [from, rest @ ..] if from.starts_with('@') => (&from[1..], rest),
        all => ("in", all),
    };
    let destination = place.reference(tag);
    let mut reference = place.reference(from);
    if let Some((registry, name)) = &place.registry {
        let digest = if from == "in" {
            source.docs.digest()
        } else {
            Digest::sha256_of(&registry.manifest(name, from).1)
        };
        reference = format!("{reference}@{digest}");
    }
    let before = place.tagged(tag);
    let output = program()
        .args(["convert", &reference, &destination, "--output=json", "--probe=false"])
        .args(arguments)
        .arg("--results-dir")
        .arg(results)
        .output()
        .unwrap();
    let result = |name: &str| fs::read_to_string(results.join(name)).ok();
    if !output.status.success() {
        let left = fs::read_dir(results).unwrap().count();
        // Something may be missing.
        let missing = if reference.starts_with("oci:") { 7 } else { 6 };
        let is_known = output.status.code().is_some_and(|code| [4, 5, missing].contains(&code));
        if left != 0 || place.tagged(tag) != before || !is_known {
            return Err(format!("a refused run: {left} results: {}", text(&output)));
        }
        return Ok(None);
    }
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let digest = result("IMAGE_DIGEST").ok_or("no result")?;
    if report["image"]["digest"] != *digest {
        return Err(format!("the result {digest} is not in {report}"));
    }
    if before.as_ref().is_some_and(|before| before.as_str() != digest) {
        return Err(format!("a second run: {before:?} became {digest}"));
    }
    let verify = program().args(["verify", &destination, "--output=json"]).output().unwrap();
    let verdict: Value = serde_json::from_slice(&verify.stdout).unwrap_or_default();
    if !verify.status.success() || verdict["digest"] != *digest {
        return Err(format!("verify {digest}: {}", text(&verify)));
    }
    if place.registry.is_none() {
        complete(place, &report, from)?;
    }
    let arguments = arguments.join(" ");
    let is_meant = |platform: &&str| {
        !arguments.contains("--platform=") || arguments.contains(&format!("--platform={platform}"))
    };
    let platforms = PLATFORMS.into_iter().filter(is_meant).collect();
    Ok(Some(Made { tag, platforms }))
}

/// Every entry of the source is in the result or reported, and there is no attestation of what is
/// not there.
fn complete(place: &Place<'_>, report: &Value, from: &str) -> Result<(), String> {
    let Some(manifests) = report["manifests"].as_array() else { return Ok(()) };
    let mut known: HashSet<&str> = HashSet::new();
    for one in manifests {
        known.extend(one["digest"].as_str());
        known.extend(one["source_digest"].as_str());
    }
    let left = report["left"].as_array().into_iter().flatten();
    known.extend(left.filter_map(|one| one["digest"].as_str()));
    let (before, _) = manifest(place.dir, from).unwrap();
    for entry in before["manifests"].as_array().unwrap() {
        if !known.contains(entry["digest"].as_str().unwrap()) {
            return Err(format!("nothing is said of {entry}: {report}"));
        }
    }
    let digest: Digest = report["image"]["digest"].as_str().unwrap().parse().unwrap();
    let after: Value = serde_json::from_slice(&place.read(&digest).unwrap()).unwrap();
    let entries = after["manifests"].as_array().unwrap();
    let there: HashSet<_> = entries.iter().map(|entry| entry["digest"].as_str().unwrap()).collect();
    for entry in entries {
        let of = &entry["annotations"]["vnd.docker.reference.digest"];
        if of.as_str().is_some_and(|of| !there.contains(of)) {
            return Err(format!("an attestation of something else: {entry}"));
        }
    }
    Ok(())
}

/// One index in a layout, published in every way. Returns how many runs made something.
fn in_a_layout(seed: u64) -> Result<usize, String> {
    let (dir, results) = (work_dir(), work_dir());
    let source = source::index(seed, false);
    source.docs.write(dir.path());
    let place = Place { dir: dir.path(), registry: None };
    let told = |error: String| format!("seed {seed}: {:#?}\n{error}", source.outline);
    let mut count = 0;
    for way in WAYS {
        if way.1[0].starts_with('@') && place.tagged(&way.1[0][1..]).is_none() {
            continue;
        }
        for file in fs::read_dir(results.path()).unwrap() {
            fs::remove_file(file.unwrap().path()).unwrap();
        }
        let failed = |error| told(format!("{} {:?}: {error}", way.0, way.1));
        let Some(made) = publish(&place, &source, way, results.path()).map_err(failed)? else {
            continue;
        };
        count += 1;
        let digest = place.tagged(made.tag).unwrap();
        for platform in made.platforms {
            let before = taken(&place, &source.docs.digest(), platform);
            let after = taken(&place, &digest, platform);
            let is_named = source.named.contains(platform);
            let same = before.is_none() || before == after || (after.is_none() && !is_named);
            if !same {
                let error = format!("{platform} becomes {after:?} instead of {before:?}");
                return Err(failed(error));
            }
        }
    }
    Ok(count)
}

#[test]
fn generated_indexes_in_layouts() {
    let (first, count) = (number("RECOMPRESS_SEED", 1), number("RECOMPRESS_GENERATED", 40));
    let (next, runs) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let count = usize::try_from(count).unwrap();
    let work = || {
        let mut faults = Vec::new();
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= count {
                return faults;
            }
            match in_a_layout(first + number as u64) {
                Ok(made) => drop(runs.fetch_add(made, Ordering::Relaxed)),
                Err(fault) => faults.push(fault),
            }
        }
    };
    let faults: Vec<String> = thread::scope(|scope| {
        let threads: Vec<_> = (0..3).map(|_| scope.spawn(work)).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    let runs = runs.into_inner();
    println!(
        "generated indexes: {} of {count}, seeds {first} to {}, {runs} results",
        count - faults.len(),
        first + count as u64 - 1
    );
    assert!(faults.is_empty(), "{}", faults.join("\n\n"));
    assert!(runs > count, "too few of them can be converted: {runs}");
}

/// What podman itself gets, before and after, for each platform.
#[test]
fn generated_indexes_in_a_registry() {
    let test = "generated_indexes_in_a_registry";
    let Some(peers) = need(test, Peers::find()) else { return };
    let Some(registry) = need(test, Registry::start()) else { return };
    let first = number("RECOMPRESS_SEED", 1001);
    let count = number("RECOMPRESS_GENERATED", 120) / 10;
    let (nowhere, results) = (work_dir(), work_dir());
    let (mut before, mut after, mut pushed) = (Vec::new(), Vec::new(), 0);
    let (mut named, mut outlines) = (HashSet::new(), Vec::new());
    for seed in first..first + count {
        let source = source::index(seed, true);
        let name = format!("generated/seed-{seed}");
        if !source.docs.push(&registry, &name) {
            continue;
        }
        pushed += 1;
        outlines.push(format!("seed {seed}: {:#?}", source.outline));
        let place = Place { dir: nowhere.path(), registry: Some((&registry, name.clone())) };
        let digest = source.docs.digest();
        registry.put_manifest(&name, "in", INDEX, &registry.manifest(&name, digest.as_str()).1);
        let mut made_dual = false;
        for way in WAYS {
            if way.1[0].starts_with('@') && !made_dual {
                continue;
            }
            for file in fs::read_dir(results.path()).unwrap() {
                fs::remove_file(file.unwrap().path()).unwrap();
            }
            let made = publish(&place, &source, way, results.path()).unwrap_or_else(|error| {
                panic!("seed {seed}: {:#?}\n{}: {error}", source.outline, way.0)
            });
            let Some(made) = made else { continue };
            made_dual |= made.tag == "dual";
            for platform in made.platforms {
                let name = format!("{seed} {} {}", made.tag, platform.replace('/', "-"));
                let wanted = |reference| Wanted {
                    name: name.clone(),
                    platform: Some(platform.to_owned()),
                    reference,
                };
                if source.named.contains(platform) {
                    named.insert(name.clone());
                }
                before.push(wanted(place.reference("in")));
                after.push(wanted(place.reference(made.tag)));
            }
        }
    }
    let (before, after) = thread::scope(|scope| {
        let before = scope.spawn(|| pull_each(&peers, false, &before));
        let after = pull_each(&peers, true, &after);
        (before.join().unwrap(), after)
    });
    let both = before
        .iter()
        .filter_map(|(name, before)| Some((name, before.as_ref().ok()?, &after[name])));
    let both: Vec<_> = both.collect();
    let is_wrong = |name: &str, before: &Pulled, after: &Result<Pulled, String>| match after {
        Ok(after) => after != before,
        Err(_) => named.contains(name),
    };
    let wrong: Vec<_> =
        both.iter().filter(|(name, before, after)| is_wrong(name, before, after)).collect();
    println!(
        "generated indexes in a registry: {pushed} of {count}, seeds {first} to {}; podman gets \
         the same in {} of {} pulls",
        first + count - 1,
        both.len() - wrong.len(),
        both.len()
    );
    assert!(wrong.is_empty(), "{wrong:#?}\n{}", outlines.join("\n"));
    assert!(pushed > 0 && !both.is_empty());
}

const INDEX: &str = recompress_image::image::media_type::OCI_INDEX;
