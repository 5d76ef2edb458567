//! One parser state for a flow's life: probing by content first, then the protocol it found.

use crate::counters::Counter;
use crate::event::{Application, FlowEvent};
use crate::proto::{Side, Sink, dns, http, push_dns, push_request, push_tls, text, tls};

/// Units (segments, datagrams) without a recognised beginning before a flow is left alone.
const TRIES_MAX: u8 = 8;
/// Ports whose datagrams are read as DNS even when damaged: DNS, multicast DNS, LLMNR.
const DNS_PORTS: [u16; 3] = [53, 5353, 5355];
/// `NetBIOS` names look like DNS and are not.
const NETBIOS_NAMES: u16 = 137;
/// Bytes of the length before each DNS message over TCP.
const DNS_PREFIX: usize = 2;
/// A server may ask for a second hello, once (RFC 8446, 4.1.4).
const HELLOS_MAX: u8 = 2;
/// Bodies longer than this are not skipped by counting: sequence numbers wrap.
const SKIP_MAX: u64 = 1 << 30;

/// Parser state of a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Session {
    /// Not recognised yet.
    Probing(Probe),
    /// DNS.
    Dns,
    /// A `ClientHello` has begun.
    Tls(Tls),
    /// HTTP/1.
    Http(Http),
    /// Syslog.
    Syslog,
    /// Nothing more to read.
    Opaque,
}

/// State before anything is recognised.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Probe {
    tries: u8,
    /// The responder greeted with 220.
    greeted: bool,
}

/// State of a TLS connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tls {
    client: Side,
    /// Seen so far.
    hellos: u8,
}

/// State of an HTTP/1 connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Http {
    places: [Place; 2],
    method: Method,
}

impl Http {
    /// `side` is at a head; where the other is, a midstream pick-up does not know.
    fn begun_by(side: Side) -> Self {
        let mut http = Self::default();
        *side.of_mut(&mut http.places) = Place::Head;
        http
    }
}

/// Where in its messages one side is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Place {
    /// A head begins here.
    Head,
    /// Somewhere: the next head is looked for where segments begin.
    #[default]
    Lost,
}

/// The methods whose responses end in another way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Method {
    #[default]
    Usual,
    /// RFC 9112, 6.3: its response has no body whatever the head says.
    Head,
    /// After its success the connection carries something else.
    Connect,
}

/// What a parser did with the bytes it was shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Take {
    /// It needs more than these.
    More,
    /// It took this many, at least one; more than were shown: the next ones as well, unseen.
    Bytes(u32),
    /// It has no use for any of these.
    All,
}

impl Default for Session {
    fn default() -> Self {
        Self::Probing(Probe::default())
    }
}

impl Session {
    /// Nothing will ever be read from this flow again.
    pub(crate) fn is_opaque(self) -> bool {
        self == Self::Opaque
    }

    /// Bytes from `side` are useless where some before them are missing: worth waiting for those.
    pub(crate) fn needs_order(self, side: Side) -> bool {
        match self {
            Self::Probing(Probe { tries, .. }) => tries == 0,
            Self::Dns | Self::Syslog => true,
            Self::Tls(tls) => side == tls.client,
            Self::Http(http) => *side.of(&http.places) == Place::Head,
            Self::Opaque => false,
        }
    }

    /// Reads a datagram of `wire_bytes`, of which `bytes` were captured.
    pub(crate) fn read_datagram(&mut self, side: Side, bytes: &[u8], wire_bytes: u32, sink: &mut Sink<'_>) {
        match *self {
            Self::Probing(probe) => {
                let on_port = sink.has_port(&DNS_PORTS);
                let message = if sink.has_port(&[NETBIOS_NAMES]) { None } else { dns::parse(bytes) };
                if let Some(message) = message.filter(|message| on_port || message.plausible) {
                    *self = Self::Dns;
                    push_dns(side, message.dns, wire_bytes, sink);
                } else if is_syslog_datagram(side, bytes, sink) {
                    *self = Self::Syslog;
                    sink.is(Application::Syslog);
                    sink.push(FlowEvent::Syslog(bytes.into()));
                } else {
                    if on_port {
                        sink.counters.count(Counter::ProtoMalformed);
                    }
                    *self = probe.after_try();
                }
            }
            Self::Dns => match dns::parse(bytes) {
                Some(message) => push_dns(side, message.dns, wire_bytes, sink),
                None => sink.counters.count(Counter::ProtoMalformed),
            },
            Self::Syslog if is_syslog_datagram(side, bytes, sink) => {
                sink.push(FlowEvent::Syslog(bytes.into()));
            }
            Self::Syslog | Self::Tls(_) | Self::Http(_) | Self::Opaque => {}
        }
    }

