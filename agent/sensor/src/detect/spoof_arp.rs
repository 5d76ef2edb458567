//! `spoof.arp`: an address claimed by a second hardware address.
//!
//! ARP has no proof: whoever says that an address is his is believed. What betrays a forger is the manner. Ordinary hosts answer
//! when they are asked, and announce themselves to all once or twice (RFC 5227, `ANNOUNCE_NUM`); a poisoner tells one victim, unasked and again and
//! again, and mostly both ends of a conversation. So counted are replies that nobody asked for, made to one host, about an
//! address that another hardware address holds. That two devices alternate about an address without such replies is a
//! notice only: an address given out twice looks the same.

mod claims;

use core::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use sekimori_wire::finding::{Bilingual, Category, Confidence, Finding, Severity};
use sekimori_wire::id::Host;
use sekimori_wire::time::Timestamp;

use crate::bounded::Map;
use crate::detect::findings::{Findings, Who, draft, input, target, threshold};
use crate::detect::{Detect, Kinds, Scene, Setup};
use crate::event::{Arp, Event, FlowEvent, FlowRecord, FlowRef};
use crate::segment::Policy;
use claims::{Actor, Claimed, Claims, Mac, Manner, Reason, is_shared, is_station};

/// A claim that was never repeated is forgotten after this long: poisoners repeat within the life of a cache entry, which
/// common systems renew after less than a minute.
const MEMORY: Duration = Duration::from_secs(5 * 60);
/// An answer belongs to a request at most this old: after so long common systems ask again.
const ANSWER: Duration = Duration::from_secs(1);
/// Next hops to the outside that are remembered: gateways of the networks in view.
const NEXT_HOPS_MAX: usize = 256;

/// State: who holds which address, and who claims others'.
#[derive(Debug)]
pub(super) struct SpoofArp {
    addresses: Map<Place, Claims>,
    /// Requests that may still be answered: asker, wanted address.
    asked: Map<(Option<u16>, Ipv4Addr, Ipv4Addr), Timestamp>,
    actors: Map<(Option<u16>, Mac), Actor>,
    /// The address that a hardware address was first known by.
    homes: Map<(Option<u16>, Mac), Ipv4Addr>,
    /// Hardware addresses to which outside traffic went, and since when.
    next_hops: Map<(Option<u16>, Mac), Timestamp>,
    evicted: u64,
}

/// An address on a VLAN.
type Place = (Option<u16>, Ipv4Addr);

impl SpoofArp {
    pub(super) fn new(setup: &Setup<'_>) -> Self {
        let (entries, seed) = (setup.limits.detector_entries, setup.seed);
        Self {
            addresses: Map::new(entries, seed),
            asked: Map::new(entries, seed),
            actors: Map::new(entries, seed),
            homes: Map::new(entries, seed),
            next_hops: Map::new(NEXT_HOPS_MAX, seed),
            evicted: 0,
        }
    }

    fn on_arp(
        &mut self,
        at: Timestamp,
        vlan: Option<u16>,
        arp: &Arp,
        (policy, out): (&Policy, &mut Findings),
    ) {
        let Some(manner) = self.manner(at, vlan, arp) else { return };
        let claimed = Claimed::of(arp);
        match manner {
            Manner::Asks { openly: false } => self.confirm(at, (vlan, claimed.address), claimed.mac),
            Manner::Asks { openly: true } | Manner::Answers => {
                self.hold(at, vlan, &claimed, (policy, out));
            }
            Manner::Announces => {
                self.count_announcement(at, vlan, &claimed);
                self.hold(at, vlan, &claimed, (policy, out));
            }
            Manner::Unasked => {
                // To reach its victim a forger must know where it is.
                if let Some(mac) = claimed.told_mac {
                    self.learn(at, (vlan, claimed.told), mac);
                }
                self.on_unasked(at, vlan, &claimed, (policy, out));
            }
        }
    }

