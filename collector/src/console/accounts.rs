//! Everybody's accounts, for who manages them: made, changed, disabled; never deleted. Nobody changes their own rights, so
//! that there is always somebody who manages.

use askama::Template;
use axum::Form;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Redirect, Response};
use serde::Deserialize;

use super::account::SignInRow;
use super::page::{Mark, Page, When, chain, error, failed, query_value, render, shown};
use super::{Console, PeerAddress, Visitor};
use crate::auth::password::{PasswordError, random_secret};
use crate::auth::role::Role;
use crate::auth::scope::Scope;
use crate::auth::{User, UserName};
use crate::clock::now;
use crate::i18n::Lang;
use crate::store::StoreError;
use crate::store::account::{Account, AccountChange};
use crate::store::people::log::By;

/// Sign-ins and lines of the log shown.
const LINES: u32 = 30;

/// Whether this person manages everybody's accounts.
pub(super) fn may_manage(user: &User) -> bool {
    user.role.manages_accounts() && user.scope.is_all()
}

#[derive(Template)]
#[template(path = "accounts.html")]
struct AccountsPage {
    page: Page,
    rows: Vec<Row>,
    roles: Vec<(&'static str, String)>,
    one: Option<One>,
    /// A new password, shown once.
    secret: Option<(String, String)>,
    problem: Option<String>,
}

/// An account in the list.
struct Row {
    name: String,
    address: String,
    role: String,
    bodies: String,
    state: Mark,
    factor: Mark,
    since: When,
}

/// The account that is looked at.
struct One {
    name: String,
    role: &'static str,
    scope: String,
    disabled: bool,
    is_self: bool,
    failures: u32,
    waits: Option<u64>,
    sessions: Vec<(When, When, String)>,
    tokens: Vec<(String, &'static str, String, When)>,
    certificates: Vec<(String, When)>,
    subjects: Vec<(String, String)>,
    sign_ins: Vec<SignInRow>,
}

/// Which account is looked at.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Asked {
    #[serde(default)]
    name: String,
}

/// `GET /accounts`.
pub(super) async fn show(
    State(console): State<Console>,
    Query(Asked { name }): Query<Asked>,
    visitor: Visitor,
) -> Response {
    if !may_manage(&visitor.user) {
        return error(visitor.lang, StatusCode::NOT_FOUND);
    }
    whole(&console, &visitor, &name, (None, None)).await
}

type Said = (Option<(String, String)>, Option<String>);

async fn whole(console: &Console, visitor: &Visitor, name: &str, (secret, problem): Said) -> Response {
    match read(console, visitor, name).await {
        Ok((rows, one)) => {
            let lang = visitor.lang;
            let roles = Role::ALL.iter().map(|role| (role.as_str(), lang.role(*role))).collect();
            let status = if problem.is_some() { StatusCode::BAD_REQUEST } else { StatusCode::OK };
            let page = Page::new(visitor, "accounts");
            (status, render(&AccountsPage { page, rows, roles, one, secret, problem })).into_response()
        }
        Err(cause) => failed(visitor.lang, &cause),
    }
}

async fn read(
    console: &Console,
    visitor: &Visitor,
    name: &str,
) -> Result<(Vec<Row>, Option<One>), StoreError> {
    let all = console.store.users().await?;
    let one = match all.iter().find(|account| account.user.name.as_str() == name) {
        Some(account) => Some(detail(console, visitor, account).await?),
        None => None,
    };
    Ok((all.iter().map(|account| row(visitor.lang, account)).collect(), one))
}

fn row(lang: Lang, account: &Account) -> Row {
    let user = &account.user;
    Row {
        name: user.name.to_string(),
        address: format!("/accounts?name={}", query_value(user.name.as_str())),
        role: lang.role(user.role),
        bodies: if user.scope.is_all() { lang.text("bodies-all") } else { user.scope.to_string() },
        state: if account.disabled {
            Mark::none(lang.text("accounts-disabled"))
        } else {
            Mark::ok(lang.text("accounts-enabled"))
        },
        factor: if account.has_totp {
            Mark::ok(lang.text("authenticator-there"))
        } else {
            Mark::none(lang.text("authenticator-none"))
        },
        since: When::from(account.created_at),
    }
}

async fn detail(console: &Console, visitor: &Visitor, account: &Account) -> Result<One, StoreError> {
    let (store, name, now) = (&console.store, account.user.name.as_str(), now());
    let (failures, waits) = store.failures_of(name, now).await?;
    let sessions = store.sessions_of(name, console.rules.session, now).await?;
    let tokens = store.api_tokens(Some(name)).await?;
    let certificates = store.person_certificates(Some(name)).await?;
    Ok(One {
        name: name.to_owned(),
        role: account.user.role.as_str(),
        scope: account.user.scope.to_text(),
        disabled: account.disabled,
        is_self: name == visitor.user.name.as_str(),
        failures,
        waits: waits.map(|wait| wait.as_secs().max(1)),
        sessions: sessions
            .into_iter()
            .map(|one| (When::from(one.created_at), When::from(one.used_at), shown(&one.address)))
            .collect(),
        tokens: tokens
            .iter()
            .filter(|one| one.is_alive(now))
            .map(|one| {
                (one.label.to_string(), one.right.as_str(), one.scope.to_string(), When::from(one.expires_at))
            })
            .collect(),
        certificates: certificates
            .into_iter()
            .filter(|one| one.is_alive(now))
            .map(|one| (one.serial, When::from(one.expires_at)))
            .collect(),
        subjects: store
            .subjects_of(name)
            .await?
            .into_iter()
            .map(|(issuer, subject)| (shown(&issuer), shown(&subject)))
            .collect(),
        sign_ins: store
            .sign_ins(Some(name), LINES)
            .await?
            .iter()
            .map(|line| SignInRow::new(visitor.lang, line))
            .collect(),
    })
}

/// What the form for a new account sends.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct New {
    csrf: String,
    name: String,
    role: String,
    scope: String,
}

