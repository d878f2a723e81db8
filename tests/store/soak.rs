//! Many conversions in a row under bad conditions. A plain test run makes a few, `hack/soak` many.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Stdio,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use recompress_image::{
    cli::{self, Command},
    convert::{self, ConvertJob},
    report::Reporter,
    store::{AccessOptions, Intent, Patience, Selector, StoreError, uploads_cancelled},
};

use super::{
    moods::Moody,
    open,
    peer::Peer,
    proxy::{Fault, Proxy, Way},
    quick,
    sample::{self, Sample, count, ends, is_right},
    told,
};

/// A number that `hack/soak` passes on.
fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().expect(name))
}

fn seed() -> u64 {
    setting("RECOMPRESS_SOAK_SEED", fastrand::u64(..))
}

/// Images in the registry, as sources of conversions; the last one has a layer that is uploaded
/// while it is made.
async fn sources(peer: &Peer) -> Vec<(String, String)> {
    let lengths: [&[usize]; 4] =
        [&[2_000_000, 300_000, 1000], &[700_000; 4], &[10, 1_500_000], &[36 << 20, 50_000]];
    let mut sources = Vec::new();
    for (number, lengths) in lengths.into_iter().enumerate() {
        let name = format!("org/source{number}:in");
        let sample = Sample::new(lengths, number as u64);
        let direct = sample.push(&format!("{}/{name}", peer.host()), &quick()).await;
        sources.push((direct, sample.named(&name)));
    }
    sources
}

fn choose<'a, T>(random: &mut fastrand::Rng, sources: &'a [T]) -> &'a T {
    // The large one takes as long as all others.
    let last = sources.len() - 1;
    &sources[if random.u32(..8) == 0 { last } else { random.usize(..last) }]
}

async fn has_tag(image: &str) -> bool {
    let store = open(image, Intent::Pull, &quick()).await.unwrap();
    match store.manifest(&Selector::Tag("out".to_owned())).await {
        Ok(_) => true,
        Err(StoreError::NotFound { .. }) => false,
        Err(error) => panic!("{}", told(&error)),
    }
}

/// No connection lasts for more than two kilobytes: few runs succeed.
const STORM: u32 = 100;

/// What the connections of a run meet.
struct Weather {
    random: Mutex<fastrand::Rng>,
    /// How many of a hundred connections meet a fault.
    percent: AtomicU32,
    is_calm: AtomicBool,
    faults: AtomicUsize,
}

impl Weather {
    fn fault(&self) -> Fault {
        let mut random = self.random.lock().unwrap();
        let is_calm = self.is_calm.load(Ordering::SeqCst);
        let percent = self.percent.load(Ordering::SeqCst);
        if random.u32(..100) >= percent || is_calm {
            return Fault::None;
        }
        self.faults.fetch_add(1, Ordering::SeqCst);
        let way = if random.bool() { Way::Up } else { Way::Down };
        // As often in the first hundred bytes as in the last million.
        let bits = if percent == STORM { 11 } else { 22 };
        let bytes = (1 << random.u32(3..bits)) + random.usize(..1000);
        match random.u32(..10) {
            0 => Fault::Refuse,
            1..4 => Fault::Cut(way, bytes),
            4..8 => Fault::Reset(way, bytes),
            8 => Fault::Stall(way, bytes),
            _ => Fault::Slow,
        }
    }
}

fn job(source: &str, destination: &str) -> ConvertJob {
    let words = ["recompress-image", "convert", source, destination, "--probe=false"];
    let cli = cli::parse(words.map(Into::into)).unwrap();
    let Command::Convert(args) = cli.command else { panic!() };
    let patience = Patience {
        tries: 4,
        first_delay: Duration::from_millis(5),
        idle: Duration::from_secs(1),
        commit: Duration::from_secs(4),
        lag: Duration::from_secs(5),
    };
    let mut job = ConvertJob::try_from(*args).unwrap();
    job.access = AccessOptions { patience, ..AccessOptions::default() };
    job.source_access = job.access.clone();
    job
}

