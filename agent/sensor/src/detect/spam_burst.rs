//! `spam.burst`: a host that is no mail server delivers mail to many servers by itself.
//!
//! People's computers hand their mail to one relay; only relays speak to the servers of many domains. A relay is a host that
//! receives mail itself. For any other host the servers, senders, recipients and refusals of ten minutes are counted: many
//! servers with senders of several domains or with refusals, or many senders at servers outside. What goes to servers inside
//! is a program's or a copier's way to the relay and no spam.

use core::net::IpAddr;
use std::time::Duration;

use sekimori_wire::finding::{Bilingual, Category, Confidence, Finding, Severity};
use sekimori_wire::id::FindingId;
use sekimori_wire::time::Timestamp;

use crate::bounded::{Distinct, Map, stand_in};
use crate::detect::findings::{Findings, Who, draft, input, port, sample, target, threshold};
use crate::detect::{Detect, Kinds, Scene, Setup};
use crate::event::{Event, FlowEvent, FlowRef, SmtpMail, Transaction};

/// Port of mail between servers (RFC 5321, 4.5.4.2).
const MAIL_PORT: u16 = 25;
/// What is counted is forgotten after this: a bot sends within minutes, and so does whoever writes to a few partners.
const WINDOW: Duration = Duration::from_secs(10 * 60);
/// Distinct servers. ntopng warns of a host that uses more than five (`SMTP server contacts`); twice that.
const SERVERS_MIN: usize = 10;
/// The same where nothing else speaks for spam, as in TLS.
const SERVERS_ALONE_MIN: usize = 30;
/// Distinct domains of senders: a body has one, and perhaps that of a school or hospital.
const DOMAINS_MIN: usize = 3;
/// Mails refused for good (RFC 5321, 4.2.1: 5yz).
const REFUSED_MIN: u64 = 5;
/// Distinct senders of mails to servers outside, and mails: a household of people at one computer has fewer.
const SENDERS_MIN: usize = 5;
const MAILS_MIN: u64 = 20;
/// Flows remembered for evidence.
const SAMPLES: usize = 8;

/// State: what each sender did in its window; hosts that receive mail.
#[derive(Debug)]
pub(super) struct SpamBurst {
    senders: Map<IpAddr, Sent>,
    relays: Map<IpAddr, ()>,
    distinct: usize,
    evicted: u64,
}

#[derive(Debug)]
struct Sent {
    first: Timestamp,
    servers: Distinct<IpAddr>,
    /// Hashes of reverse paths, of their domains, and of forward paths: names are personal and not needed.
    senders: Distinct<u64>,
    domains: Distinct<u64>,
    recipients: Distinct<u64>,
    mails: u64,
    refused: u64,
    samples: Vec<FlowRef>,
    finding: Option<FindingId>,
}

/// Addresses and domains of mail are compared without their case.
fn hash(text: &str) -> u64 {
    stand_in(&text.to_ascii_lowercase())
}

impl Sent {
    const fn new(first: Timestamp, distinct: usize) -> Self {
        Self {
            first,
            servers: Distinct::new(distinct),
            senders: Distinct::new(distinct),
            domains: Distinct::new(distinct),
            recipients: Distinct::new(distinct),
            mails: 0,
            refused: 0,
            samples: Vec::new(),
            finding: None,
        }
    }

    fn learn_mail(&mut self, mail: &SmtpMail) {
        let Some(from) = &mail.mail_from else { return };
        self.mails = self.mails.saturating_add(1);
        let path = from.trim_matches(['<', '>']);
        // Notices of failed delivery have no sender (RFC 5321, 4.5.5).
        if !path.is_empty() {
            self.senders.insert(hash(path));
            self.domains.insert(hash(path.rsplit('@').next().unwrap_or_default()));
        }
        for to in &mail.rcpt_to {
            self.recipients.insert(hash(to));
        }
        let refused = mail.last_reply.as_ref().is_some_and(|(code, _)| (500..600).contains(code));
        self.refused = self.refused.saturating_add(refused.into());
    }