/// What the form for a change sends.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Change {
    csrf: String,
    name: String,
    what: String,
    role: String,
    scope: String,
    /// A token's label, a certificate's number, a subject.
    which: String,
}

/// Why nothing was changed.
#[derive(Debug, thiserror::Error)]
enum ChangeError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Password(#[from] PasswordError),
    /// Words of the locale, with what they speak of.
    #[error("{0}")]
    Rule(&'static str, String),
}

fn rule(key: &'static str) -> ChangeError {
    ChangeError::Rule(key, String::new())
}

/// `POST /accounts`: a new account, with a password that is shown once.
pub(super) async fn add(
    State(console): State<Console>,
    PeerAddress(from): PeerAddress,
    visitor: Visitor,
    Form(form): Form<New>,
) -> Response {
    if let Some(refused) = refusal(&visitor, &form.csrf) {
        return refused;
    }
    let address = from.to_string();
    let by = By::person(&visitor.user, &address, "console", now());
    let done = create(&console, &by, &form).await;
    answer(&console, &visitor, &form.name, done).await
}

/// `POST /accounts/change`.
pub(super) async fn change(
    State(console): State<Console>,
    PeerAddress(from): PeerAddress,
    visitor: Visitor,
    Form(form): Form<Change>,
) -> Response {
    if let Some(refused) = refusal(&visitor, &form.csrf) {
        return refused;
    }
    let address = from.to_string();
    let by = By::person(&visitor.user, &address, "console", now());
    let done = carry_out(&console, &by, &form).await;
    answer(&console, &visitor, &form.name, done).await
}

fn refusal(visitor: &Visitor, csrf: &str) -> Option<Response> {
    if csrf != visitor.token.csrf() {
        return Some(error(visitor.lang, StatusCode::FORBIDDEN));
    }
    (!may_manage(&visitor.user)).then(|| error(visitor.lang, StatusCode::NOT_FOUND))
}

async fn answer(
    console: &Console,
    visitor: &Visitor,
    name: &str,
    done: Result<Option<String>, ChangeError>,
) -> Response {
    let lang = visitor.lang;
    match done {
        Ok(None) => Redirect::to(&format!("/accounts?name={}", query_value(name))).into_response(),
        Ok(Some(secret)) => whole(console, visitor, name, (Some((shown(name), secret)), None)).await,
        Err(ChangeError::Rule(key, about)) => {
            whole(console, visitor, name, (None, Some(lang.with(key, about)))).await
        }
        Err(ChangeError::Store(cause)) => failed(lang, &cause),
        Err(ChangeError::Password(cause)) => {
            tracing::error!(error = %chain(&cause), "no password can be made");
            error(lang, StatusCode::INTERNAL_SERVER_ERROR)
        }
    }
}

async fn create(console: &Console, by: &By<'_>, form: &New) -> Result<Option<String>, ChangeError> {
    let name = UserName::new(&form.name);
    if form.name.is_empty() || name.as_str() != form.name || name.to_string() != form.name {
        return Err(rule("accounts-bad-name"));
    }
    let (role, scope) = rights(&form.role, &form.scope)?;
    let password = random_secret()?;
    let hash = console.guard.hash(password.clone()).await?;
    if console.store.create_account(by, &name, role, &scope, &hash).await? {
        Ok(Some(password))
    } else {
        Err(rule("accounts-taken"))
    }
}

fn rights(role: &str, scope: &str) -> Result<(Role, Scope), ChangeError> {
    let role = Role::from_name(role).ok_or_else(|| rule("accounts-bad-role"))?;
    Ok((role, scope_of(role, scope)?))
}

fn scope_of(role: Role, scope: &str) -> Result<Scope, ChangeError> {
    let scope = Scope::parse(scope).and_then(|scope| scope.for_role(role));
    scope.map_err(|why| ChangeError::Rule("accounts-bad-scope", why.to_string()))
}

/// What the buttons are called.
async fn carry_out(console: &Console, by: &By<'_>, form: &Change) -> Result<Option<String>, ChangeError> {
    let store = &console.store;
    let account = store.account(&form.name).await?.ok_or_else(|| rule("accounts-none"))?;
    let name = account.user.name.as_str();
    let ends_only = ["end-sessions", "revoke-token", "revoke-certificate"].contains(&form.what.as_str());
    if name == by.actor && !ends_only {
        return Err(rule("accounts-self"));
    }
    let change = match form.what.as_str() {
        "disable" => AccountChange::Disable,
        "enable" => AccountChange::Enable,
        "reset-totp" => AccountChange::ResetTotp,
        "rights" => {
            let (role, scope) = rights(&form.role, &form.scope)?;
            AccountChange::Role(role, scope)
        }
        "password" => {
            let password = random_secret()?;
            let hash = console.guard.hash(password.clone()).await?;
            store.alter_account(by, name, &AccountChange::Password(hash)).await?;
            return Ok(Some(password));
        }
        other => {
            let done = match other {
                "end-sessions" => store.close_sessions(by, name, None).await.map(|_ended| true)?,
                "revoke-token" => store.end_api_token(by, name, &form.which).await?,
                "revoke-certificate" => store.revoke_person_certificate(by, name, &form.which).await?,
                "unlink" => store.unlink_subjects(by, name).await?,
                "link" => link(console, by, name, form.which.trim()).await?,
                _ => return Err(rule("accounts-none")),
            };
            return if done { Ok(None) } else { Err(rule("accounts-nothing")) };
        }
    };
    store.alter_account(by, name, &change).await?;
    Ok(None)
}

async fn link(console: &Console, by: &By<'_>, name: &str, subject: &str) -> Result<bool, ChangeError> {
    let Some(provider) = &console.provider else { return Err(rule("accounts-no-provider")) };
    if subject.is_empty() || subject.len() > 255 {
        return Err(rule("accounts-bad-subject"));
    }
    Ok(console.store.link_subject(by, name, (&provider.settings().issuer, subject)).await?)
}
