//! One counter for each reason something was not looked at, and for what was.

macro_rules! counters {
    ($($variant:ident $name:literal $doc:literal,)*) => {
        /// What is counted. Names are stable: they travel in `Record::Health`.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Counter { $(#[doc = $doc] $variant,)* }

        impl Counter {
            /// Every counter.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];
            /// The stable name.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }
        }
    };
}

counters! {
    Frames "frames" "Frames handed to the sensor.",
    Bytes "bytes" "Their bytes on the wire.",
    SkipLinkType "decode.skip.link_type" "Frames of a link type that is not decoded.",
    SkipEtherType "decode.skip.ether_type" "Frames of an `EtherType` that is not decoded.",
    SkipTransport "decode.skip.transport" "IP packets of a transport that is not decoded.",
    SkipFragment "decode.skip.fragment" "IP fragments other than the first.",
    MalformedLink "decode.malformed.link" "Frames too short for their link layer, VLAN tags or ARP.",
    MalformedNetwork "decode.malformed.network" "IP headers that contradict themselves or are cut.",
    MalformedTransport "decode.malformed.transport" "Transport headers that contradict themselves or are cut.",
    Truncated "decode.truncated" "Packets cut by the capture's snap length, decoded as far as they go.",
    FlowsStarted "flow.started" "Flows begun.",
    FlowsEnded "flow.ended" "Flows ended.",
    FlowsEvicted "flow.evicted" "Flows ended because the table was full.",
    TcpAcks "tcp.acks" "TCP acknowledgments of new bytes on established connections.",
    TcpAckedUnseen "tcp.acked_unseen" "Those of them that acknowledged bytes that the capture does not have.",
    TimeBackwards "clock.backwards" "Frames whose time lay before that of an earlier frame.",
    PrefixTruncated "proto.prefix_truncated" "Flows whose start did not fit the bytes kept for a parser.",
    ProtoMalformed "proto.malformed" "Messages of a recognised protocol that could not be read.",
    DetectEvicted "detect.evicted" "Detector states dropped because a table was full.",
    FindingsEvicted "detect.findings_evicted" "Open findings closed because there were too many.",
    Alerts "alert.accepted" "Syslog lines normalised to an alert of an endpoint product.",
    AlertEmpty "alert.skip.empty" "Syslog lines without a message.",
    AlertMalformedCef "alert.skip.cef" "Syslog lines that begin as CEF and break its rules.",
    AlertNoPhrase "alert.skip.no_phrase" "Syslog lines in plain words that name nothing an endpoint product would report.",
    SummaryDetailShed "summary.detail_shed" "Entries left out of summaries by the byte budget or table bounds.",
    RecordsShed "sensor.records_shed" "Records and flows dropped because nobody took them in time.",
}

/// The values of all counters.
#[derive(Clone, Debug)]
pub struct Counters([u64; Counter::ALL.len()]);

impl Default for Counters {
    fn default() -> Self {
        Self([0; Counter::ALL.len()])
    }
}

impl Counters {
    /// Adds one.
    pub fn count(&mut self, counter: Counter) {
        self.add(counter, 1);
    }

    /// Adds `n`; saturates.
    pub fn add(&mut self, counter: Counter, n: u64) {
        if let Some(value) = self.0.get_mut(counter as usize) {
            *value = value.saturating_add(n);
        }
    }

    /// Adds every value of `other`.
    pub fn merge(&mut self, other: &Self) {
        for (value, more) in self.0.iter_mut().zip(other.0) {
            *value = value.saturating_add(more);
        }
    }

    /// The value of one counter.
    pub fn value(&self, counter: Counter) -> u64 {
        self.0.get(counter as usize).copied().unwrap_or_default()
    }

    /// Names and values, in the order of [`Counter::ALL`].
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> {
        Counter::ALL.iter().map(|counter| (counter.as_str(), self.value(*counter)))
    }
}
