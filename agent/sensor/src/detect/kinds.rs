//! Which events a detector asks for, so that an event visits no detector that has nothing to do with it.

use crate::event::{Event, FlowEvent};

/// A set of kinds of events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kinds(u32);

impl Kinds {
    /// [`FlowEvent::Started`].
    pub const STARTED: Self = Self(1);
    /// [`FlowEvent::Answered`].
    pub const ANSWERED: Self = Self(1 << 1);
    /// [`FlowEvent::Established`].
    pub const ESTABLISHED: Self = Self(1 << 2);
    /// [`FlowEvent::Rejected`].
    pub const REJECTED: Self = Self(1 << 3);
    /// [`FlowEvent::Unanswered`].
    pub const UNANSWERED: Self = Self(1 << 4);
    /// [`FlowEvent::Dns`].
    pub const DNS: Self = Self(1 << 5);
    /// [`FlowEvent::Tls`].
    pub const TLS: Self = Self(1 << 6);
    /// [`FlowEvent::HttpRequest`].
    pub const HTTP_REQUEST: Self = Self(1 << 7);
    /// [`FlowEvent::HttpResponse`].
    pub const HTTP_RESPONSE: Self = Self(1 << 8);
    /// [`FlowEvent::Traffic`].
    pub const TRAFFIC: Self = Self(1 << 9);
    /// [`FlowEvent::Opening`].
    pub const OPENING: Self = Self(1 << 10);
    /// [`FlowEvent::Echo`].
    pub const ECHO: Self = Self(1 << 11);
    /// [`FlowEvent::Syslog`].
    pub const SYSLOG: Self = Self(1 << 12);
    /// [`FlowEvent::Transaction`].
    pub const TRANSACTION: Self = Self(1 << 13);
    /// [`FlowEvent::Anomaly`].
    pub const ANOMALY: Self = Self(1 << 14);
    /// [`FlowEvent::Ended`].
    pub const ENDED: Self = Self(1 << 15);
    /// [`Event::Arp`].
    pub const ARP: Self = Self(1 << 16);
    /// [`Event::Anomaly`].
    pub const FRAME_ANOMALY: Self = Self(1 << 17);
    /// Every kind: whoever goes by the time of events.
    pub const ALL: Self = Self((1 << 18) - 1);

    /// Those of both.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// They have a kind in common.
    pub const fn meets(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// As a number, for [`Kinds::from_bits`].
    pub const fn bits(self) -> u32 {
        self.0
    }

    /// What [`Kinds::bits`] gave.
    pub const fn from_bits(bits: u32) -> Self {
        Self(bits)
    }

    /// The kind of an event.
    pub const fn of(event: &Event) -> Self {
        match event {
            Event::Flow { what, .. } => Self::of_flow(what),
            Event::Arp { .. } => Self::ARP,
            Event::Anomaly { .. } => Self::FRAME_ANOMALY,
        }
    }

    const fn of_flow(what: &FlowEvent) -> Self {
        match what {
            FlowEvent::Started(_) => Self::STARTED,
            FlowEvent::Answered => Self::ANSWERED,
            FlowEvent::Established => Self::ESTABLISHED,
            FlowEvent::Rejected => Self::REJECTED,
            FlowEvent::Unanswered => Self::UNANSWERED,
            FlowEvent::Dns(_) => Self::DNS,
            FlowEvent::Tls(_) => Self::TLS,
            FlowEvent::HttpRequest(_) => Self::HTTP_REQUEST,
            FlowEvent::HttpResponse { .. } => Self::HTTP_RESPONSE,
            FlowEvent::Traffic(_) => Self::TRAFFIC,
            FlowEvent::Opening(_) => Self::OPENING,
            FlowEvent::Echo(_) => Self::ECHO,
            FlowEvent::Syslog(_) => Self::SYSLOG,
            FlowEvent::Transaction(_) => Self::TRANSACTION,
            FlowEvent::Anomaly(_) => Self::ANOMALY,
            FlowEvent::Ended(_) => Self::ENDED,
        }
    }
}
