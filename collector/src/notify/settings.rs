//! `notify.toml`: who is told, and by which servers. Secrets lie in files of their own. Checked at start.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use sekimori_wire::id::BodyCode;
use serde::Deserialize;
use toml::Spanned;

use super::{clean, syslog, tls, webhook};
use crate::auth::role::Role;
use crate::i18n::Lang;
use crate::timing::data::{self, DataError, Text};

/// Longest secret.
const SECRET_BYTES_MAX: usize = 4096;
/// Shortest secret of a webhook: what signs must not be guessed.
const SECRET_BYTES_MIN: usize = 16;

/// How a contact is reached.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Address {
    /// By mail.
    Mail(String),
    /// By the webhook of this name.
    Webhook(String),
    /// By the syslog of this name.
    Syslog(String),
}

impl Address {
    /// The way: `mail`, `webhook`, `syslog`.
    pub const fn channel(&self) -> &'static str {
        match self {
            Self::Mail(_) => "mail",
            Self::Webhook(_) => "webhook",
            Self::Syslog(_) => "syslog",
        }
    }

    /// Where to.
    pub fn value(&self) -> &str {
        match self {
            Self::Mail(value) | Self::Webhook(value) | Self::Syslog(value) => value,
        }
    }

    /// From the way and where to.
    pub fn new(channel: &str, value: &str) -> Option<Self> {
        let make = match channel {
            "mail" => Self::Mail,
            "webhook" => Self::Webhook,
            "syslog" => Self::Syslog,
            _ => return None,
        };
        Some(make(value.to_owned()))
    }
}

/// Somebody, or something, that is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contact {
    /// The name, once in the file.
    pub name: String,
    /// In these roles.
    pub roles: BTreeSet<Role>,
    /// 法務, 広報, 管理職…
    pub tags: BTreeSet<String>,
    /// Of these bodies; empty: of all.
    pub bodies: BTreeSet<BodyCode>,
    /// Stands in for others.
    pub deputy: bool,
    /// For drills only; others are never told of a drill.
    pub drill: bool,
    /// In which language.
    pub lang: Lang,
    /// How.
    pub address: Address,
}

/// How the connection to the mail server is protected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Security {
    /// STARTTLS, required: a server that does not offer it gets nothing.
    #[default]
    Starttls,
    /// TLS from the first byte.
    Tls,
    /// None, for a server on the same machine.
    None,
}

/// The mail server.
#[derive(Clone, Debug)]
pub struct Mail {
    /// Its name, as its certificate has it.
    pub server: String,
    /// Its port.
    pub port: u16,
    /// How it is protected.
    pub security: Security,
    /// The sender.
    pub from: String,
    /// Who signs in, with which password.
    pub credentials: Option<(String, String)>,
    /// PEM of whom to trust; `None`: the system's.
    pub ca_pem: Option<Vec<u8>>,
}

/// The whole file.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// The mail server, if there is one.
    pub mail: Option<Mail>,
    /// Webhooks.
    pub webhooks: Vec<webhook::Hook>,
    /// Syslog receivers.
    pub syslogs: Vec<syslog::Target>,
    /// In the order of the file: the first is told first.
    pub contacts: Vec<Contact>,
    /// How much and how often.
    pub limits: Limits,
}

/// How much and how often.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Letters to one address within a minute.
    pub per_minute: u32,
    /// Attempts before a letter is given up.
    pub attempts: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self { per_minute: 20, attempts: 10 }
    }
}

