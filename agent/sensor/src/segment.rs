//! The three-layer separation (三層の対策): which segment and body (団体) an address belongs to, and whether one segment
//! may speak to another.
//!
//! The longest configured prefix decides. A VLAN decides between segments that share a prefix (bodies number their
//! networks alike) and for private addresses in no prefix; it never overrules a prefix, or a leak seen on the far side of
//! a router would look at home. What is left is `unknown` if private and `wan` if public. Judging goes: unexpired
//! allow entry, then the matrix of the body's model. Without a configured segment nothing is ever a violation.

mod file;
mod matrix;

use core::net::IpAddr;
use std::collections::BTreeSet;

use ipnet::IpNet;
use sekimori_wire::finding::Severity;
use sekimori_wire::id::BodyCode;
use sekimori_wire::time::Timestamp;

pub use file::{AllowFile, BodyFile, PolicyError, PolicyFile, Protocol, SegmentFile};
pub use matrix::{Cell, Model, SOURCE, Segment};

/// What is known of the networks around the sensor.
#[derive(Clone, Debug)]
pub struct Policy {
    bodies: Vec<Body>,
    /// Longest prefix first.
    prefixes: Vec<Prefix>,
    /// Segments by VLAN alone.
    vlans: Vec<(u16, Home)>,
    allows: Vec<Allow>,
}

#[derive(Clone, Debug)]
struct Body {
    code: BodyCode,
    model: Model,
    /// A segment `sec_cloud` is configured: its proxy is the only way out.
    has_proxy: bool,
}

/// A segment of a body, by the body's place in the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Home {
    segment: Segment,
    body: Option<usize>,
    /// Systems of the highest importance.
    vital: bool,
}

#[derive(Clone, Debug)]
struct Prefix {
    net: IpNet,
    vlans: Vec<u16>,
    home: Home,
}

#[derive(Clone, Debug)]
struct Allow {
    id: String,
    from: Segment,
    to: Segment,
    src: Option<IpNet>,
    dst: Option<IpNet>,
    protocol: Protocol,
    port: Option<u16>,
    mac: Option<[u8; 6]>,
    /// Still good at this time.
    until: Option<Timestamp>,
}

/// Where an address belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// `None` without any configured segment.
    pub segment: Option<Segment>,
    /// The only body, if there is one; else that of the segment.
    pub body: Option<BodyCode>,
}

/// One host speaking to another for the first time.
#[derive(Clone, Copy, Debug)]
pub struct Contact {
    /// When.
    pub at: Timestamp,
    /// Who initiates.
    pub from: IpAddr,
    /// With whom.
    pub to: IpAddr,
    /// Responder port; for ICMP the code.
    pub port: u16,
    /// IANA protocol number.
    pub protocol: u8,
    /// Outermost VLAN.
    pub vlan: Option<u16>,
    /// Hardware address of who initiates, if it is known.
    pub mac: Option<[u8; 6]>,
}

/// What the policy says of a contact.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict<'a> {
    /// Within the matrix, or nothing is configured.
    Allow,
    /// By the allow entry of this id.
    AllowedBy(&'a str),
    /// An allow entry fits, but it ran out before the contact.
    ExpiredAllow {
        /// Its id.
        id: &'a str,
        /// What the contact is without it.
        severity: Severity,
    },
    /// The separation forbids it.
    Violation {
        /// By the matrix.
        severity: Severity,
        /// An approved specified communication (特定通信) could make it right.
        approvable: bool,
    },
}

impl Policy {
    /// Private ranges are inside; no body, no segments.
    pub const fn default_private() -> Self {
        Self { bodies: Vec::new(), prefixes: Vec::new(), vlans: Vec::new(), allows: Vec::new() }
    }

    /// Checks what a configuration file says.
    pub fn from_file(file: PolicyFile) -> Result<Self, PolicyError> {
        file::check(file)
    }

    /// At least one segment is configured.
    pub const fn has_segments(&self) -> bool {
        !self.prefixes.is_empty() || !self.vlans.is_empty()
    }

    /// Every VLAN that a segment names, ascending.
    pub fn vlans(&self) -> BTreeSet<u16> {
        let with_prefix = self.prefixes.iter().flat_map(|prefix| prefix.vlans.iter().copied());
        self.vlans.iter().map(|(vlan, _)| *vlan).chain(with_prefix).collect()
    }

    /// Several bodies are behind this sensor, whose addresses may be alike.
    pub const fn has_several_bodies(&self) -> bool {
        self.bodies.len() > 1
    }

    /// Some allow entry is for one hardware address only.
    pub fn has_mac_limits(&self) -> bool {
        self.allows.iter().any(|allow| allow.mac.is_some())
    }

