//! `cleartext.credentials`: a password, or what works as one, sent where anybody on the way can read it.
//!
//! Logins are read from the protocols' own units: what was encrypted (STARTTLS, AUTH TLS, a challenge) never shows here.
//! How bad it is depends on who can listen: within one segment of the body's own network it is a bad habit; where it
//! leaves that segment, or the networks that are ours, strangers can read it. The secret is in no event, and the user's name
//! leaves only as a keyed hash.

mod login;

use core::net::IpAddr;

use sekimori_wire::finding::{Bilingual, Category, Confidence, Finding, Severity};
use sekimori_wire::time::Timestamp;

use crate::alert::user_hash;
use crate::bounded::Map;
use crate::detect::findings::{Findings, Who, draft, input, port, sample, threshold};
use crate::detect::notices::{Notices, add_one, add_to_list};
use crate::detect::{Detect, Kinds, Scene, Setup};
use crate::event::{Event, FlowEvent, FlowRef};

use login::{Login, Said};

/// User names of one finding that are told, as hashes.
const USERS_MAX: usize = 8;

/// State: findings by client, server and service; names of users whose password is yet to come, by flow.
#[derive(Debug)]
pub(super) struct CleartextCredentials {
    told: Notices<(IpAddr, IpAddr, &'static str)>,
    users: Map<u64, Box<str>>,
    user_key: [u8; 32],
}

impl CleartextCredentials {
    pub(super) fn new(setup: &Setup<'_>) -> Self {
        let (capacity, seed) = (setup.limits.detector_entries, setup.seed);
        Self {
            told: Notices::new(capacity, seed),
            users: Map::new(capacity, seed),
            user_key: *setup.user_key,
        }
    }

    fn on_login(
        &mut self,
        at: Timestamp,
        flow: &FlowRef,
        login: &Login,
        around: (&Scene<'_>, &mut Findings),
    ) {
        let (scene, out) = around;
        let earlier = self.users.remove(&flow.id);
        let user = login.user.as_deref().or(earlier.as_deref()).filter(|user| !user.is_empty());
        let user = user.map(|user| format!("user#{}", user_hash(&self.user_key, user)));
        let flow = if login.from_originator { *flow } else { flow.reversed() };
        let severity = severity(&flow, login, scene);
        let fresh = || {
            let mut finding = claim(at, &flow, login, scene);
            finding.severity = severity;
            tell(&mut finding, user.as_deref(), login.accepted);
            finding
        };
        let key = (flow.originator.address, flow.responder.address, login.service);
        self.told.tell((key, at), out, fresh, |finding| {
            finding.severity = finding.severity.max(severity);
            tell(finding, user.as_deref(), login.accepted);
            port(finding, flow.responder.port);
            sample(finding, &flow);
        });
    }
}

/// Who can listen: nobody but neighbours, or somebody beyond a boundary. SNMP's community is one for the whole network and
/// changes nothing by itself, so it is never more than low; nor is what a stranger tries at our door in vain.
fn severity(flow: &FlowRef, login: &Login, scene: &Scene<'_>) -> Severity {
    let (from, to) = (flow.originator.address, flow.responder.address);
    if from.is_loopback() && to.is_loopback() {
        return Severity::LOW;
    }
    let inside = [from, to].map(|end| scene.policy.is_inside(end));
    let [here, there] = [from, to].map(|end| scene.policy.place(end, flow.vlan));
    let guessed = inside == [false, true] && login.accepted == Some(false);
    if login.service == "SNMP" || guessed || (inside == [true, true] && here == there) {
        Severity::LOW
    } else {
        Severity::MEDIUM
    }
}

fn tell(finding: &mut Finding, user: Option<&str>, accepted: Option<bool>) {
    if let Some(user) = user {
        add_to_list(finding, "users", user, USERS_MAX);
    }
    let name = match accepted {
        Some(true) => "accepted",
        Some(false) => "refused",
        None => "outcome_unknown",
    };
    add_one(finding, name);
}

fn claim(at: Timestamp, flow: &FlowRef, login: &Login, scene: &Scene<'_>) -> Finding {
    let service = login.service;
    let who = Who::of(flow, service);
    let mut finding =
        draft(Category::CleartextCredentials, CleartextCredentials::RULE, scene.policy, who, (at, at));
    let (client, server) = (flow.originator.address, flow.responder.address);
    finding.confidence = Confidence::from_permille(950);
    finding.title = Bilingual::new(
        &format!("平文のパスワード: {client} → {server}({service})"),
        &format!("Password in clear text: {client} → {server} ({service})"),
    );
    finding.explanation = Bilingual::new(
        &format!(
            "{client} が {server} へ {service} で、暗号化せずにパスワード(またはこれに相当する情報)を送りました。\
             通信経路上の誰もがこれを読み取れるため、暗号化された方式に切り替え、パスワードを変更してください。"
        ),
        &format!(
            "{client} sent a password, or what works as one, to {server} over {service} without encryption: anybody on the way \
             can read it. Use an encrypted form and change the password."
        ),
    );
    finding.evidence.formula =
        "a login in clear text; medium where it leaves its segment or the inside networks, low within them"
            .into();
    input(&mut finding, "service", service);
    threshold(&mut finding, "logins", 1_u64);
    port(&mut finding, flow.responder.port);
    sample(&mut finding, flow);
    finding
}

impl Detect for CleartextCredentials {
    const RULE: &'static str = "cleartext.credentials/1";
    const WANTS: Kinds = Kinds::TRANSACTION;

    fn on_event(&mut self, event: &Event, scene: &Scene<'_>, out: &mut Findings) {
        let Event::Flow { at, flow, what: FlowEvent::Transaction(one) } = event else { return };
        match login::read(one) {
            Said::Nothing => {}
            Said::User(user) => {
                // A name that is forgotten only leaves the finding without it.
                let _left = self.users.insert(flow.id, user);
            }
            Said::Login(login) => self.on_login(*at, flow, &login, (scene, out)),
        }
    }

    fn take_evicted(&mut self) -> u64 {
        self.told.take_evicted()
    }
}

#[cfg(test)]
mod tests;
