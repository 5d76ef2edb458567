//! What a protocol's parser read, as one closed enum: the researchers' formats print it, detectors take what they need.

use super::dcerpc::RpcCall;
use super::dhcp::DhcpMessage;
use super::dht::DhtMessage;
use super::dns::Dns;
use super::file::FileInfo;
use super::ftp::FtpCommand;
use super::http::HttpExchange;
use super::imap::ImapCommand;
use super::kerberos::KerberosExchange;
use super::ldap::LdapOperation;
use super::mqtt::MqttMessage;
use super::ntp::NtpMessage;
use super::pop3::Pop3Command;
use super::quic::QuicHello;
use super::rdp::RdpNegotiation;
use super::sip::SipMessage;
use super::smb::SmbCommand;
use super::smtp::SmtpMail;
use super::snmp::SnmpMessage;
use super::ssh::SshConnection;
use super::telnet::TelnetSession;
use super::tftp::TftpRequest;
use super::tls::TlsConnection;

/// A unit of an application protocol, when it is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Transaction {
    /// See [`TlsConnection`].
    Tls(Box<TlsConnection>),
    /// A message of the `NetBIOS` name service, which the detectors of DNS do not want.
    NameService(Box<Dns>),
    /// See [`HttpExchange`].
    Http(Box<HttpExchange>),
    /// See [`SshConnection`].
    Ssh(Box<SshConnection>),
    /// See [`SmtpMail`].
    Smtp(Box<SmtpMail>),
    /// See [`FtpCommand`].
    Ftp(Box<FtpCommand>),
    /// See [`Pop3Command`].
    Pop3(Box<Pop3Command>),
    /// See [`ImapCommand`].
    Imap(Box<ImapCommand>),
    /// See [`TelnetSession`].
    Telnet(Box<TelnetSession>),
    /// See [`SmbCommand`].
    Smb(Box<SmbCommand>),
    /// See [`RpcCall`].
    DceRpc(Box<RpcCall>),
    /// See [`KerberosExchange`].
    Kerberos(Box<KerberosExchange>),
    /// See [`LdapOperation`].
    Ldap(Box<LdapOperation>),
    /// See [`RdpNegotiation`].
    Rdp(Box<RdpNegotiation>),
    /// See [`NtpMessage`].
    Ntp(Box<NtpMessage>),
    /// See [`DhcpMessage`].
    Dhcp(Box<DhcpMessage>),
    /// See [`SnmpMessage`].
    Snmp(Box<SnmpMessage>),
    /// See [`TftpRequest`].
    Tftp(Box<TftpRequest>),
    /// See [`SipMessage`].
    Sip(Box<SipMessage>),
    /// See [`MqttMessage`].
    Mqtt(Box<MqttMessage>),
    /// See [`QuicHello`].
    Quic(Box<QuicHello>),
    /// See [`DhtMessage`].
    Dht(Box<DhtMessage>),
    /// See [`FileInfo`].
    File(Box<FileInfo>),
}

macro_rules! from {
    ($($variant:ident $of:ident,)*) => {
        $(impl From<$of> for Transaction {
            fn from(one: $of) -> Self {
                Self::$variant(Box::new(one))
            }
        })*
    };
}

from! {
    Tls TlsConnection,
    NameService Dns,
    Http HttpExchange,
    Ssh SshConnection,
    Smtp SmtpMail,
    Ftp FtpCommand,
    Pop3 Pop3Command,
    Imap ImapCommand,
    Telnet TelnetSession,
    Smb SmbCommand,
    DceRpc RpcCall,
    Kerberos KerberosExchange,
    Ldap LdapOperation,
    Rdp RdpNegotiation,
    Ntp NtpMessage,
    Dhcp DhcpMessage,
    Snmp SnmpMessage,
    Tftp TftpRequest,
    Sip SipMessage,
    Mqtt MqttMessage,
    Quic QuicHello,
    Dht DhtMessage,
    File FileInfo,
}
