//! What is read of MQTT 3.1, 3.1.1 and 5 (OASIS MQTT 5.0).
//!
//! Passwords, authentication data and the messages themselves are not kept.

/// Control packets that belong together: a request and what answered it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MqttMessage {
    /// In the order in which they were seen, at most one of a kind.
    pub packets: Vec<MqttPacket>,
}

/// A control packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MqttPacket {
    /// The sender is the flow's originator.
    pub from_originator: bool,
    /// Flags of the fixed header (2.1.3): bit 3 duplicate, bits 2 and 1 quality of service, bit 0 retain.
    pub flags: u8,
    /// What it is.
    pub kind: MqttKind,
    /// What it holds.
    pub body: MqttBody,
}

impl MqttPacket {
    /// It was sent before.
    pub const fn dup(&self) -> bool {
        self.flags & 0x08 != 0
    }

    /// Quality of service, 0 to 3 (3 is not allowed).
    pub const fn qos(&self) -> u8 {
        self.flags >> 1 & 0x03
    }

    /// The server shall keep it.
    pub const fn retain(&self) -> bool {
        self.flags & 0x01 != 0
    }
}

macro_rules! kinds {
    ($($variant:ident $number:literal $name:literal,)*) => {
        /// Type of a control packet (2.1.2).
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum MqttKind { $(#[doc = concat!($name, ".")] $variant,)* }

        impl MqttKind {
            /// The type with this number; 0 is reserved.
            pub const fn of(number: u8) -> Option<Self> {
                match number { $($number => Some(Self::$variant),)* _ => None }
            }

            /// Its name in lower case.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }
        }
    };
}

kinds! {
    Connect 1 "connect",
    Connack 2 "connack",
    Publish 3 "publish",
    Puback 4 "puback",
    Pubrec 5 "pubrec",
    Pubrel 6 "pubrel",
    Pubcomp 7 "pubcomp",
    Subscribe 8 "subscribe",
    Suback 9 "suback",
    Unsubscribe 10 "unsubscribe",
    Unsuback 11 "unsuback",
    Pingreq 12 "pingreq",
    Pingresp 13 "pingresp",
    Disconnect 14 "disconnect",
    Auth 15 "auth",
}

/// What a control packet holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MqttBody {
    /// CONNECT.
    Connect(Box<MqttConnect>),
    /// CONNACK.
    Connack {
        /// The server knew this client.
        session_present: bool,
        /// 0: accepted.
        code: u8,
        /// MQTT 5.
        properties: Vec<MqttProperty>,
    },
    /// PUBLISH; the message itself is not kept.
    Publish {
        /// Where to.
        topic: Box<str>,
        /// With a quality of service of 1 or 2.
        id: Option<u16>,
        /// Bytes of the message.
        message_bytes: u32,
        /// MQTT 5.
        properties: Vec<MqttProperty>,
    },
    /// PUBACK, PUBREC, PUBREL, PUBCOMP.
    Acknowledge {
        /// Of the packet that is answered.
        id: u16,
        /// MQTT 5, where it is not left out as 0.
        code: Option<u8>,
        /// MQTT 5.
        properties: Vec<MqttProperty>,
    },
    /// SUBSCRIBE.
    Subscribe {
        /// Packet identifier.
        id: u16,
        /// Filters and the quality of service that is asked for.
        topics: Vec<(Box<str>, u8)>,
        /// MQTT 5.
        properties: Vec<MqttProperty>,
    },
    /// UNSUBSCRIBE.
    Unsubscribe {
        /// Packet identifier.
        id: u16,
        /// Filters.
        topics: Vec<Box<str>>,
        /// MQTT 5.
        properties: Vec<MqttProperty>,
    },
    /// SUBACK, UNSUBACK.
    Codes {
        /// Of the packet that is answered.
        id: u16,
        /// One for each filter; none in an UNSUBACK before MQTT 5.
        codes: Vec<u8>,
        /// MQTT 5.
        properties: Vec<MqttProperty>,
    },
    /// DISCONNECT, AUTH.
    Reason {
        /// MQTT 5.
        code: Option<u8>,
        /// MQTT 5.
        properties: Vec<MqttProperty>,
    },
    /// PINGREQ, PINGRESP.
    Empty,
    /// Not read: the packet is longer than what is looked at.
    Skipped {
        /// Its bytes with the header.
        bytes: u32,
    },
}

/// CONNECT (3.1).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MqttConnect {
    /// `MQTT`, or `MQIsdp` for MQTT 3.1.
    pub protocol: Box<str>,
    /// 3, 4 (3.1.1) or 5.
    pub version: u8,
    /// Connect flags (3.1.2.3) as sent.
    pub flags: u8,
    /// Seconds.
    pub keep_alive: u16,
    /// Who connects.
    pub client_id: Box<str>,
    /// As which user.
    pub username: Option<Box<str>>,
    /// Topic of the last will.
    pub will_topic: Option<Box<str>>,
    /// Of the last will, MQTT 5.
    pub will_properties: Vec<MqttProperty>,
    /// MQTT 5.
    pub properties: Vec<MqttProperty>,
}

impl MqttConnect {
    /// A user name is sent.
    pub const fn has_username(&self) -> bool {
        self.flags & 0x80 != 0
    }

    /// A password is sent.
    pub const fn has_password(&self) -> bool {
        self.flags & 0x40 != 0
    }

    /// The server shall keep the will.
    pub const fn will_retain(&self) -> bool {
        self.flags & 0x20 != 0
    }

    /// There is a last will.
    pub const fn has_will(&self) -> bool {
        self.flags & 0x04 != 0
    }

    /// Nothing is taken over from an earlier session.
    pub const fn clean_session(&self) -> bool {
        self.flags & 0x02 != 0
    }
}

/// A property of MQTT 5 (2.2.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MqttProperty {
    /// Its name in lower case, or what the user calls it.
    pub name: MqttName,
    /// Its value.
    pub value: MqttValue,
}

/// Name of a property.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MqttName {
    /// One of the standard's.
    Standard(&'static str),
    /// A user property.
    User(Box<str>),
}

/// Value of a property.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MqttValue {
    /// A number or a flag.
    Number(u32),
    /// Text or bytes.
    Text(Box<str>),
    /// Sent, and not kept: it authenticates.
    Secret,
}