impl Limits {
    /// How long to wait after so many failed attempts: doubling, from half a minute to half an hour.
    pub fn wait(self, failed: u32) -> Duration {
        Duration::from_secs(30_u64.saturating_mul(1 << failed.saturating_sub(1).min(10)).min(1800))
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    mail: Option<Spanned<MailFile>>,
    #[serde(default)]
    webhook: Vec<Spanned<WebhookFile>>,
    #[serde(default)]
    syslog: Vec<Spanned<SyslogFile>>,
    #[serde(default)]
    contact: Vec<Spanned<ContactFile>>,
    limits: Option<Spanned<Limits>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct MailFile {
    server: String,
    port: Option<u16>,
    #[serde(default)]
    security: Security,
    from: String,
    user: Option<String>,
    password_file: Option<PathBuf>,
    ca_file: Option<PathBuf>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct WebhookFile {
    name: String,
    url: String,
    secret_file: PathBuf,
    ca_file: Option<PathBuf>,
    #[serde(default)]
    plain: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct SyslogFile {
    name: String,
    address: String,
    transport: syslog::Transport,
    #[serde(default)]
    format: syslog::Format,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ContactFile {
    name: String,
    roles: Vec<String>,
    #[serde(default)]
    tags: BTreeSet<String>,
    #[serde(default)]
    bodies: Vec<String>,
    #[serde(default)]
    deputy: bool,
    #[serde(default)]
    drill: bool,
    lang: Option<String>,
    mail: Option<String>,
    webhook: Option<String>,
    syslog: Option<String>,
}

impl Settings {
    /// Reads the file; names of files in it are looked for beside it.
    ///
    /// # Errors
    /// Names file, line, key and rule.
    pub fn load(path: &Path) -> Result<Self, DataError> {
        let text = Text::open(Some(path), "", "")?;
        Self::parse(&text, path.parent().unwrap_or_else(|| Path::new(".")))
    }

    /// Reads the text; files that it names lie in `dir`.
    ///
    /// # Errors
    /// Names line, key and rule.
    pub fn parse(text: &Text, dir: &Path) -> Result<Self, DataError> {
        let file: File = text.toml()?;
        let limits = match &file.limits {
            None => Limits::default(),
            Some(at) => {
                let limits = *at.get_ref();
                if !(1..=6000).contains(&limits.per_minute) || !(1..=50).contains(&limits.attempts) {
                    return Err(text.broken(
                        at,
                        "limits",
                        "are per_minute of 1 to 6000 and attempts of 1 to 50",
                    ));
                }
                limits
            }
        };
        let mut out = Self { limits, ..Self::default() };
        if let Some(at) = &file.mail {
            out.mail = Some(mail(text, dir, at)?);
        }
        let mut names = BTreeSet::new();
        for at in &file.webhook {
            once(text, at, &mut names, &format!("webhook {}", at.get_ref().name))?;
            out.webhooks.push(hook(text, dir, at)?);
        }
        for at in &file.syslog {
            let one = at.get_ref();
            once(text, at, &mut names, &format!("syslog {}", one.name))?;
            let address = one.address.clone();
            if address
                .rsplit_once(':')
                .is_none_or(|(host, port)| host.is_empty() || port.parse::<u16>().is_err())
            {
                return Err(text.broken(at, "syslog.address", "is like 192.0.2.1:514"));
            }
            let (transport, format) = (one.transport, one.format);
            out.syslogs.push(syslog::Target { name: one.name.clone(), address, transport, format });
        }
        for at in &file.contact {
            once(text, at, &mut names, &format!("contact {}", at.get_ref().name))?;
            let contact = out.contact(text, at)?;
            out.contacts.push(contact);
        }
        Ok(out)
    }

    fn contact(&self, text: &Text, at: &Spanned<ContactFile>) -> Result<Contact, DataError> {
        let one = at.get_ref();
        let broken =
            |key: &str, rule: String| text.broken(at, format!("contact {:?}: {key}", one.name), rule);
        let role = |name: &String| {
            Role::from_name(name).ok_or_else(|| broken("roles", format!("has {name:?}, which is not a role")))
        };
        let body = |code: &String| {
            code.parse().map_err(|cause| broken("bodies", format!("has {code:?}, no 団体コード: {cause}")))
        };
        let address = match (&one.mail, &one.webhook, &one.syslog) {
            (Some(mail), None, None) => {
                if self.mail.is_none() {
                    return Err(broken("mail", "needs [mail]".to_owned()));
                }
                super::mail::check(mail).map_err(|cause| broken("mail", cause))?;
                Address::Mail(mail.clone())
            }
            (None, Some(name), None) if self.webhook(name).is_some() => Address::Webhook(name.clone()),
            (None, None, Some(name)) if self.syslog(name).is_some() => Address::Syslog(name.clone()),
            _ => {
                let rule = "has one of mail, webhook and syslog, the latter two by a name that stands above";
                return Err(broken("address", rule.to_owned()));
            }
        };
        let lang = match one.lang.as_deref() {
            None => Lang::Ja,
            Some(code) => {
                Lang::from_code(code).ok_or_else(|| broken("lang", "is \"ja\" or \"en\"".to_owned()))?
            }
        };
        if one.roles.is_empty() {
            return Err(broken("roles", "has at least one".to_owned()));
        }
        Ok(Contact {
            name: one.name.clone(),
            roles: one.roles.iter().map(role).collect::<Result<_, _>>()?,
            tags: one.tags.clone(),
            bodies: one.bodies.iter().map(body).collect::<Result<_, _>>()?,
            deputy: one.deputy,
            drill: one.drill,
            lang,
            address,
        })
    }

    /// The webhook of this name.
    pub fn webhook(&self, name: &str) -> Option<&webhook::Hook> {
        self.webhooks.iter().find(|hook| hook.name == name)
    }

    /// The syslog of this name.
    pub fn syslog(&self, name: &str) -> Option<&syslog::Target> {
        self.syslogs.iter().find(|target| target.name == name)
    }

    /// Whom a role means for a body, in the order in which they are told: deputies last. Of a drill, only its own list.
    pub fn ladder(&self, role: Role, body: Option<&BodyCode>, drill: bool) -> Vec<&Contact> {
        let fits = |contact: &&Contact| {
            contact.drill == drill
                && contact.roles.contains(&role)
                && (contact.bodies.is_empty() || body.is_some_and(|body| contact.bodies.contains(body)))
        };
        let mut out: Vec<_> = self.contacts.iter().filter(fits).collect();
        out.sort_by_key(|contact| contact.deputy);
        out
    }
}

fn once<T>(text: &Text, at: &Spanned<T>, names: &mut BTreeSet<String>, name: &str) -> Result<(), DataError> {
    if clean::line(name, 80) != name || name.ends_with(' ') {
        return Err(text.broken(at, "name", "is one short line"));
    }
    if names.insert(name.to_owned()) { Ok(()) } else { Err(text.broken(at, name, "stands there twice")) }
}

fn mail(text: &Text, dir: &Path, at: &Spanned<MailFile>) -> Result<Mail, DataError> {
    let one = at.get_ref();
    let credentials = match (&one.user, &one.password_file) {
        (None, None) => None,
        (Some(user), Some(file)) => {
            let secret = secret(text, at, "mail.password_file", &dir.join(file))?;
            let secret = String::from_utf8(secret)
                .map_err(|_cause| text.broken(at, "mail.password_file", "is not UTF-8"))?;
            Some((user.clone(), secret))
        }
        (Some(_), None) | (None, Some(_)) => {
            return Err(text.broken(at, "mail", "has both of user and password_file, or none"));
        }
    };
    if one.security == Security::None && credentials.is_some() {
        return Err(text.broken(at, "mail.security", "is starttls or tls where there is a password"));
    }
    super::mail::check(&one.from).map_err(|cause| text.broken(at, "mail.from", cause))?;
    let ca_pem = match &one.ca_file {
        None => None,
        Some(file) => {
            let path = dir.join(file);
            tls::client(Some(&path)).map_err(|cause| text.broken(at, "mail.ca_file", cause.to_string()))?;
            Some(data::bytes(&path)?)
        }
    };
    let port = one.port.unwrap_or(match one.security {
        Security::Starttls => 587,
        Security::Tls => 465,
        Security::None => 25,
    });
    Ok(Mail {
        server: one.server.clone(),
        port,
        security: one.security,
        from: one.from.clone(),
        credentials,
        ca_pem,
    })
}

fn hook(text: &Text, dir: &Path, at: &Spanned<WebhookFile>) -> Result<webhook::Hook, DataError> {
    let one = at.get_ref();
    let broken = |key: &str, rule: String| text.broken(at, format!("webhook {:?}: {key}", one.name), rule);
    let url: hyper::Uri = one.url.parse().map_err(|_cause| broken("url", "is not a URL".to_owned()))?;
    let tls = match (url.scheme_str(), one.plain) {
        (Some("https"), false) => {
            let file = one.ca_file.as_ref().map(|file| dir.join(file));
            Some(tls::client(file.as_deref()).map_err(|cause| broken("ca_file", cause.to_string()))?)
        }
        (Some("http"), true) => None,
        _ => return Err(broken("url", "begins with https:// (http:// only with plain = true)".to_owned())),
    };
    if url.host().is_none_or(str::is_empty)
        || url.authority().is_some_and(|authority| authority.as_str().contains('@'))
    {
        return Err(broken("url", "names a host, and no user".to_owned()));
    }
    let secret = secret(text, at, "webhook.secret_file", &dir.join(&one.secret_file))?;
    if secret.len() < SECRET_BYTES_MIN {
        return Err(broken("secret_file", format!("holds {SECRET_BYTES_MIN} bytes or more")));
    }
    Ok(webhook::Hook { name: one.name.clone(), url, tls, secret: Arc::from(secret) })
}

fn secret<T>(text: &Text, at: &Spanned<T>, key: &str, path: &Path) -> Result<Vec<u8>, DataError> {
    let bytes = data::bytes(path)?;
    let secret = bytes.trim_ascii();
    if secret.is_empty() || secret.len() > SECRET_BYTES_MAX {
        return Err(text.broken(at, key, format!("names a file with 1 to {SECRET_BYTES_MAX} bytes")));
    }
    Ok(secret.to_vec())
}

#[cfg(test)]
mod tests;
