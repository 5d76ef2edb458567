//! The reasons for which a frame is not looked at.

use core::net::IpAddr;

use crate::counters::Counter;

/// Why a frame was not looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Skip {
    /// Which of the counted reasons.
    pub reason: Reason,
    /// The rule that was broken, as Suricata names it; nothing for what is only not decoded.
    pub anomaly: Option<&'static str>,
    /// Sender and receiver, if so much could be read.
    pub ends: Option<(IpAddr, IpAddr)>,
}

/// The counted reasons.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// A link type that is not decoded.
    LinkType,
    /// An `EtherType` (or 802.3 LLC, PPP protocol, wireless frame without data) that is not decoded.
    EtherType,
    /// A wireless frame whose payload is encrypted.
    Protected,
    /// More packets in packets than are entered.
    Depth,
    /// A fragment of a datagram that did not become whole.
    Fragment,
    /// A wrong checksum of the IP header or of the transport.
    Checksum,
    /// Link layer, tags or ARP too short or contradictory.
    MalformedLink,
    /// IP headers that contradict themselves or are cut.
    MalformedNetwork,
    /// Transport headers that contradict themselves or are cut.
    MalformedTransport,
}

impl Skip {
    /// Of a reason that breaks no rule.
    pub(super) const fn of(reason: Reason) -> Self {
        Self { reason, anomaly: None, ends: None }
    }

    /// Of a broken rule.
    pub(super) const fn broken(reason: Reason, anomaly: &'static str) -> Self {
        Self { reason, anomaly: Some(anomaly), ends: None }
    }

    /// A link layer that breaks a rule.
    pub(super) const fn link(anomaly: &'static str) -> Self {
        Self::broken(Reason::MalformedLink, anomaly)
    }

    /// An IP header that breaks a rule.
    pub(super) const fn network(anomaly: &'static str) -> Self {
        Self::broken(Reason::MalformedNetwork, anomaly)
    }

    /// A transport header that breaks a rule.
    pub(super) const fn transport(anomaly: &'static str) -> Self {
        Self::broken(Reason::MalformedTransport, anomaly)
    }

    pub(super) const fn between(self, source: IpAddr, destination: IpAddr) -> Self {
        Self { ends: Some((source, destination)), ..self }
    }

    /// The counter of this reason.
    pub const fn counter(self) -> Counter {
        match self.reason {
            Reason::LinkType => Counter::SkipLinkType,
            Reason::EtherType => Counter::SkipEtherType,
            Reason::Protected => Counter::SkipProtected,
            Reason::Depth => Counter::SkipDepth,
            Reason::Fragment => Counter::SkipFragment,
            Reason::Checksum => Counter::SkipChecksum,
            Reason::MalformedLink => Counter::MalformedLink,
            Reason::MalformedNetwork => Counter::MalformedNetwork,
            Reason::MalformedTransport => Counter::MalformedTransport,
        }
    }
}