/// Peak of this process's memory in KiB since the last call.
fn peak() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    let peak = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    // proc(5): 5 resets the peak.
    fs::write("/proc/self/clear_refs", "5").unwrap();
    peak
}

/// Files that this process has open although they are deleted: its temporary ones.
fn temporary_files() -> usize {
    let open = fs::read_dir("/proc/self/fd").unwrap().flatten();
    let links = open.filter_map(|entry| fs::read_link(entry.path()).ok());
    links.filter(|link| link.to_string_lossy().ends_with(" (deleted)")).count()
}

/// Threads that still work on what was given up need a moment.
async fn no_temporary_file_is_left() {
    let begin = Instant::now();
    while temporary_files() > 0 {
        assert!(begin.elapsed() < Duration::from_secs(60), "a temporary file stays open");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// How many results there are.
fn written(dir: &Path) -> usize {
    let results = ["IMAGE_URL", "IMAGE_DIGEST", "IMAGE_REF"];
    results.iter().filter(|name| dir.join(name).exists()).count()
}

#[derive(Default)]
struct Tally {
    published: u32,
    failed: u32,
    /// Failed while it looked at what it had published.
    late: u32,
    peaks: Vec<u64>,
}

/// docker-registry that answers late, shows late what was written and refuses HEAD, behind
/// connections that break, all at random: the right image is published or none, no session is
/// forgotten, no temporary file is left.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn conversions_over_bad_connections() {
    let (runs, seed) = (setting("RECOMPRESS_SOAK_RUNS", 8), seed());
    println!("soak: {runs} conversions with seed {seed}");
    let peer = Peer::start();
    let sources = sources(&peer).await;
    let weather = Arc::new(Weather {
        random: Mutex::new(fastrand::Rng::with_seed(seed)),
        percent: AtomicU32::new(0),
        is_calm: AtomicBool::new(true),
        faults: AtomicUsize::new(0),
    });
    let fault = {
        let weather = Arc::clone(&weather);
        move |_| weather.fault()
    };
    let calm = Arc::clone(&weather);
    let moody = Moody::start(peer.host(), seed, move || calm.is_calm.load(Ordering::SeqCst)).await;
    let proxy = Proxy::start(moody.host.clone(), fault).await;
    let mut random = fastrand::Rng::with_seed(seed);
    let (mut tally, mut left_behind) = (Tally::default(), 0);
    for run in 0..runs {
        let (direct, name) = choose(&mut random, &sources);
        let made = format!("org/made{run}:out");
        weather.percent.store([10, 40, 70, STORM][random.usize(..4)], Ordering::SeqCst);
        weather.is_calm.store(false, Ordering::SeqCst);
        let job = job(&format!("{}/{name}", proxy.host), &format!("{}/{made}", proxy.host));
        peak();
        let outcome = convert::run(&job, &Reporter::for_stderr()).await;
        weather.is_calm.store(true, Ordering::SeqCst);
        left_behind = uploads_cancelled().await;
        no_temporary_file_is_left().await;
        tally.peaks.push(peak());
        let made = format!("{}/{made}", peer.host());
        let is_there = has_tag(&made).await;
        if is_there {
            // Whatever the run says: a tag is whole and right, or not there.
            is_right(&made, direct, &[]).await;
        }
        match (outcome, is_there) {
            (Ok(_), true) => tally.published += 1,
            (Ok(_), false) => panic!("run {run} says that it has published, and has not"),
            (Err(error), there) => {
                println!("run {run}: {}", told(&error));
                *(if there { &mut tally.late } else { &mut tally.failed }) += 1;
            }
        }
    }
    let (left, forgotten) = (peer.uploads().len(), peer.forgotten_uploads());
    let Tally { published, failed, late, peaks } = tally;
    // In the first third the allocator and the pools get their share.
    let third = (peaks.len() / 3).max(1);
    let thirds = [&peaks[..third], &peaks[third..][..third], &peaks[peaks.len() - third..]];
    let [first, second, last] = thirds.map(|peaks| {
        let mut peaks = peaks.to_vec();
        peaks.sort_unstable();
        peaks[peaks.len() / 2] >> 10
    });
    println!(
        "soak: seed {seed}: {published} published, {failed} failed with nothing published, {late} \
         failed when the image was there already, 0 wrong; {} connections, {} of them with faults; \
         {} late, invisible or refused answers; \
         upload sessions that no request to cancel arrived for: {} ({left_behind} told of), left in \
         the registry against the client's will: {}; peak memory in the thirds {first}, {second} and \
         {last} MiB",
        proxy.connections(),
        weather.faults.load(Ordering::SeqCst),
        moody.count(),
        forgotten.len(),
        left - forgotten.len(),
    );
    // In a storm all tries may break off; but then that has been reported.
    assert!(forgotten.len() <= left_behind, "sessions that were forgotten: {forgotten:?}");
    assert!(published > 0);
    if runs >= 60 {
        assert!(failed + late > 0, "the faults were none");
        assert!(last <= second + second / 5 + 8, "memory grows: {peaks:?} KiB");
    }
}

/// docker-registry; the client is killed at random: the right image is published or none, and the
/// next run succeeds.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn conversions_that_are_killed() {
    let (runs, seed) = (setting("RECOMPRESS_KILL_RUNS", 4), seed());
    println!("kill: {runs} conversions with seed {seed}");
    let peer = Peer::start();
    let sources = sources(&peer).await;
    let mut random = fastrand::Rng::with_seed(seed);
    let dir = tempfile::tempdir().unwrap();
    let folder = |name: String| {
        let folder = dir.path().join(name);
        fs::create_dir_all(&folder).unwrap();
        folder
    };
    let temporary = folder("tmp".to_owned());
    let command = |source: &str, made: &str, results: &PathBuf| {
        let mut command = sample::convert(source, made);
        command.arg("--results-dir").arg(results).env("TMPDIR", &temporary);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        command
    };
    // How long one takes, for a moment to kill it at.
    let begin = Instant::now();
    let (first, _) = &sources[0];
    let to = format!("{}/org/first:out", peer.host());
    ends(&sample::run(command(first, &to, &folder("first".to_owned()))).await, 0, &[]);
    let usual = begin.elapsed();
    let (mut killed, mut too_late, mut there) = (0, 0, 0);
    for run in 0..runs {
        let (source, _) = choose(&mut random, &sources);
        let made = format!("{}/org/made{run}:out", peer.host());
        let results = folder(format!("results{run}"));
        let mut process = command(source, &made, &results).spawn().unwrap();
        tokio::time::sleep(usual.mul_f64(random.f64())).await;
        process.kill().unwrap();
        let status = tokio::task::spawn_blocking(move || process.wait()).await.unwrap().unwrap();
        *(if status.success() { &mut too_late } else { &mut killed }) += 1;
        assert!(matches!(written(&results), 0 | 3), "results are all there or none");
        assert_eq!(count(&temporary), 0, "no temporary file stays behind");
        if has_tag(&made).await {
            is_right(&made, source, &[]).await;
            there += 1;
        } else {
            assert_eq!(written(&results), 0, "results of what is not there");
        }
        let mut again = sample::convert(source, &made);
        again.arg("--results-dir").arg(&results).env("TMPDIR", &temporary);
        ends(&sample::run(again).await, 0, &[]);
        assert_eq!(written(&results), 3);
        is_right(&made, source, &[]).await;
    }
    println!(
        "kill: seed {seed}: {killed} killed, {too_late} done before; {there} had published the \
         whole image; all {runs} right after the next run; no temporary file left"
    );
    assert!(killed > 0);
}
