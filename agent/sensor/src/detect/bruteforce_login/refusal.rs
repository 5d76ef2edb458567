//! What services say themselves of a login: that it was refused, or that it succeeded.

use sekimori_wire::time::Timestamp;

use super::forms;
use super::service::{self, Service};
use crate::detect::windows::from_client;
use crate::event::kerberos::KerberosKind;
use crate::event::ldap::{LdapMechanism, LdapRequest};
use crate::event::smb::{SmbDetail, SmbStatus};
use crate::event::{
    Event, FlowEvent, FlowRef, FtpCommand, ImapCommand, KerberosExchange, LdapOperation, Pop3Command,
    SipMessage, SipStart, SmbCommand, SmtpMail, SshConnection, TelnetSession, Transaction,
};

/// A service's answer to a login.
#[derive(Debug)]
pub(super) struct Answer<'e> {
    pub(super) at: Timestamp,
    /// The client is its originator.
    pub(super) flow: FlowRef,
    pub(super) service: &'static Service,
    pub(super) verdict: Verdict,
    /// The account, where it is seen.
    pub(super) user: Option<&'e str>,
}

/// What the answer says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It was refused.
    Refused,
    /// It succeeded.
    Accepted,
    /// A page of this size came, which says it in words.
    Page(u64),
}

use Verdict::{Accepted, Refused};

/// What one protocol says: verdict and account.
type Said<'e> = (&'static Service, Verdict, Option<&'e str>);

/// The answer that an event holds.
pub(super) fn of(event: &Event) -> Option<Answer<'_>> {
    let Event::Flow { at, flow, what: FlowEvent::Transaction(transaction) } = event else { return None };
    let (said, client_is_originator) = said(transaction)?;
    let (service, verdict, user) = said;
    let user = user.filter(|user| !user.is_empty());
    Some(Answer { at: *at, flow: from_client(flow, client_is_originator), service, verdict, user })
}

fn said(transaction: &Transaction) -> Option<(Said<'_>, bool)> {
    Some(match transaction {
        Transaction::Http(exchange) => {
            (forms::said(exchange).map(|verdict| (&service::FORM, verdict, None))?, exchange.from_originator)
        }
        Transaction::Ssh(connection) => (ssh(connection)?, true),
        Transaction::Smtp(mail) => (smtp(mail)?, true),
        Transaction::Ftp(command) => (ftp(command)?, true),
        Transaction::Pop3(command) => (pop3(command)?, true),
        Transaction::Imap(command) => (imap(command)?, true),
        Transaction::Telnet(session) => (telnet(session)?, true),
        Transaction::Smb(command) => (smb(command)?, command.from_originator),
        Transaction::Kerberos(exchange) => (kerberos(exchange)?, exchange.from_originator),
        Transaction::Ldap(operation) => (ldap(operation)?, operation.from_originator),
        Transaction::Sip(message) => (sip(message)?, !message.from_originator),
        Transaction::Tls(_)
        | Transaction::NameService(_)
        | Transaction::DceRpc(_)
        | Transaction::Rdp(_)
        | Transaction::Ntp(_)
        | Transaction::Dhcp(_)
        | Transaction::Snmp(_)
        | Transaction::Tftp(_)
        | Transaction::Mqtt(_)
        | Transaction::Quic(_)
        | Transaction::Dht(_)
        | Transaction::File(_) => return None,
    })
}

const fn outcome(succeeded: bool) -> Verdict {
    if succeeded { Accepted } else { Refused }
}

/// A success shows in the sizes of the server's encrypted messages. That it was not seen proves no refusal: those are told by
/// the connection's shape.
fn ssh(connection: &SshConnection) -> Option<Said<'_>> {
    (connection.login == Some(true)).then_some((&service::SSH, Accepted, None))
}

fn smtp(mail: &SmtpMail) -> Option<Said<'_>> {
    let succeeded = mail.login.as_ref()?.succeeded?;
    Some((&service::SMTP, outcome(succeeded), None))
}

/// 530 and 230 in answer to the password (RFC 959, 5.4).
fn ftp(command: &FtpCommand) -> Option<Said<'_>> {
    let is_password = command.command.as_deref() == Some("PASS");
    let verdict = match command.replies.last()?.0? {
        230 | 232 => Accepted,
        430 | 530 | 531 => Refused,
        _ => return None,
    };
    is_password.then_some((&service::FTP, verdict, command.user.as_deref()))
}