    /// How the sender of a packet says where it is; none if it says nothing.
    fn manner(&mut self, at: Timestamp, vlan: Option<u16>, arp: &Arp) -> Option<Manner> {
        let (sender, wanted) = (arp.sender_ip, arp.target_ip);
        let gratuitous = sender == wanted || wanted.is_unspecified() || wanted.is_broadcast();
        match arp.operation {
            1 if gratuitous && !sender.is_unspecified() => Some(Manner::Announces),
            1 => {
                // Requests are remembered for seconds only: who leaves for another is no loss worth counting.
                let _left = self.asked.insert((vlan, sender, wanted), at);
                let openly = arp.frame.is_none_or(|[_, to]| !is_station(to));
                // A probe (RFC 5227) has no sender yet.
                (!sender.is_unspecified()).then_some(Manner::Asks { openly })
            }
            2 if sender.is_unspecified() => None,
            2 if gratuitous => Some(Manner::Announces),
            2 => {
                let asked = self.asked.peek(&(vlan, wanted, sender));
                let answers = asked.is_some_and(|asked| at.since(*asked) <= ANSWER);
                Some(if answers { Manner::Answers } else { Manner::Unasked })
            }
            _ => None,
        }
    }

    /// Whoever holds the address was heard again.
    fn confirm(&mut self, at: Timestamp, place: Place, mac: Mac) {
        if let Some(claims) = self.addresses.get_mut(&place)
            && claims.owner == mac
        {
            claims.last = at;
        }
    }

    /// An address is where somebody says it is, if nothing else is known.
    fn learn(&mut self, at: Timestamp, place: Place, mac: Mac) {
        if self.addresses.peek(&place).is_none() {
            self.evicted += u64::from(self.addresses.insert(place, Claims::new(mac, at)).is_some());
        }
    }

    /// Somebody speaks as the holder of an address.
    fn hold(
        &mut self,
        at: Timestamp,
        vlan: Option<u16>,
        claimed: &Claimed,
        (policy, out): (&Policy, &mut Findings),
    ) {
        let place = (vlan, claimed.address);
        let Some(claims) = self.addresses.get_mut(&place) else {
            if self.homes.peek(&(vlan, claimed.mac)).is_none() {
                // Only names a finding: what is forgotten costs nothing but that.
                let _left = self.homes.insert((vlan, claimed.mac), claimed.address);
            }
            return self.learn(at, place, claimed.mac);
        };
        let Some(rival) = claims.hear(at, claimed.mac) else { return };
        // Two devices alternate: the later one is the one to look at.
        let (owner, returns) = (claims.owner, claims.returns);
        let (actor, left) = self.actors.get_or_insert_with((vlan, rival), || Actor::new(at));
        self.evicted += u64::from(left.is_some());
        let Some(actor) = actor else { return };
        actor.contest(claimed.address, owner);
        let reason = if actor.announces_too_often() { Reason::Announced } else { Reason::Alternates };
        actor.tell(at, (vlan, rival), reason, returns.into(), (policy, out));
    }

    fn count_announcement(&mut self, at: Timestamp, vlan: Option<u16>, claimed: &Claimed) {
        let place = (vlan, claimed.address);
        let foreign = self.addresses.peek(&place).is_some_and(|claims| claims.owner != claimed.mac);
        if foreign && !is_shared(claimed.mac) {
            let (actor, left) = self.actors.get_or_insert_with((vlan, claimed.by), || Actor::new(at));
            self.evicted += u64::from(left.is_some());
            if let Some(actor) = actor {
                actor.announce(at);
            }
        }
    }

