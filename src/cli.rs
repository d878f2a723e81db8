//! What was typed. What it means is worked out in [`crate::options`].
#![allow(clippy::doc_markdown, reason = "the comments on arguments are their help texts")]

pub mod access;
pub mod convert;
pub mod inspect;
pub mod probe;
pub mod verify;

use std::{fmt::Display, io::Write as _};

use clap::{Parser, Subcommand};

/// Re-push container images as zstd:chunked.
#[derive(Debug, Parser)]
#[command(name = "recompress-image", version, max_term_width = 100)]
#[command(
    about = "Re-push a container image as zstd:chunked, so that podman, CRI-O and bootc pull \
                   only the files they do not have yet"
)]
#[command(after_help = EXIT_CODES)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    /// Tell more, on standard error: -v what the program does, -vv each request
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
    /// What to log: error, warn, info, debug or trace, or a filter as in recompress_image=debug,
    /// in the syntax of tracing
    #[arg(long = "log", global = true, env = "RECOMPRESS_LOG", value_name = "FILTER")]
    pub log: Option<String>,
}

/// The jobs.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Convert an image and publish the result
    Convert(Box<convert::ConvertArgs>),
    /// Check that an image's layers are what they claim to be, and what clients make of them
    Verify(Box<verify::VerifyArgs>),
    /// Show what the layers of an image consist of
    Inspect(Box<inspect::InspectArgs>),
    /// Find out whether a registry serves partial pulls
    Probe(Box<probe::ProbeArgs>),
}

/// Prints a report on standard output.
fn print(
    output: convert::Output,
    report: &(impl Display + serde::Serialize),
) -> std::io::Result<()> {
    let mut stdout = std::io::stdout().lock();
    match output {
        convert::Output::Text => write!(stdout, "{report}")?,
        convert::Output::Json => {
            serde_json::to_writer_pretty(&mut stdout, report)?;
            writeln!(stdout)?;
        }
    }
    stdout.flush()
}

const EXIT_CODES: &str = "\
Exit codes:
  0    done
  1    internal error
  2    wrong usage
  3    access refused by a registry (401, 403)
  4    the source is broken: its content does not match its digests, or is larger than allowed
  5    the source cannot be converted as asked: an artifact, an encrypted image, an index where one
       image was meant, a layer compressed with xz or bzip2, no image for the platform, a layer
       that cannot become zstd:chunked with --require-chunked, no SBOM with the given digest
  6    a registry cannot be reached, answered wrongly, or has no such image
  7    local input or output failed: a full disk, a directory that cannot be written
  8    verify has found something wrong
  130  ended by SIGINT
  143  ended by SIGTERM";
