//! Records of the sizes that the agent makes them, measured on a day of the simulated town hall (`cargo xtask day`).

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use sekimori_wire::finding::{Bilingual, Category, Confidence, Evidence, Finding};
use sekimori_wire::id::{AgentId, BodyCode, Digest, FindingId, Host};
use sekimori_wire::record::{FlowSummary, Health, Interface, NamedCount, Record, Summary, Talker};
use sekimori_wire::text::BoundedText;
use sekimori_wire::time::Timestamp;

use crate::chance::Chance;

/// Flows in a summary: the deciles of 24 hours at 60 desks (8,642 summaries, 49 on average).
const FLOWS: [u64; 11] = [0, 14, 16, 18, 20, 24, 41, 74, 92, 111, 212];
/// Hosts, applications and domains in one, on the same day.
const TALKERS: u64 = 22;
const APPLICATIONS: [&str; 8] = ["dns", "tls", "http", "ntp", "smb", "kerberos", "ldap", "unknown"];
/// Counters in an agent's health.
const COUNTERS: u64 = 150;
/// Length of a summary's window.
const WINDOW: Duration = Duration::from_secs(10);
/// Scanners that the whole prefecture sees; the rest of what is outside is each body's own.
const SCANNERS: u8 = 20;

/// What one agent sees.
#[derive(Debug)]
pub(crate) struct Site {
    agent: AgentId,
    chance: Chance,
    counted: u64,
    findings: u64,
    /// The last finding, which later revisions are of.
    last: Option<Finding>,
}

impl Site {
    pub(crate) const fn new(agent: AgentId, chance: Chance) -> Self {
        Self { agent, chance, counted: 0, findings: 0, last: None }
    }

    /// What a window of ten seconds comes to, and how many flows it has.
    pub(crate) fn summary(&mut self, now: Timestamp) -> (Record, u64) {
        let flows = self.flows();
        let end = now.minus(Duration::from_millis(200));
        let mut summary = Summary {
            start: end.minus(WINDOW),
            end,
            packets: flows * 16,
            bytes: flows * 9_000,
            flows_started: flows,
            flows_ended: flows,
            ..Summary::default()
        };
        for name in APPLICATIONS {
            summary.applications.push(NamedCount { name: name.into(), count: self.chance.below(90) });
        }
        for _ in 0..=self.chance.below(6) {
            let name = self.name();
            summary.domains.push(NamedCount { name: name.as_str().into(), count: self.chance.below(90) });
        }
        for _ in 0..TALKERS {
            let host = Host::Ip(self.inside());
            let bytes = self.chance.below(1_000_000);
            summary.talkers.push(Talker { host, bytes, packets: bytes / 700, flows: 1 + bytes / 9_000 });
        }
        summary.flows.extend((0..flows).map(|_| self.flow(end)));
        (Record::Summary(Box::new(summary)), flows)
    }

    /// Between two deciles as between the measured ones.
    fn flows(&mut self) -> u64 {
        let decile = usize::try_from(self.chance.below(10)).unwrap_or(0);
        match FLOWS.get(decile..decile + 2) {
            Some([low, high]) => low + self.chance.below(high - low + 1),
            Some(_) | None => 0,
        }
    }

    fn flow(&mut self, end: Timestamp) -> FlowSummary {
        let is_name = self.chance.below(100) < 60;
        let (inside, outside) = (self.inside(), self.outside());
        let from = 1_024 + u16::try_from(self.chance.below(64_000)).unwrap_or(0);
        let (responder, port, protocol, application) = if is_name {
            (Ipv4Addr::new(192, 168, 10, 2).into(), 53, 17, "dns")
        } else {
            (outside, 443, 6, "tls")
        };
        let packets = if is_name { 1 } else { 4 + self.chance.below(40) };
        let start = end.minus(self.chance.within(Duration::from_secs(60)));
        FlowSummary {
            originator: SocketAddr::new(inside, from),
            responder: SocketAddr::new(responder, port),
            protocol,
            start,
            end: start.plus(self.chance.within(Duration::from_secs(20))),
            originator_packets: packets,
            originator_bytes: packets * (60 + self.chance.below(90)),
            responder_packets: packets,
            responder_bytes: packets * (60 + self.chance.below(1_300)),
            state: "SF".into(),
            application: application.into(),
            server_name: self.name().as_str().into(),
            ja4: if is_name { "" } else { "t13d0510h2_e133e205ac38_723c724467bb" }.into(),
            vlan: None,
            body: None,
            segment: None,
        }
    }

