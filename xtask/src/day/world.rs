//! The town hall: who is there, when, and what is to happen next.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr};

use super::tape::Tape;
use crate::pcaps::capture::SECOND;
use crate::pcaps::craft::v4;

/// A minute, in the unit of every time here.
pub(super) const MINUTE: u64 = 60 * SECOND;
/// An hour.
pub(super) const HOUR: u64 = 60 * MINUTE;
/// A day.
pub(super) const DAY: u64 = 24 * HOUR;
/// Names that a host remembers before it forgets all that ran out.
const MEMORY: usize = 20_000;
/// Hosts have addresses from .20 on, below the printers and telephones.
const HOSTS_MAX: u8 = 150;

/// The machines that serve.
#[derive(Clone, Copy, Debug)]
pub(super) struct Servers {
    pub(super) gateway: IpAddr,
    pub(super) dc1: IpAddr,
    pub(super) dc2: IpAddr,
    pub(super) files: IpAddr,
    pub(super) mail: IpAddr,
    pub(super) intranet: IpAddr,
    pub(super) monitor: IpAddr,
    pub(super) backup: IpAddr,
    pub(super) exchange: IpAddr,
    /// Watched, and switched off long ago.
    pub(super) dead: IpAddr,
    /// The web server that citizens read, in a network of its own.
    pub(super) web: IpAddr,
    /// Where those who work at home come in.
    pub(super) vpn: IpAddr,
}

/// One desk.
#[derive(Clone, Copy, Debug)]
pub(super) struct Host {
    pub(super) ip: IpAddr,
    /// Counted from 0.
    pub(super) number: u8,
    /// When its user comes and goes, as time of day.
    pub(super) hours: (u64, u64),
    /// Left on for the night.
    pub(super) stays_on: bool,
}

impl Host {
    /// As Active Directory calls it.
    pub(super) fn name(&self) -> String {
        format!("PC{:03}", u16::from(self.number) + 101)
    }

    /// Its user's account.
    pub(super) fn user(&self) -> String {
        const FAMILIES: [&str; 10] = [
            "sato",
            "suzuki",
            "takahashi",
            "tanaka",
            "ito",
            "watanabe",
            "yamamoto",
            "nakamura",
            "kobayashi",
            "kato",
        ];
        let family = FAMILIES.get(usize::from(self.number % 10)).copied().unwrap_or("mori");
        format!("{family}.{}", u16::from(self.number) / 10)
    }

    /// IPv4, which all of them have.
    pub(super) fn v4(&self) -> Ipv4Addr {
        match self.ip {
            IpAddr::V4(ip) => ip,
            IpAddr::V6(_) => Ipv4Addr::UNSPECIFIED,
        }
    }
}

/// What happens at a time; gives when it happens again.
pub(super) type Deed = Box<dyn FnMut(&mut World, u64) -> Option<u64>>;

/// Everything that goes on.
pub(super) struct World {
    pub(super) tape: Tape,
    pub(super) servers: Servers,
    pub(super) hosts: Vec<Host>,
    deeds: BTreeMap<(u64, u64), Deed>,
    queue: BinaryHeap<Reverse<(u64, u64)>>,
    next: u64,
    /// Until when somebody remembers a name.
    known: BTreeMap<(IpAddr, String), u64>,
}

impl World {
    /// A town hall of so many desks.
    pub(super) fn new(seed: u64, hosts: u8) -> Self {
        let mut tape = Tape::new(seed);
        let hosts = (0..hosts.clamp(1, HOSTS_MAX)).map(|number| host(&mut tape, number)).collect();
        let office = |last| v4([192, 168, 10, last]);
        let servers = Servers {
            gateway: office(1),
            dc1: office(2),
            dc2: office(3),
            files: office(5),
            mail: v4([192, 168, 9, 25]),
            intranet: office(7),
            monitor: office(9),
            backup: office(11),
            exchange: office(13),
            dead: office(19),
            web: v4([192, 168, 9, 10]),
            vpn: v4([192, 168, 9, 1]),
        };
        Self {
            tape,
            servers,
            hosts,
            deeds: BTreeMap::new(),
            queue: BinaryHeap::new(),
            next: 0,
            known: BTreeMap::new(),
        }
    }

    /// Something will happen.
    pub(super) fn at(&mut self, at: u64, deed: impl FnMut(&mut Self, u64) -> Option<u64> + 'static) {
        self.plan(at, Box::new(deed));
    }

    fn plan(&mut self, at: u64, deed: Deed) {
        self.next += 1;
        self.queue.push(Reverse((at, self.next)));
        self.deeds.insert((at, self.next), deed);
    }

