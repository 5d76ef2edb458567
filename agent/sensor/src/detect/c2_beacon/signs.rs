//! What speaks for remote control beside regularity. Each is harmless by itself; several together are not.

use sekimori_wire::text::BoundedText;

macro_rules! signs {
    ($($variant:ident $en:literal $ja:literal,)*) => {
        /// One such thing.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(super) enum Sign {
            $(#[doc = $en] $variant,)*
        }

        impl Sign {
            const ALL: &'static [Self] = &[$(Self::$variant),*];

            const fn words(self) -> (&'static str, &'static str) {
                match self {
                    $(Self::$variant => ($en, $ja),)*
                }
            }
        }
    };
}

signs! {
    Nameless "its address was not looked up by name" "宛先の名前解決が行われていない",
    UnknownProtocol "the protocol is unknown" "通信方式が不明",
    OddPort "the port is unusual for that" "通常使われないポート",
    DefaultPort "remote-control malware uses this port by default" "遠隔操作型マルウェアの既定のポート",
    NoServerName "the encryption names no server" "暗号化通信に接続先のサーバー名がない",
    SelfSigned "the server vouches for itself" "サーバー証明書が自己署名",
    SameContent "every contact begins with the same bytes" "毎回同じ内容で始まる",
    Fast "a new connection every few seconds" "数秒ごとに新しい接続",
    Rare "no other inside host contacts it" "他の内部端末は接続していない",
    Sustained "it goes on for hours" "何時間も続いている",
    Polling "the same few paths are asked again and again" "同じパスへの要求が繰り返されている",
    Regular "the requests are regular" "要求の間隔が規則的",
    Posts "it sends data without ever opening a page" "ページを開かずにデータだけを送信している",
    FalseBrowser "it calls itself a browser and lacks what every browser sends" "ブラウザーを名乗るがブラウザーの特徴がない",
    Script "a script or tool asks, no browser" "ブラウザーではなくスクリプトなどからの通信",
    BareAddress "the server is named by a bare address" "サーバーがIPアドレスで直接指定されている",
    GeneratedName "the server's name looks made by a machine" "サーバー名が機械的に生成されたように見える",
    Identifiers "the address asked for carries an identifier of the machine" "要求先に端末の識別子が含まれている",
    VaryingKeys "the same path is asked with ever other parameters" "同じパスに毎回異なるパラメーター名",
}

/// A set of signs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Signs(u32);

impl Signs {
    pub(super) const fn add_if(&mut self, sign: Sign, there: bool) {
        if there {
            self.0 |= 1 << sign as u32;
        }
    }

    pub(super) const fn has(self, sign: Sign) -> bool {
        self.0 >> sign as u32 & 1 == 1
    }

    pub(super) const fn count(self) -> u32 {
        self.0.count_ones()
    }

    fn iter(self) -> impl Iterator<Item = Sign> {
        Sign::ALL.iter().copied().filter(move |sign| self.has(*sign))
    }

    /// In English, for evidence.
    pub(super) fn list(self) -> Vec<BoundedText<255>> {
        self.iter().map(|sign| sign.words().0.into()).collect()
    }

    /// In words, for the explanation: English, Japanese.
    pub(super) fn words(self) -> (String, String) {
        let (en, ja): (Vec<_>, Vec<_>) = self.iter().map(Sign::words).unzip();
        (en.join("; "), ja.join("、"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signs_are_counted_once_and_told_in_words() {
        let mut signs = Signs::default();
        signs.add_if(Sign::OddPort, true);
        signs.add_if(Sign::OddPort, true);
        signs.add_if(Sign::VaryingKeys, true);
        signs.add_if(Sign::Rare, false);
        assert_eq!((signs.count(), signs.has(Sign::Rare), signs.list().len()), (2, false, 2));
        assert_eq!(signs.words().1, "通常使われないポート、同じパスに毎回異なるパラメーター名");
    }
}
