//! The greeting of a mail server, and going over to TLS.

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::stream::{self, Stream};
use super::{Failure, connect, of_io};
use crate::watch::target::{FaultKind, Mail, MailProtocol, Security, Target};

/// Of one line.
const LINE_BYTES_MAX: usize = 2_048;
/// Of one answer.
const LINES_MAX: usize = 64;

/// Greets, goes over to TLS where that is wanted, and takes its leave.
pub(super) async fn ask(target: &Target, mail: &Mail) -> Result<(), Failure> {
    let mut plain = connect(target).await?;
    let stream = match &mail.security {
        Security::None => {
            greeting(&mut plain, mail.protocol).await?;
            Stream::Plain(plain)
        }
        Security::Starttls(tls) => {
            greeting(&mut plain, mail.protocol).await?;
            start(&mut plain, mail.protocol).await?;
            stream::secure(plain, tls).await?
        }
        Security::Tls(tls) => {
            let mut stream = stream::secure(plain, tls).await?;
            greeting(&mut stream, mail.protocol).await?;
            stream
        }
    };
    let is_lasting = match &mail.security {
        Security::None => Ok(()),
        Security::Starttls(tls) | Security::Tls(tls) => stream.lasting(Some(tls)),
    };
    leave(stream, mail.protocol).await;
    is_lasting
}

async fn greeting(stream: &mut (impl AsyncRead + Unpin), protocol: MailProtocol) -> Result<(), Failure> {
    let said = answer(stream, protocol, "").await?;
    let is_welcome = match protocol {
        MailProtocol::Smtp => said.starts_with("220"),
        MailProtocol::Pop3 => said.starts_with("+OK"),
        MailProtocol::Imap => said.starts_with("* OK"),
    };
    if is_welcome { Ok(()) } else { Err(unexpected(&said)) }
}

async fn start(stream: &mut TcpStream, protocol: MailProtocol) -> Result<(), Failure> {
    let (ask, expect) = match protocol {
        MailProtocol::Smtp => {
            say(stream, "EHLO sekimori-watch.invalid\r\n").await?;
            let said = answer(stream, protocol, "").await?;
            if !said.starts_with("250") {
                return Err(unexpected(&said));
            }
            if !said
                .lines()
                .any(|line| line.get(4..).is_some_and(|word| word.eq_ignore_ascii_case("STARTTLS")))
            {
                return Err(Failure::down(FaultKind::Content, "it does not offer STARTTLS"));
            }
            ("STARTTLS\r\n", "220")
        }
        MailProtocol::Pop3 => ("STLS\r\n", "+OK"),
        MailProtocol::Imap => ("a1 STARTTLS\r\n", "a1 OK"),
    };
    say(stream, ask).await?;
    let said = answer(stream, protocol, "a1 ").await?;
    if said.starts_with(expect) {
        Ok(())
    } else {
        Err(Failure::down(FaultKind::Status, format_args!("no STARTTLS: `{}`", said.trim_end())))
    }
}

/// So that it does not log somebody who went without a word. Whether it hears that does not matter.
async fn leave(mut stream: Stream, protocol: MailProtocol) {
    let words: &[u8] = match protocol {
        MailProtocol::Smtp | MailProtocol::Pop3 => b"QUIT\r\n",
        MailProtocol::Imap => b"a2 LOGOUT\r\n",
    };
    if stream.write_all(words).await.is_ok() {
        let _closed = stream.shutdown().await;
    }
}

async fn say(stream: &mut TcpStream, words: &str) -> Result<(), Failure> {
    stream.write_all(words.as_bytes()).await.map_err(|cause| of_io(&cause))
}

/// A whole answer: of SMTP up to the line without a hyphen, of IMAP up to the line that begins with the tag, if there is one.
async fn answer(
    stream: &mut (impl AsyncRead + Unpin),
    protocol: MailProtocol,
    tag: &str,
) -> Result<String, Failure> {
    let mut all = String::new();
    for _line in 0..LINES_MAX {
        let line = line(stream).await?;
        let is_last = match protocol {
            MailProtocol::Smtp => line.as_bytes().get(3) != Some(&b'-'),
            MailProtocol::Pop3 => true,
            MailProtocol::Imap => line.starts_with(tag),
        };
        if protocol == MailProtocol::Imap && is_last {
            return Ok(line);
        }
        all.push_str(&line);
        if is_last {
            return Ok(all);
        }
    }
    Err(Failure::down(FaultKind::TooLarge, format_args!("more than {LINES_MAX} lines")))
}

/// Byte by byte: what comes behind the line is for TLS. A greeting is short.
async fn line(stream: &mut (impl AsyncRead + Unpin)) -> Result<String, Failure> {
    let mut bytes = Vec::new();
    while bytes.last() != Some(&b'\n') {
        if bytes.len() >= LINE_BYTES_MAX {
            return Err(Failure::down(
                FaultKind::TooLarge,
                format_args!("a line of more than {LINE_BYTES_MAX} bytes"),
            ));
        }
        bytes.push(stream.read_u8().await.map_err(|cause| of_io(&cause))?);
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn unexpected(said: &str) -> Failure {
    Failure::down(FaultKind::Status, format_args!("`{}`", said.trim_end()))
}
