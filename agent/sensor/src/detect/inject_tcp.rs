//! `inject.tcp`: a third party's segments among the real ones of a TCP connection.
//!
//! Whoever sees a connection and cannot stop it races the real answer (man on the side; "QUANTUM insert", see Fox-IT, 2015):
//! the same stretch of the stream then comes twice with different bytes. The flow layer compares what each end says at its
//! turn; retransmissions, however repacked, are equal. A forged reset shows when the host that seems to have reset the connection goes
//! on, or when resets come for one place of the stream after the other (Weaver, Sommer, Paxson, NDSS 2009); since content
//! filters do both to block pages, it is a notice only.

use core::net::IpAddr;

use sekimori_wire::finding::{Bilingual, Category, Confidence, Finding, Severity};
use sekimori_wire::time::Timestamp;

use crate::detect::findings::{Findings, Who, draft, input, port, sample, target, threshold};
use crate::detect::notices::Notices;
use crate::detect::{Detect, Kinds, Scene, Setup};
use crate::event::{Anomaly, Event, FlowEvent, FlowRef, Layer};
use crate::flow::twice::{
    AFTER_RESET, AFTER_RESET_FROM_ELSEWHERE, CONTRADICTED, CONTRADICTED_FROM_ELSEWHERE, RESET_AHEAD,
};
use crate::segment::Policy;

/// State: findings by the deceived host and the one that was impersonated.
#[derive(Debug)]
pub(super) struct InjectTcp {
    known: Notices<(IpAddr, IpAddr, Kind)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Kind {
    Data,
    Reset,
    /// Resets at places not yet reached.
    Guesses,
}

/// A sign of injection.
#[derive(Clone, Copy, Debug)]
struct Sign {
    kind: Kind,
    /// The two did not come from equally far.
    from_elsewhere: bool,
}

impl Sign {
    fn of(anomaly: &Anomaly) -> Option<Self> {
        let (kind, from_elsewhere) = match anomaly.name {
            CONTRADICTED => (Kind::Data, false),
            CONTRADICTED_FROM_ELSEWHERE => (Kind::Data, true),
            AFTER_RESET => (Kind::Reset, false),
            AFTER_RESET_FROM_ELSEWHERE => (Kind::Reset, true),
            RESET_AHEAD => (Kind::Guesses, false),
            _ => return None,
        };
        (anomaly.layer == Layer::Stream).then_some(Self { kind, from_elsewhere })
    }
}

impl InjectTcp {
    pub(super) fn new(setup: &Setup<'_>) -> Self {
        Self { known: Notices::new(setup.limits.detector_entries, setup.seed) }
    }

    fn take(
        &mut self,
        at: Timestamp,
        flow: &FlowRef,
        (anomaly, sign): (&Anomaly, Sign),
        (policy, out): (&Policy, &mut Findings),
    ) {
        let (impersonated, deceived) = if anomaly.from_originator {
            (flow.originator.address, flow.responder.address)
        } else {
            (flow.responder.address, flow.originator.address)
        };
        let key = (deceived, impersonated, sign.kind);
        let fresh = || claim(at, flow, (deceived, impersonated, sign), policy);
        self.known.tell((key, at), out, fresh, |finding| sample(finding, flow));
    }
}

fn claim(
    at: Timestamp,
    flow: &FlowRef,
    (deceived, impersonated, sign): (IpAddr, IpAddr, Sign),
    policy: &Policy,
) -> Finding {
    // Who injects stays unknown: his packets bear the name of the one he impersonates.
    let who = Who {
        originator: None,
        responder: Some(deceived.into()),
        places: (deceived, impersonated),
        vlan: flow.vlan,
        what: match sign.kind {
            Kind::Data => "data",
            Kind::Reset => "reset",
            Kind::Guesses => "resets ahead",
        },
    };
    let mut finding = draft(Category::InjectTcp, InjectTcp::RULE, policy, who, (at, at));
    let permille = match (sign.kind, sign.from_elsewhere) {
        (Kind::Data, true) => 950,
        (Kind::Data, false) => 800,
        (Kind::Reset, true) => 700,
        (Kind::Reset, false) => 500,
        (Kind::Guesses, _) => 700,
    };
    finding.confidence = Confidence::from_permille(permille);
    describe(&mut finding, sign.kind, (deceived, impersonated));
    finding.evidence.formula =
        "two segments with one sequence number whose beginnings differ; or new data behind the \
        sender's own reset; or three resets in a row, each ahead of the last and of all that was sent"
            .into();
    input(&mut finding, "ttl_differs", u64::from(sign.from_elsewhere));
    threshold(&mut finding, "bytes_compared", 16_u64);
    target(&mut finding, &impersonated.to_string());
    port(&mut finding, flow.responder.port);
    sample(&mut finding, flow);
    finding
}

fn describe(finding: &mut Finding, kind: Kind, (deceived, impersonated): (IpAddr, IpAddr)) {
    match kind {
        Kind::Data => {
            finding.title = Bilingual::new(
                &format!("TCP通信への割り込み: {impersonated} を装い {deceived} へ"),
                &format!("Data injected into a TCP connection: to {deceived} as {impersonated}"),
            );
            finding.explanation = Bilingual::new(
                &format!(
                    "{impersonated} から {deceived} への通信の同じ箇所に、内容の異なるデータが2回届きました。第三者が偽の応答を\
                     割り込ませ、偽サイトやマルウェアへ誘導しようとした可能性があります。"
                ),
                &format!(
                    "One part of the stream from {impersonated} to {deceived} came twice with different contents. A third \
                     party may have slipped in a forged answer to lead it to a false site or to malware."
                ),
            );
        }
        Kind::Reset | Kind::Guesses => {
            finding.severity = Severity::LOW;
            finding.title = Bilingual::new(
                &format!("偽のTCP切断の疑い: {impersonated} を装い {deceived} へ"),
                &format!("Perhaps a forged TCP reset: to {deceived} as {impersonated}"),
            );
        }
    }
    match kind {
        Kind::Data => {}
        Kind::Reset => {
            finding.explanation = Bilingual::new(
                &format!(
                    "{impersonated} は {deceived} との接続を切断したように見えた後も送信を続けました。切断は第三者が送ったものと\
                     みられます(閲覧制限装置の動作の場合もあります)。"
                ),
                &format!(
                    "{impersonated} went on sending to {deceived} after it seemed to have reset the connection. The reset \
                     came from somebody else, perhaps from a content filter."
                ),
            );
        }
        Kind::Guesses => {
            finding.explanation = Bilingual::new(
                &format!(
                    "{impersonated} が {deceived} との接続を、まだ送っていない位置で次々と切断したように見えます。正規の端末はそのような                     送り方をせず、第三者が推測で送ったものとみられます(閲覧制限装置の動作の場合もあります)。"
                ),
                &format!(
                    "{impersonated} seems to have reset its connection with {deceived} at one place after the other that it had                      not reached. No host does that: somebody else guessed, perhaps a content filter."
                ),
            );
        }
    }
}

impl Detect for InjectTcp {
    const RULE: &'static str = "inject.tcp/1";
    const WANTS: Kinds = Kinds::ANOMALY;

    fn on_event(&mut self, event: &Event, scene: &Scene<'_>, out: &mut Findings) {
        if let Event::Flow { at, flow, what: FlowEvent::Anomaly(anomaly) } = event
            && let Some(sign) = Sign::of(anomaly)
        {
            self.take(*at, flow, (anomaly, sign), (scene.policy, out));
        }
    }

    fn take_evicted(&mut self) -> u64 {
        self.known.take_evicted()
    }
}

#[cfg(test)]
mod tests;
