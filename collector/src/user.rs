//! `user …` and `token …`: accounts, and tokens for programs.

use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use sekimori_collector::auth::password::{check_password, hash_password};
use sekimori_collector::auth::role::Role;
use sekimori_collector::auth::scope::Scope;
use sekimori_collector::auth::token::{ApiToken, Right, TokenEntry};
use sekimori_collector::auth::{UserName, certificate};
use sekimori_collector::beside::{open, operator, read_only};
use sekimori_collector::cli::{TokenCommand, UserArg, UserCommand};
use sekimori_collector::clock;
use sekimori_collector::fleet::authority::Paths;
use sekimori_collector::store::Store;
use sekimori_collector::store::account::{Account, AccountChange};
use sekimori_collector::store::people::log::By;
use sekimori_wire::text::BoundedText;

use crate::{Usage, print};

/// Longest password that is read.
const PASSWORD_BYTES_MAX: u64 = 1024;
/// Sign-ins listed.
const SIGN_INS: u32 = 200;

/// Does what `user …` asks.
///
/// # Errors
/// If something is not as it must be, or the store cannot be used.
pub(crate) async fn run(command: UserCommand) -> anyhow::Result<()> {
    match command {
        UserCommand::Add { config, name, role, scope } => add(&config, &name, &role, &scope).await,
        UserCommand::List(args) => list(&args.config, args.json).await,
        UserCommand::Disable(user) => change(&user, AccountChange::Disable).await,
        UserCommand::Enable(user) => change(&user, AccountChange::Enable).await,
        UserCommand::Role { user, role, scope } => {
            let role = role_of(&role)?;
            change(&user, AccountChange::Role(role, scope_of(&scope)?.for_role(role).map_err(usage)?)).await
        }
        UserCommand::Scope { user, scope } => {
            let scope = scope_of(&scope)?;
            let account = account(&read_only(&user.config).await?, &user.name).await?;
            change(&user, AccountChange::Scope(scope.for_role(account.user.role).map_err(usage)?)).await
        }
        UserCommand::Password(user) => {
            let password = new_password(&user.name)?;
            change(&user, AccountChange::Password(hash_password(&password)?)).await
        }
        UserCommand::ResetTotp(user) => change(&user, AccountChange::ResetTotp).await,
        UserCommand::Certificate { user, output, days } => certificate(&user, &output, days).await,
        UserCommand::Certificates(args) => certificates(&args.config).await,
        UserCommand::RevokeCertificate { user, serial } => {
            let (_config, store) = open(&user.config).await?;
            let operator = operator();
            let revoked = store.revoke_person_certificate(&by(&operator), &user.name, &serial).await?;
            store.close().await;
            if revoked { Ok(()) } else { anyhow::bail!("there is no such certificate, or it was revoked") }
        }
        UserCommand::Link { user, subject } => link(&user, &subject).await,
        UserCommand::Unlink(user) => {
            let (_config, store) = open(&user.config).await?;
            let operator = operator();
            let unlinked = store.unlink_subjects(&by(&operator), &user.name).await?;
            store.close().await;
            if unlinked { Ok(()) } else { anyhow::bail!("the account is linked to nobody") }
        }
        UserCommand::SignIns { config, name } => {
            for line in read_only(&config).await?.sign_ins(name.as_deref(), SIGN_INS).await? {
                let who = if line.account.is_empty() { "(no such account)" } else { &line.account };
                print(&format!("{}  {who}  {}  {}  {}", line.at, line.address, line.method, line.outcome))?;
            }
            Ok(())
        }
    }
}

/// Who changes something from here.
fn by(operator: &str) -> By<'_> {
    By { actor: operator, role: "os", address: "local", means: "command line", at: clock::now() }
}