    fn is_spam(&self) -> bool {
        let servers = self.servers.len();
        let odd = self.domains.len() >= DOMAINS_MIN || self.refused >= REFUSED_MIN;
        (servers >= SERVERS_MIN && odd)
            || servers >= SERVERS_ALONE_MIN
            || (self.senders.len() >= SENDERS_MIN
                && self.mails >= MAILS_MIN
                && self.domains.len() >= DOMAINS_MIN)
    }

    fn tell(&self, finding: &mut Finding) {
        finding.count = self.mails.max(self.servers.len() as u64);
        input(finding, "servers", self.servers.len());
        input(finding, "mails", self.mails);
        input(finding, "senders", self.senders.len());
        input(finding, "sender_domains", self.domains.len());
        input(finding, "recipients", self.recipients.len());
        input(finding, "refused", self.refused);
        self.servers.iter().for_each(|server| target(finding, &server.to_string()));
    }
}

impl SpamBurst {
    pub(super) fn new(setup: &Setup<'_>) -> Self {
        let (limits, seed) = (setup.limits, setup.seed);
        Self {
            senders: Map::new(limits.detector_entries, seed),
            relays: Map::new(limits.detector_entries, seed),
            distinct: limits.distinct_per_entry,
            evicted: 0,
        }
    }

    fn on_mail(
        &mut self,
        at: Timestamp,
        flow: &FlowRef,
        mail: Option<&SmtpMail>,
        (scene, out): (&Scene<'_>, &mut Findings),
    ) {
        let (from, to) = (flow.originator.address, flow.responder.address);
        if mail.is_none() && self.relays.insert(to, ()).is_none_or(|(left, ())| left != to) {
            // From now on it is known as a relay: what it sent before may have been delivered on for others.
            self.senders.remove(&to);
        }
        if self.relays.peek(&from).is_some() || scene.policy.is_inside(to) {
            return;
        }
        if self.senders.peek(&from).is_some_and(|sent| at.since(sent.first) > WINDOW) {
            self.senders.remove(&from);
        }
        let distinct = self.distinct;
        let (sent, left) = self.senders.get_or_insert_with(from, || Sent::new(at, distinct));
        self.evicted += u64::from(left.is_some());
        let Some(sent) = sent else { return };
        sent.servers.insert(to);
        if sent.samples.len() < SAMPLES && !sent.samples.contains(flow) {
            sent.samples.push(*flow);
        }
        if let Some(mail) = mail {
            sent.learn_mail(mail);
        }
        let fresh = || sent.is_spam().then(|| claim(at, flow, sent, scene));
        sent.finding = out.follow(sent.finding, at, |finding| sent.tell(finding), fresh);
    }
}

fn claim(at: Timestamp, flow: &FlowRef, sent: &Sent, scene: &Scene<'_>) -> Finding {
    let host = flow.originator.address;
    let who = Who { responder: None, ..Who::of(flow, "") };
    let mut finding = draft(Category::SpamBurst, SpamBurst::RULE, scene.policy, who, (sent.first, at));
    finding.severity = if scene.policy.is_inside(host) { Severity::HIGH } else { Severity::MEDIUM };
    finding.confidence = Confidence::from_permille(800);
    finding.title =
        Bilingual::new(&format!("迷惑メールの大量送信: {host}"), &format!("Burst of spam: {host}"));
    finding.explanation = Bilingual::new(
        &format!(
            "メールサーバではない {host} が、多数の外部メールサーバへ直接メールを送っています。\
             ウイルスに感染し、迷惑メールの送信に悪用されている可能性があります。"
        ),
        &format!(
            "{host} is no mail server and yet delivers mail to many servers outside by itself: it may be infected and used to \
             send spam."
        ),
    );
    finding.evidence.formula =
        "in ten minutes, of a host that receives no mail: servers >= 10 and (domains of senders >= 3 or \
         refused >= 5); or servers >= 30; or senders >= 5 of 3 domains with 20 mails"
            .into();
    threshold(&mut finding, "servers", SERVERS_MIN);
    threshold(&mut finding, "servers_alone", SERVERS_ALONE_MIN);
    threshold(&mut finding, "sender_domains", DOMAINS_MIN);
    threshold(&mut finding, "refused", REFUSED_MIN);
    threshold(&mut finding, "senders", SENDERS_MIN);
    threshold(&mut finding, "mails", MAILS_MIN);
    port(&mut finding, MAIL_PORT);
    sent.tell(&mut finding);
    sent.samples.iter().for_each(|flow| sample(&mut finding, flow));
    finding
}

impl Detect for SpamBurst {
    const RULE: &'static str = "spam.burst/1";
    const WANTS: Kinds = Kinds::ESTABLISHED.and(Kinds::TRANSACTION);

