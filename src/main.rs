//! The command `recompress-image`: arguments, logging, runtime, signals, exit code.

use std::{
    io::Write as _,
    process::ExitCode,
    sync::LazyLock,
    task::Poll,
    thread,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use recompress_image::{
    cli::{self, Cli, exit::CommandError, failure::Words},
    report::screen,
    store,
};
use rustix::process::Signal;
use tokio::signal::unix::{SignalKind, signal};

/// How long to wait for tasks to stop and clean up: less than the 5 seconds within which a signal
/// has to be obeyed.
const GRACE: Duration = Duration::from_secs(4);
/// The part of it for cancelling uploads.
const GRACE_OF_UPLOADS: Duration = Duration::from_secs(3);

/// After which a signal ends the program in any case.
const PATIENCE: Duration = Duration::from_millis(4500);

/// A second signal ends the run at once, unless it was sent along with the first, as some managers of
/// processes do.
const TOGETHER: Duration = Duration::from_millis(500);

/// The signals that end a run. By convention its exit code is 128 and the signal's number.
const SIGNALS: [(SignalKind, &str, u8); 4] = [
    (SignalKind::hangup(), "SIGHUP", 128 + 1),
    (SignalKind::interrupt(), "SIGINT", 128 + 2),
    (SignalKind::quit(), "SIGQUIT", 128 + 3),
    (SignalKind::terminate(), "SIGTERM", 128 + 15),
];

fn main() -> ExitCode {
    // Before anything can fail: results of an earlier run would pass for those of this one.
    cli::convert::clear_results(std::env::args_os());
    let wants_json = cli::failure::wants_json(std::env::args_os());
    let cli = match cli::parse(std::env::args_os()) {
        Ok(cli) => cli,
        Err(error) if error.use_stderr() => {
            let text = cli::render(&error);
            let text = store::mask(&cli::hints::adapt(&text)).into_owned();
            let words = Words::of_usage(&error, &text);
            if cli::failure::wants_json_messages(std::env::args_os()) {
                screen::begin(screen::Mode::Lines, true);
                screen::complain(&words.to_string());
            } else {
                let _ = write!(std::io::stderr(), "{text}");
            }
            if wants_json {
                cli::failure::print(cli::exit::ExitCode::Usage, words);
            }
            return ExitCode::from(cli::exit::ExitCode::Usage as u8);
        }
        // Help, or the version.
        Err(error) => match error.print().and_then(|()| std::io::stdout().flush()) {
            Ok(()) => return ExitCode::SUCCESS,
            Err(error) => {
                if error.kind() != std::io::ErrorKind::BrokenPipe {
                    complain(&format!("cannot print the help: {error}"));
                }
                return ExitCode::from(cli::exit::ExitCode::Local as u8);
            }
        },
    };
    match run(cli, wants_json) {
        Ok(code) => code,
        Err(error) => {
            let words = Words::of(error.chain());
            let code =
                error.downcast_ref().map_or(cli::exit::ExitCode::Internal, CommandError::exit_code);
            if !is_closed_pipe(&error) {
                screen::complain(&words.to_string());
                if wants_json {
                    cli::failure::print(code, words);
                }
            }
            ExitCode::from(code as u8)
        }
    }
}

fn run(cli: Cli, wants_json: bool) -> anyhow::Result<ExitCode> {
    cli.log.begin().context("invalid log filter")?;
    cli::warn_of_unknown_variables();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .context("cannot start the async runtime")?;
    insist_on_signals().context("cannot wait for signals")?;
    let publishes = matches!(cli.command, cli::Command::Convert(_));
    let (result, end) = runtime.block_on(async {
        let result = tokio::select! {
            result = cli::run(cli.command) => {
                result.map(|()| ExitCode::SUCCESS).map_err(anyhow::Error::from)
            }
            signal = stopped() => signal.context("cannot wait for signals").map(|(name, code)| {
                screen::end();
                let text = if store::publishing_has_begun() {
                    format!(
                        "interrupted by {name} while the tag was being published: the destination \
                         may already have the new image; run the same command again to check"
                    )
                } else if publishes {
                    format!("interrupted by {name}; nothing was published")
                } else {
                    format!("interrupted by {name}")
                };
                complain(&text);
                if wants_json {
                    cli::failure::print_interrupted(code, Words::new(&text));
                }
                ExitCode::from(code)
            }),
        };
        screen::end();
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
    let mut signals = Vec::with_capacity(SIGNALS.len());
    let ignored = *IGNORED;
    for (kind, name, code) in SIGNALS {
        // As under nohup.
        if ignored & 1 << (kind.as_raw_value() - 1) != 0 {
            continue;
        }
        signals.push((signal(kind)?, name, code));
    }
    Ok(std::future::poll_fn(|context| {
        for (signal, name, code) in &mut signals {
            if signal.poll_recv(context).is_ready() {
                return Poll::Ready((*name, *code));
            }
        }
        Poll::Pending
    })
    .await)
}

/// Obeys a signal also while something blocks that cannot be interrupted, such as a write to a pipe
/// that nobody reads.
fn insist_on_signals() -> std::io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    {
        let _within = runtime.enter();
        // A handler stays for good: a file that would be too large (`ulimit -f`) becomes an error of
        // its write, and what is unfinished is removed.
        drop(signal(SignalKind::from_raw(Signal::XFSZ.as_raw()))?);
    }
    let wait = move || {
        if let Ok((_, code)) = runtime.block_on(stopped()) {
            thread::sleep(TOGETHER);
            let again =
                async { tokio::time::timeout(PATIENCE.saturating_sub(TOGETHER), stopped()).await };
            let _ = runtime.block_on(again);
            std::process::exit(code.into());
        }
    };
    thread::Builder::new().name("signals".to_owned()).spawn(wait).map(drop)
}

/// The signals that were ignored when the program started, as in `SigIgn` of `/proc/PID/status`.
static IGNORED: LazyLock<u64> = LazyLock::new(|| {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or_default()
});

fn complain(text: &str) {
    screen::complain(&cli::hints::adapt(text));
}
