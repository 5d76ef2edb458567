//! The networks as `agent.toml` writes them, and the check that turns them into a [`Policy`].

use std::collections::BTreeSet;

use ipnet::IpNet;
use sekimori_wire::id::{BodyCode, Host, NotABodyCode};
use sekimori_wire::time::{NotATime, Timestamp};
use serde::Deserialize;

use crate::segment::{Allow, Body, Home, Model, Policy, Prefix, Segment};

/// What a configuration says about networks; every table may be missing.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PolicyFile {
    /// `[[body]]`: the organisations behind this gateway.
    #[serde(default)]
    pub body: Vec<BodyFile>,
    /// `[[segment]]`: their networks.
    #[serde(default)]
    pub segment: Vec<SegmentFile>,
    /// `[[allow]]`: approved specified communications (特定通信).
    #[serde(default)]
    pub allow: Vec<AllowFile>,
}

/// One organisation.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BodyFile {
    /// 団体コード, six digits.
    pub code: String,
    /// What people call it.
    #[serde(default)]
    pub name: String,
    /// How its networks are laid out.
    #[serde(default)]
    pub model: Model,
}

/// One segment of a body.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SegmentFile {
    /// Which.
    pub name: Segment,
    /// Its prefixes.
    #[serde(default)]
    pub cidr: Vec<IpNet>,
    /// Its VLANs.
    #[serde(default)]
    pub vlan: Vec<u16>,
    /// 団体コード of its body; may be left out if there is only one.
    pub body: Option<String>,
    /// How much depends on its systems, 1 to 3 (自治体機密性・完全性・可用性の最大): at 3 the β′ model counts violations one higher.
    pub importance: Option<u8>,
}

/// One approved specified communication (特定通信).
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AllowFile {
    /// Its number in the body's own list.
    pub id: String,
    /// Segment that initiates.
    pub from: Segment,
    /// Segment that answers.
    pub to: Segment,
    /// Who may initiate; everybody of the segment if left out.
    pub src: Option<IpNet>,
    /// Who may answer; everybody of the segment if left out.
    pub dst: Option<IpNet>,
    /// Transport.
    #[serde(default)]
    pub proto: Protocol,
    /// Responder port; all if left out.
    pub port: Option<u16>,
    /// Hardware address of the initiator, as `02:00:00:00:00:01`; any if left out. Only where the sensor is in its network: behind a
    /// router every host has the router's.
    pub mac: Option<String>,
    /// What for.
    pub purpose: String,
    /// Who approved it.
    pub approved_by: String,
    /// Last day on which it is good, Japanese time, such as `2027-03-31`.
    pub expires: Option<String>,
}

/// Transport protocols that an allow entry can name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Protocol {
    /// Every one.
    #[default]
    Any,
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// ICMP and `ICMPv6`.
    Icmp,
}

impl Protocol {
    pub(super) const fn covers(self, number: u8) -> bool {
        match self {
            Self::Any => true,
            Self::Tcp => number == 6,
            Self::Udp => number == 17,
            Self::Icmp => number == 1 || number == 58,
        }
    }
}

/// Which rule about networks a configuration breaks.
#[derive(Debug, thiserror::Error)]
pub enum PolicyError {
    /// Not a 団体コード.
    #[error("{key} = \"{value}\" is no 団体コード")]
    BodyCode {
        /// Where.
        key: String,
        /// What it says.
        value: String,
        /// Why not.
        #[source]
        cause: NotABodyCode,
    },
    /// Two bodies of one code.
    #[error("body.code = \"{code}\" is given twice")]
    BodyTwice {
        /// The code.
        code: BodyCode,
    },
    /// A segment names no body, and there are several.
    #[error("segment[{index}].body is missing: there are {bodies} bodies, so each segment must name its own")]
    WhichBody {
        /// Place of the segment in the file, from 0.
        index: usize,
        /// How many bodies there are.
        bodies: usize,
    },
    /// A segment names a body that is not there.
    #[error("segment[{index}].body = \"{code}\" is the code of no [[body]]")]
    NoSuchBody {
        /// Place of the segment in the file, from 0.
        index: usize,
        /// The code.
        code: BodyCode,
    },
    /// A segment that nothing can belong to.
    #[error("segment[{index}] has neither cidr nor vlan")]
    EmptySegment {
        /// Place of the segment in the file, from 0.
        index: usize,
    },
    /// Not a VLAN identifier.
    #[error("segment[{index}].vlan = {vlan} is not between 1 and 4094")]
    Vlan {
        /// Place of the segment in the file, from 0.
        index: usize,
        /// What it says.
        vlan: u16,
    },
    /// Two segments claim the same addresses and nothing tells them apart.
    #[error(
        "segment[{index}].cidr = \"{net}\" is also that of another segment, and no vlan tells them apart"
    )]
    SamePrefix {
        /// Place of the later segment in the file, from 0.
        index: usize,
        /// The prefix.
        net: IpNet,
    },
    /// Two segments claim the same VLAN and have no prefix.
    #[error("segment[{index}].vlan = {vlan} is also that of another segment without cidr")]
    SameVlan {
        /// Place of the later segment in the file, from 0.
        index: usize,
        /// The VLAN.
        vlan: u16,
    },
    /// Not an importance.
    #[error("segment[{index}].importance = {importance} is not between 1 and 3")]
    Importance {
        /// Place of the segment in the file, from 0.
        index: usize,
        /// What it says.
        importance: u8,
    },
    /// Not a hardware address.
    #[error("allow.mac = \"{value}\" of \"{id}\" is not a hardware address such as 02:00:00:00:00:01")]
    Mac {
        /// The entry.
        id: String,
        /// What it says.
        value: String,
    },
    /// Two allow entries of one id.
    #[error("allow.id = \"{id}\" is given twice")]
    AllowTwice {
        /// The id.
        id: String,
    },
    /// Not a day.
    #[error("allow.expires = \"{value}\" of \"{id}\" is not a day such as 2027-03-31")]
    Expires {
        /// The entry.
        id: String,
        /// What it says.
        value: String,
        /// Why not.
        #[source]
        cause: NotATime,
    },
}

