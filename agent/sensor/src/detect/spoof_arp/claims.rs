//! Who holds an address, and what one hardware address says of others' addresses.

use core::net::Ipv4Addr;

use sekimori_wire::id::FindingId;
use sekimori_wire::time::Timestamp;

use super::MEMORY;
use crate::event::Arp;

/// A hardware address.
pub(super) type Mac = [u8; 6];

/// Replies about one foreign address to one host that nobody asked for. A cluster that moves tells each neighbour once, or twice
/// for safety.
pub(super) const REPEATS_MIN: u32 = 3;
/// Foreign addresses claimed at once: both ends of a conversation.
pub(super) const SIDES_MIN: usize = 2;
/// Replies a poisoner sends within the memory even where the true holder was never heard.
const INSISTS_MIN: u32 = 20;
/// How often two devices must alternate: a host that changes its network card alternates once, a failover and its return twice.
pub(super) const RETURNS_MIN: u32 = 4;
/// Announcements of a foreign address: twice the two of RFC 5227, for one change and its return, and one more.
const ANNOUNCEMENTS_MIN: u32 = 5;
/// Claims remembered of one hardware address.
const CLAIMS_MAX: usize = 16;

/// How a host says where it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Manner {
    /// It asks for another, `openly` to everybody.
    Asks { openly: bool },
    /// It answers a request.
    Answers,
    /// It tells everybody about itself.
    Announces,
    /// It tells one host that did not ask.
    Unasked,
}

/// Why a hardware address is suspected; the later, the surer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Reason {
    Alternates,
    Announced,
    TookTheWayOut,
    Repeats,
    BothSides,
}

impl Reason {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Alternates => "two hardware addresses alternate",
            Self::Announced => "announces an address that its holder still uses",
            Self::TookTheWayOut => "claimed an address and became the way out",
            Self::Repeats => "repeats an unasked claim",
            Self::BothSides => "claims several addresses, unasked",
        }
    }
}

/// What a packet says.
#[derive(Clone, Copy, Debug)]
pub(super) struct Claimed {
    pub(super) address: Ipv4Addr,
    /// Where it is said to be.
    pub(super) mac: Mac,
    /// Who says so.
    pub(super) by: Mac,
    /// To whom.
    pub(super) told: Ipv4Addr,
    pub(super) told_mac: Option<Mac>,
}

impl Claimed {
    pub(super) fn of(arp: &Arp) -> Self {
        let by = arp.frame.map_or(arp.sender_mac, |[from, _]| from);
        let told_mac = arp.frame.map_or(arp.target_mac, |[_, to]| to);
        Self {
            address: arp.sender_ip,
            mac: arp.sender_mac,
            by,
            told: arp.target_ip,
            told_mac: Some(told_mac).filter(|mac| is_station(*mac)),
        }
    }
}

/// One station, neither a group nor nobody.
pub(super) fn is_station(mac: Mac) -> bool {
    mac != [0; 6] && mac.first().is_some_and(|first| first & 1 == 0)
}

/// Hardware addresses that routers share and hand on: VRRP and CARP (RFC 5798, 7.3), HSRP (RFC 2281), its version 2 and
/// GLBP (Cisco's prefixes).
pub(super) const fn is_shared(mac: Mac) -> bool {
    matches!(
        mac,
        [0x00, 0x00, 0x5e, 0x00, 0x01 | 0x02, _]
            | [0x00, 0x00, 0x0c, 0x07, 0xac, _]
            | [0x00, 0x00, 0x0c, 0x9f, 0xf0..=0xff, _]
            | [0x00, 0x05, 0x73, 0xa0, 0x00..=0x0f, _]
            | [0x00, 0x07, 0xb4, 0x00, _, _]
    )
}

/// Who speaks as the holder of an address.
#[derive(Debug)]
pub(super) struct Claims {
    pub(super) owner: Mac,
    /// When the owner was heard last.
    pub(super) last: Timestamp,
    /// Another that spoke as the holder while the owner was there.
    rival: Option<(Mac, Timestamp)>,
    rival_spoke_last: bool,
    pub(super) returns: u32,
}

impl Claims {
    pub(super) const fn new(owner: Mac, at: Timestamp) -> Self {
        Self { owner, last: at, rival: None, rival_spoke_last: false, returns: 0 }
    }

    /// `mac` speaks as the holder; the rival, if the two have alternated often by now.
    pub(super) fn hear(&mut self, at: Timestamp, mac: Mac) -> Option<Mac> {
        let is_rival = mac != self.owner;
        if is_rival && at.since(self.last) > MEMORY {
            // The owner has been silent: the address has moved.
            *self = Self::new(mac, at);
            return None;
        }
        if let Some((rival, last)) = self.rival
            && (at.since(last) > MEMORY || (is_rival && rival != mac))
        {
            (self.rival, self.rival_spoke_last, self.returns) = (None, false, 0);
        }
        if is_rival {
            self.rival = Some((mac, at));
        } else {
            self.last = at;
        }
        if self.rival.is_some() && is_rival != self.rival_spoke_last {
            self.rival_spoke_last = is_rival;
            self.returns += 1;
        }
        let (rival, _) = self.rival.filter(|(rival, _)| self.returns >= RETURNS_MIN && !is_shared(*rival))?;
        Some(rival)
    }
}

