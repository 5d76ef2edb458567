//! `spoof.dns`: forged answers to name look-ups.
//!
//! Three ways of forging show. Whoever races the name server leaves two answers to one query that contradict each other
//! (man on the side). Whoever cannot see the query guesses its identifier, which takes many answers (Kaminsky, 2008).
//! Whoever sits in the same network answers names that nobody else knows (LLMNR, `NetBIOS`: the tool Responder), always
//! with his own address.

mod poison;
mod race;

use core::net::IpAddr;

use sekimori_wire::finding::{Bilingual, Category, Confidence, Finding};
use sekimori_wire::id::Host;
use sekimori_wire::time::Timestamp;

use crate::bounded::Map;
use crate::detect::findings::{Findings, Who, draft, input, sample, target, threshold};
use crate::detect::notices::Notices;
use crate::detect::{Detect, Kinds, Scene, Setup};
use crate::event::{Application, Dns, Event, FlowEvent, FlowRef, Transaction};
use crate::segment::Policy;
use poison::Poisoner;
use race::{Asked, Forged, LIFE, Question};

/// State: queries under way, and who answers for names of the neighbourhood.
#[derive(Debug)]
pub(super) struct SpoofDns {
    asked: Map<Question, Asked>,
    poisoners: Map<poison::Key, Poisoner>,
    /// Findings about a client, and the forger if known.
    told: Notices<(IpAddr, Option<[u8; 6]>)>,
    evicted: u64,
}

impl SpoofDns {
    pub(super) fn new(setup: &Setup<'_>) -> Self {
        let (entries, seed) = (setup.limits.detector_entries, setup.seed);
        Self {
            asked: Map::new(entries, seed),
            poisoners: Map::new(entries, seed),
            told: Notices::new(entries, seed),
            evicted: 0,
        }
    }

    fn on_query(&mut self, at: Timestamp, flow: &FlowRef, dns: &Dns) {
        while self.asked.oldest().is_some_and(|(_, asked)| at.since(asked.last) > LIFE) {
            self.asked.pop_oldest();
        }
        let Some(question) = Question::of(flow, dns) else { return };
        let (asked, left) = self.asked.get_or_insert_with(question, || Asked::new(at));
        self.evicted += u64::from(left.is_some());
        if let Some(asked) = asked {
            asked.query(at, flow, dns);
        }
    }

    fn on_response(
        &mut self,
        at: Timestamp,
        flow: &FlowRef,
        dns: &Dns,
        (policy, out): (&Policy, &mut Findings),
    ) {
        let Some(question) = Question::of(flow, dns) else { return };
        let Some(asked) = self.asked.get_mut(&question).filter(|asked| at.since(asked.last) <= LIFE) else {
            return;
        };
        let Some(forged) = asked.response(flow, dns) else { return };
        let key = (question.client, forged.forger);
        let fresh = || claim(at, flow, ((&question, &dns.qname), &forged), policy);
        self.told.tell((key, at), out, fresh, |finding| {
            target(finding, &dns.qname);
            sample(finding, flow);
        });
    }

    /// A host answers a question to all.
    fn on_neighbour(
        &mut self,
        at: Timestamp,
        flow: &FlowRef,
        dns: &Dns,
        (policy, out): (&Policy, &mut Findings),
    ) {
        let Some(key) = poison::answerer(flow, dns) else { return };
        let (poisoner, left) = self.poisoners.get_or_insert_with(key, || Poisoner::new(at));
        self.evicted += u64::from(left.is_some());
        if let Some(poisoner) = poisoner {
            poisoner.answers(at, flow, (key, dns), (policy, out));
        }
    }
}

fn claim(
    at: Timestamp,
    flow: &FlowRef,
    ((question, name), forged): ((&Question, &str), &Forged),
    policy: &Policy,
) -> Finding {
    let who = Who {
        originator: forged.forger.map(Host::Mac),
        responder: Some(question.client.into()),
        places: (question.client, question.server),
        vlan: flow.vlan,
        what: "",
    };
    let mut finding = draft(Category::SpoofDns, SpoofDns::RULE, policy, who, (forged.since, at));
    finding.confidence = Confidence::from_permille(forged.permille());
    let (client, server) = (question.client, question.server);
    finding.title = Bilingual::new(&format!("DNS応答の偽造: {name}"), &format!("Forged DNS answer: {name}"));
    finding.explanation = if forged.guesses > 0 {
        Bilingual::new(
            &format!(
                "{client} が {server} に問い合わせた {name} について、識別番号の合わない応答が多数届きました。偽の応答を\
                 覚え込ませる攻撃(キャッシュ汚染)の可能性があります。"
            ),
            &format!(
                "For {name}, which {client} asked of {server}, many answers with wrong identifiers came. Somebody may be \
                 trying to plant a forged answer (cache poisoning)."
            ),
        )
    } else {
        Bilingual::new(
            &format!(
                "{client} が {server} に問い合わせた {name} の1回の問い合わせに、内容の異なる応答が2つ届きました。一方は途中で\
                 偽造されたもので、偽サイトへ誘導されるおそれがあります。"
            ),
            &format!(
                "{client} asked {server} once for {name} and got two answers that contradict each other. One was forged \
                 on the way and may lead to a false site."
            ),
        )
    };
    finding.evidence.formula =
        "one query, answers of one server with contradicting contents, more answers than queries; \
        or many answers whose identifier no query had"
            .into();
    threshold(&mut finding, "contradicting_answers", 2_u64);
    threshold(&mut finding, "wrong_identifiers", race::GUESSES_MIN);
    target(&mut finding, &server.to_string());
    target(&mut finding, name);
    show(&mut finding, forged);
    sample(&mut finding, flow);
    finding
}

fn show(finding: &mut Finding, forged: &Forged) {
    if forged.guesses > 0 {
        input(finding, "wrong_identifiers", forged.guesses);
        return;
    }
    input(finding, "answers", forged.answers.join(" / "));
    input(finding, "hops_left", forged.hops.join(" / "));
    if let Some(mac) = forged.forger {
        input(finding, "forger_hardware_address", Host::Mac(mac).to_string());
    }
}

impl Detect for SpoofDns {
    const RULE: &'static str = "spoof.dns/1";
    const WANTS: Kinds = Kinds::DNS.and(Kinds::TRANSACTION);

    fn on_event(&mut self, event: &Event, scene: &Scene<'_>, out: &mut Findings) {
        let Event::Flow { at, flow, what } = event else { return };
        let to = (scene.policy, out);
        if let FlowEvent::Dns(dns) = what {
            match (dns.application == Application::Dns, dns.is_response) {
                (true, true) => self.on_response(*at, flow, dns, to),
                (true, false) => self.on_query(*at, flow, dns),
                (false, true) => self.on_neighbour(*at, flow, dns, to),
                (false, false) => {}
            }
        } else if let FlowEvent::Transaction(one) = what
            && let Transaction::NameService(dns) = &**one
            && dns.is_response
        {
            self.on_neighbour(*at, flow, dns, to);
        }
    }

    fn take_evicted(&mut self) -> u64 {
        core::mem::take(&mut self.evicted) + self.told.take_evicted()
    }
}

#[cfg(test)]
mod tests;
