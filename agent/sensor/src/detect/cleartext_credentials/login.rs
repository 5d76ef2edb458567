//! Which units of which protocols are a login in clear text.

use crate::event::ftp::FtpCommand;
use crate::event::ldap::{LdapMechanism, LdapRequest};
use crate::event::mqtt::MqttBody;
use crate::event::snmp::SnmpCommunity;
use crate::event::{
    HttpExchange, ImapCommand, LdapOperation, MqttMessage, Pop3Command, SmtpMail, TelnetSession, Transaction,
};

/// A secret that went over the wire for anybody to read. The secret itself is not here: parsers do not keep it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Login {
    /// Service, as findings name it.
    pub(super) service: &'static str,
    /// Who logs in, if that was said in the same unit; never leaves but as a keyed hash.
    pub(super) user: Option<Box<str>>,
    /// The server let it in, if that is known.
    pub(super) accepted: Option<bool>,
    /// The flow's originator logs in.
    pub(super) from_originator: bool,
}

/// What a unit says.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Said {
    /// Of no interest.
    Nothing,
    /// Who is going to log in; the secret follows in another unit.
    User(Box<str>),
    /// A login.
    Login(Login),
}

fn login(service: &'static str, user: Option<Box<str>>, accepted: Option<bool>) -> Said {
    Said::Login(Login { service, user, accepted, from_originator: true })
}

/// Mechanisms of SASL that send the password as it is (RFC 4616; LOGIN was never a standard).
fn is_clear(mechanism: &str) -> bool {
    mechanism.eq_ignore_ascii_case("PLAIN") || mechanism.eq_ignore_ascii_case("LOGIN")
}

/// What a unit of a protocol says of a login.
pub(super) fn read(one: &Transaction) -> Said {
    match one {
        Transaction::Ftp(command) => ftp(command),
        Transaction::Pop3(command) => pop3(command),
        Transaction::Imap(command) => imap(command),
        Transaction::Smtp(mail) => smtp(mail),
        Transaction::Telnet(session) => telnet(session),
        Transaction::Http(exchange) => http(exchange),
        Transaction::Ldap(operation) => ldap(operation),
        Transaction::Mqtt(message) => mqtt(message),
        Transaction::Snmp(message) => match message.community {
            Some(SnmpCommunity::Private | SnmpCommunity::Other) => Said::Login(Login {
                service: "SNMP",
                user: None,
                accepted: None,
                from_originator: message.from_originator,
            }),
            // Everybody knows this one: nothing is given away.
            Some(SnmpCommunity::Public) | None => Said::Nothing,
        },
        Transaction::Tls(_)
        | Transaction::NameService(_)
        | Transaction::Ssh(_)
        | Transaction::Smb(_)
        | Transaction::DceRpc(_)
        | Transaction::Kerberos(_)
        | Transaction::Rdp(_)
        | Transaction::Ntp(_)
        | Transaction::Dhcp(_)
        | Transaction::Tftp(_)
        | Transaction::Sip(_)
        | Transaction::Quic(_)
        | Transaction::Dht(_)
        | Transaction::File(_) => Said::Nothing,
    }
}

fn ftp(command: &FtpCommand) -> Said {
    if command.command.as_deref() != Some("PASS") || command.guest_password.is_some() {
        return Said::Nothing;
    }
    let code = command.replies.iter().rev().find_map(|(code, _)| *code);
    let accepted = code.map(|code| (200..300).contains(&code));
    login("FTP", command.user.clone(), accepted)
}

fn pop3(command: &Pop3Command) -> Said {
    let Some(request) = &command.request else { return Said::Nothing };
    let first = request.arguments.first();
    let accepted = command.response.as_ref().map(|response| response.success);
    match &*request.command {
        "USER" => first.map_or(Said::Nothing, |user| Said::User(user.clone())),
        "PASS" => login("POP3", None, accepted),
        "AUTH" if first.is_some_and(|mechanism| is_clear(mechanism)) => login("POP3", None, None),
        _ => Said::Nothing,
    }
}

fn imap(command: &ImapCommand) -> Said {
    let accepted = command.status.as_deref().map(|status| status == "OK");
    match &*command.command {
        "LOGIN" => login("IMAP", command.argument.clone(), accepted),
        "AUTHENTICATE" if command.argument.as_deref().is_some_and(is_clear) => login("IMAP", None, accepted),
        _ => Said::Nothing,
    }
}

fn smtp(mail: &SmtpMail) -> Said {
    match &mail.login {
        Some(one) if is_clear(&one.mechanism) => login("SMTP", None, one.succeeded),
        Some(_) | None => Said::Nothing,
    }
}

fn telnet(session: &TelnetSession) -> Said {
    if !session.password_given {
        return Said::Nothing;
    }
    login("Telnet", session.user.clone(), session.succeeded)
}

fn http(exchange: &HttpExchange) -> Said {
    let Some(request) = &exchange.request else { return Said::Nothing };
    let status = exchange.response.as_ref().and_then(|response| response.status.parse::<u16>().ok());
    let said = |service, user: &Option<Box<str>>, accepted| {
        Said::Login(Login {
            service,
            user: user.clone(),
            accepted,
            from_originator: exchange.from_originator,
        })
    };
    if request.user.is_some() {
        return said("HTTP Basic", &request.user, status.map(|status| status < 400));
    }
    match &request.form {
        // A form that is refused comes back with 200 as well: only a redirection tells.
        Some(form) if form.has_password => said("HTTP form", &form.user, None),
        Some(_) | None => Said::Nothing,
    }
}

fn ldap(operation: &LdapOperation) -> Said {
    let Some(LdapRequest::Bind { name, mechanism: LdapMechanism::Simple { is_empty: false }, .. }) =
        &operation.request
    else {
        return Said::Nothing;
    };
    let result = operation.responses.last().and_then(|response| response.result.as_ref());
    Said::Login(Login {
        service: "LDAP",
        user: Some(name.clone()).filter(|name| !name.is_empty()),
        accepted: result.map(|result| result.code == 0),
        from_originator: operation.from_originator,
    })
}

fn mqtt(message: &MqttMessage) -> Said {
    for packet in &message.packets {
        if let MqttBody::Connect(connect) = &packet.body
            && connect.has_password()
        {
            return Said::Login(Login {
                service: "MQTT",
                user: connect.username.clone(),
                accepted: None,
                from_originator: packet.from_originator,
            });
        }
    }
    Said::Nothing
}
