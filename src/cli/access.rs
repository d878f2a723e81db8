//! How registries are accessed: the same for each subcommand.
#![allow(clippy::doc_markdown, reason = "the comments on arguments are their help texts")]

use std::path::PathBuf;

/// Options of every subcommand that reads from a registry.
#[derive(Debug, clap::Args)]
pub struct AccessArgs {
    /// File with registry credentials, instead of those of podman, docker and Tekton
    #[arg(long, env = "RECOMPRESS_AUTHFILE", value_name = "FILE")]
    pub authfile: Option<PathBuf>,
    /// Insist on HTTPS with a certificate that can be verified
    #[arg(long, env = "RECOMPRESS_TLS_VERIFY", value_name = "BOOL")]
    #[arg(num_args = 0..=1, require_equals = true, default_value = "true")]
    #[arg(default_missing_value = "true", action = clap::ArgAction::Set)]
    pub tls_verify: bool,
    /// PEM file of certificate authorities to trust besides the system's
    #[arg(long, env = "RECOMPRESS_CA_FILE", value_name = "FILE")]
    pub ca_file: Option<PathBuf>,
    /// Do without the CA file if it is missing or empty
    #[arg(long, env = "RECOMPRESS_CA_FILE_OPTIONAL", value_name = "BOOL")]
    #[arg(num_args = 0..=1, require_equals = true, default_value = "false")]
    #[arg(default_missing_value = "true", action = clap::ArgAction::Set)]
    pub ca_file_optional: bool,
    /// Folder with CA certificates (*.crt) and a client certificate (*.cert, *.key) for the
    /// registries, instead of the folders below /etc/containers/certs.d
    #[arg(long, env = "RECOMPRESS_CERT_DIR", value_name = "DIR")]
    pub cert_dir: Option<PathBuf>,
}
