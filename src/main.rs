//! The command `recompress-image`: arguments, logging, runtime, signals, exit code.

use std::{
    io::Write as _,
    process::ExitCode,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use recompress_image::{
    cli::{self, Cli, exit::CommandError},
    convert, store,
};
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::{EnvFilter, filter::LevelFilter};

/// What is still at work at the end gets so long to stop and to clean up: less than the 5 seconds
/// within which a signal has to be obeyed.
const GRACE: Duration = Duration::from_secs(4);
/// Of these, uploads may take so much to be cancelled.
const GRACE_OF_UPLOADS: Duration = Duration::from_secs(3);

/// By convention, a program that ends because of a signal exits with 128 and the signal's number.
const SIGNALS: [(SignalKind, u8); 2] =
    [(SignalKind::interrupt(), 128 + 2), (SignalKind::terminate(), 128 + 15)];

fn main() -> ExitCode {
    // Before anything else can fail: what an earlier run has left would pass for results of this one.
    cli::convert::clear_results(std::env::args_os());
    let cli = cli::parse(std::env::args_os()).unwrap_or_else(|error| error.exit());
    match run(cli) {
        Ok(code) => code,
        Err(error) => {
            complain(&format!("{error:#}"));
            let error = error.downcast_ref::<CommandError>();
            ExitCode::from(error.map_or(1, |error| error.exit_code() as u8))
        }
    }
}

fn run(cli: Cli) -> anyhow::Result<ExitCode> {
    log(cli.verbose, cli.log.as_deref())?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .context("cannot start")?;
    let (result, end) = runtime.block_on(async {
        let result = tokio::select! {
            result = cli::run(cli.command) => {
                result.map(|()| ExitCode::SUCCESS).map_err(anyhow::Error::from)
            }
            signal = stopped() => {
                complain(if convert::publishing_has_begun() {
                    "interrupted while the tag was set and read back: the destination may have the \
                     new image already; run the same command again to find out"
                } else {
                    "interrupted; nothing was published"
                });
                signal.context("cannot wait for signals").map(ExitCode::from)
            }
        };
        // What has been given up is taken back as far as that is possible.
        let end = Instant::now() + GRACE;
        if tokio::time::timeout(GRACE_OF_UPLOADS, store::uploads_cancelled()).await.is_err() {
            complain(
                "the registry does not answer; an upload that was under way may stay there until it \
                 removes what is unfinished",
            );
        }
        (result, end)
    });
    runtime.shutdown_timeout(end.saturating_duration_since(Instant::now()));
    result
}

/// Waits for a signal to end, and returns the exit code for it.
async fn stopped() -> std::io::Result<u8> {
    let [(int, int_code), (term, term_code)] = SIGNALS;
    let (mut int, mut term) = (signal(int)?, signal(term)?);
    Ok(tokio::select! {
        _ = int.recv() => int_code,
        _ = term.recv() => term_code,
    })
}

fn log(verbose: u8, filter: Option<&str>) -> anyhow::Result<()> {
    let default = match verbose {
        0 => "warn",
        1 => "warn,recompress_image=debug",
        _ => "debug,recompress_image=trace",
    };
    // Where a message comes from in the code says nothing to who only wants to know what is wrong.
    let shows_targets = verbose > 0 || filter.is_some();
    let level = filter.and_then(|filter| filter.parse::<LevelFilter>().ok());
    let filter = match (filter, level) {
        // A level alone is about what we say: at `debug`, HTTP libraries drown it.
        (Some(_), Some(level)) => format!("warn,recompress_image={level}"),
        (Some(filter), None) => filter.to_owned(),
        (None, _) => default.to_owned(),
    };
    let filter = EnvFilter::try_new(filter)
        .context("cannot read the log filter; write one such as recompress_image=debug")?;
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_target(shows_targets)
        .with_writer(|| Masked)
        .init();
    Ok(())
}

/// Standard error for log lines, which come whole.
struct Masked;

impl std::io::Write for Masked {
    fn write(&mut self, line: &[u8]) -> std::io::Result<usize> {
        let text = String::from_utf8_lossy(line);
        std::io::stderr().write_all(store::mask(&text).as_bytes())?;
        Ok(line.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        std::io::stderr().flush()
    }
}

fn complain(text: &str) {
    // There is nobody left to tell if this fails.
    // An image can have any characters in its texts.
    let line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let _ = writeln!(std::io::stderr(), "recompress-image: {}", store::mask(&line));
}
