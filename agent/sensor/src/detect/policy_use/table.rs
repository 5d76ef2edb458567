//! Services that a body may not want, by what gives them away. Names are from the vendors' and projects' own documentation of
//! what a firewall has to let through.

use std::sync::LazyLock;

use crate::bounded::Map;
use crate::domain::ends;
use crate::event::Application;

/// What a use is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Kind {
    /// Mining of cryptographic currencies.
    Mining,
    /// A private network to elsewhere.
    Vpn,
    /// Exchange between strangers' computers.
    PeerToPeer,
    /// Tor.
    Tor,
    /// Control of one computer from another over the Internet.
    Remote,
}

impl Kind {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Mining => "mining",
            Self::Vpn => "vpn",
            Self::PeerToPeer => "p2p",
            Self::Tor => "tor",
            Self::Remote => "remote",
        }
    }

    /// In Japanese and English.
    pub(super) const fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::Mining => ("暗号資産の採掘(マイニング)", "mining of cryptographic currency"),
            Self::Vpn => ("VPN・トンネル", "a VPN or tunnel"),
            Self::PeerToPeer => ("P2Pファイル共有・同期", "peer-to-peer exchange"),
            Self::Tor => ("匿名化ネットワーク(Tor)", "the anonymity network Tor"),
            Self::Remote => ("遠隔操作", "remote control"),
        }
    }
}

/// Recognised by content.
pub(super) const APPLICATIONS: [(Application, Kind, &str); 12] = [
    (Application::Stratum, Kind::Mining, "Stratum"),
    (Application::WireGuard, Kind::Vpn, "WireGuard"),
    (Application::OpenVpn, Kind::Vpn, "OpenVPN"),
    (Application::Ike, Kind::Vpn, "IPsec"),
    (Application::Socks, Kind::Vpn, "SOCKS"),
    (Application::BitTorrent, Kind::PeerToPeer, "BitTorrent"),
    (Application::Dht, Kind::PeerToPeer, "BitTorrent"),
    (Application::Tor, Kind::Tor, "Tor"),
    (Application::TeamViewer, Kind::Remote, "TeamViewer"),
    (Application::AnyDesk, Kind::Remote, "AnyDesk"),
    (Application::Rdp, Kind::Remote, "RDP"),
    (Application::Vnc, Kind::Remote, "VNC"),
];

/// Domains, with what they serve; all below them too.
pub(super) const DOMAINS: &[(&str, Kind, &str)] = &[
    ("2miners.com", Kind::Mining, "2Miners"),
    ("antpool.com", Kind::Mining, "AntPool"),
    ("c3pool.com", Kind::Mining, "C3Pool"),
    ("ethermine.org", Kind::Mining, "Ethermine"),
    ("f2pool.com", Kind::Mining, "F2Pool"),
    ("flypool.org", Kind::Mining, "Flypool"),
    ("hashvault.pro", Kind::Mining, "HashVault"),
    ("herominers.com", Kind::Mining, "HeroMiners"),
    ("minergate.com", Kind::Mining, "MinerGate"),
    ("minexmr.com", Kind::Mining, "MineXMR"),
    ("moneroocean.stream", Kind::Mining, "MoneroOcean"),
    ("nanopool.org", Kind::Mining, "Nanopool"),
    ("nicehash.com", Kind::Mining, "NiceHash"),
    ("slushpool.com", Kind::Mining, "Slush Pool"),
    ("supportxmr.com", Kind::Mining, "SupportXMR"),
    ("viabtc.com", Kind::Mining, "ViaBTC"),
    ("argotunnel.com", Kind::Vpn, "Cloudflare Tunnel"),
    ("expressvpn.com", Kind::Vpn, "ExpressVPN"),
    ("hide.me", Kind::Vpn, "hide.me"),
    ("mullvad.net", Kind::Vpn, "Mullvad"),
    ("ngrok-agent.com", Kind::Vpn, "ngrok"),
    ("ngrok-free.app", Kind::Vpn, "ngrok"),
    ("ngrok.com", Kind::Vpn, "ngrok"),
    ("ngrok.io", Kind::Vpn, "ngrok"),
    ("nordvpn.com", Kind::Vpn, "NordVPN"),
    ("opengw.net", Kind::Vpn, "VPN Gate"),
    ("openvpn.com", Kind::Vpn, "OpenVPN"),
    ("playit.gg", Kind::Vpn, "playit.gg"),
    ("privateinternetaccess.com", Kind::Vpn, "Private Internet Access"),
    ("protonvpn.com", Kind::Vpn, "Proton VPN"),
    ("protonvpn.net", Kind::Vpn, "Proton VPN"),
    ("psiphon.ca", Kind::Vpn, "Psiphon"),
    ("psiphon3.com", Kind::Vpn, "Psiphon"),
    ("softether.net", Kind::Vpn, "SoftEther VPN"),
    ("surfshark.com", Kind::Vpn, "Surfshark"),
    ("tailscale.com", Kind::Vpn, "Tailscale"),
    ("tailscale.io", Kind::Vpn, "Tailscale"),
    ("tunnelbear.com", Kind::Vpn, "TunnelBear"),
    ("vpngate.net", Kind::Vpn, "VPN Gate"),
    ("zerotier.com", Kind::Vpn, "ZeroTier"),
    ("bittorrent.com", Kind::PeerToPeer, "BitTorrent"),
    ("emule-project.net", Kind::PeerToPeer, "eMule"),
    ("openbittorrent.com", Kind::PeerToPeer, "BitTorrent"),
    ("opentrackr.org", Kind::PeerToPeer, "BitTorrent"),
    ("relays.syncthing.net", Kind::PeerToPeer, "Syncthing"),
    ("discovery.syncthing.net", Kind::PeerToPeer, "Syncthing"),
    ("strem.io", Kind::PeerToPeer, "Stremio"),
    ("utorrent.com", Kind::PeerToPeer, "BitTorrent"),
    ("torproject.org", Kind::Tor, "Tor"),
    ("onion.ly", Kind::Tor, "Tor gateway"),
    ("onion.to", Kind::Tor, "Tor gateway"),
    ("tor2web.org", Kind::Tor, "Tor gateway"),
    ("net.anydesk.com", Kind::Remote, "AnyDesk"),
    ("relays.net.anydesk.com", Kind::Remote, "AnyDesk"),
    ("dwservice.net", Kind::Remote, "DWService"),
    ("gotoassist.com", Kind::Remote, "GoToAssist"),
    ("gotomypc.com", Kind::Remote, "GoToMyPC"),
    ("islonline.net", Kind::Remote, "ISL Online"),
    ("logmein.com", Kind::Remote, "LogMeIn"),
    ("logmeinrescue.com", Kind::Remote, "LogMeIn Rescue"),
    ("parsec.app", Kind::Remote, "Parsec"),
    ("remotedesktop.google.com", Kind::Remote, "Chrome Remote Desktop"),
    ("remotedesktop-pa.googleapis.com", Kind::Remote, "Chrome Remote Desktop"),
    ("remoteutilities.com", Kind::Remote, "Remote Utilities"),
    ("rustdesk.com", Kind::Remote, "RustDesk"),
    ("screenconnect.com", Kind::Remote, "ScreenConnect"),
    ("splashtop.com", Kind::Remote, "Splashtop"),
    ("supremocontrol.com", Kind::Remote, "Supremo"),
    ("teamviewer.com", Kind::Remote, "TeamViewer"),
    ("zohoassist.com", Kind::Remote, "Zoho Assist"),
];