    fn on_unasked(
        &mut self,
        at: Timestamp,
        vlan: Option<u16>,
        claimed: &Claimed,
        (policy, out): (&Policy, &mut Findings),
    ) {
        let owner = self.addresses.peek(&(vlan, claimed.address)).map(|claims| claims.owner);
        if is_shared(claimed.mac) || owner == Some(claimed.mac) {
            return self.confirm(at, (vlan, claimed.address), claimed.mac);
        }
        // What the sensor knows of the addresses that were claimed before their holder was known.
        let addresses = &self.addresses;
        let owner_of = |address: Ipv4Addr| addresses.peek(&(vlan, address)).map(|claims| claims.owner);
        let (actor, left) = self.actors.get_or_insert_with((vlan, claimed.by), || Actor::new(at));
        self.evicted += u64::from(left.is_some());
        let Some(actor) = actor else { return };
        actor.own = self.homes.peek(&(vlan, claimed.by)).copied();
        actor.claim(at, claimed, owner_of);
        let Some(reason) = actor.reason() else { return };
        let count = actor.unasked();
        actor.tell(at, (vlan, claimed.by), reason, count, (policy, out));
    }

    /// Outside traffic went to a hardware address: whether that one had claimed an address before, and another was the way
    /// out until then.
    fn on_way_out(
        &mut self,
        at: Timestamp,
        flow: &FlowRef,
        record: &FlowRecord,
        (scene, out): (&Scene<'_>, &mut Findings),
    ) {
        let mac = match (scene.inside.originator, scene.inside.responder) {
            (true, false) => record.conduct.responder.mac,
            (false, true) => record.conduct.originator.mac,
            (true, true) | (false, false) => None,
        };
        let Some(mac) = mac.filter(|mac| is_station(*mac)) else { return };
        let key = (flow.vlan, mac);
        let (known, _left) = self.next_hops.get_or_insert_with(key, || flow.began);
        let Some(known) = known else { return };
        *known = flow.began.min(*known);
        let since = *known;
        let Some(actor) = self.actors.get_mut(&key) else { return };
        actor.own = self.homes.peek(&key).copied();
        let Some(claimed_at) = actor.first_claim().filter(|claimed| since >= *claimed) else { return };
        let before = |((vlan, other), began): (&(Option<u16>, Mac), &Timestamp)| {
            *vlan == flow.vlan && *other != mac && !is_shared(*other) && *began < claimed_at
        };
        if since.since(claimed_at) <= MEMORY && self.next_hops.iter().any(before) {
            let count = actor.unasked();
            actor.tell(at, key, Reason::TookTheWayOut, count, (scene.policy, out));
        }
    }
}

impl Actor {
    /// Says what it does, or that it goes on.
    fn tell(
        &mut self,
        at: Timestamp,
        (vlan, mac): (Option<u16>, Mac),
        reason: Reason,
        count: u64,
        (policy, out): (&Policy, &mut Findings),
    ) {
        let worse = |told: Reason| told == Reason::Alternates && reason > told;
        if let Some((id, told)) = self.finding.filter(|(_, told)| !worse(*told)) {
            let grown = out.grow(id, at, |finding| {
                finding.count = finding.count.max(count);
                if reason > told {
                    finding.severity = finding.severity.max(reason.severity());
                }
                self.show(finding);
            });
            if grown {
                self.finding = Some((id, reason.max(told)));
                return;
            }
        }
        let finding = self.finding(at, (vlan, mac), (reason, count), policy);
        self.finding = Some((out.open(finding), reason));
    }

    fn finding(
        &self,
        at: Timestamp,
        (vlan, mac): (Option<u16>, Mac),
        (reason, count): (Reason, u64),
        policy: &Policy,
    ) -> Finding {
        let claimed = self.addresses().next().unwrap_or(Ipv4Addr::UNSPECIFIED);
        let own = self.own.filter(|own| !self.claims(*own)).map(IpAddr::V4);
        let who = Who {
            originator: Some(own.map_or(Host::Mac(mac), Host::Ip)),
            responder: None,
            places: (own.unwrap_or(IpAddr::V4(claimed)), claimed.into()),
            vlan,
            what: if reason == Reason::Alternates { "alternates" } else { "" },
        };
        let mut finding = draft(Category::SpoofArp, SpoofArp::RULE, policy, who, (self.first, at));
        finding.severity = reason.severity();
        finding.confidence = Confidence::from_permille(reason.permille());
        finding.count = count;
        describe(&mut finding, &Host::Mac(mac).to_string(), claimed, reason);
        input(&mut finding, "hardware_address", Host::Mac(mac).to_string());
        input(&mut finding, "reason", reason.as_str());
        threshold(&mut finding, "unasked_replies_to_one_host", u64::from(claims::REPEATS_MIN));
        threshold(&mut finding, "addresses_claimed", claims::SIDES_MIN);
        threshold(&mut finding, "alternations", u64::from(claims::RETURNS_MIN));
        self.show(&mut finding);
        finding
    }

