//! How registries are accessed: the same options for each subcommand.
#![allow(clippy::doc_markdown, reason = "the comments on arguments are their help texts")]

use std::{fmt, path::PathBuf};

use clap::ArgAction;

use super::{usage::UsageError, value};
use crate::{
    image::ImageReference,
    store::{AccessOptions, Creds, NamedBy, Patience},
};

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Registry access")]
pub(crate) struct AccessArgs {
    /// File with registry credentials
    ///
    /// Without it, credentials are looked up where podman, docker and Tekton keep them.
    #[arg(long, env = "RECOMPRESS_AUTHFILE", value_name = "FILE")]
    authfile: Option<PathBuf>,
    /// User name and password for the registry
    ///
    /// Other users of the machine can see arguments; the variable and files are safer.
    #[arg(long, env = "RECOMPRESS_CREDS", value_name = "USER:PASSWORD", hide_env_values = true)]
    creds: Option<GivenCreds>,
    /// Require HTTPS with a valid certificate
    ///
    /// The default is true, except for registries that are insecure in registries.conf.
    #[arg(long, env = "RECOMPRESS_TLS_VERIFY", value_name = "BOOL")]
    #[arg(num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    #[arg(action = ArgAction::Set, value_parser = value::boolean)]
    tls_verify: Option<bool>,
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
    /// File with mirrors and blocked registries, see containers-registries.conf(5)
    ///
    /// Without it, the file that podman uses. Files in registries.conf.d directories are added to it.
    #[arg(long, env = "RECOMPRESS_REGISTRIES_CONF", value_name = "FILE")]
    registries_conf: Option<PathBuf>,
}

/// Credentials for the registries of the source and of the destination.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Registry access")]
pub(crate) struct SidesArgs {
    /// File with credentials for the source, instead of --authfile
    #[arg(long, env = "RECOMPRESS_SRC_AUTHFILE", value_name = "FILE")]
    src_authfile: Option<PathBuf>,
    /// User name and password for the registry of the source
    #[arg(long, env = "RECOMPRESS_SRC_CREDS", value_name = "USER:PASSWORD")]
    #[arg(hide_env_values = true)]
    src_creds: Option<GivenCreds>,
    /// Require HTTPS with a valid certificate for the source, instead of --tls-verify
    #[arg(long, env = "RECOMPRESS_SRC_TLS_VERIFY", value_name = "BOOL")]
    #[arg(num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    #[arg(action = ArgAction::Set, value_parser = value::boolean)]
    src_tls_verify: Option<bool>,
    /// File with credentials for the destination, instead of --authfile
    #[arg(long, env = "RECOMPRESS_DEST_AUTHFILE", value_name = "FILE")]
    dest_authfile: Option<PathBuf>,
    /// User name and password for the registry of the destination
    #[arg(long, env = "RECOMPRESS_DEST_CREDS", value_name = "USER:PASSWORD")]
    #[arg(hide_env_values = true)]
    dest_creds: Option<GivenCreds>,
    /// Require HTTPS with a valid certificate for the destination, instead of --tls-verify
    #[arg(long, env = "RECOMPRESS_DEST_TLS_VERIFY", value_name = "BOOL")]
    #[arg(num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    #[arg(action = ArgAction::Set, value_parser = value::boolean)]
    dest_tls_verify: Option<bool>,
}

/// `USER:PASSWORD`. It is not parsed by the parser of arguments, which would quote what is wrong.
#[derive(Clone)]
struct GivenCreds(String);

impl From<&str> for GivenCreds {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl fmt::Debug for GivenCreds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("…")
    }
}

impl GivenCreds {
    fn parse(self, option: &'static str) -> Result<Creds, UsageError> {
        match self.0.split_once(':') {
            Some((user, password)) if !user.is_empty() && !password.is_empty() => {
                Ok(Creds { user: user.to_owned(), password: password.to_owned() })
            }
            _ => Err(UsageError::Creds { option }),
        }
    }
}

impl TryFrom<AccessArgs> for AccessOptions {
    type Error = UsageError;

    fn try_from(args: AccessArgs) -> Result<Self, UsageError> {
        let AccessArgs { authfile, creds, tls_verify, ca_file, ca_file_optional, .. } = args;
        Ok(Self {
            authfile,
            creds: creds.map(|creds| creds.parse("--creds")).transpose()?,
            tls_verify: tls_verify.unwrap_or(true),
            tls_verify_given: tls_verify.is_some(),
            ca_file,
            ca_file_optional,
            cert_dir: args.cert_dir,
            registries_conf: args.registries_conf,
            named_by: NamedBy::User,
            patience: Patience::default(),
        })
    }
}

impl SidesArgs {
    /// The options for files of the source and the destination, and whether they are given.
    pub(super) fn authfiles(&self) -> [(&'static str, bool); 2] {
        [
            ("--src-authfile", self.src_authfile.is_some()),
            ("--dest-authfile", self.dest_authfile.is_some()),
        ]
    }

    /// How the source and the destination are accessed. What is given for one side replaces what is
    /// given for both.
    pub(super) fn apart(
        self,
        both: &AccessOptions,
        source: &ImageReference,
        destination: &ImageReference,
    ) -> Result<(AccessOptions, AccessOptions), UsageError> {
        let side = |authfile: Option<PathBuf>, creds: Option<GivenCreds>, option| {
            let own = creds.map(|creds| creds.parse(option)).transpose()?;
            let is_own = authfile.is_some() || own.is_some();
            let creds = if is_own { own } else { both.creds.clone() };
            let authfile = authfile.or_else(|| both.authfile.clone());
            Ok((AccessOptions { authfile, creds, ..both.clone() }, is_own))
        };
        let with = |access: AccessOptions, tls_verify: Option<bool>| AccessOptions {
            tls_verify: tls_verify.unwrap_or(access.tls_verify),
            tls_verify_given: access.tls_verify_given || tls_verify.is_some(),
            ..access
        };
        let (of_source, one) = side(self.src_authfile, self.src_creds, "--src-creds")?;
        let (of_destination, other) = side(self.dest_authfile, self.dest_creds, "--dest-creds")?;
        let differ = match (source.registry(), destination.registry()) {
            (Some(source), Some(destination)) => source != destination,
            _ => false,
        };
        if both.creds.is_some() && differ && !one && !other {
            return Err(UsageError::CredsOfTwo);
        }
        Ok((with(of_source, self.src_tls_verify), with(of_destination, self.dest_tls_verify)))
    }
}