pub(super) fn check(file: PolicyFile) -> Result<Policy, PolicyError> {
    let mut policy = Policy::default_private();
    for body in &file.body {
        let code = code_of("body.code", &body.code)?;
        if policy.bodies.iter().any(|other| other.code == code) {
            return Err(PolicyError::BodyTwice { code });
        }
        policy.bodies.push(Body { code, model: body.model, has_proxy: false });
    }
    for (index, segment) in file.segment.into_iter().enumerate() {
        add_segment(&mut policy, index, segment)?;
    }
    policy.prefixes.sort_by_key(|prefix| core::cmp::Reverse(prefix.net.prefix_len()));
    let mut ids = BTreeSet::new();
    for allow in file.allow {
        if !ids.insert(allow.id.clone()) {
            return Err(PolicyError::AllowTwice { id: allow.id });
        }
        policy.allows.push(checked_allow(allow)?);
    }
    Ok(policy)
}

fn code_of(key: &str, text: &str) -> Result<BodyCode, PolicyError> {
    let refused = |cause| PolicyError::BodyCode { key: key.to_owned(), value: text.to_owned(), cause };
    text.parse().map_err(refused)
}

fn add_segment(policy: &mut Policy, index: usize, segment: SegmentFile) -> Result<(), PolicyError> {
    let body = match &segment.body {
        Some(text) => {
            let code = code_of(&format!("segment[{index}].body"), text)?;
            let at = policy.bodies.iter().position(|body| body.code == code);
            Some(at.ok_or(PolicyError::NoSuchBody { index, code })?)
        }
        None if policy.bodies.len() > 1 => {
            return Err(PolicyError::WhichBody { index, bodies: policy.bodies.len() });
        }
        None => (!policy.bodies.is_empty()).then_some(0),
    };
    if segment.cidr.is_empty() && segment.vlan.is_empty() {
        return Err(PolicyError::EmptySegment { index });
    }
    if let Some(vlan) = segment.vlan.iter().copied().find(|vlan| !(1..=4094).contains(vlan)) {
        return Err(PolicyError::Vlan { index, vlan });
    }
    if let Some(importance) = segment.importance.filter(|importance| !(1..=3).contains(importance)) {
        return Err(PolicyError::Importance { index, importance });
    }
    let home = Home { segment: segment.name, body, vital: segment.importance == Some(3) };
    if segment.name == Segment::SecCloud {
        for (at, one) in policy.bodies.iter_mut().enumerate() {
            one.has_proxy |= body == Some(at);
        }
    }
    for net in segment.cidr.iter().map(IpNet::trunc) {
        let alike = |other: &Prefix| {
            let neither = other.vlans.is_empty() && segment.vlan.is_empty();
            let shared = other.vlans.iter().any(|vlan| segment.vlan.contains(vlan));
            other.net == net && other.home != home && (neither || shared)
        };
        if policy.prefixes.iter().any(alike) {
            return Err(PolicyError::SamePrefix { index, net });
        }
        policy.prefixes.push(Prefix { net, vlans: segment.vlan.clone(), home });
    }
    if segment.cidr.is_empty() {
        for vlan in segment.vlan {
            if policy.vlans.iter().any(|(other, _)| *other == vlan) {
                return Err(PolicyError::SameVlan { index, vlan });
            }
            policy.vlans.push((vlan, home));
        }
    }
    Ok(())
}

fn checked_allow(allow: AllowFile) -> Result<Allow, PolicyError> {
    let until = match &allow.expires {
        None => None,
        Some(day) => {
            let end_of_day = format!("{day}T23:59:59.999999999+09:00");
            let refused = |cause| PolicyError::Expires { id: allow.id.clone(), value: day.clone(), cause };
            Some(end_of_day.parse::<Timestamp>().map_err(refused)?)
        }
    };
    let mac = match allow.mac.as_deref().map(str::parse) {
        None => None,
        Some(Ok(Host::Mac(mac))) => Some(mac),
        Some(Ok(Host::Ip(_)) | Err(_)) => {
            return Err(PolicyError::Mac { id: allow.id, value: allow.mac.unwrap_or_default() });
        }
    };
    Ok(Allow {
        id: allow.id,
        mac,
        from: allow.from,
        to: allow.to,
        src: allow.src,
        dst: allow.dst,
        protocol: allow.proto,
        port: allow.port,
        until,
    })
}
