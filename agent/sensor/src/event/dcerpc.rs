//! What is read of DCE/RPC (C706, MS-RPCE).

mod interfaces;

/// A bind or call with its answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RpcCall {
    /// The client is the flow's originator.
    pub from_originator: bool,
    /// Major and minor version: 5.0 or 5.1 over connections, 4.0 over datagrams.
    pub version: (u8, u8),
    /// Type of the request; none: it was not seen.
    pub request: Option<RpcType>,
    /// Type of the answer; none: there was none.
    pub response: Option<RpcType>,
    /// What ties both together (over datagrams: the sequence number).
    pub call: u32,
    /// Activity, over datagrams.
    pub activity: Option<RpcUuid>,
    /// Interfaces that a bind asked for.
    pub interfaces: Vec<RpcInterface>,
    /// Interface of a call, if its bind was seen.
    pub interface: Option<RpcUuid>,
    /// Operation of a call.
    pub operation: u16,
    /// Fragments and bytes of arguments.
    pub sent: RpcVolume,
    /// Fragments and bytes of results.
    pub received: RpcVolume,
    /// How the client authenticates itself, if it does (MS-RPCE, 2.2.1.1.7: 10 NTLM, 16 Kerberos, 9 either).
    pub authentication: Option<u8>,
    /// The client's challenge to a domain controller (`NetrServerReqChallenge`, MS-NRPC 3.5.4.4.1) is all zeros, which a
    /// random one never is.
    pub zero_challenge: bool,
}

/// An interface that a client asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RpcInterface {
    /// Which.
    pub uuid: RpcUuid,
    /// Major and minor version.
    pub version: (u16, u16),
    /// What the server said: result (0 accepted, 1 refused by the user, 2 by the provider, 3 negotiated) and reason.
    pub answer: Option<(u16, u16)>,
}

/// Fragments and the bytes of arguments or results in them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RpcVolume {
    /// Fragments.
    pub fragments: u32,
    /// Bytes.
    pub bytes: u64,
}

/// A UUID as it is written: fields from the high byte on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RpcUuid(pub u128);

impl core::fmt::Display for RpcUuid {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let (n, part) = (self.0, |shift: u32, bits: u32| self.0 >> shift & ((1 << bits) - 1));
        write!(
            f,
            "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
            n >> 96,
            part(80, 16),
            part(64, 16),
            part(48, 16),
            part(0, 48)
        )
    }
}

impl RpcUuid {
    /// From bytes whose first three fields have their low byte first.
    pub const fn from_le(bytes: [u8; 16]) -> Self {
        let [a, b, c, d, e, f, g, h, rest @ ..] = bytes;
        let [i, j, k, l, m, n, o, p] = rest;
        Self(u128::from_be_bytes([d, c, b, a, f, e, h, g, i, j, k, l, m, n, o, p]))
    }

    /// The usual name of this interface (`samr`, `drsuapi`).
    pub fn interface_name(self) -> Option<&'static str> {
        interfaces::find(self).map(|one| one.name)
    }

    /// The name of one of its operations, if it is one that attacks use.
    pub fn operation_name(self, operation: u16) -> Option<&'static str> {
        let operations = interfaces::find(self)?.operations;
        operations.iter().find(|(number, _)| *number == operation).map(|(_, name)| *name)
    }
}

macro_rules! types {
    ($($variant:ident $number:literal $name:literal,)*) => {
        /// Type of a message (C706, 12.6.4; MS-RPCE).
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum RpcType { $(#[doc = concat!("`", $name, "`.")] $variant,)* }

        impl RpcType {
            /// By number.
            pub const fn of(number: u8) -> Option<Self> {
                match number {
                    $($number => Some(Self::$variant),)*
                    _ => None,
                }
            }

            /// As Suricata prints it.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }
        }
    };
}

types! {
    Request 0 "REQUEST",
    Ping 1 "PING",
    Response 2 "RESPONSE",
    Fault 3 "FAULT",
    Working 4 "WORKING",
    NoCall 5 "NOCALL",
    Reject 6 "REJECT",
    Ack 7 "ACK",
    ClCancel 8 "CL_CANCEL",
    Fack 9 "FACK",
    CancelAck 10 "CANCEL_ACK",
    Bind 11 "BIND",
    BindAck 12 "BINDACK",
    BindNak 13 "BINDNAK",
    AlterContext 14 "ALTER_CONTEXT",
    AlterContextResponse 15 "ALTER_CONTEXT_RESP",
    Auth3 16 "AUTH3",
    Shutdown 17 "SHUTDOWN",
    CoCancel 18 "CO_CANCEL",
    Orphaned 19 "ORPHANED",
    Rts 20 "RTS",
}

impl RpcType {
    /// A client sends it.
    pub const fn is_request(self) -> bool {
        matches!(
            self,
            Self::Request
                | Self::Ping
                | Self::ClCancel
                | Self::Bind
                | Self::AlterContext
                | Self::Auth3
                | Self::CoCancel
                | Self::Orphaned
                | Self::Rts
        )
    }

    /// A server answers it.
    pub const fn is_answered(self) -> bool {
        matches!(self, Self::Request | Self::Ping | Self::Bind | Self::AlterContext)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uuid_is_written_in_the_usual_way() {
        let samr =
            [0x78, 0x57, 0x34, 0x12, 0x34, 0x12, 0xcd, 0xab, 0xef, 0x00, 0x01, 0x23, 0x45, 0x67, 0x89, 0xac];
        let samr = RpcUuid::from_le(samr);
        assert_eq!(samr.to_string(), "12345778-1234-abcd-ef00-0123456789ac");
        assert_eq!(samr.interface_name(), Some("samr"));
        assert_eq!(samr.operation_name(13), Some("SamrEnumerateUsersInDomain"));
        assert_eq!(samr.operation_name(999), None);
        assert_eq!(RpcUuid(1).interface_name(), None);
    }

    #[test]
    fn what_takes_over_a_domain_has_a_name() {
        let drsuapi = RpcUuid(0xe351_4235_4b06_11d1_ab04_00c0_4fc2_dcd2);
        assert_eq!(drsuapi.operation_name(3), Some("DRSGetNCChanges"));
        let svcctl = RpcUuid(0x367a_bb81_9844_35f1_ad32_98f0_3800_1003);
        assert_eq!(svcctl.operation_name(12), Some("RCreateServiceW"));
    }
}
