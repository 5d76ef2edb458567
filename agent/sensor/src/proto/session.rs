//! One parser state for a flow's life: probing by content first, then the protocol it found.

use crate::event::{Application, FlowRef};
use crate::proto::recognise::WIREGUARD_DATA;
use crate::proto::{
    Side, Sink, dcerpc, dhcp, dht, dns, ftp, http, http2, imap, irc, kerberos, ldap, mqtt, ntp, pop3, quic,
    rdp, recognise, shell, sip, smb, smtp, snmp, socks, ssh, syslog, telnet, tftp, tls, xmpp,
};

/// Units (segments, datagrams) without a recognised beginning before a flow is left alone.
const TRIES_MAX: u8 = 8;
/// What one side said first and nobody recognised, kept for the recognition of the other side's answer.
const FIRST_MAX: usize = 256;
/// Sessions that may follow one another within the same bytes.
const SWITCHES_MAX: u8 = 4;

/// Reads one protocol for the life of a flow.
pub(crate) trait Parser: core::fmt::Debug {
    /// Reads what `side` sent, in order and not yet taken: at least one byte.
    fn read_stream(&mut self, side: Side, bytes: &[u8], sink: &mut Sink<'_>) -> Take {
        let _unused = (side, bytes, sink);
        Take::All
    }

    /// Reads a datagram of `wire_bytes`, of which `bytes` were captured.
    fn read_datagram(&mut self, side: Side, bytes: &[u8], wire_bytes: u32, sink: &mut Sink<'_>) {
        let _unused = (side, bytes, wire_bytes, sink);
    }

    /// `bytes` were shown, were not taken and are gone; after them `missing` more bytes were never seen (none: how many is
    /// not known). What is shown next lies behind them.
    fn lose(&mut self, side: Side, bytes: &[u8], missing: Option<u32>, sink: &mut Sink<'_>) {
        let _unused = (side, bytes, missing, sink);
    }

    /// Bytes from `side` are useless where some before them are missing: worth waiting for those.
    fn needs_order(&self, side: Side) -> bool {
        let _unused = side;
        true
    }

    /// The flow is over, or goes on as another protocol: says what has not been said.
    fn finish(&mut self, sink: &mut Sink<'_>) {
        let _unused = sink;
    }

    /// Nothing will ever be read from this flow again.
    fn is_done(&self) -> bool {
        false
    }

    /// It remembers next to nothing from one unit to the next.
    fn is_light(&self) -> bool {
        false
    }
}

/// What a parser did with the bytes it was shown.
#[derive(Debug)]
pub(crate) enum Take {
    /// It needs more than these.
    More,
    /// It took this many, at least one; more than were shown: the next ones as well, unseen.
    Bytes(u32),
    /// It has no use for any of these.
    All,
    /// It took this many, none is allowed, and what follows in both directions is for another.
    Switch(u32, Session),
}

impl Take {
    /// It took `bytes`, and what follows in both directions is to be recognised anew.
    pub(crate) fn anew(bytes: usize) -> Self {
        Self::Switch(u32::try_from(bytes).unwrap_or(u32::MAX), Session::default())
    }

    /// It took `bytes`.
    pub(crate) fn bytes(bytes: usize) -> Self {
        u32::try_from(bytes).map_or(Self::All, Self::Bytes)
    }
}

/// What a session did with the bytes it was shown: as [`Take`], without the switch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Taken {
    /// It needs more than these.
    More,
    /// It took this many, at least one; more than were shown: the next ones as well, unseen.
    Bytes(u32),
    /// It has no use for any of these.
    All,
}

/// What a recogniser thinks of the first bytes of a side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Guess {
    /// This is it.
    Yes,
    /// This is not it.
    No,
    /// More bytes could still make it that; for a datagram the same as `No`.
    More,
}

impl From<bool> for Guess {
    fn from(yes: bool) -> Self {
        if yes { Self::Yes } else { Self::No }
    }
}

/// What a recogniser may know beside the bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Hint<'a> {
    /// Who sent them.
    pub(crate) side: Side,
    /// Of which flow.
    pub(crate) flow: FlowRef,
    /// The first unrecognised bytes of the other side, e.g. a greeting; empty if there were none.
    pub(crate) other: &'a [u8],
}