/// `+OK` and `-ERR` in answer to what ends a login (RFC 1939, 7; RFC 5034).
fn pop3(command: &Pop3Command) -> Option<Said<'_>> {
    let request = command.request.as_ref()?;
    let user = request.arguments.first().map(|name| &**name).filter(|_| &*request.command == "APOP");
    let ends_login = matches!(&*request.command, "PASS" | "APOP" | "AUTH");
    let response = command.response.as_ref()?;
    // A challenge is no answer yet: success of AUTH alone proves nothing.
    let counts = ends_login && !(response.success && &*request.command == "AUTH");
    counts.then(|| (&service::MAIL, outcome(response.success), user))
}

/// `OK` and `NO` in answer to a login (RFC 9051, 6.2).
fn imap(command: &ImapCommand) -> Option<Said<'_>> {
    let verdict = match command.status.as_deref()? {
        "OK" => Accepted,
        "NO" => Refused,
        _ => return None,
    };
    match &*command.command {
        "LOGIN" => Some((&service::MAIL, verdict, command.argument.as_deref())),
        "AUTHENTICATE" => Some((&service::MAIL, verdict, None)),
        _ => None,
    }
}

fn telnet(session: &TelnetSession) -> Option<Said<'_>> {
    Some((&service::TELNET, outcome(session.succeeded?), session.user.as_deref()))
}

/// The status of a session setup (MS-ERREF 2.3.1): no such user, wrong password, logon failure, account restricted,
/// password expired, account disabled, account expired, password must change, account locked out.
fn smb(command: &SmbCommand) -> Option<Said<'_>> {
    const REFUSALS: [u32; 9] = [
        0xc000_0064,
        0xc000_006a,
        0xc000_006d,
        0xc000_006e,
        0xc000_0071,
        0xc000_0072,
        0xc000_0193,
        0xc000_0224,
        0xc000_0234,
    ];
    let SmbDetail::SessionSetup(session) = &command.detail else { return None };
    let user = session.ntlm.as_ref().map(|ntlm| &*ntlm.user);
    match command.status? {
        // An anonymous session or a guest's proves nothing.
        SmbStatus::Nt(0) => {
            user.filter(|user| !user.is_empty()).map(|user| (&service::SMB, Accepted, Some(user)))
        }
        SmbStatus::Nt(status) => REFUSALS.contains(&status).then_some((&service::SMB, Refused, user)),
        SmbStatus::Dos(..) => None,
    }
}

/// Errors to a request for a first ticket (RFC 4120, 7.5.9): no such client, client revoked, wrong proof. That a proof is
/// required (25) is how every log-on begins.
fn kerberos(exchange: &KerberosExchange) -> Option<Said<'_>> {
    let (request, reply) = (exchange.request.as_ref()?, exchange.reply.as_ref()?);
    let user = request.client.as_deref().or(reply.client.as_deref());
    if request.kind != KerberosKind::As {
        return None;
    }
    let verdict = match (reply.kind, reply.error) {
        // Computers log on all the time; an answer without proof is no login.
        (Some(_), _) if request.has_preauth && user.is_some_and(|user| !user.ends_with('$')) => Accepted,
        (None, Some(6 | 18 | 24)) => Refused,
        _ => return None,
    };
    Some((&service::KERBEROS, verdict, user))
}

/// Result 49, invalidCredentials, and 0 (RFC 4511, 4.2.2).
fn ldap(operation: &LdapOperation) -> Option<Said<'_>> {
    let Some(LdapRequest::Bind { name, mechanism, .. }) = &operation.request else { return None };
    if *mechanism == (LdapMechanism::Simple { is_empty: true }) {
        return None;
    }
    let verdict = match operation.responses.last()?.result.as_ref()?.code {
        0 => Accepted,
        49 => Refused,
        _ => return None,
    };
    Some((&service::LDAP, verdict, Some(&**name)))
}

/// Answers to `REGISTER` and calls (RFC 3261, 21.4): 401 comes before each success too, which the share of successes shows.
fn sip(message: &SipMessage) -> Option<Said<'_>> {
    let SipStart::Response { code, .. } = &message.start else { return None };
    let verdict = match &**code {
        "200" => Accepted,
        "401" | "403" | "404" | "407" => Refused,
        _ => return None,
    };
    Some((&service::SIP, verdict, None))
}