    /// Reads what `side` sent, in order and not yet taken.
    pub(crate) fn read_stream(&mut self, side: Side, bytes: &[u8], sink: &mut Sink<'_>) -> Take {
        match *self {
            Self::Probing(probe) => self.probe(probe, side, bytes, sink),
            Self::Dns => self.dns(side, bytes, sink),
            Self::Tls(tls) if side == tls.client => self.tls(tls, bytes, sink),
            Self::Http(http) => self.http(http, side, bytes, sink),
            Self::Syslog => self.syslog(bytes, sink),
            Self::Tls(_) | Self::Opaque => Take::All,
        }
    }

    /// What follows `bytes`, which were shown already, will never be seen: says what can be said of them and lets go.
    pub(crate) fn lose(&mut self, side: Side, bytes: &[u8], sink: &mut Sink<'_>) {
        match self {
            Self::Tls(tls) if side == tls.client => {
                if let Some(hello) = tls::cut_hello(bytes) {
                    push_tls(hello, sink);
                }
                *self = Self::Opaque;
            }
            Self::Http(http) => {
                if let Some(request) = http::cut_request(bytes) {
                    push_request(request, sink);
                }
                *side.of_mut(&mut http.places) = Place::Lost;
            }
            Self::Probing(probe) => *self = probe.after_try(),
            Self::Dns | Self::Syslog => *self = Self::Probing(Probe { tries: 1, greeted: false }),
            Self::Tls(_) | Self::Opaque => {}
        }
    }

    fn probe(&mut self, mut probe: Probe, side: Side, bytes: &[u8], sink: &mut Sink<'_>) -> Take {
        let (tls, http, ssh) = (tls::probe(bytes), http::probe(bytes), text::probe_ssh(bytes));
        let recognised = match (tls, http, ssh) {
            (Ok(tls::Hello::Client), ..) => {
                Some((Self::Tls(Tls { client: side, hellos: 0 }), Application::Tls))
            }
            (Ok(tls::Hello::Server), ..) => Some((Self::Opaque, Application::Tls)),
            (_, Ok(_), _) => Some((Self::Http(Http::begun_by(side)), Application::Http)),
            (_, _, Ok(())) => Some((Self::Opaque, Application::Ssh)),
            (Err(_), Err(_), Err(_)) => {
                let ftp = text::is_ftp_greeting(bytes) || (probe.greeted && text::is_ftp_command(bytes));
                let syslog = sink.has_port(&text::SYSLOG_STREAM_PORTS)
                    && matches!(text::syslog_line(bytes), text::Line::Whole(..));
                match () {
                    () if ftp => Some((Self::Opaque, Application::Ftp)),
                    () if syslog => Some((Self::Syslog, Application::Syslog)),
                    () if is_dns_stream(bytes, sink) => Some((Self::Dns, Application::Dns)),
                    () => None,
                }
            }
        };
        if let Some((session, application)) = recognised {
            *self = session;
            sink.is(application);
            return self.read_stream(side, bytes, sink);
        }
        let may_follow = [tls.err(), http.err(), ssh.err()].contains(&Some(true))
            || (sink.has_port(&DNS_PORTS) && dns_announced(bytes).is_none_or(|length| length > bytes.len()))
            || (sink.has_port(&text::SYSLOG_STREAM_PORTS) && text::syslog_line(bytes) == text::Line::Partial);
        if may_follow {
            return Take::More;
        }
        probe.greeted |= side == Side::Responder && text::is_greeting(bytes);
        *self = probe.after_try();
        Take::All
    }

    fn tls(&mut self, mut tls: Tls, bytes: &[u8], sink: &mut Sink<'_>) -> Take {
        if tls.hellos > 0 {
            match (tls::change_cipher_spec(bytes), tls::probe(bytes)) {
                (Ok(length), _) => return taken(length),
                (_, Ok(tls::Hello::Client)) => {}
                (Err(true), _) | (_, Err(true)) => return Take::More,
                (Err(false), Ok(tls::Hello::Server) | Err(false)) => {
                    *self = Self::Opaque;
                    return Take::All;
                }
            }
        }
        match tls::client_hello(bytes) {
            tls::Read::Whole(hello, length) => {
                push_tls(hello, sink);
                tls.hellos += 1;
                *self = if tls.hellos < HELLOS_MAX { Self::Tls(tls) } else { Self::Opaque };
                taken(length)
            }
            tls::Read::Partial => Take::More,
            tls::Read::Malformed => {
                sink.counters.count(Counter::ProtoMalformed);
                *self = Self::Opaque;
                Take::All
            }
        }
    }

