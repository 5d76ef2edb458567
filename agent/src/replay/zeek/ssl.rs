//! `ssl.log` and `x509.log`; of the columns that Zeek's policy scripts add, those that say something of the handshake.

mod ciphers;
mod names;

use sekimori_sensor::event::tls::{Carrier, CertificateContent, Name, Progress};
use sekimori_sensor::event::{Certificate, RdpNegotiation, RdpStep, TlsConnection};
use sekimori_wire::time::Timestamp;

use super::{Cell, Log, Row};

static SSL: Log = Log {
    name: "ssl",
    fields: &[
        ("version", "string"),
        ("cipher", "string"),
        ("curve", "string"),
        ("server_name", "string"),
        ("resumed", "bool"),
        ("last_alert", "string"),
        ("next_protocol", "string"),
        ("established", "bool"),
        ("ssl_history", "string"),
        ("cert_chain_fps", "vector[string]"),
        ("client_cert_chain_fps", "vector[string]"),
        ("subject", "string"),
        ("issuer", "string"),
        ("client_subject", "string"),
        ("client_issuer", "string"),
        ("sni_matches_cert", "bool"),
        ("requested_client_certificate_authorities", "vector[string]"),
    ],
};

/// Its lines are of certificates, not of connections.
pub(super) static X509: Log = Log {
    name: "x509",
    fields: &[
        ("fingerprint", "string"),
        ("certificate.version", "count"),
        ("certificate.serial", "string"),
        ("certificate.subject", "string"),
        ("certificate.issuer", "string"),
        ("certificate.not_valid_before", "time"),
        ("certificate.not_valid_after", "time"),
        ("certificate.key_alg", "string"),
        ("certificate.sig_alg", "string"),
        ("certificate.key_type", "string"),
        ("certificate.key_length", "count"),
        ("certificate.exponent", "string"),
        ("certificate.curve", "string"),
        ("san.dns", "vector[string]"),
        ("san.uri", "vector[string]"),
        ("san.email", "vector[string]"),
        ("san.ip", "vector[addr]"),
        ("basic_constraints.ca", "bool"),
        ("basic_constraints.path_len", "count"),
        ("host_cert", "bool"),
        ("client_cert", "bool"),
    ],
};

pub(super) fn rows(at: Timestamp, one: &TlsConnection) -> Vec<Row> {
    let mut rows = vec![Row { log: &SSL, at, cells: connection(one) }];
    rows.extend(chain(at, &one.server_chain, false));
    rows.extend(chain(at, &one.client_chain, true));
    rows
}

/// Certificates that RDP's own security shows.
pub(super) fn of_rdp(at: Timestamp, one: &RdpNegotiation) -> Vec<Row> {
    match &one.step {
        RdpStep::ServerData { certificates, .. } => {
            // Each of them is a host's: RDP's chains have no order.
            certificates.iter().flat_map(|one| chain(at, core::slice::from_ref(one), false)).collect()
        }
        RdpStep::Request { .. } | RdpStep::Confirm { .. } | RdpStep::Refusal(_) | RdpStep::ClientData(_) => {
            Vec::new()
        }
    }
}

fn connection(one: &TlsConnection) -> Vec<Cell> {
    let answered = one.progress >= Progress::Answered && one.cipher.is_some();
    let has_chain = !(one.server_chain.is_empty() && one.client_chain.is_empty());
    let prints = |chain: &[Certificate]| {
        let prints = chain.iter().map(|certificate| Cell::text(hex(&certificate.sha256))).collect();
        if has_chain { Cell::Many(prints) } else { Cell::Unset }
    };
    let established = one.progress == Progress::Established;
    let leaf = |chain: &'_ [Certificate], name: fn(&CertificateContent) -> &Name| {
        let content = chain.first().and_then(|leaf| leaf.content.as_deref()).filter(|_| established);
        Cell::of(content.map(|content| names::distinguished(name(content))))
    };
    let authorities = || one.authorities.iter().map(|name| Cell::text(names::distinguished(name))).collect();
    vec![
        if answered { Cell::text(version(one.version)) } else { Cell::Unset },
        Cell::of(one.cipher.map(ciphers::name)),
        Cell::of(one.group.map(names::group)),
        Cell::of(one.server_name.as_deref()),
        Cell::Bool(one.resumed),
        Cell::of(one.alert.map(names::alert)),
        Cell::of(one.server_protocols.first().map(|protocol| &**protocol)),
        Cell::Bool(established && one.carrier != Carrier::Quic),
        Cell::text(&*one.history),
        prints(&one.server_chain),
        prints(&one.client_chain),
        leaf(&one.server_chain, |content| &content.subject),
        leaf(&one.server_chain, |content| &content.issuer),
        leaf(&one.client_chain, |content| &content.subject),
        leaf(&one.client_chain, |content| &content.issuer),
        matches_certificate(one),
        if one.authorities.is_empty() { Cell::Unset } else { Cell::Many(authorities()) },
    ]
}