/// Ports of services whose protocol has no fixed beginning (TCP 6, UDP 17), believed only where nothing else is recognised
/// and both sides speak.
pub(super) const PORTS: [(u8, u16, Kind, &str); 9] = [
    (6, 4_662, Kind::PeerToPeer, "eMule"),
    (17, 4_672, Kind::PeerToPeer, "eMule"),
    (6, 6_346, Kind::PeerToPeer, "Gnutella"),
    (17, 6_346, Kind::PeerToPeer, "Gnutella"),
    (6, 6_347, Kind::PeerToPeer, "Gnutella"),
    (17, 21_027, Kind::PeerToPeer, "Syncthing"),
    (17, 9_993, Kind::Vpn, "ZeroTier"),
    (6, 1_723, Kind::Vpn, "PPTP"),
    (17, 1_701, Kind::Vpn, "L2TP"),
];

/// Labels of the longest of [`DOMAINS`].
const LABELS_MAX: usize = 4;

/// Places in [`DOMAINS`]. The key of the hash may be known: nothing that comes from outside is put in.
static PLACES: LazyLock<Map<&str, usize>> = LazyLock::new(|| {
    let mut places = Map::new(DOMAINS.len(), 0);
    for (place, (domain, _, _)) in DOMAINS.iter().enumerate().rev() {
        let _earlier = places.insert(*domain, place);
    }
    places
});

/// The last two labels of each of [`DOMAINS`]: of nearly every name they say that it is none.
static PAIRS: LazyLock<Map<&str, ()>> = LazyLock::new(|| {
    let mut pairs = Map::new(DOMAINS.len(), 0);
    for pair in DOMAINS.iter().filter_map(|(domain, _, _)| ends(domain, 2).nth(1)) {
        let _again = pairs.insert(pair, ());
    }
    pairs
});

/// What a name belongs to.
pub(super) fn of_name(name: &str) -> Option<(Kind, &'static str)> {
    let name = name.trim_end_matches('.');
    let lower = name.bytes().any(|byte| byte.is_ascii_uppercase()).then(|| name.to_ascii_lowercase());
    let name = lower.as_deref().unwrap_or(name);
    PAIRS.peek(&ends(name, 2).nth(1)?)?;
    let place = ends(name, LABELS_MAX).filter_map(|end| PLACES.peek(&end)).min()?;
    DOMAINS.get(*place).map(|(_, kind, service)| (*kind, *service))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_belong_to_services_with_all_below_them() {
        assert_eq!(of_name("router1.TeamViewer.com."), Some((Kind::Remote, "TeamViewer")));
        assert_eq!(of_name("ngrok.io"), Some((Kind::Vpn, "ngrok")));
        assert_eq!((of_name("notngrok.io"), of_name("www.city.example")), (None, None));
    }

    #[test]
    fn every_domain_of_the_table_is_found_below_many_labels() {
        for (domain, kind, _) in DOMAINS {
            assert!((2..=LABELS_MAX).contains(&domain.split('.').count()), "{domain}");
            assert_eq!(of_name(&format!("a.b.c.d.{domain}")).map(|(kind, _)| kind), Some(*kind), "{domain}");
        }
    }
}
