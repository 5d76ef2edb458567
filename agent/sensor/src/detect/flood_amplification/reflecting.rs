//! One of our own services answers what an outside address asks in masses: it may be reflecting.

use core::net::IpAddr;
use std::time::Duration;

use sekimori_wire::finding::{Bilingual, Category, Confidence, Finding, Severity};
use sekimori_wire::id::FindingId;
use sekimori_wire::time::Timestamp;

use super::{FloodAmplification, reflectors};
use crate::bounded::Map;
use crate::detect::findings::{Findings, Who, draft, input, port, sample, threshold};
use crate::detect::{Detect, Scene};
use crate::event::{FlowRecord, FlowRef};

/// Questions are added up over this long.
const WINDOW: Duration = Duration::from_secs(60);
/// Questions of one address to one service within a window: ten a second, where BIND's response rate limiting begins in the
/// examples of its manual.
const QUESTIONS_MIN: u64 = 600;
/// Bytes back for each byte asked: TA14-017A puts DNS at 28 to 54, SSDP at 31, CLDAP at 56, NTP at 557; what these services
/// answer in good faith is rarely above five.
const FACTOR_MIN: u64 = 10;

#[derive(Debug)]
pub(super) struct Reflecting {
    pairs: Map<(IpAddr, u16, IpAddr), Asked>,
    evicted: u64,
}

#[derive(Debug)]
struct Asked {
    first: Timestamp,
    questions: u64,
    asked_bytes: u64,
    answered_bytes: u64,
    finding: Option<FindingId>,
}

impl Reflecting {
    pub(super) fn new(entries: usize, seed: u64) -> Self {
        Self { pairs: Map::new(entries, seed), evicted: 0 }
    }

    pub(super) const fn take_evicted(&mut self) -> u64 {
        core::mem::replace(&mut self.evicted, 0)
    }

    pub(super) fn on_ended(
        &mut self,
        at: Timestamp,
        flow: &FlowRef,
        record: &FlowRecord,
        scene: &Scene<'_>,
        out: &mut Findings,
    ) {
        let (asker, server) = (flow.originator.address, flow.responder);
        if !scene.inside.is_inbound() || !reflectors::is_one(server.port) || record.responder.packets == 0 {
            return;
        }
        let key = (server.address, server.port, asker);
        let fresh =
            || Asked { first: record.start, questions: 0, asked_bytes: 0, answered_bytes: 0, finding: None };
        let (asked, evicted) = self.pairs.get_or_insert_with(key, fresh);
        self.evicted += u64::from(evicted.is_some());
        let Some(asked) = asked else { return };
        if record.start.since(asked.first) > WINDOW {
            let finding = asked.finding.take();
            *asked = Asked { finding, ..fresh() };
        }
        asked.questions += record.originator.packets;
        asked.asked_bytes = asked.asked_bytes.saturating_add(record.originator.bytes);
        asked.answered_bytes = asked.answered_bytes.saturating_add(record.responder.bytes);
        if asked.questions < QUESTIONS_MIN
            || asked.answered_bytes < asked.asked_bytes.saturating_mul(FACTOR_MIN)
        {
            return;
        }
        let questions = record.originator.packets;
        let claim = || Some(asked.claim(at, flow, scene));
        asked.finding = out.follow(asked.finding, at, |finding| finding.count += questions, claim);
    }
}

impl Asked {
    fn claim(&self, at: Timestamp, flow: &FlowRef, scene: &Scene<'_>) -> Finding {
        let (server, victim) = (flow.responder, flow.originator.address);
        let name = reflectors::name(server.port).unwrap_or_default();
        let who = Who {
            originator: Some(server.address.into()),
            responder: Some(victim.into()),
            places: (server.address, victim),
            vlan: flow.vlan,
            what: name,
        };
        let span = (self.first, at);
        let mut finding =
            draft(Category::FloodAmplification, FloodAmplification::RULE, scene.policy, who, span);
        finding.severity = Severity::MEDIUM;
        finding.confidence = Confidence::from_permille(700);
        finding.title = Bilingual::new(
            &format!("増幅攻撃の踏み台の可能性: {}({name})", server.address),
            &format!("May be used as a reflector: {} ({name})", server.address),
        );
        finding.explanation = Bilingual::new(
            &format!(
                "{}の{name}が、外部の{victim}を名乗る大量の問い合わせに{}倍以上の大きさで応答しています。\
                 送信元を偽った増幅攻撃の踏み台にされている可能性があります。",
                server.address, FACTOR_MIN
            ),
            &format!(
                "{} ({name}) answers masses of questions in the name of {victim} outside with {FACTOR_MIN} times the bytes and \
                 more: it may be abused to flood that address.",
                server.address
            ),
        );
        finding.evidence.formula =
            "questions within 60 s ≥ 600 and bytes answered ≥ 10 × bytes asked, of one outside address"
                .into();
        threshold(&mut finding, "questions_a_minute", QUESTIONS_MIN);
        threshold(&mut finding, "factor", FACTOR_MIN);
        finding.count = self.questions;
        input(&mut finding, "questions", self.questions);
        input(&mut finding, "asked_bytes", self.asked_bytes);
        input(&mut finding, "answered_bytes", self.answered_bytes);
        port(&mut finding, server.port);
        sample(&mut finding, flow);
        finding
    }
}