/// Whether the server's certificate is for the name that the client asked for.
fn matches_certificate(one: &TlsConnection) -> Cell {
    let leaf = one.server_chain.first().and_then(|leaf| leaf.content.as_deref());
    let (Some(host), Some(leaf)) = (&one.server_name, leaf) else { return Cell::Unset };
    Cell::Bool(names::is_for(host, &leaf.names.dns, leaf.subject.first("2.5.4.3")))
}

fn chain(at: Timestamp, chain: &[Certificate], of_client: bool) -> impl Iterator<Item = Row> {
    let rows = chain.iter().enumerate().filter_map(move |(place, certificate)| {
        let content = certificate.content.as_deref()?;
        let mut cells = vec![Cell::text(hex(&certificate.sha256))];
        cells.extend(of_certificate(content));
        cells.extend([Cell::Bool(place == 0 && !of_client), Cell::Bool(place == 0 && of_client)]);
        Some(Row { log: &X509, at, cells })
    });
    rows.collect::<Vec<_>>().into_iter()
}

fn of_certificate(content: &CertificateContent) -> Vec<Cell> {
    let many = |names: &[Box<str>]| {
        let names: Vec<Cell> = names.iter().map(|name| Cell::text(&**name)).collect();
        if names.is_empty() { Cell::Unset } else { Cell::Many(names) }
    };
    let addresses: Vec<Cell> = content.names.ip.iter().map(|ip| Cell::text(ip.to_string())).collect();
    let key = &content.key;
    vec![
        Cell::Count(content.version.into()),
        Cell::text(serial(&content.serial)),
        Cell::text(names::distinguished(&content.subject)),
        Cell::text(names::distinguished(&content.issuer)),
        Cell::Seconds(content.not_before),
        Cell::Seconds(content.not_after),
        Cell::text(names::algorithm(&key.algorithm)),
        Cell::text(names::algorithm(&content.signature_algorithm)),
        Cell::text(names::key_type(&key.algorithm)),
        Cell::Count(key.bits.into()),
        Cell::of(key.exponent.map(|exponent| exponent.to_string())),
        Cell::of(key.curve.as_deref().map(names::algorithm)),
        many(&content.names.dns),
        many(&content.names.uri),
        many(&content.names.email),
        if addresses.is_empty() { Cell::Unset } else { Cell::Many(addresses) },
        content.authority.map_or(Cell::Unset, Cell::Bool),
        content.path_len.map_or(Cell::Unset, |length| Cell::Count(length.into())),
    ]
}

/// Hexadecimal, without the zeros that only keep the number positive.
fn serial(bytes: &[u8]) -> String {
    let significant = bytes.iter().position(|byte| *byte != 0).and_then(|zeros| bytes.get(zeros..));
    significant.map_or_else(|| "00".to_owned(), |bytes| hex(bytes).to_uppercase())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn version(version: u16) -> String {
    match version {
        0x0002 => "SSLv2".to_owned(),
        0x0300 => "SSLv3".to_owned(),
        0x0301 => "TLSv10".to_owned(),
        0x0302 => "TLSv11".to_owned(),
        0x0303 => "TLSv12".to_owned(),
        0x0304 | 0x7f00 => "TLSv13".to_owned(),
        0xfeff => "DTLSv10".to_owned(),
        0xfefd => "DTLSv12".to_owned(),
        0xfefc => "DTLSv13".to_owned(),
        draft if draft >> 8 == 0x7f => format!("TLSv13-draft{}", draft & 0x7f),
        other => format!("unknown-{other}"),
    }
}
