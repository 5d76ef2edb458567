//! Just enough of BER/DER to ask a directory and a Kerberos server, and to see what an answer is.

/// One element: tag, length, content.
pub(super) fn element(tag: u8, content: &[u8]) -> Vec<u8> {
    let mut out = vec![tag];
    // Nothing that is asked here comes near to this bound.
    let length = u16::try_from(content.len()).unwrap_or(u16::MAX);
    let [high, low] = length.to_be_bytes();
    if length < 0x80 {
        out.push(low);
    } else {
        out.extend([0x82, high, low]);
    }
    out.extend_from_slice(content);
    out
}

/// Several in a row within one.
pub(super) fn group(tag: u8, parts: &[Vec<u8>]) -> Vec<u8> {
    element(tag, &parts.concat())
}

/// A length that no element that is read here has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TooLong;

/// Tag, length of its head and of its content, of the element that begins here; `None` while too little of it is there.
pub(super) fn head(bytes: &[u8]) -> Result<Option<(u8, usize, usize)>, TooLong> {
    let [tag, first, rest @ ..] = bytes else { return Ok(None) };
    if *first < 0x80 {
        return Ok(Some((*tag, 2, usize::from(*first))));
    }
    let octets = usize::from(first & 0x7f);
    if octets == 0 || octets > 4 {
        return Err(TooLong);
    }
    let Some(length) = rest.get(..octets) else { return Ok(None) };
    let length = length.iter().fold(0_usize, |all, byte| all << 8 | usize::from(*byte));
    Ok(Some((*tag, 2 + octets, length)))
}

/// The elements of a content, until one is not whole.
pub(super) fn elements(mut bytes: &[u8]) -> impl Iterator<Item = (u8, &[u8])> {
    core::iter::from_fn(move || {
        let (tag, begin, length) = head(bytes).ok().flatten()?;
        let content = bytes.get(begin..begin.checked_add(length)?)?;
        bytes = bytes.get(begin + length..)?;
        Some((tag, content))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_writes_and_refuses_the_rest() {
        let inner = [element(0x02, &[5]), element(0x04, &[7; 200])];
        let whole = group(0x30, &inner);
        let (tag, begin, length) = head(&whole).unwrap().unwrap();
        assert_eq!((tag, begin + length), (0x30, whole.len()));
        let read: Vec<_> = elements(&whole[begin..]).collect();
        assert_eq!(read, [(0x02, &[5][..]), (0x04, &[7; 200][..])]);
        for cut in 0..whole.len() {
            let _no_panic = elements(&whole[..cut]).count();
        }
        assert_eq!(head(&[0x30, 0x80]), Err(TooLong), "endless");
        assert_eq!(head(&[0x30, 0x88, 1, 1, 1, 1, 1, 1, 1, 1]), Err(TooLong));
        assert_eq!(head(&[0x30, 0x82, 1]), Ok(None));
        assert_eq!(elements(&[0x30, 0x84, 0xff, 0xff, 0xff, 0xff, 1]).count(), 0);
    }
}