    fn dns(&mut self, side: Side, bytes: &[u8], sink: &mut Sink<'_>) -> Take {
        let Some(length) = dns_announced(bytes) else { return Take::More };
        let Some(message) = bytes.get(DNS_PREFIX..length) else { return Take::More };
        match dns::parse(message) {
            Some(read) => push_dns(side, read.dns, u32::try_from(message.len()).unwrap_or(u32::MAX), sink),
            None => {
                sink.counters.count(Counter::ProtoMalformed);
                *self = Self::Opaque;
            }
        }
        taken(length)
    }

    fn syslog(&mut self, bytes: &[u8], sink: &mut Sink<'_>) -> Take {
        match text::syslog_line(bytes) {
            text::Line::Whole(line, length) => {
                sink.push(FlowEvent::Syslog(line.into()));
                taken(length)
            }
            text::Line::Partial => Take::More,
            text::Line::Malformed => {
                sink.counters.count(Counter::ProtoMalformed);
                *self = Self::Opaque;
                Take::All
            }
        }
    }

    fn http(&mut self, mut http: Http, side: Side, bytes: &[u8], sink: &mut Sink<'_>) -> Take {
        let (length, body) = match http::probe(bytes) {
            Ok(http::Kind::Request) => match http::request(bytes) {
                http::Read::Head(request, length, body) => {
                    http.method = match &*request.method {
                        "HEAD" => Method::Head,
                        "CONNECT" => Method::Connect,
                        _ => Method::Usual,
                    };
                    push_request(request, sink);
                    (length, body)
                }
                http::Read::Partial => return Take::More,
                http::Read::Malformed => return self.lost_http(http, side, sink),
            },
            Ok(http::Kind::Response) => match http::response(bytes) {
                http::Read::Head(status, length, body) => {
                    sink.push(FlowEvent::HttpResponse { status });
                    if status == 101 {
                        *self = Self::Opaque;
                        return Take::All;
                    }
                    if http.method == Method::Connect && (200..300).contains(&status) {
                        *self = Self::default();
                        return taken(length);
                    }
                    (length, if http.method == Method::Head { http::Body::Length(0) } else { body })
                }
                http::Read::Partial => return Take::More,
                http::Read::Malformed => return self.lost_http(http, side, sink),
            },
            Err(true) if *side.of(&http.places) == Place::Head => return Take::More,
            Err(_) if *side.of(&http.places) == Place::Head => return self.lost_http(http, side, sink),
            Err(_) => return Take::All,
        };
        let skip = match body {
            http::Body::Length(bytes) if bytes <= SKIP_MAX => usize::try_from(bytes).ok(),
            http::Body::Length(_) | http::Body::Unknown => None,
        };
        *side.of_mut(&mut http.places) = if skip.is_some() { Place::Head } else { Place::Lost };
        *self = Self::Http(http);
        // A body of unknown length: the head is taken, the rest of this segment is body.
        skip.map_or(Take::All, |skip| taken(length.saturating_add(skip)))
    }

    fn lost_http(&mut self, mut http: Http, side: Side, sink: &mut Sink<'_>) -> Take {
        sink.counters.count(Counter::ProtoMalformed);
        *side.of_mut(&mut http.places) = Place::Lost;
        *self = Self::Http(http);
        Take::All
    }
}

impl Probe {
    fn after_try(mut self) -> Session {
        self.tries = self.tries.saturating_add(1);
        if self.tries >= TRIES_MAX { Session::Opaque } else { Session::Probing(self) }
    }
}

fn taken(bytes: usize) -> Take {
    u32::try_from(bytes).map_or(Take::All, Take::Bytes)
}

/// Length of the first message over TCP with its prefix (RFC 1035, 4.2.2).
fn dns_announced(bytes: &[u8]) -> Option<usize> {
    bytes.first_chunk().map(|length| DNS_PREFIX + usize::from(u16::from_be_bytes(*length)))
}

fn is_dns_stream(bytes: &[u8], sink: &Sink<'_>) -> bool {
    let message = dns_announced(bytes).and_then(|length| bytes.get(DNS_PREFIX..length));
    message.and_then(dns::parse).is_some_and(|message| message.plausible || sink.has_port(&DNS_PORTS))
}

fn is_syslog_datagram(side: Side, bytes: &[u8], sink: &Sink<'_>) -> bool {
    let receiver = match side {
        Side::Originator => sink.flow.responder,
        Side::Responder => sink.flow.originator,
    };
    receiver.port == text::SYSLOG_PORT && text::is_syslog(bytes)
}