    /// Lets all happen until `until`, and writes what is seen from `from` on.
    pub(super) fn run(&mut self, from: u64, until: u64, out: &mut impl Write) -> io::Result<()> {
        while let Some(Reverse(key)) = self.queue.pop() {
            let (at, _) = key;
            if at >= until {
                break;
            }
            let Some(mut deed) = self.deeds.remove(&key) else { continue };
            self.tape.forget_before(at.min(from));
            self.tape.write_before(at, out)?;
            if let Some(again) = deed(self, at) {
                self.plan(again.max(at + 1), deed);
            }
        }
        self.tape.forget_before(from);
        self.tape.write_before(until, out)
    }

    /// A host still remembers a name.
    pub(super) fn knows(&self, host: IpAddr, name: &str, at: u64) -> bool {
        self.known.get(&(host, name.to_owned())).is_some_and(|until| *until > at)
    }

    /// A host learns a name.
    pub(super) fn learn(&mut self, host: IpAddr, name: &str, until: u64) {
        if self.known.len() >= MEMORY {
            let at = until.saturating_sub(HOUR);
            self.known.retain(|_, until| *until > at);
        }
        self.known.insert((host, name.to_owned()), until);
    }

    /// A time around `mean`, now and then a long one: how people pause.
    pub(super) fn pause(&mut self, mean: u64) -> u64 {
        let pause = self.tape.rng.between(mean / 8, mean * 3 / 2);
        if self.tape.rng.between(0, 8) == 0 { pause * 3 } else { pause }
    }

    /// One chance in so many.
    pub(super) fn one_in(&mut self, many: u64) -> bool {
        self.tape.rng.between(0, many) == 0
    }
}

fn host(tape: &mut Tape, number: u8) -> Host {
    let come = 8 * HOUR + tape.rng.between(0, 35 * MINUTE);
    let overtime = if number.is_multiple_of(5) { tape.rng.between(0, 3 * HOUR) } else { 0 };
    let leave = 17 * HOUR + 15 * MINUTE + tape.rng.between(0, 20 * MINUTE) + overtime;
    Host {
        ip: v4([192, 168, 10, 20 + number]),
        number,
        hours: (come, leave),
        stays_on: number.is_multiple_of(8),
    }
}

/// Monday to Friday; time 0 is a Monday.
pub(super) const fn is_workday(at: u64) -> bool {
    at / DAY % 7 < 5
}

/// How much slower than usual people do things: not at all, at lunch, when nobody is there.
pub(super) fn slowness(host: &Host, at: u64) -> Option<u64> {
    let time = at % DAY;
    if !is_workday(at) || time < host.hours.0 || time > host.hours.1 {
        return None;
    }
    Some(if (12 * HOUR..13 * HOUR).contains(&time) { 4 } else { 1 })
}

/// When its user comes next.
pub(super) const fn next_morning(host: &Host, at: u64) -> u64 {
    let mut day = at / DAY;
    if at % DAY >= host.hours.0 {
        day += 1;
    }
    while day % 7 >= 5 {
        day += 1;
    }
    day * DAY + host.hours.0
}

/// What a host does while its user is there, about every `mean`.
pub(super) fn while_there(
    world: &mut World,
    host: Host,
    mean: u64,
    mut act: impl FnMut(&mut World, &Host, u64) + 'static,
) {
    let first = next_morning(&host, 0) + world.pause(mean);
    world.at(first, move |world, at| match slowness(&host, at) {
        Some(slowness) => {
            act(world, &host, at);
            Some(at + world.pause(mean * slowness))
        }
        None => {
            let settle = world.tape.rng.between(MINUTE, 6 * MINUTE);
            Some(next_morning(&host, at) + settle)
        }
    });
}

/// What software does by the clock while the machine is on, with the jitter of a timer.
pub(super) fn by_timer(
    world: &mut World,
    host: Host,
    period: u64,
    mut act: impl FnMut(&mut World, &Host, u64) + 'static,
) {
    let first = world.tape.rng.between(0, period);
    let first = if host.stays_on { first } else { next_morning(&host, 0) + first };
    world.at(first, move |world, at| {
        if !host.stays_on && slowness(&host, at).is_none() {
            return Some(next_morning(&host, at) + world.tape.rng.between(30 * SECOND, 5 * MINUTE));
        }
        act(world, &host, at);
        Some(at + period + world.tape.rng.between(0, period / 200 + 1))
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_works_at_night_or_on_sundays() {
        let world = World::new(1, 3);
        let host = world.hosts[1];
        assert_eq!(slowness(&host, 3 * HOUR), None);
        assert_eq!(slowness(&host, 10 * HOUR), Some(1));
        assert_eq!(slowness(&host, 12 * HOUR + MINUTE), Some(4));
        assert_eq!(slowness(&host, 6 * DAY + 10 * HOUR), None);
        assert_eq!(next_morning(&host, 4 * DAY + 20 * HOUR) / DAY, 7);
    }
}
