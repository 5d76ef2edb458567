//! Addresses behind which many stand: public resolvers and delivery networks. The table is data, with its sources; what else
//! belongs there is given beside the indicators.

use core::net::IpAddr;

use ipnet::IpNet;

const TABLE: &str = include_str!("shared.tsv");
/// Prefixes in all. Looked through one by one, but only for an address that is listed.
const PREFIXES_MAX: usize = 4_096;

/// Prefixes and who operates them.
#[derive(Clone, Debug)]
pub(super) struct Shared(Vec<(IpNet, Box<str>)>);

impl Shared {
    /// The table of this version.
    pub(super) fn own() -> Self {
        let lines = TABLE.lines().filter(|line| !line.starts_with('#'));
        Self(lines.filter_map(entry).collect())
    }

    /// Takes a line of such a table; `false` if it is none, or there is no room.
    pub(super) fn add(&mut self, line: &str) -> bool {
        let entry = entry(line).filter(|_| self.0.len() < PREFIXES_MAX);
        let is_good = entry.is_some();
        self.0.extend(entry);
        is_good
    }

    pub(super) fn operator(&self, address: IpAddr) -> Option<&str> {
        self.0.iter().find(|(net, _)| net.contains(&address)).map(|(_, operator)| &**operator)
    }
}

/// A prefix, a tab, who operates it.
fn entry(line: &str) -> Option<(IpNet, Box<str>)> {
    let (prefix, operator) = line.split_once('\t')?;
    let operator = operator.trim();
    (!operator.is_empty()).then_some((prefix.trim().parse().ok()?, operator.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_of_the_table_is_read() {
        let lines = TABLE.lines().filter(|line| !line.starts_with('#')).count();
        let shared = Shared::own();
        assert_eq!(shared.0.len(), lines);
        assert!(shared.0.iter().all(|(net, _)| net.trunc() == *net), "no bit is set outside the prefix");
        assert_eq!(shared.operator("8.8.8.8".parse().unwrap()), Some("Google Public DNS"));
        assert_eq!(shared.operator("2606:4700::6810:1".parse().unwrap()), Some("Cloudflare"));
        assert_eq!(shared.operator("192.0.2.1".parse().unwrap()), None);
    }

    #[test]
    fn more_can_be_given_and_what_is_none_is_refused() {
        let mut shared = Shared::own();
        for line in ["", "192.0.2.0/24", "192.0.2.0/24\t ", "192.0.2.0/33\tx", "x\ty"] {
            assert!(!shared.add(line), "{line}");
        }
        assert!(shared.add("192.0.2.0/24\tA delivery network"));
        assert_eq!(shared.operator("192.0.2.1".parse().unwrap()), Some("A delivery network"));
        let room = PREFIXES_MAX - shared.0.len();
        assert_eq!((0..PREFIXES_MAX).filter(|_| shared.add("198.51.100.0/24\tx")).count(), room);
    }
}
