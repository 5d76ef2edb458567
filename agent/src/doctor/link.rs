//! Examines an interface: can it be captured from, does it carry whole frames, and what does a short look at it show.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use sekimori_sensor::segment::Policy;

use super::traffic::Seen;
use super::{Finding, Verdict};
use crate::capture::{CaptureError, Fanout, Live, Options};
use crate::device::{Asker, Offloads};

/// What every Ethernet carries.
const MTU_MIN: u32 = 1500;
/// Number of Ethernet among the link types of captures.
const ETHERNET: u32 = 1;
/// How long to wait for frames at once.
const TURN: Duration = Duration::from_millis(100);

/// What the configuration says that matters here.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted<'a> {
    pub(super) options: &'a Options,
    pub(super) workers: usize,
    pub(super) policy: &'a Policy,
    /// How long to look at the traffic; zero: not at all.
    pub(super) look: Duration,
    /// For what to change in it.
    pub(super) config: &'a str,
}

/// Everything that is to be said of an interface.
pub(super) fn examine(interface: &str, wanted: Wanted<'_>) -> Vec<Finding> {
    let bad = |check, what: String, mend: &str| Finding::new(check, interface, Verdict::Bad, what, mend);
    // As many rings as there would be: that the kernel shares among them is part of what is asked.
    let fanout = Fanout::new(wanted.workers, 0);
    let mut findings = Vec::new();
    match Live::open(interface, wanted.options, &fanout) {
        Ok(_lives) => {
            findings.push(Finding::good("capture", interface, format!("{interface} can be captured from")));
        }
        Err(error) => {
            let (check, mend) = mend_of(&error, wanted.config);
            findings.push(bad(check, format!("{:#}", anyhow::Error::from(error)), &mend));
        }
    }
    let there = pnet::datalink::interfaces();
    let Some(device) = there.iter().find(|one| one.name == interface) else { return findings };
    if !device.is_up() {
        let mend = format!("ip link set dev {interface} up");
        findings.push(bad("interface", format!("{interface} is down: nothing is seen"), &mend));
        return findings;
    }
    if !device.is_running() {
        let mend =
            format!("ip link show dev {interface}; look at the cable, and at the port on the other side");
        findings.push(bad("interface", format!("{interface} has no carrier: nothing is seen"), &mend));
        return findings;
    }
    if device.is_loopback() {
        return findings;
    }
    let asked = Asker::new().and_then(|asker| Ok((asker.mtu(interface)?, asker.offloads(interface)?)));
    let (mtu, offloads) = match asked {
        Ok(answers) => answers,
        Err(error) => {
            let what = format!("{interface}: the kernel does not tell MTU and offloads: {error}");
            let mend = format!("ip link show dev {interface}; ethtool -k {interface}");
            findings.push(Finding::new("interface", interface, Verdict::Note, what, &mend));
            return findings;
        }
    };
    let looked = if wanted.look.is_zero() { Ok(None) } else { look(interface, wanted, mtu) };
    match looked {
        Ok(Some(looked)) => {
            findings.extend(mtu_of(interface, looked.link, mtu));
            findings.extend(offloads_of(interface, offloads, wanted.options, looked.seen.merged));
            findings.extend(traffic(interface, &looked, wanted));
        }
        Ok(None) => findings.extend(offloads_of(interface, offloads, wanted.options, 0)),
        // Why is told above.
        Err(_cannot_open) => findings.extend(offloads_of(interface, offloads, wanted.options, 0)),
    }
    findings
}

/// Which check it is about, and what mends it.
fn mend_of(error: &CaptureError, config: &str) -> (&'static str, String) {
    match error {
        CaptureError::NoInterface { .. } | CaptureError::Gone { .. } => (
            "interface",
            format!("sekimori-agent interfaces; then name one in capture.interfaces of {config}"),
        ),
        CaptureError::Permission { program, .. } => {
            ("permission", format!("setcap cap_net_raw+ep {program}"))
        }
        CaptureError::Filter { .. } => ("capture", format!("correct capture.filter in {config}")),
        CaptureError::System { interface, .. } => {
            ("capture", format!("ip -details link show dev {interface}"))
        }
        #[cfg(not(feature = "pcap"))]
        CaptureError::NoLibPcap { .. } => ("capture", format!("write engine = \"ring\" in {config}")),
    }
}

/// Frames of a while.
struct Looked {
    seen: Seen,
    link: u32,
    dropped: u64,
}

fn look(interface: &str, wanted: Wanted<'_>, mtu: u32) -> Result<Option<Looked>, CaptureError> {
    let mut lives = Live::open(interface, wanted.options, &Fanout::new(1, 0))?;
    let Some(live) = lives.first_mut() else { return Ok(None) };
    let (mut seen, until) = (Seen::default(), Instant::now() + wanted.look);
    while Instant::now() < until {
        live.deliver(TURN, |frame| seen.note(frame, mtu, wanted.policy))?;
    }
    Ok(Some(Looked { seen, link: live.link(), dropped: live.stats().dropped }))
}

