//! What the messages of a handshake add up to, whatever carries them: records of TLS or DTLS, or frames of QUIC.

use super::hello::{ClientFields, Cookie, ServerFields, lossy, texts};
use super::{ja3, quic, x509};
use crate::counters::Counter;
use crate::event::tls::{Carrier, Name, Progress};
use crate::event::{Application, Certificate, FlowEvent, QuicHello, TlsConnection};
use crate::proto::reader::Reader;
use crate::proto::{Side, Sink};

pub(in crate::proto) const CLIENT_HELLO: u8 = 1;
pub(in crate::proto) const SERVER_HELLO: u8 = 2;
pub(super) const CERTIFICATE: u8 = 11;
pub(super) const SERVER_KEY_EXCHANGE: u8 = 12;
pub(super) const CERTIFICATE_REQUEST: u8 = 13;
const CLIENT_KEY_EXCHANGE: u8 = 16;

pub(super) const TLS_1_2: u16 = 0x0303;
pub(super) const TLS_1_3: u16 = 0x0304;

/// Letters of the history that are kept, as Zeek does.
const HISTORY_MAX: usize = 100;
/// Certificates of one chain that are read; real ones have fewer than ten.
const CHAIN_MAX: usize = 16;
/// Names of authorities that are kept: servers with a full list of them send some hundred.
const AUTHORITIES_MAX: usize = 256;
/// Hellos of one connection that are read: a server may ask for a second one, once (RFC 8446, 4.1.4).
const HELLOS_MAX: u8 = 4;

/// A handshake so far.
#[derive(Debug)]
pub(in crate::proto) struct Handshake {
    connection: TlsConnection,
    /// Who sent the first hello of a client.
    client: Option<Side>,
    hellos: u8,
    /// Session identifier of the client's last hello.
    session: Box<[u8]>,
    history: String,
    /// Certificates of client and server.
    client_chain: Vec<Certificate>,
    server_chain: Vec<Certificate>,
    /// Which sides encrypt what they send (originator, responder).
    encrypted: [bool; 2],
    hints: Hints,
    /// Version of QUIC.
    quic: u32,
    /// The server asked for another hello and has not answered that.
    is_retried: bool,
}

/// What tells a resumed session, besides its identifier.
#[derive(Debug, Default)]
struct Hints {
    offers: Offer,
    /// The client sent a key exchange.
    has_client_key: bool,
}

/// What a client's hello offers for resumption.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Offer {
    #[default]
    Nothing,
    /// A ticket and no session identifier.
    Ticket,
    /// A pre-shared key.
    Psk,
}

impl Handshake {
    pub(in crate::proto) fn new(carrier: Carrier) -> Self {
        Self {
            connection: TlsConnection { carrier, client_is_originator: true, ..TlsConnection::default() },
            client: None,
            hellos: 0,
            session: Box::default(),
            history: String::new(),
            client_chain: Vec::new(),
            server_chain: Vec::new(),
            encrypted: [false; 2],
            hints: Hints::default(),
            quic: 0,
            is_retried: false,
        }
    }

    /// Version of QUIC that carries what comes next.
    pub(in crate::proto) const fn quic_version(&mut self, version: u32) {
        self.quic = version;
    }

    /// A whole handshake message.
    pub(in crate::proto) fn message(&mut self, side: Side, kind: u8, body: &[u8], sink: &mut Sink<'_>) {
        let read = match kind {
            CLIENT_HELLO => self.client_hello(side, body, sink),
            SERVER_HELLO => self.server_hello(side, body, sink),
            SERVER_KEY_EXCHANGE => {
                self.connection.group = named_group(body).or(self.connection.group);
                Some(())
            }
            CERTIFICATE_REQUEST => self.certificate_request(body),
            _ => Some(()),
        };
        if read.is_none() {
            self.fault(side, "INVALID_HANDSHAKE_MESSAGE", sink);
        }
        if ![CLIENT_HELLO, SERVER_HELLO].contains(&kind) || read.is_none() {
            self.note_message(side, kind);
        }
    }

