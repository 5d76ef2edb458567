//! The basic encoding rules of ASN.1 (X.690), as far as Kerberos, LDAP, SNMP and certificates need them.

/// An element.
pub(super) fn tlv(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = content.len();
    let mut out = vec![tag];
    match (u8::try_from(length), u16::try_from(length)) {
        (Ok(short), _) if short < 0x80 => out.push(short),
        (Ok(short), _) => out.extend([0x81, short]),
        (Err(_), Ok(long)) => {
            out.push(0x82);
            out.extend(long.to_be_bytes());
        }
        (Err(_), Err(_)) => {
            out.push(0x84);
            out.extend(u32::try_from(length).unwrap_or_default().to_be_bytes());
        }
    }
    out.extend_from_slice(content);
    out
}

/// Elements within a sequence.
pub(super) fn sequence(parts: &[Vec<u8>]) -> Vec<u8> {
    tlv(0x30, &parts.concat())
}

/// A sequence within another tag.
pub(super) fn tagged(tag: u8, parts: &[Vec<u8>]) -> Vec<u8> {
    tlv(tag, &sequence(parts))
}

/// An integer.
pub(super) fn integer(value: u32) -> Vec<u8> {
    let bytes = value.to_be_bytes();
    let zeros = bytes.iter().take(3).take_while(|byte| **byte == 0).count();
    let mut content = bytes.get(zeros..).unwrap_or_default().to_vec();
    if content.first().is_some_and(|first| first & 0x80 != 0) {
        content.insert(0, 0);
    }
    tlv(2, &content)
}

/// An octet string.
pub(super) fn octets(content: &[u8]) -> Vec<u8> {
    tlv(4, content)
}

/// An object identifier from its encoded content.
pub(super) fn object(content: &[u8]) -> Vec<u8> {
    tlv(6, content)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_and_integers_are_the_shortest() {
        assert_eq!(tlv(4, &[0; 3])[..2], [4, 3]);
        assert_eq!(tlv(4, &[0; 200])[..3], [4, 0x81, 200]);
        assert_eq!(tlv(4, &[0; 300])[..4], [4, 0x82, 1, 44]);
        assert_eq!(integer(5), [2, 1, 5]);
        assert_eq!(integer(200), [2, 2, 0, 200]);
        assert_eq!(integer(0), [2, 1, 0]);
    }
}
