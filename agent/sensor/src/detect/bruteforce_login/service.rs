//! Login services, and the shape of a refused login at each.

use core::ops::RangeInclusive;
use std::time::Duration;

use crate::detect::ports::Ports;
use crate::event::{Application, ConnState, FlowRecord, FlowRef};

/// A service that people and programs log in to.
#[derive(Debug)]
pub(super) struct Service {
    pub(super) name: &'static str,
    ports: &'static [u16],
    /// Payload from the responder in a refused attempt: more than a banner, less than work. From the literature of the
    /// protocols: a key exchange or greeting, and a few refusals.
    refused_bytes: RangeInclusive<u64>,
    /// Attempts at once that are forgiven where they are told by their shape.
    pub(super) burst: f64,
    /// The same where the service itself says that it refused them.
    pub(super) burst_said: f64,
    /// One more is forgiven in this time.
    pub(super) leak: Duration,
    /// In thousandths. Lower where programs open many short connections in good faith.
    pub(super) confidence: u16,
}

/// A refused attempt takes at most this long: servers wait a few seconds before each of a few refusals.
const ATTEMPT: Duration = Duration::from_secs(60);

const PEOPLE: Duration = Duration::from_secs(10);
const PROGRAMS: Duration = Duration::from_secs(5);

macro_rules! service {
    ($name:literal $ports:expr, $bytes:expr, burst $burst:literal, leak $leak:ident, confidence $confidence:literal) => {
        Service {
            name: $name,
            ports: &$ports,
            refused_bytes: $bytes,
            burst: $burst,
            burst_said: if $burst < PROGRAMS_SAID { $burst } else { PROGRAMS_SAID },
            leak: $leak,
            confidence: $confidence,
        }
    };
}

/// What is refused in so many words needs no allowance for what only looks like a refusal; programs that repeat a wrong
/// password at once, a few times for each server or mailbox that they are set up for, stay below twice what people are
/// forgiven.
const PROGRAMS_SAID: f64 = 10.0;

/// HTTP, judged by its status codes.
pub(super) const HTTP: Service = service!("HTTP" [], 0..=0, burst 15.0, leak PEOPLE, confidence 900);

pub(super) const SSH: Service = service!("SSH" [22], 500..=6_000, burst 5.0, leak PEOPLE, confidence 800);
pub(super) const FTP: Service = service!("FTP" [21], 40..=2_000, burst 5.0, leak PEOPLE, confidence 800);
pub(super) const TELNET: Service =
    service!("Telnet" [23, 2323], 20..=4_000, burst 5.0, leak PEOPLE, confidence 800);
pub(super) const SMB: Service =
    service!("SMB" [445, 139], 150..=3_000, burst 20.0, leak PROGRAMS, confidence 600);
pub(super) const SMTP: Service =
    service!("SMTP AUTH" [587, 465], 100..=8_000, burst 20.0, leak PROGRAMS, confidence 600);
pub(super) const MAIL: Service =
    service!("POP/IMAP" [110, 143, 993, 995], 30..=8_000, burst 20.0, leak PROGRAMS, confidence 600);
pub(super) const LDAP: Service =
    service!("LDAP" [389, 636], 14..=200, burst 40.0, leak PROGRAMS, confidence 500);

/// Judged only by what they say themselves.
pub(super) const FORM: Service = service!("HTTP form" [], 0..=0, burst 10.0, leak PEOPLE, confidence 700);
pub(super) const KERBEROS: Service = service!("Kerberos" [], 0..=0, burst 10.0, leak PEOPLE, confidence 900);
pub(super) const SIP: Service = service!("SIP" [], 0..=0, burst 20.0, leak PROGRAMS, confidence 700);

/// People log in to the first; programs also to the others, which therefore forgive more.
const SERVICES: [Service; 10] = [
    SSH,
    FTP,
    TELNET,
    service!("RDP" [3389], 19..=8_000, burst 10.0, leak PEOPLE, confidence 700),
    service!("VNC" [5900, 5901], 12..=500, burst 5.0, leak PEOPLE, confidence 800),
    SMB,
    SMTP,
    MAIL,
    LDAP,
    service!("Database" [1433, 1521, 3306, 5432, 6379, 27017], 8..=600, burst 40.0, leak PROGRAMS, confidence 500),
];

/// All their ports.
static PORTS: Ports = Ports::of(&{
    let (mut lists, mut rest): ([&[u16]; SERVICES.len()], _) = ([&[]; SERVICES.len()], SERVICES.as_slice());
    let mut places: &mut [&[u16]] = &mut lists;
    while let (Some((service, after)), Some((place, others))) = (rest.split_first(), places.split_first_mut())
    {
        *place = service.ports;
        (rest, places) = (after, others);
    }
    lists
});

/// Spoken on a login service's port, these are no login.
const NO_LOGIN: [Application; 5] =
    [Application::Dns, Application::Http, Application::Http2, Application::Quic, Application::Syslog];

/// The login service that a flow went to: by content, else by port.
pub(super) fn of(flow: &FlowRef, record: &FlowRecord) -> Option<&'static Service> {
    let port = flow.responder.port;
    let at_port =
        || SERVICES.iter().filter(|_| PORTS.has(port)).find(|service| service.ports.contains(&port));
    let named = |name| SERVICES.iter().find(|service| service.name == name);
    let spoken = record.application;
    if spoken == Application::Unknown {
        return at_port();
    }
    if NO_LOGIN.contains(&spoken) {
        return None;
    }
    // Mail, directories and databases speak their own protocol or TLS on their own ports.
    match [(Application::Ssh, SSH.name), (Application::Ftp, FTP.name)].iter().find(|known| known.0 == spoken)
    {
        Some((_, name)) => named(*name),
        None => at_port().filter(|service| service.name != SSH.name && service.name != FTP.name),
    }
}

impl Service {
    /// A completed connection with the shape of a refused login.
    pub(super) fn is_attempt(&self, record: &FlowRecord) -> bool {
        let completed = match record.state {
            ConnState::S1
            | ConnState::SF
            | ConnState::S2
            | ConnState::S3
            | ConnState::Rsto
            | ConnState::Rstr => true,
            ConnState::S0
            | ConnState::Rej
            | ConnState::Rstos0
            | ConnState::Rstrh
            | ConnState::Sh
            | ConnState::Shr
            | ConnState::Oth => false,
        };
        completed
            && record.end.since(record.start) <= ATTEMPT
            && record.originator.payload_bytes > 0
            && self.refused_bytes.contains(&record.responder.payload_bytes)
    }
}