fn mtu_of(interface: &str, link: u32, mtu: u32) -> Option<Finding> {
    (link == ETHERNET && mtu < MTU_MIN).then(|| {
        let what =
            format!("{interface} has an MTU of {mtu}: frames of the usual {MTU_MIN} bytes do not get in");
        let mend = format!("ip link set dev {interface} mtu {MTU_MIN}");
        Finding::new("mtu", interface, Verdict::Bad, what, &mend)
    })
}

/// That frames were merged is a fault; that they may be is worth a word.
fn offloads_of(interface: &str, offloads: Offloads, options: &Options, merged: u64) -> Option<Finding> {
    // What this machine sends is not looked at: it does not matter who cuts it.
    let tso = offloads.tso && !options.ignore_outgoing;
    let on = [(offloads.gro, "gro"), (offloads.lro, "lro"), (tso, "tso")];
    let on: Vec<&str> = on.into_iter().filter_map(|(on, name)| on.then_some(name)).collect();
    if on.is_empty() {
        return None;
    }
    let mend: String = on.iter().map(|name| format!(" {name} off")).collect();
    let mend = format!("ethtool -K {interface}{mend}");
    let names = on.join(", ").to_uppercase();
    let (verdict, what) = if merged > 0 {
        let seen = format!("{merged} frames were longer than any on the wire");
        (Verdict::Bad, format!("{interface} has {names} on, and {seen}: counts and sizes are false"))
    } else {
        (Verdict::Note, format!("{interface} has {names} on: frames may be merged before they are seen"))
    };
    Some(Finding::new("offload", interface, verdict, what, &mend))
}

fn traffic(interface: &str, looked: &Looked, wanted: Wanted<'_>) -> Vec<Finding> {
    let seconds = wanted.look.as_secs();
    let seen = &looked.seen;
    let told = |check, verdict, what: String, mend: &str| Finding::new(check, interface, verdict, what, mend);
    if seen.frames == 0 {
        let what = format!("{interface}: no frame in {seconds} s: is this the mirror port?");
        return vec![told("traffic", Verdict::Note, what, &format!("tcpdump -ni {interface}"))];
    }
    let mut findings = vec![Finding::good(
        "traffic",
        interface,
        format!("{interface}: {} frames in {seconds} s", seen.frames),
    )];
    if looked.dropped > 0 {
        let what = format!("{interface}: {} frames dropped by the kernel in {seconds} s", looked.dropped);
        let mend =
            format!("raise capture.workers in {}, or leave traffic out with capture.filter", wanted.config);
        findings.push(told("traffic", Verdict::Note, what, &mend));
    }
    let sides = seen.sides();
    if sides.is_half() {
        let what = format!(
            "{interface}: of {} connections only one direction is seen, of {} both: a mirror that shows one half",
            sides.one, sides.both
        );
        let mend = if wanted.options.ignore_outgoing {
            format!("write ignore_outgoing = false in {}", wanted.config)
        } else {
            "mirror both directions on the switch: monitor session 1 source interface PORT both".to_owned()
        };
        findings.push(told("mirror", Verdict::Bad, what, &mend));
    }
    findings.extend(vlans(interface, seen, wanted));
    if wanted.policy.has_segments() && seen.is_elsewhere() {
        let what = format!("{interface}: nothing that is seen belongs to a configured segment");
        let mend = format!("correct cidr and vlan of the segments in {}", wanted.config);
        findings.push(told("segments", Verdict::Note, what, &mend));
    }
    findings
}

/// Only where segments name VLANs: elsewhere any will do.
fn vlans(interface: &str, seen: &Seen, wanted: Wanted<'_>) -> Vec<Finding> {
    let configured = wanted.policy.vlans();
    if configured.is_empty() {
        return Vec::new();
    }
    let tagged: BTreeSet<u16> = seen.vlans.keys().filter_map(|vlan| *vlan).collect();
    let list = |numbers: &BTreeSet<u16>| {
        let numbers: Vec<String> = numbers.iter().map(u16::to_string).collect();
        if numbers.is_empty() { "none".to_owned() } else { numbers.join(", ") }
    };
    let mut findings = Vec::new();
    if configured.is_disjoint(&tagged) {
        let what =
            format!("{interface}: the segments name VLAN {}, seen are: {}", list(&configured), list(&tagged));
        let mend = format!(
            "correct vlan of the segments in {}, or mirror them on the switch: monitor session 1 source vlan {}",
            wanted.config,
            list(&configured)
        );
        findings.push(Finding::new("vlan", interface, Verdict::Bad, what, &mend));
    } else if let strange @ 1.. = tagged.difference(&configured).count() {
        let numbers: BTreeSet<u16> = tagged.difference(&configured).copied().collect();
        let what = format!("{interface}: {strange} VLANs are seen that no segment names: {}", list(&numbers));
        let mend = format!("name them in [[segment]] of {}", wanted.config);
        findings.push(Finding::new("vlan", interface, Verdict::Note, what, &mend));
    }
    findings
}
