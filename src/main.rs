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

/// How long to wait for tasks to stop and clean up: less than the 5 seconds within which a signal
/// has to be obeyed.
const GRACE: Duration = Duration::from_secs(4);
/// The part of it for cancelling uploads.
const GRACE_OF_UPLOADS: Duration = Duration::from_secs(3);

/// The signals that end a run. By convention its exit code is 128 and the signal's number.
const SIGNALS: [(SignalKind, &str, u8); 2] =
    [(SignalKind::interrupt(), "SIGINT", 128 + 2), (SignalKind::terminate(), "SIGTERM", 128 + 15)];

fn main() -> ExitCode {
    // Before anything can fail: results of an earlier run would pass for those of this one.
    cli::convert::clear_results(std::env::args_os());
    let cli = match cli::parse(std::env::args_os()) {
        Ok(cli) => cli,
        Err(error) if error.use_stderr() => {
            let _ = write!(
                std::io::stderr(),
                "{}",
                store::mask(&cli::hints::adapt(&error.render().to_string()))
            );
            return ExitCode::from(cli::exit::ExitCode::Usage as u8);
        }
        // Help, or the version.
        Err(error) => error.exit(),
    };
    match run(cli) {
        Ok(code) => code,
        Err(error) => {
            if !is_closed_pipe(&error) {
                complain(&format!("{error:#}"));
            }
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
        .context("cannot start the async runtime")?;
    let publishes = matches!(cli.command, cli::Command::Convert(_));
    let (result, end) = runtime.block_on(async {
        let result = tokio::select! {
            result = cli::run(cli.command) => {
                result.map(|()| ExitCode::SUCCESS).map_err(anyhow::Error::from)
            }
            signal = stopped() => signal.context("cannot wait for signals").map(|(name, code)| {
                complain(&if convert::tagging_has_begun() {
                    format!(
                        "interrupted by {name} while the tag was being published: the destination \
                         may already have the new image; run the same command again to check"
                    )
                } else if publishes {
                    format!("interrupted by {name}; nothing was published")
                } else {
                    format!("interrupted by {name}")
                });
                ExitCode::from(code)
            }),
        };
        let end = Instant::now() + GRACE;
        if tokio::time::timeout(GRACE_OF_UPLOADS, store::uploads_cancelled()).await.is_err() {
            complain(
                "cannot cancel an upload, because the registry does not respond; it may keep the \
                 unfinished upload for a while",
            );
        }
        (result, end)
    });
    runtime.shutdown_timeout(end.saturating_duration_since(Instant::now()));
    result
}

/// Whether nobody reads a report to its end, as in `inspect … | head`.
fn is_closed_pipe(error: &anyhow::Error) -> bool {
    matches!(error.downcast_ref(), Some(CommandError::Print(error))
        if error.kind() == std::io::ErrorKind::BrokenPipe)
}

/// Waits for a signal that ends the run, and returns its name and the exit code.
async fn stopped() -> std::io::Result<(&'static str, u8)> {
    let [(int, int_name, int_code), (term, term_name, term_code)] = SIGNALS;
    let (mut int, mut term) = (signal(int)?, signal(term)?);
    Ok(tokio::select! {
        _ = int.recv() => (int_name, int_code),
        _ = term.recv() => (term_name, term_code),
    })
}

fn log(verbose: u8, filter: Option<&str>) -> anyhow::Result<()> {
    let default = match verbose {
        0 => "warn",
        1 => "warn,recompress_image=debug",
        _ => "debug,recompress_image=trace",
    };
    // Module names only help with debugging.
    let shows_targets = verbose > 0 || filter.is_some();
    let level = filter.and_then(|filter| filter.parse::<LevelFilter>().ok());
    let filter = match (filter, level) {
        // A level alone is for our own messages: HTTP libraries would drown them at `debug`.
        (Some(_), Some(level)) => format!("warn,recompress_image={level}"),
        (Some(filter), None) => filter.to_owned(),
        (None, _) => default.to_owned(),
    };
    let filter = EnvFilter::try_new(filter).context("invalid log filter")?;
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_target(shows_targets)
        .with_writer(|| Masked)
        .init();
    Ok(())
}

/// Standard error with secrets masked. Log lines are written whole.
struct Masked;

impl std::io::Write for Masked {
    fn write(&mut self, line: &[u8]) -> std::io::Result<usize> {
        let text = String::from_utf8_lossy(line);
        std::io::stderr().write_all(store::mask(&cli::hints::adapt(&text)).as_bytes())?;
        Ok(line.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        std::io::stderr().flush()
    }
}

fn complain(text: &str) {
    // Texts from an image can have control characters.
    let line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let _ =
        writeln!(std::io::stderr(), "recompress-image: {}", store::mask(&cli::hints::adapt(&line)));
}