/// The file is written first: a certificate that nobody has harms nobody.
async fn certificate(user: &UserArg, output: &Path, days: u64) -> anyhow::Result<()> {
    let (config, store) = open(&user.config).await?;
    let name = account(&store, &user.name).await?.user.name;
    let life = Duration::from_secs(days * 86_400);
    let issued = certificate::issue(&Paths::of(&config.dir), &name, (clock::now(), life))?;
    certificate::write(output, &issued).with_context(|| format!("cannot write {}", output.display()))?;
    let operator = operator();
    let kept = store.put_person_certificate(&by(&operator), &name, &issued).await;
    store.close().await;
    if !kept? {
        anyhow::bail!("there is no account {name}");
    }
    print(&format!("{name}  {}  until {}", issued.serial, issued.expires_at))
}

async fn certificates(config: &Path) -> anyhow::Result<()> {
    let now = clock::now();
    for one in read_only(config).await?.person_certificates(None).await? {
        let state = match (one.revoked_at, one.is_alive(now)) {
            (_, true) => "good",
            (Some(_), false) => "revoked",
            (None, false) => "ended",
        };
        print(&format!("{}  {}  {state}  until {}", one.account, one.serial, one.expires_at))?;
    }
    Ok(())
}

async fn link(user: &UserArg, subject: &str) -> anyhow::Result<()> {
    let (config, store) = open(&user.config).await?;
    let issuer = config.accounts.oidc.context("the configuration has no [oidc]")?.issuer;
    let name = account(&store, &user.name).await?.user.name;
    let operator = operator();
    let linked = store.link_subject(&by(&operator), &name, (&issuer, subject)).await?;
    store.close().await;
    if linked { Ok(()) } else { anyhow::bail!("this subject is linked to another account") }
}

async fn add(config: &Path, name: &str, role: &str, scope: &str) -> anyhow::Result<()> {
    let (name, role) = (user_name(name)?, role_of(role)?);
    let scope = scope_of(scope)?.for_role(role).map_err(usage)?;
    let hash = hash_password(&new_password(&name)?)?;
    let (_config, store) = open(config).await?;
    let operator = operator();
    let added = store.create_account(&by(&operator), &name, role, &scope, &hash).await?;
    store.close().await;
    if !added {
        anyhow::bail!("there is an account {name}: `user role`, `user password` and `user enable` change it");
    }
    Ok(())
}

async fn change(user: &UserArg, change: AccountChange) -> anyhow::Result<()> {
    let (_config, store) = open(&user.config).await?;
    let operator = operator();
    let changed = store.alter_account(&by(&operator), &user.name, &change).await?;
    store.close().await;
    if !changed {
        anyhow::bail!("there is no account {}", BoundedText::<64>::new(&user.name));
    }
    Ok(())
}

async fn account(store: &Store, name: &str) -> anyhow::Result<Account> {
    let account = store.account(name).await?;
    account.with_context(|| format!("there is no account {}", BoundedText::<64>::new(name)))
}

async fn list(config: &Path, json: bool) -> anyhow::Result<()> {
    let store = read_only(config).await?;
    let mut all = Vec::new();
    for account in store.users().await? {
        let (failures, waits) = store.failures_of(&account.user.name, clock::now()).await?;
        let waits = waits.map(|wait| wait.as_secs().max(1));
        if !json {
            let state = if account.disabled { "disabled" } else { "enabled" };
            let factor = if account.has_totp { "authenticator" } else { "password only" };
            let mut line = format!(
                "{}  {}  {}  {state}  {factor}",
                account.user.name, account.user.role, account.user.scope
            );
            if failures > 0 {
                line.push_str(&format!("  {failures} failed sign-ins"));
            }
            if let Some(seconds) = waits {
                line.push_str(&format!(", waits {seconds} s"));
            }
            print(&line)?;
            continue;
        }
        all.push(serde_json::json!({
            "name": account.user.name, "role": account.user.role.as_str(), "scope": account.user.scope.to_text(),
            "disabled": account.disabled, "authenticator": account.has_totp, "created_at": account.created_at,
            "password_at": account.password_at, "failures": failures, "waits_seconds": waits,
        }));
    }
    if json { print(&serde_json::Value::Array(all).to_string()) } else { Ok(()) }
}