    /// A message that is not read, or the end of one that was read in parts.
    pub(super) fn note_message(&mut self, side: Side, kind: u8) {
        self.hints.has_client_key |= kind == CLIENT_KEY_EXCHANGE && self.is_client(side);
        let letter = match kind {
            0 => 'h',
            CLIENT_HELLO => 'c',
            SERVER_HELLO => 's',
            3 => 'v',
            4 => 't',
            5 => 'e',
            6 => 'j',
            8 => 'o',
            CERTIFICATE => 'x',
            SERVER_KEY_EXCHANGE => 'k',
            CERTIFICATE_REQUEST => 'r',
            14 => 'n',
            15 => 'y',
            CLIENT_KEY_EXCHANGE => 'g',
            20 => 'f',
            21 => 'w',
            22 => 'u',
            23 => 'a',
            24 => 'p',
            254 => 'm',
            _ => 'z',
        };
        self.note(side, letter);
    }

    fn note(&mut self, side: Side, letter: char) {
        if self.history.len() < HISTORY_MAX {
            self.history.push(if self.is_client(side) { letter.to_ascii_uppercase() } else { letter });
        }
    }

    /// Until a hello says otherwise the originator is the client.
    fn is_client(&self, side: Side) -> bool {
        self.client.unwrap_or(Side::Originator) == side
    }

    fn fault(&self, side: Side, name: &'static str, sink: &mut Sink<'_>) {
        sink.counters.count(Counter::ProtoMalformed);
        sink.anomaly(self.application(), side, name);
    }

    const fn application(&self) -> Application {
        match self.connection.carrier {
            Carrier::Tls => Application::Tls,
            Carrier::Dtls => Application::Dtls,
            Carrier::Quic => Application::Quic,
        }
    }

    /// The flow speaks TLS for sure: what it spoke before is worth knowing.
    fn begin(&mut self, sink: &mut Sink<'_>) {
        let application = self.application();
        sink.is(application);
        let before = sink.notes.applications.iter().take_while(|one| **one != application);
        self.connection.after = before.copied().last().unwrap_or_default();
    }

    fn client_hello(&mut self, side: Side, body: &[u8], sink: &mut Sink<'_>) -> Option<()> {
        let (cookie, letter) = match self.connection.carrier {
            Carrier::Tls => (Cookie::No, 't'),
            Carrier::Dtls => (Cookie::Yes, 'd'),
            Carrier::Quic => (Cookie::No, 'q'),
        };
        let (fields, true) = ClientFields::read(body, cookie) else { return None };
        self.hello_of_client(side, &fields, letter, sink);
        Some(())
    }

    pub(super) fn hello_of_client(
        &mut self,
        side: Side,
        fields: &ClientFields<'_>,
        letter: char,
        sink: &mut Sink<'_>,
    ) {
        if self.client.is_none() {
            self.begin(sink);
            self.connection.client_is_originator = side == Side::Originator;
            if side == Side::Responder && self.history.is_empty() {
                self.history.push('^');
            }
        }
        let _client = self.client.get_or_insert(side);
        self.note(side, 'c');
        if self.hellos >= HELLOS_MAX {
            return;
        }
        self.hellos += 1;
        if let Some(fault) = fields.name_fault {
            sink.anomaly(self.application(), side, fault);
        }
        let ja4 = fields.ja4(letter);
        let connection = &mut self.connection;
        let earlier = core::mem::replace(&mut connection.ja4, ja4.clone());
        if !earlier.is_empty() {
            let known = core::mem::take(&mut connection.earlier_ja4).into_vec();
            connection.earlier_ja4 = known.into_iter().chain([earlier]).collect();
        }
        connection.ja3 = Some(ja3::of_client(fields));
        connection.client_protocols = texts(&fields.protocols);
        connection.server_name = fields.server_name.map(|name| lossy(name).into_boxed_str());
        if connection.progress == Progress::Offered {
            connection.version = fields.legacy_version;
        }
        self.session = fields.session.into();
        self.hints.offers = match (fields.has_psk, fields.has_ticket && fields.session.is_empty()) {
            (true, _) => Offer::Psk,
            (false, true) => Offer::Ticket,
            (false, false) => Offer::Nothing,
        };
        if connection.carrier == Carrier::Quic {
            sink.transaction(QuicHello {
                version: self.quic,
                is_client: true,
                from_originator: side == Side::Originator,
                server_name: connection.server_name.clone(),
                user_agent: None,
                ja3: connection.ja3.clone(),
                ja4: ja4.clone(),
                extensions: quic::of_client(fields),
            });
            // After a Retry the same hello comes again.
            if self.hellos > 1 {
                return;
            }
        }
        say(fields, ja4, sink);
    }

