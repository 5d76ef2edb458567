//! Application protocols, recognised by content, not by port.

macro_rules! applications {
    ($($variant:ident $name:literal $doc:literal,)*) => {
        /// Application protocol by content, not by port.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Application {
            /// Not recognised.
            #[default]
            Unknown,
            $(#[doc = $doc] $variant,)*
        }

        impl Application {
            /// Every protocol that can be recognised.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// The usual lower-case name; empty if not recognised.
            pub const fn as_str(self) -> &'static str {
                match self {
                    Self::Unknown => "",
                    $(Self::$variant => $name,)*
                }
            }
        }
    };
}

applications! {
    Dns "dns" "Domain Name System (RFC 1035).",
    Mdns "mdns" "Multicast DNS (RFC 6762).",
    Llmnr "llmnr" "Link-Local Multicast Name Resolution (RFC 4795).",
    Nbns "nbns" "`NetBIOS` name service (RFC 1002).",
    Tls "tls" "Transport Layer Security.",
    Dtls "dtls" "Datagram TLS (RFC 9147).",
    Quic "quic" "QUIC (RFC 9000).",
    Http "http" "HTTP/1 (RFC 9112).",
    Http2 "http2" "HTTP/2 in clear text (RFC 9113).",
    WebSocket "websocket" "`WebSocket` (RFC 6455).",
    Ssh "ssh" "Secure Shell (RFC 4253).",
    Smtp "smtp" "Mail submission and relay (RFC 5321).",
    Ftp "ftp" "File Transfer Protocol, control connection (RFC 959).",
    FtpData "ftp-data" "File Transfer Protocol, data connection.",
    Pop3 "pop3" "Post Office Protocol (RFC 1939).",
    Imap "imap" "Internet Message Access Protocol (RFC 9051).",
    Telnet "telnet" "Telnet (RFC 854).",
    Smb "smb" "Server Message Block, any version.",
    DceRpc "dcerpc" "DCE/RPC (C706).",
    Kerberos "krb5" "Kerberos (RFC 4120).",
    Ldap "ldap" "Lightweight Directory Access Protocol (RFC 4511).",
    Rdp "rdp" "Remote Desktop Protocol.",
    Ntp "ntp" "Network Time Protocol (RFC 5905).",
    Dhcp "dhcp" "Dynamic Host Configuration Protocol (RFC 2131).",
    Dhcpv6 "dhcpv6" "DHCP for IPv6 (RFC 8415).",
    Snmp "snmp" "Simple Network Management Protocol.",
    Tftp "tftp" "Trivial File Transfer Protocol (RFC 1350).",
    Sip "sip" "Session Initiation Protocol (RFC 3261).",
    Mqtt "mqtt" "MQTT 3 and 5.",
    Syslog "syslog" "Syslog (RFC 5424, RFC 3164).",
    BitTorrent "bittorrent" "`BitTorrent` between peers, or with a tracker over UDP.",
    Dht "bittorrent-dht" "`BitTorrent`'s distributed hash table (BEP 5).",
    WireGuard "wireguard" "`WireGuard`.",
    OpenVpn "openvpn" "`OpenVPN`.",
    Tor "tor" "Tor, as far as its TLS shows it.",
    Stun "stun" "STUN (RFC 8489).",
    Ssdp "ssdp" "Simple Service Discovery Protocol.",
    Radius "radius" "RADIUS (RFC 2865).",
    Ike "ike" "Internet Key Exchange (RFC 7296).",
    Rtp "rtp" "Real-time Transport Protocol (RFC 3550).",
    Rtsp "rtsp" "Real Time Streaming Protocol (RFC 7826).",
    Irc "irc" "Internet Relay Chat (RFC 2812).",
    Xmpp "xmpp" "XMPP (RFC 6120).",
    Mysql "mysql" "`MySQL`.",
    Postgres "postgresql" "`PostgreSQL`.",
    Vnc "rfb" "Remote Framebuffer (RFC 6143).",
    Socks "socks" "SOCKS (RFC 1928).",
    Stratum "stratum" "Mining of cryptographic currencies.",
    TeamViewer "teamviewer" "`TeamViewer`.",
    AnyDesk "anydesk" "`AnyDesk`, as far as its TLS shows it.",
    NbDatagram "netbios-dgm" "`NetBIOS` datagram service (RFC 1002).",
    Slp "slp" "Service Location Protocol (RFC 2608).",
    MongoDb "mongodb" "`MongoDB`.",
    Ajp "ajp" "Apache `JServ` Protocol.",
    Iec104 "iec-104" "IEC 60870-5-104: telecontrol.",
}
