//! `bruteforce.login`: one host keeps trying to log in to another, or many to one account.
//!
//! Where the service's answer is seen it says itself that it refused a login. Where it is encrypted, attempts are told by
//! their shape: a completed connection to a login service, short, that carried about as much as a refused login does, and
//! about as much as the ones before it. A leaky bucket for each (source, destination, service) judges the rate, with
//! `CrowdSec`'s parameters for SSH (5 at once, one forgiven each 10 s). What stays below it is judged by its spread: over
//! accounts (spraying), over hosts, over sources.

mod attempts;
mod forms;
mod refusal;
mod service;
mod spread;

use core::net::IpAddr;
use std::time::Duration;

use sekimori_wire::id::FindingId;
use sekimori_wire::time::Timestamp;

use crate::alert::user_hash;
use crate::bounded::Map;
use crate::detect::findings::Findings;
use crate::detect::{Detect, Kinds, Scene, Setup};
use crate::event::{Event, FlowEvent, FlowRecord, FlowRef};

use attempts::{Attempt, Attempts};
use refusal::{Answer, Verdict};
use service::{HTTP, Service};
use spread::Spread;

/// Attempts are forgotten after this long without one.
const MEMORY: Duration = Duration::from_secs(30 * 60);

/// State: attempts by who, at whom, at which service; and flows of which more is known.
#[derive(Debug)]
pub(super) struct BruteforceLogin {
    logins: Map<(IpAddr, IpAddr, &'static str), Attempts>,
    spread: Spread,
    /// Flows whose last HTTP request carried credentials.
    asked: Map<u64, ()>,
    /// Flows in which the service said how a login went: their shape counts no more.
    told: Map<u64, ()>,
    user_key: [u8; 32],
    evicted: u64,
}

impl BruteforceLogin {
    pub(super) fn new(setup: &Setup<'_>) -> Self {
        let (limits, seed) = (setup.limits, setup.seed);
        Self {
            logins: Map::new(limits.detector_entries, seed),
            spread: Spread::new(limits, seed),
            asked: Map::new(limits.detector_entries, seed),
            told: Map::new(limits.detector_entries, seed),
            user_key: *setup.user_key,
            evicted: 0,
        }
    }

    fn attempts(&mut self, at: Timestamp, flow: &FlowRef, service: &Service) -> Option<&mut Attempts> {
        let key = (flow.originator.address, flow.responder.address, service.name);
        if self.logins.peek(&key).is_some_and(|one| at.since(one.last()) > MEMORY) {
            self.logins.remove(&key);
        }
        let (attempts, left) = self.logins.get_or_insert_with(key, || Attempts::new(at));
        self.evicted += u64::from(left.is_some());
        attempts
    }

    fn on_end(
        &mut self,
        at: Timestamp,
        flow: &FlowRef,
        record: &FlowRecord,
        around: (&Scene<'_>, &mut Findings),
    ) {
        if self.told.remove(&flow.id).is_some() {
            return;
        }
        let Some(service) = service::of(flow, record) else { return };
        let payload = (record.originator.payload_bytes, record.responder.payload_bytes);
        if !service.is_attempt(record) {
            let key = (flow.originator.address, flow.responder.address, service.name);
            if let Some(attempts) = self.logins.get_mut(&key) {
                attempts.on_session(at, flow, payload.1, around.1);
            }
            return;
        }
        let Some(attempts) = self.attempts(record.start, flow, service) else { return };
        attempts.add(record.start, flow, service, &Attempt::shaped(payload));
        attempts.judge(at, flow, service, around);
    }

    fn on_status(&mut self, at: Timestamp, flow: &FlowRef, status: u16, around: (&Scene<'_>, &mut Findings)) {
        if self.asked.remove(&flow.id).is_none() {
            return;
        }
        let refused = status == 401 || status == 403;
        let Some(attempts) = self.attempts(at, flow, &HTTP) else { return };
        if refused {
            attempts.add(at, flow, &HTTP, &Attempt::said(None));
            attempts.judge(at, flow, &HTTP, around);
        } else if status < 400 {
            attempts.accept(at, flow, around.1);
        }
    }

    fn on_answer(&mut self, answer: &Answer<'_>, around: (&Scene<'_>, &mut Findings)) {
        let (at, flow, service) = (answer.at, &answer.flow, answer.service);
        let user = answer.user.map(|user| user_hash(&self.user_key, user));
        // A flow that is forgotten here is judged by its shape as well: the same attempt may count twice.
        let _left = self.told.insert(flow.id, ());
        if let Verdict::Accepted = answer.verdict {
            self.spread.accept(answer, around.1);
            let key = (flow.originator.address, flow.responder.address, service.name);
            if let Some(attempts) = self.logins.get_mut(&key) {
                attempts.accept(at, flow, around.1);
            }
            return;
        }
        let attempt = match answer.verdict {
            Verdict::Refused => Attempt::said(user),
            Verdict::Page(bytes) => Attempt::shaped((0, bytes)),
            Verdict::Accepted => return,
        };
        let Some(attempts) = self.attempts(at, flow, service) else { return };
        attempts.add(at, flow, service, &attempt);
        attempts.judge(at, flow, service, (around.0, around.1));
        if attempt.is_said() {
            self.spread.refuse(answer, user, around);
        }
    }
}

/// The hash of an account as findings name it.
fn account(user: &FindingId) -> String {
    format!("user#{user}")
}

impl Detect for BruteforceLogin {
    const RULE: &'static str = "bruteforce.login/2";
    const WANTS: Kinds =
        Kinds::TRANSACTION.and(Kinds::ENDED).and(Kinds::HTTP_REQUEST).and(Kinds::HTTP_RESPONSE);

    fn on_event(&mut self, event: &Event, scene: &Scene<'_>, out: &mut Findings) {
        let Event::Flow { at, flow, what } = event else { return };
        if let Some(answer) = refusal::of(event) {
            self.on_answer(&answer, (scene, out));
        } else if let FlowEvent::Ended(record) = what
            && flow.protocol == 6
        {
            self.on_end(*at, flow, record, (scene, out));
        } else if let FlowEvent::HttpRequest(request) = what
            && request.has_authorization
        {
            // An answer that never comes leaves by itself; nothing is lost with it.
            let _left = self.asked.insert(flow.id, ());
        } else if let FlowEvent::HttpResponse { status } = what {
            self.on_status(*at, flow, *status, (scene, out));
        }
    }

    fn take_evicted(&mut self) -> u64 {
        core::mem::take(&mut self.evicted) + self.spread.take_evicted()
    }
}