    /// What can be said of a hello of which no more will come: the names, but no fingerprint.
    pub(super) fn cut_hello(&mut self, side: Side, body: &[u8], sink: &mut Sink<'_>) {
        let fields = ClientFields::read(body, Cookie::No).0;
        if let Some(name) = fields.server_name {
            self.begin(sink);
            self.connection.client_is_originator = *self.client.get_or_insert(side) == Side::Originator;
            self.connection.version = fields.legacy_version;
            self.connection.server_name = Some(lossy(name).into_boxed_str());
            say(&fields, Box::default(), sink);
        }
    }

    fn server_hello(&mut self, side: Side, body: &[u8], sink: &mut Sink<'_>) -> Option<()> {
        let fields = ServerFields::read(body)?;
        self.hello_of_server(side, &fields, sink);
        Some(())
    }

    fn hello_of_server(&mut self, side: Side, fields: &ServerFields<'_>, sink: &mut Sink<'_>) {
        if self.client.is_none() {
            self.begin(sink);
            self.client = Some(side.other());
            self.connection.client_is_originator = side == Side::Responder;
        }
        self.note(side, if fields.is_retry { 'j' } else { 's' });
        let connection = &mut self.connection;
        connection.version = fields.version;
        connection.cipher = Some(fields.cipher);
        connection.group = fields.group.or(connection.group);
        connection.ja3s = Some(ja3::of_server(fields));
        connection.server_protocols = texts(&fields.protocols);
        connection.progress = connection.progress.max(Progress::Answered);
        // An identifier of zeros is what some clients of TLS 1.3 send; since 1.3 the server returns any (RFC 8446, 4.1.3).
        let same = self.session.iter().any(|byte| *byte != 0) && *self.session == *fields.session;
        let psk = fields.has_psk && self.hints.offers == Offer::Psk;
        connection.resumed |= psk || (same && !is_1_3(fields.version));
        self.is_retried = fields.is_retry;
        if self.connection.carrier == Carrier::Quic {
            sink.transaction(QuicHello {
                version: self.quic,
                from_originator: side == Side::Originator,
                ja3: self.connection.ja3s.clone(),
                extensions: quic::of_server(fields),
                ..QuicHello::default()
            });
        }
    }

    /// A server's hello of SSL 2.
    pub(super) fn hello_of_version_2(&mut self, side: Side, version: u16, cipher: u16, sink: &mut Sink<'_>) {
        let fields = ServerFields { legacy_version: version, version, cipher, ..ServerFields::default() };
        self.hello_of_server(side, &fields, sink);
    }

    /// The certificate authorities of a `CertificateRequest` (RFC 5246, 7.4.4).
    fn certificate_request(&mut self, body: &[u8]) -> Option<()> {
        let mut reader = Reader(body);
        let _types = reader.vec8()?;
        if self.connection.version >= TLS_1_2 {
            let _algorithms = reader.vec16()?;
        }
        let mut list = reader.vec16()?;
        let mut names: Vec<Name> = Vec::new();
        while let Some(name) = list.vec16() {
            if names.len() < AUTHORITIES_MAX {
                names.push(x509::name(name.0));
            }
        }
        self.connection.authorities = names.into_boxed_slice();
        Some(())
    }

