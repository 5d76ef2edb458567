//! Accounts of the console and tokens of the API.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::{ConfigArg, Output};

/// `user …`. Accounts are disabled, never deleted: the histories of incidents name them.
#[derive(Debug, Subcommand)]
pub enum UserCommand {
    /// Add a user; the password is the first line of standard input.
    Add {
        /// Configuration file.
        #[arg(long)]
        config: PathBuf,
        /// Login name.
        #[arg(long)]
        name: String,
        /// What the user may do.
        #[arg(long, default_value = "monitor")]
        role: String,
        /// What the user sees: `all`, or 団体コード with commas between them; for somebody of a body, always the latter.
        #[arg(long, default_value = "all")]
        scope: String,
    },
    /// List the users: role, scope, authenticator, failed sign-ins that still count.
    List(Output),
    /// Keep a user from signing in; open sessions and tokens end at once.
    Disable(UserArg),
    /// Let a disabled user sign in again.
    Enable(UserArg),
    /// Set the role of a user, and with it the scope; open sessions end.
    Role {
        /// Which.
        #[command(flatten)]
        user: UserArg,
        /// What the user may do.
        role: String,
        /// What the user sees: `all`, or 団体コード with commas between them.
        #[arg(long, default_value = "all")]
        scope: String,
    },
    /// Set what a user sees; open sessions end.
    Scope {
        /// Which.
        #[command(flatten)]
        user: UserArg,
        /// `all`, or 団体コード with commas between them.
        scope: String,
    },
    /// Set the password of a user to the first line of standard input; open sessions end.
    Password(UserArg),
    /// Forget the authenticator and recovery codes of a user, who sets up new ones with the next sign-in.
    ResetTotp(UserArg),
    /// Make a certificate that a user signs in to the console with, in place of password and authenticator; certificate and key
    /// go into one new PEM file.
    Certificate {
        /// Whose.
        #[command(flatten)]
        user: UserArg,
        /// The file to make.
        #[arg(long)]
        output: PathBuf,
        /// Days until it ends.
        #[arg(long, default_value_t = 365, value_parser = clap::value_parser!(u64).range(1..=825))]
        days: u64,
    },
    /// List the certificates that users sign in with.
    Certificates(ConfigArg),
    /// End a certificate at once; its sessions end.
    RevokeCertificate {
        /// Whose.
        #[command(flatten)]
        user: UserArg,
        /// Its number, as `user certificates` lists it.
        #[arg(long)]
        serial: String,
    },
    /// Link a user to a subject (`sub`) of the identity provider in `[oidc]`.
    Link {
        /// Which.
        #[command(flatten)]
        user: UserArg,
        /// Who that is at the provider.
        #[arg(long)]
        subject: String,
    },
    /// Unlink a user from the identity provider; open sessions end.
    Unlink(UserArg),
    /// List the latest sign-ins, good and bad.
    SignIns {
        /// Configuration file.
        #[arg(long)]
        config: PathBuf,
        /// Of this user alone.
        #[arg(long)]
        name: Option<String>,
    },
}

/// One user.
#[derive(Debug, Args)]
pub struct UserArg {
    /// Configuration file.
    #[arg(long)]
    pub config: PathBuf,
    /// Login name.
    #[arg(long)]
    pub name: String,
}

/// `token …`: for programs that use the API.
#[derive(Debug, Subcommand)]
pub enum TokenCommand {
    /// Make a token and print it, once.
    Add {
        /// Whose rights it has at most.
        #[command(flatten)]
        user: UserArg,
        /// What it is for.
        #[arg(long)]
        label: String,
        /// `read`, `act` (work on incidents too) or `admin` (manage accounts and configuration).
        #[arg(long, default_value = "read")]
        right: String,
        /// What it sees at most: `all` that the user sees, or 団体コード with commas between them.
        #[arg(long, default_value = "all")]
        scope: String,
        /// Days until it ends.
        #[arg(long, default_value_t = 90, value_parser = clap::value_parser!(u64).range(1..=366))]
        days: u64,
    },
    /// List the tokens; the secrets are not known.
    List(ConfigArg),
    /// End a token at once.
    Revoke {
        /// Whose.
        #[command(flatten)]
        user: UserArg,
        /// Which.
        #[arg(long)]
        label: String,
    },
}
