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
    Decoded "decode.decoded" "Frames decoded to a flow or to ARP. These, the skipped and the malformed make up all frames.",
    SkipLinkType "decode.skip.link_type" "Frames of a link type that is not decoded.",
    SkipEtherType "decode.skip.ether_type" "Frames of an `EtherType`, LLC or PPP protocol that is not decoded.",
    SkipProtected "decode.skip.protected" "Wireless frames whose payload is encrypted.",
    SkipDepth "decode.skip.depth" "Frames with more packets in packets than are entered.",
    SkipFragment "decode.skip.fragment" "Frames with a fragment of a datagram that did not become whole.",
    SkipChecksum "decode.skip.checksum" "Frames with a wrong IP, TCP, UDP or ICMP checksum, where checksums are verified.",
    MalformedLink "decode.malformed.link" "Frames too short for their link layer, tags or ARP.",
    MalformedNetwork "decode.malformed.network" "IP headers that contradict themselves or are cut.",
    MalformedTransport "decode.malformed.transport" "Transport headers that contradict themselves or are cut.",
    Truncated "decode.truncated" "Packets cut by the capture's snap length, decoded as far as they go.",
    Reassembled "decode.fragment.reassembled" "Datagrams put together from fragments.",
    FragmentTimeout "decode.fragment.timeout" "Datagrams given up because fragments did not come in time.",
    FragmentEvicted "decode.fragment.evicted" "Datagrams given up because too many waited for fragments.",
    FragmentOverlap "decode.fragment.overlap" "Fragments that overlap others of their datagram with other bytes.",
    Vlan "decode.vlan" "Layers behind a VLAN tag.",
    Mpls "decode.mpls" "Layers behind MPLS labels.",
    Pppoe "decode.pppoe" "Layers in a `PPPoE` session.",
    Gre "decode.gre" "Packets in GRE.",
    Erspan "decode.erspan" "Packets in ERSPAN.",
    Vxlan "decode.vxlan" "Packets in VXLAN.",
    Geneve "decode.geneve" "Packets in Geneve.",
    Teredo "decode.teredo" "Packets in Teredo.",
    Ayiya "decode.ayiya" "Packets in AYIYA.",
    L2tp "decode.l2tp" "Packets in L2TP.",
    Ipv4InIpv4 "decode.ipv4_in_ipv4" "IPv4 packets in IPv4.",
    Ipv4InIpv6 "decode.ipv4_in_ipv6" "IPv4 packets in IPv6 (DS-Lite, MAP-E).",
    Ipv6InIpv4 "decode.ipv6_in_ipv4" "IPv6 packets in IPv4.",
    Ipv6InIpv6 "decode.ipv6_in_ipv6" "IPv6 packets in IPv6.",
    Esp "decode.esp" "Packets encrypted by `IPsec` (ESP).",
    Ah "decode.ah" "Packets authenticated by `IPsec` (AH).",
    FlowsStarted "flow.started" "Flows begun.",
    FlowsEnded "flow.ended" "Flows ended.",
    FlowsEvicted "flow.evicted" "Flows ended because the table was full.",
    TcpAcks "tcp.acks" "TCP acknowledgments of new bytes on established connections.",
    TcpAckedUnseen "tcp.acked_unseen" "Those of them that acknowledged bytes that the capture does not have.",
    TimeBackwards "clock.backwards" "Frames whose time lay before that of an earlier frame.",
    PrefixTruncated "proto.prefix_truncated" "Flows whose start did not fit the bytes kept for a parser.",
    ParsersShed "proto.parsers_shed" "Flows that were read no further because too many were being read.",
    ProtoMalformed "proto.malformed" "Messages of a recognised protocol that could not be read.",
    DetectEvicted "detect.evicted" "Detector states dropped because a table was full.",
    FindingsEvicted "detect.findings_evicted" "Open findings closed because there were too many.",
    BaselineSeries "baseline.series" "What is being learned: series of hourly values, and one each for known devices and known services.",
    BaselineRipe "baseline.ripe" "Those of them that are ripe: the others warm up and say nothing.",
    BaselineRefused "baseline.refused" "Files of learned baselines that could not be used: learning began anew.",
    Alerts "alert.accepted" "Syslog lines normalised to an alert of an endpoint product.",
    AlertEmpty "alert.skip.empty" "Syslog lines without a message.",
    AlertMalformedCef "alert.skip.cef" "Syslog lines that begin as CEF and break its rules.",
    AlertMalformed "alert.skip.malformed" "Syslog lines that begin as LEEF or JSON and break its rules.",
    AlertNoRule "alert.skip.no_rule" "Messages of a product that a mapping knows, which are no alerts by its rules.",
    AlertUnmapped "alert.skip.unmapped" "CEF, LEEF or JSON of which no mapping knows what it means.",
    AlertNoPhrase "alert.skip.no_phrase" "Syslog lines in plain words that name nothing an endpoint product would report.",
    SummaryDetailShed "summary.detail_shed" "Entries left out of summaries by the byte budget or table bounds.",
    FlowsShed "overload.flows_shed" "Flows that summaries count and do not list, because of overload.",
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