/// Does what `token …` asks.
///
/// # Errors
/// If something is not as it must be, or the store cannot be used.
pub(crate) async fn token(command: TokenCommand) -> anyhow::Result<()> {
    match command {
        TokenCommand::Add { user, label, right, scope, days } => {
            let right = Right::from_name(&right)
                .ok_or_else(|| Usage("--right is one of read, act, admin".to_owned()))?;
            let (scope, token, now) = (scope_of(&scope)?, ApiToken::generate()?, clock::now());
            let label = user_name(&label)?;
            let (_config, store) = open(&user.config).await?;
            let owner = account(&store, &user.name).await?.user.name;
            let expires_at = now.plus(Duration::from_secs(days * 86_400));
            let entry = TokenEntry {
                label,
                owner,
                right,
                scope,
                created_at: now,
                expires_at,
                revoked_at: None,
                used_at: None,
            };
            let operator = operator();
            let kept = store.issue_api_token(&by(&operator), &token, &entry).await?;
            store.close().await;
            if !kept {
                anyhow::bail!("{} has a token {} already, or too many", entry.owner, entry.label);
            }
            print(token.reveal())
        }
        TokenCommand::List(args) => {
            let now = clock::now();
            for one in read_only(&args.config).await?.api_tokens(None).await? {
                let state = match (one.revoked_at, one.is_alive(now)) {
                    (_, true) => "good",
                    (Some(_), false) => "revoked",
                    (None, false) => "ended",
                };
                let used = one.used_at.map_or_else(|| "never used".to_owned(), |at| format!("used {at}"));
                print(&format!(
                    "{}  {}  {}  {}  {state}  until {}  {used}",
                    one.owner,
                    one.label,
                    one.right.as_str(),
                    one.scope,
                    one.expires_at
                ))?;
            }
            Ok(())
        }
        TokenCommand::Revoke { user, label } => {
            let (_config, store) = open(&user.config).await?;
            let operator = operator();
            let revoked = store.end_api_token(&by(&operator), &user.name, &label).await?;
            store.close().await;
            if !revoked {
                anyhow::bail!("there is no such token, or it has ended");
            }
            Ok(())
        }
    }
}

fn usage(error: impl std::fmt::Display) -> Usage {
    Usage(error.to_string())
}

fn role_of(name: &str) -> Result<Role, Usage> {
    Role::from_name(name).ok_or_else(|| {
        let all: Vec<_> = Role::ALL.iter().map(|role| role.as_str()).collect();
        Usage(format!("a role is one of {}", all.join(", ")))
    })
}

fn scope_of(text: &str) -> Result<Scope, Usage> {
    Scope::parse(text).map_err(usage)
}

fn user_name(name: &str) -> Result<UserName, Usage> {
    let bounded = UserName::new(name);
    if name.is_empty() || bounded.as_str() != name || bounded.to_string() != name {
        return Err(Usage("a name or label is 1 to 64 bytes of visible text".to_owned()));
    }
    Ok(bounded)
}

/// A password that may be chosen, from standard input: on the command line other users of the machine could read it.
fn new_password(name: &str) -> anyhow::Result<String> {
    use std::io::{BufRead as _, Read as _};
    let mut line = String::new();
    std::io::stdin()
        .lock()
        .take(PASSWORD_BYTES_MAX)
        .read_line(&mut line)
        .context("cannot read the password")?;
    let password = line.trim_end_matches(['\r', '\n']);
    if password.is_empty() {
        return Err(Usage("the first line of standard input is the password; it is empty".to_owned()).into());
    }
    check_password(password, name).map_err(usage)?;
    Ok(password.to_owned())
}
