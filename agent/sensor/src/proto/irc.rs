//! IRC (RFC 2812): recognised, not read.

use super::lines::after;
use super::search::first_line;
use super::{Guess, Hint, Recogniser, Session, Side};
use crate::event::Application;

pub(super) const STREAM: &[Recogniser] =
    &[Recogniser { application: Application::Irc, probe, begin: |_hint| Session::Opaque }];

/// A client registers (RFC 2812, 3.1), a server says `NOTICE AUTH` or answers with its name before a command.
fn probe(hint: &Hint<'_>, bytes: &[u8]) -> Guess {
    let line = first_line(bytes).trim_ascii_end();
    if hint.side == Side::Responder {
        let named = line.strip_prefix(b":").and_then(|rest| rest.splitn(3, |byte| *byte == b' ').nth(1));
        let numbered = named.is_some_and(|word| word == b"001" || word == b"020" || word == b"NOTICE");
        return (after(line, b"NOTICE AUTH ").is_some() || numbered).into();
    }
    let words = || line.split(|byte| *byte == b' ').filter(|word| !word.is_empty());
    let registers =
        after(line, b"USER ").is_some() && words().count() >= 5 && line.windows(2).any(|at| at == b" :");
    let names = after(line, b"NICK ").is_some() && words().count() <= 3;
    let asks = after(line, b"CAP LS").is_some() || after(line, b"CAP REQ ").is_some();
    (registers || names || asks).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_a_client_and_a_server() {
        let client = Hint::of_port(6667);
        let server = Hint { side: Side::Responder, ..client };
        for line in
            [&b"NICK joe\r\nUSER joe 0 * :Joe\r\n"[..], b"USER joe 0 * :Joe Doe\r\n", b"CAP LS 302\r\n"]
        {
            assert_eq!(probe(&client, line), Guess::Yes);
        }
        assert_eq!(probe(&client, b"USER anonymous\r\n"), Guess::No);
        assert_eq!(
            probe(&server, b":irc.example.net NOTICE * :*** Looking up your hostname\r\n"),
            Guess::Yes
        );
        assert_eq!(probe(&server, b"220 ftp\r\n"), Guess::No);
    }
}
