//! Shells over Windows Remote Management (MS-WSMV, MS-PSRP): `POST /wsman` over HTTP, content encrypted.

use sekimori_wire::time::Timestamp;

use crate::bounded::Map;
use crate::detect::lateral_exec::means::{Means, Step};
use crate::detect::windows::from_client;
use crate::event::http::{HttpExchange, value};
use crate::event::{Event, FlowEvent, FlowRef, Transaction};
use crate::limits::Limits;

/// Answered requests of a connection before it is a shell: making one, a command and reading its output take three at
/// least (MS-WSMV, 3.1.4.9 to 3.1.4.14); a probe or a single query takes one or two.
pub(super) const ANSWERED_MIN: u64 = 3;
/// What the service listens at; proxies put it at others, but then the path tells (MS-WSMV, 2.1).
const PATH: &str = "/wsman";
/// Windows' own client.
const WINDOWS: &str = "Microsoft WinRM Client";

/// Answered requests by connection.
#[derive(Debug)]
pub(super) struct Shells {
    answered: Map<u64, u64>,
    evicted: u64,
}

impl Shells {
    pub(super) fn new(limits: &Limits, seed: u64) -> Self {
        Self { answered: Map::new(limits.detector_entries, seed), evicted: 0 }
    }

    /// A request that shows a shell at work.
    pub(super) fn read(&mut self, event: &Event) -> Option<(Timestamp, FlowRef, Step, Box<str>)> {
        let Event::Flow { at, flow, what: FlowEvent::Transaction(transaction) } = event else { return None };
        let Transaction::Http(exchange) = &**transaction else { return None };
        let is_shell = shell(exchange)?;
        let (count, left) = self.answered.get_or_insert_with(flow.id, || 0);
        self.evicted += u64::from(left.is_some());
        let count = count?;
        *count += 1;
        let step = Step::Runs(if is_shell { Means::Shell } else { Means::Management });
        let name = if is_shell { "POST /wsman (shell)" } else { "POST /wsman" };
        (*count >= ANSWERED_MIN)
            .then(|| (*at, from_client(flow, exchange.from_originator), step, name.into()))
    }

    pub(super) const fn take_evicted(&mut self) -> u64 {
        core::mem::replace(&mut self.evicted, 0)
    }
}

/// An answered request to the service: whether PowerShell or another program's client sent it. Subscriptions to events
/// have longer paths and are not meant.
fn shell(exchange: &HttpExchange) -> Option<bool> {
    let (request, response) = (exchange.request.as_ref()?, exchange.response.as_ref()?);
    let (path, query) = request.target.split_once('?').unwrap_or((&request.target, ""));
    let to_service = &*request.method == "POST" && path.trim_end_matches('/').eq_ignore_ascii_case(PATH);
    if !to_service || &*response.status != "200" {
        return None;
    }
    let agent = value(&request.fields, "user-agent").unwrap_or_default();
    Some(query.to_ascii_lowercase().contains("psversion=") || agent != WINDOWS)
}