    fn show(&self, finding: &mut Finding) {
        input(finding, "unasked_replies", self.unasked());
        input(finding, "addresses_claimed", self.addresses().count());
        for address in self.addresses() {
            target(finding, &address.to_string());
        }
        for (owner, told) in self.affected() {
            owner.iter().for_each(|mac| target(finding, &Host::Mac(*mac).to_string()));
            told.iter().for_each(|address| target(finding, &address.to_string()));
        }
    }
}

fn describe(finding: &mut Finding, mac: &str, claimed: Ipv4Addr, reason: Reason) {
    finding.evidence.formula = "replies that no request asked for, told to one host, about an address that another \
        hardware address holds: one repeated, or several addresses claimed, or the way out taken over; or two hardware \
        addresses that alternate about an address"
        .into();
    if reason == Reason::Alternates {
        finding.title = Bilingual::new(
            &format!("IPアドレスの重複: {claimed}"),
            &format!("Two devices use one address: {claimed}"),
        );
        finding.explanation = Bilingual::new(
            &format!(
                "{claimed} を別の機器({mac})も名乗っています。アドレスの二重割り当ての可能性が高いですが、なりすましの場合も\
                 同じように見えます。"
            ),
            &format!(
                "Another device ({mac}) also says that it is {claimed}. Most likely the address was given out twice; \
                 impersonation looks the same."
            ),
        );
        return;
    }
    finding.title = Bilingual::new(
        &format!("ARPなりすまし: {mac} が {claimed} を詐称"),
        &format!("ARP spoofing: {mac} claims {claimed}"),
    );
    finding.explanation = Bilingual::new(
        &format!(
            "{mac} の機器が、問い合わせがないのに「{claimed} は自分である」と繰り返し通知しています。通信を自分に引き込み、\
             盗聴や改ざんを行う手口です。"
        ),
        &format!(
            "The device {mac} keeps telling others, unasked, that it is {claimed}. This draws their traffic to it, to \
             be read or changed."
        ),
    );
}

impl Reason {
    const fn severity(self) -> Severity {
        match self {
            Self::Alternates => Severity::LOW,
            Self::Announced | Self::TookTheWayOut | Self::Repeats | Self::BothSides => Severity::HIGH,
        }
    }

    const fn permille(self) -> u16 {
        match self {
            Self::Alternates => 500,
            Self::Announced => 700,
            Self::TookTheWayOut => 800,
            Self::Repeats => 900,
            Self::BothSides => 950,
        }
    }
}

impl Detect for SpoofArp {
    const RULE: &'static str = "spoof.arp/1";
    const WANTS: Kinds = Kinds::ARP.and(Kinds::ENDED);

    fn on_event(&mut self, event: &Event, scene: &Scene<'_>, out: &mut Findings) {
        if let Event::Arp { at, vlan, arp } = event {
            self.on_arp(*at, *vlan, arp, (scene.policy, out));
        } else if let Event::Flow { at, flow, what: FlowEvent::Ended(record) } = event {
            self.on_way_out(*at, flow, record, (scene, out));
        }
    }

    fn take_evicted(&mut self) -> u64 {
        core::mem::take(&mut self.evicted)
    }
}

#[cfg(test)]
mod tests;
