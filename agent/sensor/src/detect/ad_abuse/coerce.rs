//! A server made to log in elsewhere (T1187): the caller names itself in a path or a printer's notification, and the server
//! comes with its own account, which is then relayed.

use core::net::IpAddr;
use std::time::Duration;

use sekimori_wire::finding::{Finding, Severity};
use sekimori_wire::id::FindingId;
use sekimori_wire::time::Timestamp;

use super::{Claim, Controllers, grow_or_open};
use crate::bounded::Map;
use crate::detect::Scene;
use crate::detect::findings::{Findings, input, threshold};
use crate::detect::windows::Call;
use crate::event::{Event, FlowEvent};
use crate::limits::Limits;

/// A server that was made to comes within this time.
const COMES: Duration = Duration::from_secs(60);
/// Where it comes to: SMB, and HTTP by `WebDAV`.
const PORTS: [u16; 3] = [139, 445, 80];
/// Calls belong together for this long.
const MEMORY: Duration = Duration::from_secs(30 * 60);

/// State: calls by client and server; printers' clients that did more than open and subscribe.
#[derive(Debug)]
pub(super) struct Coerce {
    pairs: Map<(IpAddr, IpAddr), Calls>,
    prints: Map<u64, ()>,
    evicted: u64,
}

#[derive(Debug)]
struct Calls {
    first: Timestamp,
    last: Timestamp,
    count: u64,
    way: Way,
    came: bool,
    finding: Option<FindingId>,
}

/// By which interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// Encrypted files (MS-EFSR): `PetitPotam`.
    Efs,
    /// A printer's notifications (MS-RPRN): `PrinterBug`.
    Printer,
    /// Namespaces of files (MS-DFSNM): `DFSCoerce`.
    Dfs,
    /// Shadow copies (MS-FSRVP): `ShadowCoerce`.
    Shadow,
}

impl Way {
    /// Opnums: MS-EFSR 3.1.4.2, MS-RPRN 3.1.4.10.4, MS-DFSNM 3.1.4.4, MS-FSRVP 3.1.4.
    fn of(interface: &str, operation: u16) -> Option<Self> {
        Some(match (interface, operation) {
            ("efsrpc", 0 | 4..=9 | 12 | 13 | 15) => Self::Efs,
            ("spoolss", 65) => Self::Printer,
            ("netdfs", 12 | 13) => Self::Dfs,
            ("FileServerVssAgent", 8 | 9) => Self::Shadow,
            _ => return None,
        })
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Efs => "PetitPotam (MS-EFSR)",
            Self::Printer => "PrinterBug (MS-RPRN)",
            Self::Dfs => "DFSCoerce (MS-DFSNM)",
            Self::Shadow => "ShadowCoerce (MS-FSRVP)",
        }
    }

    /// Each call has a use in good faith. At a controller it has hardly any; a file server's encrypted files, namespaces
    /// and shadow copies, a print server's printers are what the calls were made for.
    const fn severity(self, to_controller: bool) -> Severity {
        match self {
            Self::Efs if to_controller => Severity::CRITICAL,
            Self::Efs => Severity::MEDIUM,
            Self::Printer | Self::Dfs | Self::Shadow if to_controller => Severity::HIGH,
            Self::Printer | Self::Dfs | Self::Shadow => Severity::LOW,
        }
    }
}

impl Coerce {
    pub(super) fn new(limits: &Limits, seed: u64) -> Self {
        let prints = Map::new(limits.detector_entries, seed);
        Self { pairs: Map::new(limits.detector_entries, seed), prints, evicted: 0 }
    }

    pub(super) fn on_call(
        &mut self,
        call: &Call<'_>,
        controllers: &Controllers,
        scene: &Scene<'_>,
        out: &mut Findings,
    ) {
        let Some((interface, operation)) = call.operation() else { return };
        // RpcOpenPrinter, RpcClosePrinter, the subscription, RpcOpenPrinterEx: all that the attack needs.
        if interface == "spoolss" && !matches!(operation, 1 | 29 | 65 | 69) {
            // A flow that is forgotten here may be taken for an attack at a controller; the entry is in use while it prints.
            let _left = self.prints.insert(call.flow.id, ());
        }
        let Some(way) = Way::of(interface, operation) else { return };
        let ends = call.ends();
        let prints = way == Way::Printer && self.prints.peek(&call.flow.id).is_some();
        if prints || ends.0 == ends.1 {
            return;
        }
        if self.pairs.peek(&ends).is_some_and(|one| call.at.since(one.last) > MEMORY) {
            self.pairs.remove(&ends);
        }
        let (calls, left) = self.pairs.get_or_insert_with(ends, || Calls::new(call.at, way));
        self.evicted += u64::from(left.is_some());
        let Some(calls) = calls else { return };
        calls.last = calls.last.max(call.at);
        calls.count += 1;
        calls.way = way;
        calls.tell(call, way.severity(controllers.has(ends.1)), scene, out);
    }

    /// The server comes to the caller.
    pub(super) fn on_flow(&mut self, event: &Event, out: &mut Findings) {
        let Event::Flow { at, flow, what: FlowEvent::Established } = event else { return };
        if !PORTS.contains(&flow.responder.port) || self.pairs.is_empty() {
            return;
        }
        let Some(calls) = self.pairs.get_mut(&(flow.responder.address, flow.originator.address)) else {
            return;
        };
        // A print server comes to each client that wants to be notified.
        let is_usual = calls.way == Way::Printer;
        if is_usual || at.since(calls.last) > COMES || core::mem::replace(&mut calls.came, true) {
            return;
        }
        if let Some(id) = calls.finding {
            out.grow(id, *at, |finding| {
                finding.severity = finding.severity.raised().max(Severity::HIGH);
                input(finding, "server_came_to_caller", flow.community_id());
            });
        }
    }

    pub(super) const fn take_evicted(&mut self) -> u64 {
        core::mem::replace(&mut self.evicted, 0)
    }
}

impl Calls {
    const fn new(at: Timestamp, way: Way) -> Self {
        Self { first: at, last: at, count: 0, way, came: false, finding: None }
    }

    fn tell(&mut self, call: &Call<'_>, severity: Severity, scene: &Scene<'_>, out: &mut Findings) {
        let (count, first, way) = (self.count, self.first, self.way);
        let change = |finding: &mut Finding| {
            finding.count = count;
            finding.severity = finding.severity.max(severity);
            input(finding, "calls", count);
            input(finding, "way", way.name());
            input(finding, "operation", call.name());
        };
        grow_or_open(&mut self.finding, call.at, out, change, || {
            let claim = Claim {
                flow: &call.flow,
                first,
                now: call.at,
                what: "coercion",
                technique: "T1187",
                severity,
                confidence: if severity >= Severity::HIGH { 850 } else { 500 },
                title: ("サーバーの認証を誘い出す操作", "Server coerced to authenticate"),
                explanation: (
                    "サーバー自身のアカウントで外へログインさせる操作をしました。誘い出した認証を転送して、\
                     ドメインを乗っ取る攻撃に使われることがあります。",
                    "made a server log in elsewhere with its own account, by a call to",
                ),
                formula: "a call that takes a path or a client's name and makes the server log in there; worse at a \
                     domain controller, and where the server comes to the caller within a minute",
            };
            let mut finding = claim.draft(scene);
            threshold(&mut finding, "calls", 1_u64);
            Some(finding)
        });
    }
}
