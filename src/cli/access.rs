//! How registries are accessed: the same options for each subcommand.
#![allow(clippy::doc_markdown, reason = "the comments on arguments are their help texts")]

use std::path::PathBuf;

use clap::ArgAction;

use super::value;
use crate::store::{AccessOptions, Patience};

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Registry access")]
pub(crate) struct AccessArgs {
    /// File with registry credentials
    ///
    /// Without it, credentials are looked up where podman, docker and Tekton keep them.
    #[arg(long, env = "RECOMPRESS_AUTHFILE", value_name = "FILE")]
    authfile: Option<PathBuf>,
    /// Require HTTPS with a valid certificate
    #[arg(long, env = "RECOMPRESS_TLS_VERIFY", value_name = "BOOL", default_value = "true")]
    #[arg(num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    #[arg(action = ArgAction::Set, value_parser = value::boolean)]
    tls_verify: bool,
    /// PEM file with additional certificate authorities to trust
    #[arg(long, env = "RECOMPRESS_CA_FILE", value_name = "FILE")]
    ca_file: Option<PathBuf>,
    /// Ignore --ca-file if it does not exist or is empty
    #[arg(long, env = "RECOMPRESS_CA_FILE_OPTIONAL", value_name = "BOOL", default_value = "false")]
    #[arg(num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    #[arg(action = ArgAction::Set, value_parser = value::boolean)]
    ca_file_optional: bool,
    /// Directory with CA certificates and a client certificate
    ///
    /// CA certificates are named *.crt; a client certificate *.cert, and its key *.key. Used for all
    /// registries, instead of the directories below /etc/containers/certs.d.
    #[arg(long, env = "RECOMPRESS_CERT_DIR", value_name = "DIR")]
    cert_dir: Option<PathBuf>,
}

impl From<AccessArgs> for AccessOptions {
    fn from(args: AccessArgs) -> Self {
        let AccessArgs { authfile, tls_verify, ca_file, ca_file_optional, cert_dir } = args;
        let patience = Patience::default();
        Self { authfile, tls_verify, ca_file, ca_file_optional, cert_dir, patience }
    }
}
