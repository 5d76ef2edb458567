//! IBM Log Event Extended Format, versions 1.0 and 2.0: header fields between `|`, then `key=value` pairs between tabs or,
//! in 2.0, between the character that the header names.

use std::borrow::Cow;

/// Pairs read from one message.
const PAIRS_MAX: usize = 128;

/// The pairs, after `device_vendor`, `device_product`, `device_version`, `event_id` of the header.
pub(crate) fn parse(message: &str) -> Option<Vec<(Cow<'_, str>, Cow<'_, str>)>> {
    let rest = message.strip_prefix("LEEF:")?;
    let (version, rest) = rest.split_once('|')?;
    let mut pairs = Vec::new();
    let mut rest = rest;
    for name in ["device_vendor", "device_product", "device_version", "event_id"] {
        let (value, after) = rest.split_once('|').or_else(|| (name == "event_id").then_some((rest, "")))?;
        pairs.push((name.into(), value.trim().into()));
        rest = after;
    }
    let mut delimiter = '\t';
    if version.trim().starts_with('2')
        && let Some((named, after)) = rest.split_once('|').filter(|(named, _)| !named.contains('='))
    {
        delimiter = named_delimiter(named)?;
        rest = after;
    }
    for pair in rest.split(delimiter).take(PAIRS_MAX) {
        if let Some((key, value)) = pair.split_once('=') {
            pairs.push((key.trim().into(), value.trim().into()));
        }
    }
    Some(pairs)
}

/// One character, or its code point as `0x5e` or `x5e`; nothing means a tab.
fn named_delimiter(named: &str) -> Option<char> {
    let named = if named.len() > 1 { named.trim() } else { named };
    let mut chars = named.chars();
    match (chars.next(), chars.next()) {
        (None, _) => Some('\t'),
        (Some(only), None) => Some(only),
        (Some(_), Some(_)) => {
            let digits = named.trim_start_matches('0').strip_prefix(['x', 'X'])?;
            u32::from_str_radix(digits, 16).ok().and_then(char::from_u32)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn get<'a>(pairs: &'a [(Cow<'a, str>, Cow<'a, str>)], key: &str) -> &'a str {
        pairs.iter().find(|(name, _)| name == key).map_or("", |(_, value)| value)
    }

    #[test]
    fn both_versions_and_delimiters() {
        for line in [
            "LEEF:1.0|Maker|Product|1.0|ID-7|src=192.0.2.1\tmsg=a b=c\tsev=5",
            "LEEF:2.0|Maker|Product|1.0|ID-7|^|src=192.0.2.1^msg=a b=c^sev=5",
            "LEEF:2.0|Maker|Product|1.0|ID-7|0x5E|src=192.0.2.1^msg=a b=c^sev=5",
            "LEEF:2.0|Maker|Product|1.0|ID-7||src=192.0.2.1\tmsg=a b=c\tsev=5",
            "LEEF:2.0|Maker|Product|1.0|ID-7|src=192.0.2.1\tmsg=a b=c\tsev=5",
        ] {
            let pairs = parse(line).unwrap();
            let got = ["device_vendor", "event_id", "src", "msg", "sev"].map(|key| get(&pairs, key));
            assert_eq!(got, ["Maker", "ID-7", "192.0.2.1", "a b=c", "5"], "{line}");
        }
        assert_eq!(get(&parse("LEEF:1.0|a|b|c|id").unwrap(), "event_id"), "id");
        assert!(parse("LEEF:1.0|a|b|c").is_none() && parse("CEF:0|a").is_none());
        assert!(parse("LEEF:2.0|a|b|c|d|0xzz|a=b").is_none());
    }
}
