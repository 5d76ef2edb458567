//! Addresses behind which many stand: public resolvers and delivery networks. The table is data, with its sources.

use core::net::IpAddr;

use ipnet::IpNet;

const TABLE: &str = include_str!("shared.tsv");

/// Prefixes and who operates them.
#[derive(Clone, Debug)]
pub(super) struct Shared(Vec<(IpNet, &'static str)>);

impl Shared {
    /// The table of this version.
    pub(super) fn own() -> Self {
        let lines = TABLE.lines().filter(|line| !line.starts_with('#'));
        let entry = |line: &'static str| {
            let (prefix, operator) = line.split_once('\t')?;
            Some((prefix.parse().ok()?, operator))
        };
        Self(lines.filter_map(entry).collect())
    }

    pub(super) fn operator(&self, address: IpAddr) -> Option<&str> {
        self.0.iter().find(|(net, _)| net.contains(&address)).map(|(_, operator)| *operator)
    }
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
}
