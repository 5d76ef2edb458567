//! Text for a terminal: columns that stand under each other whatever the script, bars, and amounts for people.

/// Columns that a character takes: two for the wide ones of East Asia, none for those that combine with the one before
/// (Unicode Standard Annex 11, by blocks).
fn columns(char: char) -> usize {
    match u32::from(char) {
        0x0300..=0x036f | 0x200b..=0x200f | 0x3099..=0x309a | 0xfe00..=0xfe0f => 0,
        0x1100..=0x115f
        | 0x2e80..=0x303e
        | 0x3041..=0xa4cf
        | 0xac00..=0xd7a3
        | 0xf900..=0xfaff
        | 0xfe30..=0xfe6f
        | 0xff00..=0xff60
        | 0xffe0..=0xffe6
        | 0x1f300..=0x1faff
        | 0x2_0000..=0x3_fffd => 2,
        _ => 1,
    }
}

/// Columns that a text takes.
pub(super) fn width(text: &str) -> usize {
    text.chars().map(columns).sum()
}

/// Filled up with spaces behind.
pub(super) fn left(text: &str, columns: usize) -> String {
    format!("{text}{}", " ".repeat(columns.saturating_sub(width(text))))
}

/// Without what would move the cursor of a terminal or turn its text around.
pub(super) fn plain(text: &str) -> String {
    let is_plain = |char: char| {
        !char.is_control() && !matches!(u32::from(char), 0x200b..=0x200f | 0x2028..=0x202e | 0x2066..=0x2069)
    };
    let mut out = String::with_capacity(text.len());
    for char in text.chars() {
        if is_plain(char) { out.push(char) } else { out.extend(char.escape_unicode()) }
    }
    out
}

/// `1.2 MB`; units of 1000.
pub(super) fn amount(bytes: u64) -> String {
    let mut unit = 1_u64;
    for name in ["B", "kB", "MB", "GB", "TB"] {
        if bytes / 1000 < unit || name == "TB" {
            let tenths = u128::from(bytes) * 10 / u128::from(unit);
            return if unit == 1 {
                format!("{bytes} {name}")
            } else {
                format!("{}.{} {name}", tenths / 10, tenths % 10)
            };
        }
        unit *= 1000;
    }
    String::new()
}

/// `12.3 %`.
pub(super) fn share(part: u64, whole: u64) -> String {
    let permille = u128::from(part) * 1000 / u128::from(whole.max(1));
    format!("{}.{} %", permille / 10, permille % 10)
}

/// A bar of at most `cells` columns, in eighths.
pub(super) fn bar(part: u64, whole: u64, cells: u64) -> String {
    const EIGHTHS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];
    let eighths = u128::from(part.min(whole)) * u128::from(cells) * 8 / u128::from(whole.max(1));
    let full = usize::try_from(eighths / 8).unwrap_or_default();
    let rest = usize::try_from(eighths % 8).ok().and_then(|rest| EIGHTHS.get(rest)).unwrap_or(&"");
    format!("{}{rest}", "█".repeat(full))
}

/// One character for each value, as high as it is; what is not zero is never empty.
pub(super) fn line(values: &[u64]) -> String {
    const HEIGHTS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let most = u128::from(values.iter().copied().max().unwrap_or_default().max(1));
    let height = |value: u64| {
        let height = usize::try_from((u128::from(value) * 8).div_ceil(most)).unwrap_or_default();
        if value == 0 { ' ' } else { HEIGHTS.get(height.saturating_sub(1)).copied().unwrap_or('█') }
    };
    values.iter().copied().map(height).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_stand_under_each_other() {
        assert_eq!(
            (width("abc"), width("関守"), width("ｱ"), width("が"), width("か\u{3099}")),
            (3, 4, 1, 2, 2)
        );
        assert_eq!(left("関守", 6), "関守  ");
        assert_eq!(left("toolong", 3), "toolong");
        assert_eq!(plain("a\x1b[31m\u{202e}関"), "a\\u{1b}[31m\\u{202e}関");
    }

    #[test]
    fn amounts_and_bars() {
        let amounts = [0, 999, 1000, 1_249_999, 7_000_000_000, u64::MAX].map(amount);
        assert_eq!(amounts, ["0 B", "999 B", "1.0 kB", "1.2 MB", "7.0 GB", "18446744.0 TB"]);
        assert_eq!((share(1, 3), share(5, 0)), ("33.3 %".to_owned(), "500.0 %".to_owned()));
        assert_eq!(
            (bar(1, 2, 3), bar(9, 3, 2), bar(1, u64::MAX, 9)),
            ("█▌".into(), "██".into(), String::new())
        );
        assert_eq!(line(&[0, 1, 4, 8]), " ▁▄█");
        assert_eq!((line(&[1, u64::MAX]), line(&[])), ("▁█".to_owned(), String::new()));
    }
}