impl Hint<'_> {
    /// One of the flow's ports is one of these.
    #[inline(always)]
    pub(crate) fn on_port(&self, ports: &[u16]) -> bool {
        let ends = [self.flow.responder.port, self.flow.originator.port];
        // Not `contains`, which is a call for each list of two.
        ports.iter().any(|port| ends[0] == *port || ends[1] == *port)
    }

    /// The port of the receiver of these bytes.
    pub(crate) const fn to_port(self) -> u16 {
        match self.side {
            Side::Originator => self.flow.responder.port,
            Side::Responder => self.flow.originator.port,
        }
    }
}

#[cfg(test)]
impl Hint<'_> {
    /// The originator's first bytes to this port, for the tests of recognisers.
    pub(crate) fn of_port(port: u16) -> Self {
        use core::net::{IpAddr, Ipv4Addr};

        use crate::event::Endpoint;

        let end = |last, port| Endpoint { address: IpAddr::V4(Ipv4Addr::new(192, 0, 2, last)), port };
        let flow = FlowRef {
            id: 1,
            began: sekimori_wire::time::Timestamp::ZERO,
            originator: end(1, 40_000),
            responder: end(2, port),
            protocol: 6,
            vlan: None,
            swapped: false,
        };
        Self { side: Side::Originator, flow, other: &[] }
    }
}

/// How a protocol is recognised.
pub(crate) struct Recogniser {
    /// What it is then.
    pub(crate) application: Application,
    /// Looks at the first bytes of a side.
    pub(crate) probe: fn(&Hint<'_>, &[u8]) -> Guess,
    /// Who reads on; the bytes that were recognised are shown to it next.
    pub(crate) begin: fn(&Hint<'_>) -> Session,
}

/// Streams: the first that says yes has it.
const STREAM: &[&[Recogniser]] = &[
    dns::STREAM,
    tls::STREAM,
    quic::STREAM,
    sip::STREAM,
    http::STREAM,
    http2::STREAM,
    ssh::STREAM,
    smtp::STREAM,
    ftp::STREAM,
    pop3::STREAM,
    imap::STREAM,
    telnet::STREAM,
    smb::STREAM,
    dcerpc::STREAM,
    kerberos::STREAM,
    ldap::STREAM,
    rdp::STREAM,
    ntp::STREAM,
    dhcp::STREAM,
    snmp::STREAM,
    tftp::STREAM,
    xmpp::STREAM,
    irc::STREAM,
    mqtt::STREAM,
    dht::STREAM,
    syslog::STREAM,
    recognise::STREAM,
];
/// Datagrams: the first that says yes has it.
const DATAGRAM: &[&[Recogniser]] = &[
    dns::DATAGRAM,
    tls::DATAGRAM,
    quic::DATAGRAM,
    http::DATAGRAM,
    http2::DATAGRAM,
    ssh::DATAGRAM,
    smtp::DATAGRAM,
    ftp::DATAGRAM,
    pop3::DATAGRAM,
    imap::DATAGRAM,
    telnet::DATAGRAM,
    smb::DATAGRAM,
    dcerpc::DATAGRAM,
    kerberos::DATAGRAM,
    ldap::DATAGRAM,
    rdp::DATAGRAM,
    ntp::DATAGRAM,
    dhcp::DATAGRAM,
    snmp::DATAGRAM,
    tftp::DATAGRAM,
    sip::DATAGRAM,
    mqtt::DATAGRAM,
    dht::DATAGRAM,
    syslog::DATAGRAM,
    recognise::DATAGRAM,
];

/// State before anything is recognised.
#[derive(Debug, Default)]
pub(crate) enum Probe {
    /// Nothing was read yet.
    #[default]
    Fresh,
    /// Pieces of a stream were not recognised.
    Stream(Box<Pieces>),
    /// Datagrams were not recognised.
    Datagrams(Tried),
}

/// What was not recognised of a stream.
#[derive(Debug, Default)]
pub(crate) struct Pieces {
    tries: u8,
    /// What each side said first (originator, responder).
    first: [Box<[u8]>; 2],
}

/// Datagrams that were not recognised. Nothing is ever allocated for them: they are most of what a flood of UDP leaves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tried {
    tries: u8,
    /// For each side, [`SAID`] and [`DATA`].
    first: [u8; 2],
}

/// The side said something.
const SAID: u8 = 1;
/// And first what may be data of `WireGuard`, the only thing that recognisers ask of the other side's datagram.
const DATA: u8 = 2;

impl Tried {
    /// As a number; none is 0.
    pub(crate) const fn bits(self) -> u32 {
        let [originator, responder] = self.first;
        u32::from_le_bytes([self.tries, originator, responder, 0])
    }

