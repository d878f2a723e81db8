//! What goes to standard error while a run works: messages, and progress on a terminal.
#![allow(clippy::doc_markdown, reason = "the comments on arguments are their help texts")]

use std::{fmt, time::Instant};

use clap::{ArgAction, ValueEnum};
use serde_json::{Map, Value};
use tracing::{
    Event, Level, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{
    EnvFilter, Layer,
    filter::{LevelFilter, ParseError},
    layer::{Context, SubscriberExt as _},
    util::SubscriberInitExt as _,
};

use super::{hints, value};
use crate::{
    report::screen::{self, Mode},
    store::one_line,
};

#[derive(Debug, Clone, PartialEq, Eq, clap::Args)]
#[command(next_help_heading = "Messages")]
pub struct LogArgs {
    /// Say what is done and why; -vv also logs each request
    ///
    /// -vvv adds what the HTTP libraries log.
    #[arg(short, long, global = true, action = ArgAction::Count)]
    verbose: u8,
    /// Print only errors and the report: no progress, no warnings
    #[arg(short, long, global = true, conflicts_with = "verbose", action = ArgAction::SetTrue)]
    quiet: bool,
    /// What to log: off, error, warn, info, debug, trace, or a filter
    ///
    /// Filters use the syntax of tracing, for example recompress_image=debug. off and error also
    /// silence progress.
    #[arg(long, global = true, env = "RECOMPRESS_LOG", value_name = "FILTER")]
    #[arg(value_parser = value::log_filter)]
    log: Option<String>,
    /// Form of messages on standard error
    #[arg(long, global = true, env = "RECOMPRESS_LOG_FORMAT", value_name = "FORMAT")]
    #[arg(default_value = "text")]
    log_format: LogFormat,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// Lines for people, with progress on a terminal
    Text,
    /// One JSON object per line, without progress
    Json,
}

impl LogArgs {
    /// Whether messages are JSON.
    fn is_json(&self) -> bool {
        self.log_format == LogFormat::Json
    }

    /// Begins to log. To be called once.
    pub fn begin(&self) -> Result<(), ParseError> {
        let level = self.log.as_ref().and_then(|filter| filter.parse::<LevelFilter>().ok());
        let level = if self.quiet { Some(LevelFilter::ERROR) } else { level };
        let filter = match (level, &self.log, self.verbose) {
            // A level alone is for our own messages: HTTP libraries would drown them at `debug`.
            (Some(level), ..) => {
                format!("{},recompress_image={level}", level.min(LevelFilter::WARN))
            }
            (None, Some(filter), _) => filter.clone(),
            (None, None, 0) => "warn".to_owned(),
            (None, None, 1) => "warn,recompress_image=debug".to_owned(),
            (None, None, 2) => "warn,recompress_image=trace".to_owned(),
            (None, None, _) => "debug,recompress_image=trace".to_owned(),
        };
        let mode = match level {
            Some(LevelFilter::OFF | LevelFilter::ERROR) => Mode::Quiet,
            _ if self.is_json() => Mode::Lines,
            _ => Mode::Live,
        };
        screen::begin(mode, self.is_json());
        let lines = Lines { is_json: self.is_json(), begin: Instant::now() };
        let filter = EnvFilter::try_new(filter)?;
        tracing_subscriber::registry().with(lines.with_filter(filter)).init();
        Ok(())
    }
}

/// The words for a level, as a sentence begins.
fn word(level: Level) -> &'static str {
    match level {
        Level::ERROR => "error",
        Level::WARN => "warning",
        Level::INFO => "info",
        Level::DEBUG => "debug",
        Level::TRACE => "trace",
    }
}

/// Prints each message as a line.
struct Lines {
    is_json: bool,
    begin: Instant,
}

impl<S: Subscriber> Layer<S> for Lines {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let Fields { message, rest } = fields;
        let (level, target) = (*event.metadata().level(), event.metadata().target());
        let message = hints::adapt(&message);
        if self.is_json {
            let rest =
                rest.into_iter().map(|(name, value)| (name.to_owned(), Value::String(value)));
            let mut fields: Map<String, Value> = rest.collect();
            fields.insert("target".into(), target.into());
            screen::print(&screen::json_line(level.as_str(), &message, fields));
            return;
        }
        let mut line = word(level).to_owned();
        if level > Level::INFO {
            line += &format!(" [{:.1} s]", self.begin.elapsed().as_secs_f64());
        }
        let own = target == "recompress_image" || target.starts_with("recompress_image::");
        line += ": ";
        if !own {
            line += &format!("{target}: ");
        }
        line += &message;
        let rest: Vec<_> = rest.iter().map(|(name, value)| format!("{name} {value}")).collect();
        if !rest.is_empty() {
            line += &format!(" ({})", rest.join(", "));
        }
        // Texts of registries and images must not look like lines of ours.
        screen::print(&one_line(&line));
    }
}

/// What an event says.
#[derive(Default)]
struct Fields {
    message: String,
    rest: Vec<(&'static str, String)>,
}

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.record_debug(field, &format_args!("{value}"));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let value = format!("{value:?}");
        match field.name() {
            "message" => self.message = value,
            name => self.rest.push((name, value)),
        }
    }
}