    /// The address is of a configured segment other than `wan`, or private.
    pub fn is_inside(&self, address: IpAddr) -> bool {
        match self.prefixes.iter().find(|prefix| prefix.net.contains(&address)) {
            Some(prefix) => prefix.home.segment != Segment::Wan,
            None => is_private(address),
        }
    }

    /// Where an address seen on a VLAN belongs.
    pub fn place(&self, address: IpAddr, vlan: Option<u16>) -> Place {
        let home = self.home(address, vlan);
        let body = home.and_then(|home| home.body).or(if self.bodies.len() == 1 { Some(0) } else { None });
        Place {
            segment: home.map(|home| home.segment),
            body: body.and_then(|at| self.bodies.get(at)).map(|body| body.code),
        }
    }

    /// Whether the separation lets this contact be.
    pub fn judge(&self, contact: &Contact) -> Verdict<'_> {
        let (Some(from), Some(to)) =
            (self.home(contact.from, contact.vlan), self.home(contact.to, contact.vlan))
        else {
            return Verdict::Allow;
        };
        if !can_cross(contact.from) || !can_cross(contact.to) {
            return Verdict::Allow;
        }
        let body = from.body.or(to.body).and_then(|at| self.bodies.get(at)).or_else(|| self.bodies.first());
        let model = body.map_or(Model::Alpha, |body| body.model);
        let direct = from.segment == Segment::Internet && to.segment == Segment::Wan;
        let (severity, approvable) = match matrix::cell(model, from.segment, to.segment) {
            Cell::Free => return Verdict::Allow,
            // Without a proxy to go through, going out directly is the normal way.
            Cell::Forbidden(_) if direct && !body.is_some_and(|body| body.has_proxy) => {
                return Verdict::Allow;
            }
            Cell::Specified(level) => (level, true),
            Cell::Forbidden(level) => (level, false),
        };
        let raised = model == Model::BetaPrime && to.segment == Segment::Internet && to.vital;
        let severity = if raised { severity.raised() } else { severity };
        let fits = |allow: &&Allow| allow.fits(contact, from.segment, to.segment);
        let good = |allow: &Allow| allow.until.is_none_or(|until| contact.at <= until);
        if let Some(allow) = self.allows.iter().find(|allow| fits(allow) && good(allow)) {
            return Verdict::AllowedBy(&allow.id);
        }
        match self.allows.iter().find(fits) {
            Some(allow) => Verdict::ExpiredAllow { id: &allow.id, severity },
            None => Verdict::Violation { severity, approvable },
        }
    }

    /// `None` without any configured segment.
    fn home(&self, address: IpAddr, vlan: Option<u16>) -> Option<Home> {
        if !self.has_segments() {
            return None;
        }
        let on_vlan = |vlans: &[u16]| vlan.is_some_and(|vlan| vlans.contains(&vlan));
        let longest = self.prefixes.iter().find(|prefix| prefix.net.contains(&address));
        if let Some(longest) = longest {
            let alike = self.prefixes.iter().filter(|prefix| prefix.net == longest.net);
            let best = alike.clone().find(|prefix| on_vlan(&prefix.vlans));
            let best =
                best.or_else(|| alike.clone().find(|prefix| prefix.vlans.is_empty())).unwrap_or(longest);
            return Some(best.home);
        }
        if !is_private(address) {
            return Some(Home { segment: Segment::Wan, body: None, vital: false });
        }
        let by_vlan = self.vlans.iter().find(|(number, _)| vlan == Some(*number)).map(|(_, home)| *home);
        Some(by_vlan.unwrap_or(Home { segment: Segment::Unknown, body: None, vital: false }))
    }
}

impl Allow {
    fn fits(&self, contact: &Contact, from: Segment, to: Segment) -> bool {
        self.from == from
            && self.to == to
            && self.src.is_none_or(|net| net.contains(&contact.from))
            && self.dst.is_none_or(|net| net.contains(&contact.to))
            && self.protocol.covers(contact.protocol)
            && self.port.is_none_or(|port| port == contact.port)
            && self.mac.is_none_or(|mac| contact.mac.is_none_or(|seen| seen == mac))
    }
}

/// Ranges that no stranger can be in: RFC 1918, RFC 4193, loopback and link-local.
#[inline]
pub fn is_private(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(v4) => v4.is_private() || v4.is_loopback() || v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unique_local() || v6.is_loopback() || v6.is_unicast_link_local(),
    }
}

/// One host, not many and not none.
#[inline]
pub fn is_unicast(address: IpAddr) -> bool {
    let broadcast = match address {
        IpAddr::V4(v4) => v4.is_broadcast(),
        IpAddr::V6(_) => false,
    };
    !(address.is_multicast() || address.is_unspecified() || broadcast)
}

/// One host, and one that routers carry: what is only said among neighbours crosses no segment.
fn can_cross(address: IpAddr) -> bool {
    let link_local = match address.to_canonical() {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    };
    is_unicast(address) && !link_local
}

#[cfg(test)]
mod tests;
