//! ICMP echoes that carry something.

use core::net::IpAddr;
use std::time::Duration;

use sekimori_wire::finding::{Bilingual, Category, Confidence, Finding};
use sekimori_wire::id::FindingId;
use sekimori_wire::time::Timestamp;

use super::C2Tunnel;
use crate::bounded::{Distinct, Map};
use crate::detect::findings::{Findings, Who, draft, input, sample, threshold};
use crate::detect::{Detect, Scene, Setup};
use crate::event::{Echo, FlowRef};
use crate::segment::Policy;

/// Counted over this long after the first odd echo; then the count begins again.
const WINDOW: Duration = Duration::from_secs(3_600);
/// Echoes that follow no pattern: a few may come from a tool that fills them with what it likes.
const ODD_MIN: u64 = 20;
/// Bytes in them: a page of text. What carries less in an hour is as good as nothing.
const BYTES_MIN: u64 = 1_024;
/// Answers that are not what was asked, ...
const DIFFERING_MIN: u64 = 5;
/// ... or sizes: a monitoring program has one, or two or three for the path's MTU.
const SIZES_MIN: usize = 5;
/// Sizes that are counted.
const SIZES_MAX: usize = 32;

/// State by pair of hosts.
#[derive(Debug)]
pub(super) struct Echoes {
    pairs: Map<(IpAddr, IpAddr), Carried>,
    pub(super) evicted: u64,
}

#[derive(Debug)]
struct Carried {
    since: Timestamp,
    odd: u64,
    bytes: u64,
    differing: u64,
    sizes: Distinct<u32>,
    finding: Option<FindingId>,
}

impl Carried {
    const fn new(since: Timestamp) -> Self {
        Self { since, odd: 0, bytes: 0, differing: 0, sizes: Distinct::new(SIZES_MAX), finding: None }
    }

    fn add(&mut self, echo: &Echo) {
        // An answer that is cut short, as some public servers do, is still what `ping` sent.
        if echo.regular {
            return;
        }
        self.odd += 1;
        self.bytes += u64::from(echo.bytes);
        self.differing += u64::from(echo.differs);
        self.sizes.insert(echo.bytes);
    }

    fn is_tunnel(&self) -> bool {
        self.odd >= ODD_MIN
            && self.bytes >= BYTES_MIN
            && (self.differing >= DIFFERING_MIN || self.sizes.len() >= SIZES_MIN)
    }

    fn tell(&self, finding: &mut Finding) {
        finding.count = finding.count.max(self.odd);
        input(finding, "echoes_without_pattern", self.odd);
        input(finding, "bytes", self.bytes);
        input(finding, "answers_that_differ", self.differing);
        input(finding, "sizes", self.sizes.len());
    }

    fn claim(&self, at: Timestamp, flow: &FlowRef, policy: &Policy) -> Finding {
        let (from, to) = (flow.originator.address, flow.responder.address);
        let who = Who::of(flow, "echo");
        let mut finding = draft(Category::C2Tunnel, C2Tunnel::RULE, policy, who, (self.since, at));
        let surer = self.differing >= DIFFERING_MIN && self.sizes.len() >= SIZES_MIN;
        finding.confidence = Confidence::from_permille(if surer { 950 } else { 750 });
        finding.title = Bilingual::new(
            &format!("ICMPトンネルの疑い: {from} → {to}"),
            &format!("Possible ICMP tunnel: {from} → {to}"),
        );
        finding.explanation = Bilingual::new(
            &format!(
                "{from} と {to} の間のping(ICMPエコー)に、通常のpingにはないデータが含まれています。監視をすり抜けて\
                 データをやり取りするトンネルの可能性があります。"
            ),
            &format!(
                "Pings (ICMP echoes) between {from} and {to} carry data that no ping program sends: this is how traffic \
                 gets past what watches it."
            ),
        );
        finding.evidence.formula = "echo messages whose payload neither counts nor repeats, in one hour; enough of them and \
                                    of their bytes; and answers that differ from what was asked, or many sizes"
            .into();
        threshold(&mut finding, "echoes_without_pattern", ODD_MIN);
        threshold(&mut finding, "bytes", BYTES_MIN);
        threshold(&mut finding, "answers_that_differ", DIFFERING_MIN);
        threshold(&mut finding, "sizes", SIZES_MIN);
        self.tell(&mut finding);
        sample(&mut finding, flow);
        finding
    }
}

impl Echoes {
    pub(super) fn new(setup: &Setup<'_>) -> Self {
        Self { pairs: Map::new(setup.limits.detector_entries / 2, setup.seed), evicted: 0 }
    }

    pub(super) fn on_echo(
        &mut self,
        at: Timestamp,
        flow: &FlowRef,
        echo: &Echo,
        (scene, out): (&Scene<'_>, &mut Findings),
    ) {
        let pair = (flow.originator.address, flow.responder.address);
        let (carried, left) = self.pairs.get_or_insert_with(pair, || Carried::new(at));
        self.evicted += u64::from(left.is_some());
        let Some(carried) = carried else { return };
        if at.since(carried.since) > WINDOW {
            let finding = carried.finding;
            *carried = Carried::new(at);
            carried.finding = finding;
        }
        carried.add(echo);
        let claim = || carried.is_tunnel().then(|| carried.claim(at, flow, scene.policy));
        carried.finding = out.follow(carried.finding, at, |finding| carried.tell(finding), claim);
    }
}
