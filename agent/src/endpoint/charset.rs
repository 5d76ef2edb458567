//! Bytes to text: UTF-8, and the encodings that Japanese products still write.

use std::borrow::Cow;

use encoding_rs::{EUC_JP, Encoding, SHIFT_JIS};

use super::source::Charset;

/// The text, and whether some of it could not be read (it is U+FFFD then).
pub(super) fn text(bytes: &[u8], charset: Charset) -> (Cow<'_, str>, bool) {
    match charset {
        Charset::Utf8 => lossy(bytes),
        Charset::ShiftJis => decoded(SHIFT_JIS, bytes),
        Charset::EucJp => decoded(EUC_JP, bytes),
        Charset::Auto => match core::str::from_utf8(bytes) {
            Ok(text) => (text.into(), false),
            Err(_) => guessed(bytes),
        },
    }
}

fn lossy(bytes: &[u8]) -> (Cow<'_, str>, bool) {
    let text = String::from_utf8_lossy(bytes);
    let is_garbled = matches!(&text, Cow::Owned(_));
    (text, is_garbled)
}

fn decoded<'a>(encoding: &'static Encoding, bytes: &'a [u8]) -> (Cow<'a, str>, bool) {
    encoding.decode_without_bom_handling(bytes)
}

/// What is valid in one of them only is that. Where both fit, half-width katakana speak against `Shift_JIS`: EUC-JP read as
/// `Shift_JIS` is full of them, and hardly anybody writes them.
fn guessed(bytes: &[u8]) -> (Cow<'_, str>, bool) {
    let (sjis, euc) = (decoded(SHIFT_JIS, bytes), decoded(EUC_JP, bytes));
    match (sjis.1, euc.1) {
        (true, true) => lossy(bytes),
        (false, true) => sjis,
        (true, false) => euc,
        (false, false) => {
            let katakana =
                |text: &str| text.chars().filter(|ch| matches!(ch, '\u{ff61}'..='\u{ff9f}')).count();
            if katakana(&sjis.0) > katakana(&euc.0) { euc } else { sjis }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn japanese_encodings_are_told_apart() {
        for words in
            ["ウイルスを検出しました。隔離しました。", "端末A ユーザー名:山田", "表示能力ソ", "情報漏えい"]
        {
            for (encoding, charset) in [(SHIFT_JIS, Charset::ShiftJis), (EUC_JP, Charset::EucJp)] {
                let (bytes, ..) = encoding.encode(words);
                assert_eq!(text(&bytes, charset), (words.into(), false));
                assert_eq!(text(&bytes, Charset::Auto), (words.into(), false), "{}", encoding.name());
            }
            assert_eq!(text(words.as_bytes(), Charset::Auto), (words.into(), false));
        }
        assert!(text(b"a\xff\xfe\x00b", Charset::Auto).1);
        assert!(text(b"a\xffb", Charset::Utf8).1);
    }
}