    /// From such a number.
    pub(crate) const fn from_bits(bits: u32) -> Self {
        let [tries, originator, responder, _] = bits.to_le_bytes();
        Self { tries, first: [originator, responder] }
    }

    fn after_try(mut self, side: Side, bytes: &[u8]) -> Session {
        self.tries = self.tries.saturating_add(1);
        if self.tries >= TRIES_MAX {
            return Session::Opaque;
        }
        let first = side.of_mut(&mut self.first);
        if *first == 0 {
            *first = if bytes.starts_with(&WIREGUARD_DATA) { SAID | DATA } else { SAID };
        }
        Session::Probing(Probe::Datagrams(self))
    }
}

impl Probe {
    /// A piece of a stream was not recognised.
    fn after_try(self, side: Side, bytes: &[u8]) -> Session {
        let mut pieces = match self {
            Self::Stream(pieces) => pieces,
            Self::Fresh | Self::Datagrams(_) => Box::default(),
        };
        pieces.tries = pieces.tries.saturating_add(1);
        if pieces.tries >= TRIES_MAX {
            return Session::Opaque;
        }
        let first = side.of_mut(&mut pieces.first);
        if first.is_empty() {
            *first = bytes.get(..FIRST_MAX).unwrap_or(bytes).into();
        }
        Session::Probing(Self::Stream(pieces))
    }

    /// What the other side said first, as far as recognisers ask for it.
    fn said_by(&self, side: Side) -> &[u8] {
        match self {
            Self::Stream(pieces) => side.of::<Box<[u8]>>(&pieces.first),
            Self::Datagrams(tried) if side.of(&tried.first) & DATA != 0 => &WIREGUARD_DATA,
            Self::Fresh | Self::Datagrams(_) => &[],
        }
    }

    /// What recognises `bytes`; `Err(true)` if more of them may be recognised.
    fn recognise(
        &self,
        table: &[&[Recogniser]],
        side: Side,
        bytes: &[u8],
        flow: FlowRef,
    ) -> Result<(Application, Session), bool> {
        let hint = Hint { side, flow, other: self.said_by(side.other()) };
        let mut more = false;
        for recogniser in table.iter().copied().flatten() {
            match (recogniser.probe)(&hint, bytes) {
                Guess::Yes => return Ok((recogniser.application, (recogniser.begin)(&hint))),
                Guess::More => more = true,
                Guess::No => {}
            }
        }
        Err(more)
    }
}

macro_rules! sessions {
    ($($variant:ident $module:ident $Holder:ident,)*) => {
        /// Parser state of a flow.
        #[derive(Debug)]
        pub(crate) enum Session {
            /// Not recognised yet.
            Probing(Probe),
            $(#[doc = concat!("See `proto::", stringify!($module), "`.")] $variant($Holder<$module::Parser>),)*
            /// Nothing more to read.
            Opaque,
        }

        impl Session {
            fn parser(&mut self) -> Option<&mut dyn Parser> {
                match self {
                    Self::Probing(_) | Self::Opaque => None,
                    $(Self::$variant(parser) => Some(&mut **parser),)*
                }
            }

            fn parser_ref(&self) -> Option<&dyn Parser> {
                match self {
                    Self::Probing(_) | Self::Opaque => None,
                    $(Self::$variant(parser) => Some(&**parser),)*
                }
            }
        }

        $(impl From<$module::Parser> for Session {
            fn from(parser: $module::Parser) -> Self {
                Self::$variant(parser.into())
            }
        })*
    };
}

/// A parser that is no larger than the pointer to it would be.
#[derive(Debug)]
pub(crate) struct Own<T>(T);

impl<T> From<T> for Own<T> {
    fn from(parser: T) -> Self {
        Self(parser)
    }
}

impl<T> core::ops::Deref for Own<T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T> core::ops::DerefMut for Own<T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.0
    }
}

sessions! {
    Dns dns Own,
    Tls tls Box,
    Quic quic Box,
    Http http Box,
    Http2 http2 Box,
    Ssh ssh Box,
    Smtp smtp Box,
    Ftp ftp Box,
    Pop3 pop3 Box,
    Imap imap Box,
    Telnet telnet Box,
    Smb smb Box,
    DceRpc dcerpc Box,
    Kerberos kerberos Box,
    Ldap ldap Box,
    Rdp rdp Box,
    Ntp ntp Box,
    Dhcp dhcp Box,
    Snmp snmp Box,
    Tftp tftp Box,
    Sip sip Box,
    Mqtt mqtt Box,
    Dht dht Box,
    Syslog syslog Box,
    Xmpp xmpp Box,
    Socks socks Box,
}

