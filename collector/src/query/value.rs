//! Values as people write them: amounts, times of Japan, addresses, texts with wildcards.

use std::net::IpAddr;

use jiff::ToSpan as _;
use jiff::civil::{Date, DateTime};
use jiff::tz::{Offset, TimeZone};
use sekimori_wire::id::Host;
use sekimori_wire::time::Timestamp;

use super::Match;

const NANOS_PER_SECOND: i64 = 1_000_000_000;

/// A span of time that is named by a value: both ends included.
pub(super) type Span = (i64, i64);

/// `10`, `10k`, `10M`, `1.5G` (powers of 1,000), `64Ki`, `1Mi` (of 1,024).
pub(super) fn amount(text: &str) -> Option<i64> {
    const UNITS: &[(&str, i64)] = &[
        ("Ki", 1 << 10),
        ("Mi", 1 << 20),
        ("Gi", 1 << 30),
        ("k", 1_000),
        ("K", 1_000),
        ("M", 1_000_000),
        ("G", 1_000_000_000),
        ("T", 1_000_000_000_000),
    ];
    let (digits, unit) = UNITS
        .iter()
        .find_map(|(unit, factor)| text.strip_suffix(unit).map(|digits| (digits, *factor)))
        .unwrap_or((text, 1));
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let is_number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !is_number(whole) || !is_number(fraction) || fraction.len() > 9 {
        return None;
    }
    let mut total = whole.parse::<i64>().ok()?.checked_mul(unit)?;
    if !fraction.is_empty() {
        let scale = 10_i64.checked_pow(u32::try_from(fraction.len()).ok()?)?;
        let part = i128::from(fraction.parse::<i64>().ok()?) * i128::from(unit) / i128::from(scale);
        total = total.checked_add(i64::try_from(part).ok()?)?;
    }
    Some(total)
}

/// `2026-11-22` (a day of Japan), `2026-11-22T10:30` (a minute), `…:15` (a second), with `Z` or `+09:00`, `today`,
/// `yesterday`, `-24h`.
pub(super) fn time(text: &str, now: Timestamp) -> Option<Span> {
    let zone = Offset::from_hours(9).ok()?.to_time_zone();
    let today = jiff::Timestamp::from_nanosecond(i128::from(now.nanos())).ok()?.to_zoned(zone.clone()).date();
    match text {
        "today" | "今日" => return day(today, &zone),
        "yesterday" | "昨日" => return day(today.yesterday().ok()?, &zone),
        _ => (),
    }
    if let Some(ago) = text.strip_prefix('-') {
        let at = i64::try_from(now.nanos()).ok()?.checked_sub(duration(ago)?)?;
        return Some((at, at));
    }
    if let Ok(at) = text.parse::<jiff::Timestamp>() {
        let start = i64::try_from(at.as_nanosecond()).ok()?;
        return Some((start, start.checked_add(precision(text)? - 1)?));
    }
    if let Ok(date) = text.parse::<Date>()
        && text.len() == 10
    {
        return day(date, &zone);
    }
    let at: DateTime = text.parse().ok()?;
    let start = i64::try_from(at.to_zoned(zone).ok()?.timestamp().as_nanosecond()).ok()?;
    Some((start, start.checked_add(precision(text)? - 1)?))
}

/// How long the time lasts that is written like this.
fn precision(text: &str) -> Option<i64> {
    let clock = text.split_once(['T', 't', ' '])?.1;
    let clock = clock.split(['Z', 'z', '+', '-']).next()?;
    Some(match (clock.matches(':').count(), clock.contains('.')) {
        (0, _) => 3600 * NANOS_PER_SECOND,
        (1, _) => 60 * NANOS_PER_SECOND,
        (_, false) => NANOS_PER_SECOND,
        (_, true) => 1,
    })
}

fn day(date: Date, zone: &TimeZone) -> Option<Span> {
    let start = |date: Date| {
        let at = date.to_zoned(zone.clone()).ok()?.timestamp().as_nanosecond();
        i64::try_from(at).ok()
    };
    Some((start(date)?, start(date.checked_add(1.day()).ok()?)?.checked_sub(1)?))
}

/// `90s`, `15m`, `24h`, `7d`, `4w`.
fn duration(text: &str) -> Option<i64> {
    let unit = text.chars().next_back()?;
    let seconds = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3600,
        'd' => 86_400,
        'w' => 7 * 86_400,
        _ => return None,
    };
    let count: i64 = text.strip_suffix(unit)?.parse().ok().filter(|count| *count >= 0)?;
    count.checked_mul(seconds)?.checked_mul(NANOS_PER_SECOND)
}

/// An address (of a link too), `prefix/len`, or `first-last`.
pub(super) fn addresses(text: &str) -> Option<Match> {
    if let Some((first, last)) = text.split_once('-') {
        let (first, last): (IpAddr, IpAddr) = (first.parse().ok()?, last.parse().ok()?);
        let fits = first.is_ipv4() == last.is_ipv4() && first <= last;
        return fits.then(|| Match::Addresses(address_key(first), address_key(last)));
    }
    let Some((address, len)) = text.split_once('/') else {
        let key = address_key(text.parse::<Host>().ok()?);
        return Some(Match::Addresses(key.clone(), key));
    };
    let len: u32 = len.parse().ok()?;
    Some(match address.parse().ok()? {
        IpAddr::V4(v4) => {
            let host = u32::MAX.checked_shr(len).unwrap_or(0);
            let bits = v4.to_bits();
            (len <= 32).then(|| Match::Addresses(v4_key(bits & !host), v4_key(bits | host)))?
        }
        IpAddr::V6(v6) if len >= 96 && v6.to_ipv4_mapped().is_some() => {
            return addresses(&format!("{}/{}", v6.to_canonical(), len - 96));
        }
        IpAddr::V6(v6) => {
            let host = u128::MAX.checked_shr(len).unwrap_or(0);
            let bits = v6.to_bits();
            (len <= 128).then(|| Match::Addresses(v6_key(bits & !host), v6_key(bits | host)))?
        }
    })
}

/// `4`, `6` or, for an address of a link, `m`, and the address in hexadecimal digits: as text it sorts as addresses do. An
/// IPv4 address that is written as an IPv6 one is the IPv4 one.
pub(super) fn address_key(host: impl Into<Host>) -> String {
    match host.into() {
        Host::Ip(address) => match address.to_canonical() {
            IpAddr::V4(v4) => v4_key(v4.to_bits()),
            IpAddr::V6(v6) => v6_key(v6.to_bits()),
        },
        Host::Mac(mac) => format!("m{}", mac.map(|byte| format!("{byte:02x}")).concat()),
    }
}

fn v4_key(bits: u32) -> String {
    format!("4{bits:08x}")
}

fn v6_key(bits: u128) -> String {
    format!("6{bits:032x}")
}

/// A text for `LIKE … ESCAPE '!'`, in lower case; `*` and `?` are wildcards if `wild`.
pub(super) fn pattern(text: &str, wild: bool) -> String {
    let mut out = String::with_capacity(text.len());
    for one in text.to_lowercase().chars() {
        match one {
            '*' if wild => out.push('%'),
            '?' if wild => out.push('_'),
            '%' | '_' | '!' => out.extend(['!', one]),
            other => out.push(other),
        }
    }
    out
}
