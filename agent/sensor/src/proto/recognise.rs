//! Protocols that are recognised and not read.
//!
//! A false recognition is worse than none: each rule asks for several bytes that fit one another, or for both sides, and
//! takes the port only as one condition among others.

mod datagram;
mod stream;

use super::{Recogniser, Session};
use crate::event::Application;
use crate::proto::{Guess, Hint};
pub(super) use datagram::WIREGUARD_DATA;

const fn rule(application: Application, probe: fn(&Hint<'_>, &[u8]) -> Guess) -> Recogniser {
    Recogniser { application, probe, begin: |_hint| Session::Opaque }
}

pub(super) const STREAM: &[Recogniser] = &[
    rule(Application::BitTorrent, stream::bittorrent),
    rule(Application::Vnc, stream::rfb),
    rule(Application::Postgres, stream::postgres),
    rule(Application::Mysql, stream::mysql),
    rule(Application::Stratum, stream::stratum),
    rule(Application::MongoDb, stream::mongodb),
    rule(Application::OpenVpn, stream::openvpn),
    rule(Application::Stun, stream::stun),
    Recogniser { application: Application::Socks, probe: stream::socks, begin: super::socks::begin },
    rule(Application::Ajp, stream::ajp),
    rule(Application::Iec104, stream::iec104),
    rule(Application::TeamViewer, stream::teamviewer),
];
pub(super) const DATAGRAM: &[Recogniser] = &[
    rule(Application::Stun, datagram::stun),
    rule(Application::WireGuard, datagram::wireguard),
    rule(Application::OpenVpn, datagram::openvpn),
    rule(Application::Ssdp, datagram::ssdp),
    rule(Application::Radius, datagram::radius),
    rule(Application::Ike, datagram::ike),
    rule(Application::Slp, datagram::slp),
    rule(Application::NbDatagram, datagram::netbios),
    rule(Application::BitTorrent, datagram::bittorrent),
    rule(Application::Quic, datagram::quic),
    rule(Application::Dtls, datagram::dtls),
];

/// All of `magic` is there, or as much of it as there are bytes.
fn starts(bytes: &[u8], magic: &[u8]) -> Guess {
    if bytes.starts_with(magic) {
        Guess::Yes
    } else if magic.starts_with(bytes) {
        Guess::More
    } else {
        Guess::No
    }
}

/// What the server name of a `ClientHello` gives away: remote control by name; Tor by the names that it makes up.
pub(super) fn of_server_name(name: &str, asks_for_protocols: bool) -> Option<Application> {
    let is_below = |domain: &str| {
        name.strip_suffix(domain).is_some_and(|before| before.is_empty() || before.ends_with('.'))
    };
    if is_below("net.anydesk.com") || is_below("relay.anydesk.com") {
        return Some(Application::AnyDesk);
    }
    if is_below("teamviewer.com") && name.starts_with("router") {
        return Some(Application::TeamViewer);
    }
    (!asks_for_protocols && is_made_up_by_tor(name)).then_some(Application::Tor)
}

/// `www.` and 8 to 20 characters of base32, then `.com` or `.net`: as words have no digits and do have vowels, asks for a
/// digit and a run of consonants that no language has (tor-spec, "Negotiating versions"; `crypto_random_hostname`).
fn is_made_up_by_tor(name: &str) -> bool {
    /// Consonants and digits one after another.
    const RUN: usize = 6;
    let Some(label) = name.strip_prefix("www.") else { return false };
    let Some(label) = label.strip_suffix(".com").or_else(|| label.strip_suffix(".net")) else { return false };
    let is_vowel = |byte: &u8| b"aeiouy".contains(byte);
    (8..=20).contains(&label.len())
        && label.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'2'..=b'7'))
        && label.bytes().any(|byte| byte.is_ascii_digit())
        && label.as_bytes().split(is_vowel).any(|run| run.len() >= RUN)
}

#[cfg(test)]
mod tests;