impl Default for Session {
    fn default() -> Self {
        Self::Probing(Probe::default())
    }
}

impl Session {
    /// Nothing will ever be read from this flow again.
    pub(crate) const fn is_opaque(&self) -> bool {
        matches!(self, Self::Opaque)
    }

    /// A parser reads it that may remember much.
    pub(crate) fn is_heavy(&self) -> bool {
        self.parser_ref().is_some_and(|parser| !parser.is_light())
    }

    /// Nothing was recognised, so far, but this was read.
    pub(crate) const fn after(tried: Tried) -> Self {
        Self::Probing(if tried.tries == 0 { Probe::Fresh } else { Probe::Datagrams(tried) })
    }

    /// The datagrams that were read, of which none was recognised.
    pub(crate) const fn tried(&self) -> Option<Tried> {
        if let Self::Probing(Probe::Datagrams(tried)) = self { Some(*tried) } else { None }
    }

    /// Nothing was read yet.
    pub(crate) const fn is_fresh(&self) -> bool {
        matches!(self, Self::Probing(Probe::Fresh))
    }

    /// Bytes from `side` are useless where some before them are missing: worth waiting for those.
    pub(crate) fn needs_order(&self, side: Side) -> bool {
        if let Self::Probing(probe) = self {
            return matches!(probe, Probe::Fresh);
        }
        self.parser_ref().is_some_and(|parser| parser.needs_order(side))
    }

    /// Reads a datagram of `wire_bytes`, of which `bytes` were captured.
    pub(crate) fn read_datagram(&mut self, side: Side, bytes: &[u8], wire_bytes: u32, sink: &mut Sink<'_>) {
        if let Self::Probing(probe) = self {
            match probe.recognise(DATAGRAM, side, bytes, sink.flow) {
                Ok((application, session)) => {
                    sink.is(application);
                    *self = session;
                }
                Err(_) => *self = self.tried().unwrap_or_default().after_try(side, bytes),
            }
        }
        if let Some(parser) = self.parser() {
            parser.read_datagram(side, bytes, wire_bytes, sink);
        }
        self.close_if_done(sink);
    }

    /// Reads what `side` sent, in order and not yet taken.
    pub(crate) fn read_stream(&mut self, side: Side, bytes: &[u8], sink: &mut Sink<'_>) -> Taken {
        for _ in 0..SWITCHES_MAX {
            if let Self::Probing(probe) = self {
                match probe.recognise(STREAM, side, bytes, sink.flow) {
                    Ok((application, session)) => {
                        sink.is(application);
                        *self = session;
                    }
                    Err(true) => return Taken::More,
                    Err(false) => {
                        shell::look(side, bytes, sink);
                        *self = core::mem::take(probe).after_try(side, bytes);
                        return Taken::All;
                    }
                }
            }
            let Some(parser) = self.parser() else { return Taken::All };
            let took = parser.read_stream(side, bytes, sink);
            let taken = match took {
                Take::More => Taken::More,
                Take::Bytes(n) => Taken::Bytes(n),
                Take::All => Taken::All,
                Take::Switch(n, next) => {
                    self.finish(sink);
                    *self = next;
                    if n == 0 {
                        continue;
                    }
                    Taken::Bytes(n)
                }
            };
            self.close_if_done(sink);
            return taken;
        }
        *self = Self::Opaque;
        Taken::All
    }

    /// See [`Parser::lose`].
    pub(crate) fn lose(&mut self, side: Side, bytes: &[u8], missing: Option<u32>, sink: &mut Sink<'_>) {
        if let Self::Probing(probe) = self {
            *self = core::mem::take(probe).after_try(side, bytes);
            return;
        }
        if let Some(parser) = self.parser() {
            parser.lose(side, bytes, missing, sink);
        }
        self.close_if_done(sink);
    }

    /// The flow is over: the parser says what it has not said.
    pub(crate) fn finish(&mut self, sink: &mut Sink<'_>) {
        if let Some(parser) = self.parser() {
            parser.finish(sink);
        }
        *self = Self::Opaque;
    }

    fn close_if_done(&mut self, sink: &mut Sink<'_>) {
        if self.parser_ref().is_some_and(Parser::is_done) {
            self.finish(sink);
        }
    }
}
