//! Documents that were made to cost more than they weigh, in memory or in time.

use std::{
    fs,
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use recompress_image::image::{
    BlobId, Digest, ImageConfig, Index, Manifest, document_type,
    manifest::NewLayer,
    media_type::{Family, OCI_CONFIG, OCI_LAYER, Suffix},
};

/// As large as the largest document that is read.
const SIZE: usize = 4 << 20;
/// How many times its own size a document may take.
const FACTOR: usize = 40;
/// What takes longer takes quadratic time; the rest takes a second or two on a machine that is idle.
const LONGEST: Duration = Duration::from_secs(120);
/// Names the case in the process that is measured.
const CASE: &str = "RECOMPRESS_MEMORY_CASE";

/// `front`, as many parts as there is room for, joined by commas, and `back`.
fn filled(front: &str, part: impl Fn(usize) -> String, back: &str) -> String {
    let mut text = front.to_owned();
    for number in 0.. {
        let part = part(number);
        if text.len() + part.len() + back.len() + 1 > SIZE {
            break;
        }
        text.push_str(if number == 0 { "" } else { "," });
        text.push_str(&part);
    }
    text + back
}

fn descriptor(media_type: &str, more: &str) -> String {
    let digest = Digest::sha256_of(b"");
    format!(r#"{{"mediaType":"{media_type}","digest":"{digest}","size":0{more}}}"#)
}

/// A manifest with a layer that has these annotations.
fn annotated(part: impl Fn(usize) -> String) -> String {
    let layer = descriptor(OCI_LAYER, r#","annotations":{"#);
    let front = format!(
        r#"{{"schemaVersion":2,"config":{},"layers":[{}"#,
        descriptor(OCI_CONFIG, ""),
        &layer[..layer.len() - 1]
    );
    filled(&front, part, "}}]}")
}

type Case = (&'static str, fn() -> String);

const CASES: [Case; 18] = [
    ("depth", || "[".repeat(SIZE)),
    ("depth in a field", || format!("{{\"x\":{}", "[".repeat(SIZE - 5))),
    ("unknown fields", || filled("{", |n| format!("\"{n:x}\":0"), "}")),
    ("numbers", || filled("{\"x\":[", |_| "0".into(), "]}")),
    ("a long number", || format!("{{\"x\":{}}}", "9".repeat(SIZE - 6))),
    ("escapes", || format!("{{\"mediaType\":\"{}\"}}", "\\u0041".repeat(SIZE / 6 - 4))),
    ("empty layers", || layers("{}")),
    ("layers", || layers(&descriptor(OCI_LAYER, ""))),
    ("annotations", || annotated(|n| format!("\"{n:x}\":\"\""))),
    ("annotations that go", || annotated(|n| format!("\"com.amazon.soci.{n:x}\":\"\""))),
    ("empty entries", || filled("{\"manifests\":[", |_| "{}".into(), "]}")),
    ("null entries", || filled("{\"manifests\":[", |_| "null".into(), "]}")),
    ("entries", || filled("{\"manifests\":[", |_| descriptor("", ""), "]}")),
    ("history", || filled("{\"history\":[", |_| "{}".into(), "]}")),
    ("environment", || filled("{\"config\":{\"Env\":[", |_| "\"\"".into(), "]}}")),
    ("ports", || filled("{\"config\":{\"ExposedPorts\":{", |n| format!("\"{n:x}\":{{}}"), "}}}")),
    ("labels", || filled("{\"config\":{\"Labels\":{", |n| format!("\"{n:x}\":\"\""), "}}}")),
    ("diff IDs", || {
        let id = |n: usize| format!("\"{}\"", Digest::sha256_of(&n.to_be_bytes()));
        filled("{\"rootfs\":{\"diff_ids\":[", id, "]}}")
    }),
];

fn layers(layer: &str) -> String {
    let front = format!(r#"{{"config":{},"layers":["#, descriptor(OCI_CONFIG, ""));
    filled(&front, |_| layer.to_owned(), "]}")
}

fn status(name: &str) -> usize {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
    line.trim_matches([':', '\t', ' ']).trim_end_matches(" kB").parse::<usize>().unwrap() << 10
}

fn read(bytes: &[u8]) {
    let new = |blob| NewLayer { blob, suffix: Suffix::Zstd, annotations: Vec::new() };
    let blob = BlobId { digest: Digest::sha256_of(b"new"), size: 1 };
    // Errors too must not be larger than what they are about.
    if let Err(error) = document_type(bytes, None) {
        assert!(error.to_string().len() < 4000);
    }
    if let Ok(manifest) = Manifest::parse(bytes) {
        let blobs = vec![Some(new(blob)); manifest.layers.len()];
        let _ = manifest.with_layers(Family::Oci, &blobs, &[]);
    }
    if let Ok(index) = Index::parse(bytes) {
        index.platforms();
        let _ = index.with_entries(index.entries().cloned().collect(), &[]);
    }
    if let Ok(list) = Index::parse_list(bytes) {
        list.to_json();
    }
    let _ = ImageConfig::parse(bytes);
}

/// What the peak of memory is in a process that does nothing else.
fn peak(case: usize) -> Result<usize, String> {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "documents::memory::a_document_takes_a_small_multiple_of_its_size",
            "--nocapture",
        ])
        .env(CASE, case.to_string())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let start = Instant::now();
    while child.try_wait().unwrap().is_none() {
        if start.elapsed() > LONGEST {
            child.kill().unwrap();
            child.wait().unwrap();
            return Err(format!("not done after {LONGEST:?}"));
        }
        thread::sleep(Duration::from_millis(20));
    }
    let out = child.wait_with_output().unwrap();
    let text = String::from_utf8_lossy(&out.stdout);
    let peak = text.lines().find_map(|line| line.split_once("peak="));
    peak.map(|(_, peak)| peak.parse().unwrap()).ok_or_else(|| format!("it failed: {text}"))
}

#[test]
fn a_document_takes_a_small_multiple_of_its_size() {
    if let Some(case) = std::env::var_os(CASE) {
        let case: usize = case.to_str().unwrap().parse().unwrap();
        let text = CASES[case].1();
        assert!((SIZE - 200..=SIZE).contains(&text.len()), "{}", text.len());
        // The peak from now on.
        fs::write("/proc/self/clear_refs", "5").unwrap();
        let before = status("VmRSS");
        read(text.as_bytes());
        println!("\npeak={}", status("VmHWM").saturating_sub(before));
        return;
    }
    for (case, (name, _)) in CASES.iter().enumerate() {
        let peak = peak(case).unwrap_or_else(|error| panic!("{name}: {error}"));
        println!("{name}: {peak} bytes, {} times its size", peak.div_ceil(SIZE));
        assert!(peak < FACTOR * SIZE, "{name}: {peak} bytes");
    }
}