    fn on_event(&mut self, event: &Event, scene: &Scene<'_>, out: &mut Findings) {
        let Event::Flow { at, flow, what } = event else { return };
        if flow.protocol != 6 || flow.responder.port != MAIL_PORT {
            return;
        }
        if matches!(what, FlowEvent::Established) {
            self.on_mail(*at, flow, None, (scene, out));
        } else if let FlowEvent::Transaction(one) = what
            && let Transaction::Smtp(mail) = &**one
        {
            self.on_mail(*at, flow, Some(mail), (scene, out));
        }
    }

    fn take_evicted(&mut self) -> u64 {
        core::mem::take(&mut self.evicted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::tests::build::{Script, TCP, host};

    const BOT: &str = "192.168.1.77";

    fn deliver(script: &mut Script, ms: u64, (from, to): (&str, &str), (sender, code): (String, u16)) {
        let flow = script.flow(TCP, (from, 40_000), (to, 25));
        script.push(ms, flow, FlowEvent::Established);
        let mail = SmtpMail {
            mail_from: Some(format!("<{sender}>").into()),
            rcpt_to: vec![format!("<someone{ms}@city.example>").into()],
            last_reply: Some((code, "".into())),
            ..SmtpMail::default()
        };
        script.push(ms + 50, flow, FlowEvent::Transaction(Box::new(mail.into())));
    }

    fn servers(count: u64, from: &str, sender: impl Fn(u64) -> (String, u16)) -> Script {
        let mut script = Script::default();
        for n in 0..count {
            deliver(&mut script, n * 2_000, (from, &format!("198.51.100.{}", n + 1)), sender(n));
        }
        script
    }

    #[test]
    fn many_servers_with_made_up_senders_fire() {
        let script = servers(15, BOT, |n| (format!("a{n}@d{}.example", n % 7), 250));
        let finding = script.only(Category::SpamBurst);
        assert_eq!((finding.severity.level(), finding.originator), (3, host(BOT)));
        servers(12, BOT, |_| ("a@city.example".to_owned(), 550)).only(Category::SpamBurst);
    }

    #[test]
    fn a_relay_and_letters_to_partners_are_silent() {
        let mut relay = servers(40, BOT, |n| (format!("a{n}@d{}.example", n % 7), 250));
        let inbound = relay.flow(TCP, ("203.0.113.9", 40_000), (BOT, 25));
        relay.push(0, inbound, FlowEvent::Established);
        relay.quiet();
        servers(12, BOT, |n| (format!("section{n}@city.example"), 250)).quiet();
    }

    #[test]
    fn programs_that_use_the_relay_are_silent() {
        let mut script = Script::default();
        for n in 0..60 {
            let sender = (format!("a{n}@d{}.example", n % 7), 250);
            deliver(&mut script, n * 1_000, ("192.168.1.30", "192.168.1.25"), sender);
        }
        script.quiet();
    }

    #[test]
    fn strangers_evict_and_are_counted() {
        let mut script = Script::default();
        for last in 1..=30 {
            let flow = script.flow(TCP, (&format!("203.0.113.{last}"), 40_000), ("198.51.100.7", 25));
            script.push(last, flow, FlowEvent::Established);
        }
        assert_eq!(script.forgotten(SpamBurst::new), 20);
    }
}