    /// One certificate of a chain, in order.
    pub(super) fn certificate(&mut self, side: Side, der: &[u8], sink: &mut Sink<'_>) {
        let is_client = self.is_client(side);
        let chain = if is_client { &mut self.client_chain } else { &mut self.server_chain };
        if chain.len() >= CHAIN_MAX {
            return;
        }
        let certificate = x509::certificate(der);
        let broken = certificate.content.is_none();
        chain.push(certificate);
        if broken {
            self.fault(side, "CERTIFICATE_INVALID_DER", sink);
        }
    }

    /// The lengths of a chain do not add up.
    pub(super) fn certificate_fault(&self, side: Side, sink: &mut Sink<'_>) {
        self.fault(side, "CERTIFICATE_INVALID_LENGTH", sink);
    }

    pub(super) fn change_cipher_spec(&mut self, side: Side) {
        self.note(side, 'i');
        let is_client = self.is_client(side);
        if is_client && self.hints.offers == Offer::Ticket && !self.hints.has_client_key {
            self.connection.resumed = true;
        }
        self.encrypts(side);
    }

    /// From now on nothing that `side` sends can be read.
    pub(super) fn encrypts(&mut self, side: Side) {
        *side.of_mut(&mut self.encrypted) = true;
        self.connection.progress = self.connection.progress.max(Progress::Encrypting);
    }

    pub(super) fn is_encrypted(&self, side: Side) -> bool {
        *side.of(&self.encrypted)
    }

    /// Something encrypted was sent: true if the handshake is over.
    pub(super) fn ciphertext(&mut self) -> bool {
        let established = self.encrypted == [true, true];
        if established {
            self.connection.progress = Progress::Established;
        }
        established
    }

    pub(super) fn alert(&mut self, side: Side, description: u8) {
        self.note(side, 'l');
        self.connection.alert = Some(description);
    }

    pub(super) fn heartbeat(&mut self, side: Side) {
        self.note(side, 'b');
    }

    /// The server has answered with a hello that does not ask for another.
    pub(in crate::proto) fn is_answered(&self) -> bool {
        self.connection.progress >= Progress::Answered && !self.is_retried
    }

    /// It is over: says what it was, if there was anything.
    pub(in crate::proto) fn finish(&mut self, sink: &mut Sink<'_>) {
        let seen = self.client.is_some() || self.connection.alert.is_some();
        if !seen {
            return;
        }
        let mut connection = core::mem::take(&mut self.connection);
        connection.client_chain = core::mem::take(&mut self.client_chain).into_boxed_slice();
        connection.server_chain = core::mem::take(&mut self.server_chain).into_boxed_slice();
        connection.history = core::mem::take(&mut self.history).into_boxed_str();
        self.client = None;
        sink.transaction(connection);
    }
}

/// For the detectors, at the moment of the hello.
fn say(fields: &ClientFields<'_>, ja4: Box<str>, sink: &mut Sink<'_>) {
    let hello = fields.hello(ja4);
    sink.notes.server_name = hello.server_name.clone().or_else(|| sink.notes.server_name.take());
    if !sink.notes.has_ja4() && !hello.ja4.is_empty() {
        sink.notes.more().ja4 = Some(hello.ja4.clone());
    }
    sink.push(FlowEvent::Tls(hello.into()));
}

/// TLS 1.3 or one of its drafts.
const fn is_1_3(version: u16) -> bool {
    version == TLS_1_3 || version >> 8 == 0x7f || version == 0xfefc
}

/// The named group of a `ServerKeyExchange` with elliptic curves (RFC 8422, 5.4). With other key exchanges the message
/// begins with a length that no group has as its first byte.
fn named_group(body: &[u8]) -> Option<u16> {
    const NAMED_CURVE: u8 = 3;
    let mut reader = Reader(body);
    let group = (reader.u8()? == NAMED_CURVE).then(|| reader.u16())??;
    let _point = reader.vec8()?;
    matches!(group, 1..=41).then_some(group)
}