    /// How the agent is, every half a minute.
    pub(crate) fn health(&mut self, now: Timestamp) -> Record {
        self.counted += 40_000 + self.chance.below(9_000);
        let count = |number| NamedCount::<64> {
            name: format!("decode.part.number_{number}").as_str().into(),
            count: if number % 3 == 0 { self.counted / (number + 1) } else { 0 },
        };
        let interface = Interface { name: "ens18".into(), packets: self.counted, kernel_drops: 0, up: true };
        Record::Health(Box::new(Health {
            at: now,
            uptime_seconds: 3_600,
            counters: (0..COUNTERS).map(count).collect(),
            interfaces: vec![interface],
            rss_bytes: 90 << 20,
            memory_total_bytes: 4 << 30,
            disk_free_bytes: 20 << 30,
            cpu_permille: 40,
            load_centi: 12,
            config_digest: Digest::of(b"configuration"),
            ..Health::default()
        }))
    }

    /// A new finding, or in two of three cases a later revision of the last: as the measured hours had them.
    pub(crate) fn finding(&mut self, now: Timestamp) -> Finding {
        let later = self.chance.below(3) > 0;
        let finding = match self.last.take().filter(|_| later) {
            Some(last) => Finding {
                revision: last.revision + 1,
                end: now,
                detected_at: now,
                count: last.count + 1 + self.chance.below(50),
                ..last
            },
            None => self.new_finding(now),
        };
        self.last = Some(finding.clone());
        finding
    }

    fn new_finding(&mut self, now: Timestamp) -> Finding {
        self.findings += 1;
        let id = FindingId::of(&[self.agent.as_bytes(), &self.findings.to_be_bytes()]);
        let (category, originator) = match self.chance.below(10) {
            0 => (Category::ScanHost, Ipv4Addr::new(198, 51, 100, self.chance.byte(SCANNERS)).into()),
            1 | 2 => (Category::ScanPort, self.outside()),
            3 | 4 => (Category::PolicyUse, self.inside()),
            _ => (Category::DnsTunnel, self.inside()),
        };
        let domain = format!("{}.site-{}.example", self.name(), self.agent);
        let targets = if category == Category::DnsTunnel { vec![BoundedText::new(&domain)] } else { vec![] };
        let mut evidence = Evidence {
            rule: format!("{category}/1").as_str().into(),
            formula: "information = sum over distinct names below the domain of bytes x log2(alphabet) / 8, in one hour; with enough distinct names, and record types that return data, long names or large answers".into(),
            community_ids: (0..4).map(|_| BoundedText::new(&format!("1:{}", FindingId::of(&[&self.chance.draw().to_be_bytes()])))).collect(),
            ..Evidence::default()
        };
        for input in ["data_type_queries", "distinct_names", "information_bytes", "mean_answer_bytes"] {
            evidence.inputs.insert(input.into(), self.chance.below(9_000).into());
            evidence.threshold.insert(input.into(), self.chance.below(900).into());
        }
        let names: Vec<String> = (0..8).map(|_| format!("{:016x}.{domain}", self.chance.draw())).collect();
        evidence.inputs.insert("names_sample".into(), names.join(" ").into());
        Finding {
            id,
            revision: 1,
            time: now.minus(Duration::from_secs(30)),
            end: now,
            detected_at: now,
            category,
            severity: category.default_severity(),
            confidence: Confidence::from_permille(850),
            originator: Some(Host::Ip(originator)),
            responder: None,
            targets,
            ports: vec![53],
            title: Bilingual::new("DNSトンネルの疑い", "Possible DNS tunnel"),
            explanation: Bilingual::new(
                "この端末は一つのドメインの下の異なる名前を大量に問い合わせています。名前の中にデータを隠して外部とやり取りするDNSトンネルの可能性があります。",
                "This host asks for masses of different names below one domain: data may be hidden in the names to get it out or to be controlled from outside.",
            ),
            evidence,
            technique: category.technique().into(),
            count: 1,
            body: None,
            segment: None,
            degraded: false,
            excepted_by: None,
        }
    }

    fn inside(&mut self) -> IpAddr {
        Ipv4Addr::new(192, 168, 10, 10 + self.chance.byte(60)).into()
    }

    /// Of a range of this body's own, so that two bodies rarely share one.
    fn outside(&mut self) -> IpAddr {
        let [a, b, ..] = *self.agent.as_bytes();
        Ipv4Addr::new(203, a, b, self.chance.byte(200)).into()
    }

    fn name(&mut self) -> String {
        const WORDS: [&str; 12] = [
            "antivirus-net",
            "weather",
            "minato",
            "style",
            "mail",
            "update",
            "portal",
            "consent",
            "tiles",
            "news",
            "storage",
            "meet",
        ];
        let word = usize::try_from(self.chance.below(12)).unwrap_or(0);
        let word = WORDS.get(word).copied().unwrap_or("portal");
        format!("{word}{}.example", self.chance.below(40))
    }
}

/// 団体コード number `index`, of prefecture and body numbers as they are given out, with its check digit.
pub(crate) fn body(index: usize) -> Option<BodyCode> {
    let five = format!("{:02}{:03}", 1 + index / 900 % 47, 100 + index % 900);
    (0..10).find_map(|digit| format!("{five}{digit}").parse().ok())
}
