//! `ssh.log`.

use core::net::IpAddr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use sekimori_sensor::event::{FlowRef, SshAgreement, SshConnection};
use sekimori_wire::time::Timestamp;

use super::{Cell, Log, Row};

static LOG: Log = Log {
    name: "ssh",
    fields: &[
        ("version", "count"),
        ("auth_success", "bool"),
        ("auth_attempts", "count"),
        ("direction", "enum"),
        ("client", "string"),
        ("server", "string"),
        ("cipher_alg", "string"),
        ("mac_alg", "string"),
        ("compression_alg", "string"),
        ("kex_alg", "string"),
        ("host_key_alg", "string"),
        ("host_key_fingerprint", "string"),
    ],
};

pub(super) fn rows(at: Timestamp, flow: &FlowRef, one: &SshConnection) -> Vec<Row> {
    let agreed = |of: fn(&SshAgreement) -> Cell| one.agreed.as_ref().map_or(Cell::Unset, of);
    let fingerprint = one.host_key_sha256.map(|hash| format!("SHA256:{}", STANDARD_NO_PAD.encode(hash)));
    vec![Row {
        log: &LOG,
        at,
        cells: vec![
            version(one),
            one.login.map_or(Cell::Unset, Cell::Bool),
            Cell::Count(one.login_attempts.into()),
            Cell::of(direction(flow)),
            Cell::of(one.client.banner.as_deref()),
            Cell::of(one.server.banner.as_deref()),
            agreed(|agreed| both(&agreed.cipher)),
            agreed(|agreed| both(&agreed.mac)),
            agreed(|agreed| both(&agreed.compression)),
            agreed(|agreed| name(agreed.key_exchange.as_deref())),
            agreed(|agreed| name(agreed.host_key.as_deref())),
            Cell::of(fingerprint),
        ],
    }]
}

/// The version both ends speak: 1.99 is 2 for those who speak it.
fn version(one: &SshConnection) -> Cell {
    let (Some(client), Some(server)) = (&one.client.banner, &one.server.banner) else { return Cell::Unset };
    let two = |banner: &str| banner.starts_with("SSH-2") || banner.starts_with("SSH-1.99");
    let only_two = |banner: &str| banner.starts_with("SSH-2");
    Cell::Count(match (two(client), two(server)) {
        (true, true) => 2,
        (true, false) if only_two(client) => 0,
        (false, true) if only_two(server) => 0,
        (true | false, true | false) => 1,
    })
}

fn direction(flow: &FlowRef) -> Option<&'static str> {
    match (is_local(flow.originator.address), is_local(flow.responder.address)) {
        (true, false) => Some("OUTBOUND"),
        (false, true) => Some("INBOUND"),
        (true, true) | (false, false) => None,
    }
}

/// An address that is not routed on the internet.
fn is_local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4.is_private() || v4.is_loopback() || v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unique_local() || v6.is_loopback() || v6.is_unicast_link_local(),
    }
}

fn name(name: Option<&str>) -> Cell {
    Cell::text(name.unwrap_or("Algorithm negotiation failed"))
}

fn both([there, back]: &[Option<Box<str>>; 2]) -> Cell {
    if there == back {
        return name(there.as_deref());
    }
    let word = |name: &Option<Box<str>>| name.as_deref().unwrap_or("Algorithm negotiation failed").to_owned();
    Cell::text(format!("To server: {}, to client: {}", word(there), word(back)))
}
