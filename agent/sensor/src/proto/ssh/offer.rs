//! What an end of an SSH connection offers (`SSH_MSG_KEXINIT`, RFC 4253, 7.1).

use core::fmt::Write;

use md5::{Digest, Md5};

use crate::event::{Hassh, SshAgreement};
use crate::proto::Side;
use crate::proto::reader::Reader;

/// Bytes before the lists: a cookie.
const COOKIE_BYTES: usize = 16;
/// Names that are compared: more are never agreed upon.
const NAMES_MAX: usize = 128;

/// The name lists, as they were sent: separated by commas.
#[derive(Debug, Default)]
pub(super) struct Offer {
    key_exchange: Box<str>,
    host_key: Box<str>,
    /// Client to server, server to client.
    cipher: [Box<str>; 2],
    mac: [Box<str>; 2],
    compression: [Box<str>; 2],
}

impl Offer {
    pub(super) fn parse(content: &[u8]) -> Option<Self> {
        let mut reader = Reader(content);
        reader.take(COOKIE_BYTES)?;
        let mut list = || {
            let length = usize::try_from(reader.u32()?).ok()?;
            reader.take(length).map(|names| Box::from(String::from_utf8_lossy(names)))
        };
        Some(Self {
            key_exchange: list()?,
            host_key: list()?,
            cipher: [list()?, list()?],
            mac: [list()?, list()?],
            compression: [list()?, list()?],
        })
    }

    /// The fingerprint: of what this end sends.
    pub(super) fn hassh(&self, side: Side) -> Hassh {
        let text = format!(
            "{};{};{};{}",
            self.key_exchange,
            side.of(&self.cipher),
            side.of(&self.mac),
            side.of(&self.compression)
        );
        let mut hash = String::with_capacity(32);
        for byte in Md5::digest(text.as_bytes()) {
            let _infallible = write!(hash, "{byte:02x}");
        }
        Hassh { hash: hash.into(), text: text.into() }
    }

    /// What this client's offer and a server's come down to.
    pub(super) fn agreement(&self, server: &Self) -> SshAgreement {
        let both = |[mine_there, mine_back]: &[Box<str>; 2], [there, back]: &[Box<str>; 2]| {
            [first_common(mine_there, there), first_common(mine_back, back)]
        };
        SshAgreement {
            key_exchange: first_common(&self.key_exchange, &server.key_exchange),
            host_key: first_common(&self.host_key, &server.host_key),
            cipher: both(&self.cipher, &server.cipher),
            mac: both(&self.mac, &server.mac),
            compression: both(&self.compression, &server.compression),
        }
    }
}

fn first_common(client: &str, server: &str) -> Option<Box<str>> {
    let names = |list: &'_ str| list.split(',').take(NAMES_MAX).map(str::to_owned).collect::<Vec<_>>();
    let server = names(server);
    names(client).into_iter().find(|name| server.contains(name)).map(String::into_boxed_str)
}
