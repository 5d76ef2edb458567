//! Numbers, texts and addresses as bytes, and back. Reading never panics: whoever can write the file can write anything.

use core::net::IpAddr;

use sekimori_wire::id::Host;

/// What stands before an Ethernet address, where 4 or 6 stands before the others.
const ETHERNET: u8 = 2;

/// Bytes being written.
#[derive(Debug, Default)]
pub struct Pack(pub Vec<u8>);

impl Pack {
    /// A byte.
    pub fn u8(&mut self, value: u8) {
        self.0.push(value);
    }

    /// Two bytes.
    pub fn u16(&mut self, value: u16) {
        self.0.extend(value.to_le_bytes());
    }

    /// Four bytes.
    pub fn u32(&mut self, value: u32) {
        self.0.extend(value.to_le_bytes());
    }

    /// Eight bytes.
    pub fn u64(&mut self, value: u64) {
        self.0.extend(value.to_le_bytes());
    }

    /// A text of at most 255 bytes; what is longer is left empty.
    pub fn text(&mut self, text: &str) {
        let length = u8::try_from(text.len()).unwrap_or_default();
        self.u8(length);
        if length > 0 {
            self.0.extend_from_slice(text.as_bytes());
        }
    }

    /// An address.
    pub fn address(&mut self, address: IpAddr) {
        match address {
            IpAddr::V4(ip) => {
                self.u8(4);
                self.0.extend(ip.octets());
            }
            IpAddr::V6(ip) => {
                self.u8(6);
                self.0.extend(ip.octets());
            }
        }
    }

    /// A host, by either address.
    pub fn host(&mut self, host: Host) {
        match host {
            Host::Ip(address) => self.address(address),
            Host::Mac(mac) => {
                self.u8(ETHERNET);
                self.0.extend(mac);
            }
        }
    }
}

/// Bytes being read.
#[derive(Clone, Copy, Debug)]
pub struct Unpack<'a>(pub &'a [u8]);

impl<'a> Unpack<'a> {
    /// Everything was read.
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// So many bytes.
    pub fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (head, tail) = self.0.split_at_checked(count)?;
        self.0 = tail;
        Some(head)
    }

    fn chunk<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, tail) = self.0.split_first_chunk()?;
        self.0 = tail;
        Some(*head)
    }

    /// A byte.
    pub fn u8(&mut self) -> Option<u8> {
        self.chunk::<1>().map(|[byte]| byte)
    }

    /// Two bytes.
    pub fn u16(&mut self) -> Option<u16> {
        self.chunk().map(u16::from_le_bytes)
    }

    /// Four bytes.
    pub fn u32(&mut self) -> Option<u32> {
        self.chunk().map(u32::from_le_bytes)
    }

    /// Eight bytes.
    pub fn u64(&mut self) -> Option<u64> {
        self.chunk().map(u64::from_le_bytes)
    }

    /// A text.
    pub fn text(&mut self) -> Option<&'a str> {
        let length = usize::from(self.u8()?);
        core::str::from_utf8(self.take(length)?).ok()
    }

    /// An address.
    pub fn address(&mut self) -> Option<IpAddr> {
        match self.u8()? {
            4 => self.chunk::<4>().map(IpAddr::from),
            6 => self.chunk::<16>().map(IpAddr::from),
            _ => None,
        }
    }

    /// A host.
    pub fn host(&mut self) -> Option<Host> {
        if self.0.first() == Some(&ETHERNET) {
            self.u8()?;
            return self.chunk().map(Host::Mac);
        }
        self.address().map(Host::Ip)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_packed_is_unpacked() {
        let addresses: [IpAddr; 2] = ["192.0.2.1".parse().unwrap(), "2001:db8::1".parse().unwrap()];
        let mut pack = Pack::default();
        pack.u8(7);
        pack.u16(700);
        pack.u32(70_000);
        pack.u64(1 << 40);
        pack.text("tls");
        addresses.into_iter().for_each(|one| pack.address(one));
        let hosts = [Host::Mac([2, 0, 0, 0, 0, 1]), Host::Ip(addresses[1])];
        hosts.into_iter().for_each(|one| pack.host(one));
        let mut unpack = Unpack(&pack.0);
        assert_eq!(
            (unpack.u8(), unpack.u16(), unpack.u32(), unpack.u64()),
            (Some(7), Some(700), Some(70_000), Some(1 << 40))
        );
        assert_eq!(unpack.text(), Some("tls"));
        assert_eq!((unpack.address(), unpack.address()), (Some(addresses[0]), Some(addresses[1])));
        assert_eq!(hosts.map(|_| unpack.host()), hosts.map(Some));
        assert!(unpack.is_empty() && unpack.u8().is_none() && unpack.host().is_none());
    }
}