/// What one hardware address did.
#[derive(Debug)]
pub(super) struct Actor {
    /// The address that it was first known by.
    pub(super) own: Option<Ipv4Addr>,
    claims: Vec<Claim>,
    announcements: u32,
    pub(super) first: Timestamp,
    last: Timestamp,
    count: u64,
    pub(super) finding: Option<(FindingId, Reason)>,
}

/// A foreign address that was claimed towards one host.
#[derive(Clone, Copy, Debug)]
struct Claim {
    address: Ipv4Addr,
    /// The true holder.
    owner: Option<Mac>,
    told: Option<Ipv4Addr>,
    count: u32,
}

impl Actor {
    pub(super) const fn new(at: Timestamp) -> Self {
        Self { own: None, claims: Vec::new(), announcements: 0, first: at, last: at, count: 0, finding: None }
    }

    /// Begins anew after a silence.
    fn wake(&mut self, at: Timestamp) {
        if at.since(self.last) > MEMORY {
            *self = Self { own: self.own, finding: self.finding, ..Self::new(at) };
        }
        self.last = at;
    }

    pub(super) fn announce(&mut self, at: Timestamp) {
        self.wake(at);
        self.announcements = self.announcements.saturating_add(1);
    }

    pub(super) const fn announces_too_often(&self) -> bool {
        self.announcements >= ANNOUNCEMENTS_MIN
    }

    /// It alternates with the owner of `address`.
    pub(super) fn contest(&mut self, address: Ipv4Addr, owner: Mac) {
        if !self.claims(address) && self.claims.len() < CLAIMS_MAX {
            self.claims.push(Claim { address, owner: Some(owner), told: None, count: 0 });
        }
    }

    /// It told somebody, unasked, that it is `claimed`.
    pub(super) fn claim(
        &mut self,
        at: Timestamp,
        claimed: &Claimed,
        owner_of: impl Fn(Ipv4Addr) -> Option<Mac>,
    ) {
        self.wake(at);
        self.count = self.count.saturating_add(1);
        let same = |one: &&mut Claim| one.address == claimed.address && one.told == Some(claimed.told);
        let room = self.claims.len() < CLAIMS_MAX;
        match self.claims.iter_mut().find(same) {
            Some(one) => one.count = one.count.saturating_add(1),
            None if room => {
                let (address, told) = (claimed.address, Some(claimed.told));
                self.claims.push(Claim { address, owner: None, told, count: 1 });
            }
            None => {}
        }
        for claim in &mut self.claims {
            claim.owner = owner_of(claim.address).filter(|owner| *owner != claimed.mac).or(claim.owner);
        }
    }

    /// Why it is suspected by now.
    pub(super) fn reason(&self) -> Option<Reason> {
        let contested = || self.claims.iter().filter(|claim| claim.owner.is_some() && claim.told.is_some());
        let mut addresses: Vec<Ipv4Addr> = contested().map(|claim| claim.address).collect();
        addresses.sort_unstable();
        addresses.dedup();
        if addresses.len() >= SIDES_MIN {
            return Some(Reason::BothSides);
        }
        let insists = |claim: &Claim| self.own.is_some() && claim.count >= INSISTS_MIN;
        let repeats = contested().any(|claim| claim.count >= REPEATS_MIN) || self.claims.iter().any(insists);
        repeats.then_some(Reason::Repeats)
    }

    pub(super) fn first_claim(&self) -> Option<Timestamp> {
        (self.count > 0).then_some(self.first)
    }

    /// Unasked replies.
    pub(super) const fn unasked(&self) -> u64 {
        self.count
    }

    /// It was heard to claim this foreign address.
    pub(super) fn claims(&self, address: Ipv4Addr) -> bool {
        self.claims.iter().any(|claim| claim.address == address)
    }

    /// The foreign addresses, each once.
    pub(super) fn addresses(&self) -> impl Iterator<Item = Ipv4Addr> {
        let claims = self.claims.iter().enumerate();
        let new = claims
            .filter(|(at, claim)| !self.claims.iter().take(*at).any(|one| one.address == claim.address));
        new.map(|(_, claim)| claim.address)
    }

    /// The true holders, and those who were told.
    pub(super) fn affected(&self) -> impl Iterator<Item = (Option<Mac>, Option<Ipv4Addr>)> {
        self.claims.iter().map(|claim| (claim.owner, claim.told))
    }
}
